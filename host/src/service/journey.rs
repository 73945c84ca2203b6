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
use std::time::Duration;

use tokio::time::sleep;

use crate::engine::DiskAllowance;
use crate::engine::RunOrder;
use crate::engine::SessionDesk;
use crate::engine::Stdin;
use crate::engine::Stdout;
use crate::model::job::Inputs;
use crate::model::job::NewJob;
use crate::model::life::SessionLife;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::params::Params;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::stage::Step;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Place;
use crate::queue::lanes::Turn;
use crate::queue::slots::Slot;
use crate::service::Service;
use crate::service::again::Again;
use crate::service::desk::Desk;
use crate::service::live::Listed;
use crate::service::live::LiveJob;
use crate::service::record::Record;
use crate::service::refusal::Chain;
use crate::service::session_keys::may_enter;
use crate::service::settle::cancelled;
use crate::service::settle::decided;
use crate::service::settle::drained;
use crate::service::shares::Right;
use crate::service::stream::Client;
use crate::service::waiting::Ready;
use crate::service::waiting::Supply;
use crate::service::waiting::Waiting;
use crate::service::waiting::unless_stopped;
use crate::service::waiting::without_session;
use crate::store::Draft;
use crate::store::QueuedJob;
use crate::store::Refused;
use crate::store::StoreError;

/// Between two looks at the clock of a job that waits for its time.
const NEXT_LOOK: Duration = Duration::from_secs(30);

/// A job on its walk.
pub(super) struct Walk {
    pub(super) queued: QueuedJob,
    /// Those who wait for the job are told when this is dropped.
    pub(super) listed: Listed,
    pub(super) record: Record,
    /// Who sends the job's stdin and reads its stdout meanwhile, if it is a
    /// streaming run.
    pub(super) client: Option<Client>,
    /// The head of the lane of a session that an earlier attempt made; held to
    /// the end.
    pub(super) ahead: Option<Place>,
}

impl Walk {
    pub(super) fn live(&self) -> &Arc<LiveJob> {
        &self.listed.job
    }
}

/// Why a walk ends before its guest could run.
pub(super) enum Halt {
    /// The server stops; the job stays queued for the next start.
    Drained,
    /// Somebody cancelled it.
    Cancelled,
    /// It did run, and failed; it is to run once more.
    Again(Box<Again>),
    /// The store failed, and says nothing durable about the job any more. The
    /// next start finds it as it was.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Halt::Store(error)
    }
}

/// What a job needs beside its turn.
struct Needs<'a> {
    service: &'a Service,
    job: &'a NewJob,
    has_lane: bool,
    is_creator: bool,
}

impl Supply for Needs<'_> {
    async fn due(&self) {
        let Some(not_before) = self.job.schedule.not_before else { return };
        loop {
            let left = not_before.since(self.service.now());
            if left.is_zero() {
                return;
            }
            // The clock may be set meanwhile.
            sleep(left.min(NEXT_LOOK)).await;
        }
    }

    async fn slot(&self) -> Slot {
        self.service.slot_for(self.job).await
    }

    async fn session(&self) -> Result<Option<Session>, StoreError> {
        // Who made a session in an earlier attempt began outside, and does so again.
        if self.is_creator {
            return Ok(None);
        }
        self.service.session_at_start(self.job, self.has_lane).await
    }
}

impl Service {
    /// Walks to the job's end.
    pub(super) async fn walk(&self, mut walk: Walk, mut place: Option<Place>) {
        let mut turn = None;
        let ended = loop {
            match self.walk_watched(&walk, place.take(), &mut turn).await {
                // With its turn: those behind it in the session come after its last attempt (R7).
                Err(Halt::Again(again)) => {
                    self.inner.meters.retried();
                    walk.go_back(*again);
                }
                ended => break ended,
            }
        };
        let ended = match ended {
            // They never ran, so there is nothing to undo but their place in the line.
            Err(Halt::Cancelled) => self.end_unstarted(&walk, cancelled(walk.live())).await,
            // Nobody would be there to read the answer after the next start.
            Err(Halt::Drained) if walk.client.is_some() => self.end_unstarted(&walk, drained()).await,
            ended => ended,
        };
        if let Ok(outcome) = &ended {
            self.inner.meters.ended(outcome);
        }
        let Walk { queued, listed, client, ahead, .. } = walk;
        if client.is_none() {
            // Before anybody is told: who knows of the end finds the session free.
            turn = None;
            drop(ahead);
        }
        drop(listed);
        let job = &queued.job;
        match &ended {
            Ok(_) => {}
            Err(Halt::Drained) => tracing::debug!(job = %job.id, "left in the queue for the next start"),
            Err(Halt::Cancelled | Halt::Again(_)) => unreachable!("either was dealt with above"),
            Err(Halt::Store(error)) => tracing::error!(
                job = %job.id, tenant = %job.owner.tenant, error = %Chain(error),
                "the end of a job could not be recorded; the next start of the server will take it up"
            ),
        }
        if let Some(client) = &client {
            client.tell(ended.ok());
            // Of an answer that keeps no session busy, the end alone needs nobody here.
            if turn.is_some() || !client.has_taken_all() {
                self.until_read(client).await;
            }
        }
        drop(turn);
    }

