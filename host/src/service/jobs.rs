//! Jobs as a caller sees them: hand in, look, wait, cancel, read what was
//! printed.
//!
//! Promise: an accepted job is durable, and then walks by itself
//! ([`journey`](super::journey)); none of the calls here has to be awaited to
//! its end for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::clock::Timestamp;
use crate::engine::Output;
use crate::ids::Digest;
use crate::ids::JobId;
use crate::ids::SessionId;
use crate::limits;
use crate::model::caller::Owner;
use crate::model::job::AskedLimits;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::Job;
use crate::model::job::NamedSession;
use crate::model::job::NewJob;
use crate::model::job::OnCrash;
use crate::model::job::Progress;
use crate::model::module::ModuleRef;
use crate::model::module::ModuleVersion;
use crate::model::quota::Quota;
use crate::model::rolling_key::ShownKey;
use crate::model::schedule::Schedule;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::queue::admission;
use crate::queue::admission::Admitted;
use crate::queue::admission::Facts;
use crate::queue::admission::Named;
use crate::queue::admission::Standing;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Place;
use crate::service::Service;
use crate::service::journey::Walk;
use crate::service::live::JobKey;
use crate::service::live::Listed;
use crate::service::live::LiveJob;
use crate::service::record::Record;
use crate::service::refusal::Refusal;
use crate::service::stream::Client;
use crate::store::Accepted;
use crate::store::Body;
use crate::store::JobFilter;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::QueuedJob;
use crate::store::Receipt;
use crate::store::Stream;

/// A cancel answers when the guest has stopped, or after this long.
const CANCEL_WAIT: Duration = Duration::from_secs(10);

/// Between two looks whether a job that was refused has left the list.
const NEXT_LOOK: Duration = Duration::from_millis(1);

const DAY_S: u64 = 24 * 3_600;

/// What a client asks for, checked by itself.
#[derive(Clone, Debug)]
pub struct JobOrder {
    /// `None` lets the server choose.
    pub id: Option<JobId>,
    pub module: ModuleRef,
    pub session: Option<SessionId>,
    /// What the request says about waiting for the session's turn, if anything.
    pub queue: Option<QueueMode>,
    pub inputs: Inputs,
    pub limits: AskedLimits,
    pub schedule: Schedule,
    pub on_crash: OnCrash,
    pub delivery: Delivery,
    /// Whether nothing of it is to be kept (R26a).
    pub dry_run: bool,
    pub labels: BTreeMap<String, String>,
    /// The session key that the request carries (R28).
    pub session_key: Option<ShownKey>,
    /// Of the request as it was sent, so that a retry is known (R2); without the
    /// session key.
    pub fingerprint: Digest,
}

/// A job that has been let in and is on its way into the store.
struct Entry {
    /// `None` if a job of that name is listed: then this is a retry, a conflict, or comes
    /// after one that is being refused.
    listed: Option<Listed>,
    place: Option<Place>,
    receipt: Receipt<Accepted>,
}

/// A job's output: what was printed so far, or all of it.
pub enum Printout {
    /// The job is over, and this is what it printed.
    Whole(Body),
    /// The job may print more.
    Growing(Arc<Output>),
}

impl JobOrder {
    /// The job that comes of it, of a module that was found. Refused if it asks for
    /// more than a job of its tenant may.
    pub(super) fn into_job(
        self,
        owner: &Owner,
        id: &JobId,
        version: ModuleVersion,
        session: Option<&Session>,
        quota: &Quota,
        now: Timestamp,
    ) -> Result<NewJob, Refusal> {
        let limits = self.limits.within(quota, self.delivery)?;
        let put_off = self.schedule.not_before.map(|not_before| not_before.since(now)).unwrap_or_default();
        if put_off > limits::PUT_OFF_MAX {
            let (days, most) = (put_off.as_secs() / DAY_S, limits::PUT_OFF_MAX.as_secs() / DAY_S);
            let detail = format!("`not_before` is {days} days ahead, and a job can be put off for at most {most} days");
            return Err(Refusal::Invalid(detail));
        }
        // Under a pending id nothing is certain yet, so the job looks again at its start.
        let key = session.filter(|session| session.state.takes_requests()).map(|session| session.key);
        Ok(NewJob {
            id: id.clone(),
            owner: owner.clone(),
            module: version.name,
            version: version.version,
            digest: version.digest,
            kind: version.kind,
            session: self.session.map(|id| NamedSession { id, key }),
            inputs: self.inputs,
            limits,
            schedule: self.schedule,
            on_crash: self.on_crash,
            delivery: self.delivery,
            dry_run: self.dry_run,
            labels: self.labels,
            fingerprint: self.fingerprint,
            key_shown: None,
            created_at: now,
        })
    }
}

