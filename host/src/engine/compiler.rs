//! The compiler's outside: starts it as a process of its own, watches it, and
//! says in words what came of it.
//!
//! Comes in: a [`CompileOrder`], with two open files. Goes out: to `child`, in
//! another process of the same binary.
//!
//! Promise: a compilation takes no more memory, processor time and time than it
//! is given, is over when [`compile`] has returned, and outlives neither whoever
//! waits for it nor this process.
//!
//! Not here: who may compile when (`queue::compilers`), and what is kept (`store`).

pub(super) mod child;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::child::ChildOrder;
use super::module::BadModule;
use crate::confinement::Demand;
use crate::limits;
use crate::model::module::ModuleKind;

/// Our own binary, whatever has become of its name: an upgrade in place must not
/// make a running server call the compiler of the next one.
const OURSELVES: &str = "/proc/self/exe";

/// The exit code of a program whose libraries the loader cannot load.
const NOT_LOADED: i32 = 127;

/// Of what a child said, this much is kept: a sentence, or why it crashed.
const SAID_BYTES_MAX: usize = 4 << 10;

/// What one compilation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Of addresses: all that the compiler has mapped, used or not.
    pub memory_bytes_max: u64,
    /// Processor time, of all its threads together; whole seconds.
    pub cpu_max: Duration,
    pub wall_max: Duration,
    /// How much of the second wall the compiler must have around it.
    pub confinement: Demand,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: limits::COMPILE_MEMORY_BYTES_DEFAULT,
            cpu_max: limits::COMPILE_CPU_DEFAULT,
            wall_max: limits::COMPILE_WALL_DEFAULT,
            confinement: Demand::WhatThisMachineHas,
        }
    }
}

/// One module to compile.
#[derive(Debug)]
pub struct CompileOrder {
    /// The module's bytes, from the beginning of the file.
    pub wasm: File,
    pub kind: ModuleKind,
    /// Where the compiled code goes: an empty file, open for writing.
    pub artefact: File,
    /// Ends the compilation.
    pub stop: CancellationToken,
}

