//! What the jobs of each tenant hold of memory together (R33, R34).
//!
//! Promise: all jobs of a tenant count in one purse, whose bound is that of the
//! quota when the last of them began.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::engine::Purse;
use crate::ids::TenantId;
use crate::service::Service;

/// The purse of each tenant that has run a job since the start.
#[derive(Default)]
pub(super) struct Purses {
    tenants: Mutex<HashMap<TenantId, Arc<Purse>>>,
}

impl Purses {
    /// Forgets a tenant that is gone, and has no jobs.
    pub(super) fn forget(&self, tenant: &TenantId) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }
}

impl Service {
    /// What the next job of a tenant counts its memory in.
    pub(super) fn purse_of(&self, tenant: &TenantId) -> Arc<Purse> {
        let bytes_max = self.quota_of(tenant).running_memory_bytes;
        let mut tenants = self.inner.purses.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(purse) = tenants.get(tenant) {
            purse.bound(bytes_max);
            return Arc::clone(purse);
        }
        let purse = Purse::new(bytes_max);
        tenants.insert(tenant.clone(), Arc::clone(&purse));
        purse
    }
}
