//! The rooms in which jobs meet, as the service has them, and what a test sees there.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::PoisonError;

use shuttle::future::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::paper::Number;
use super::paper::Paper;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::outcome::Outcome;
use crate::model::session::SessionKey;
use crate::model::session::SessionState;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Lanes;
use crate::queue::shares::Share;
use crate::queue::slots::Slots;
use crate::service::live::JobKey;
use crate::service::live::Listed;
use crate::service::live::LiveJob;
use crate::service::live::LiveJobs;
use crate::service::live::Tally;
use crate::service::settle::dropped;
use crate::sync::Mutex;

pub(super) const SHARE: Share = Share { weight: 1, running_max: 8 };

/// Why jobs are cancelled by those who drop their session.
pub(super) const DROPPED: &str = "its session went";

pub(super) struct World {
    pub(super) lanes: Lanes,
    pub(super) slots: Slots,
    slots_count: usize,
    pub(super) live: Arc<LiveJobs>,
    pub(super) draining: CancellationToken,
    pub(super) paper: Paper,
    /// Held while somebody takes a place in a lane; the order in which they did.
    pub(super) door: Mutex<Vec<Number>>,
    /// Of the standard library, so that a look of the test changes nothing.
    seen: std::sync::Mutex<Seen>,
    tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
    /// One job of each tenant that stays queued: a count that is taken back twice
    /// would not be seen at zero.
    stays: Vec<Listed>,
}

#[derive(Default)]
struct Seen {
    computing: usize,
    seats: BTreeSet<usize>,
    at_work: BTreeMap<SessionKey, Number>,
    /// The cancels that were in time.
    cancelled: BTreeMap<Number, &'static str>,
}

/// Undoes what was noted when it is dropped.
pub(super) struct Note<'a>(&'a World, Noted);

enum Noted {
    Computes,
    Sits(usize),
    Works(SessionKey),
}

/// Each session is another tenant's.
pub(super) fn lane(session: usize) -> LaneKey {
    let tenant = ["t", "u"][session].parse().unwrap();
    let owner = Owner { tenant, principal: "p".parse().unwrap() };
    LaneKey { owner, session: ["a", "b"][session].parse::<SessionId>().unwrap() }
}

pub(super) fn job_key(job: Number, session: usize) -> JobKey {
    JobKey { owner: lane(session).owner, id: format!("job-{job}").parse().unwrap() }
}

impl World {
    pub(super) fn new(slots: usize) -> Arc<World> {
        let live: Arc<LiveJobs> = Arc::default();
        let stays = (0..2).map(|session| live.enter(LiveJob::new(job_key(1_000, session), 0)).unwrap());
        let stays = stays.collect();
        Arc::new(World {
            lanes: Lanes::default(),
            slots: Slots::new(slots),
            slots_count: slots,
            live,
            draining: CancellationToken::new(),
            paper: Paper::new(),
            door: Mutex::default(),
            seen: std::sync::Mutex::default(),
            tasks: std::sync::Mutex::default(),
            stays,
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody go on by itself.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Others may go on here already, so not with the lock held.
        let task = shuttle::future::spawn(task);
        self.tasks.lock().unwrap().push(task);
    }

    /// Waits until everybody has gone.
    pub(super) async fn end(&self) {
        loop {
            let task = self.tasks.lock().unwrap().pop();
            let Some(task) = task else { return };
            task.await.unwrap();
        }
    }

    /// Notes that a guest computes: never more of them than slots.
    pub(super) fn computes(&self) -> Note<'_> {
        let mut seen = self.seen();
        seen.computing += 1;
        assert!(seen.computing <= self.slots_count, "{} guests compute at once", seen.computing);
        Note(self, Noted::Computes)
    }

    /// Notes that a guest sits on a seat: one at a time.
    pub(super) fn sits(&self, seat: usize) -> Note<'_> {
        assert!(self.seen().seats.insert(seat), "seat {seat} was given twice");
        Note(self, Noted::Sits(seat))
    }

    /// Notes that somebody works in a session: one at a time.
    pub(super) fn works(&self, session: SessionKey, who: Number) -> Note<'_> {
        let before = self.seen().at_work.insert(session, who);
        assert_eq!(before, None, "two are at work in {session:?}, {who} among them");
        Note(self, Noted::Works(session))
    }

    /// Notes that a cancel was in time.
    pub(super) fn cancelled(&self, job: Number, why: &'static str) {
        let before = self.seen().cancelled.insert(job, why);
        assert_eq!(before, None, "two cancels of job {job} were in time");
    }

    /// What is true when everybody has gone.
    pub(super) fn check(self: Arc<World>) {
        self.check_ends();
        self.check_sessions();
        assert_eq!(self.lanes.count(), 0, "a lane is left");
        assert_eq!(self.slots.free(), self.slots_count, "a slot is lost, or was given back twice");
        assert!(self.slots.is_idle(), "somebody waits for a slot, or has a seat");
        for session in 0..2 {
            let lane = lane(session);
            let tally = self.live.tally(&lane.owner.tenant);
            assert_eq!(tally, Tally { queued: 1, running: 0 }, "jobs are counted that are not there");
            assert!(!self.live.is_behind(&lane, &Arc::new(LiveJob::new(job_key(2_000, session), 0))), "in a lane");
        }
        assert_eq!(self.live.count(), self.stays.len(), "a job is left on the list");
        let live = Arc::clone(&self.live);
        drop(self);
        assert_eq!(live.count(), 0);
        assert_eq!(live.tally(&lane(0).owner.tenant), Tally::default());
    }

    /// Each job has an end, unless the server stopped before it began; and it was
    /// cancelled if a cancel was in time, for that reason, and not otherwise.
    fn check_ends(&self) {
        let (jobs, _) = self.paper.all();
        let stopped = self.draining.is_cancelled();
        for (job, outcome) in &jobs {
            let cancelled = self.seen().cancelled.get(job).copied();
            match outcome {
                None => assert!(stopped, "job {job} never ended"),
                Some(outcome @ Outcome::Cancelled { .. }) if *outcome == dropped() => {}
                Some(Outcome::Cancelled { detail }) => assert_eq!(Some(&**detail), cancelled, "job {job}"),
                Some(_) => assert_eq!(cancelled, None, "job {job} was cancelled in time, and is {outcome:?}"),
            }
        }
    }

    /// What is in a session is what the jobs that succeeded in it did, in the order in
    /// which they were let in; and one that was dropped has gone.
    fn check_sessions(&self) {
        let (jobs, sessions) = self.paper.all();
        let order = self.door.lock().unwrap().clone();
        for kept in &sessions {
            assert_ne!(kept.session.state, SessionState::Marked, "a session was dropped and is still there");
            let places: Vec<_> =
                kept.commits.iter().filter_map(|who| order.iter().position(|other| other == who)).collect();
            assert!(places.is_sorted(), "{:?} came out of the order {order:?}", kept.commits);
            for job in kept.commits.iter().filter(|job| jobs.contains_key(job)) {
                assert_eq!(jobs[job], Some(Outcome::Succeeded), "job {job} has left something behind");
            }
        }
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        match self.1 {
            Noted::Computes => seen.computing -= 1,
            Noted::Sits(seat) => {
                seen.seats.remove(&seat);
            }
            Noted::Works(session) => {
                seen.at_work.remove(&session);
            }
        }
    }
}
