//! What tenants use of what comes again with time: requests and processor time (R34).
//!
//! Promise: asking costs a look into memory and never waits. A tenant's use is
//! nothing to another.
//!
//! In memory only: after a restart every bucket is full.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::TenantId;
use crate::model::bucket::Bucket;
use crate::model::bucket::Rate;
use crate::model::quota::Measure;
use crate::model::quota::OverQuota;
use crate::model::quota::Quota;
use crate::service::Service;
use crate::service::refusal::Refusal;

/// One request, or one second.
const ONE: u64 = 1_000_000;

/// The buckets of each tenant that was seen since the start.
#[derive(Default)]
pub(super) struct Rates {
    tenants: Mutex<HashMap<TenantId, Buckets>>,
}

struct Buckets {
    requests: Bucket,
    cpu: Bucket,
}

impl Rates {
    /// Counts one request, or refuses it.
    fn request(&self, tenant: &TenantId, quota: &Quota, now: Timestamp) -> Result<(), OverQuota> {
        let rate = Rate { most: quota.requests_per_s, per_s: 1 };
        self.with(tenant, now, |buckets| {
            let again = match buckets.requests.take(ONE, rate, now) {
                Ok(()) => return Ok(()),
                Err(wait) => Some(wait),
            };
            let used = buckets.requests.used(rate);
            Err(OverQuota { measure: Measure::RequestsPerS, used, more: 1, limit: rate.most, again })
        })
    }

    /// Counts processor time that a job has used.
    fn spend(&self, tenant: &TenantId, quota: &Quota, cpu: Duration, now: Timestamp) {
        let micros = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
        self.with(tenant, now, |buckets| buckets.cpu.overdraw(micros, cpu_rate(quota), now));
    }

    /// Refuses a job of a tenant that has no processor time left.
    fn may_spend(&self, tenant: &TenantId, quota: &Quota, now: Timestamp) -> Result<(), OverQuota> {
        let rate = cpu_rate(quota);
        self.with(tenant, now, |buckets| match buckets.cpu.empty_for(rate, now) {
            None => Ok(()),
            again => {
                let used = buckets.cpu.used(rate);
                Err(OverQuota { measure: Measure::CpuSPerMin, used, more: 1, limit: rate.most, again })
            }
        })
    }

    pub(super) fn forget(&self, tenant: &TenantId) {
        self.lock().remove(tenant);
    }

    fn with<T>(&self, tenant: &TenantId, now: Timestamp, work: impl FnOnce(&mut Buckets) -> T) -> T {
        let mut tenants = self.lock();
        if let Some(buckets) = tenants.get_mut(tenant) {
            return work(buckets);
        }
        let mut buckets = Buckets { requests: Bucket::full(now), cpu: Bucket::full(now) };
        let done = work(&mut buckets);
        tenants.insert(tenant.clone(), buckets);
        done
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Buckets>> {
        // Nothing panics while it is held, and a bucket is whole between any two statements.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cpu_rate(quota: &Quota) -> Rate {
    Rate { most: quota.cpu_s_per_min, per_s: 60 }
}

impl Service {
    /// Counts a request of a tenant, or refuses it.
    pub fn count_request(&self, tenant: &TenantId) -> Result<(), Refusal> {
        Ok(self.inner.rates.request(tenant, &self.quota_of(tenant), self.now())?)
    }

    /// Counts what a job has used.
    pub(super) fn count_cpu(&self, tenant: &TenantId, cpu: Duration) {
        self.inner.rates.spend(tenant, &self.quota_of(tenant), cpu, self.now());
    }

    /// Whether a tenant has processor time for one more job.
    pub(super) fn has_cpu(&self, tenant: &TenantId) -> Result<(), OverQuota> {
        self.inner.rates.may_spend(tenant, &self.quota_of(tenant), self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn r34_what_one_tenant_uses_is_nothing_to_another() {
        let (rates, quota) = (Rates::default(), Quota { requests_per_s: 1, ..Quota::of_machine(1, 1) });
        let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
        rates.request(&one, &quota, at(0)).unwrap();
        let over = rates.request(&one, &quota, at(0)).unwrap_err();
        assert_eq!((over.used, over.limit, over.again), (1, 1, Some(Duration::from_secs(1))));
        rates.request(&other, &quota, at(0)).unwrap();
        rates.request(&one, &quota, at(1)).unwrap();
    }

    #[test]
    fn r34_processor_time_is_refused_while_it_is_used_up_and_comes_again() {
        let (rates, quota) = (Rates::default(), Quota { cpu_s_per_min: 6, ..Quota::of_machine(1, 1) });
        let tenant = "one".parse().unwrap();
        rates.spend(&tenant, &quota, Duration::from_secs(5), at(0));
        rates.may_spend(&tenant, &quota, at(0)).unwrap();
        rates.spend(&tenant, &quota, Duration::from_secs(3), at(0));
        let over = rates.may_spend(&tenant, &quota, at(0)).unwrap_err();
        assert_eq!((over.used, over.limit), (8, 6));
        assert_eq!(over.again.map(|wait| wait.as_secs()), Some(20));
        rates.may_spend(&tenant, &quota, at(21)).unwrap();
        rates.forget(&tenant);
        rates.may_spend(&tenant, &quota, at(0)).unwrap();
    }
}
