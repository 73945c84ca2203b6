//! The walk of one job, from its acceptance to its end.
//!
//! Comes in: a job that is durable, with its place in a lane if it has one.
//! Goes out: to the lane for its turn, to the pool for a slot, to the store
//! for a draft, to the engine for the run, back to the store for the commit.
//!
//! Promise: whatever way a job leaves this page, its turn, slot and draft are
//! given back in reverse order, its end is on record, and those who wait for
//! it are told after that, never before.

use std::sync::Arc;

use crate::engine::DiskAllowance;
use crate::engine::Ran;
use crate::engine::RunOrder;
use crate::engine::SessionDesk;
use crate::engine::Touched;
use crate::model::job::JobSeq;
use crate::model::job::NewJob;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::job::Step;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::params::ParamChanges;
use crate::model::params::Params;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Place;
use crate::queue::slots::Slot;
use crate::service::Service;
use crate::service::desk::Desk;
use crate::service::desk::Ends;
use crate::service::live::Listed;
use crate::service::live::LiveJob;
use crate::service::refusal::Chain;
use crate::store::CommitError;
use crate::store::Draft;
use crate::store::Ending;
use crate::store::Fate;
use crate::store::QueuedJob;
use crate::store::Refused;
use crate::store::StoreError;

/// Why a walk ends before its guest could run.
enum Halt {
    /// The server stops; the job stays queued for the next start.
    Drained,
    /// Somebody cancelled it.
    Cancelled,
    /// The store failed, and says nothing durable about the job any more. The
    /// next start finds it as it was.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Halt::Store(error)
    }
}

impl Service {
    /// Walks `queued` to its end.
    pub(super) async fn walk(&self, queued: QueuedJob, listed: Listed, place: Option<Place>) {
        // `listed` is dropped last: whatever happens below, those who wait are told.
        let live = Arc::clone(&listed.job);
        let has_lane = place.is_some();
        let ended = self.walk_in_turn(&queued, &live, place, has_lane).await;
        let ended = match ended {
            Err(Halt::Cancelled) => {
                // It never ran, so there is nothing to undo but its place in the line.
                let outcome = cancelled(&live);
                self.inner.store.end(queued.seq, queued.attempts, self.unstarted(outcome)).await.map_err(Halt::Store)
            }
            ended => ended,
        };
        let job = &queued.job;
        match ended {
            Ok(()) => {}
            Err(Halt::Drained) => tracing::debug!(job = %job.id, "left in the queue for the next start"),
            Err(Halt::Cancelled) => unreachable!("a cancel was turned into an end above"),
            Err(Halt::Store(error)) => tracing::error!(
                job = %job.id, tenant = %job.owner.tenant, error = %Chain(&error),
                "the end of a job could not be recorded; the next start of the server will take it up"
            ),
        }
    }

    /// Turn, slot, claim, run. The turn is held to the end of this function,
    /// and with it the right to touch the session.
    async fn walk_in_turn(
        &self,
        queued: &QueuedJob,
        live: &Arc<LiveJob>,
        place: Option<Place>,
        has_lane: bool,
    ) -> Result<(), Halt> {
        let turn = match place {
            Some(place) => Some(self.unless_stopped(live, place.turn()).await?),
            None => None,
        };
        let job = &queued.job;
        let lane = job
            .session
            .as_ref()
            .filter(|_| has_lane)
            .map(|named| LaneKey { owner: job.owner.clone(), session: named.id.clone() });
        // Listed before the session is looked up: whoever drops the session
        // marks it first and looks here second, so either that one finds us
        // running in it, or we find the mark, or the session is gone at `begin`.
        let in_lane = lane.map(|lane| self.inner.live.take_lane(lane, live));
        let slot = self.unless_stopped(live, self.inner.slots.take()).await?;
        let session = self.session_at_start(job, has_lane).await?;
        live.enter(session.as_ref().map(|session| session.key));

        live.step(Step::Start).map_err(|_| Halt::Cancelled)?;
        let attempt = self.inner.store.claim(queued.seq, session.is_some(), self.now()).await?;
        let desk = Arc::new(Desk::new(self, &job.owner, queued.seq, live, session.as_ref()));
        let ended = self.run(queued, live, attempt, session.as_ref(), &desk, slot).await;

        for session in session.iter().map(|session| session.key).chain(desk.created()) {
            self.remove_if_marked(session).await?;
        }
        // What the job held of other lanes goes before its turn, as it came after it.
        drop(desk);
        drop(in_lane);
        drop(turn);
        ended
    }

