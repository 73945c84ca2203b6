//! Commits: a session's history, and what can be done with it.
//!
//! Promise: a commit that is kept reads as it was made, for as long as it is
//! kept. Whatever no kept commit needs is gone in the same transaction that lets
//! go of the last one that did, so a crash leaves nothing to collect.
//!
//! The state as of the oldest commit is kept, and what that commit changed; what
//! was true only before is not.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::entry::EntryKind;
use crate::model::history::Cause;
use crate::model::history::Change;
use crate::model::history::ChangeList;
use crate::model::history::Commit;
use crate::model::history::FileChange;
use crate::model::history::ParamChange;
use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::store::Store;
use crate::store::blobs;
use crate::store::edit::By;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::nodes::View;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::sessions;

impl Store {
    /// A session's commits that are kept, newest first. Refused as
    /// [`Refused::SessionGone`].
    pub async fn commits(&self, key: SessionKey, page: PageOf) -> Result<Page<Commit>, StoreError> {
        self.read(move |db| {
            sessions::active(db, key)?;
            let list = "SELECT * FROM session_commit WHERE session = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";
            let before = page.after_number()?.unwrap_or(i64::MAX);
            let found = rows::all(db, list, params![key.0, before, page.rows()], commit)?;
            Ok(page.fill(found, |commit| commit.number.to_string()))
        })
        .await
    }

    /// One commit, and what it changed. Refused as [`Refused::SessionGone`] and
    /// [`Refused::NoCommit`].
    pub async fn commit_changes(&self, key: SessionKey, number: u64) -> Result<(Commit, ChangeList), StoreError> {
        self.read(move |db| {
            let session = sessions::active(db, key)?;
            view_of(&session, Some(number))?;
            let commit = by_number(db, key, number)?;
            Ok((commit, changes(db, key, number)?))
        })
        .await
    }
}

/// The view of a session as of one of its commits; the last one if none is named.
pub(super) fn view_of(session: &Session, number: Option<u64>) -> Result<View, StoreError> {
    let (first, last) = (session.oldest_commit, session.commit);
    match number {
        None => Ok(View::Commit(last)),
        Some(number) if (first..=last).contains(&number) => Ok(View::Commit(number)),
        Some(number) => Err(Refused::NoCommit { number, first, last }.into()),
    }
}

/// A commit that is kept.
pub(super) fn by_number(db: &Connection, key: SessionKey, number: u64) -> Result<Commit, StoreError> {
    let find = "SELECT * FROM session_commit WHERE session = ?1 AND number = ?2";
    let found = rows::one(db, find, params![key.0, rows::stored(number)], commit)?;
    found.ok_or_else(|| StoreError::Broken(format!("session {} lacks commit {number}", key.0)))
}

/// Records the last commit of a session.
pub(super) fn insert(db: &Connection, session: &Session, by: By<'_>) -> Result<(), StoreError> {
    let insert = "INSERT INTO session_commit (session, number, at, cause, job, bytes, files, row_bytes)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let values = params![
        session.key.0,
        rows::stored(session.commit),
        by.at.micros(),
        by.cause.word(),
        by.job.map(|job| job.as_str()),
        rows::stored(session.usage.bytes),
        rows::stored(session.usage.files),
        row_bytes(db, session.key, session.commit)?,
    ];
    rows::change(db, insert, values).map(|_| ())
}

/// About what the rows take that one commit made past. A tenant must not be able to
/// fill the disk with names, parameters and holes, which hold no bytes of files.
fn row_bytes(db: &Connection, key: SessionKey, number: u64) -> Result<i64, StoreError> {
    if number == 0 {
        return Ok(0);
    }
    let sum = rows::one(db, ROW_BYTES, params![key.0, rows::stored(number)], |row| row.get("bytes"))?;
    Ok(sum.unwrap_or(0))
}

/// A row with its places in the indexes takes about a hundred bytes more than its texts.
const ROW_BYTES: &str = "SELECT
    (SELECT coalesce(sum(150 + 2 * octet_length(path)), 0) FROM node WHERE session = ?1 AND until > 0 AND until = ?2)
    + (SELECT coalesce(sum(100 + octet_length(name) + octet_length(value)), 0) FROM param
       WHERE session = ?1 AND until > 0 AND until = ?2)
    + (SELECT 100 * count(*) FROM chunk WHERE session = ?1 AND until > 0 AND until = ?2) AS bytes";

/// What all those rows take of a session's commits that are kept.
pub(super) fn rows_past(db: &Connection, key: SessionKey) -> Result<u64, StoreError> {
    let sum = "SELECT coalesce(sum(row_bytes), 0) AS bytes FROM session_commit WHERE session = ?1";
    Ok(rows::one(db, sum, [key.0], |row| rows::number(row, "bytes"))?.unwrap_or(0))
}

