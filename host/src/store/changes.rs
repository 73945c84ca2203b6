//! From a working copy into the truth: what one job changed.
//!
//! Comes in: the places that the guard noted.
//! Goes out: a list of rows to write, collected before the writer is asked for
//! anything, so that reading and hashing files holds up nobody else.
//!
//! Promise: only regular files, directories and relative links are ever taken
//! over, and no link is followed on the way to them. Of a file that was changed
//! in place only the pieces that were touched are read, and only those that
//! differ are written. Memory is bounded: what does not fit is read again when
//! the writer comes to it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use crate::limits::CHUNK_BYTES;
use crate::limits::COMMIT_MEMORY_BYTES;
use crate::model::entry::EntryKind;
use crate::model::history::Change;
use crate::model::history::FileChange;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::session::Usage;
use crate::model::touched::Extent;
use crate::model::touched::Pieces;
use crate::model::touched::Places;
use crate::store::chunks;
use crate::store::chunks::Hash;
use crate::store::edit::ContentIs;
use crate::store::edit::Edit;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::moves;
use crate::store::nodes;
use crate::store::nodes::NewNode;
use crate::store::nodes::Node;
use crate::store::nodes::View;
use crate::store::puts;
use crate::store::readers::Looks;
use crate::store::tree;
use crate::store::tree::Found;
use crate::store::tree::Seen;

const CONTEXT: &str = "read what a job changed";

/// What a job changed, as rows to write.
pub(super) struct Changes {
    pub(super) removed: Vec<Node>,
    pub(super) written: Vec<Written>,
    /// Files that lay elsewhere before.
    pub(super) moved: Vec<(Node, NewNode)>,
    /// What the session holds afterwards.
    pub(super) usage: Usage,
}

pub(super) struct Written {
    pub(super) node: NewNode,
    /// What this takes the place of.
    pub(super) old: Option<Node>,
    /// Of a file, those that differ.
    pub(super) pieces: Vec<Piece>,
    /// How many pieces the file has, and had.
    counts: (u64, u64),
}

pub(super) struct Piece {
    index: u64,
    pub(super) hash: Hash,
    /// None, if they did not fit into memory.
    bytes: Option<Vec<u8>>,
}

/// Finds out what differs between a working copy and the truth at some places.
pub(super) fn collect(
    looks: Looks<'_>,
    session: SessionKey,
    (limits, before): (SessionLimits, Usage),
    root: &OwnedFd,
    changed: &Places,
) -> Result<Changes, StoreError> {
    let changes = Changes::none(before);
    let mut collector = Collector { looks, session, changes, memory_left: COMMIT_MEMORY_BYTES, sound: BTreeSet::new() };
    let mut done: BTreeSet<SessionPath> = BTreeSet::new();
    let mut patched: BTreeSet<&SessionPath> = BTreeSet::new();
    for (path, extent) in changed {
        let top = collector.top_of(root, path)?;
        // Ancestors sort before what lies beneath them, so `done` has them by now.
        if done.contains(&top) || top.ancestors().any(|above| done.contains(&above)) {
            continue;
        }
        // A guest may have tried in vain to make something beneath a file.
        if patched.contains(&top) {
            continue;
        }
        match extent {
            Extent::Pieces(pieces) if top == *path && collector.patch(root, path, pieces)? => {
                patched.insert(path);
            }
            Extent::Pieces(_) | Extent::Whole => {
                collector.visit_top(root, &top)?;
                done.insert(top);
            }
        }
    }
    collector.times_above(root, &done)?;
    moves::find(looks, &mut collector.changes)?;
    puts::must_fit(limits, before, collector.changes.usage)?;
    Ok(collector.changes)
}

struct Collector<'a> {
    looks: Looks<'a>,
    session: SessionKey,
    changes: Changes,
    memory_left: usize,
    /// Paths that are known to be directories both here and there.
    sound: BTreeSet<SessionPath>,
}

