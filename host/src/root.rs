//! The directory that a guest sees as `/`, on its way from the store, which lends it,
//! to the engine, whose guests work in it.
//!
//! Promise: a root leads to the directory that was handed in and to nothing else, and
//! whatever it takes to see it as guests do is done once, however many of them come
//! one after the other.
//!
//! Not here: what lies in it (`store`), and what a guest may do there (`engine::guard`).

use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use cap_std::fs::Dir;

/// An open directory.
pub struct Root {
    fd: OwnedFd,
    dir: Dir,
    /// The engine's, which alone knows what it is.
    view: OnceLock<Box<dyn Any + Send + Sync>>,
    used: AtomicBool,
}

impl Root {
    /// Of an open directory.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let dir = Dir::from_std_file(fd.try_clone()?.into());
        Ok(Self { fd, dir, view: OnceLock::new(), used: AtomicBool::new(false) })
    }

    /// The directory itself.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The same, for looking at what paths in it lead to.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The same, as guests see it: what `open` gave the first time.
    pub fn view<T, E>(&self, open: impl FnOnce(&OwnedFd) -> Result<T, E>) -> Result<T, E>
    where
        T: Any + Clone + Send + Sync,
    {
        if let Some(view) = self.view.get().and_then(|view| view.downcast_ref::<T>()) {
            return Ok(view.clone());
        }
        let view = open(&self.fd)?;
        self.view.get_or_init(|| Box::new(view.clone()));
        Ok(view)
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
