//! `sessile tenant` and `sessile key`: who may use a server, while it does not
//! run. How the first key is made.
//!
//! Promise: what was done is one JSON line on stdout for each thing it was done
//! to, in the shape of the API; a key is shown once, when it is made.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::Subcommand;
use serde_json::Value;
use serde_json::json;

use crate::cli::check::impossible;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::LogFormat;
use crate::http::rfc3339;
use crate::ids::PrincipalId;
use crate::ids::TenantId;
use crate::limits;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::model::quota::Measure;
use crate::model::quota::Quota;
use crate::model::quota::QuotaChange;
use crate::service::keys;
use crate::store::Key;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::Refused;
use crate::store::Store;
use crate::store::StoreConfig;
use crate::store::StoreError;
use crate::store::Tenant;

#[derive(Subcommand)]
pub(super) enum TenantVerb {
    /// Makes a tenant.
    Create {
        name: TenantId,
        #[command(flatten)]
        of: DataDir,
    },
    /// Lists all tenants.
    List {
        #[command(flatten)]
        of: DataDir,
    },
    /// Shows what is set of a tenant's quota, after setting what is given. The rest is what the server's configuration
    /// gives to all.
    Quota {
        name: TenantId,
        /// Such as `sessions=10`, or `sessions=default`; may be given several times.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        set: Vec<Setting>,
        #[command(flatten)]
        of: DataDir,
    },
    /// Deletes a tenant with everything that is its own: keys, modules, sessions and jobs.
    Delete {
        name: TenantId,
        #[command(flatten)]
        of: DataDir,
    },
}

#[derive(Subcommand)]
pub(super) enum KeyVerb {
    /// Makes a key and shows it, once.
    Create {
        #[arg(long, value_name = "NAME")]
        tenant: TenantId,
        /// Who the key speaks for.
        #[arg(long, value_name = "NAME")]
        principal: PrincipalId,
        /// What it allows: submit, modules, admin, root; may be given several times.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        #[command(flatten)]
        of: DataDir,
    },
    /// Lists a tenant's keys, without their text.
    List {
        #[arg(long, value_name = "NAME")]
        tenant: TenantId,
        #[command(flatten)]
        of: DataDir,
    },
    /// Deletes a key: who uses it is refused from the next start on.
    Delete {
        #[arg(long, value_name = "NAME")]
        tenant: TenantId,
        /// As `list` shows it.
        #[arg(long, value_name = "ID")]
        id: String,
        #[command(flatten)]
        of: DataDir,
    },
}

/// A number of a quota, and `None` for what all tenants have.
type Setting = (Measure, Option<u64>);

fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text.split_once('=').ok_or("it must be a name, `=` and a value")?;
    let measure = Measure::named(name).map_err(|bad| bad.to_string())?;
    match value {
        "default" => Ok((measure, None)),
        value => Ok((measure, Some(measure.check_text(value).map_err(|bad| bad.to_string())?))),
    }
}

