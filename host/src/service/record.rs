//! How a job comes on record: from its acceptance on, or in one piece when it
//! has ended.
//!
//! The second is for a streaming run outside a session. It changes nothing that
//! lasts, so nobody has to wait for a disk before it starts, or before its
//! answer ends (R26b). Until its record is written it is listed here.
//!
//! Promise: whoever asks for such a job by its id finds it, here or on record.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::limits::FULL_DISK_RETRY;
use crate::model::caller::Owner;
use crate::model::job::Job;
use crate::model::job::JobSeq;
use crate::model::job::JobState;
use crate::model::job::NewJob;
use crate::model::outcome::Outcome;
use crate::service::Service;
use crate::service::journey::Halt;
use crate::service::journey::Walk;
use crate::service::refusal::Chain;
use crate::store::Accepted;
use crate::store::Claim;
use crate::store::Ending;
use crate::store::StoreError;

/// Where the record of a job is kept.
#[derive(Clone)]
pub(super) enum Record {
    /// In the store, since the job was accepted.
    Stored,
    /// Nowhere yet; it is written behind the answer.
    Behind(Arc<Unrecorded>),
}

/// A job that is not on record yet.
pub(super) struct Unrecorded {
    new: NewJob,
    /// Below zero, so it is no other job's.
    seq: JobSeq,
    stage: watch::Sender<Stage>,
    /// Its number and attempt, once it had to come on record before its end.
    recorded: OnceLock<(JobSeq, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Started(Timestamp),
    /// It is being written.
    Over,
    /// It is on record, or cannot be.
    Left,
}

/// All jobs that are not on record yet.
#[derive(Default)]
pub(super) struct AllUnrecorded {
    jobs: Mutex<HashMap<(Owner, JobId), Arc<Unrecorded>>>,
    last_number: AtomicI64,
}

impl AllUnrecorded {
    /// Lists a job, under a number of its own.
    pub(super) fn enter(&self, new: NewJob) -> Arc<Unrecorded> {
        let seq = JobSeq(-1 - self.last_number.fetch_add(1, Ordering::Relaxed));
        let key = (new.owner.clone(), new.id.clone());
        let job =
            Arc::new(Unrecorded { new, seq, stage: watch::Sender::new(Stage::Waiting), recorded: OnceLock::new() });
        self.jobs().insert(key, Arc::clone(&job));
        job
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.jobs().len()
    }

    /// Whether a job of that name is listed here.
    pub(super) fn has(&self, owner: &Owner, id: &JobId) -> bool {
        self.jobs().contains_key(&(owner.clone(), id.clone()))
    }

    /// The job as far as it is. `None` for one that the store knows about, which
    /// this waits for if the job is over.
    pub(super) async fn look(&self, owner: &Owner, id: &JobId) -> Option<Job> {
        let job = self.jobs().get(&(owner.clone(), id.clone())).cloned()?;
        let stage = *job.stage.borrow();
        match stage {
            Stage::Waiting => Some(job.as_it_is(None)),
            Stage::Started(at) => Some(job.as_it_is(Some(at))),
            Stage::Over | Stage::Left => {
                // The sender is ours, so waiting cannot fail.
                let _ = job.stage.subscribe().wait_for(|stage| *stage == Stage::Left).await;
                None
            }
        }
    }

