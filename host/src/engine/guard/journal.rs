//! The guard's memory: what is open, what was touched, what is used.
//!
//! Comes in: each operation of a guest on its directory, from [`p1`](super::p1)
//! or [`p2`](super::p2), before it is carried out and once more when it was.
//!
//! Promise: before anything changes, its path is in [`Touched`] and its growth
//! was found to fit. Paths of open descriptors follow renames, so this holds
//! for what is done through them too.
//!
//! Not here: carrying anything out (wasmtime-wasi does).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use cap_std::fs::Metadata;

use super::refusal::Refusal;
use super::resolve;
use super::resolve::Last;
use super::resolve::Tree;
use super::room;
use super::space::Space;
use crate::engine::DiskAllowance;
use crate::model::path::SessionPath;
use crate::model::session::Usage;
use crate::model::touched::Touched;
use crate::root::Root;

/// Places in WASI's table that are not the guest's files: its streams, and what
/// a call needs for a moment.
const TABLE_RESERVE: usize = 16;

/// Names one open file or directory of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Handle(u32);

/// Where an open file or directory is now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The session's own directory.
    Root,
    At(SessionPath),
    /// Removed while it was open. All handles of one file share the number.
    Orphan(u32),
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub(super) create: bool,
    pub(super) truncate: bool,
}

/// An opening that was found good.
#[derive(Debug)]
pub(super) struct Opening {
    place: Place,
    creates: bool,
    /// The bytes that a truncation sets free.
    frees: u64,
}

/// The removal of an entry, or its being replaced.
#[derive(Debug)]
pub(super) struct Removal {
    path: SessionPath,
    /// The bytes of the entry that is there; `None` if there is none.
    bytes: Option<u64>,
}

/// A rename that was found good.
#[derive(Debug)]
pub(super) struct Renaming {
    from: SessionPath,
    replaced: Removal,
}

/// A write or resize that was found good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    offset: u64,
    size_before: u64,
}

/// See the room card.
pub(in crate::engine) struct Journal {
    pub(super) root: Arc<Root>,
    has_links: bool,
    touched: Touched,
    space: Space,
    open: HashMap<Handle, Place>,
    open_files_max: usize,
    next_handle: u32,
    next_orphan: u32,
}

impl Journal {
    pub(in crate::engine) fn new(root: Arc<Root>, has_links: bool, disk: DiskAllowance, open_files_max: usize) -> Self {
        let space = Space::new(disk);
        Self {
            root,
            has_links,
            touched: Touched::nowhere(),
            space,
            open: HashMap::new(),
            open_files_max,
            next_handle: 0,
            next_orphan: 0,
        }
    }

    pub(in crate::engine) fn touched(&self) -> &Touched {
        &self.touched
    }

    /// How many descriptors, streams and the like the guest may hold together.
    pub(super) fn open_files_max(&self) -> usize {
        self.open_files_max
    }

    /// Another descriptor of the session's own directory.
    pub(super) fn open_root(&mut self) -> Handle {
        self.hold(Place::Root)
    }

    /// Another way to the same file, such as a stream.
    pub(super) fn share(&mut self, handle: Handle) -> Result<Handle, Refusal> {
        let place = self.open.get(&handle).ok_or(Refusal::BadDescriptor)?.clone();
        Ok(self.hold(place))
    }

    /// Before a file or directory is opened.
    pub(super) fn before_open(&mut self, at: Handle, path: &str, last: Last, wants: Wants) -> Result<Opening, Refusal> {
        if self.open.len() + TABLE_RESERVE >= self.open_files_max {
            return Err(Refusal::TooManyOpen);
        }
        let Some(path) = self.resolve(at, path, last)? else {
            return Ok(Opening { place: Place::Root, creates: false, frees: 0 });
        };
        let mut opening = Opening { place: Place::At(path.clone()), creates: false, frees: 0 };
        if wants.create || wants.truncate {
            let found = self.look(&path)?;
            opening.creates = wants.create && found.is_none();
            opening.frees = found.filter(|_| wants.truncate).as_ref().map_or(0, bytes_of);
        }
        if opening.creates {
            self.space.check_file()?;
        }
        // What is written later is noted then.
        if opening.creates || wants.truncate {
            self.touched.note(&path);
        }
        Ok(opening)
    }