/// The number of the first commit that a session's retention wants to keep.
pub(super) fn first_kept(db: &Connection, session: &Session, now: Timestamp) -> Result<u64, StoreError> {
    let by_count = (session.commit + 1).saturating_sub(u64::from(session.retention.commits));
    let Some(age) = session.retention.age else { return Ok(by_count) };
    let find = "SELECT min(number) AS first FROM session_commit WHERE session = ?1 AND (at > ?2 OR number = ?3)";
    let since = now.micros().saturating_sub(rows::stored_stretch(age));
    let values = params![session.key.0, since, rows::stored(session.commit)];
    let by_age = rows::one(db, find, values, |row| rows::number(row, "first"))?;
    Ok(by_count.max(by_age.unwrap_or(session.commit)))
}

/// When the oldest commit of a session is too old; `None` if it never is.
pub(super) fn due_at(db: &Connection, session: &Session) -> Result<Option<Timestamp>, StoreError> {
    let Some(age) = session.retention.age.filter(|_| session.oldest_commit < session.commit) else { return Ok(None) };
    let oldest = by_number(db, session.key, session.oldest_commit)?;
    Ok(Some(later(oldest.at, age)))
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(moment.micros().saturating_add(rows::stored_stretch(by)))
}

/// Removes what only commits before that one need. Gives the bytes set free.
pub(super) fn forget_before(db: &Connection, key: SessionKey, number: u64) -> Result<u64, StoreError> {
    let part = params![key.0, rows::stored(number)];
    // What that commit itself replaced is in the list of its changes, without its bytes.
    let chunks = "DELETE FROM chunk WHERE session = ?1 AND until > 0 AND until <= ?2 RETURNING length, blob";
    let freed = blobs::let_go(db, chunks, part)?;
    rows::change(db, "DELETE FROM node WHERE session = ?1 AND until > 0 AND until < ?2", part)?;
    rows::change(db, "DELETE FROM param WHERE session = ?1 AND until > 0 AND until < ?2", part)?;
    rows::change(db, "DELETE FROM session_commit WHERE session = ?1 AND number < ?2", part)?;
    Ok(freed)
}

/// What one commit changed, or the one that an open transaction will become.
fn changes(db: &Connection, key: SessionKey, number: u64) -> Result<ChangeList, StoreError> {
    // What ended with it was before, what began with it is after.
    let nodes = "SELECT path, kind, size_bytes, 1 AS is_old FROM node
                     WHERE session = ?1 AND until > 0 AND until = ?2
                 UNION ALL
                 SELECT path, kind, size_bytes, 0 FROM node WHERE session = ?1 AND since = ?2";
    let mut files: BTreeMap<String, [Option<(EntryKind, u64)>; 2]> = BTreeMap::new();
    let part = params![key.0, rows::stored(number)];
    rows::all(db, nodes, part, |row| {
        let kind = rows::word_of(row, "kind", &EntryKind::ALL, EntryKind::word)?;
        let sides = files.entry(row.get("path")?).or_default();
        sides[side(row)?] = Some((kind, size(row, kind)?));
        Ok(())
    })?;
    let params = "SELECT name, 1 AS is_old FROM param WHERE session = ?1 AND until > 0 AND until = ?2
                  UNION ALL
                  SELECT name, 0 FROM param WHERE session = ?1 AND since = ?2";
    let mut names: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    rows::all(db, params, part, |row| {
        names.entry(row.get("name")?).or_default()[side(row)?] = true;
        Ok(())
    })?;
    // A directory that stays has another time, because of what is listed beside it.
    files.retain(|_, sides| !sides.iter().all(|side| matches!(side, Some((EntryKind::Directory, _)))));
    Ok(ChangeList {
        files: files.into_iter().map(file_change).collect::<Result<_, _>>()?,
        params: names.into_iter().filter_map(param_change).collect(),
    })
}

fn side(row: &Row<'_>) -> Result<usize, StoreError> {
    let is_old: bool = row.get("is_old")?;
    Ok(usize::from(!is_old))
}

/// Directories have no bytes, and links only their targets'.
fn size(row: &Row<'_>, kind: EntryKind) -> Result<u64, StoreError> {
    match kind {
        EntryKind::File | EntryKind::Link => rows::number(row, "size_bytes"),
        EntryKind::Directory => Ok(0),
    }
}

fn file_change((path, [old, new]): (String, [Option<(EntryKind, u64)>; 2])) -> Result<FileChange, StoreError> {
    let path = SessionPath::parse(&path).map_err(|error| StoreError::Broken(error.to_string()))?;
    let change = Change::between(old.is_some(), new.is_some()).unwrap_or(Change::Modified);
    let (kind, size) = new.or(old).unwrap_or((EntryKind::File, 0));
    Ok(FileChange { path, kind, change, size })
}

fn param_change((name, [old, new]): (String, [bool; 2])) -> Option<ParamChange> {
    Change::between(old, new).map(|change| ParamChange { name, change })
}

/// A row of `session_commit`.
pub(super) fn commit(row: &Row<'_>) -> Result<Commit, StoreError> {
    let job: Option<String> = row.get("job")?;
    Ok(Commit {
        number: rows::number(row, "number")?,
        at: rows::moment(row, "at")?,
        cause: rows::word_of(row, "cause", &Cause::ALL, Cause::word)?,
        job: job.map(|_| rows::parsed(row, "job")).transpose()?,
        usage: Usage { bytes: rows::number(row, "bytes")?, files: rows::number(row, "files")? },
    })
}
