//! Damage to bytes and to rows.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::feed::Feed;
use crate::store::fuzzing::Files;
use crate::store::schema;

/// Changes a byte of one of the files, or ends it there.
pub(super) fn bytes(files: &mut Files, feed: &mut Feed<'_>) -> Option<()> {
    let at = feed.choice(files.len())?;
    let file = files.values_mut().nth(at)?;
    let page = feed.number()?;
    let at = usize::try_from(page.saturating_mul(4096).saturating_add(feed.number()?)).unwrap_or(usize::MAX);
    let at = at % file.len().max(1);
    match (feed.byte()?, file.get_mut(at)) {
        (0, _) => file.truncate(at),
        (change, Some(byte)) => *byte ^= change,
        (_, None) => {}
    }
    Some(())
}

/// Gives one cell of the database another value, or deletes its row. What the
/// tables do not allow does not happen.
pub(super) fn rows(db: &Connection, feed: &mut Feed<'_>) -> Option<()> {
    let table = pick(db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", feed)?;
    let key: Vec<String> = texts(db, &format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0"));
    let key = if key.is_empty() { "rowid".to_owned() } else { key.join(", ") };
    let row = feed.number()? % 8;
    let row = format!("({key}) = (SELECT {key} FROM {table} LIMIT 1 OFFSET {row})");
    let column = pick(db, &format!("SELECT name FROM pragma_table_info('{table}')"), feed)?;
    let value = match feed.byte()? % 8 {
        0 => Value::Null,
        1 => Value::Integer(feed.number()?.cast_signed()),
        2 => Value::Integer(feed.number()?.cast_signed().wrapping_neg()),
        3 => Value::Real(f64::from_bits(feed.number()?)),
        4 => Value::Blob(feed.piece()?.to_vec()),
        5 => Value::Text(String::from_utf8_lossy(feed.piece()?).into_owned()),
        6 => {
            let _ = db.execute(&format!("DELETE FROM {table} WHERE {row}"), []);
            return Some(());
        }
        _ => {
            // The value of another row: right by itself, and wrong here.
            let other = feed.number()? % 8;
            let from = format!("(SELECT {column} FROM {table} LIMIT 1 OFFSET {other})");
            let _ = db.execute(&format!("UPDATE {table} SET {column} = {from} WHERE {row}"), []);
            return Some(());
        }
    };
    let _ = db.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE {row}"), [value]);
    Some(())
}

/// A database to be damaged, which keeps what it is told.
pub(super) fn open(path: &std::path::Path) -> Option<Connection> {
    let db = Connection::open(path).ok()?;
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
        .ok()?;
    schema::version(&db).ok()?;
    Some(db)
}

fn pick(db: &Connection, sql: &str, feed: &mut Feed<'_>) -> Option<String> {
    let all = texts(db, sql);
    let at = feed.choice(all.len().max(1))?;
    all.into_iter().nth(at)
}

fn texts(db: &Connection, sql: &str) -> Vec<String> {
    let Ok(mut query) = db.prepare(sql) else { return Vec::new() };
    let Ok(rows) = query.query_map([], |row| row.get(0)) else { return Vec::new() };
    rows.map_while(Result::ok).collect()
}
