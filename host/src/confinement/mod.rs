//! The second wall: what the process gives up for good before it takes the
//! first request, so that a guest who broke out of Wasmtime's sandbox would find
//! little to go to.
//!
//! Comes in: the porch, before any other thread runs, and the compiler's child
//! before it reads a module. Goes out: to Landlock (`files`) and seccomp (`calls`).
//!
//! Promise: threads and children that are started afterwards are confined too,
//! and none can undo it. What could not be had is named, never passed over.
//!
//! Not here: whether the server starts without it (`cli::serve`).

mod calls;
mod files;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::Resource;
use rustix::process::Rlimit;

/// The paths that a server has.
#[derive(Clone, Copy, Debug)]
pub struct Paths<'a> {
    /// All that lasts.
    pub data: &'a Path,
    /// The place for working copies, which the server removes at its end.
    pub work: &'a Path,
}

/// How much of the wall must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    Whole,
    WhatThisMachineHas,
}

/// Which parts of the wall stand, and why the others do not.
#[derive(Debug)]
pub struct Confinement {
    privileges: Result<(), String>,
    files: Result<files::Reach, String>,
    calls: Result<(), String>,
}

/// Confines the thread that calls, and all that it starts from now on.
pub fn confine_server(paths: Paths<'_>) -> Confinement {
    Confinement {
        privileges: give_up_privileges(),
        // In this order, since the filter has no word for Landlock's own calls.
        files: files::confine(&files::of_server(paths)),
        calls: calls::confine_server(),
    }
}

/// Confines the process that compiles one module: it has three open files and
/// needs nothing else of the system but memory and threads.
pub fn confine_compiler() -> Confinement {
    Confinement { privileges: give_up_privileges(), files: files::confine(&[]), calls: calls::confine_compiler() }
}

/// Makes sure that a crash leaves no copy of everybody's memory on the disk, and
/// that no file is made which others could read. For the whole process.
pub fn leave_nothing_behind() -> io::Result<()> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(io::Error::from)
}

fn give_up_privileges() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| errno.to_string())
}

impl Confinement {
    /// Whether that is enough, or else the parts that are missing, each with the reason.
    pub fn meets(&self, demand: Demand) -> Result<(), String> {
        let missing = self.missing();
        if demand == Demand::WhatThisMachineHas || missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
    }

    fn missing(&self) -> Vec<String> {
        let part = |name: &str, why: Option<&String>| why.map(|why| format!("{name} ({why})"));
        let parts = [
            part("no new privileges", self.privileges.as_ref().err()),
            part("Landlock", self.files.as_ref().err()),
            part("seccomp", self.calls.as_ref().err()),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// The parts that stand.
impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Ok(reach) = &self.files {
            parts.push(format!("Landlock ({reach})"));
        }
        if self.calls.is_ok() {
            parts.push("seccomp".to_owned());
        }
        if self.privileges.is_ok() {
            parts.push("no new privileges".to_owned());
        }
        if parts.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&parts.join(", "))
    }
}