/// Why there is no compiled code. The artefact's file may hold anything.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error(transparent)]
    Bad(#[from] BadModule),
    #[error("the compilation was stopped")]
    Stopped,
    /// By the kernel, when the machine has no memory left, or by an operator.
    #[error("the compilation was killed from outside")]
    Killed,
    #[error("there is no room on the disk for the compiled code")]
    NoRoom,
    #[error("the compiler cannot be run")]
    Run(#[source] io::Error),
    #[error("the compiler could not do its work: {0}")]
    Failed(String),
}

/// How a child's life ended.
enum End {
    Itself(ExitStatus),
    OutOfTime,
    Stopped,
}

/// Compiles in a process of its own. Dropping the future kills that too.
#[cfg_attr(test, expect(dead_code, reason = "the binary of a unit test has no verb to compile with"))]
pub(super) async fn compile(
    order: CompileOrder,
    limits: CompileLimits,
    fingerprint: String,
) -> Result<(), CompileError> {
    // Dropped with this future.
    let stop = order.stop.child_token();
    let _stops_when_dropped = stop.clone().drop_guard();
    let order = CompileOrder { stop, ..order };
    let (answer, compiled) = oneshot::channel();
    // A thread that lives as long as the child: the kernel kills a child that asked for it
    // when the thread that started it ends, not when the process does.
    let thread = std::thread::Builder::new().name("compile".to_owned()).spawn(move || {
        // Nobody waits any more if the future was dropped.
        let _ = answer.send(run(order, limits, fingerprint));
    });
    thread.map_err(CompileError::Run)?;
    compiled.await.unwrap_or_else(|_| Err(CompileError::Failed("the thread that watched it panicked".to_owned())))
}

fn run(order: CompileOrder, limits: CompileLimits, fingerprint: String) -> Result<(), CompileError> {
    // Nobody waits for an order that was stopped before it was begun.
    if order.stop.is_cancelled() {
        return Err(CompileError::Stopped);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CompileError::Run)?;
    let said = rustix::fs::memfd_create("compiler-said", MemfdFlags::CLOEXEC)
        .map_err(|errno| CompileError::Run(errno.into()))?;
    let said = File::from(said);
    let stop = order.stop.clone();
    let mut child = start(order, limits, fingerprint, &said).map_err(CompileError::Run)?;
    let end = runtime.block_on(end_of(&mut child, limits.wall_max, &stop));
    if !matches!(end, Ok(End::Itself(_))) {
        // It fails for one that has just ended, which is as good.
        let _ = child.kill();
        // A killed process cannot refuse to end; and one that is not waited for stays as a zombie.
        child.wait().map_err(CompileError::Run)?;
    }
    match end.map_err(CompileError::Run)? {
        End::Itself(status) => judge(status, &read(&said), limits),
        End::OutOfTime => Err(too_much(format!("more than {} s", limits.wall_max.as_secs_f32()))),
        End::Stopped => Err(CompileError::Stopped),
    }
}

/// Starts the child. It gets two files, and nothing else of ours: the standard
/// library opens all files so that they close here.
fn start(order: CompileOrder, limits: CompileLimits, fingerprint: String, said: &File) -> io::Result<Child> {
    let words = ChildOrder {
        kind: order.kind,
        parent: rustix::process::getpid().as_raw_pid(),
        memory_bytes_max: limits.memory_bytes_max,
        cpu_s_max: limits.cpu_max.as_secs(),
        confinement: limits.confinement,
        fingerprint,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(OURSELVES);
    command.arg(child::VERB).args(words.to_words());
    command.env_clear().env("RAYON_NUM_THREADS", cores.min(limits::COMPILE_THREADS_MAX).to_string());
    // An interrupt from the terminal is for the server, which decides what becomes of this.
    command.current_dir("/").process_group(0);
    command.stdin(order.wasm).stdout(order.artefact).stderr(Stdio::from(said.try_clone()?));
    command.spawn()
}

/// Waits for whatever comes first.
async fn end_of(child: &mut Child, wall_max: Duration, stop: &CancellationToken) -> io::Result<End> {
    // Readable when the process has ended.
    let ended = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    // SAFETY: an `OwnedFd` is open, and the same, for as long as it is there; this one is moved in.
    let ended = unsafe { AsyncFd::register_with_interest(ended, Interest::READABLE) }?;
    tokio::select! {
        ready = ended.readable() => ready.map(drop)?,
        () = tokio::time::sleep(wall_max) => return Ok(End::OutOfTime),
        () = stop.cancelled() => return Ok(End::Stopped),
    }
    child.wait().map(End::Itself)
}

fn judge(status: ExitStatus, said: &str, limits: CompileLimits) -> Result<(), CompileError> {
    let memory = || Err(too_much(format!("more than {} MiB of memory", limits.memory_bytes_max >> 20)));
    let signal = status.signal().and_then(Signal::from_named_raw);
    match (status.code(), signal) {
        (Some(child::DONE), _) => Ok(()),
        (Some(child::INVALID), _) => Err(BadModule::Invalid(said.to_owned()).into()),
        (Some(child::UNSUPPORTED), _) => Err(BadModule::Unsupported(said.to_owned()).into()),
        (Some(child::OUT_OF_MEMORY), _) => memory(),
        (Some(child::NO_ROOM), _) => Err(CompileError::NoRoom),
        (Some(child::FAILED | NOT_LOADED), _) => Err(CompileError::Failed(said.to_owned())),
        // The standard library's last words when an allocation fails.
        (_, Some(Signal::ABORT)) if said.contains("memory allocation of") => memory(),
        (_, Some(Signal::XCPU)) => Err(too_much(format!("more than {} s of processor time", limits.cpu_max.as_secs()))),
        (_, Some(Signal::XFSZ)) => {
            Err(too_much(format!("more than {} MiB for its compiled code", limits::ARTEFACT_BYTES_MAX >> 20)))
        }
        (_, Some(Signal::KILL)) => Err(CompileError::Killed),
        (code, signal) => {
            tracing::error!(code, ?signal, said, "the compiler crashed");
            Err(BadModule::Unsupported("the compiler crashed on this module".to_owned()).into())
        }
    }
}

fn too_much(what: String) -> CompileError {
    let sentence = format!(
        "to compile the module takes {what}, the most that this server gives for one; build it smaller, with less in it"
    );
    BadModule::Unsupported(sentence).into()
}

/// What the child said, or the beginning of it.
fn read(said: &File) -> String {
    let mut bytes = vec![0; SAID_BYTES_MAX];
    // What cannot be read is as good as not said.
    let count = said.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a wait status, as the kernel encodes it.
    #[track_caller]
    fn check(status: i32, said: &str, part: &str) {
        let error = judge(ExitStatus::from_raw(status), said, CompileLimits::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn b04_each_end_of_a_compiler_has_its_sentence() {
        assert!(judge(ExitStatus::from_raw(child::DONE << 8), "", CompileLimits::default()).is_ok());
        check(child::INVALID << 8, "a fault", "a fault");
        check(child::OUT_OF_MEMORY << 8, "", "more than 2048 MiB of memory");
        check(NOT_LOADED << 8, "cannot open a library", "could not do its work: cannot open a library");
        check(Signal::ABORT.as_raw(), "memory allocation of 8 bytes failed", "more than 2048 MiB of memory");
        check(Signal::ABORT.as_raw(), "its stack overflowed", "crashed");
        check(Signal::XCPU.as_raw(), "", "more than 120 s of processor time");
        check(Signal::XFSZ.as_raw(), "", "compiled code");
        check(Signal::KILL.as_raw(), "", "killed from outside");
        check(101 << 8, "a panic", "crashed");
    }
}
