//! Each record, read as a server reads it.
//!
//! Promise: a store in which nothing was found does not trip a server over a value
//! that it cannot read, at its start or later. The first such value ends the look:
//! it is told as [`StoreError::Broken`], and what else depends on it is not asked.

use rusqlite::Connection;

use crate::ids::TenantId;
use crate::limits::PATH_BYTES_MAX;
use crate::model::params::check_name;
use crate::store::commits;
use crate::store::error::StoreError;
use crate::store::job_ids::JobIds;
use crate::store::job_rows;
use crate::store::keys;
use crate::store::modules;
use crate::store::nodes;
use crate::store::nodes::Node;
use crate::store::rows;
use crate::store::sessions;
use crate::store::tenants;
use crate::store::tip;

pub(super) fn check(db: &Connection) -> Result<(), StoreError> {
    rows::each(db, "SELECT * FROM tenant", [], |row| tenants::tenant(row).map(drop))?;
    rows::each(db, "SELECT * FROM api_key", [], |row| keys::key(row).map(drop))?;
    rows::each(db, "SELECT * FROM module_version", [], |row| {
        let _: TenantId = rows::parsed(row, "tenant")?;
        modules::module_version(row).map(drop)
    })?;
    rows::each(db, "SELECT * FROM session", [], |row| {
        tip::tip(row)?;
        sessions::session(row).map(drop)
    })?;
    rows::each(db, "SELECT * FROM session_commit", [], |row| commits::commit(row).map(drop))?;
    rows::each(db, "SELECT * FROM node", [], |row| can_be_made(&nodes::node(row)?))?;
    rows::each(db, "SELECT name, value FROM param", [], |row| {
        let (name, _): (String, String) = (row.get("name")?, row.get("value")?);
        check_name(&name).map_err(|bad| StoreError::Broken(bad.to_string()))
    })?;
    let ids = JobIds::load(db)?;
    rows::each(db, "SELECT * FROM job", [], |row| {
        let (job, place): (_, String) = (job_rows::job(db, row)?, row.get("place")?);
        let is_found = ids.place(&job.id) == place;
        is_found.then_some(()).ok_or_else(|| StoreError::Broken(format!("nobody finds job {} by its id", job.id)))
    })?;
    rows::each(db, "SELECT * FROM job WHERE ended_at IS NULL", [], |row| job_rows::accepted(db, row).map(drop))?;
    rows::each(db, "SELECT bytes FROM job_output", [], |row| {
        Ok(row.get_ref("bytes")?.as_blob().map(drop).map_err(rusqlite::Error::from)?)
    })
}

/// A link is made in each working copy, where the kernel takes not any target.
fn can_be_made(node: &Node) -> Result<(), StoreError> {
    match &node.target {
        Some(target) if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains('\0') => {
            Err(StoreError::Broken(format!("the link {} leads to nothing that there can be", node.path)))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[track_caller]
    fn expect(row: &str, fault: &str) {
        let db = Connection::open_in_memory().unwrap();
        schema::make_tables(&db).unwrap();
        JobIds::choose(&db).unwrap();
        db.execute_batch(row).unwrap();
        let found = check(&db).err().map_or("nothing".to_owned(), |error| error.to_string());
        assert!(found.contains(fault), "{row}: {found}");
    }

    #[test]
    fn a_value_that_a_server_cannot_read_is_found() {
        expect("INSERT INTO session_commit VALUES (1, 0, 0, 'created', NULL, 0, 0, 0)", "nothing");
        expect(
            "INSERT INTO session_commit VALUES (1, 0, 0, 'magic', NULL, 0, 0, 0)",
            "cannot read: `magic` in column cause",
        );
        expect("INSERT INTO tenant VALUES ('a b', 0, 0, 0, 0, 0)", "cannot read: `a b` is not a tenant name");
        let link = |target| format!("INSERT INTO node VALUES (1, 'l', 0, 0, 1, 'link', 0, 0, 0, {target})");
        expect(&link("'a/b'"), "nothing");
        expect(&link("''"), "cannot read: the link l leads to nothing");
        let job = |place| {
            let values =
                format!("'t', 'p', 'j', '{place}', zeroblob(32), 'm', 1, zeroblob(32), 'core', 0, 'rerun', 'stored'");
            format!(
                "INSERT INTO job (tenant, principal, id, place, fingerprint, module, version, digest, kind,
                     session_active, on_crash, delivery, limit_wall_us, limit_cpu_us, limit_memory, limit_output,
                     state, attempt, created_at, ended_at)
                 VALUES ({values}, 0, 0, 0, 0, 'succeeded', 1, 0, 0)"
            )
        };
        expect(&job("j"), "nothing");
        expect(&job("k"), "cannot read: nobody finds job j by its id");
        expect("INSERT INTO param VALUES (1, char(7), 0, 0, '')", "cannot read: a parameter's name");
    }
}
