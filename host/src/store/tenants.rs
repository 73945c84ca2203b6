//! Tenants on record.

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::TenantId;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::collector::Collector;
use crate::store::collector::Condemned;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::sessions;

/// A tenant on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub name: TenantId,
    pub created_at: Timestamp,
}

impl Store {
    /// Makes a tenant. Refused as [`Refused::TenantExists`].
    pub fn create_tenant(&self, name: TenantId, now: Timestamp) -> Receipt<()> {
        self.writer().enqueue(move |db| {
            let insert = "INSERT INTO tenant (name, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            match rows::change(db, insert, params![name.as_str(), now.micros()])? {
                1 => Ok(()),
                _ => Err(Refused::TenantExists(name.clone()).into()),
            }
        })
    }

    /// All tenants, by name.
    pub async fn tenants(&self, page: PageOf) -> Result<Page<Tenant>, StoreError> {
        self.read(move |db| {
            let after = page.after()?.unwrap_or_default();
            let list = "SELECT * FROM tenant WHERE name > ?1 ORDER BY name LIMIT ?2";
            let found = rows::all(db, list, params![after, page.rows()], tenant)?;
            Ok(page.fill(found, |tenant| tenant.name.to_string()))
        })
        .await
    }

    /// One tenant.
    pub async fn tenant(&self, name: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let name = name.clone();
        self.read(move |db| rows::one(db, "SELECT * FROM tenant WHERE name = ?1", [name.as_str()], tenant)).await
    }

    /// Deletes a tenant with everything of it. Refused as [`Refused::NoTenant`],
    /// and as [`Refused::TenantInUse`] while jobs of it have not ended.
    pub fn delete_tenant(&self, name: TenantId) -> Receipt<()> {
        let shared = self.shared();
        let told = self.shared();
        let named = name.clone();
        self.writer().enqueue_then(
            move |db| delete(db, &shared.collector, &named),
            move |deleted| {
                told.found.forget();
                let (sessions, condemned) = deleted?;
                sessions.into_iter().for_each(|key| told.copies.forget(key));
                told.collector.collect(condemned);
                told.quotas.forget(&name);
                Ok(())
            },
        )
    }
}

/// Refuses what belongs to a tenant that is no more.
pub(super) fn must_exist(db: &Connection, name: &TenantId) -> Result<(), StoreError> {
    if rows::exists(db, "SELECT 1 FROM tenant WHERE name = ?1", [name.as_str()])? {
        return Ok(());
    }
    Err(Refused::NoTenant(name.clone()).into())
}

fn delete(
    db: &Connection,
    collector: &Collector,
    name: &TenantId,
) -> Result<(Vec<SessionKey>, Vec<Condemned>), StoreError> {
    must_exist(db, name)?;
    let name = [name.as_str()];
    let count = "SELECT count(*) AS live FROM job WHERE tenant = ?1 AND ended_at IS NULL";
    let live = rows::one(db, count, name, |row| rows::number(row, "live"))?.unwrap_or(0);
    if live > 0 {
        return Err(Refused::TenantInUse { live }.into());
    }
    let keys = "SELECT key FROM session WHERE tenant = ?1";
    let keys = rows::all(db, keys, name, |row| Ok(SessionKey(row.get("key")?)))?;
    let digests = "SELECT DISTINCT digest FROM module_version WHERE tenant = ?1";
    let digests = rows::all(db, digests, name, |row| rows::digest(row, "digest"))?;
    for key in &keys {
        sessions::remove(db, *key)?;
    }
    for table in ["api_key", "tenant_quota", "job", "module_version", "module"] {
        rows::change(db, &format!("DELETE FROM {table} WHERE tenant = ?1"), name)?;
    }
    rows::change(db, "DELETE FROM tenant WHERE name = ?1", name)?;
    Ok((keys, collector.look_at_all(db, digests)?))
}

pub(super) fn tenant(row: &Row<'_>) -> Result<Tenant, StoreError> {
    Ok(Tenant { name: rows::parsed(row, "name")?, created_at: rows::moment(row, "created_at")? })
}
