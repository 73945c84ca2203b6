//! What a server's process holds, as its system sees it.

use std::fs;
use std::path::Path;

use crate::TestServer;

/// See the card of this file.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub threads: usize,
    pub descriptors: usize,
    /// Of its own, not shared with any file.
    pub memory_bytes: u64,
}

impl Held {
    /// What `server` holds now.
    pub fn by(server: &TestServer) -> Self {
        let count = |what| fs::read_dir(of(server, what)).expect("a process shows what it has").count();
        Self { threads: count("task"), descriptors: count("fd"), memory_bytes: status_bytes(server, "RssAnon:") }
    }
}

impl TestServer {
    /// The most memory that was resident since [`TestServer::forget_peak`].
    pub fn peak_bytes(&self) -> u64 {
        status_bytes(self, "VmHWM:")
    }

    /// Begins anew to measure the peak, which is what is resident now.
    pub fn forget_peak(&self) {
        fs::write(of(self, "clear_refs"), "5").expect("our own child can be measured");
    }
}

/// How many files and directories lie below a directory.
pub fn entries_below(dir: &Path) -> usize {
    // What goes away meanwhile is not there.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| 1 + if entry.path().is_dir() { entries_below(&entry.path()) } else { 0 }).sum()
}

fn of(server: &TestServer, what: &str) -> String {
    format!("/proc/{}/{what}", server.pid())
}

fn status_bytes(server: &TestServer, field: &str) -> u64 {
    let status = fs::read_to_string(of(server, "status")).expect("a process shows how it is");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_else(|| panic!("{field} is not in {status}")) << 10
}