impl Collector<'_> {
    /// The outermost path at or above `path` that is not a directory both here and
    /// there: a guest that replaced a directory may have been noted only for what
    /// lay in it.
    fn top_of(&mut self, root: &OwnedFd, path: &SessionPath) -> Result<SessionPath, StoreError> {
        for above in path.ancestors() {
            if self.sound.contains(&above) {
                continue;
            }
            let here = tree::look(root, &above).map_err(StoreError::io(CONTEXT))?;
            let here = here.is_some_and(|found| matches!(found.seen, Seen::Directory));
            let there = self.looks.with(|db| nodes::at(db, self.session, &above, View::Tip))?;
            let there = there.is_some_and(|node| node.kind == EntryKind::Directory);
            if !(here && there) {
                return Ok(above);
            }
            self.sound.insert(above);
        }
        Ok(path.clone())
    }

    fn visit_top(&mut self, root: &OwnedFd, top: &SessionPath) -> Result<(), StoreError> {
        let old = self.looks.with(|db| nodes::within(db, self.session, top))?;
        let mut old: BTreeMap<_, _> = old.into_iter().map(|node| (node.path.clone(), node)).collect();
        if let Some(parent) = tree::open_parent(root, top).map_err(StoreError::io(CONTEXT))? {
            self.visit(&parent, top, &mut old)?;
        }
        // Whatever the walk did not come across is gone.
        for node in old.into_values() {
            puts::replace(&mut self.changes.usage, Some(&node), None);
            self.changes.removed.push(node);
        }
        Ok(())
    }

    /// The times of directories in which something was made or taken away.
    fn times_above(&mut self, root: &OwnedFd, tops: &BTreeSet<SessionPath>) -> Result<(), StoreError> {
        let above: BTreeSet<_> = tops.iter().filter_map(SessionPath::parent).collect();
        for path in above.difference(tops) {
            if let Some(found) = tree::look(root, path).map_err(StoreError::io(CONTEXT))? {
                self.time_of(path, found.modified_ns)?;
            }
        }
        Ok(())
    }

    /// The time of a directory that was there before; `false` if it was not.
    fn time_of(&mut self, path: &SessionPath, modified_ns: i64) -> Result<bool, StoreError> {
        let before = self.looks.with(|db| nodes::at(db, self.session, path, View::Tip))?;
        let Some(before) = before.filter(|before| before.kind == EntryKind::Directory) else { return Ok(false) };
        self.plain(NewNode::directory(path.clone(), modified_ns), Some(before));
        Ok(true)
    }

    /// Takes over the pieces of a file that was changed in place, or the time of a
    /// directory. `false` if there is none, and nothing was done.
    fn patch(&mut self, root: &OwnedFd, path: &SessionPath, pieces: &Pieces) -> Result<bool, StoreError> {
        let Some(found) = tree::look(root, path).map_err(StoreError::io(CONTEXT))? else { return Ok(false) };
        let modified_ns = found.modified_ns;
        let file = match found.seen {
            Seen::File(file) => file,
            Seen::Directory => return self.time_of(path, modified_ns),
            Seen::Link { .. } => return Ok(false),
        };
        let before = self.looks.with(|db| nodes::at(db, self.session, path, View::Tip))?;
        let Some(before) = before.filter(|before| before.kind == EntryKind::File) else { return Ok(false) };
        let size = file.metadata().map_err(StoreError::io(CONTEXT))?.len();
        let mut touched = pieces.clone();
        // A file of another size has another last piece, wherever it was written to.
        if size != before.size {
            touched.add_bytes(size.min(before.size).saturating_sub(1), size);
        }
        let count = chunks::count(size);
        let mut differing = Vec::new();
        for index in touched.below(count) {
            let old = self.looks.with(|db| chunks::hash_of(db, self.session, before.file, index))?;
            let bytes = read_piece(&file, size, index).map_err(StoreError::io(CONTEXT))?;
            differing.extend(self.differing(index, old.as_ref(), bytes));
        }
        let counts = (count, chunks::count(before.size));
        self.wrote(NewNode::file(path.clone(), size, modified_ns), Some(before), differing, counts);
        Ok(true)
    }

    /// Takes over what lies at `path`, and takes its node out of `old`. Goes one
    /// call deeper per directory; paths are bounded in depth.
    fn visit(
        &mut self,
        parent: &OwnedFd,
        path: &SessionPath,
        old: &mut BTreeMap<SessionPath, Node>,
    ) -> Result<(), StoreError> {
        let found = tree::look_or_remove(parent, tree::name_of(path)).map_err(StoreError::io(CONTEXT))?;
        let Some(Found { seen, modified_ns }) = found else { return Ok(()) };
        let before = old.remove(path);
        match seen {
            Seen::File(file) => self.file(file, path, modified_ns, before),
            Seen::Link { target } => {
                self.plain(NewNode::link(path.clone(), modified_ns, target), before);
                Ok(())
            }
            Seen::Directory => {
                self.plain(NewNode::directory(path.clone(), modified_ns), before);
                let dir = tree::open_dir(parent, tree::name_of(path)).map_err(StoreError::io(CONTEXT))?;
                for name in tree::names(&dir).map_err(StoreError::io(CONTEXT))? {
                    // WASI takes text only, so no guest made a name that is not text.
                    let Ok(name) = name.to_str() else { continue };
                    let inner = SessionPath::parse(&format!("{path}/{name}")).map_err(Refused::from)?;
                    self.visit(&dir, &inner, old)?;
                }
                Ok(())
            }
        }
    }

    /// A directory or a link.
    fn plain(&mut self, node: NewNode, before: Option<Node>) {
        let same = |before: &Node| {
            before.kind == node.kind && before.target == node.target && before.modified_ns == node.modified_ns
        };
        if before.as_ref().is_some_and(same) {
            return;
        }
        puts::replace(&mut self.changes.usage, before.as_ref(), Some(&node));
        self.changes.written.push(Written { node, old: before, pieces: Vec::new(), counts: (0, 0) });
    }

    /// A file that may be different in every piece.
    fn file(
        &mut self,
        file: File,
        path: &SessionPath,
        modified_ns: i64,
        before: Option<Node>,
    ) -> Result<(), StoreError> {
        let old = match &before {
            Some(before) if before.kind == EntryKind::File => {
                self.looks.with(|db| chunks::hashes(db, self.session, before.file))?
            }
            _ => Vec::new(),
        };
        let size = file.metadata().map_err(StoreError::io(CONTEXT))?.len();
        let count = chunks::count(size);
        let mut differing = Vec::new();
        for index in 0..count {
            let bytes = read_piece(&file, size, index).map_err(StoreError::io(CONTEXT))?;
            let old = usize::try_from(index).ok().and_then(|index| old.get(index));
            differing.extend(self.differing(index, old, bytes));
        }
        self.wrote(NewNode::file(path.clone(), size, modified_ns), before, differing, (count, old.len() as u64));
        Ok(())
    }

    fn wrote(&mut self, node: NewNode, old: Option<Node>, pieces: Vec<Piece>, counts: (u64, u64)) {
        puts::replace(&mut self.changes.usage, old.as_ref(), Some(&node));
        let is_same = |old: &Node| {
            old.kind == node.kind && old.size == node.size && old.modified_ns == node.modified_ns && pieces.is_empty()
        };
        // One that was opened for writing and not written to is as it was.
        if !old.as_ref().is_some_and(is_same) {
            self.changes.written.push(Written { node, old, pieces, counts });
        }
    }

    /// A piece, if it differs from the one on record.
    fn differing(&mut self, index: u64, old: Option<&Hash>, bytes: Vec<u8>) -> Option<Piece> {
        let hash = chunks::hash(&bytes);
        if old == Some(&hash) {
            return None;
        }
        let fits = bytes.len() <= self.memory_left;
        if fits {
            self.memory_left -= bytes.len();
        }
        Some(Piece { index, hash, bytes: fits.then_some(bytes) })
    }
}

