//! A look at a database that may hold anything: old, damaged, or not ours.
//!
//! Promise: nothing is changed, no byte of any file. What the tables should be is
//! not written here a second time: they are compared with new ones.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_encode;
use rusqlite::Connection;
use rusqlite::OpenFlags;

use crate::store::error::StoreError;
use crate::store::plain;
use crate::store::rows;
use crate::store::schema;
use crate::store::schema::VERSION;

/// What stands as it is in the URI of a database.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/');

/// A connection that only looks, at a database that nobody else has open and
/// that may hold anything. It changes no byte of the data directory.
///
/// Without a log, `immutable` spares SQLite its lock and the index of the log,
/// which it would make as files. A log that a kill left must be read, since it
/// holds the last commits; its index was left beside it, and is not trusted but
/// made anew in memory, which is what `readonly_shm` means when nobody else is
/// there. Only if somebody has copied the log without its index is one made.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::symlink_metadata(name).map_or(0, |meta| meta.len())
    };
    let how = match (beside("-wal"), beside("-shm")) {
        (0, _) => "?immutable=1",
        (_, 0) => "",
        (_, _) => "?readonly_shm=1",
    };
    let path = percent_encode(path.as_os_str().as_bytes(), PLAIN);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(format!("file:{path}{how}"), flags)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    Ok(db)
}

/// Whether a database is of an older format, which a server would upgrade.
pub(super) fn is_old(path: &Path) -> Result<bool, StoreError> {
    let db = open(path)?;
    let known = db.prepare(schema::KNOWN).and_then(|mut known| known.exists([]));
    // What cannot be read is for `check` to name.
    Ok(known.unwrap_or(false) && schema::version(&db).is_ok_and(|found| found < VERSION))
}

/// Refuses a database of a newer server, if there is one at all.
pub(super) fn must_not_be_newer(path: &Path) -> Result<(), StoreError> {
    if !plain::is_file(path) {
        return Ok(());
    }
    let db = open(path)?;
    if db.prepare(schema::KNOWN)?.exists([])? && schema::version(&db)? > VERSION {
        schema::must_be_known(schema::version(&db)?)?;
    }
    Ok(())
}

/// Refuses a database of another format: what holds there is not known here.
/// One that says nothing of its format is left to [`faults`].
pub(super) fn must_be_current(db: &Connection) -> Result<(), StoreError> {
    let found = match db.prepare(schema::KNOWN)?.exists([])? {
        true => schema::version(db)?,
        false => return Ok(()),
    };
    if found < VERSION {
        return Err(StoreError::Unusable(format!(
            "the data directory has format {found}, and this program looks at format {VERSION} only; \
             start the server once, which upgrades it"
        )));
    }
    schema::must_be_known(found)
}

/// How the tables and indexes differ from those that [`VERSION`] means: something
/// is missing, or something is there that a writer would obey.
pub(super) fn faults(db: &Connection) -> Result<Vec<String>, StoreError> {
    let model = Connection::open_in_memory()?;
    schema::make_tables(&model)?;
    let (expected, found) = (shape(&model)?, shape(db)?);
    let missing = expected.difference(&found).map(|what| format!("the database lacks {what}"));
    let foreign = found.difference(&expected).map(|what| format!("the database has {what}, which is not ours"));
    Ok(missing.chain(foreign).collect())
}

/// Everything in a schema, in words. Columns stand alone, since an upgrade adds
/// them at the end.
fn shape(db: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let things = "SELECT 'column ' || name || ' ' || type || iif(\"notnull\", ' not null', '') || ' of table ' || tbl.t
                      || ', ' || pk AS what
                  FROM (SELECT name AS t FROM sqlite_master WHERE type = 'table') AS tbl JOIN pragma_table_xinfo(tbl.t)
                  UNION ALL
                  SELECT type || ' ' || name || coalesce(': ' || iif(type = 'table', NULL, sql), '') FROM sqlite_master
                  WHERE name NOT LIKE 'sqlite_stat%'";
    Ok(rows::all(db, things, [], |row| row.get("what"))?.into_iter().collect())
}
