//! What lies in sessions, on record: files, directories and links.
//!
//! Promise: paths are compared byte by byte, and everything beneath a directory
//! is found as one range of them.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::store::chunks;
use crate::store::chunks::Hash;
use crate::store::error::StoreError;
use crate::store::rows;

/// What something in a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    Link,
}

impl EntryKind {
    const ALL: [EntryKind; 3] = [EntryKind::File, EntryKind::Directory, EntryKind::Link];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            EntryKind::File => "file",
            EntryKind::Directory => "directory",
            EntryKind::Link => "link",
        }
    }
}

/// A node as it is to be written.
#[derive(Clone, Debug)]
pub(super) struct NewNode {
    pub(super) path: SessionPath,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) modified_ns: i64,
    pub(super) hash: Hash,
    /// Of a link.
    pub(super) target: Option<String>,
}

impl NewNode {
    pub(super) fn directory(path: SessionPath, modified_ns: i64) -> NewNode {
        NewNode { path, kind: EntryKind::Directory, size: 0, modified_ns, hash: [0; 32], target: None }
    }

    pub(super) fn link(path: SessionPath, modified_ns: i64, target: String) -> NewNode {
        let hash = chunks::hash(target.as_bytes());
        NewNode { path, kind: EntryKind::Link, size: target.len() as u64, modified_ns, hash, target: Some(target) }
    }
}

/// A node on record.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The file, whatever its path.
    pub(super) id: i64,
    pub(super) path: SessionPath,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) modified_ns: i64,
    pub(super) hash: Hash,
    pub(super) target: Option<String>,
}

impl Node {
    /// What it counts for in the session's usage.
    pub(super) fn usage(&self) -> Usage {
        usage(self.kind, self.size)
    }

    pub(super) fn modified_at(&self) -> SystemTime {
        match u64::try_from(self.modified_ns) {
            Ok(since) => UNIX_EPOCH + Duration::from_nanos(since),
            Err(_) => UNIX_EPOCH - Duration::from_nanos(self.modified_ns.unsigned_abs()),
        }
    }

    /// Changes with the content.
    pub(super) fn etag(&self) -> String {
        etag(&self.hash)
    }
}

/// The entity tag of content with that hash.
pub(super) fn etag(hash: &Hash) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What one thing counts for in a session's usage.
pub(super) fn usage(kind: EntryKind, size: u64) -> Usage {
    match kind {
        EntryKind::File => Usage { bytes: size, files: 1 },
        EntryKind::Directory | EntryKind::Link => Usage { bytes: 0, files: 1 },
    }
}

/// The node at a path.
pub(super) fn at(db: &Connection, session: SessionKey, path: &SessionPath) -> Result<Option<Node>, StoreError> {
    let find = "SELECT * FROM node WHERE session = ?1 AND path = ?2";
    rows::one(db, find, params![session.0, path.as_str()], node)
}

/// The node at a path and all beneath it, each directory before what it holds;
/// all of the session without a path.
pub(super) fn within(
    db: &Connection,
    session: SessionKey,
    path: Option<&SessionPath>,
) -> Result<Vec<Node>, StoreError> {
    let Some(path) = path else {
        return rows::all(db, "SELECT * FROM node WHERE session = ?1 ORDER BY path", [session.0], node);
    };
    let mut found: Vec<_> = at(db, session, path)?.into_iter().collect();
    let (from, to) = beneath(path);
    let list = "SELECT * FROM node WHERE session = ?1 AND path > ?2 AND path < ?3 ORDER BY path";
    found.extend(rows::all(db, list, params![session.0, from, to], node)?);
    Ok(found)
}

/// Everything beneath a directory lies between these two, and nothing else does:
/// `0` is what follows `/`.
pub(super) fn beneath(path: &SessionPath) -> (String, String) {
    (format!("{path}/"), format!("{path}0"))
}

/// Writes a node, over the one with the number `old` if there is one. Gives its
/// number. The pieces of `old` stay.
pub(super) fn store(db: &Connection, session: SessionKey, old: Option<i64>, new: &NewNode) -> Result<i64, StoreError> {
    let size = rows::stored(new.size);
    if let Some(id) = old {
        let update =
            "UPDATE node SET kind = ?2, size_bytes = ?3, modified_ns = ?4, hash = ?5, target = ?6 WHERE id = ?1";
        rows::change(db, update, params![id, new.kind.word(), size, new.modified_ns, new.hash, new.target])?;
        return Ok(id);
    }
    let insert = "INSERT INTO node (session, path, kind, size_bytes, modified_ns, hash, target)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let values = params![session.0, new.path.as_str(), new.kind.word(), size, new.modified_ns, new.hash, new.target];
    let id = rows::one(db, insert, values, |row| Ok(row.get("id")?))?;
    id.ok_or_else(|| StoreError::Broken("a file without a number".to_owned()))
}

/// Whether a session holds any symbolic link.
pub(super) fn has_links(db: &Connection, session: SessionKey) -> Result<bool, StoreError> {
    rows::exists(db, "SELECT 1 FROM node WHERE session = ?1 AND kind = 'link'", [session.0])
}

/// Deletes a node with its pieces.
pub(super) fn delete(db: &Connection, id: i64) -> Result<(), StoreError> {
    rows::change(db, "DELETE FROM node WHERE id = ?1", [id]).map(|_| ())
}

/// A row of `node`.
pub(super) fn node(row: &Row<'_>) -> Result<Node, StoreError> {
    let path: String = row.get("path")?;
    Ok(Node {
        id: row.get("id")?,
        path: SessionPath::parse(&path).map_err(|error| StoreError::Broken(error.to_string()))?,
        kind: rows::word_of(row, "kind", &EntryKind::ALL, EntryKind::word)?,
        size: rows::number(row, "size_bytes")?,
        modified_ns: row.get("modified_ns")?,
        hash: rows::hash(row, "hash")?,
        target: row.get("target")?,
    })
}
