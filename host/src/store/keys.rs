//! API keys on record: whom they speak for and what they allow.
//!
//! Promise: a key itself is stored nowhere, only its hash.

use std::collections::BTreeSet;

use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::TenantId;
use crate::model::caller::BadScope;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::tenants;

/// An API key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Names the key within its tenant, so that it can be deleted.
    pub id: String,
    pub hash: [u8; 32],
    pub owner: Owner,
    pub scopes: BTreeSet<Scope>,
    pub created_at: Timestamp,
    /// Noted some time after it was used; `None` if it never was.
    pub last_used_at: Option<Timestamp>,
}

impl Store {
    /// Records a key. Refused as [`Refused::NoTenant`] and [`Refused::KeyExists`].
    pub fn create_key(&self, key: Key) -> Receipt<()> {
        self.writer().enqueue(move |db| {
            tenants::must_exist(db, &key.owner.tenant)?;
            let scopes: Vec<_> = key.scopes.iter().map(Scope::to_string).collect();
            let insert = "INSERT INTO api_key (tenant, id, hash, principal, scopes, created_at)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
            let (tenant, principal) = (key.owner.tenant.as_str(), key.owner.principal.as_str());
            let row = params![tenant, key.id, key.hash, principal, scopes.join(" "), key.created_at.micros()];
            match rows::change(db, insert, row)? {
                1 => Ok(()),
                _ => Err(Refused::KeyExists { id: key.id.clone() }.into()),
            }
        })
    }

    /// The keys of a tenant, oldest first.
    pub async fn keys(&self, tenant: &TenantId, page: PageOf) -> Result<Page<Key>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |db| {
            // The key of this list has two parts, and the first cannot contain a space.
            let after = page.after()?.unwrap_or_else(|| format!("{} ", i64::MIN));
            let (created_at, id) = after.split_once(' ').ok_or(Refused::Cursor)?;
            let created_at: i64 = created_at.parse().map_err(|_| Refused::Cursor)?;
            let list = "SELECT * FROM api_key WHERE tenant = ?1 AND (created_at, id) > (?2, ?3)
                        ORDER BY created_at, id LIMIT ?4";
            let found = rows::all(db, list, params![tenant.as_str(), created_at, id, page.rows()], key)?;
            Ok(page.fill(found, |key| format!("{} {}", key.created_at.micros(), key.id)))
        })
        .await
    }

    /// One key of a tenant.
    pub async fn key(&self, tenant: &TenantId, id: &str) -> Result<Option<Key>, StoreError> {
        let find = "SELECT * FROM api_key WHERE tenant = ?1 AND id = ?2";
        self.look(|db| rows::one(db, find, params![tenant.as_str(), id], key))
    }

    /// The keys of all tenants, for the start.
    pub async fn all_keys(&self) -> Result<Vec<Key>, StoreError> {
        self.read(|db| rows::all(db, "SELECT * FROM api_key", [], key)).await
    }

    /// Notes when keys were last used, by their hashes.
    pub fn note_key_uses(&self, uses: Vec<([u8; 32], Timestamp)>) -> Receipt<()> {
        self.writer().enqueue(move |db| {
            let note = "UPDATE api_key SET last_used_at = ?2 WHERE hash = ?1";
            uses.iter().try_for_each(|(hash, at)| rows::change(db, note, params![hash, at.micros()]).map(|_| ()))
        })
    }

    /// Deletes a key; says whether there was one.
    pub fn delete_key(&self, tenant: TenantId, id: String) -> Receipt<bool> {
        self.writer().enqueue(move |db| {
            let delete = "DELETE FROM api_key WHERE tenant = ?1 AND id = ?2";
            Ok(rows::change(db, delete, params![tenant.as_str(), id])? == 1)
        })
    }
}

pub(super) fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    let scopes: String = row.get("scopes")?;
    let scopes = scopes.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    Ok(Key {
        id: row.get("id")?,
        hash: rows::hash(row, "hash")?,
        owner: owner(row)?,
        scopes: scopes.map_err(|error: BadScope| StoreError::Broken(error.to_string()))?,
        created_at: rows::moment(row, "created_at")?,
        last_used_at: row.get::<Option<i64>>("last_used_at")?.map(Timestamp::from_micros),
    })
}

/// The owner that a row's columns `tenant` and `principal` name.
pub(super) fn owner(row: &Row<'_>) -> Result<Owner, StoreError> {
    Ok(Owner { tenant: rows::parsed(row, "tenant")?, principal: rows::parsed(row, "principal")? })
}
