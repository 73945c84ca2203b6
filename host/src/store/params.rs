//! Parameters on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::params::ParamChanges;
use crate::model::params::ParamMap;
use crate::model::params::Params;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::sessions;
use crate::store::sessions::Access;
use crate::store::sessions::Tree;

impl Store {
    /// A session's parameters as of its last commit. Refused as
    /// [`Refused::SessionGone`].
    pub async fn params(&self, key: SessionKey) -> Result<ParamMap, StoreError> {
        self.read(move |db| {
            sessions::active(db, key)?;
            load(db, key)
        })
        .await
    }

    /// Changes parameters, as one commit; gives its number. Removing what is not
    /// there is no error. Refused as `SessionGone`, `SessionKey` and `Param` of
    /// [`Refused`].
    pub fn write_params(&self, access: impl Into<Access>, changes: ParamChanges, now: Timestamp) -> Receipt<u64> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            let (session, key) = (sessions::entered(db, access)?, access.session);
            let mut params = Params::new(Arc::new(load(db, key)?));
            // What goes makes room for what comes, whatever their names.
            for name in changes.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
                params.remove(name);
            }
            for (name, value) in &changes {
                if let Some(value) = value {
                    params.set(name, value).map_err(Refused::from)?;
                }
            }
            store(db, key, &params.into_changes())?;
            sessions::advance(db, &session, session.usage, Tree::Same, now)
        })
    }
}

/// All parameters of a session.
pub(super) fn load(db: &Connection, key: SessionKey) -> Result<ParamMap, StoreError> {
    let list = "SELECT name, value FROM param WHERE session = ?1";
    let pairs = rows::all(db, list, [key.0], |row| Ok((row.get("name")?, row.get("value")?)))?;
    Ok(BTreeMap::from_iter(pairs))
}

/// Writes changes that were checked against the limits.
pub(super) fn store(db: &Connection, key: SessionKey, changes: &ParamChanges) -> Result<(), StoreError> {
    let set = "INSERT INTO param (session, name, value) VALUES (?1, ?2, ?3)
               ON CONFLICT (session, name) DO UPDATE SET value = excluded.value";
    for (name, value) in changes {
        match value {
            Some(value) => rows::change(db, set, params![key.0, name, value])?,
            None => rows::change(db, "DELETE FROM param WHERE session = ?1 AND name = ?2", params![key.0, name])?,
        };
    }
    Ok(())
}
