//! Modules on record, and their bytes.
//!
//! Promise: a version's bytes are on disk before the version is on record, and
//! stay until neither a version nor a job that has not ended refers to them.
//! No version number is used twice.

use std::fs::File;
use std::io;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::ids::ModuleName;
use crate::ids::PrincipalId;
use crate::ids::TenantId;
use crate::model::module::ModuleKind;
use crate::model::module::ModuleRef;
use crate::model::module::ModuleState;
use crate::model::module::ModuleVersion;
use crate::model::module::Which;
use crate::store::Store;
use crate::store::block;
use crate::store::durable;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::plain;
use crate::store::quotas;
use crate::store::quotas::Delta;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::tenants;

/// An upload that was checked and is to become a version.
#[derive(Clone, Debug)]
pub struct NewVersion {
    pub tenant: TenantId,
    pub name: ModuleName,
    pub digest: Digest,
    pub size_bytes: u64,
    pub kind: ModuleKind,
    pub imports: Vec<String>,
    pub created_by: PrincipalId,
    pub now: Timestamp,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// A new version; it is compiling.
    New(ModuleVersion),
    /// The newest version with the same bytes that was not rejected.
    Same(ModuleVersion),
}

impl Store {
    /// The version that is meant. The latest is the newest that was not rejected,
    /// or, if all were, the newest.
    pub async fn module_version(
        &self,
        tenant: &TenantId,
        reference: &ModuleRef,
    ) -> Result<Option<ModuleVersion>, StoreError> {
        let key = (tenant.clone(), reference.clone());
        let shared = self.shared();
        let era = match shared.found.get(&key) {
            Ok(version) => return Ok(Some(version)),
            Err(era) => era,
        };
        let version = self.look(|db| find(db, &key.0, &key.1))?;
        version.iter().for_each(|version| shared.found.keep(era, key.clone(), version));
        Ok(version)
    }

