//! Reading a session's files: always as of the last commit.
//!
//! Promise: readers wait for no job and no commit, and what one call gives is
//! from one commit. Nothing here looks at a working copy.

use std::fs::File;
use std::io::Seek as _;
use std::time::SystemTime;

use rusqlite::Connection;
use rusqlite::params;

use crate::limits::FILE_MEMORY_BYTES;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::block;
use crate::store::chunks;
use crate::store::error::StoreError;
use crate::store::layout;
use crate::store::nodes;
use crate::store::nodes::EntryKind;
use crate::store::nodes::Node;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::puts::Recursive;
use crate::store::rows;
use crate::store::sessions;

/// One thing in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    pub path: SessionPath,
    pub kind: EntryKind,
    /// A file's bytes; of a link, its target's; 0 of a directory.
    pub size: u64,
    pub modified_at: SystemTime,
    /// Changes with the content. Without quotes.
    pub etag: String,
}

/// A file with its bytes.
#[derive(Debug)]
pub struct FileContent {
    pub entry: FileEntry,
    pub body: Body,
}

/// A file's bytes.
#[derive(Debug)]
pub enum Body {
    Memory(Vec<u8>),
    /// Nobody else's, at its beginning, gone when it is closed.
    Spooled(File),
}

impl Store {
    /// What lies in the directory `prefix` (in the root without one), or also
    /// everything beneath it, by path. A directory that is not there is empty.
    /// Refused as [`Refused::SessionGone`](crate::store::Refused::SessionGone).
    pub async fn files(
        &self,
        key: SessionKey,
        prefix: Option<SessionPath>,
        recursive: Recursive,
        page: PageOf,
    ) -> Result<Page<FileEntry>, StoreError> {
        self.read(move |db| {
            sessions::active(db, key)?;
            let entries = list(db, key, prefix.as_ref(), recursive, &page)?;
            Ok(page.fill(entries, |entry| entry.path.to_string()))
        })
        .await
    }

    /// What is known of one file, directory or link.
    pub async fn file_entry(&self, key: SessionKey, path: SessionPath) -> Result<Option<FileEntry>, StoreError> {
        self.read(move |db| {
            sessions::active(db, key)?;
            Ok(nodes::at(db, key, &path)?.map(entry))
        })
        .await
    }

    /// A file with its bytes; `None` for anything else.
    pub async fn file(&self, key: SessionKey, path: SessionPath) -> Result<Option<FileContent>, StoreError> {
        let shared = self.shared();
        block(move || {
            shared.readers.with(|db| {
                sessions::active(db, key)?;
                let file = nodes::at(db, key, &path)?.filter(|node| node.kind == EntryKind::File);
                let Some(file) = file else { return Ok(None) };
                let body = if file.size <= FILE_MEMORY_BYTES {
                    let mut bytes = Vec::new();
                    chunks::copy_to(db, file.id, &mut bytes)?;
                    Body::Memory(bytes)
                } else {
                    let context = || StoreError::io("copy a file for a reader");
                    let mut copy = layout::nameless_file(&shared.layout.tmp()).map_err(context())?;
                    chunks::copy_to(db, file.id, &mut copy)?;
                    copy.rewind().map_err(context())?;
                    Body::Spooled(copy)
                };
                Ok(Some(FileContent { entry: entry(file), body }))
            })
        })
        .await
    }
}

/// One more than a page holds, if there are so many. A session's files are
/// bounded, so what lies deeper may be passed over one by one.
fn list(
    db: &Connection,
    key: SessionKey,
    prefix: Option<&SessionPath>,
    recursive: Recursive,
    page: &PageOf,
) -> Result<Vec<FileEntry>, StoreError> {
    let (from, to) = match prefix {
        Some(prefix) => {
            let (from, to) = nodes::beneath(prefix);
            (from, Some(to))
        }
        None => (String::new(), None),
    };
    let depth = from.len();
    let after = page.after()?.filter(|after| *after > from).unwrap_or(from);
    let mut query = db.prepare_cached(
        "SELECT * FROM node WHERE session = ?1 AND path > ?2 AND (?3 IS NULL OR path < ?3) ORDER BY path",
    )?;
    let mut found = query.query(params![key.0, after, to])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let node = nodes::node(row)?;
        let deeper = node.path.as_str().get(depth..).is_some_and(|rest| rest.contains('/'));
        if recursive == Recursive::Yes || !deeper {
            entries.push(entry(node));
        }
        if entries.len() as i64 >= page.rows() {
            break;
        }
    }
    Ok(entries)
}

fn entry(node: Node) -> FileEntry {
    let (modified_at, etag) = (node.modified_at(), node.etag());
    FileEntry { path: node.path, kind: node.kind, size: node.size, modified_at, etag }
}

/// How many files, directories and links lie beneath a path.
pub(super) fn count_beneath(db: &Connection, key: SessionKey, path: &SessionPath) -> Result<u64, StoreError> {
    let (from, to) = nodes::beneath(path);
    let count = "SELECT count(*) AS held FROM node WHERE session = ?1 AND path > ?2 AND path < ?3";
    let count = rows::one(db, count, params![key.0, from, to], |row| rows::number(row, "held"))?;
    Ok(count.unwrap_or(0))
}
