//! How a guest ended, in the words of the model.
//!
//! Promise: no sentence made here shows a path or an address of the host.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::PoolConcurrencyLimitError;
use wasmtime::Trap;
use wasmtime::WasmBacktrace;
use wasmtime_wasi::I32Exit;

use super::imports::DeskFailed;
use super::limiter::NoMemoryLeft;
use super::limiter::OverMemory;
use super::limiter::OverTable;
use super::limiter::OverTogether;
use super::live::Live;
use super::order::Ran;
use super::output::OverLimit;
use super::time::OverCpu;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::params::ParamChanges;
use crate::model::touched::Touched;

/// What came first: the guest's own end, or somebody else's decision.
pub(super) enum End {
    /// The guest's `main` returned, or the guest stopped in some other way.
    Guest(wasmtime::Result<i32>),
    /// The wall clock.
    WallTimeout(Duration),
    /// Somebody wanted it stopped.
    Stopped,
}

impl End {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            End::Guest(Ok(code)) => Outcome::exited(*code),
            End::Guest(Err(error)) => of_error(error),
            End::WallTimeout(limit) => {
                let detail = format!("the job was not done after its {} ms", limit.as_millis());
                Outcome::failed(Reason::WallTimeout, detail)
            }
            End::Stopped => Outcome::Cancelled { detail: "the job was stopped while it ran".to_owned() },
        }
    }
}

fn of_error(error: &wasmtime::Error) -> Outcome {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Outcome::exited(exit.0);
    }
    if let Some(over) = error.downcast_ref::<OverLimit>() {
        return Outcome::failed(Reason::OutputLimit, over.to_string());
    }
    if let Some(over) = error.downcast_ref::<OverMemory>() {
        return Outcome::failed(Reason::MemoryLimit, over.to_string());
    }
    if let Some(over) = error.downcast_ref::<OverTable>() {
        return Outcome::failed(Reason::MemoryLimit, over.to_string());
    }
    if let Some(over) = error.downcast_ref::<OverTogether>() {
        return Outcome::failed(Reason::MemoryLimit, over.to_string());
    }
    if let Some(over) = error.downcast_ref::<OverCpu>() {
        return Outcome::failed(Reason::CpuLimit, over.to_string());
    }
    if error.is::<DeskFailed>() {
        return Outcome::failed(Reason::HostError, "the server could not change the job's session");
    }
    if error.is::<PoolConcurrencyLimitError>() || error.is::<NoMemoryLeft>() {
        return Outcome::failed(Reason::HostError, "the server had no memory left for the job");
    }
    Outcome::failed(Reason::Trap, trap_detail(error))
}

/// A sentence, and the functions that the guest was in.
fn trap_detail(error: &wasmtime::Error) -> String {
    let sentence = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => {
            "the job gave up: it executed `unreachable`, as a panic or an abort does".to_owned()
        }
        Some(Trap::StackOverflow) => "the job used up its stack".to_owned(),
        Some(Trap::MemoryOutOfBounds) => "the job used memory that it does not have".to_owned(),
        Some(trap) => format!("the job trapped: {}", trap.to_string().trim_start_matches("wasm trap: ")),
        None => format!("the job was stopped in a call to the host: {}", error.root_cause()),
    };
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) if !backtrace.frames().is_empty() => {
            // The first line of Wasmtime's own text says only that a backtrace follows.
            let text = backtrace.to_string();
            let frames: Vec<_> = text.lines().skip(1).collect();
            format!("{sentence}\n{}", frames.join("\n"))
        }
        _ => sentence,
    }
}

impl Ran {
    /// A run that our own fault cut short. What it did before is not known, so
    /// it may have been anywhere.
    pub(super) fn broken(live: &Arc<Live>) -> Self {
        Self {
            outcome: Outcome::failed(Reason::HostError, "the server made a mistake while it ran the job"),
            result: None,
            params: ParamChanges::new(),
            touched: Touched::Everywhere,
            spent: Spent::default(),
            stdout: live.stdout.printed(),
            stderr: live.stderr.printed(),
        }
    }

    /// A run that did not begin, because its module could not be loaded.
    pub(super) fn not_begun(live: &Arc<Live>, detail: &str) -> Self {
        let outcome = Outcome::failed(Reason::HostError, detail);
        Self { outcome, touched: Touched::nowhere(), ..Self::broken(live) }
    }
}
