//! Sessions on record.
//!
//! Promise: an id is one session of its owner at a time; a session's number is
//! never given to another. A session that is removed takes everything with it.

use rusqlite::Connection;
use rusqlite::params;

use crate::ids::PrincipalId;
use crate::ids::SessionId;
use crate::ids::TenantId;
use crate::model::caller::Owner;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::rolling_key::KeyNumber;
use crate::model::session::ListedState;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::session::SessionState;
use crate::model::session::Usage;
use crate::store::Store;
use crate::store::blobs;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::expiry;
use crate::store::keys;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::quotas;
use crate::store::quotas::Delta;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::rows::Row;

/// Which session a write is for, and the number of the session key that must be
/// the newest then; `None` where none is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub session: SessionKey,
    pub key: Option<KeyNumber>,
}

impl From<SessionKey> for Access {
    fn from(session: SessionKey) -> Self {
        Access { session, key: None }
    }
}

/// Which sessions are wanted; everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    pub owner: Option<PrincipalId>,
    pub state: Option<ListedState>,
}

impl SessionFilter {
    /// The query for one page, whose cost is that of the page: each form of it
    /// begins at its place in an index, and reads on from there.
    fn query(&self) -> String {
        let place = match self.owner {
            Some(_) => "principal = ?2 AND id > ?3",
            None => "(principal, id) > (?2, ?3)",
        };
        let state = match self.state {
            None => String::new(),
            Some(ListedState::Active) => " AND state = 'active'".to_owned(),
            // The second condition is the index's own; SQLite does not see that it follows from the first.
            Some(state) => format!(" AND state = '{}' AND state <> 'active'", state.word()),
        };
        format!("SELECT * FROM session WHERE tenant = ?1 AND {place}{state} ORDER BY principal, id LIMIT ?4")
    }
}

impl Store {
    /// The owner's session of that id. One that is being dropped does not exist
    /// here any more (R19).
    pub async fn session(&self, owner: &Owner, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let find = "SELECT * FROM session WHERE tenant = ?1 AND principal = ?2 AND id = ?3 AND state = 'active'";
        let key = params![owner.tenant.as_str(), owner.principal.as_str(), id.as_str()];
        self.look(|db| rows::one(db, find, key, session))
    }

    /// Whether the owner has a session of that id, whatever its state.
    pub async fn is_named(&self, owner: &Owner, id: &SessionId) -> Result<bool, StoreError> {
        let find = "SELECT 1 FROM session WHERE tenant = ?1 AND principal = ?2 AND id = ?3";
        let key = params![owner.tenant.as_str(), owner.principal.as_str(), id.as_str()];
        self.look(|db| rows::exists(db, find, key))
    }

    /// A session by its number, whatever its state.
    pub async fn session_by_key(&self, key: SessionKey) -> Result<Option<Session>, StoreError> {
        self.look(|db| by_key(db, key))
    }

    /// The sessions of a tenant by principal and id; those that are being
    /// dropped too (R21).
    pub async fn sessions(
        &self,
        tenant: &TenantId,
        filter: SessionFilter,
        page: PageOf,
    ) -> Result<Page<Session>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |db| {
            // The key of this list has two parts; neither can contain a space.
            let after = page.after()?.unwrap_or_else(|| " ".to_owned());
            let (principal, id) = after.split_once(' ').ok_or(Refused::Cursor)?;
            let principal = filter.owner.as_ref().map_or(principal, PrincipalId::as_str);
            let values = params![tenant.as_str(), principal, id, page.rows()];
            let found = rows::all(db, &filter.query(), values, session)?;
            Ok(page.fill(found, Session::place_in_list))
        })
        .await
    }

    /// Gives an active session another id. Refused as `SessionExists`,
    /// `SessionGone` and `SessionKey` of [`Refused`].
    pub fn rename_session(&self, access: impl Into<Access>, to: SessionId) -> Receipt<()> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            entered(db, access)?;
            rename(db, access.session, &to)
        })
    }

    /// Marks a session as being dropped; says whether it was active. Refused as
    /// [`Refused::SessionKey`].
    pub fn mark_session(&self, access: impl Into<Access>) -> Receipt<bool> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            if !roll_key(db, access)? && by_key(db, access.session)?.is_some_and(|one| one.state.takes_requests()) {
                return Err(Refused::SessionKey.into());
            }
            let mark = "UPDATE session SET state = 'marked' WHERE key = ?1 AND state = 'active'";
            Ok(rows::change(db, mark, [access.session.0])? == 1)
        })
    }

    /// Removes a session with its files and parameters; says whether there was one.
    pub fn remove_session(&self, key: SessionKey) -> Receipt<bool> {
        let shared = self.shared();
        self.writer().enqueue_then(
            move |db| remove(db, key),
            move |removed| {
                shared.copies.forget(key);
                removed
            },
        )
    }
}