    pub(super) fn leave(&self, job: &Unrecorded) {
        self.jobs().remove(&(job.new.owner.clone(), job.new.id.clone()));
        job.go_on(Stage::Left);
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<(Owner, JobId), Arc<Unrecorded>>> {
        // Nothing panics while it is held, and the map is whole between any two statements.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unrecorded {
    pub(super) fn seq(&self) -> JobSeq {
        self.seq
    }

    /// Enters a stage; gives the one before it.
    fn go_on(&self, stage: Stage) -> Stage {
        let mut before = stage;
        self.stage.send_if_modified(|now| {
            before = std::mem::replace(now, stage);
            // Hardly ever does anybody listen. Who begins to after this sees the new one.
            self.stage.receiver_count() > 0
        });
        before
    }

    fn as_it_is(&self, started_at: Option<Timestamp>) -> Job {
        Job {
            state: if started_at.is_some() { JobState::Running } else { JobState::Queued },
            attempt: u32::from(started_at.is_some()),
            started_at,
            ..self.new.accepted(self.seq)
        }
    }
}

impl Service {
    /// Begins the job's next attempt, which it gives. Durable, unless the record
    /// is written behind. Waits for room on a full disk.
    pub(super) async fn claim(&self, walk: &Walk, session_active: bool) -> Result<u32, Halt> {
        let now = self.now();
        let NewJob { created_at, schedule, .. } = &walk.queued.job;
        let waited = now.since(schedule.not_before.unwrap_or(*created_at).max(*created_at));
        match &walk.record {
            Record::Stored => loop {
                match self.inner.store.claim(walk.queued.seq, session_active, now).await {
                    Err(StoreError::Full) => self.unless_stopped(walk.live(), sleep(FULL_DISK_RETRY)).await?,
                    claimed => {
                        let attempt = claimed?;
                        self.inner.meters.waited(waited);
                        walk.live().note_claim(Claim { attempt, session_active, at: now });
                        return Ok(attempt);
                    }
                }
            },
            Record::Behind(job) => {
                job.go_on(Stage::Started(now));
                walk.live().begin(1);
                self.inner.meters.waited(waited);
                Ok(1)
            }
        }
    }

    /// Accepts and claims a run that turned out to change something that lasts;
    /// gives its number and attempt. From then on it ends like any other.
    pub(super) async fn put_on_record(&self, job: &Unrecorded) -> Result<(JobSeq, u32), StoreError> {
        let accepted = self.inner.store.accept(job.new.clone()).await?;
        let Accepted::New(new) = accepted else {
            return Err(StoreError::Broken("a run of that id is on record".to_owned()));
        };
        let attempt = self.inner.store.claim(new.seq, true, self.now()).await?;
        Ok(*job.recorded.get_or_init(|| (new.seq, attempt)))
    }

    /// Puts a failed attempt on record, after which another one follows; durable when this
    /// answers. Waits for room on a full disk, as the end of a job does.
    pub(super) async fn put_back(
        &self,
        walk: &Walk,
        attempt: u32,
        failed: &Outcome,
        not_before: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            match self.inner.store.put_back(walk.queued.seq, attempt, failed.clone(), not_before).await {
                Err(StoreError::Full) if !self.is_draining() => sleep(FULL_DISK_RETRY).await,
                put => return put,
            }
        }
    }

    /// Puts the end of a job that changes no session on record; durable when
    /// this answers, unless the record is written behind. Waits for room on a full
    /// disk: otherwise the job would seem to run until the next start.
    pub(super) async fn end(&self, walk: &Walk, attempt: u32, ending: Ending) -> Result<(), StoreError> {
        let job = match &walk.record {
            Record::Stored => loop {
                match self.inner.store.end(walk.queued.seq, attempt, ending.clone()).await {
                    Err(StoreError::Full) if !self.is_draining() => sleep(FULL_DISK_RETRY).await,
                    ended => return ended.map(|()| walk.live().note_ending(ending)),
                }
            },
            Record::Behind(job) => Arc::clone(job),
        };
        if let Some((seq, attempt)) = job.recorded.get() {
            self.inner.store.end(*seq, *attempt, ending).await?;
            self.inner.unrecorded.leave(&job);
            return Ok(());
        }
        let started_at = match job.go_on(Stage::Over) {
            Stage::Started(at) => Some(at),
            Stage::Waiting | Stage::Over | Stage::Left => None,
        };
        let leaving = Leaving { service: self.clone(), job: Arc::clone(&job), _task: self.inner.tasks.token() };
        self.inner.store.record(job.new.clone(), started_at, ending, move |recorded| leaving.tell(recorded));
        Ok(())
    }
}

/// A run whose record is being written. Dropped when it is on record, or will not be.
struct Leaving {
    service: Service,
    job: Arc<Unrecorded>,
    /// Whoever drains the service waits for this too.
    _task: TaskTrackerToken,
}

impl Leaving {
    fn tell(self, recorded: Result<(), &StoreError>) {
        if let Err(error) = recorded {
            let new = &self.job.new;
            tracing::error!(
                job = %new.id, tenant = %new.owner.tenant, error = %Chain(error),
                "a streaming run could not be put on record"
            );
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.service.inner.unrecorded.leave(&self.job);
    }
}
