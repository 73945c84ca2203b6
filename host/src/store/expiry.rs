//! The expiry of sessions on record (R20).
//!
//! Promise: `expires_at` follows from a session's terms, its creation and its
//! last use wherever one of them is written, so it holds after a restart too,
//! and those that are due are found by an index, however many are not.
//!
//! Not here: the rule (`model::expiry`), and who asks (`service::expiry`).

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::expiry::Life;
use crate::model::expiry::NewTerms;
use crate::model::expiry::Terms;
use crate::model::history::NewRetention;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::edit::Edit;
use crate::store::error::StoreError;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::sessions;
use crate::store::sessions::Access;

/// What may be changed about a session that is there; what is not given stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionChanges {
    pub terms: NewTerms,
    pub queue: Option<QueueMode>,
    pub retention: NewRetention,
}

/// A place in the list of sessions that are due.
pub type DuePlace = (Timestamp, SessionKey);

/// The active sessions that are due, by the moment of their expiry.
const DUE: &str = "SELECT * FROM session
                   WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND (expires_at, key) > (?2, ?3)
                       AND state = 'active'
                   ORDER BY expires_at, key LIMIT ?4";

/// Active sessions with a commit that is too old.
const OLD_COMMITS: &str = "SELECT key FROM session
                           WHERE history_due_at IS NOT NULL AND history_due_at <= ?1 AND state = 'active'
                           ORDER BY history_due_at LIMIT ?2";

/// Those that are being dropped.
const MARKED: &str = "SELECT * FROM session WHERE state = 'marked' AND key > ?1 ORDER BY key LIMIT ?2";

impl Store {
    /// Changes a session's terms and the like, which counts as a use of it.
    /// Refused as `SessionGone` and `SessionKey` of [`Refused`](super::Refused).
    pub fn change_session(
        &self,
        access: impl Into<Access>,
        changes: SessionChanges,
        now: Timestamp,
    ) -> Receipt<Session> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            let (session, key) = (sessions::entered(db, access)?, access.session);
            let terms = session.terms.with(changes.terms);
            let queue = changes.queue.unwrap_or(session.queue);
            let retention = session.retention.with(changes.retention);
            let update = "UPDATE session SET idle_timeout_us = ?2, lifetime_us = ?3, queue = ?4, history_commits = ?5,
                              history_age_us = ?6
                          WHERE key = ?1";
            let values = params![
                key.0,
                stored(terms.idle_timeout),
                stored(terms.lifetime),
                sessions::queue_word(queue),
                retention.commits,
                stored(retention.age),
            ];
            rows::change(db, update, values)?;
            used(db, key, now)?;
            Edit::begin(db, key)?.forget_old(now)?;
            sessions::active(db, key)
        })
    }

    /// Lets go of commits that are too old by `now`, in at most `limit` sessions;
    /// says in how many.
    pub fn forget_old_commits(&self, now: Timestamp, limit: usize) -> Receipt<usize> {
        self.writer().enqueue(move |db| {
            let values = params![now.micros(), rows::stored(limit as u64)];
            let due = rows::all(db, OLD_COMMITS, values, |row| Ok(SessionKey(row.get("key")?)))?;
            due.iter().try_for_each(|key| Edit::begin(db, *key)?.forget_old(now))?;
            Ok(due.len())
        })
    }

    /// At most `limit` active sessions whose expiry has come by `now`, after a
    /// place in their list.
    pub async fn due_sessions(
        &self,
        now: Timestamp,
        after: Option<DuePlace>,
        limit: usize,
    ) -> Result<Vec<Session>, StoreError> {
        let (moment, key) = after.unwrap_or((Timestamp::from_micros(i64::MIN), SessionKey(i64::MIN)));
        let values = (now.micros(), moment.micros(), key.0, rows::stored(limit as u64));
        self.read(move |db| rows::all(db, DUE, values, sessions::session)).await
    }

    /// Marks those of `keys` whose expiry has come by `now`, and says which they
    /// are: one that was used since it was found due lives on.
    pub fn mark_expired(&self, keys: Vec<SessionKey>, now: Timestamp) -> Receipt<Vec<SessionKey>> {
        self.writer().enqueue(move |db| {
            let mark = "UPDATE session SET state = 'marked' WHERE key = ?1 AND state = 'active' AND expires_at <= ?2";
            let mut marked = Vec::with_capacity(keys.len());
            for key in &keys {
                if rows::change(db, mark, params![key.0, now.micros()])? == 1 {
                    marked.push(*key);
                }
            }
            Ok(marked)
        })
    }

    /// At most `limit` sessions that are being dropped, after one of them.
    pub async fn marked_sessions(&self, after: Option<SessionKey>, limit: usize) -> Result<Vec<Session>, StoreError> {
        let values = (after.map_or(i64::MIN, |key| key.0), rows::stored(limit as u64));
        self.read(move |db| rows::all(db, MARKED, values, sessions::session)).await
    }

    /// Removes marked sessions with their files and parameters.
    pub fn remove_marked(&self, keys: Vec<SessionKey>) -> Receipt<()> {
        let shared = self.shared();
        let gone = keys.clone();
        self.writer().enqueue_then(
            move |db| keys.iter().try_for_each(|key| sessions::remove_marked(db, *key).map(|_| ())),
            move |removed| {
                removed?;
                gone.into_iter().for_each(|key| shared.copies.forget(key));
                Ok(())
            },
        )
    }
}

