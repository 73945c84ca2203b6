//! Working copies: a directory per session for its jobs to run in, kept from
//! one job to the next.
//!
//! Promise: a copy that is handed out is the session as of its last commit, or
//! is known to be otherwise by its version and its list of paths to mend. Copies
//! are never synced and may vanish at any time but while they are on loan.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::limits::COPIES_KEPT_MAX;
use crate::limits::COPIES_OPEN_MAX;
use crate::limits::COPY_MENDS_MAX;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::model::touched::Places;
use crate::root::Root;
use crate::store::error::StoreError;
use crate::store::janitor::Janitor;
use crate::store::layout::Layout;
use crate::store::place::Chosen;
use crate::store::place::Place;
use crate::store::place::WorkDir;
use crate::store::place::WorkPlace;
use crate::store::scratch::Scratch;

/// All working copies that are not on loan, and the places for them.
pub(super) struct Copies {
    /// Where copies lie by default.
    chosen: Chosen,
    first: Arc<Place>,
    /// In the data directory, for what has no room there.
    second: Arc<Place>,
    idle: Mutex<Idle>,
    /// For jobs outside any session.
    pub(super) scratch: Scratch,
    janitor: Option<Janitor>,
}

#[derive(Default)]
struct Idle {
    copies: HashMap<SessionKey, (u64, Copy)>,
    /// Those that were put back last, by when: they stay open.
    open: VecDeque<(SessionKey, u64)>,
    /// Counts what is put back; the lowest number is the least recently used.
    turns: u64,
}

/// One session's working copy.
pub(super) struct Copy {
    pub(super) dir: WorkDir,
    /// Of the session's files.
    pub(super) tree_version: i64,
    /// Places at which the copy differs from that version.
    pub(super) mends: Places,
    /// Still open from the last job, if that was not long ago.
    pub(super) root: Option<Root>,
}

impl Copies {
    /// `bytes_max` is for copies in the data directory.
    pub(super) fn open(layout: &Layout, chosen: Chosen, bytes_max: u64) -> Result<Copies, StoreError> {
        let janitor = Janitor::start()?;
        let second = Arc::new(Place::open(&layout.work(), bytes_max, janitor.bin())?);
        let first = if chosen.lock.is_some() {
            Arc::new(Place::open(&chosen.work_place.path, chosen.work_place.bytes_max, janitor.bin())?)
        } else {
            Arc::clone(&second)
        };
        let (idle, scratch) = (Mutex::default(), Scratch::default());
        Ok(Copies { chosen, first, second, idle, scratch, janitor: Some(janitor) })
    }

    pub(super) fn place(&self) -> &WorkPlace {
        &self.chosen.work_place
    }

    /// Lends a session's copy, if there is one.
    pub(super) fn take(&self, key: SessionKey) -> Option<Copy> {
        self.idle().copies.remove(&key).map(|(_, copy)| copy)
    }

    /// Lends a session's copy, if it is there and is its files as of that version.
    pub(super) fn take_current(&self, key: SessionKey, tree_version: i64) -> Option<Copy> {
        let mut idle = self.idle();
        let (_, copy) = idle.copies.get(&key)?;
        let is_current = copy.tree_version == tree_version && copy.mends.is_empty();
        is_current.then(|| idle.copies.remove(&key).map(|(_, copy)| copy)).flatten()
    }

    /// Makes an empty directory for content of that size, where there is room.
    pub(super) fn make(&self, usage: Usage) -> io::Result<(WorkDir, OwnedFd)> {
        let bytes = estimate(usage);
        if self.make_room(bytes) {
            match self.first.make(bytes) {
                // The budget was chosen at start; somebody else may have used the room.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => (),
                made => return made,
            }
        }
        self.second.make(bytes)
    }

    /// The same on disk, for content that did not fit after all.
    pub(super) fn make_on_disk(&self, usage: Usage) -> io::Result<(WorkDir, OwnedFd)> {
        self.second.make(estimate(usage))
    }

