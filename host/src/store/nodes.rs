//! What lies in sessions, on record: files, directories and links.
//!
//! Promise: paths are compared byte by byte, and everything beneath a directory
//! is found as one range of them.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rusqlite::Connection;
use rusqlite::params;
use sha2::Digest as _;
use sha2::Sha256;

use crate::model::entry::EntryKind;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::store::error::StoreError;
use crate::store::rows;
use crate::store::rows::Row;

/// Which state of a session is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// With everything that was written, committed or not.
    Tip,
    /// As of the commit with that number, which is kept.
    Commit(u64),
}

impl View {
    /// Rows of the view are those with `since <= ? AND (until = 0 OR until > ?)`.
    pub(super) fn bound(self) -> i64 {
        match self {
            View::Tip => i64::MAX,
            View::Commit(number) => rows::stored(number),
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
    /// Of a link.
    pub(super) target: Option<String>,
}

impl NewNode {
    pub(super) fn file(path: SessionPath, size: u64, modified_ns: i64) -> NewNode {
        NewNode { path, kind: EntryKind::File, size, modified_ns, target: None }
    }

    pub(super) fn directory(path: SessionPath, modified_ns: i64) -> NewNode {
        NewNode { path, kind: EntryKind::Directory, size: 0, modified_ns, target: None }
    }

    pub(super) fn link(path: SessionPath, modified_ns: i64, target: String) -> NewNode {
        NewNode { path, kind: EntryKind::Link, size: target.len() as u64, modified_ns, target: Some(target) }
    }
}

/// Names a file in its session, whatever its path.
pub(super) type FileNumber = i64;

/// A node on record.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) session: SessionKey,
    pub(super) file: FileNumber,
    pub(super) path: SessionPath,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) modified_ns: i64,
    /// The step of the session that last changed its content.
    pub(super) stamp: i64,
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
        etag(self.session, self.file, self.stamp)
    }
}

/// The entity tag of a file's content as of a step of its session. A session's
/// number and its steps are used once, so a tag never stands for two contents;
/// hashed, it does not tell how many sessions others have.
pub(super) fn etag(session: SessionKey, file: FileNumber, stamp: i64) -> String {
    let mut numbers = Sha256::new();
    [session.0, file, stamp].iter().for_each(|number| numbers.update(number.to_le_bytes()));
    numbers.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What one thing counts for in a session's usage.
pub(super) fn usage(kind: EntryKind, size: u64) -> Usage {
    match kind {
        EntryKind::File => Usage { bytes: size, files: 1 },
        EntryKind::Directory | EntryKind::Link => Usage { bytes: 0, files: 1 },
    }
}

/// `+` keeps SQLite from the index on `since`: nearly all nodes of a session began
/// before the bound, so it would look at each of them.
const AT: &str = "SELECT * FROM node WHERE session = ?1 AND path = ?2 AND +since <= ?3 AND (until = 0 OR until > ?3)";

/// The node at a path.
pub(super) fn at(
    db: &Connection,
    session: SessionKey,
    path: &SessionPath,
    view: View,
) -> Result<Option<Node>, StoreError> {
    rows::one(db, AT, params![session.0, path.as_str(), view.bound()], node)
}

/// All nodes at the tip, each directory before what it holds.
pub(super) fn all(db: &Connection, session: SessionKey) -> Result<Vec<Node>, StoreError> {
    rows::all(db, "SELECT * FROM node WHERE session = ?1 AND until = 0 ORDER BY path", [session.0], node)
}

/// All nodes of a view, in the same order.
pub(super) fn all_in(db: &Connection, session: SessionKey, view: View) -> Result<Vec<Node>, StoreError> {
    let list = "SELECT * FROM node WHERE session = ?1 AND +since <= ?2 AND (until = 0 OR until > ?2) ORDER BY path";
    rows::all(db, list, params![session.0, view.bound()], node)
}

/// The node at a path and all beneath it at the tip, each directory before what
/// it holds.
pub(super) fn within(db: &Connection, session: SessionKey, path: &SessionPath) -> Result<Vec<Node>, StoreError> {
    let mut found: Vec<_> = at(db, session, path, View::Tip)?.into_iter().collect();
    let (from, to) = beneath(path);
    let list = "SELECT * FROM node WHERE session = ?1 AND path > ?2 AND path < ?3 AND until = 0 ORDER BY path";
    found.extend(rows::all(db, list, params![session.0, from, to], node)?);
    Ok(found)
}

/// Everything beneath a directory lies between these two, and nothing else does:
/// `0` is what follows `/`.
pub(super) fn beneath(path: &SessionPath) -> (String, String) {
    (format!("{path}/"), format!("{path}0"))
}

const HAS_LINKS: &str = "SELECT 1 FROM node WHERE session = ?1 AND kind = 'link'";

/// Whether a session holds any symbolic link, or held one in its history.
pub(super) fn has_links(db: &Connection, session: SessionKey) -> Result<bool, StoreError> {
    rows::exists(db, HAS_LINKS, [session.0])
}

/// A row of `node`.
pub(super) fn node(row: &Row<'_>) -> Result<Node, StoreError> {
    Ok(Node {
        session: SessionKey(row.get("session")?),
        file: row.get("file")?,
        path: rows::path(row, "path")?,
        kind: rows::word_of(row, "kind", &EntryKind::ALL, EntryKind::word)?,
        size: rows::number(row, "size_bytes")?,
        modified_ns: row.get("modified_ns")?,
        stamp: row.get("stamp")?,
        target: row.get("target")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    /// A job asks both at its start or end, however many files its session has.
    #[test]
    fn r26_one_node_is_found_without_looking_at_the_others() {
        assert_eq!(schema::plan(AT), "SEARCH node USING PRIMARY KEY (session=? AND path=?)");
        assert_eq!(schema::plan(HAS_LINKS), "SEARCH node USING COVERING INDEX node_link (session=?)");
    }
}
