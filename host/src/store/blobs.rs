//! The bytes of pieces of files, and how many pieces share them.
//!
//! Promise: a blob is there as long as any row of `chunk` names it, and no
//! longer. Most blobs have one such row, so only the others are counted.

use rusqlite::Connection;

use crate::store::error::StoreError;
use crate::store::rows;
use crate::store::rows::Row;

/// A row of `chunk`: its blob, and what that takes.
pub(super) fn blob(row: &Row<'_>) -> Result<(Option<i64>, u64), StoreError> {
    let blob: Option<i64> = row.get("blob")?;
    Ok((blob, if blob.is_some() { rows::number(row, "length")? } else { 0 }))
}

/// A row of `chunk` is gone: so is its blob, unless others have it too.
pub(super) fn release(db: &Connection, blob: Option<i64>) -> Result<(), StoreError> {
    let Some(blob) = blob else { return Ok(()) };
    let one_less = "UPDATE shared_blob SET chunks = chunks - 1 WHERE blob = ?1 RETURNING chunks";
    let left: Option<i64> = rows::one(db, one_less, [blob], |row| row.get("chunks"))?;
    match left {
        Some(2..) => Ok(()),
        Some(_) => rows::change(db, "DELETE FROM shared_blob WHERE blob = ?1", [blob]).map(|_| ()),
        None => rows::change(db, "DELETE FROM blob WHERE id = ?1", [blob]).map(|_| ()),
    }
}

/// Deletes rows of `chunk`, and the blobs that nobody else has. Gives what they took.
pub(super) fn let_go(db: &Connection, delete: &str, values: impl rusqlite::Params) -> Result<u64, StoreError> {
    let mut freed = 0;
    for (blob, bytes) in rows::all(db, delete, values, blob)? {
        release(db, blob)?;
        freed += bytes;
    }
    Ok(freed)
}

/// Counts one more row of `chunk` for the blob of each of those rows.
pub(super) fn share(db: &Connection, of: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
    let share = format!(
        "INSERT INTO shared_blob (blob, chunks) SELECT blob, 2 FROM chunk WHERE {of} AND blob IS NOT NULL
         ON CONFLICT (blob) DO UPDATE SET chunks = chunks + 1"
    );
    rows::change(db, &share, values).map(|_| ())
}

/// What the rows of `chunk` take that a statement gives back.
pub(super) fn bytes(db: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<u64, StoreError> {
    Ok(rows::all(db, sql, values, blob)?.iter().map(|(_, bytes)| bytes).sum())
}
