//! From the truth into a working copy: all of a session, or single places of it.
//!
//! Promise: afterwards the copy is, at those places, what the database says: each
//! name, kind, byte and time.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use crate::limits::CHUNK_BYTES;
use crate::model::entry::EntryKind;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::model::touched::Extent;
use crate::model::touched::Pieces;
use crate::model::touched::Places;
use crate::root::Root;
use crate::store::chunks;
use crate::store::chunks::Bytes;
use crate::store::copies::Copies;
use crate::store::copies::Copy;
use crate::store::error::StoreError;
use crate::store::janitor;
use crate::store::nodes;
use crate::store::nodes::Node;
use crate::store::nodes::View;
use crate::store::tip::Tip;
use crate::store::tree;

const CONTEXT: &str = "write a working copy";

/// A session's working copy, if there is one that is as it should be.
pub(super) fn current(copies: &Copies, session: SessionKey, tip: &Tip) -> Option<(Copy, Root)> {
    let mut copy = copies.take_current(session, tip.tree_version)?;
    if let Some(root) = copy.root.take() {
        return Some((copy, root));
    }
    match copy.dir.open().and_then(Root::new) {
        Ok(root) => Some((copy, root)),
        Err(error) => {
            tracing::warn!(%error, "a working copy is made anew");
            None
        }
    }
}

/// Brings a session's working copy up to date, or makes one.
pub(super) fn bring_up(
    db: &Connection,
    copies: &Copies,
    session: SessionKey,
    tip: &Tip,
) -> Result<(Copy, Root), StoreError> {
    let ready = |open| Root::new(open).map_err(StoreError::io(CONTEXT));
    if let Some(mut copy) = copies.take(session).filter(|copy| copy.tree_version == tip.tree_version) {
        match mend(db, session, &mut copy) {
            Ok(open) => return Ok((copy, ready(open)?)),
            // Anything may have happened to it; the truth is elsewhere.
            Err(error) => tracing::warn!(%error, "a working copy is made anew"),
        }
    }
    let (dir, open) = copies.make(tip.usage).map_err(StoreError::io(CONTEXT))?;
    let (dir, open) = match fill(db, session, &open) {
        Err(StoreError::Full) => {
            drop(dir);
            let (dir, open) = copies.make_on_disk(tip.usage).map_err(StoreError::io(CONTEXT))?;
            fill(db, session, &open)?;
            (dir, open)
        }
        filled => filled.map(|()| (dir, open))?,
    };
    Ok((Copy { dir, tree_version: tip.tree_version, mends: Places::new(), root: None }, ready(open)?))
}

/// Writes all of a session into an empty directory.
fn fill(db: &Connection, session: SessionKey, root: &OwnedFd) -> Result<(), StoreError> {
    write_all(db, root, &nodes::all(db, session)?)
}

/// Restores the places at which a copy is not what it should be. Gives its root.
pub(super) fn mend(db: &Connection, session: SessionKey, copy: &mut Copy) -> Result<OwnedFd, StoreError> {
    let root = copy.dir.open().map_err(StoreError::io(CONTEXT))?;
    let is_whole = |path: &SessionPath| copy.mends.get(path) == Some(&Extent::Whole);
    for (path, extent) in &copy.mends {
        // What lies beneath a path is restored with it.
        if path.ancestors().any(|above| is_whole(&above)) {
            continue;
        }
        match extent {
            Extent::Pieces(pieces) if patch(db, session, &root, path, pieces)? => {}
            Extent::Pieces(_) | Extent::Whole => {
                clear(&root, path).map_err(StoreError::io(CONTEXT))?;
                write_all(db, &root, &nodes::within(db, session, path)?)?;
            }
        }
    }
    let above: BTreeSet<_> = copy.mends.keys().filter_map(SessionPath::parent).collect();
    above.iter().try_for_each(|path| restore_time(db, session, &root, path))?;
    copy.mends.clear();
    Ok(root)
}

/// Gives a directory its time, if it is one.
fn restore_time(db: &Connection, session: SessionKey, root: &OwnedFd, path: &SessionPath) -> Result<(), StoreError> {
    let Some(node) = nodes::at(db, session, path, View::Tip)? else { return Ok(()) };
    if node.kind == EntryKind::Directory
        && let Some(parent) = tree::open_parent(root, path).map_err(StoreError::io(CONTEXT))?
    {
        let name = tree::name_of(path);
        tree::set_modified_at(&parent, name, node.modified_ns).map_err(StoreError::io(CONTEXT))?;
    }
    Ok(())
}