impl Service {
    /// Hands in a job; durable when this answers. The same id with the same
    /// request gives the job that was accepted then, and runs nothing (R2).
    pub async fn submit(&self, owner: &Owner, order: JobOrder) -> Result<Job, Refusal> {
        let id = order.id.clone().unwrap_or_else(|| self.inner.store.new_job_id(self.now()));
        let shown = order.session_key.clone();
        // A retry gets the old answer whatever has changed since: its session
        // may be busy now, or its module gone.
        let known = match &order.id {
            Some(id) => self.inner.store.known_job(owner, id, &order.fingerprint).await?,
            None => None,
        };
        let accepted = match known {
            Some(accepted) => accepted,
            None => self.accept(owner, &id, order, None).await?,
        };
        match accepted {
            Accepted::New(job) => Ok(*job),
            Accepted::Known(job) => {
                self.retry_shown_right(&job, shown.as_ref())?;
                Ok(*job)
            }
            Accepted::Conflict => Err(is_taken(&id)),
        }
    }

    /// Records a job and sends it on its walk, with its client if it is a
    /// streaming run.
    pub(super) async fn accept(
        &self,
        owner: &Owner,
        id: &JobId,
        order: JobOrder,
        client: Option<Client>,
    ) -> Result<Accepted, Refusal> {
        let version = self.runnable(&owner.tenant, &order.module).await?;
        let session = match &order.session {
            Some(id) => self.named(owner, id).await?,
            None => None,
        };
        let queue = order.queue;
        let key_shown = match &session {
            Some(session) => self.shown_right(session, order.session_key.as_ref())?,
            // Nothing is there that could demand one (R3).
            None => None,
        };
        let job = order.into_job(owner, id, version, session.as_ref(), &self.quota_of(&owner.tenant), self.now())?;
        let job = NewJob { key_shown, ..job };
        let entry = self.enter(&job, session.as_ref(), queue)?;
        // From here on the job may be durable at any moment, so the rest must
        // not depend on a client that waits.
        let service = self.clone();
        let (tell, told) = oneshot::channel();
        self.start_task(async move {
            let Entry { listed, place, receipt } = entry;
            let accepted = receipt.await;
            let Ok(Accepted::New(new)) = &accepted else {
                // First off the list, so that the next one of that name finds it free.
                drop((listed, place));
                let _ = tell.send(accepted);
                return;
            };
            service.inner.meters.accepted(job.delivery);
            let queued = QueuedJob::accepted(new.seq, job);
            // Before it is told: who knows of the job can wait for it, and cancel it.
            let listed = match listed {
                Some(listed) => listed,
                None => service.list_after_another(&queued.job).await,
            };
            // Whoever asked may be gone.
            let _ = tell.send(accepted);
            service.walk(Walk { queued, listed, record: Record::Stored, client, ahead: None }, place).await;
        });
        Ok(told.await.map_err(|_| Refusal::Internal)??)
    }

    /// Lists a job that is on record, although one of its name was listed before: that
    /// one was refused, and is about to leave.
    async fn list_after_another(&self, job: &NewJob) -> Listed {
        loop {
            if let Some(listed) = self.inner.live.enter(live_job(job)) {
                return listed;
            }
            sleep(NEXT_LOOK).await;
        }
    }

    /// Takes a place in the lane and in the store's line of writes, in one step.
    fn enter(&self, job: &NewJob, session: Option<&Session>, queue: Option<QueueMode>) -> Result<Entry, Refusal> {
        let _door = self.inner.door.lock().unwrap_or_else(PoisonError::into_inner);
        // A streaming run, of which the store does not know yet.
        if self.inner.unrecorded.has(&job.owner, &job.id) {
            return Err(is_taken(&job.id));
        }
        let named = job.session.as_ref().map(|named| &named.id);
        let tenant = Some(self.standing(&job.owner.tenant));
        let place = self.admit(&job.owner, tenant, named, session, queue)?;
        let listed = self.inner.live.enter(live_job(job));
        Ok(Entry { listed, place, receipt: self.inner.store.accept(job.clone()) })
    }

