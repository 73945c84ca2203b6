//! The content of files: pieces of 64 KiB, each with its hash.
//!
//! Promise: what is read is as long as it was when it was written. A piece of
//! zeros takes no bytes, so a file may have holes.
//!
//! Not here: writing them ([`edit`](super::edit)).

use std::collections::HashMap;
use std::io;
use std::io::Read as _;
use std::io::Write;

use rusqlite::Connection;
use rusqlite::params;
use sha2::Digest as _;
use sha2::Sha256;

use crate::limits::CHUNK_BYTES;
use crate::model::session::SessionKey;
use crate::store::error::StoreError;
use crate::store::nodes::FileNumber;
use crate::store::nodes::Node;
use crate::store::nodes::View;
use crate::store::rows;
use crate::store::rows::Row;

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// What is known of a file's content without holding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) size: u64,
    /// Of each piece, in order.
    pub(super) hashes: Vec<Hash>,
}

/// Takes a file's bytes as they come.
#[derive(Default)]
pub(super) struct Hasher {
    piece: Sha256,
    piece_bytes: usize,
    content: Content,
}

impl Hasher {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.piece_bytes));
            self.piece.update(now);
            self.piece_bytes += now.len();
            self.content.size += now.len() as u64;
            if self.piece_bytes == CHUNK_BYTES {
                self.end_piece();
            }
            bytes = later;
        }
    }

    pub(super) fn finish(mut self) -> Content {
        if self.piece_bytes > 0 {
            self.end_piece();
        }
        self.content
    }

    fn end_piece(&mut self) {
        let hash = std::mem::take(&mut self.piece).finalize();
        self.content.hashes.push(hash.into());
        self.piece_bytes = 0;
    }
}

/// The hash of one piece.
pub(super) fn hash(piece: &[u8]) -> Hash {
    Sha256::digest(piece).into()
}

/// How many pieces a file of that size has.
pub(super) fn count(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES as u64)
}

/// The hashes of a file's pieces at the tip.
pub(super) fn hashes(db: &Connection, session: SessionKey, file: FileNumber) -> Result<Vec<Hash>, StoreError> {
    let list = "SELECT hash FROM chunk WHERE session = ?1 AND file = ?2 AND until = 0 ORDER BY idx";
    rows::all(db, list, params![session.0, file], |row| rows::hash(row, "hash"))
}

/// The same of all files of a session.
pub(super) fn all_hashes(db: &Connection, session: SessionKey) -> Result<HashMap<FileNumber, Vec<Hash>>, StoreError> {
    let list = "SELECT file, hash FROM chunk WHERE session = ?1 AND until = 0 ORDER BY file, idx";
    let mut found: HashMap<FileNumber, Vec<Hash>> = HashMap::new();
    rows::each(db, list, [session.0], |row| {
        found.entry(row.get("file")?).or_default().push(rows::hash(row, "hash")?);
        Ok(())
    })?;
    Ok(found)
}

/// The hash of one of them, if the file is that long.
pub(super) fn hash_of(
    db: &Connection,
    session: SessionKey,
    file: FileNumber,
    index: u64,
) -> Result<Option<Hash>, StoreError> {
    let find = "SELECT hash FROM chunk WHERE session = ?1 AND file = ?2 AND idx = ?3 AND until = 0";
    rows::one(db, find, params![session.0, file, rows::stored(index)], |row| rows::hash(row, "hash"))
}

/// The bytes of one piece.
pub(super) enum Bytes<'a> {
    These(&'a [u8]),
    /// So many zeros.
    Zeros(usize),
}

/// Gives all pieces of a file to `take`, in order.
pub(super) fn each(
    db: &Connection,
    node: &Node,
    view: View,
    mut take: impl FnMut(Bytes<'_>) -> io::Result<()>,
) -> Result<(), StoreError> {
    let list = "SELECT length, blob, bytes FROM chunk LEFT JOIN blob ON id = blob
                WHERE session = ?1 AND file = ?2 AND since <= ?3 AND (until = 0 OR until > ?3) ORDER BY idx";
    rows::each(db, list, params![node.session.0, node.file, view.bound()], |row| {
        take(bytes(row)?).map_err(StoreError::io("copy a file out of the database"))
    })
}

/// Gives one piece at the tip to `take`, if the file is that long.
pub(super) fn one(
    db: &Connection,
    node: &Node,
    index: u64,
    take: impl FnOnce(Bytes<'_>) -> io::Result<()>,
) -> Result<(), StoreError> {
    let find = "SELECT length, blob, bytes FROM chunk LEFT JOIN blob ON id = blob
                WHERE session = ?1 AND file = ?2 AND idx = ?3 AND until = 0";
    let found = rows::one(db, find, params![node.session.0, node.file, rows::stored(index)], |row| {
        take(bytes(row)?).map_err(StoreError::io("copy a file out of the database"))
    });
    found.map(|_| ())
}

fn bytes<'a>(row: &Row<'a>) -> Result<Bytes<'a>, StoreError> {
    let length = usize::try_from(rows::number(row, "length")?).unwrap_or(usize::MAX);
    let blob: Option<i64> = row.get("blob")?;
    let found = row.get_ref("bytes")?.as_blob_or_null().map_err(|error| StoreError::Broken(error.to_string()))?;
    match (blob, found) {
        (Some(_), Some(bytes)) if bytes.len() == length => Ok(Bytes::These(bytes)),
        (None, None) if length <= CHUNK_BYTES => Ok(Bytes::Zeros(length)),
        _ => Err(StoreError::Broken("a piece of a file is missing, or has the wrong length".to_owned())),
    }
}

/// Writes a file's bytes to `out`, piece by piece.
pub(super) fn copy_to(db: &Connection, node: &Node, view: View, out: &mut impl Write) -> Result<(), StoreError> {
    each(db, node, view, |piece| match piece {
        Bytes::These(bytes) => out.write_all(bytes),
        Bytes::Zeros(count) => io::copy(&mut io::repeat(0).take(count as u64), out).map(|_| ()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_do_not_depend_on_how_the_bytes_came() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 2 + 100).map(|at| (at % 251) as u8).collect();
        let mut whole = Hasher::default();
        whole.update(&bytes);
        let mut parts = Hasher::default();
        bytes.chunks(1_000).for_each(|part| parts.update(part));
        let whole = whole.finish();
        assert_eq!(whole.hashes[1], hash(&bytes[CHUNK_BYTES..CHUNK_BYTES * 2]));
        assert_eq!(whole, parts.finish());
        assert_eq!(whole.hashes.len(), 3);
        assert_eq!(Hasher::default().finish(), Content::default());
    }
}