/// Restores the pieces of a file that was changed in place, or the time of a
/// directory. `false` if there is none, and nothing was done.
fn patch(
    db: &Connection,
    session: SessionKey,
    root: &OwnedFd,
    path: &SessionPath,
    pieces: &Pieces,
) -> Result<bool, StoreError> {
    let node = nodes::at(db, session, path, View::Tip)?;
    if node.as_ref().is_some_and(|node| node.kind == EntryKind::Directory) {
        return restore_time(db, session, root, path).map(|()| true);
    }
    let node = node.filter(|node| node.kind == EntryKind::File);
    let file = tree::open_for_writing(root, path).map_err(StoreError::io(CONTEXT))?;
    let (Some(node), Some(file)) = (node, file) else { return Ok(false) };
    file.set_len(node.size).map_err(StoreError::io(CONTEXT))?;
    for index in pieces.below(chunks::count(node.size)) {
        chunks::one(db, &node, index, |piece| match piece {
            Bytes::These(bytes) => file.write_all_at(bytes, index * CHUNK_BYTES as u64),
            Bytes::Zeros(count) => file.write_all_at(&vec![0; count], index * CHUNK_BYTES as u64),
        })?;
    }
    tree::set_modified(&file, node.modified_ns).map_err(StoreError::io(CONTEXT))?;
    Ok(true)
}

/// Takes away whatever lies at a path.
fn clear(root: &OwnedFd, path: &SessionPath) -> io::Result<()> {
    let Some(parent) = tree::open_parent(root, path)? else { return Ok(()) };
    let name = CString::new(tree::name_of(path)).map_err(io::Error::other)?;
    janitor::remove_tree(root, &parent, &name)
}

/// Writes nodes, each directory before what it holds.
fn write_all(db: &Connection, root: &OwnedFd, nodes: &[Node]) -> Result<(), StoreError> {
    // The directory of the last node: most neighbours lie in the same.
    let mut last: Option<(Option<SessionPath>, OwnedFd)> = None;
    for node in nodes {
        let above = node.path.parent();
        let parent = match last {
            Some((path, open)) if path == above => open,
            _ => tree::open_parent(root, &node.path)
                .and_then(|parent| parent.ok_or(io::ErrorKind::NotFound.into()))
                .map_err(StoreError::io(CONTEXT))?,
        };
        write(db, &parent, node)?;
        last = Some((above, parent));
    }
    // Only now, since each thing that is made gives its directory another time.
    for node in nodes.iter().filter(|node| node.kind == EntryKind::Directory) {
        let parent = tree::open_parent(root, &node.path).map_err(StoreError::io(CONTEXT))?;
        let parent = parent.ok_or_else(|| StoreError::io(CONTEXT)(io::ErrorKind::NotFound.into()))?;
        tree::set_modified_at(&parent, tree::name_of(&node.path), node.modified_ns).map_err(StoreError::io(CONTEXT))?;
    }
    Ok(())
}

fn write(db: &Connection, parent: &OwnedFd, node: &Node) -> Result<(), StoreError> {
    let name = tree::name_of(&node.path);
    match node.kind {
        EntryKind::Directory => tree::make_dir(parent, name).map(|_| ()).map_err(StoreError::io(CONTEXT)),
        EntryKind::Link => {
            let target = node.target.as_deref().unwrap_or_default();
            let made = rustix::fs::symlinkat(target, parent, name).map_err(io::Error::from);
            made.and_then(|()| tree::set_modified_at(parent, name, node.modified_ns)).map_err(StoreError::io(CONTEXT))
        }
        EntryKind::File => {
            let mut file = tree::make_file(parent, name).map_err(StoreError::io(CONTEXT))?;
            chunks::each(db, node, View::Tip, |piece| match piece {
                Bytes::These(bytes) => file.write_all(bytes),
                // Left out: a hole reads as zeros.
                Bytes::Zeros(count) => file.seek_relative(i64::try_from(count).unwrap_or(i64::MAX)),
            })?;
            file.set_len(node.size).map_err(StoreError::io(CONTEXT))?;
            tree::set_modified(&file, node.modified_ns).map_err(StoreError::io(CONTEXT))
        }
    }
}