impl Changes {
    /// No change to a session that holds as much as `usage` says.
    pub(super) fn none(usage: Usage) -> Changes {
        Changes { removed: Vec::new(), written: Vec::new(), moved: Vec::new(), usage }
    }

    /// Writes everything; `root` is asked for what did not fit into memory.
    pub(super) fn write(&self, edit: &mut Edit<'_>, root: &OwnedFd) -> Result<(), StoreError> {
        // First what goes: a directory may be a file now.
        for node in &self.removed {
            edit.remove(node)?;
        }
        for (from, to) in &self.moved {
            edit.rename(from, to)?;
        }
        for written in &self.written {
            written.write(edit, root)?;
        }
        edit.tip.usage = self.usage;
        Ok(())
    }

    /// Every path at which something differs, but for directories in which others do.
    pub(super) fn list(&self) -> Vec<FileChange> {
        let told = |path: &SessionPath, kind, change, size| FileChange { path: path.clone(), kind, change, size };
        let gone = self.removed.iter().chain(self.moved.iter().map(|(from, _)| from));
        let removed = gone.map(|node| told(&node.path, node.kind, Change::Deleted, node.size));
        let moved = self.moved.iter().map(|(_, node)| told(&node.path, node.kind, Change::Created, node.size));
        let is_dir = |kind| kind == EntryKind::Directory;
        let written = self.written.iter().filter_map(|Written { node, old, .. }| {
            let change = match old {
                Some(old) if is_dir(old.kind) && is_dir(node.kind) => return None,
                Some(_) => Change::Modified,
                None => Change::Created,
            };
            Some(told(&node.path, node.kind, change, node.size))
        });
        let mut all: Vec<_> = removed.chain(moved).chain(written).collect();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        all
    }
}