    /// A streaming run is over, and its session free, when its answer was read
    /// to its end, or will not be (R30).
    async fn until_read(&self, client: &Client) {
        tokio::select! {
            () = client.has_read(self.inner.settings.reply_timeout) => {}
            () = self.inner.hanging_up.cancelled() => {}
        }
    }

    /// Walks on while the client, if there is one, is watched: when it is lost
    /// the job is cancelled like any other.
    async fn walk_watched(&self, walk: &Walk, place: Option<Place>, turn: &mut Option<Turn>) -> Result<Outcome, Halt> {
        let ended = self.walk_in_turn(walk, place, turn);
        let Some(client) = &walk.client else { return ended.await };
        tokio::select! {
            biased;
            ended = ended => ended,
            never = client.watch(walk.live(), self.inner.settings.reply_timeout) => match never {},
        }
    }

    /// Turn, slot, claim, run. The turn is left to the caller, and with it the
    /// right to touch the session.
    async fn walk_in_turn(&self, walk: &Walk, place: Option<Place>, turn: &mut Option<Turn>) -> Result<Outcome, Halt> {
        let (job, live) = (&walk.queued.job, walk.live());
        let has_lane = place.is_some() || turn.is_some();
        let lane = job
            .session
            .as_ref()
            .filter(|_| has_lane)
            .map(|named| LaneKey { owner: job.owner.clone(), session: named.id.clone() });
        let waiting = Waiting { live, jobs: &self.inner.live, draining: &self.inner.draining, lane };
        let supply = Needs { service: self, job, has_lane, is_creator: walk.queued.created.is_some() };
        let Ready { slot, session, in_lane } = waiting.ready(place, turn, &supply).await?;
        live.enter(session.as_ref());

        live.step(Step::Start).map_err(|_| Halt::Cancelled)?;
        let attempt = self.claim(walk, session.is_some()).await?;
        let desk = Arc::new(Desk::new(self, &walk.queued, live));
        let mut ended = self.run_guest(walk, attempt, session.as_ref(), &desk, slot).await;
        if let (Err(Halt::Again(again)), None, SessionLife::Creator { id }) = (&mut ended, &session, live.life()) {
            again.made = Some((id, desk.leave_head()));
        }

        let began_in = session.map(|session| session.key);
        for session in began_in.into_iter().chain(live.session().filter(|now| Some(*now) != began_in)) {
            self.remove_if_marked(session).await?;
        }
        // What the job held of other lanes goes before its turn, as it came after it.
        drop(desk);
        drop(in_lane);
        ended
    }

    async fn end_unstarted(&self, walk: &Walk, outcome: Outcome) -> Result<Outcome, Halt> {
        self.end(walk, walk.queued.attempts, self.unstarted(outcome.clone())).await?;
        Ok(outcome)
    }

    /// Waits for `what`, unless the job is cancelled or the server stops first.
    pub(super) async fn unless_stopped<T>(&self, live: &LiveJob, what: impl Future<Output = T>) -> Result<T, Halt> {
        unless_stopped(live, &self.inner.draining, what).await
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
        let found = found.filter(|session| session.state.takes_requests() && session.id == named.id);
        Ok(found.filter(|session| may_enter(job, session)))
    }