#[derive(Args)]
pub(super) struct DataDir {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

pub(super) fn tenant(verb: TenantVerb) -> ExitCode {
    tell(match verb {
        TenantVerb::Create { name, of } => of.open().and_then(|store| create_tenant(&store, name)),
        TenantVerb::List { of } => of.open().and_then(|store| tenants(&store)),
        TenantVerb::Quota { name, set, of } => of.open().and_then(|store| quota(&store, name, set)),
        TenantVerb::Delete { name, of } => of.open().and_then(|store| {
            store.delete_tenant(name).wait()?;
            Ok(Vec::new())
        }),
    })
}

pub(super) fn key(verb: KeyVerb) -> ExitCode {
    tell(match verb {
        KeyVerb::Create { tenant, principal, scopes, of } => {
            let owner = Owner { tenant, principal };
            of.open().and_then(|store| create_key(&store, owner, scopes))
        }
        KeyVerb::List { tenant, of } => of.open().and_then(|store| keys_of(&store, &tenant)),
        KeyVerb::Delete { tenant, id, of } => of.open().and_then(|store| delete_key(&store, tenant, id)),
    })
}

impl DataDir {
    /// Opens the store, and makes it if need be; keeps servers away meanwhile.
    fn open(self) -> Result<Store, StoreError> {
        // For what the store has to say, such as what it has put into quarantine.
        super::log::start(LogFormat::default());
        Store::open(StoreConfig {
            data: self.data,
            work: None,
            work_bytes_max: limits::WORK_BYTES_DEFAULT,
            // Which the configuration of a server says; nothing that is done here asks for it.
            quota: Quota::of_machine(1, 1),
        })
    }
}

fn tell(done: Result<Vec<Value>, StoreError>) -> ExitCode {
    match done {
        Ok(lines) => {
            lines.into_iter().for_each(say);
            ExitCode::SUCCESS
        }
        Err(error) => impossible("do that", &error),
    }
}

fn create_tenant(store: &Store, name: TenantId) -> Result<Vec<Value>, StoreError> {
    let created_at = Clock::system().now();
    store.create_tenant(name.clone(), created_at).wait()?;
    Ok(vec![tenant_line(&Tenant { name, created_at })])
}

fn tenants(store: &Store) -> Result<Vec<Value>, StoreError> {
    let tenants = all(|page| wait(store.tenants(page)))?;
    Ok(tenants.iter().map(tenant_line).collect())
}

/// What is on all pages of a list.
fn all<T>(list: impl Fn(PageOf) -> Result<Page<T>, StoreError>) -> Result<Vec<T>, StoreError> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let page = list(PageOf { limit: limits::PAGE_MAX, cursor })?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

fn quota(store: &Store, name: TenantId, set: Vec<Setting>) -> Result<Vec<Value>, StoreError> {
    if !set.is_empty() {
        store.change_quota(name.clone(), QuotaChange::Merge(set)).wait()?;
    }
    let set: serde_json::Map<_, _> =
        wait(store.quota_set(&name))?.iter().map(|(measure, value)| (measure.to_string(), json!(value))).collect();
    Ok(vec![json!({"id": name.as_str(), "quota": set})])
}

fn create_key(store: &Store, owner: Owner, scopes: Vec<Scope>) -> Result<Vec<Value>, StoreError> {
    let (key, text) = keys::make(owner, scopes.into_iter().collect(), Clock::system().now());
    store.create_key(key.clone()).wait()?;
    let mut line = key_line(&key);
    line["key"] = json!(text);
    Ok(vec![line])
}

fn keys_of(store: &Store, tenant: &TenantId) -> Result<Vec<Value>, StoreError> {
    if wait(store.tenant(tenant))?.is_none() {
        return Err(Refused::NoTenant(tenant.clone()).into());
    }
    let keys = all(|page| wait(store.keys(tenant, page)))?;
    Ok(keys.iter().map(key_line).collect())
}

fn delete_key(store: &Store, tenant: TenantId, id: String) -> Result<Vec<Value>, StoreError> {
    if store.delete_key(tenant.clone(), id.clone()).wait()? {
        return Ok(Vec::new());
    }
    Err(StoreError::Unusable(format!("tenant `{tenant}` has no key with the id `{id}`; `sessile key list` shows them")))
}

fn tenant_line(tenant: &Tenant) -> Value {
    json!({"id": tenant.name.as_str(), "created_at": rfc3339(tenant.created_at)})
}

fn key_line(key: &Key) -> Value {
    json!({
        "id": key.id,
        "tenant": key.owner.tenant.as_str(),
        "principal": key.owner.principal.as_str(),
        "scopes": key.scopes.iter().map(Scope::to_string).collect::<Vec<_>>(),
        "created_at": rfc3339(key.created_at),
        "last_used_at": key.last_used_at.map(rfc3339),
    })
}

/// Waits for a look into the store, which has threads of its own for that.
fn wait<T>(look: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| StoreError::Unusable(format!("no thread can be started: {error}")))?.block_on(look)
}