    /// After it was opened.
    pub(super) fn opened(&mut self, opening: Opening) -> Handle {
        if opening.creates {
            self.space.added();
        }
        self.space.resized(opening.frees, 0);
        self.hold(opening.place)
    }

    /// Whether closing `handle` gives up the last way to a removed file. Then
    /// [`Journal::close`] must be told the file's size.
    pub(super) fn is_last_of_removed(&self, handle: Handle) -> bool {
        let Some(place @ Place::Orphan(_)) = self.open.get(&handle) else { return false };
        self.open.values().filter(|other| *other == place).count() == 1
    }

    /// After a descriptor or stream was closed. `bytes` is what the file held,
    /// if this was the last way to a removed one.
    pub(super) fn close(&mut self, handle: Handle, bytes: u64) {
        if self.is_last_of_removed(handle) {
            self.space.removed(bytes);
        }
        self.open.remove(&handle);
    }

    /// Before bytes are written. `offset` is `None` for an append.
    pub(super) fn before_write(
        &mut self,
        handle: Handle,
        size: u64,
        offset: Option<u64>,
        len: u64,
    ) -> Result<Growth, Refusal> {
        let offset = offset.unwrap_or(size);
        let end = offset.checked_add(len).ok_or(Refusal::NoSpace)?;
        self.space.check_bytes(if len == 0 { 0 } else { end.saturating_sub(size) })?;
        if len > 0 {
            // Behind the end there is a hole from the end on.
            self.note_bytes(handle, offset.min(size), end)?;
        }
        Ok(Growth { offset, size_before: size })
    }

    /// After `len` of them were written.
    pub(super) fn wrote(&mut self, growth: Growth, len: u64) {
        let end = growth.offset.saturating_add(len);
        if len > 0 {
            self.space.resized(growth.size_before, growth.size_before.max(end));
        }
    }

    /// Before a file is cut or extended.
    pub(super) fn before_resize(&mut self, handle: Handle, before: u64, after: u64) -> Result<(), Refusal> {
        self.space.check_bytes(after.saturating_sub(before))?;
        self.note_bytes(handle, before.min(after), before.max(after))
    }

    /// After it was.
    pub(super) fn resized(&mut self, before: u64, after: u64) {
        self.space.resized(before, after);
    }

    /// Before a directory is made.
    pub(super) fn before_create_dir(&mut self, at: Handle, path: &str) -> Result<(), Refusal> {
        let path = self.new_entry(at, path)?;
        self.space.check_file()?;
        self.touched.note(&path);
        Ok(())
    }

    /// Before a link is made. Only relative ones that stay in the session are.
    pub(super) fn before_link(&mut self, target: &str, at: Handle, path: &str) -> Result<(), Refusal> {
        let path = self.new_entry(at, path)?;
        resolve::check_text(target)?;
        if !path.leads_inside(target) {
            return Err(Refusal::Outside);
        }
        self.space.check_file()?;
        self.touched.note(&path);
        self.has_links = true;
        Ok(())
    }

    /// After a directory or a link was made.
    pub(super) fn created(&mut self) {
        self.space.added();
    }

    /// Before a file, link or directory is removed.
    pub(super) fn before_remove(&mut self, at: Handle, path: &str) -> Result<Removal, Refusal> {
        let path = self.entry(at, path)?;
        let bytes = self.look(&path)?.as_ref().map(bytes_of);
        self.touched.note(&path);
        Ok(Removal { path, bytes })
    }

    /// After it was.
    pub(super) fn removed(&mut self, removal: Removal) {
        let Some(bytes) = removal.bytes else { return };
        let was = Place::At(removal.path);
        if !self.open.values().any(|place| *place == was) {
            self.space.removed(bytes);
            return;
        }
        // Still on the disk, as long as somebody has it open.
        let orphan = Place::Orphan(self.next_orphan);
        self.next_orphan += 1;
        for place in self.open.values_mut().filter(|place| **place == was) {
            place.clone_from(&orphan);
        }
    }

    /// Before an entry is moved, perhaps over another.
    pub(super) fn before_rename(
        &mut self,
        at: Handle,
        path: &str,
        to_at: Handle,
        to_path: &str,
    ) -> Result<Renaming, Refusal> {
        let from = self.entry(at, path)?;
        let to = self.entry(to_at, to_path)?;
        let is_dir = self.look(&from)?.is_some_and(|found| found.is_dir());
        if is_dir {
            room::check_deeper(self.root.dir(), &from, &to)?;
        }
        let bytes = if from == to { None } else { self.look(&to)?.as_ref().map(bytes_of) };
        self.touched.note(&from);
        self.touched.note(&to);
        Ok(Renaming { from, replaced: Removal { path: to, bytes } })
    }

