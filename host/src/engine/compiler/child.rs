//! The compiler's inside: what a process does that the server started to compile
//! one module. stdin is the module, stdout takes the compiled code, stderr one
//! sentence if there is none; the exit code says which.
//!
//! Promise: it bounds itself before it reads the first byte that a user sent,
//! and dies with the server.
//!
//! Not here: how long it may take, which the parent watches.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::process::Pid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;

use crate::confinement;
use crate::confinement::Demand;
use crate::engine::cache::Shelf;
use crate::engine::config;
use crate::engine::module;
use crate::engine::module::BadModule;
use crate::limits;
use crate::model::module::ModuleKind;

/// The hidden verb of our command line that leads here.
pub(in crate::engine) const VERB: &str = "compile-child";

pub(super) const DONE: i32 = 0;
pub(super) const FAILED: i32 = 1;
pub(super) const INVALID: i32 = 3;
pub(super) const UNSUPPORTED: i32 = 4;
pub(super) const OUT_OF_MEMORY: i32 = 5;
pub(super) const NO_ROOM: i32 = 6;

/// How much the kernel prefers the server's own threads; jobs have the same.
const NICE: i32 = 10;
/// Files that a compiler opens besides the three: a few that describe the machine.
const OPEN_FILES_MAX: u64 = 64;

/// What the parent tells its child, on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChildOrder {
    pub(super) kind: ModuleKind,
    pub(super) parent: i32,
    pub(super) memory_bytes_max: u64,
    pub(super) cpu_s_max: u64,
    pub(super) confinement: Demand,
    /// Of the parent's engine.
    pub(super) fingerprint: String,
}

impl ChildOrder {
    pub(super) fn to_words(&self) -> [String; 6] {
        let kind = match self.kind {
            ModuleKind::Core => "core",
            ModuleKind::Component => "component",
        };
        let confinement = match self.confinement {
            Demand::Whole => "confined",
            Demand::WhatThisMachineHas => "as-confined-as-can-be",
        };
        let [parent, memory, cpu] =
            [self.parent.to_string(), self.memory_bytes_max.to_string(), self.cpu_s_max.to_string()];
        [kind.to_owned(), parent, memory, cpu, confinement.to_owned(), self.fingerprint.clone()]
    }

    fn from_words(words: &[String]) -> Option<Self> {
        let [kind, parent, memory, cpu, confinement, fingerprint] = words else { return None };
        let kind = match kind.as_str() {
            "core" => ModuleKind::Core,
            "component" => ModuleKind::Component,
            _ => return None,
        };
        let confinement = match confinement.as_str() {
            "confined" => Demand::Whole,
            "as-confined-as-can-be" => Demand::WhatThisMachineHas,
            _ => return None,
        };
        Some(Self {
            kind,
            parent: parent.parse().ok()?,
            memory_bytes_max: memory.parse().ok()?,
            cpu_s_max: cpu.parse().ok()?,
            confinement,
            fingerprint: fingerprint.clone(),
        })
    }
}

/// Why there is no compiled code.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Bad(#[from] BadModule),
    #[error("this is how the server calls itself to compile a module, and of no use to anybody else")]
    Words,
    #[error("the server that asked for this is gone")]
    Orphan,
    #[error("the compiler cannot confine itself as the server does: {0}")]
    Unconfined(String),
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
    #[error("the engine for WebAssembly cannot be set up: {0:#}")]
    Setup(wasmtime::Error),
    #[error("this is not the compiler of the server that asked for it")]
    OtherEngine,
}

impl Fault {
    fn exit_code(&self) -> i32 {
        match self {
            // Not every failed allocation ends the process: some of the engine's come back as errors.
            Fault::Bad(bad) if bad.to_string().contains(&no_memory().to_string()) => OUT_OF_MEMORY,
            Fault::Bad(BadModule::Invalid(_)) => INVALID,
            Fault::Bad(BadModule::Unsupported(_)) => UNSUPPORTED,
            Fault::System(_, error) if error.kind() == io::ErrorKind::StorageFull => NO_ROOM,
            Fault::System(_, error) if error.kind() == io::ErrorKind::OutOfMemory => OUT_OF_MEMORY,
            Fault::Words
            | Fault::Orphan
            | Fault::Unconfined(_)
            | Fault::System(..)
            | Fault::Setup(_)
            | Fault::OtherEngine => FAILED,
        }
    }
}