    /// Lets a request in, or says why not: a job also by how its `tenant` stands. With a place in the lane of the
    /// session that it names, if it has to wait for its turn there.
    pub(super) fn admit(
        &self,
        owner: &Owner,
        tenant: Option<Standing>,
        named: Option<&SessionId>,
        session: Option<&Session>,
        queue: Option<QueueMode>,
    ) -> Result<Option<Place>, admission::Refusal> {
        let inner = &self.inner;
        let lane = named.map(|id| LaneKey { owner: owner.clone(), session: id.clone() });
        let facts = Facts {
            draining: self.is_draining(),
            // Records that wait to be written are held in memory too.
            jobs_live: inner.live.count().max(inner.unrecorded.count()),
            tenant,
            named: lane.as_ref().map(|lane| {
                let length = inner.lanes.length(lane);
                Named {
                    id: lane.session.clone(),
                    queue: session.map(|session| session.queue),
                    waiting: length.waiting,
                    busy: length.busy,
                }
            }),
            queue,
            queue_max: inner.settings.queue_max,
            unknown_sessions: inner.settings.unknown_sessions,
        };
        match admission::admit(&facts)? {
            Admitted::InLane => Ok(lane.map(|lane| inner.lanes.join(lane))),
            Admitted::Freely => Ok(None),
        }
    }

    /// Sends an accepted job on its walk.
    pub(super) fn set_out(&self, walk: Walk, place: Option<Place>) {
        let service = self.clone();
        self.start_task(async move { service.walk(walk, place).await });
    }

    /// A job, on record or about to be.
    pub async fn job(&self, owner: &Owner, id: &JobId) -> Result<Job, Refusal> {
        if let Some(job) = self.inner.unrecorded.look(owner, id).await {
            return Ok(job);
        }
        let job = self.inner.store.job(owner, id).await?;
        job.ok_or_else(|| Refusal::NoJob(id.clone()))
    }

    /// The jobs of an owner, newest first.
    pub async fn jobs(&self, owner: &Owner, filter: JobFilter, page: PageOf) -> Result<Page<Job>, Refusal> {
        Ok(self.inner.store.jobs(owner, filter, page).await?)
    }

    /// How far a job says it is, while it has not ended.
    pub fn progress(&self, job: &Job) -> Option<Progress> {
        let live = self.inner.live.get(&JobKey { owner: job.owner.clone(), id: job.id.clone() })?;
        let progress = live.attempt().live.progress();
        let progress = progress.borrow();
        progress.clone()
    }

    /// Waits until a job has ended, at most `wait`, and gives what is on record
    /// then. When the server stops, a job that stays queued counts as ended here.
    pub async fn wait(&self, job: Job, wait: Duration) -> Result<Job, Refusal> {
        if let Some(live) = self.inner.live.get(&JobKey { owner: job.owner.clone(), id: job.id.clone() }) {
            let ended = tokio::time::timeout(wait, live.ended()).await;
            if let Some(job) = ended.ok().and_then(|()| live.at_its_end(&job)) {
                return Ok(job);
            }
        }
        // The record says how far it is.
        self.job(&job.owner, &job.id).await
    }

    /// Stops a job that is queued or runs (R32). A job that is over, or being
    /// made durable, goes on to its end; the answer says which it is.
    pub async fn cancel(&self, owner: &Owner, id: &JobId) -> Result<Job, Refusal> {
        let job = self.job(owner, id).await?;
        if let Some(live) = self.inner.live.get(&JobKey { owner: job.owner.clone(), id: job.id.clone() }) {
            live.cancel("it was cancelled by request");
            if tokio::time::timeout(CANCEL_WAIT, live.ended()).await.is_err() {
                tracing::warn!(job = %id, "a cancelled job has not ended yet");
            }
        }
        self.job(owner, id).await
    }

    /// What a job printed, or prints.
    pub async fn printout(&self, owner: &Owner, id: &JobId, stream: Stream) -> Result<Printout, Refusal> {
        let job = self.job(owner, id).await?;
        if (job.delivery, stream) == (Delivery::Streamed, Stream::Stdout) {
            return Err(Refusal::NotKept(id.clone()));
        }
        if let Some(live) = self.inner.live.get(&JobKey { owner: job.owner.clone(), id: job.id.clone() }) {
            let attempt = live.attempt().live;
            let output = match stream {
                Stream::Stdout => &attempt.stdout,
                Stream::Stderr => &attempt.stderr,
            };
            return Ok(Printout::Growing(Arc::clone(output)));
        }
        Ok(Printout::Whole(self.inner.store.printout(job.seq, stream).await?))
    }
}

fn is_taken(id: &JobId) -> Refusal {
    Refusal::Conflict(format!("a job with the id `{id}` was submitted before with another request; choose another id"))
}

/// A job before it is listed among those that have not ended.
pub(super) fn live_job(job: &NewJob) -> LiveJob {
    let kept_bytes_max = match job.delivery {
        Delivery::Stored => job.limits.output_bytes,
        // Only stderr is kept.
        Delivery::Streamed => job.limits.output_bytes.min(limits::OUTPUT_BYTES_DEFAULT),
    };
    LiveJob::new(JobKey { owner: job.owner.clone(), id: job.id.clone() }, kept_bytes_max)
}