impl Written {
    fn write(&self, edit: &mut Edit<'_>, root: &OwnedFd) -> Result<(), StoreError> {
        let (count, old_count) = self.counts;
        let content = match &self.old {
            Some(old) if self.pieces.is_empty() && old.size == self.node.size && old.target == self.node.target => {
                ContentIs::Same
            }
            _ => ContentIs::Different,
        };
        let (file, _) = edit.node(self.old.as_ref(), &self.node, content)?;
        let mut again = None;
        for piece in &self.pieces {
            let bytes = match &piece.bytes {
                Some(bytes) => Cow::Borrowed(bytes),
                None => {
                    let open = match &mut again {
                        Some(open) => open,
                        again => again.insert(open_again(root, &self.node.path)?),
                    };
                    let bytes = read_piece(open, self.node.size, piece.index);
                    Cow::Owned(bytes.map_err(StoreError::io(CONTEXT))?)
                }
            };
            if piece.index < old_count {
                edit.replace_piece(file, piece.index, &piece.hash, &bytes)?;
            } else {
                edit.add_piece(file, piece.index, &piece.hash, &bytes)?;
            }
        }
        if old_count > count {
            edit.cut(file, count)?;
        }
        Ok(())
    }
}

fn open_again(root: &OwnedFd, path: &SessionPath) -> Result<File, StoreError> {
    match tree::look(root, path).map_err(StoreError::io(CONTEXT))?.map(|found| found.seen) {
        Some(Seen::File(file)) => Ok(file),
        Some(Seen::Directory | Seen::Link { .. }) | None => {
            Err(StoreError::Broken("a working copy changed while it was committed".to_owned()))
        }
    }
}

fn read_piece(file: &File, size: u64, index: u64) -> io::Result<Vec<u8>> {
    let from = index * CHUNK_BYTES as u64;
    let length = size.saturating_sub(from).min(CHUNK_BYTES as u64);
    let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut piece, from)?;
    Ok(piece)
}
