//! The jobs that have not ended: how far each is, how to stop it, and who
//! waits for it.
//!
//! Promise: a job is listed here from its acceptance until its end is durable,
//! so whoever finds it here and waits is told, and whoever does not find it
//! here reads its end from the store.

mod attempt;
mod tally;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::PoisonError;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ids::JobId;
use crate::ids::TenantId;
use crate::model::caller::Owner;
use crate::model::job::Job;
use crate::model::life::Effect;
use crate::model::life::Move;
use crate::model::life::SessionLife;
use crate::model::life::Unfit;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::stage::IllegalStep;
use crate::model::stage::Stage;
use crate::model::stage::Step;
use crate::queue::lanes::LaneKey;
use crate::store::Claim;
use crate::store::Ending;
use crate::sync::Mutex;
use crate::sync::MutexGuard;

pub use self::attempt::Attempt;
pub use self::tally::Tally;

/// Names one job of the whole server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobKey {
    pub owner: Owner,
    pub id: JobId,
}

/// Where a job is, and how its session stands meanwhile: what the job has done
/// to it or plans, and whether somebody has dropped it.
#[derive(Default)]
struct Place {
    session: Option<SessionKey>,
    life: SessionLife,
}

/// How far a job is. Behind one lock, so that whoever finds that it was cancelled
/// finds the reason too.
struct Standing {
    stage: Stage,
    /// Why it was cancelled, once it was.
    cancelled: Option<&'static str>,
}

/// A job that has not ended.
pub struct LiveJob {
    pub key: JobKey,
    attempt: Mutex<Attempt>,
    /// What each attempt may print to each stream.
    output_bytes: u64,
    /// Asks the guest to stop.
    pub stop: CancellationToken,
    standing: Mutex<Standing>,
    /// Its tenant's, from when it is listed on.
    tally: OnceLock<Arc<Mutex<Tally>>>,
    /// The session that it is in; known from just before it starts.
    place: Mutex<Place>,
    /// How its last attempt began, and how it ended, once that is on record.
    claim: Mutex<Option<Claim>>,
    ending: OnceLock<Ending>,
    ended: watch::Sender<bool>,
}

impl LiveJob {
    /// A job that is about to be accepted.
    pub fn new(key: JobKey, output_bytes: u64) -> Self {
        Self {
            key,
            attempt: Mutex::new(Attempt::new(output_bytes)),
            output_bytes,
            stop: CancellationToken::new(),
            standing: Mutex::new(Standing { stage: Stage::Queued, cancelled: None }),
            tally: OnceLock::new(),
            place: Mutex::default(),
            claim: Mutex::default(),
            ending: OnceLock::new(),
            ended: watch::Sender::new(false),
        }
    }

    /// Moves the job on, or says why it cannot be moved.
    pub fn step(&self, step: Step) -> Result<Stage, IllegalStep> {
        self.step_in(&mut lock(&self.standing), step)
    }

    fn step_in(&self, standing: &mut Standing, step: Step) -> Result<Stage, IllegalStep> {
        let before = standing.stage;
        standing.stage = before.after(step)?;
        if let Some(tally) = self.tally.get() {
            let mut tally = lock(tally);
            tally.remove(before);
            tally.add(standing.stage);
        }
        Ok(standing.stage)
    }

    /// Counts from now on in the tally of its tenant.
    fn count_in(&self, tally: Arc<Mutex<Tally>>) {
        let standing = lock(&self.standing);
        lock(&tally).add(standing.stage);
        self.tally.get_or_init(|| tally);
    }

    /// Counts no more. Its stage goes no further.
    fn count_out(&self) {
        let mut standing = lock(&self.standing);
        if let Some(tally) = self.tally.get() {
            lock(tally).remove(standing.stage);
        }
        standing.stage = Stage::Over;
    }

    /// Asks for a stop. Says whether it was in time: a job that commits goes on
    /// to its end.
    pub fn cancel(&self, why: &'static str) -> bool {
        let mut standing = lock(&self.standing);
        if self.step_in(&mut standing, Step::Cancel).is_err() {
            return false;
        }
        standing.cancelled = Some(why);
        drop(standing);
        self.stop.cancel();
        true
    }

