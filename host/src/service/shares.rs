//! What a job may have of the slots, and a slot as the engine sees it.

use async_trait::async_trait;

use crate::engine::RightToCompute;
use crate::ids::TenantId;
use crate::model::job::NewJob;
use crate::queue::shares::Line;
use crate::queue::shares::Share;
use crate::queue::slots::Slot;
use crate::service::Service;

/// A slot, as the engine sees it.
pub(super) struct Right(pub(super) Slot);

#[async_trait]
impl RightToCompute for Right {
    async fn wanted(&self) {
        self.0.wanted().await;
    }

    async fn give_way(&mut self) {
        self.0.give_way().await;
    }
}

impl Service {
    /// Waits for a seat and a slot for the job.
    pub(super) async fn slot_for(&self, job: &NewJob) -> Slot {
        let session = job.session.as_ref().map(|named| named.id.clone());
        let line = Line { owner: job.owner.clone(), session };
        let share = self.share_of(&job.owner.tenant);
        self.inner.slots.take(line, share, job.schedule.priority).await
    }

    fn share_of(&self, tenant: &TenantId) -> Share {
        let quota = self.quota_of(tenant);
        Share {
            weight: u32::try_from(quota.weight).unwrap_or(u32::MAX),
            running_max: usize::try_from(quota.running_jobs).unwrap_or(usize::MAX),
        }
    }
}
