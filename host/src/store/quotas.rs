//! The quotas of tenants on record, and what counts against them (R34).
//!
//! Promise: a tenant's row says what it holds, in step with every write that
//! changes that; so a write that takes more than is left is refused inside its
//! own transaction, and two at once cannot both have the last of it. A change of
//! a quota is in force for every write after it.
//!
//! Not here: what passes with time, as requests and jobs do (`service`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use rusqlite::Connection;
use rusqlite::params;

use crate::ids::TenantId;
use crate::model::quota::BadQuota;
use crate::model::quota::Holding;
use crate::model::quota::Measure;
use crate::model::quota::Overrides;
use crate::model::quota::Quota;
use crate::model::quota::QuotaChange;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::tenants;

/// The quotas in force. Changed by the writer's thread alone, right after the
/// commit that records the change.
pub(super) struct Quotas {
    default: Arc<Quota>,
    /// Of those tenants that have one of their own.
    own: RwLock<HashMap<TenantId, Arc<Quota>>>,
}

/// What a write adds to what a tenant holds, or takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) sessions: i64,
    pub(super) stored_bytes: i64,
    pub(super) modules: i64,
    pub(super) module_bytes: i64,
}

impl Quotas {
    pub(super) fn load(db: &Connection, default: Quota) -> Result<Quotas, StoreError> {
        let quotas = Quotas { default: Arc::new(default), own: RwLock::default() };
        let list = "SELECT DISTINCT tenant FROM tenant_quota";
        for tenant in rows::all(db, list, [], |row| rows::parsed(row, "tenant"))? {
            quotas.put(&tenant, &overrides(db, &tenant)?);
        }
        Ok(quotas)
    }

    /// What a tenant may have now.
    pub(super) fn of(&self, tenant: &TenantId) -> Arc<Quota> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(own.get(tenant).unwrap_or(&self.default))
    }

    /// What more a tenant may store.
    pub(super) fn room(&self, db: &Connection, tenant: &TenantId) -> Result<u64, StoreError> {
        Ok(self.of(tenant).stored_bytes.saturating_sub(held(db, tenant)?.stored_bytes))
    }

    pub(super) fn forget(&self, tenant: &TenantId) {
        self.put(tenant, &Overrides::default());
    }

    fn put(&self, tenant: &TenantId, set: &Overrides) {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        match set.is_empty() {
            true => drop(own.remove(tenant)),
            false => drop(own.insert(tenant.clone(), Arc::new(self.default.with(set)))),
        }
    }
}

impl Store {
    /// What a tenant may have now. Looks into memory only.
    pub fn quota_of(&self, tenant: &TenantId) -> Arc<Quota> {
        self.inner.shared.quotas.of(tenant)
    }

    /// Changes what is set of a tenant's quota; in force for every write that is
    /// handed in from now on. Refused as [`Refused::NoTenant`].
    pub fn change_quota(&self, tenant: TenantId, change: QuotaChange) -> Receipt<()> {
        let shared = self.shared();
        let named = tenant.clone();
        self.writer().enqueue_then(
            move |db| {
                tenants::must_exist(db, &named)?;
                let set = overrides(db, &named)?.after(&change);
                rows::change(db, "DELETE FROM tenant_quota WHERE tenant = ?1", [named.as_str()])?;
                let insert = "INSERT INTO tenant_quota (tenant, name, value) VALUES (?1, ?2, ?3)";
                for (measure, value) in set.iter() {
                    rows::change(db, insert, params![named.as_str(), measure.word(), rows::stored(value)])?;
                }
                Ok(set)
            },
            move |set| set.map(|set| shared.quotas.put(&tenant, &set)),
        )
    }

    /// What is set of a tenant's quota, beside what all have.
    pub async fn quota_set(&self, tenant: &TenantId) -> Result<Overrides, StoreError> {
        let tenant = tenant.clone();
        self.read(move |db| {
            tenants::must_exist(db, &tenant)?;
            overrides(db, &tenant)
        })
        .await
    }

    /// What a tenant holds. Refused as [`Refused::NoTenant`].
    pub async fn holding(&self, tenant: &TenantId) -> Result<Holding, StoreError> {
        let tenant = tenant.clone();
        self.read(move |db| held(db, &tenant)).await
    }
}

/// What a tenant holds as of the last commit, or in the open transaction.
pub(super) fn held(db: &Connection, tenant: &TenantId) -> Result<Holding, StoreError> {
    let found = rows::one(db, "SELECT * FROM tenant WHERE name = ?1", [tenant.as_str()], holding)?;
    found.ok_or_else(|| Refused::NoTenant(tenant.clone()).into())
}

/// Counts what a write has added or taken away. With a `quota`, more than that
/// allows is refused as [`Refused::OverQuota`]; what becomes less never is.
pub(super) fn count(db: &Connection, tenant: &TenantId, delta: Delta, quota: Option<&Quota>) -> Result<(), StoreError> {
    if delta == Delta::default() {
        return Ok(());
    }
    let update = "UPDATE tenant SET sessions = sessions + ?2, stored_bytes = stored_bytes + ?3,
                      modules = modules + ?4, module_bytes = module_bytes + ?5
                  WHERE name = ?1 RETURNING *";
    let values = params![tenant.as_str(), delta.sessions, delta.stored_bytes, delta.modules, delta.module_bytes];
    let after = rows::one(db, update, values, holding)?;
    let after = after.ok_or_else(|| StoreError::Refused(Refused::NoTenant(tenant.clone())))?;
    let Some(quota) = quota else { return Ok(()) };
    for (measure, now, more) in [
        (Measure::Sessions, after.sessions, delta.sessions),
        (Measure::StoredBytes, after.stored_bytes, delta.stored_bytes),
        (Measure::Modules, after.modules, delta.modules),
        (Measure::ModuleBytes, after.module_bytes, delta.module_bytes),
    ] {
        // Whoever has too much already may still have less.
        let more = u64::try_from(more).unwrap_or(0);
        if more > 0 {
            quota.allow(measure, now.saturating_sub(more), more).map_err(Refused::from)?;
        }
    }
    Ok(())
}

/// How much more `after` is than `before`.
pub(super) fn difference(before: u64, after: u64) -> i64 {
    rows::stored(after) - rows::stored(before)
}

fn overrides(db: &Connection, tenant: &TenantId) -> Result<Overrides, StoreError> {
    let list = "SELECT name, value FROM tenant_quota WHERE tenant = ?1";
    let mut set = Overrides::default();
    let broken = |error: BadQuota| StoreError::Broken(error.to_string());
    for (name, value) in rows::all(db, list, [tenant.as_str()], |row| {
        let name: String = row.get("name")?;
        Ok((name, rows::number(row, "value")?))
    })? {
        set.set(Measure::named(&name).map_err(broken)?, value).map_err(broken)?;
    }
    Ok(set)
}

/// A row of `tenant`.
fn holding(row: &Row<'_>) -> Result<Holding, StoreError> {
    Ok(Holding {
        sessions: rows::number(row, "sessions")?,
        stored_bytes: rows::number(row, "stored_bytes")?,
        modules: rows::number(row, "modules")?,
        module_bytes: rows::number(row, "module_bytes")?,
    })
}
