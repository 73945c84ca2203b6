//! The engine: runs one guest on one seat and gives back what it did.
//!
//! Comes in: a [`RunOrder`] with an open directory handle and a copy of the
//! parameters; module bytes, to look at; and modules in files, to compile.
//! Goes out: [`Ran`], with how it ended and what it may have changed.
//!
//! Promise: a guest reaches its directory and its own job, and nothing else;
//! whatever it does ends in an [`Outcome`](crate::model::outcome::Outcome), and
//! when a run is over nothing of it is still under way.
//!
//! Not here: who runs when (`queue`), and what becomes of the changes (`store`).

mod order;
mod live;
mod output;
mod pipe;
mod stdio;
mod module;
mod compiler;
mod config;
mod cache;
mod brief;
mod seats;
mod run;
mod ending;
mod state;
mod limiter;
mod purse;
mod time;
mod figures;
mod guard;
mod imports;

#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::cache::Program;
pub use self::compiler::CompileError;
pub use self::compiler::CompileLimits;
pub use self::compiler::CompileOrder;
pub use self::figures::Figures;
pub use self::live::Live;
pub use self::module::BadModule;
pub use self::module::Inspected;
pub use self::order::DeskRefusal;
pub use self::order::DiskAllowance;
pub use self::order::Ran;
pub use self::order::RightToCompute;
pub use self::order::RunOrder;
pub use self::order::SessionDesk;
pub use self::order::SoFar;
pub use self::order::Stand;
pub use self::output::Output;
pub use self::pipe::NobodyReads;
pub use self::pipe::Piece;
pub use self::pipe::Pipe;
pub use self::purse::Purse;
pub use self::stdio::Stdin;
pub use self::stdio::Stdout;

use std::future::Future;
use std::sync::Arc;
#[cfg(not(test))]
use std::time::Instant;

use crate::ids::Digest;
use crate::model::module::ModuleKind;

use self::cache::Cache;
use self::config::Engines;
use self::figures::Meters;
use self::seats::Seats;
use self::state::House;
use self::time::Ticker;

/// How the engine is built.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// How many guests may have begun at once; each has a thread of its own.
    pub seats: usize,
    /// How many files each of them may hold open.
    pub open_files_max: usize,
    /// What all guests may hold of memory together.
    pub memory_bytes_max: u64,
    /// What the compilation of one module may take.
    pub compile: CompileLimits,
}

/// What the process does that [`Engine::compile`] starts, with the words of its
/// command line. Not for people.
pub fn compile_child(words: &[String]) -> std::process::ExitCode {
    compiler::child::live(words)
}

/// Why the engine does not start. Nothing can run without it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the engine for WebAssembly cannot be set up on this machine")]
    Setup(#[source] wasmtime::Error),
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// The engine of a server. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped in this order: no guest runs any more when the ticker stops.
    seats: Seats,
    cache: Arc<Cache>,
    engines: Engines,
    meters: Meters,
    #[cfg_attr(test, expect(dead_code, reason = "unit tests compile here, without limits"))]
    compile: CompileLimits,
    _ticker: Ticker,
}

impl Engine {
    /// Starts the threads that guests run on.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let engines = Engines::new(config.seats).map_err(EngineError::Setup)?;
        let cache = Cache::new(&engines).map_err(EngineError::Setup)?;
        let cache = Arc::new(cache);
        let ticker = Ticker::start(&engines).map_err(EngineError::Thread)?;
        let house = House { open_files_max: config.open_files_max, memory: Purse::new(config.memory_bytes_max) };
        let seats = Seats::start(config.seats, &house).map_err(EngineError::Thread)?;
        let meters = Meters::default();
        let inner = Inner { seats, cache, engines, meters, compile: config.compile, _ticker: ticker };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Names everything that a compiled artefact depends on besides the module:
    /// an artefact with another fingerprint is never loaded. Hex digits, the
    /// same after a restart of the same server on the same machine.
    pub fn fingerprint(&self) -> &str {
        self.inner.engines.fingerprint()
    }

    /// What kind of module begins with these bytes, or why none does: what can be
    /// said before all of it is in memory.
    pub fn kind_of(beginning: &[u8]) -> Result<ModuleKind, BadModule> {
        module::kind_of(beginning)
    }

    /// Looks at module bytes without compiling them. Up to a second for tens of
    /// megabytes, so call it where blocking is fine.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Inspected, BadModule> {
        module::inspect(self.inner.cache.shelf(), bytes)
    }

    /// Compiles a module that [`Engine::inspect`] found good, in a process of
    /// its own, which is gone when the future is ready. When the future is
    /// dropped, it is killed.
    #[cfg(not(test))]
    pub fn compile(&self, order: CompileOrder) -> impl Future<Output = Result<(), CompileError>> + Send + use<> {
        let inner = self.inner.clone();
        async move {
            let (begin, fingerprint) = (Instant::now(), inner.engines.fingerprint().to_owned());
            let compiled = compiler::compile(order, inner.compile, fingerprint).await;
            inner.meters.compiled(&compiled, begin.elapsed());
            compiled
        }
    }

    /// In unit tests it is done here, since their binary has no verb for it.
    #[cfg(test)]
    pub async fn compile(&self, mut order: CompileOrder) -> Result<(), CompileError> {
        use std::io::Read as _;
        use std::io::Write as _;
        let mut bytes = Vec::new();
        order.wasm.read_to_end(&mut bytes).map_err(CompileError::Run)?;
        let artefact = module::compile(self.inner.cache.shelf(), &bytes, order.kind)?;
        order.artefact.write_all(&artefact).map_err(CompileError::Run)
    }

    /// Lets go of a module that is deleted. Jobs that run it go on.
    pub fn forget(&self, digest: &Digest) {
        self.inner.cache.forget(digest);
    }

    /// What the engine has done, and holds now.
    pub fn figures(&self) -> Figures {
        let Inner { seats, cache, meters, .. } = &*self.inner;
        meters.look(cache, seats.memory())
    }

    /// Runs one guest on the seat with that number, which the caller must not
    /// use for anything else meanwhile. The guest computes while it has the right
    /// to.
    ///
    /// When the future is ready, nothing of the guest is left and no file
    /// operation of it is under way. When the future is dropped, the guest is
    /// stopped; wait with [`RunOrder::stop`] instead wherever the directory is
    /// used again.
    pub fn run(
        &self,
        seat: usize,
        order: RunOrder,
        right: Box<dyn RightToCompute>,
    ) -> impl Future<Output = Ran> + Send + use<> {
        let inner = self.inner.clone();
        async move {
            let cache = inner.cache.clone();
            inner.seats.run(seat, cache, order, right).await
        }
    }
}