/// Notes a use of a session, if it is still there.
pub(super) fn used(db: &Connection, key: SessionKey, now: Timestamp) -> Result<(), StoreError> {
    let update = "UPDATE session SET last_used_at = CASE WHEN last_used_at < ?2 THEN ?2 ELSE last_used_at END
                  WHERE key = ?1";
    rows::change(db, update, params![key.0, now.micros()])?;
    keep_up(db, key)
}

/// Writes when a session expires, if it is there, unless that is on record already:
/// most sessions have no terms, and cost a look here.
pub(super) fn keep_up(db: &Connection, key: SessionKey) -> Result<(), StoreError> {
    // Not given back by the update before: that would go through a table of its own.
    let find = "SELECT idle_timeout_us, lifetime_us, created_at, last_used_at, expires_at FROM session WHERE key = ?1";
    let found = rows::one(db, find, [key.0], |row| {
        let terms = terms(row)?;
        let life =
            Life { created_at: rows::moment(row, "created_at")?, last_used_at: rows::moment(row, "last_used_at")? };
        let on_record: Option<i64> = row.get("expires_at")?;
        Ok((terms.expires_at(life).map(Timestamp::micros), on_record))
    })?;
    match found {
        Some((expires_at, on_record)) if expires_at != on_record => {
            rows::change(db, "UPDATE session SET expires_at = ?2 WHERE key = ?1", params![key.0, expires_at])
                .map(|_| ())
        }
        Some(_) | None => Ok(()),
    }
}

/// The terms in a row of `session`.
pub(super) fn terms(row: &Row<'_>) -> Result<Terms, StoreError> {
    Ok(Terms {
        idle_timeout: rows::optional_stretch(row, "idle_timeout_us")?,
        lifetime: rows::optional_stretch(row, "lifetime_us")?,
    })
}

/// A term as a column takes it.
pub(super) fn stored(term: Option<Duration>) -> Option<i64> {
    term.map(rows::stored_stretch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn r20_what_is_due_is_found_by_an_index() {
        assert_eq!(schema::plan(DUE), "SEARCH session USING INDEX session_expiry (expires_at>? AND expires_at<?)");
        assert_eq!(
            schema::plan(OLD_COMMITS),
            "SEARCH session USING INDEX session_history (history_due_at>? AND history_due_at<?)"
        );
        assert_eq!(schema::plan(MARKED), "SEARCH session USING INDEX session_marked (key>?)");
    }
}
