//! Between rows and values.
//!
//! Promise: a row that does not read back as what was written is an error with
//! words, never a panic and never a guess.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::Params;
use rusqlite::Row;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::model::path::SessionPath;
use crate::model::rolling_key::KeyNumber;
use crate::store::error::StoreError;

/// The first row that the query finds.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    rows.next()?.map(read).transpose()
}

/// All rows that the query finds.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
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
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| StoreError::Broken(error.to_string()))
}

/// A column that holds a path in a session.
pub(super) fn path(row: &Row<'_>, column: &str) -> Result<SessionPath, StoreError> {
    let text: String = row.get(column)?;
    SessionPath::parse(&text).map_err(|error| StoreError::Broken(error.to_string()))
}

/// A column of words of which `word` gives one for each of `all`.
pub(super) fn word_of<T: Copy>(
    row: &Row<'_>,
    column: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    let known = all.iter().copied().find(|value| word(*value) == text);
    known.ok_or_else(|| StoreError::Broken(format!("`{text}` in column {column}")))
}

/// A column of 32 bytes.
pub(super) fn hash(row: &Row<'_>, column: &str) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.get(column)?;
    bytes.try_into().map_err(|_| StoreError::Broken(format!("a hash in column {column} has not 32 bytes")))
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
