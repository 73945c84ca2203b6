//! How a connection to the [`tables`](super::tables) is opened.
//!
//! Promise: a database of a newer server is refused, not misread. No link is
//! followed to one (its log and index SQLite opens like that by itself). What only
//! SQLite understands is here, and nowhere else.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use crate::store::error::StoreError;
use crate::store::job_ids::JobIds;
use crate::store::rows;
use crate::store::tables::JOB_CHANGES;
use crate::store::tables::JOB_PARTS;
use crate::store::tables::JOBS;
use crate::store::tables::QUOTAS;
use crate::store::tables::SESSIONS;
use crate::store::tables::TENANTS;
use crate::store::upgrade;

/// The version of the tables. One more for every change to them.
pub(super) const VERSION: i64 = 4;

/// The connection that writes. Makes the tables if there are none.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let mut db = Connection::open_with_flags(path, OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(128);
    keep_plans(&db)?;
    keep_log(&db)?;
    // The log is carried over by `checkpoint`. A group of many jobs changes more pages than the
    // 2 MiB that SQLite keeps by itself; what does not fit is written and read again.
    db.execute_batch(
        "PRAGMA cache_size = -8192;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY;
         PRAGMA foreign_keys = OFF; -- until tables were put in the place of others",
    )?;
    let transaction = db.transaction()?;
    if !transaction.prepare(KNOWN)?.exists([])? {
        make_tables(&transaction)?;
        JobIds::choose(&transaction)?;
        transaction.execute("INSERT INTO schema_version VALUES (?1)", [VERSION])?;
    }
    let is_upgraded = upgrade::upgrade(&transaction)?;
    let found = version(&transaction)?;
    transaction.commit()?;
    must_be_known(found)?;
    if is_upgraded {
        fold_log(&db)?; // It holds all that was written anew.
    }
    db.execute_batch("PRAGMA foreign_keys = ON")?;
    Ok(db)
}

/// Whether there are tables.
pub(super) const KNOWN: &str = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'";

pub(super) fn make_tables(db: &Connection) -> Result<(), StoreError> {
    Ok([TENANTS, QUOTAS, SESSIONS, JOBS, JOB_PARTS, JOB_CHANGES]
        .iter()
        .try_for_each(|tables| db.execute_batch(tables))?)
}

/// The version of the tables that are there.
pub(super) fn version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT version FROM schema_version", [], |row| row.get(0))?)
}

pub(super) fn must_be_known(found: i64) -> Result<(), StoreError> {
    if found == VERSION {
        return Ok(());
    }
    Err(StoreError::Unusable(format!(
        "the data directory has format {found}, and this server knows formats up to {VERSION}; use a newer server"
    )))
}

/// A statement is planned once. Otherwise SQLite looks at what is bound to it, to see
/// whether an index of a part of a table fits, and plans it anew each time that changes.
fn keep_plans(db: &Connection) -> Result<(), StoreError> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Demands the log. Where there can be none, SQLite does not fail but goes on as it
/// was; and whether the disk has taken the change, it says only after its answer, so
/// that is read to its end. Without the log a power cut may undo the last commit.
fn keep_log(db: &Connection) -> Result<(), StoreError> {
    let modes: Vec<String> = rows::all(db, "PRAGMA journal_mode = WAL", [], |row| row.get("journal_mode"))?;
    if modes == ["wal"] {
        return Ok(());
    }
    Err(StoreError::Unusable(format!(
        "the database keeps no log in the data directory but stays in the mode `{}`; the disk may lack \
         shared memory, as network shares do: choose another",
        modes.concat()
    )))
}

/// A connection that only reads: always the last commit.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    keep_plans(&db)?;
    Ok(db)
}

/// A connection for checkpoints alone.
pub(super) fn open_for_checkpoints(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(path, OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
    db.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL;")?;
    Ok(db)
}

/// Carries over from the log what no reader still needs there; waits for nobody.
pub(super) fn checkpoint(db: &Connection) -> Result<(), StoreError> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

/// Carries over all of the log and empties it, unless a reader is still there.
pub(super) fn fold_log(db: &Connection) -> Result<(), StoreError> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// How a query goes about its work, in SQLite's words; for tests that demand
/// an index.
#[cfg(test)]
pub(super) fn plan(sql: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let db = open_for_writing(&home.path().join("db")).unwrap();
    let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let nulls = vec![rusqlite::types::Null; query.parameter_count()];
    let steps = query.query_map(rusqlite::params_from_iter(nulls), |row| row.get("detail")).unwrap();
    steps.collect::<Result<Vec<String>, _>>().unwrap().join("; ")
}
