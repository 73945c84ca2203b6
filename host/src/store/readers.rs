//! Readers: connections that see the last commit and wait for nobody.
//!
//! Promise: everything that one closure reads is from one commit.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use rusqlite::Connection;

use crate::limits::READERS_KEPT;
use crate::store::error::StoreError;
use crate::store::rows;
use crate::store::schema;

/// Connections for reading. One is opened whenever none is free, so that a long
/// read never holds up a short one; their number is bounded by the threads that
/// may block.
pub(super) struct Readers {
    database: PathBuf,
    free: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(database: PathBuf) -> Readers {
        Readers { database, free: Mutex::new(Vec::new()) }
    }

    /// Lets `read` look at the last commit. Blocks for as long as that takes.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match free {
            Some(db) => db,
            None => schema::open_for_reading(&self.database)?,
        };
        let result = read_once(&db, read);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < READERS_KEPT && db.is_autocommit() {
            free.push(db);
        }
        result
    }
}

/// How somebody reads who looks several times.
#[derive(Clone, Copy)]
pub(super) enum Looks<'a> {
    /// Each time at the last commit, so that no look is held open meanwhile.
    Apart(&'a Readers),
    /// All of them within one.
    InOne(&'a Connection),
}

impl Looks<'_> {
    pub(super) fn with<T>(self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self {
            Looks::Apart(readers) => readers.with(read),
            Looks::InOne(db) => read(db),
        }
    }
}

/// Like a transaction of rusqlite, but begun and ended by statements that are kept. A panic closes the connection.
fn read_once<T>(db: &Connection, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let _ = rows::change(db, "BEGIN", [])?;
    let result = read(db);
    // Some failures have ended it already; there is nothing that a rollback could undo.
    let ended = if db.is_autocommit() { Ok(0) } else { rows::change(db, "COMMIT", []) };
    let value = result?;
    ended.map(|_| value)
}