    /// Puts a copy back for the session's next job.
    pub(super) fn give_back(&self, key: SessionKey, mut copy: Copy, usage: Usage) {
        if copy.mends.len() > COPY_MENDS_MAX {
            return;
        }
        copy.dir.holds(estimate(usage));
        let is_on_disk = copy.dir.is_in(&self.second);
        let place = if is_on_disk { &self.second } else { &self.first };
        let mut idle = self.idle();
        idle.turns += 1;
        let turn = idle.turns;
        idle.copies.insert(key, (turn, copy));
        idle.open.push_back((key, turn));
        if idle.open.len() > COPIES_OPEN_MAX {
            idle.close_oldest();
        }
        while idle.copies.len() > COPIES_KEPT_MAX {
            idle.drop_oldest(|_, _| true);
        }
        // On disk, a session that alone is larger than the budget keeps its copy, or it would get a new one for each of
        // its jobs (R26). In memory it does not: its next copy lies on disk.
        let may_go = |given_back, copy: &Copy| copy.dir.is_in(place) && !(is_on_disk && given_back == turn);
        while !place.has_room(0) && idle.drop_oldest(may_go) {}
    }

    /// Throws a session's copy away.
    pub(super) fn forget(&self, key: SessionKey) {
        drop(self.take(key));
    }

    /// Says that a write from outside, which led from one tree version to another,
    /// changed something at these places.
    pub(super) fn outdate(&self, key: SessionKey, (from, to): (i64, i64), places: Places) {
        if let Some((_, copy)) = self.idle().copies.get_mut(&key)
            && copy.tree_version == from
        {
            copy.tree_version = to;
            copy.must_mend(places);
        }
    }

    /// Whether the default place can take that many bytes; copies that were not
    /// used for long make room.
    fn make_room(&self, bytes: u64) -> bool {
        if bytes > self.first.bytes_max {
            return false;
        }
        let mut idle = self.idle();
        while !self.first.has_room(bytes) {
            if !idle.drop_oldest(|_, copy| copy.dir.is_in(&self.first)) {
                return false;
            }
        }
        true
    }

    /// What copies take in memory and on disk, as far as that is known.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let both = [&self.first, &self.second];
        let places = if Arc::ptr_eq(both[0], both[1]) { &both[..1] } else { &both[..] };
        let (in_memory, on_disk): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.in_memory);
        let sum = |places: Vec<&Arc<Place>>| places.iter().map(|place| place.bytes()).sum();
        (sum(in_memory), sum(on_disk))
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.idle().copies.values().filter(|(_, copy)| copy.root.is_some()).count()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copy {
    /// Says that it differs from what it should be at these places.
    pub(super) fn must_mend(&mut self, places: Places) {
        for (path, extent) in places {
            match self.mends.entry(path) {
                Entry::Vacant(none) => drop(none.insert(extent)),
                Entry::Occupied(mut known) => known.get_mut().join(extent),
            }
        }
    }
}

impl Idle {
    /// Closes the copy that was put back first of those that are open, unless it was
    /// lent since then.
    fn close_oldest(&mut self) {
        let Some((key, turn)) = self.open.pop_front() else { return };
        if let Some((_, copy)) = self.copies.get_mut(&key).filter(|(at, _)| *at == turn) {
            copy.root = None;
        }
    }

    /// Drops the least recently used copy of those that `may_go`, by when it was
    /// given back; says whether there was one.
    fn drop_oldest(&mut self, may_go: impl Fn(u64, &Copy) -> bool) -> bool {
        let candidates = self.copies.iter().filter(|(_, (turn, copy))| may_go(*turn, copy));
        let oldest = candidates.min_by_key(|(_, (turn, _))| *turn).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.copies.remove(&key).is_some())
    }
}

/// What a copy takes of memory: whole pages, and about one more per name.
fn estimate(usage: Usage) -> u64 {
    usage.bytes.saturating_add((usage.files + 1).saturating_mul(4_096))
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.idle().copies.clear();
        self.scratch.clear();
        // Waits until the bin is empty, so that the place can go.
        self.janitor = None;
    }
}