/// The number of the owner's session of that id, whatever its state.
pub(super) fn key_of(db: &Connection, owner: &Owner, id: &SessionId) -> Result<Option<SessionKey>, StoreError> {
    let find = "SELECT key FROM session WHERE tenant = ?1 AND principal = ?2 AND id = ?3";
    let values = params![owner.tenant.as_str(), owner.principal.as_str(), id.as_str()];
    rows::one(db, find, values, |row| Ok(SessionKey(row.get("key")?)))
}

/// Gives an active session another id.
pub(super) fn rename(db: &Connection, key: SessionKey, to: &SessionId) -> Result<(), StoreError> {
    let session = active(db, key)?;
    let owner = &session.owner;
    let taken = "SELECT 1 FROM session WHERE tenant = ?1 AND principal = ?2 AND id = ?3 AND key <> ?4";
    let values = params![owner.tenant.as_str(), owner.principal.as_str(), to.as_str(), key.0];
    if rows::exists(db, taken, values)? {
        return Err(Refused::SessionExists(to.clone()).into());
    }
    rows::change(db, "UPDATE session SET id = ?2 WHERE key = ?1", params![key.0, to.as_str()])?;
    Ok(())
}

/// Removes a session with all it holds; says whether there was one.
pub(super) fn remove(db: &Connection, key: SessionKey) -> Result<bool, StoreError> {
    let delete = "DELETE FROM session WHERE key = ?1 RETURNING tenant, stored_bytes";
    let gone = rows::one(db, delete, [key.0], |row| Ok((rows::parsed(row, "tenant")?, row.get("stored_bytes")?)))?;
    let Some((tenant, stored_bytes)): Option<(TenantId, i64)> = gone else { return Ok(false) };
    quotas::count(db, &tenant, Delta { sessions: -1, stored_bytes: -stored_bytes, ..Delta::default() }, None)?;
    blobs::let_go(db, "DELETE FROM chunk WHERE session = ?1 RETURNING length, blob", [key.0])?;
    for rest in [
        "DELETE FROM node WHERE session = ?1",
        "DELETE FROM param WHERE session = ?1",
        "DELETE FROM session_commit WHERE session = ?1",
    ] {
        rows::change(db, rest, [key.0])?;
    }
    Ok(true)
}

/// Removes a session that is being dropped; says whether there was one.
pub(super) fn remove_marked(db: &Connection, key: SessionKey) -> Result<bool, StoreError> {
    let marked = "SELECT 1 FROM session WHERE key = ?1 AND state = 'marked'";
    Ok(rows::exists(db, marked, [key.0])? && remove(db, key)?)
}

/// A session by its number, whatever its state.
pub(super) fn by_key(db: &Connection, key: SessionKey) -> Result<Option<Session>, StoreError> {
    rows::one(db, "SELECT * FROM session WHERE key = ?1", [key.0], session)
}