    /// Waits for `what`, unless the job is cancelled or the server stops first.
    async fn unless_stopped<T>(&self, live: &LiveJob, what: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = live.stop.cancelled() => Err(Halt::Cancelled),
            () = self.inner.draining.cancelled() => Err(Halt::Drained),
            got = what => Ok(got),
        }
    }

    /// The session that the job runs in, now that it has the turn. One that was
    /// there when the job was accepted is this one or none (R17); an id that
    /// matched nothing then may match now, since those who wait for an id run
    /// in the session that is made under it (R13). Without a turn there is none.
    async fn session_at_start(&self, job: &NewJob, has_lane: bool) -> Result<Option<Session>, StoreError> {
        let Some(named) = job.session.as_ref().filter(|_| has_lane) else { return Ok(None) };
        let found = match named.key {
            Some(key) => self.inner.store.session_by_key(key).await?,
            None => self.inner.store.session(&job.owner, &named.id).await?,
        };
        // One that was renamed away while the job waited is not the one it named (R17).
        Ok(found.filter(|session| session.state.takes_requests() && session.id == named.id))
    }

    /// Runs the guest in a draft and makes the end durable.
    async fn run(
        &self,
        queued: &QueuedJob,
        live: &Arc<LiveJob>,
        attempt: u32,
        session: Option<&Session>,
        desk: &Arc<Desk>,
        slot: Slot,
    ) -> Result<(), Halt> {
        let ready = match self.prepare(&queued.job, live, attempt, session, desk).await {
            Ok(ready) => ready,
            Err(outcome) => {
                self.inner.store.end(queued.seq, attempt, self.unstarted(outcome)).await?;
                return Ok(());
            }
        };
        let (draft, order) = ready;
        let ran = self.inner.engine.run(slot.number(), order).await;
        // The guest is gone; making its work durable takes a disk, not a slot.
        drop(slot);
        self.settle(queued, live, attempt, draft, ran, desk).await
    }

    /// Everything that the run needs; or, since the job counts as started, the
    /// outcome of one that could not be given it.
    async fn prepare(
        &self,
        job: &NewJob,
        live: &LiveJob,
        attempt: u32,
        session: Option<&Session>,
        desk: &Arc<Desk>,
    ) -> Result<(Draft, RunOrder), Outcome> {
        let program = self.program(&job.digest, job.kind).await.map_err(|refusal| {
            Outcome::failed(Reason::HostError, format!("the module could not be loaded: {refusal}"))
        })?;
        let draft = self.begin(live, session.map(|session| session.key)).await?;
        let dir = draft.dir().map_err(|error| {
            tracing::error!(job = %job.id, %error, "a working copy could not be opened");
            Outcome::failed(Reason::HostError, "the server could not open the job's directory")
        })?;
        let (held, limits) = (draft.usage(), session.map(|session| session.limits).unwrap_or_default());
        let order = RunOrder {
            program,
            module_name: job.module.to_string(),
            inputs: job.inputs.clone(),
            limits: job.limits,
            job: job.id.clone(),
            attempt,
            session: draft.session().map(|session| session.id.clone()),
            params: Params::new(Arc::clone(draft.params())),
            dir,
            has_links: draft.has_links(),
            disk: DiskAllowance {
                bytes_used: held.bytes,
                bytes_max: limits.bytes,
                files_used: held.files,
                files_max: limits.files,
            },
            live: Arc::clone(&live.live),
            desk: Arc::clone(desk) as Arc<dyn SessionDesk>,
            stop: live.stop.clone(),
        };
        Ok((draft, order))
    }

    async fn begin(&self, live: &LiveJob, session: Option<SessionKey>) -> Result<Draft, Outcome> {
        let begun = match self.inner.store.begin(session).await {
            // Dropped since it was looked up, by somebody who did not find us
            // running yet: the job goes on without a session (R17).
            Err(StoreError::Refused(Refused::SessionGone)) if live.cancelled().is_none() => {
                live.enter(None);
                self.inner.store.begin(None).await
            }
            begun => begun,
        };
        begun.map_err(|error| match error {
            StoreError::Refused(Refused::SessionGone) => dropped(),
            StoreError::Full => Outcome::failed(Reason::HostError, "the server's disk is full"),
            error => {
                tracing::error!(error = %Chain(&error), "a working copy could not be made");
                Outcome::failed(Reason::HostError, "the server could not prepare the job's directory")
            }
        })
    }

    /// Keeps what the guest did, or undoes it, and puts its end on record.
    async fn settle(
        &self,
        queued: &QueuedJob,
        live: &LiveJob,
        attempt: u32,
        draft: Draft,
        ran: Ran,
        desk: &Desk,
    ) -> Result<(), Halt> {
        let (seq, outcome) = (queued.seq, ran.outcome.clone());
        let step = if outcome == Outcome::Succeeded { Step::Return } else { Step::Fail };
        // A guest that returned just after its cancel is cancelled all the same.
        let outcome = if live.step(step).is_err() { cancelled(live) } else { outcome };
        let mut ending = Ending {
            outcome,
            result: ran.result,
            spent: ran.spent,
            ended_at: self.now(),
            stdout: ran.stdout,
            stderr: ran.stderr,
        };
        if ending.outcome != Outcome::Succeeded {
            match &ran.touched {
                Touched::Paths(changed) => draft.roll_back(changed),
                // Dropped, a draft loses its whole working copy.
                Touched::Everywhere => drop(draft),
            }
            // A result is part of what a job did, and nothing of that is kept.
            ending.result = None;
            self.inner.store.end(seq, attempt, ending).await?;
            return Ok(());
        }
        let Err(error) = self.commit(seq, attempt, &ending, draft, ran.touched, ran.params, desk.ends()).await else {
            self.step_past_commit(live, Step::Stored);
            return Ok(());
        };
        self.step_past_commit(live, Step::StoreFailed);
        ending.outcome = match error {
            CommitError::SessionGone => dropped(),
            CommitError::Store(StoreError::Poisoned) => return Err(Halt::Store(StoreError::Poisoned)),
            CommitError::Store(StoreError::Refused(refused)) => {
                Outcome::failed(Reason::HostError, format!("what the job did could not be kept: {refused}"))
            }
            CommitError::Store(error) => {
                tracing::error!(job = %queued.job.id, error = %Chain(&error), "a commit failed");
                Outcome::failed(Reason::HostError, "what the job did could not be kept: the server's store failed")
            }
        };
        ending.result = None;
        self.inner.store.end(seq, attempt, ending).await?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the one point at which everything that a job did comes together")]
    async fn commit(
        &self,
        seq: JobSeq,
        attempt: u32,
        ending: &Ending,
        draft: Draft,
        touched: Touched,
        params: ParamChanges,
        ends: Ends,
    ) -> Result<(), CommitError> {
        let (draft, touched, fate) = match ends {
            Ends::Deleted => return draft.commit_and_remove(seq, attempt, ending.clone()).await,
            Ends::AsItBegan => (draft, touched, Fate::Stays),
            Ends::Renamed { to } => (draft, touched, Fate::Renamed { to }),
            Ends::Created { session } => (draft.adopt(session).await?, Touched::Everywhere, Fate::Stays),
        };
        let changed = match touched {
            Touched::Paths(changed) => changed,
            Touched::Everywhere => draft.everything().await?,
        };
        draft.commit(seq, attempt, ending.clone(), changed, params, fate).await
    }

    /// The end of a job whose guest never ran.
    fn unstarted(&self, outcome: Outcome) -> Ending {
        Ending {
            outcome,
            result: None,
            spent: Spent::default(),
            ended_at: self.now(),
            stdout: Printed::default(),
            stderr: Printed::default(),
        }
    }

    fn step_past_commit(&self, live: &LiveJob, step: Step) {
        live.step(step).expect("only this walk leads out of the commit");
    }
}

fn cancelled(live: &LiveJob) -> Outcome {
    let why = live.cancelled().unwrap_or("it was cancelled");
    Outcome::Cancelled { detail: why.to_owned() }
}

fn dropped() -> Outcome {
    Outcome::Cancelled { detail: "its session was dropped".to_owned() }
}
