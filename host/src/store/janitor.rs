//! The janitor: takes away directories that nobody needs any more.
//!
//! Promise: nobody who runs a job waits for a tree to be deleted. Whatever a
//! guest left, it goes: no depth and no name stops it, and no link is followed.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::thread::JoinHandle;

use rustix::fs::CWD;

use crate::limits::DEPTH_MAX;
use crate::limits::RUBBISH_WAITING_MAX;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::tree;

/// A directory to be taken away: its name, and the open directory it lies in.
pub(super) struct Rubbish {
    pub(super) place: Arc<OwnedFd>,
    pub(super) name: CString,
}

/// Where rubbish is put.
#[derive(Default)]
pub(super) struct Bin {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    rubbish: VecDeque<Rubbish>,
    closed: bool,
}

/// The janitor's thread. Dropping it empties the bin first.
pub(super) struct Janitor {
    bin: Arc<Bin>,
    thread: Option<JoinHandle<()>>,
}

impl Bin {
    /// Takes rubbish; never waits.
    pub(super) fn put(&self, rubbish: Rubbish) {
        self.waiting().rubbish.push_back(rubbish);
        self.changed.notify_one();
    }

    /// Takes something away if the janitor is far behind. Whoever makes a new
    /// directory calls this first, so the bin has a bound.
    pub(super) fn help(&self) {
        let next = {
            let mut waiting = self.waiting();
            let behind = waiting.rubbish.len() > RUBBISH_WAITING_MAX;
            behind.then(|| waiting.rubbish.pop_front()).flatten()
        };
        next.iter().for_each(take_away);
    }

    fn next(&self) -> Option<Rubbish> {
        let mut waiting = self.waiting();
        loop {
            if let Some(rubbish) = waiting.rubbish.pop_front() {
                return Some(rubbish);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Janitor {
    pub(super) fn start() -> Result<Janitor, StoreError> {
        let bin = Arc::new(Bin::default());
        let work = Arc::clone(&bin);
        let thread = thread::Builder::new().name("store-janitor".to_owned()).spawn(move || {
            while let Some(rubbish) = work.next() {
                take_away(&rubbish);
            }
        });
        Ok(Janitor { bin, thread: Some(thread.map_err(StoreError::io("start the janitor"))?) })
    }

    pub(super) fn bin(&self) -> &Arc<Bin> {
        &self.bin
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.bin.waiting().closed = true;
        self.bin.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn take_away(rubbish: &Rubbish) {
    if let Err(error) = remove_tree(&rubbish.place, &rubbish.place, &rubbish.name) {
        // It is tried again at the next start, when everything there is rubbish.
        tracing::warn!(%error, "a directory that is not needed any more could not be deleted");
    }
}

/// Removes all that lies in a directory of ours.
pub(super) fn empty(path: &Path) -> io::Result<()> {
    let dir = tree::open_dir(CWD, path)?;
    tree::names(&dir)?.iter().try_for_each(|name| remove_tree(&dir, &dir, name))
}

/// Removes `name` in `parent` with everything beneath it. What lies deeper than
/// our own limit is moved to `top` first and removed from there, so that neither
/// the stack nor the open files grow with what a guest built.
pub(super) fn remove_tree(top: &OwnedFd, parent: &OwnedFd, name: &CStr) -> io::Result<()> {
    let mut aside = Vec::new();
    remove_beneath(top, parent, name, 0, &mut aside)?;
    while let Some(name) = aside.pop() {
        remove_beneath(top, top, &name, 0, &mut aside)?;
    }
    Ok(())
}

fn remove_beneath(
    top: &OwnedFd,
    parent: &OwnedFd,
    name: &CStr,
    depth: usize,
    aside: &mut Vec<CString>,
) -> io::Result<()> {
    if tree::remove_one(parent, name)? {
        return Ok(());
    }
    if depth > DEPTH_MAX {
        let new_name = CString::new(uuid::Uuid::new_v4().to_string()).map_err(io::Error::other)?;
        durable::move_loosely(parent, name, top, &new_name)?;
        aside.push(new_name);
        return Ok(());
    }
    let dir = tree::open_dir(parent, name)?;
    for inner in tree::names(&dir)? {
        remove_beneath(top, &dir, &inner, depth + 1, aside)?;
    }
    tree::remove_one(parent, name)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B18: the guest builds a tree deeper than any path can name.
    #[test]
    fn b18_a_tree_of_any_depth_goes() {
        let home = tempfile::tempdir().unwrap();
        let top: OwnedFd = std::fs::File::open(home.path()).unwrap().into();
        let mut dir = tree::make_dir(&top, "deep").unwrap();
        for _ in 0..3_000 {
            tree::make_file(&dir, "file").unwrap();
            rustix::fs::symlinkat("../../..", &dir, "link").unwrap();
            dir = tree::make_dir(&dir, "d").unwrap();
        }
        drop(dir);
        remove_tree(&top, &top, c"deep").unwrap();
        assert_eq!(tree::names(&top).unwrap(), Vec::<CString>::new());
    }
}