    /// The latest version of each module, by name.
    pub async fn modules(&self, tenant: &TenantId, page: PageOf) -> Result<Page<ModuleVersion>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |db| {
            let after = page.after()?.unwrap_or_default();
            let names =
                "SELECT DISTINCT name FROM module_version WHERE tenant = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
            let names =
                rows::all(db, names, params![tenant.as_str(), after, page.rows()], |row| rows::parsed(row, "name"))?;
            let latest = names.into_iter().map(|name| find(db, &tenant, &ModuleRef { name, which: Which::Latest }));
            let latest: Vec<_> = latest.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            Ok(page.fill(latest, |module: &ModuleVersion| module.name.to_string()))
        })
        .await
    }

    /// The versions of a module, newest first.
    pub async fn versions(
        &self,
        tenant: &TenantId,
        name: &ModuleName,
        page: PageOf,
    ) -> Result<Page<ModuleVersion>, StoreError> {
        let (tenant, name) = (tenant.clone(), name.clone());
        self.read(move |db| {
            let before = page.after_number()?.unwrap_or(i64::MAX);
            let list = "SELECT * FROM module_version WHERE tenant = ?1 AND name = ?2 AND version < ?3
                        ORDER BY version DESC LIMIT ?4";
            let list =
                rows::all(db, list, params![tenant.as_str(), name.as_str(), before, page.rows()], module_version)?;
            Ok(page.fill(list, |module| module.version.to_string()))
        })
        .await
    }

    /// Puts a module's bytes on disk; they are durable when this returns.
    pub async fn save_wasm(&self, digest: Digest, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<(), StoreError> {
        let shared = self.shared();
        block(move || {
            let path = shared.layout.wasm(&digest);
            // Names are given only to whole files, so one that is there is right; but
            // whoever gave it may not have come to make it durable.
            if plain::is_file(&path) {
                return durable::sync_dir(&shared.layout.modules()).map_err(StoreError::io("keep a module's name"));
            }
            durable::write_whole(&shared.layout.tmp(), &path, bytes.as_ref()).map_err(StoreError::io("save a module"))
        })
        .await
    }

    /// A module's bytes, open for reading.
    pub async fn wasm(&self, digest: Digest) -> Result<Option<File>, StoreError> {
        let shared = self.shared();
        block(move || match plain::open(&shared.layout.wasm(&digest)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open a module")(error)),
        })
        .await
    }

    /// Records a version, unless the same bytes are one. Refused as `NoTenant` and
    /// `OverQuota` of [`Refused`], and as [`Refused::NoBytes`] unless
    /// [`Store::save_wasm`] came before.
    pub fn add_version(&self, new: NewVersion) -> Receipt<Added> {
        let (shared, told) = (self.shared(), self.shared());
        let add = move |db: &Connection| {
            tenants::must_exist(db, &new.tenant)?;
            let same = "SELECT * FROM module_version
                        WHERE tenant = ?1 AND name = ?2 AND digest = ?3 AND state <> 'rejected'
                        ORDER BY version DESC LIMIT 1";
            let key = params![new.tenant.as_str(), new.name.as_str(), new.digest.as_bytes()];
            if let Some(same) = rows::one(db, same, key, module_version)? {
                return Ok(Added::Same(same));
            }
            shared.collector.pardon(&new.digest);
            // Looked at here, since bytes are collected by the same thread.
            if !plain::is_file(&shared.layout.wasm(&new.digest)) {
                return Err(Refused::NoBytes.into());
            }
            let delta = Delta { modules: 1, module_bytes: rows::stored(new.size_bytes), ..Delta::default() };
            quotas::count(db, &new.tenant, delta, Some(&shared.quotas.of(&new.tenant)))?;
            insert(db, &new).map(Added::New)
        };
        self.writer().enqueue_then(add, move |added| {
            told.found.forget();
            added
        })
    }

    /// Takes the bytes of an upload off the disk again, unless a version needs them.
    pub fn drop_wasm(&self, digest: Digest) -> Receipt<()> {
        let (shared, told) = (self.shared(), self.shared());
        self.writer().enqueue_then(
            move |db| shared.collector.look_at_all(db, vec![digest]),
            move |condemned| {
                told.collector.collect(condemned?);
                Ok(())
            },
        )
    }

    /// Records what became of a compilation; says whether the version still exists.
    pub fn set_module_state(
        &self,
        tenant: TenantId,
        name: ModuleName,
        version: u32,
        state: ModuleState,
    ) -> Receipt<bool> {
        let told = self.shared();
        let set = move |db: &Connection| {
            let update = "UPDATE module_version SET state = ?4, reason = ?5
                          WHERE tenant = ?1 AND name = ?2 AND version = ?3";
            let (state, reason) = state_words(&state);
            Ok(rows::change(db, update, params![tenant.as_str(), name.as_str(), version, state, reason])? == 1)
        };
        self.writer().enqueue_then(set, move |set| {
            told.found.forget();
            set
        })
    }

    /// Deletes all versions of a module; says whether there were any.
    pub fn delete_module(&self, tenant: TenantId, name: ModuleName) -> Receipt<bool> {
        self.delete_versions(tenant, name, None)
    }

    /// Deletes one version; says whether there was one.
    pub fn delete_version(&self, tenant: TenantId, name: ModuleName, version: u32) -> Receipt<bool> {
        self.delete_versions(tenant, name, Some(version))
    }

    fn delete_versions(&self, tenant: TenantId, name: ModuleName, version: Option<u32>) -> Receipt<bool> {
        let shared = self.shared();
        let told = self.shared();
        self.writer().enqueue_then(
            move |db| {
                let delete = "DELETE FROM module_version
                              WHERE tenant = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)
                              RETURNING digest, size_bytes";
                let key = params![tenant.as_str(), name.as_str(), version];
                let mut delta = Delta::default();
                let digests = rows::all(db, delete, key, |row| {
                    let size_bytes: i64 = row.get("size_bytes")?;
                    delta =
                        Delta { modules: delta.modules - 1, module_bytes: delta.module_bytes - size_bytes, ..delta };
                    rows::digest(row, "digest")
                })?;
                quotas::count(db, &tenant, delta, None)?;
                Ok((!digests.is_empty(), shared.collector.look_at_all(db, digests)?))
            },
            move |deleted| {
                told.found.forget();
                let (found, condemned) = deleted?;
                told.collector.collect(condemned);
                Ok(found)
            },
        )
    }
}

/// Refuses a version that is no more.
pub(super) fn must_exist(
    db: &Connection,
    tenant: &TenantId,
    name: &ModuleName,
    version: u32,
) -> Result<(), StoreError> {
    let known = "SELECT 1 FROM module_version WHERE tenant = ?1 AND name = ?2 AND version = ?3";
    if rows::exists(db, known, params![tenant.as_str(), name.as_str(), version])? {
        return Ok(());
    }
    Err(Refused::ModuleGone { name: name.clone(), version }.into())
}

