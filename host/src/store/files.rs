//! Reading a session's files: as of the last commit, or an earlier one.
//!
//! Promise: readers wait for no job and no commit, and what one call gives is
//! from one commit. Nothing here looks at a working copy.

use std::fs::File;
use std::io;
use std::io::Seek as _;
use std::os::unix::fs::FileExt as _;
use std::time::SystemTime;

use rusqlite::Connection;
use rusqlite::params;

use crate::limits::FILE_LOOK_BYTES;
use crate::limits::FILE_MEMORY_BYTES;
use crate::model::entry::EntryKind;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::block;
use crate::store::chunks;
use crate::store::commits;
use crate::store::error::StoreError;
use crate::store::layout;
use crate::store::nodes;
use crate::store::nodes::Node;
use crate::store::nodes::View;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::puts::Recursive;
use crate::store::rows::Row;
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
    /// The number of the commit that it was read from.
    pub commit: u64,
    pub body: Body,
}

/// A file's bytes.
#[derive(Debug)]
pub enum Body {
    Memory(Vec<u8>),
    /// Nobody else's, at its beginning, gone when it is closed.
    Spooled(File),
}

impl Body {
    /// How many bytes there are.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Body::Memory(bytes) => Ok(bytes.len() as u64),
            Body::Spooled(file) => Ok(file.metadata()?.len()),
        }
    }

    /// At most so many bytes from `at` on; fewer only at the end.
    pub fn part(&self, at: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size()?.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = left.min(bytes_max);
        match self {
            Body::Memory(bytes) => Ok(bytes[bytes.len() - left..][..length].to_vec()),
            Body::Spooled(file) => {
                let mut part = vec![0; length];
                file.read_exact_at(&mut part, at)?;
                Ok(part)
            }
        }
    }
}

impl Store {
    /// What lies in the directory `prefix` (in the root without one), or also
    /// everything beneath it, by path; as of a commit, the last one without a
    /// number, which is given. A directory that is not there is empty. Refused as
    /// `SessionGone` and `NoCommit` of [`Refused`](crate::store::Refused).
    pub async fn files(
        &self,
        key: SessionKey,
        commit: Option<u64>,
        prefix: Option<SessionPath>,
        recursive: Recursive,
        page: PageOf,
    ) -> Result<(Page<FileEntry>, u64), StoreError> {
        self.read(move |db| {
            let session = sessions::active(db, key)?;
            let view = commits::view_of(&session, commit)?;
            let entries = list(db, (key, view), prefix.as_ref(), recursive, &page)?;
            Ok((page.fill(entries, |entry| entry.path.to_string()), commit.unwrap_or(session.commit)))
        })
        .await
    }

    /// A file with its bytes, if it is so small that it takes a few pages of the database,
    /// which are read right here. `None` for anything else; then [`Store::file`] knows.
    pub fn small_file(
        &self,
        key: SessionKey,
        commit: Option<u64>,
        path: &SessionPath,
    ) -> Result<Option<FileContent>, StoreError> {
        self.look(|db| {
            let session = sessions::active(db, key)?;
            let view = commits::view_of(&session, commit)?;
            let file = nodes::at(db, key, path, view)?;
            let Some(file) = file.filter(|node| node.kind == EntryKind::File && node.size <= FILE_LOOK_BYTES) else {
                return Ok(None);
            };
            let body = Body::Memory(in_memory(db, &file, view)?);
            Ok(Some(FileContent { entry: entry(file), commit: commit.unwrap_or(session.commit), body }))
        })
    }

    /// A file with its bytes as of a commit; `None` for anything else. Refused as
    /// [`Store::files`].
    pub async fn file(
        &self,
        key: SessionKey,
        commit: Option<u64>,
        path: SessionPath,
    ) -> Result<Option<FileContent>, StoreError> {
        let shared = self.shared();
        block(move || {
            shared.readers.with(|db| {
                let session = sessions::active(db, key)?;
                let view = commits::view_of(&session, commit)?;
                let file = nodes::at(db, key, &path, view)?.filter(|node| node.kind == EntryKind::File);
                let Some(file) = file else { return Ok(None) };
                let body = if file.size <= FILE_MEMORY_BYTES {
                    Body::Memory(in_memory(db, &file, view)?)
                } else {
                    let context = || StoreError::io("copy a file for a reader");
                    let mut copy = layout::nameless_file(&shared.layout.tmp()).map_err(context())?;
                    chunks::copy_to(db, &file, view, &mut copy)?;
                    copy.rewind().map_err(context())?;
                    Body::Spooled(copy)
                };
                Ok(Some(FileContent { entry: entry(file), commit: commit.unwrap_or(session.commit), body }))
            })
        })
        .await
    }
}

fn in_memory(db: &Connection, file: &Node, view: View) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    chunks::copy_to(db, file, view, &mut bytes)?;
    Ok(bytes)
}

/// One more than a page holds, if there are so many. A session's files are
/// bounded, so what lies deeper may be passed over one by one.
fn list(
    db: &Connection,
    (key, view): (SessionKey, View),
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
        "SELECT * FROM node WHERE session = ?1 AND path > ?2 AND (?3 IS NULL OR path < ?3)
             AND since <= ?4 AND (until = 0 OR until > ?4) ORDER BY path",
    )?;
    let mut found = query.query(params![key.0, after, to, view.bound()])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let node = nodes::node(&Row::of(row))?;
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
