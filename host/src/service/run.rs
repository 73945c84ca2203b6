//! Streaming runs: hand in a job and stay with it.
//!
//! Promise: the same rules let it in as any job, and it takes the same walk
//! ([`journey`](super::journey)). In a session it is accepted durably before it
//! runs; outside one nobody waits for a disk (R26b).

use std::sync::PoisonError;

use crate::ids::JobId;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::job::Delivery;
use crate::model::job::OnCrash;
use crate::model::rolling_key::RollingKey;
use crate::service::Service;
use crate::service::jobs::JobOrder;
use crate::service::jobs::live_job;
use crate::service::journey::Walk;
use crate::service::record::Record;
use crate::service::refusal::Refusal;
use crate::service::stream;
use crate::service::stream::Answer;
use crate::service::stream::Client;
use crate::service::stream::StdinWriter;
use crate::store::Accepted;
use crate::store::QueuedJob;

/// A job that was let in, with the client's ends of its streams. Dropping
/// either before the job's end says that the client went away.
pub struct StreamingRun {
    pub id: JobId,
    /// The session that it named.
    pub session: Option<SessionId>,
    /// The session key for the next request (R28).
    pub next_key: Option<RollingKey>,
    pub stdin: StdinWriter,
    pub answer: Answer,
}

impl Service {
    /// Hands in a job whose client stays. The server chooses its id: what the
    /// client sends cannot be compared with an earlier request.
    pub async fn run(&self, owner: &Owner, order: JobOrder) -> Result<StreamingRun, Refusal> {
        let order = JobOrder { id: None, delivery: Delivery::Streamed, on_crash: OnCrash::Fail, ..order };
        let (id, session) = (self.inner.store.new_job_id(self.now()), order.session.clone());
        let shows_key = order.session_key.is_some();
        let (client, stdin, answer) = stream::open();
        if session.is_none() {
            self.set_out_unrecorded(owner, &id, order, client).await?;
        } else if !matches!(self.accept(owner, &id, order, Some(client)).await?, Accepted::New(_)) {
            // A caller has chosen the same id.
            return Err(Refusal::Internal);
        }
        // Who showed none was let in where none is demanded, and is given none.
        let next_key = match &session {
            Some(_) if shows_key => self.key_handed(&self.job(owner, &id).await?),
            _ => None,
        };
        Ok(StreamingRun { id, session, next_key, stdin, answer })
    }

    /// Sends a job outside any session on its walk; it comes on record behind
    /// its answer.
    async fn set_out_unrecorded(
        &self,
        owner: &Owner,
        id: &JobId,
        order: JobOrder,
        client: Client,
    ) -> Result<(), Refusal> {
        let version = self.runnable(&owner.tenant, &order.module).await?;
        let (quota, queue) = (self.quota_of(&owner.tenant), order.queue);
        let job = order.into_job(owner, id, version, None, &quota, self.now())?;
        // As for any job: who is let in is counted before the next one is looked at.
        let _door = self.inner.door.lock().unwrap_or_else(PoisonError::into_inner);
        self.admit(owner, Some(self.standing(&owner.tenant)), None, None, queue)?;
        // A caller has chosen the same id.
        let listed = self.inner.live.enter(live_job(&job)).ok_or(Refusal::Internal)?;
        self.inner.meters.accepted(job.delivery);
        let unrecorded = self.inner.unrecorded.enter(job.clone());
        let queued =
            QueuedJob { seq: unrecorded.seq(), job, attempts: 0, failures: 0, created: None, inputs_on_record: false };
        let record = Record::Behind(unrecorded);
        self.set_out(Walk { queued, listed, record, client: Some(client), ahead: None }, None);
        Ok(())
    }
}
