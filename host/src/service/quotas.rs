//! Quotas as an operator and the rest of the service see them (R34).
//!
//! Promise: what is asked here is in force now; a change is, when it is answered.
//!
//! Not here: the counting of what stays (`store`), and of what passes with time
//! (`rates`).

use std::sync::Arc;

use crate::ids::TenantId;
use crate::model::quota::Holding;
use crate::model::quota::Quota;
use crate::model::quota::QuotaChange;
use crate::queue::admission::Standing;
use crate::service::Service;
use crate::service::live::Tally;
use crate::service::refusal::Refusal;

/// What a tenant may have, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaInForce {
    pub quota: Arc<Quota>,
    pub held: Holding,
    pub jobs: Tally,
}

impl Service {
    /// What a tenant may have now. Costs a look into memory, so ask anew each time:
    /// a change is in force at once.
    pub fn quota_of(&self, tenant: &TenantId) -> Arc<Quota> {
        self.inner.store.quota_of(tenant)
    }

    /// The same, with what the tenant has.
    pub async fn quota_in_force(&self, tenant: &TenantId) -> Result<QuotaInForce, Refusal> {
        let held = self.inner.store.holding(tenant).await?;
        Ok(QuotaInForce { quota: self.quota_of(tenant), held, jobs: self.inner.live.tally(tenant) })
    }

    /// Changes what is set of a tenant's quota.
    pub async fn change_quota(&self, tenant: &TenantId, change: QuotaChange) -> Result<QuotaInForce, Refusal> {
        self.inner.store.change_quota(tenant.clone(), change).await?;
        self.quota_in_force(tenant).await
    }

    /// How a tenant stands that hands in a job.
    pub(super) fn standing(&self, tenant: &TenantId) -> Standing {
        Standing {
            queued: self.inner.live.tally(tenant).queued,
            quota: self.quota_of(tenant),
            no_cpu: self.has_cpu(tenant).err(),
        }
    }
}
