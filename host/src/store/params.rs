//! Parameters on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::history::Cause;
use crate::model::params::ParamChanges;
use crate::model::params::ParamMap;
use crate::model::params::Params;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::commits;
use crate::store::edit::By;
use crate::store::edit::Edit;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::nodes::View;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::sessions;
use crate::store::sessions::Access;

impl Store {
    /// A session's parameters as of a commit, the last one without a number; with
    /// the number. Refused as `SessionGone` and `NoCommit` of [`Refused`].
    pub async fn params(&self, key: SessionKey, commit: Option<u64>) -> Result<(ParamMap, u64), StoreError> {
        self.read(move |db| {
            let session = sessions::active(db, key)?;
            let view = commits::view_of(&session, commit)?;
            Ok((load(db, key, view)?, commit.unwrap_or(session.commit)))
        })
        .await
    }

    /// Changes parameters, as one commit; gives its number. Removing what is not
    /// there is no error. Refused as `SessionGone`, `SessionKey` and `Param` of
    /// [`Refused`].
    pub fn write_params(&self, access: impl Into<Access>, changes: ParamChanges, now: Timestamp) -> Receipt<u64> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            let mut edit = Edit::enter(db, access)?;
            let mut params = Params::new(Arc::new(load(db, access.session, View::Tip)?));
            // What goes makes room for what comes, whatever their names.
            for name in changes.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
                params.remove(name);
            }
            for (name, value) in &changes {
                if let Some(value) = value {
                    params.set(name, value).map_err(Refused::from)?;
                }
            }
            edit.params(&params.into_changes())?;
            Ok(edit.finish(By { cause: Cause::Params, job: None, at: now })?.commit)
        })
    }

    /// Removes a parameter, under the same terms. Refused also as
    /// [`Refused::NoParam`].
    pub fn remove_param(&self, access: impl Into<Access>, name: String, now: Timestamp) -> Receipt<u64> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            let mut edit = Edit::enter(db, access)?;
            let find = "SELECT 1 FROM param WHERE session = ?1 AND name = ?2 AND until = 0";
            if !rows::exists(db, find, params![access.session.0, &name])? {
                return Err(Refused::NoParam(name.clone()).into());
            }
            edit.params(&ParamChanges::from([(name.clone(), None)]))?;
            Ok(edit.finish(By { cause: Cause::Params, job: None, at: now })?.commit)
        })
    }
}

/// All parameters of a session in a view. In two parts, so that what is past before
/// it is not looked at: each job begins with this.
const IN_VIEW: &str = "SELECT name, value FROM param WHERE session = ?1 AND until = 0 AND since <= ?2
                       UNION ALL
                       SELECT name, value FROM param WHERE session = ?1 AND until > ?2 AND since <= ?2";

/// All parameters of a session.
pub(super) fn load(db: &Connection, key: SessionKey, view: View) -> Result<ParamMap, StoreError> {
    let values = params![key.0, view.bound()];
    let pairs = rows::all(db, IN_VIEW, values, |row| Ok((row.get("name")?, row.get("value")?)))?;
    Ok(BTreeMap::from_iter(pairs))
}

/// Writes those with which a session is made.
pub(super) fn begin(db: &Connection, key: SessionKey, changes: &ParamChanges) -> Result<(), StoreError> {
    let set = "INSERT INTO param (session, name, until, since, value) VALUES (?1, ?2, 0, 0, ?3)
               ON CONFLICT (session, name, until) DO UPDATE SET value = excluded.value";
    for (name, value) in changes {
        rows::change(db, set, params![key.0, name, value])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn r26_parameters_that_are_past_cost_a_job_nothing() {
        let steps = schema::plan(IN_VIEW);
        for part in ["(session=? AND until=?)", "(session=? AND until>?)"] {
            assert!(steps.contains(&format!("SEARCH param USING PRIMARY KEY {part}")), "{steps}");
        }
    }
}
