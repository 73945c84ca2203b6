//! The directory that a guest sees as `/`, on its way from the store, which lends it,
//! to the engine, whose guests work in it.
//!
//! Promise: a root is opened once, however many guests see it one after the other; it
//! leads to the directory that was handed in and to nothing else.
//!
//! Not here: what lies in it (`store`), and what a guest may do there (`engine::guard`).

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use cap_std::fs::Dir;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;

/// An open directory.
pub struct Root {
    fd: OwnedFd,
    dir: Dir,
    files: WasiFilesystemCtx,
    used: AtomicBool,
}

impl Root {
    /// Makes it ready for guests.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let mut wasi = WasiCtxBuilder::new();
        // File operations happen in place on the guest's thread, which has nothing else to do, or
        // little (`engine::brief`): faster, and none can be under way after the guest is gone. Before
        // the directory, which keeps it.
        wasi.allow_blocking_current_thread(true);
        // The builder takes a name only; this one leads to the open directory and nowhere else.
        let by_handle = format!("/proc/self/fd/{}", fd.as_raw_fd());
        wasi.preopened_dir(by_handle, "/", FsPerms::ReadWrite).map_err(io::Error::other)?;
        let files = wasi.build().filesystem().clone();
        let dir = Dir::from_std_file(fd.try_clone()?.into());
        Ok(Self { fd, dir, files, used: AtomicBool::new(false) })
    }

    /// The directory itself.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The same, for looking at what paths in it lead to.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The same, as a guest gets it.
    pub fn files(&self) -> WasiFilesystemCtx {
        self.files.clone()
    }

    /// Notes that a guest has asked for something here. Most that are outside any session
    /// never do, and leave it as it was.
    pub fn note_use(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Whether a guest has since this was asked for the last time. Nobody may use it
    /// meanwhile.
    pub fn take_use(&mut self) -> bool {
        std::mem::take(self.used.get_mut())
    }
}