    /// After it was.
    pub(super) fn renamed(&mut self, renaming: Renaming) {
        let Renaming { from, replaced } = renaming;
        let to = replaced.path.clone();
        if from == to {
            return;
        }
        self.removed(replaced);
        for place in self.open.values_mut() {
            if let Place::At(path) = place
                && path.is_within(&from)
            {
                let moved = format!("{to}{}", &path.as_str()[from.as_str().len()..]);
                *path = SessionPath::parse(&moved).expect("the rename was refused if a path beneath became too long");
            }
        }
    }

    /// Before the times of a file or directory are set by its path.
    pub(super) fn before_times_at(&mut self, at: Handle, path: &str, last: Last) -> Result<(), Refusal> {
        match self.resolve(at, path, last)? {
            Some(path) => self.note_times(&path),
            None => Ok(()),
        }
    }

    /// Before those of an open one are set.
    pub(super) fn before_times(&mut self, handle: Handle) -> Result<(), Refusal> {
        match self.open.get(&handle).ok_or(Refusal::BadDescriptor)?.clone() {
            Place::Root | Place::Orphan(_) => Ok(()),
            Place::At(path) => self.note_times(&path),
        }
    }

    fn note_times(&mut self, path: &SessionPath) -> Result<(), Refusal> {
        match self.look(path)? {
            Some(found) if found.is_file() || found.is_dir() => self.touched.note_bytes(path, 0, 0),
            Some(_) => self.touched.note(path),
            None => {}
        }
        Ok(())
    }

    fn note_bytes(&mut self, handle: Handle, from: u64, to: u64) -> Result<(), Refusal> {
        if let Place::At(path) = self.open.get(&handle).ok_or(Refusal::BadDescriptor)? {
            self.touched.note_bytes(path, from, to);
        }
        Ok(())
    }

    /// Whether the guest has a file or directory open, besides the one that it
    /// was given.
    pub(in crate::engine) fn has_open(&self) -> bool {
        self.open.values().any(|place| *place != Place::Root)
    }

    /// Everything so far was committed: notes begin anew.
    pub(in crate::engine) fn kept(&mut self) {
        self.touched = Touched::nowhere();
    }

    /// Everything so far was undone, and so the directory holds `held`. Nothing
    /// may be open.
    pub(in crate::engine) fn undone(&mut self, held: Usage) {
        self.touched = Touched::nowhere();
        self.space.holds(held);
    }

    fn hold(&mut self, place: Place) -> Handle {
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        self.open.insert(handle, place);
        handle
    }

    fn resolve(&self, at: Handle, path: &str, last: Last) -> Result<Option<SessionPath>, Refusal> {
        let base = match self.open.get(&at).ok_or(Refusal::BadDescriptor)? {
            Place::Root => None,
            Place::At(base) => Some(base),
            // Nothing can be in a directory that was removed.
            Place::Orphan(_) => return Err(Refusal::NoEntry),
        };
        Tree { dir: self.root.dir(), has_links: self.has_links }.resolve(base, path, last)
    }

    /// An entry that is to be changed itself, not what it may point to.
    fn entry(&self, at: Handle, path: &str) -> Result<SessionPath, Refusal> {
        self.resolve(at, path, Last::Keep)?.ok_or(Refusal::Root)
    }

    /// An entry that is to be made.
    fn new_entry(&self, at: Handle, path: &str) -> Result<SessionPath, Refusal> {
        self.resolve(at, path, Last::Keep)?.ok_or(Refusal::Exists)
    }

    /// What is there, without following a link.
    fn look(&self, path: &SessionPath) -> Result<Option<Metadata>, Refusal> {
        match self.root.dir().symlink_metadata(path.as_str()) {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(_) => Err(Refusal::Io),
        }
    }
}

/// What a bytes-counted entry holds: only regular files count.
fn bytes_of(found: &Metadata) -> u64 {
    if found.is_file() { found.len() } else { 0 }
}

#[cfg(test)]
mod tests;