/// The same, refused unless it takes requests.
pub(super) fn active(db: &Connection, key: SessionKey) -> Result<Session, StoreError> {
    let session = by_key(db, key)?.filter(|session| session.state.takes_requests());
    session.ok_or(StoreError::Refused(Refused::SessionGone))
}

/// The same for a write from outside, whose session key gives way to the next
/// one. Refused as `SessionGone` and `SessionKey`.
pub(super) fn entered(db: &Connection, access: Access) -> Result<Session, StoreError> {
    let session = active(db, access.session)?;
    if roll_key(db, access)? { Ok(session) } else { Err(Refused::SessionKey.into()) }
}

/// Puts the next session key in the place of the one that a request carries.
/// `false` if that one is not the newest of an active session, and nothing was
/// changed.
pub(super) fn roll_key(db: &Connection, access: Access) -> Result<bool, StoreError> {
    let Some(shown) = access.key else { return Ok(true) };
    let roll = "UPDATE session SET key_number = ?3 WHERE key = ?1 AND key_number = ?2 AND state = 'active'";
    let values = params![access.session.0, rows::stored(shown.0), rows::stored(shown.next().0)];
    Ok(rows::change(db, roll, values)? == 1)
}

pub(super) fn queue_word(mode: QueueMode) -> &'static str {
    match mode {
        QueueMode::Wait => "wait",
        QueueMode::Reject => "reject",
    }
}

fn state_word(state: SessionState) -> &'static str {
    match state {
        SessionState::Active => "active",
        SessionState::Pending => "pending",
        SessionState::Marked => "marked",
        SessionState::Gone => "gone",
    }
}

/// A row of `session`.
pub(super) fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        key: SessionKey(row.get("key")?),
        id: rows::parsed(row, "id")?,
        owner: keys::owner(row)?,
        state: rows::word_of(row, "state", &[SessionState::Active, SessionState::Marked], state_word)?,
        queue: rows::word_of(row, "queue", &[QueueMode::Wait, QueueMode::Reject], queue_word)?,
        limits: SessionLimits { bytes: rows::number(row, "limit_bytes")?, files: rows::number(row, "limit_files")? },
        usage: Usage { bytes: rows::number(row, "kept_bytes")?, files: rows::number(row, "kept_files")? },
        terms: expiry::terms(row)?,
        transaction: rows::word_of(row, "mode", &TransactionMode::ALL, TransactionMode::word)?,
        uncommitted: row.get("uncommitted")?,
        retention: Retention {
            commits: rows::small(row, "history_commits")?,
            age: rows::optional_stretch(row, "history_age_us")?,
        },
        oldest_commit: rows::number(row, "oldest")?,
        stored_bytes: rows::number(row, "stored_bytes")?,
        newest_key: rows::key_number(row, "key_number")?,
        commit: rows::number(row, "version")?,
        created_at: rows::moment(row, "created_at")?,
        last_used_at: rows::moment(row, "last_used_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[track_caller]
    fn check(owner: Option<&str>, state: Option<ListedState>, expected: &str) {
        let filter = SessionFilter { owner: owner.map(|name| name.parse().unwrap()), state };
        assert_eq!(schema::plan(&filter.query()), format!("SEARCH session USING INDEX {expected}"), "{filter:?}");
    }

    #[test]
    fn r21_each_page_of_a_list_begins_at_its_place_in_an_index() {
        let (one, all) = ("(tenant=? AND principal=? AND id>?)", "(tenant=? AND (principal,id)>(?,?))");
        for state in [None, Some(ListedState::Active)] {
            check(Some("p"), state, &format!("sqlite_autoindex_session_1 {one}"));
            check(None, state, &format!("sqlite_autoindex_session_1 {all}"));
        }
        for state in [Some(ListedState::Pending), Some(ListedState::Marked)] {
            check(Some("p"), state, "session_state (tenant=? AND state=? AND principal=? AND id>?)");
            check(None, state, "session_state (tenant=? AND state=? AND (principal,id)>(?,?))");
        }
    }
}
