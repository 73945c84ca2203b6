//! From the truth into a working copy: all of a session, or single paths of it.
//!
//! Promise: afterwards the copy is, at those paths, what the database says: each
//! name, kind, byte and time. (Times of directories are not restored.)

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use rusqlite::Connection;

use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::store::chunks;
use crate::store::copies::Copies;
use crate::store::copies::Copy;
use crate::store::error::StoreError;
use crate::store::janitor;
use crate::store::nodes;
use crate::store::nodes::EntryKind;
use crate::store::nodes::Node;
use crate::store::tree;

const CONTEXT: &str = "write a working copy";

/// Brings a session's working copy up to date, or makes one.
pub(super) fn bring_up(
    db: &Connection,
    copies: &Copies,
    session: &Session,
    tree_version: u64,
) -> Result<(Copy, OwnedFd), StoreError> {
    if let Some(mut copy) = copies.take(session.key).filter(|copy| copy.tree_version == tree_version) {
        match mend(db, session, &copy) {
            Ok(open) => {
                copy.mends.clear();
                return Ok((copy, open));
            }
            // Anything may have happened to it; the truth is elsewhere.
            Err(error) => tracing::warn!(%error, "a working copy is made anew"),
        }
    }
    let (dir, open) = copies.make(session.usage).map_err(StoreError::io(CONTEXT))?;
    let (dir, open) = match fill(db, session, &open) {
        Err(StoreError::Full) => {
            drop(dir);
            let (dir, open) = copies.make_on_disk(session.usage).map_err(StoreError::io(CONTEXT))?;
            fill(db, session, &open)?;
            (dir, open)
        }
        filled => filled.map(|()| (dir, open))?,
    };
    Ok((Copy { dir, tree_version, mends: BTreeSet::new() }, open))
}

/// Writes all of a session into an empty directory.
fn fill(db: &Connection, session: &Session, root: &OwnedFd) -> Result<(), StoreError> {
    let nodes = nodes::within(db, session.key, None)?;
    write_all(db, root, &nodes)
}

/// Restores the paths at which a copy is not what it should be.
fn mend(db: &Connection, session: &Session, copy: &Copy) -> Result<OwnedFd, StoreError> {
    let root = copy.dir.open().map_err(StoreError::io(CONTEXT))?;
    for path in &copy.mends {
        // What lies beneath a path is restored with it.
        if !path.ancestors().any(|above| copy.mends.contains(&above)) {
            clear(&root, path).map_err(StoreError::io(CONTEXT))?;
            write_all(db, &root, &nodes::within(db, session.key, Some(path))?)?;
        }
    }
    Ok(root)
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
    Ok(())
}

fn write(db: &Connection, parent: &OwnedFd, node: &Node) -> Result<(), StoreError> {
    let name = tree::name_of(&node.path);
    match node.kind {
        EntryKind::Directory => tree::make_dir(parent, name).map(|_| ()).map_err(StoreError::io(CONTEXT)),
        EntryKind::Link => {
            let target = node.target.as_deref().unwrap_or_default();
            let made = rustix::fs::symlinkat(target, parent, name).map_err(io::Error::from);
            made.map_err(StoreError::io(CONTEXT))
        }
        EntryKind::File => {
            let mut file = tree::make_file(parent, name).map_err(StoreError::io(CONTEXT))?;
            chunks::copy_to(db, node.id, &mut file)?;
            tree::set_modified(&file, node.modified_ns).map_err(StoreError::io(CONTEXT))
        }
    }
}
