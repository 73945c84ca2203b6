//! The operator's side: tenants, and the keys of their principals.
//!
//! Promise: a key is shown once, when it is made; what is deleted is refused
//! from then on.

use std::collections::BTreeSet;
use std::time::Duration;

use sha2::Digest as _;
use sha2::Sha256;

use crate::ids::PrincipalId;
use crate::ids::TenantId;
use crate::model::caller::Caller;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::service::Service;
use crate::service::keys;
use crate::service::refusal::Refusal;
use crate::store::Key;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::Refused;
use crate::store::StoreError;
use crate::store::Tenant;

/// The tenant and the principal of the key that `--dev` prints.
const DEV: &str = "dev";

impl Service {
    /// Makes a tenant.
    pub async fn create_tenant(&self, name: TenantId) -> Result<Tenant, Refusal> {
        let created_at = self.now();
        self.inner.store.create_tenant(name.clone(), created_at).await?;
        Ok(Tenant { name, created_at })
    }

    /// All tenants, by name.
    pub async fn tenants(&self, page: PageOf) -> Result<Page<Tenant>, Refusal> {
        Ok(self.inner.store.tenants(page).await?)
    }

    /// One tenant.
    pub async fn tenant(&self, name: &TenantId) -> Result<Tenant, Refusal> {
        let tenant = self.inner.store.tenant(name).await?;
        tenant.ok_or_else(|| Refusal::NoTenant(name.to_string()))
    }

    /// Deletes a tenant with everything that is its own.
    pub async fn delete_tenant(&self, name: &TenantId) -> Result<(), Refusal> {
        self.inner.store.delete_tenant(name.clone()).await?;
        self.inner.keys.retain(|_, caller| caller.owner.tenant != *name);
        self.inner.rates.forget(name);
        self.inner.purses.forget(name);
        self.inner.live.forget(name);
        Ok(())
    }

    /// Makes a key; the text of it is in this answer and nowhere else.
    pub async fn create_key(
        &self,
        tenant: TenantId,
        principal: PrincipalId,
        scopes: BTreeSet<Scope>,
    ) -> Result<(Key, String), Refusal> {
        let (key, text) = keys::make(Owner { tenant, principal }, scopes, self.now());
        self.record_key(key.clone()).await?;
        Ok((key, text))
    }

    async fn record_key(&self, key: Key) -> Result<(), StoreError> {
        let caller = Caller { owner: key.owner.clone(), scopes: key.scopes.clone() };
        let hash = key.hash;
        self.inner.store.create_key(key).await?;
        self.inner.keys.add(hash, caller);
        Ok(())
    }

    /// Notes which keys were used, except those that were noted less than `grain` ago.
    pub(super) async fn note_key_uses(&self, grain: Duration) -> Result<(), StoreError> {
        let uses = self.inner.keys.unnoted(grain);
        if uses.is_empty() { Ok(()) } else { self.inner.store.note_key_uses(uses).await }
    }

    /// The keys of a tenant, without their text.
    pub async fn tenant_keys(&self, tenant: &TenantId, page: PageOf) -> Result<Page<Key>, Refusal> {
        self.tenant(tenant).await?;
        let mut keys = self.inner.store.keys(tenant, page).await?;
        for key in &mut keys.items {
            key.last_used_at = self.inner.keys.used_at(&key.hash).or(key.last_used_at);
        }
        Ok(keys)
    }

    /// Deletes a key; who uses it is refused from now on.
    pub async fn delete_key(&self, tenant: &TenantId, id: &str) -> Result<(), Refusal> {
        self.tenant(tenant).await?;
        let key = self.inner.store.key(tenant, id).await?.ok_or_else(|| Refusal::NoKey(id.to_owned()))?;
        self.inner.store.delete_key(tenant.clone(), key.id).await?;
        self.inner.keys.retain(|hash, _| *hash != key.hash);
        Ok(())
    }

    /// The key of `--dev`: the same at each start of one data directory, and
    /// derived from its secret, so that it is stored as a hash like any other.
    pub async fn dev_key(&self) -> Result<String, Refusal> {
        let derived =
            Sha256::new().chain_update(self.inner.store.secret()).chain_update(b"the key of --dev").finalize();
        let text: String = derived.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("ssk_dev_{text}");
        if self.inner.keys.knows(&text) {
            return Ok(text);
        }
        let tenant: TenantId = DEV.parse().expect("`dev` is a tenant name");
        match self.inner.store.create_tenant(tenant.clone(), self.now()).await {
            Ok(()) | Err(StoreError::Refused(Refused::TenantExists(_))) => {}
            Err(error) => return Err(error.into()),
        }
        let key = Key {
            id: DEV.to_owned(),
            hash: keys::hash(&text),
            owner: Owner { tenant, principal: DEV.parse().expect("`dev` is a principal name") },
            scopes: Scope::ALL.into(),
            created_at: self.now(),
            last_used_at: None,
        };
        self.record_key(key).await?;
        Ok(text)
    }
}
