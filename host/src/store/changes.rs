//! From a working copy into the truth: what one job changed.
//!
//! Comes in: the paths that the guard noted, each standing for all beneath it.
//! Goes out: a list of rows to write, collected before the writer is asked for
//! anything, so that reading and hashing files holds up nobody else.
//!
//! Promise: only regular files, directories and relative links are ever taken
//! over, and no link is followed on the way to them. A piece of a file that is
//! as it was is not written again. Memory is bounded: what does not fit is read
//! again when the writer comes to it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use crate::limits::CHUNK_BYTES;
use crate::limits::COMMIT_MEMORY_BYTES;
use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::model::session::Usage;
use crate::store::chunks;
use crate::store::chunks::Content;
use crate::store::chunks::Hash;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::nodes;
use crate::store::nodes::EntryKind;
use crate::store::nodes::NewNode;
use crate::store::nodes::Node;
use crate::store::puts;
use crate::store::readers::Readers;
use crate::store::tree;
use crate::store::tree::Found;
use crate::store::tree::Seen;

const CONTEXT: &str = "read what a job changed";

/// What a job changed, as rows to write.
pub(super) struct Changes {
    /// Numbers of nodes that are no more.
    removed: Vec<i64>,
    written: Vec<Written>,
    /// What the session holds afterwards.
    pub(super) usage: Usage,
}

struct Written {
    node: NewNode,
    /// The number of the node that this takes the place of.
    old: Option<i64>,
    /// Of a file.
    content: Content,
    old_hashes: Vec<Hash>,
    /// Pieces that differ, as far as they fit into memory.
    pieces: BTreeMap<usize, Vec<u8>>,
}

/// Finds out what differs between a working copy and the truth at `changed`.
pub(super) fn collect(
    readers: &Readers,
    session: &Session,
    root: &OwnedFd,
    changed: &BTreeSet<SessionPath>,
) -> Result<Changes, StoreError> {
    let changes = Changes::none(session.usage);
    let mut collector =
        Collector { readers, session, changes, memory_left: COMMIT_MEMORY_BYTES, sound: BTreeSet::new() };
    let mut done: BTreeSet<SessionPath> = BTreeSet::new();
    for path in changed {
        let top = collector.top_of(root, path)?;
        // Ancestors sort before what lies beneath them, so `done` has them by now.
        if !done.contains(&top) && !top.ancestors().any(|above| done.contains(&above)) {
            collector.visit_top(root, &top)?;
            done.insert(top);
        }
    }
    puts::must_fit(session, collector.changes.usage)?;
    Ok(collector.changes)
}