fn find(db: &Connection, tenant: &TenantId, reference: &ModuleRef) -> Result<Option<ModuleVersion>, StoreError> {
    let (tenant, name) = (tenant.as_str(), reference.name.as_str());
    match reference.which {
        Which::Latest => {
            let latest = "SELECT * FROM module_version WHERE tenant = ?1 AND name = ?2
                          ORDER BY state = 'rejected', version DESC LIMIT 1";
            rows::one(db, latest, params![tenant, name], module_version)
        }
        Which::Version(version) => {
            let exact = "SELECT * FROM module_version WHERE tenant = ?1 AND name = ?2 AND version = ?3";
            rows::one(db, exact, params![tenant, name, version], module_version)
        }
        Which::Digest(digest) => {
            let same = "SELECT * FROM module_version WHERE tenant = ?1 AND name = ?2 AND digest = ?3
                        ORDER BY state = 'rejected', version DESC LIMIT 1";
            rows::one(db, same, params![tenant, name, digest.as_bytes()], module_version)
        }
    }
}

fn insert(db: &Connection, new: &NewVersion) -> Result<ModuleVersion, StoreError> {
    let (tenant, name) = (new.tenant.as_str(), new.name.as_str());
    let next = "INSERT INTO module (tenant, name, next_version) VALUES (?1, ?2, 2)
                ON CONFLICT (tenant, name) DO UPDATE SET next_version = next_version + 1
                RETURNING next_version - 1 AS version";
    let version = rows::one(db, next, params![tenant, name], |row| rows::small(row, "version"))?;
    let version = version.ok_or_else(|| StoreError::Broken("a module without a next version".to_owned()))?;
    let imports = serde_json::to_string(&new.imports).map_err(|error| StoreError::Broken(error.to_string()))?;
    let row = "INSERT INTO module_version
               (tenant, name, version, digest, size_bytes, kind, state, imports, created_at, created_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'compiling', ?7, ?8, ?9)";
    let values = params![
        tenant,
        name,
        version,
        new.digest.as_bytes(),
        rows::stored(new.size_bytes),
        kind_word(new.kind),
        imports,
        new.now.micros(),
        new.created_by.as_str(),
    ];
    rows::change(db, row, values)?;
    Ok(ModuleVersion {
        name: new.name.clone(),
        version,
        digest: new.digest,
        size_bytes: new.size_bytes,
        state: ModuleState::Compiling,
        kind: new.kind,
        imports: new.imports.clone().into(),
        created_at: new.now,
        created_by: new.created_by.clone(),
    })
}

/// The word for a kind in the store.
pub(super) fn kind_word(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::Core => "core",
        ModuleKind::Component => "component",
    }
}

fn state_words(state: &ModuleState) -> (&'static str, Option<&str>) {
    match state {
        ModuleState::Compiling => ("compiling", None),
        ModuleState::Ready => ("ready", None),
        ModuleState::Rejected { reason } => ("rejected", Some(reason)),
    }
}

/// The kind that a row's column `kind` names.
pub(super) fn kind(row: &Row<'_>) -> Result<ModuleKind, StoreError> {
    rows::word_of(row, "kind", &[ModuleKind::Core, ModuleKind::Component], kind_word)
}

/// A row of `module_version`.
pub(super) fn module_version(row: &Row<'_>) -> Result<ModuleVersion, StoreError> {
    let imports: String = row.get("imports")?;
    let imports: Vec<String> = serde_json::from_str(&imports).map_err(|error| StoreError::Broken(error.to_string()))?;
    let state: String = row.get("state")?;
    let state = match state.as_str() {
        "compiling" => ModuleState::Compiling,
        "ready" => ModuleState::Ready,
        "rejected" => ModuleState::Rejected { reason: row.get::<Option<String>>("reason")?.unwrap_or_default() },
        _ => return Err(StoreError::Broken(format!("a module in state `{state}`"))),
    };
    Ok(ModuleVersion {
        name: rows::parsed(row, "name")?,
        version: rows::small(row, "version")?,
        digest: rows::digest(row, "digest")?,
        size_bytes: rows::number(row, "size_bytes")?,
        state,
        kind: kind(row)?,
        imports: imports.into(),
        created_at: rows::moment(row, "created_at")?,
        created_by: rows::parsed(row, "created_by")?,
    })
}
