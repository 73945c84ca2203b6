//! The database against its own promises.
//!
//! Promise: each piece of a file is there with the bytes that were written, each
//! count equals what it counts, and nothing is kept that nobody needs. A database
//! whose pages are damaged is not read any further: it could say anything.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::limits::CHUNK_BYTES;
use crate::model::quota::Quota;
use crate::store::check::Faults;
use crate::store::check::records;
use crate::store::check::rules;
use crate::store::chunks;
use crate::store::error::StoreError;
use crate::store::inspection;
use crate::store::quotas::Quotas;
use crate::store::rows;

/// Looks at everything in the database; says whether it could be read to its end.
pub(super) fn check(db: &Connection, faults: &mut Faults) -> Result<bool, StoreError> {
    // Damage is what we are looking for, wherever it is met.
    let damage = match look(db, faults) {
        Err(StoreError::Broken(what)) => format!("the database holds something that cannot be read: {what}"),
        Err(StoreError::Sql(error)) if is_damage(&error) => format!("the database file is damaged: {error}"),
        looked => return looked,
    };
    faults.add(damage);
    Ok(false)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::FromSqlConversionFailure;
    use rusqlite::Error::InvalidColumnType;
    use rusqlite::Error::Utf8Error;
    use rusqlite::ErrorCode::DatabaseCorrupt;
    use rusqlite::ErrorCode::NotADatabase;
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
        || matches!(error, InvalidColumnType(..) | FromSqlConversionFailure(..) | Utf8Error(..))
}

fn look(db: &Connection, faults: &mut Faults) -> Result<bool, StoreError> {
    inspection::must_be_current(db)?;
    let mut shape = Faults::default();
    pages(db, &mut shape)?;
    inspection::faults(db)?.into_iter().for_each(|fault| shape.add(fault));
    // What follows names tables and columns, and trusts indexes.
    let can_be_read = shape.is_empty();
    shape.0.into_iter().for_each(|fault| faults.add(fault));
    if !can_be_read {
        return Ok(false);
    }
    orphans(db, faults)?;
    blobs(db, faults)?;
    shares(db, faults)?;
    // A number that no quota can have, which the next start would trip over, is `Broken`.
    Quotas::load(db, Quota::of_machine(1, 1))?;
    rules::all().try_for_each(|(sql, sentence)| rule(db, sql, sentence, faults))?;
    // Last, since it ends with the first fault.
    records::check(db)?;
    Ok(true)
}

/// The database's own pages and indexes.
fn pages(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    rows::each(db, "PRAGMA integrity_check", [], |row| {
        let line: String = row.get("integrity_check")?;
        if line != "ok" {
            faults.add(format!("the database file is damaged: {line}"));
        }
        Ok(())
    })
}

/// Rows of jobs that are gone.
fn orphans(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    rows::each(db, "PRAGMA foreign_key_check", [], |row| {
        let (table, parent): (String, String) = (row.get("table")?, row.get("parent")?);
        faults.add(format!("a row of table {table} belongs to a {parent} that is gone"));
        Ok(())
    })
}

/// Every piece against its hash and its length.
fn blobs(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    let zeros = vec![0; CHUNK_BYTES];
    let list = "SELECT session, file, idx, length, hash, blob, bytes FROM chunk LEFT JOIN blob ON id = blob";
    rows::each(db, list, [], |row| {
        let blob: Option<i64> = row.get("blob")?;
        let length = usize::try_from(rows::number(row, "length")?).unwrap_or(usize::MAX);
        let stored = row.get_ref("bytes")?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        let wrong = match if blob.is_some() { stored } else { zeros.get(..length) } {
            None => "is missing",
            Some(bytes) if bytes.len() != length => "has another length than it was written with",
            Some(bytes) if chunks::hash(bytes) != rows::hash(row, "hash")? => "has other bytes than were written",
            Some(_) => return Ok(()),
        };
        let (session, file, index): (i64, i64, i64) = (row.get("session")?, row.get("file")?, row.get("idx")?);
        faults.add(format!("piece {index} of {} {wrong}", place(db, session, file)?));
        Ok(())
    })
}

/// A file in words.
fn place(db: &Connection, session: i64, file: i64) -> Result<String, StoreError> {
    let find = format!(
        "SELECT path || ' in ' || {} AS place FROM node JOIN session ON key = session
         WHERE session = ?1 AND file = ?2 ORDER BY until > 0, until DESC",
        rules::SESSION
    );
    let place = rows::one(db, &find, [session, file], |row| row.get("place"))?;
    Ok(place.unwrap_or_else(|| format!("file {file} in session {session}")))
}

/// How often each blob is used against what is counted.
fn shares(db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    let used = "SELECT blob, count(*) AS chunks FROM chunk WHERE blob IS NOT NULL GROUP BY blob HAVING chunks > 1";
    let counted = "SELECT blob, chunks FROM shared_blob";
    let read = |sql| rows::all(db, sql, [], |row| Ok((row.get("blob")?, row.get("chunks")?)));
    let used: BTreeMap<i64, i64> = read(used)?.into_iter().collect();
    let counted: BTreeMap<i64, i64> = read(counted)?.into_iter().collect();
    for blob in used.keys().chain(counted.keys()).collect::<BTreeSet<_>>() {
        let (used, counted) = (used.get(blob).unwrap_or(&1), counted.get(blob).unwrap_or(&1));
        if used != counted {
            faults.add(format!("blob {blob} is used {used} times and counted {counted} times"));
        }
    }
    Ok(())
}

fn rule(db: &Connection, sql: &str, sentence: &str, faults: &mut Faults) -> Result<(), StoreError> {
    let sql = sql.replace("{session}", rules::SESSION).replace("{piece}", &CHUNK_BYTES.to_string());
    for what in rows::all(db, &sql, [], |row| row.get::<String>("what"))? {
        faults.add(format!("{what}: {sentence}"));
    }
    Ok(())
}