struct Collector<'a> {
    readers: &'a Readers,
    session: &'a Session,
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
            let there = self.readers.with(|db| nodes::at(db, self.session.key, &above))?;
            let there = there.is_some_and(|node| node.kind == EntryKind::Directory);
            if !(here && there) {
                return Ok(above);
            }
            self.sound.insert(above);
        }
        Ok(path.clone())
    }

    fn visit_top(&mut self, root: &OwnedFd, top: &SessionPath) -> Result<(), StoreError> {
        let old = self.readers.with(|db| nodes::within(db, self.session.key, Some(top)))?;
        let mut old: BTreeMap<_, _> = old.into_iter().map(|node| (node.path.clone(), node)).collect();
        if let Some(parent) = tree::open_parent(root, top).map_err(StoreError::io(CONTEXT))? {
            self.visit(&parent, top, &mut old)?;
        }
        // Whatever the walk did not come across is gone.
        for node in old.into_values() {
            puts::replace(&mut self.changes.usage, Some(&node), None);
            self.changes.removed.push(node.id);
        }
        Ok(())
    }

    /// Takes over what lies at `path`, and takes its node out of `old`. Goes one
    /// call deeper per directory; paths are bounded in depth.
    fn visit(
        &mut self,
        parent: &OwnedFd,
        path: &SessionPath,
        old: &mut BTreeMap<SessionPath, Node>,
    ) -> Result<(), StoreError> {
        let found = tree::look_in(parent, tree::name_of(path)).map_err(StoreError::io(CONTEXT))?;
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

    /// A directory or a link. A node of another kind goes, with its pieces.
    fn plain(&mut self, node: NewNode, before: Option<Node>) {
        puts::replace(&mut self.changes.usage, before.as_ref(), Some(&node));
        let same = |before: &Node| before.kind == node.kind && before.target == node.target;
        if node.kind == EntryKind::Directory && before.as_ref().is_some_and(same) {
            return;
        }
        let old = self.keep_number(before, node.kind).map(|node| node.id);
        let (content, old_hashes, pieces) = Default::default();
        self.changes.written.push(Written { node, old, content, old_hashes, pieces });
    }

    fn file(
        &mut self,
        file: File,
        path: &SessionPath,
        modified_ns: i64,
        before: Option<Node>,
    ) -> Result<(), StoreError> {
        let old_hashes = match &before {
            Some(before) if before.kind == EntryKind::File => self.readers.with(|db| chunks::hashes(db, before.id))?,
            _ => Vec::new(),
        };
        let (content, pieces) = self.read(file, &old_hashes).map_err(StoreError::io(CONTEXT))?;
        let (path, hash) = (path.clone(), content.hash());
        let node = NewNode { path, kind: EntryKind::File, size: content.size, modified_ns, hash, target: None };
        puts::replace(&mut self.changes.usage, before.as_ref(), Some(&node));
        let old = self.keep_number(before, EntryKind::File);
        // Opened for writing and not written to.
        if old.as_ref().is_some_and(|old| old.hash == hash && old.modified_ns == modified_ns) {
            return Ok(());
        }
        let old = old.map(|old| old.id);
        self.changes.written.push(Written { node, old, content, old_hashes, pieces });
        Ok(())
    }

    /// The node whose number the new one takes over; one of another kind goes.
    fn keep_number(&mut self, before: Option<Node>, kind: EntryKind) -> Option<Node> {
        let before = before?;
        if before.kind == kind {
            return Some(before);
        }
        self.changes.removed.push(before.id);
        None
    }

    /// Reads a file to its end. Keeps the pieces that differ, if all of them fit.
    fn read(&mut self, mut file: File, old: &[Hash]) -> io::Result<(Content, BTreeMap<usize, Vec<u8>>)> {
        let mut content = Content::default();
        let mut pieces = BTreeMap::new();
        let (mut fits, mut taken) = (true, 0);
        let mut buffer = Vec::with_capacity(CHUNK_BYTES);
        loop {
            buffer.clear();
            if file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut buffer)? == 0 {
                break;
            }
            let (index, hash) = (content.hashes.len(), chunks::hash(&buffer));
            if fits && old.get(index) != Some(&hash) {
                taken += buffer.len();
                fits = taken <= self.memory_left;
                pieces.insert(index, buffer.clone());
            }
            content.hashes.push(hash);
            content.size += buffer.len() as u64;
        }
        if fits {
            self.memory_left -= taken;
        } else {
            pieces.clear();
        }
        Ok((content, pieces))
    }
}

impl Changes {
    /// No change to a session that holds as much as `usage` says.
    pub(super) fn none(usage: Usage) -> Changes {
        Changes { removed: Vec::new(), written: Vec::new(), usage }
    }

    /// Whether no file, directory or link differs.
    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.written.is_empty()
    }

    /// Writes everything; `root` is asked for what did not fit into memory.
    pub(super) fn write(&self, db: &Connection, session: &Session, root: &OwnedFd) -> Result<(), StoreError> {
        // First what goes: a path may be given to something of another kind.
        for id in &self.removed {
            nodes::delete(db, *id)?;
        }
        for written in &self.written {
            let id = nodes::store(db, session.key, written.old, &written.node)?;
            let mut again = None;
            chunks::store(db, id, &written.old_hashes, &written.content, |index| {
                if let Some(piece) = written.pieces.get(&index) {
                    return Ok(Cow::Borrowed(piece.as_slice()));
                }
                let file = match &mut again {
                    Some(file) => file,
                    again => again.insert(open_again(root, &written.node.path)?),
                };
                read_piece(file, written.content.size, index).map(Cow::Owned).map_err(StoreError::io(CONTEXT))
            })?;
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

fn read_piece(file: &File, size: u64, index: usize) -> io::Result<Vec<u8>> {
    let from = index as u64 * CHUNK_BYTES as u64;
    let length = size.saturating_sub(from).min(CHUNK_BYTES as u64);
    let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut piece, from)?;
    Ok(piece)
}
