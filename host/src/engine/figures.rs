//! What the engine counts of its work, for the operator.
//!
//! Not here: what guests use of time, which the service counts with their jobs.

use std::time::Duration;

use super::cache::Cache;
use super::compiler::CompileError;
use crate::meter::Bounds;
use crate::meter::Count;
use crate::meter::Noted;
use crate::meter::Spread;
use crate::meter::millis;

const COMPILE_TIMES: Bounds = Bounds::of_times(&[
    millis(10),
    millis(50),
    millis(100),
    millis(250),
    millis(500),
    millis(1_000),
    millis(2_500),
    millis(5_000),
    millis(10_000),
    millis(30_000),
    millis(60_000),
    millis(120_000),
]);

/// The engine's own counts. Those of loaded modules are the cache's.
pub(super) struct Meters {
    compiled: Count,
    refused: Count,
    failed: Count,
    compile_time: Spread,
}

/// What the engine had done, and held, at a moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Modules that are ready to run.
    pub modules_loaded: u64,
    /// Runs that found their module loaded, and those that had to load it.
    pub found_loaded: u64,
    pub had_to_load: u64,
    /// Compilations that gave code; were the module's fault; or failed otherwise.
    pub compiled: u64,
    pub refused: u64,
    pub failed: u64,
    pub compile_time: Noted,
    /// What guests hold of memory together, and the most that they may.
    pub memory_bytes: u64,
    pub memory_bytes_max: u64,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            compiled: Count::default(),
            refused: Count::default(),
            failed: Count::default(),
            compile_time: Spread::new(COMPILE_TIMES),
        }
    }
}

impl Meters {
    /// One compilation is over. One that was stopped came to nothing, and is not counted.
    #[cfg_attr(test, expect(dead_code, reason = "unit tests compile without the compiler's process"))]
    pub(super) fn compiled(&self, compiled: &Result<(), CompileError>, time: Duration) {
        match compiled {
            Ok(()) => self.compiled.one(),
            Err(CompileError::Bad(_)) => self.refused.one(),
            Err(CompileError::Stopped) => return,
            Err(CompileError::Killed | CompileError::NoRoom | CompileError::Run(_) | CompileError::Failed(_)) => {
                self.failed.one();
            }
        }
        self.compile_time.note_time(time);
    }

    pub(super) fn look(&self, cache: &Cache, (memory_bytes, memory_bytes_max): (u64, u64)) -> Figures {
        Figures {
            modules_loaded: cache.count() as u64,
            found_loaded: cache.found.get(),
            had_to_load: cache.loaded.get(),
            compiled: self.compiled.get(),
            refused: self.refused.get(),
            failed: self.failed.get(),
            compile_time: self.compile_time.look(),
            memory_bytes,
            memory_bytes_max,
        }
    }
}
