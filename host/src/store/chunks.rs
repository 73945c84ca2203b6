//! The content of files: pieces of 64 KiB, each with its hash.
//!
//! Promise: a piece whose hash is the same is not written again, so a commit
//! costs what changed and not what the file holds.

use std::borrow::Cow;
use std::io::Write;

use rusqlite::Connection;
use rusqlite::params;
use sha2::Digest as _;
use sha2::Sha256;

use crate::limits::CHUNK_BYTES;
use crate::store::error::StoreError;
use crate::store::rows;

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// What is known of a file's content without holding it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) size: u64,
    /// Of each piece, in order.
    pub(super) hashes: Vec<Hash>,
}

impl Content {
    /// The hash of the whole.
    pub(super) fn hash(&self) -> Hash {
        let mut whole = Sha256::new();
        whole.update(self.size.to_le_bytes());
        self.hashes.iter().for_each(|hash| whole.update(hash));
        whole.finalize().into()
    }
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

/// The hashes of a file's pieces on record.
pub(super) fn hashes(db: &Connection, node: i64) -> Result<Vec<Hash>, StoreError> {
    rows::all(db, "SELECT hash FROM chunk WHERE node = ?1 ORDER BY idx", [node], |row| rows::hash(row, "hash"))
}

/// Turns the pieces on record, whose hashes are `old`, into those of `new`.
/// `fetch` is asked for each piece that differs.
pub(super) fn store<'a>(
    db: &Connection,
    node: i64,
    old: &[Hash],
    new: &Content,
    mut fetch: impl FnMut(usize) -> Result<Cow<'a, [u8]>, StoreError>,
) -> Result<(), StoreError> {
    let set = "INSERT INTO chunk (node, idx, hash, bytes) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (node, idx) DO UPDATE SET hash = excluded.hash, bytes = excluded.bytes";
    for (index, hash) in new.hashes.iter().enumerate() {
        if old.get(index) != Some(hash) {
            rows::change(db, set, params![node, stored(index), hash, fetch(index)?])?;
        }
    }
    if old.len() > new.hashes.len() {
        let cut = "DELETE FROM chunk WHERE node = ?1 AND idx >= ?2";
        rows::change(db, cut, params![node, stored(new.hashes.len())])?;
    }
    Ok(())
}

/// Writes a file's bytes to `out`, piece by piece.
pub(super) fn copy_to(db: &Connection, node: i64, out: &mut impl Write) -> Result<(), StoreError> {
    let mut query = db.prepare_cached("SELECT bytes FROM chunk WHERE node = ?1 ORDER BY idx")?;
    let mut pieces = query.query([node])?;
    while let Some(row) = pieces.next()? {
        let bytes = row.get_ref("bytes")?.as_blob().map_err(|error| StoreError::Broken(error.to_string()))?;
        out.write_all(bytes).map_err(StoreError::io("copy a file out of the database"))?;
    }
    Ok(())
}

fn stored(index: usize) -> i64 {
    rows::stored(index as u64)
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