fn no_memory() -> io::Error {
    rustix::io::Errno::NOMEM.into()
}

/// The whole life of the child. `words` are what stood behind the verb.
pub(in crate::engine) fn live(words: &[String]) -> ExitCode {
    let code = match serve(words) {
        Ok(()) => DONE,
        Err(fault) => {
            // Whoever reads it may be gone; the code still says something.
            let _ = writeln!(io::stderr(), "{fault}");
            fault.exit_code()
        }
    };
    ExitCode::from(u8::try_from(code).expect("our codes are small"))
}

fn serve(words: &[String]) -> Result<(), Fault> {
    let order = ChildOrder::from_words(words).ok_or(Fault::Words)?;
    bound(&order)?;
    confinement::confine_compiler().meets(order.confinement).map_err(Fault::Unconfined)?;
    let engine = config::on_demand().map_err(Fault::Setup)?;
    // The parent loads what comes from here as its own, so it must be.
    if config::fingerprint(&engine) != order.fingerprint {
        return Err(Fault::OtherEngine);
    }
    let shelf = Shelf::new(&engine).map_err(Fault::Setup)?;
    let (mut wasm, mut artefact) = (file(io::stdin())?, file(io::stdout())?);
    let mut bytes = Vec::new();
    wasm.read_to_end(&mut bytes).map_err(|error| Fault::System("read the module", error))?;
    let compiled = module::compile(&shelf, &bytes, order.kind)?;
    artefact.write_all(&compiled).map_err(|error| Fault::System("write the compiled code", error))
}

/// Gives up what this process does not need, for good.
fn bound(order: &ChildOrder) -> Result<(), Fault> {
    let system = |what| move |errno: rustix::io::Errno| Fault::System(what, errno.into());
    let death = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    death.map_err(system("ask to die with the server"))?;
    // It may have died before we asked.
    if rustix::process::getppid().map(Pid::as_raw_pid) != Some(order.parent) {
        return Err(Fault::Orphan);
    }
    rustix::process::nice(NICE).map_err(system("be nice"))?;
    for (resource, most, at_last) in [
        (Resource::As, order.memory_bytes_max, order.memory_bytes_max),
        // A second apart, so that the signal tells that it was this limit.
        (Resource::Cpu, order.cpu_s_max, order.cpu_s_max + 1),
        (Resource::Fsize, limits::ARTEFACT_BYTES_MAX, limits::ARTEFACT_BYTES_MAX),
        (Resource::Nofile, OPEN_FILES_MAX, OPEN_FILES_MAX),
        // Or a crash would write what it was compiling to the disk.
        (Resource::Core, 0, 0),
    ] {
        rustix::process::setrlimit(resource, no_more(resource, most, at_last)).map_err(system("bound itself"))?;
    }
    Ok(())
}

/// A limit, unless the operator has set a lower one for the whole server: that
/// cannot be raised, and need not be.
fn no_more(resource: Resource, most: u64, at_last: u64) -> Rlimit {
    let maximum = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX).min(at_last);
    Rlimit { current: Some(most.min(maximum)), maximum: Some(maximum) }
}

/// A standard stream as the file that it is, without the buffers around it.
fn file(stream: impl AsFd) -> Result<File, Fault> {
    let fd = stream.as_fd().try_clone_to_owned();
    fd.map(File::from).map_err(|error| Fault::System("open a file", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_command_line() {
        let order = ChildOrder {
            kind: ModuleKind::Component,
            parent: 1,
            memory_bytes_max: 1 << 31,
            cpu_s_max: 120,
            confinement: Demand::Whole,
            fingerprint: "f00".to_owned(),
        };
        assert_eq!(ChildOrder::from_words(&order.to_words()), Some(order));
        assert_eq!(ChildOrder::from_words(&[]), None);
    }
}