    /// Runs the guest in a draft and makes the end durable.
    async fn run_guest(
        &self,
        walk: &Walk,
        attempt: u32,
        session: Option<&Session>,
        desk: &Arc<Desk>,
        slot: Slot,
    ) -> Result<Outcome, Halt> {
        if let Some(client) = &walk.client {
            client.begin(session.is_some());
        }
        let (draft, order) = match self.prepare(walk, attempt, session, desk).await {
            Ok(ready) => ready,
            Err(outcome) => {
                let outcome = decided(walk.live(), outcome, walk.step_of_failure());
                return self.end_without_result(walk, attempt, self.unstarted(outcome)).await;
            }
        };
        desk.lend(draft);
        // The slot is given back when the guest is gone: making its work durable takes a disk.
        let mut ran = self.inner.engine.run(slot.seat(), order, Box::new(Right(slot))).await;
        let draft = desk.take_back();
        self.count_cpu(&walk.queued.job.owner.tenant, ran.spent.cpu);
        self.inner.meters.ran(&ran.spent);
        if let Some(client) = &walk.client {
            client.guest_ended(walk.live());
            ran.stdout.passed_on = client.passed_on();
            ran.stdout.truncated = ran.outcome.reason() == Some(Reason::OutputLimit) && !ran.stderr.truncated;
        }
        self.settle(walk, attempt, draft, ran).await
    }

    /// Everything that the run needs; or, since the job counts as started, the
    /// outcome of one that could not be given it.
    async fn prepare(
        &self,
        walk: &Walk,
        attempt: u32,
        session: Option<&Session>,
        desk: &Arc<Desk>,
    ) -> Result<(Draft, RunOrder), Outcome> {
        let (job, live) = (&walk.queued.job, walk.live());
        // It may have to be compiled, and a cancel does not wait for that.
        let program = tokio::select! {
            biased;
            () = live.stop.cancelled() => return Err(cancelled(live)),
            program = self.program(&job.owner.tenant, &job.digest, job.kind) => program,
        };
        let program = program.map_err(|refusal| {
            Outcome::failed(Reason::HostError, format!("the module could not be loaded: {refusal}"))
        })?;
        let draft = self.begin(live, session.map(|session| session.key)).await?;
        let quota = self.quota_of(&job.owner.tenant);
        let limits = session.map_or_else(|| SessionLimits::most(&quota), |session| session.limits);
        let held = draft.usage();
        let mut inputs = self.inputs(&walk.queued).await?;
        let (stdin, stdout) = match &walk.client {
            Some(client) => client.streams(&job.limits),
            None => (Stdin::Bytes(std::mem::take(&mut inputs.stdin)), Stdout::Kept),
        };
        let order = RunOrder {
            program,
            module_name: job.module.to_string(),
            inputs,
            stdin,
            stdout,
            limits: job.limits,
            tenant_memory: self.purse_of(&job.owner.tenant),
            job: job.id.clone(),
            attempt,
            session: draft.session().map(|session| session.id.clone()),
            params: Params::new(Arc::clone(draft.params())),
            root: Arc::clone(draft.root()),
            has_links: draft.has_links(),
            is_light: draft.is_light(),
            disk: DiskAllowance {
                bytes_used: held.bytes,
                bytes_max: limits.bytes.min(held.bytes.saturating_add(draft.room())),
                files_used: held.files,
                files_max: limits.files,
            },
            live: live.attempt().live,
            desk: Arc::clone(desk) as Arc<dyn SessionDesk>,
            stop: live.stop.clone(),
        };
        Ok((draft, order))
    }

    /// What the guest is given.
    async fn inputs(&self, queued: &QueuedJob) -> Result<Inputs, Outcome> {
        if !queued.inputs_on_record {
            return Ok(queued.job.inputs.clone());
        }
        self.inner.store.inputs(queued.seq).await.map_err(|error| {
            tracing::error!(job = %queued.job.id, error = %Chain(&error), "what a job is given could not be read");
            Outcome::failed(Reason::HostError, "the server could not read what the job is given")
        })
    }

    async fn begin(&self, live: &LiveJob, session: Option<SessionKey>) -> Result<Draft, Outcome> {
        let begun = match self.inner.store.begin(session).await {
            Err(StoreError::Refused(Refused::SessionGone)) => {
                without_session(live)?;
                self.inner.store.begin(None).await
            }
            begun => begun,
        };
        begun.map_err(|error| match error {
            StoreError::Full => Outcome::failed(Reason::HostError, "the server's disk is full"),
            error => {
                tracing::error!(error = %Chain(&error), "a working copy could not be made");
                Outcome::failed(Reason::HostError, "the server could not prepare the job's directory")
            }
        })
    }
}
