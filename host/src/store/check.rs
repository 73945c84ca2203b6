//! Whether the store is what it should be, found out without trusting it.
//!
//! Promise: each sentence names one thing that is wrong, and nothing is changed.
//! What is checked follows from the tables' promises: each piece of a file is
//! there with the bytes that were written, each count equals what it counts, and
//! nothing is kept that nobody needs.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::params;

use crate::store::chunks;
use crate::store::error::StoreError;
use crate::store::rows;

/// What is wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<String>);

/// Faults that are told of; a store with more is beyond repair anyway.
const FAULTS_MAX: usize = 100;

impl Faults {
    pub(super) fn add(&mut self, fault: String) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(fault);
        }
    }
}

/// Looks at everything in the database.
pub(super) fn database(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Faults::default();
    pages(db, &mut faults)?;
    blobs(db, &mut faults)?;
    shares(db, &mut faults)?;
    for (sql, sentence) in RULES {
        rule(db, sql, sentence, &mut faults)?;
    }
    Ok(faults.0)
}

/// The database's own pages and indexes.
fn pages(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    let mut query = db.prepare("PRAGMA integrity_check")?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            faults.add(format!("the database file is damaged: {line}"));
        }
    }
    Ok(())
}

/// Every piece against its hash and its length.
fn blobs(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    let zeros = vec![0; crate::limits::CHUNK_BYTES];
    let mut query =
        db.prepare("SELECT session, file, idx, length, hash, blob, bytes FROM chunk LEFT JOIN blob ON id = blob")?;
    let mut found = query.query([])?;
    while let Some(row) = found.next()? {
        let (session, file, index): (i64, i64, i64) = (row.get("session")?, row.get("file")?, row.get("idx")?);
        let piece = format!("piece {index} of file {file} in session {session}");
        let blob: Option<i64> = row.get("blob")?;
        let length = usize::try_from(rows::number(row, "length")?).unwrap_or(usize::MAX);
        let bytes = match (blob, row.get_ref("bytes")?.as_blob_or_null().ok().flatten()) {
            (None, _) => zeros.get(..length),
            (Some(_), Some(bytes)) if bytes.len() == length => Some(bytes),
            (Some(_), Some(_)) => {
                faults.add(format!("{piece} has another length than it was written with"));
                continue;
            }
            (Some(_), None) => None,
        };
        match bytes {
            None => faults.add(format!("{piece} is missing")),
            Some(bytes) if chunks::hash(bytes) != rows::hash(row, "hash")? => {
                faults.add(format!("{piece} has other bytes than were written"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// How often each blob is used against what is counted.
fn shares(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    let used = "SELECT blob, count(*) AS chunks FROM chunk WHERE blob IS NOT NULL GROUP BY blob HAVING chunks > 1";
    let counted = "SELECT blob, chunks FROM shared_blob";
    let read = |sql| rows::all(db, sql, [], |row| Ok((row.get("blob")?, row.get("chunks")?)));
    let used: BTreeMap<i64, i64> = read(used)?.into_iter().collect();
    let counted: BTreeMap<i64, i64> = read(counted)?.into_iter().collect();
    for blob in used.keys().chain(counted.keys()) {
        let (used, counted) = (used.get(blob).unwrap_or(&1), counted.get(blob).unwrap_or(&1));
        if used != counted {
            faults.add(format!("blob {blob} is used {used} times and counted {counted} times"));
        }
    }
    Ok(())
}

fn rule(db: &Connection, sql: &str, sentence: &str, faults: &mut Faults) -> Result<(), StoreError> {
    for what in rows::all(db, sql, params![], |row| Ok(row.get::<_, String>("what")?))? {
        faults.add(format!("{what}: {sentence}"));
    }
    Ok(())
}

/// Queries that find nothing in a sound store, and what it means if they do.
const RULES: [(&str, &str); 11] = [
    (
        "SELECT 'blob ' || id AS what FROM blob WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE blob = blob.id)",
        "no file needs it",
    ),
    (
        "SELECT 'session ' || key AS what FROM session WHERE stored_bytes <>
             (SELECT coalesce(sum(length), 0) FROM chunk WHERE session = key AND blob IS NOT NULL)",
        "its count of stored bytes is wrong",
    ),
    (
        "SELECT 'session ' || key AS what FROM session WHERE past_bytes <>
             (SELECT coalesce(sum(length), 0) FROM chunk WHERE session = key AND blob IS NOT NULL AND until > 0)",
        "its count of bytes of earlier commits is wrong",
    ),
    (
        "SELECT 'session ' || key AS what FROM session WHERE (used_bytes, used_files) <>
             (SELECT coalesce(sum(CASE WHEN kind = 'file' THEN size_bytes ELSE 0 END), 0), count(*) FROM node
              WHERE session = key AND until = 0)",
        "its count of bytes or files is wrong",
    ),
    (
        "SELECT 'session ' || key AS what FROM session JOIN session_commit ON session = key
         WHERE (bytes, files) <>
             (SELECT coalesce(sum(CASE WHEN kind = 'file' THEN size_bytes ELSE 0 END), 0), count(*) FROM node
              WHERE session = key AND since <= number AND (until = 0 OR until > number))",
        "one of its commits does not hold what is on record",
    ),
    (
        "SELECT 'session ' || key AS what FROM session WHERE version - oldest + 1 <>
             (SELECT count(*) FROM session_commit WHERE session = key AND number BETWEEN oldest AND version)",
        "its commits are not all on record",
    ),
    (
        "SELECT 'session ' || key AS what FROM session WHERE uncommitted = 0 AND (
             EXISTS (SELECT 1 FROM node WHERE session = key AND (since > version OR until > version))
             OR EXISTS (SELECT 1 FROM chunk WHERE session = key AND (since > version OR until > version))
             OR EXISTS (SELECT 1 FROM param WHERE session = key AND (since > version OR until > version)))",
        "something in it belongs to no commit",
    ),
    (
        "SELECT 'session ' || key AS what FROM session WHERE
             EXISTS (SELECT 1 FROM node WHERE session = key AND until > 0 AND until < oldest)
             OR EXISTS (SELECT 1 FROM chunk WHERE session = key AND until > 0 AND until <= oldest)
             OR EXISTS (SELECT 1 FROM param WHERE session = key AND until > 0 AND until < oldest)
             OR EXISTS (SELECT 1 FROM session_commit WHERE session = key AND number < oldest)",
        "something in it is older than all commits that are kept",
    ),
    (
        "SELECT 'file ' || node.path || ' in session ' || node.session AS what FROM node
         WHERE kind = 'file' AND until = 0 AND size_bytes <>
             (SELECT coalesce(sum(length), 0) FROM chunk
              WHERE chunk.session = node.session AND chunk.file = node.file AND chunk.until = 0)",
        "its pieces are not as long as it is",
    ),
    (
        "SELECT 'session ' || session AS what FROM
             (SELECT session FROM node UNION SELECT session FROM chunk UNION SELECT session FROM param
              UNION SELECT session FROM session_commit)
         WHERE NOT EXISTS (SELECT 1 FROM session WHERE key = session)",
        "it is gone, and something of it is not",
    ),
    (
        "SELECT 'file ' || file || ' in session ' || session AS what FROM chunk AS piece
         WHERE until = 0 AND NOT EXISTS (SELECT 1 FROM node
             WHERE node.session = piece.session AND node.file = piece.file AND node.until = 0)",
        "it is gone, and its pieces are not",
    ),
];
