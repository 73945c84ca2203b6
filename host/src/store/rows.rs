//! Between rows and values.
//!
//! Promise: a row that does not read back as what was written is an error with
//! words, never a panic and never a guess.

use std::cell::Cell;
use std::cell::OnceCell;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::Params;
use rusqlite::types::FromSql;
use rusqlite::types::ValueRef;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::model::path::SessionPath;
use crate::model::rolling_key::KeyNumber;
use crate::store::error::StoreError;

/// A row that a query found. Its columns are asked for by name.
pub(super) struct Row<'a> {
    found: &'a rusqlite::Row<'a>,
    /// Asked for once: to ask SQLite for all of them for each column costs more than the query.
    columns: OnceCell<Vec<&'a str>>,
    /// The column behind the one that was asked for last. Most are asked for in their order.
    next: Cell<usize>,
}

impl<'a> Row<'a> {
    pub(super) fn of(found: &'a rusqlite::Row<'a>) -> Self {
        Self { found, columns: OnceCell::new(), next: Cell::new(0) }
    }

    /// The value in a column.
    pub(super) fn get<T: FromSql>(&self, column: &str) -> Result<T, StoreError> {
        Ok(self.found.get(self.index(column)?)?)
    }

    /// The same, where it lies.
    pub(super) fn get_ref(&self, column: &str) -> Result<ValueRef<'a>, StoreError> {
        Ok(self.found.get_ref(self.index(column)?)?)
    }

    /// The same of a column that holds text.
    fn text(&self, column: &str) -> Result<&'a str, StoreError> {
        self.get_ref(column)?.as_str().map_err(|error| StoreError::Broken(format!("{error} in column {column}")))
    }

    fn index(&self, column: &str) -> Result<usize, StoreError> {
        let columns = self.columns.get_or_init(|| self.found.as_ref().column_names().collect());
        let first = self.next.get();
        let index = (first..columns.len()).chain(0..first).find(|index| columns.get(*index) == Some(&column));
        let index = index.ok_or_else(|| rusqlite::Error::InvalidColumnName(column.to_owned()))?;
        self.next.set(index + 1);
        Ok(index)
    }
}

/// The first row that the query finds.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    rows.next()?.map(|row| read(&Row::of(row))).transpose()
}

/// All rows that the query finds.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    each(db, sql, params, |row| {
        found.push(read(row)?);
        Ok(())
    })?;
    Ok(found)
}

/// Gives all rows that the query finds to `read`, one after the other, however many there are.
pub(super) fn each(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    while let Some(row) = rows.next()? {
        read(&Row::of(row))?;
    }
    Ok(())
}

/// Changes rows; says how many.
pub(super) fn change(db: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// Whether the query finds a row.
pub(super) fn exists(db: &Connection, sql: &str, params: impl Params) -> Result<bool, StoreError> {
    Ok(db.prepare_cached(sql)?.exists(params)?)
}

/// A text column that holds a name, a word or the like.
pub(super) fn parsed<T>(row: &Row<'_>, column: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    row.text(column)?.parse().map_err(|error: T::Err| StoreError::Broken(error.to_string()))
}

/// A column that holds a path in a session.
pub(super) fn path(row: &Row<'_>, column: &str) -> Result<SessionPath, StoreError> {
    SessionPath::parse(row.text(column)?).map_err(|error| StoreError::Broken(error.to_string()))
}

/// A column of words of which `word` gives one for each of `all`.
pub(super) fn word_of<T: Copy>(
    row: &Row<'_>,
    column: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, StoreError> {
    let text = row.text(column)?;
    let known = all.iter().copied().find(|value| word(*value) == text);
    known.ok_or_else(|| StoreError::Broken(format!("`{text}` in column {column}")))
}

/// A column of 32 bytes.
pub(super) fn hash(row: &Row<'_>, column: &str) -> Result<[u8; 32], StoreError> {
    let bytes = row.get_ref(column)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| StoreError::Broken(format!("what is in column {column} is no hash of 32 bytes")))
}

/// A column that holds a digest.
pub(super) fn digest(row: &Row<'_>, column: &str) -> Result<Digest, StoreError> {
    hash(row, column).map(Digest::from_bytes)
}

/// A column that holds a number that is never negative.
pub(super) fn number(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| StoreError::Broken(format!("{number} in column {column}")))
}

/// The same, small.
pub(super) fn small(row: &Row<'_>, column: &str) -> Result<u32, StoreError> {
    let number: i64 = row.get(column)?;
    u32::try_from(number).map_err(|_| StoreError::Broken(format!("{number} in column {column}")))
}

/// A column that may hold the number of a session key.
pub(super) fn key_number(row: &Row<'_>, column: &str) -> Result<Option<KeyNumber>, StoreError> {
    let stored: Option<i64> = row.get(column)?;
    stored.map(|_| number(row, column).map(KeyNumber)).transpose()
}

/// A column that holds a moment.
pub(super) fn moment(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_micros(row.get(column)?))
}

/// A column that holds a stretch of time.
pub(super) fn stretch(row: &Row<'_>, column: &str) -> Result<Duration, StoreError> {
    Ok(Duration::from_micros(number(row, column)?))
}

/// A column that may hold one.
pub(super) fn optional_stretch(row: &Row<'_>, column: &str) -> Result<Option<Duration>, StoreError> {
    let micros: Option<i64> = row.get(column)?;
    micros.map(|_| stretch(row, column)).transpose()
}

/// A number as a column takes it. Nothing that we count comes near the bound.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A stretch of time as a column takes it, in microseconds.
pub(super) fn stored_stretch(stretch: Duration) -> i64 {
    i64::try_from(stretch.as_micros()).unwrap_or(i64::MAX)
}
