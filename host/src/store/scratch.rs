//! Directories for jobs outside any session: made once, and used again by the
//! next job if the one before left them as they were.
//!
//! Promise: a job finds nothing of another one's in its directory: no name, and
//! no time that somebody set.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::UTIME_NOW;

use crate::limits::SCRATCH_KEPT_MAX;
use crate::model::session::Usage;
use crate::model::touched::Touched;
use crate::root::Root;
use crate::store::Store;
use crate::store::block;
use crate::store::draft::Draft;
use crate::store::draft::Work;
use crate::store::error::StoreError;
use crate::store::place::WorkDir;
use crate::store::tree;

/// Directories that are ready for a job.
#[derive(Default)]
pub(super) struct Scratch {
    ready: Mutex<Vec<(WorkDir, Root)>>,
}

/// An empty private directory to run a job in.
pub(super) async fn begin(store: Store) -> Result<Draft, StoreError> {
    let ready = store.inner.shared.copies.scratch.take();
    let (dir, root) = match ready {
        Some(ready) => ready,
        None => {
            let shared = store.shared();
            block(move || {
                let made = shared.copies.make(Usage::default());
                let made = made.and_then(|(dir, open)| Ok((dir, Root::new(open)?)));
                made.map_err(StoreError::io("make a directory for a job"))
            })
            .await?
        }
    };
    Ok(Draft { store, params: Arc::default(), root: Arc::new(root), work: Work::Scratch(dir) })
}

/// Keeps a directory for another job if this one did nothing there; otherwise it
/// is thrown away.
pub(super) fn let_go(store: &Store, dir: WorkDir, root: Arc<Root>, touched: &Touched) {
    if touched.is_nowhere()
        && let Some(root) = Arc::into_inner(root)
    {
        store.inner.shared.copies.scratch.give_back(dir, root);
    }
}

impl Scratch {
    /// One that is as good as new, if there is one.
    pub(super) fn take(&self) -> Option<(WorkDir, Root)> {
        self.ready().pop()
    }

    /// Keeps one that a job did not touch. If it used it at all, looks for itself all the
    /// same, since what lies there would be seen by a stranger.
    pub(super) fn give_back(&self, dir: WorkDir, mut root: Root) {
        let is_as_new = !root.take_use()
            || (tree::is_empty(root.fd()).is_ok_and(|is_empty| is_empty) && make_fresh(root.fd()).is_ok());
        if is_as_new {
            let mut ready = self.ready();
            if ready.len() < SCRATCH_KEPT_MAX {
                ready.push((dir, root));
            }
        }
    }

    pub(super) fn clear(&self) {
        self.ready().clear();
    }

    fn ready(&self) -> MutexGuard<'_, Vec<(WorkDir, Root)>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job may set the times of its `/`, and they are no change of its files.
fn make_fresh(open: &OwnedFd) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Ok(rustix::fs::futimens(open, &Timestamps { last_access: now, last_modification: now })?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::store::janitor::Janitor;
    use crate::store::place::Place;

    #[test]
    fn b11_a_directory_is_used_again_only_if_it_is_as_new() {
        let home = tempfile::tempdir().unwrap();
        let janitor = Janitor::start().unwrap();
        let place = Arc::new(Place::open(home.path(), 1 << 20, janitor.bin()).unwrap());
        let scratch = Scratch::default();
        let (dir, open) = place.make(0).unwrap();
        let path = fs::read_dir(home.path()).unwrap().next().unwrap().unwrap().path();

        let long_ago = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        rustix::fs::futimens(&open, &times).unwrap();
        let root = Root::new(open).unwrap();
        root.note_use();
        scratch.give_back(dir, root);
        let (dir, root) = scratch.take().unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert!(meta.mtime() > 1 && meta.atime() > 1, "a time that somebody set is seen by another");

        fs::write(path.join("left"), "behind").unwrap();
        root.note_use();
        scratch.give_back(dir, root);
        assert!(scratch.take().is_none());
    }
}