    /// Why it was cancelled, if it was.
    pub fn cancelled(&self) -> Option<&'static str> {
        lock(&self.standing).cancelled
    }

    /// Waits until the job's end is durable. May be dropped at any time.
    pub async fn ended(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Its attempt, or the next one.
    pub fn attempt(&self) -> Attempt {
        lock(&self.attempt).clone()
    }

    /// Goes on to the next attempt: what the last one printed is gone, and who read it is told.
    pub fn begin_anew(&self) {
        let last = std::mem::replace(&mut *lock(&self.attempt), Attempt::new(self.output_bytes));
        last.live.close();
        self.enter(None);
        self.tell();
    }

    /// Notes that an attempt has begun.
    pub fn begin(&self, number: u32) {
        lock(&self.attempt).number = number;
        self.tell();
    }

    /// Notes how its attempt began, which is on record.
    pub fn note_claim(&self, claim: Claim) {
        *lock(&self.claim) = Some(claim);
        self.begin(claim.attempt);
    }

    /// Hears whenever what is on record of the job may have changed, and `true` when it has ended.
    pub fn news(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Tells those who follow the job.
    fn tell(&self) {
        self.ended.send_if_modified(|_| self.ended.receiver_count() > 0);
    }

    /// Notes how it ended, which is on record, if anybody waits for that.
    pub fn note_ending(&self, ending: Ending) {
        // What a dry run would have changed is read from the record.
        if self.ended.receiver_count() > 0 && ending.changes.is_none() {
            self.ending.get_or_init(|| ending);
        }
    }

    /// What the record says of the job now that it has ended; `job` is what it said
    /// before. `None` if it has to be asked.
    pub fn at_its_end(&self, job: &Job) -> Option<Job> {
        let (ending, claim) = (self.ending.get()?, *lock(&self.claim));
        // What failed before its last attempt changed more of the record.
        let is_first = claim.is_none_or(|claim| claim.attempt == 1);
        is_first.then(|| ending.of(job.clone(), claim))
    }

    /// Notes in which session the job begins, if in any.
    pub fn enter(&self, session: Option<&Session>) {
        let life = session.map(SessionLife::on_record).unwrap_or_default();
        *lock(&self.place) = Place { session: session.map(|session| session.key), life };
    }

    /// The session that the job is in.
    pub fn session(&self) -> Option<SessionKey> {
        lock(&self.place).session
    }

    /// How that session stands.
    pub fn life(&self) -> SessionLife {
        lock(&self.place).life.clone()
    }

    /// Moves the life of its session on, or says why it cannot be moved. After it
    /// the job is in `session`.
    pub fn move_on(&self, step: &Move, session: Option<SessionKey>) -> Result<SessionLife, Unfit> {
        let mut place = lock(&self.place);
        let (life, _) = place.life.after(step)?;
        *place = Place { session, life };
        Ok(place.life.clone())
    }

    /// Notes that its session was dropped from outside, and says what that takes.
    pub fn lose_session(&self) -> Result<Effect, Unfit> {
        let mut place = lock(&self.place);
        let (life, effect) = place.life.after(&Move::DropRunning)?;
        place.life = life;
        Ok(effect)
    }

    /// Whether its guest runs, or what it did is being kept, in that session.
    pub fn runs_in(&self, session: SessionKey) -> bool {
        self.is_running() && self.session() == Some(session)
    }

    fn is_running(&self) -> bool {
        match lock(&self.standing).stage {
            Stage::Running | Stage::Committing => true,
            Stage::Queued | Stage::Over => false,
        }
    }
}

/// All jobs that have not ended.
#[derive(Default)]
pub struct LiveJobs {
    by_key: Mutex<HashMap<JobKey, Arc<LiveJob>>>,
    /// Of each tenant that had a job since the start.
    tallies: Mutex<HashMap<TenantId, Arc<Mutex<Tally>>>>,
    in_lane: Arc<Mutex<InLanes>>,
}

/// The jobs that are at the head of each lane: the one that has the turn, and
/// creators that have, or want, a session of that id.
type InLanes = HashMap<LaneKey, Vec<Arc<LiveJob>>>;

impl LiveJobs {
    /// Lists a job that is about to be accepted, unless one of that name is listed:
    /// before it is durable, so that whoever finds it in the store finds it here
    /// too. It is taken off when the answer is dropped, however that comes about,
    /// and those who wait for it are told.
    pub fn enter(self: &Arc<Self>, job: LiveJob) -> Option<Listed> {
        match lock(&self.by_key).entry(job.key.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                let job = Arc::clone(place.insert(Arc::new(job)));
                let tally = lock(&self.tallies).entry(job.key.owner.tenant.clone()).or_default().clone();
                job.count_in(tally);
                Some(Listed { jobs: Arc::clone(self), job })
            }
        }
    }

    /// The job of that name, if it has not ended.
    pub fn get(&self, key: &JobKey) -> Option<Arc<LiveJob>> {
        lock(&self.by_key).get(key).cloned()
    }

    /// How many jobs have not ended.
    pub fn count(&self) -> usize {
        lock(&self.by_key).len()
    }

    /// How many jobs of a tenant are how far.
    pub fn tally(&self, tenant: &TenantId) -> Tally {
        lock(&self.tallies).get(tenant).map(|tally| *lock(tally)).unwrap_or_default()
    }

    /// How many jobs of all tenants are how far.
    pub fn tally_of_all(&self) -> Tally {
        let tallies: Vec<_> = lock(&self.tallies).values().cloned().collect();
        let tallies = tallies.iter().map(|tally| *lock(tally));
        tallies.fold(Tally::default(), |all, one| Tally {
            queued: all.queued + one.queued,
            running: all.running + one.running,
        })
    }

    /// Forgets a tenant that has no jobs any more.
    pub fn forget(&self, tenant: &TenantId) {
        lock(&self.tallies).remove(tenant);
    }

    /// How many guests run or commit now.
    pub fn running(&self) -> usize {
        lock(&self.by_key).values().filter(|job| job.is_running()).count()
    }

    /// Asks every job that runs to stop.
    pub fn cancel_all(&self, why: &'static str) {
        for job in lock(&self.by_key).values().filter(|job| job.is_running()) {
            job.cancel(why);
        }
    }

    /// Notes that `job` is at the head of a lane, until the answer is dropped.
    pub fn take_lane(&self, key: LaneKey, job: &Arc<LiveJob>) -> InLane {
        lock(&self.in_lane).entry(key.clone()).or_default().push(Arc::clone(job));
        InLane { jobs: Arc::clone(&self.in_lane), key, job: Arc::clone(job) }
    }

    /// Whether another job than this one is at the head of a lane: a creator, while
    /// this one has the turn.
    pub fn is_behind(&self, key: &LaneKey, job: &Arc<LiveJob>) -> bool {
        lock(&self.in_lane).get(key).is_some_and(|in_lane| in_lane.iter().any(|other| !Arc::ptr_eq(other, job)))
    }

    /// Whether a job that has not started is at the head of a lane.
    pub fn waits_at_head(&self, key: &LaneKey) -> bool {
        lock(&self.in_lane)
            .get(key)
            .is_some_and(|in_lane| in_lane.iter().any(|job| lock(&job.standing).stage == Stage::Queued))
    }

    /// The job that runs in a session, which is one of those at the head of its lane.
    pub fn running_in(&self, lane: &LaneKey, session: SessionKey) -> Option<Arc<LiveJob>> {
        lock(&self.in_lane).get(lane)?.iter().find(|job| job.runs_in(session)).cloned()
    }
}

/// A job that is on the list; taken off when dropped.
pub struct Listed {
    jobs: Arc<LiveJobs>,
    pub job: Arc<LiveJob>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.jobs.by_key).remove(&self.job.key);
        self.job.count_out();
        self.job.attempt().live.close();
        let ended = &self.job.ended;
        ended.send_if_modified(|now| {
            *now = true;
            // Who begins to listen after this sees it at once.
            ended.receiver_count() > 0
        });
    }
}

/// A note of who is at the head of a lane; taken away when dropped.
pub struct InLane {
    jobs: Arc<Mutex<InLanes>>,
    key: LaneKey,
    job: Arc<LiveJob>,
}

impl Drop for InLane {
    fn drop(&mut self) {
        let mut jobs = lock(&self.jobs);
        let Some(in_lane) = jobs.get_mut(&self.key) else { return };
        // One note of ours is as good as another; those of others stay.
        if let Some(at) = in_lane.iter().position(|job| Arc::ptr_eq(job, &self.job)) {
            in_lane.swap_remove(at);
        }
        if in_lane.is_empty() {
            jobs.remove(&self.key);
        }
    }
}

/// Nothing here panics while it holds a lock, and each map is whole between
/// any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
