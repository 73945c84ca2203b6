//! The tip of a session: where its writes stand, committed or not.

use rusqlite::Connection;

use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::nodes::FileNumber;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::sessions;

/// Where the writes to a session stand, committed or not.
#[derive(Clone, Debug)]
pub(super) struct Tip {
    pub(super) step: i64,
    /// The last step that changed a file, directory or link.
    pub(super) tree_version: i64,
    pub(super) usage: Usage,
    pub(super) next_file: FileNumber,
    pub(super) stored_bytes: u64,
    pub(super) past_bytes: u64,
}

/// A session that takes requests, and its tip. Refused as
/// [`Refused::SessionGone`].
pub(super) fn active(db: &Connection, key: SessionKey) -> Result<(Session, Tip), StoreError> {
    let find = "SELECT * FROM session WHERE key = ?1 AND state = 'active'";
    let found = rows::one(db, find, [key.0], |row| Ok((sessions::session(row)?, tip(row)?)))?;
    found.ok_or(StoreError::Refused(Refused::SessionGone))
}

impl Tip {
    /// New rows of `chunk` take so many bytes.
    pub(super) fn stored(&mut self, bytes: u64) {
        self.stored_bytes += bytes;
    }

    /// Rows of `chunk` that took so many bytes are gone.
    pub(super) fn freed(&mut self, bytes: u64) {
        self.stored_bytes = self.stored_bytes.saturating_sub(bytes);
    }

    /// Rows of `chunk` that take so many bytes are past.
    pub(super) fn past(&mut self, bytes: u64) {
        self.past_bytes += bytes;
    }

    /// Such rows are not past any more.
    pub(super) fn not_past(&mut self, bytes: u64) {
        self.past_bytes = self.past_bytes.saturating_sub(bytes);
    }
}

pub(super) fn tip(row: &Row<'_>) -> Result<Tip, StoreError> {
    Ok(Tip {
        step: row.get("step")?,
        tree_version: row.get("tree_version")?,
        usage: Usage { bytes: rows::number(row, "used_bytes")?, files: rows::number(row, "used_files")? },
        next_file: row.get("next_file")?,
        stored_bytes: rows::number(row, "stored_bytes")?,
        past_bytes: rows::number(row, "past_bytes")?,
    })
}
