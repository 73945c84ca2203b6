//! The real lanes and the real machine, joined as the service joins them, with
//! a list in the place of the store.
//!
//! Comes in: an [`Act`](super::Act). Goes out: to
//! [`SessionLife::after`](crate::model::life::SessionLife::after) and
//! [`Lanes`](crate::queue::lanes::Lanes).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use super::IDS;
use super::Id;
use super::Start;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::life::Effect;
use crate::model::life::Marker;
use crate::model::life::Move;
use crate::model::life::SessionLife;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Lanes;
use crate::queue::lanes::Length;
use crate::queue::lanes::Place;
use crate::queue::lanes::Turn;

/// The key of a session: how many there were before it.
type Key = usize;

#[derive(Default)]
pub(super) struct House {
    lanes: Lanes,
    /// As on record: their ids, and whether they were dropped.
    record: BTreeMap<Key, (SessionId, bool)>,
    made: Key,
    jobs: Vec<Job>,
    /// Who began, in the order in which they did.
    began: Vec<usize>,
}

struct Job {
    named: Option<SessionId>,
    /// What stood behind the name when it was accepted.
    meant: Option<Key>,
    stage: Stage,
}

enum Stage {
    /// `None` needs no turn.
    Waits(Option<Pin<Box<dyn Future<Output = Turn>>>>),
    Runs(Box<Run>),
    Over,
}

/// A job that runs: its session, and what it holds, in the order in which it is
/// let go.
#[derive(Default)]
struct Run {
    session: Option<Key>,
    life: SessionLife,
    head: Option<Place>,
    pending: Option<(SessionId, Place)>,
    _turn: Option<Turn>,
}

fn name(id: Id) -> SessionId {
    IDS[id].parse().unwrap()
}

fn lane(id: &SessionId) -> LaneKey {
    let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
    LaneKey { owner, session: id.clone() }
}

impl House {
    pub(super) fn make(&mut self, id: Id) -> bool {
        let free = !self.is_taken(&name(id));
        if free {
            self.put_on_record(name(id));
        }
        free
    }

    pub(super) fn submit(&mut self, named: Option<Id>) -> bool {
        let named = named.map(name);
        let meant = named.as_ref().and_then(|id| self.found(id)).filter(|key| !self.is_leaving(*key));
        let place = named.as_ref().map(|id| self.lanes.join(lane(id)));
        let turn = place.map(|place| Box::pin(place.turn()) as Pin<Box<dyn Future<Output = Turn>>>);
        self.jobs.push(Job { named, meant, stage: Stage::Waits(turn) });
        true
    }

    pub(super) fn create(&mut self, job: usize, id: Id) -> bool {
        self.wish(job, &Move::Create(name(id)))
    }

    pub(super) fn rename(&mut self, job: usize, id: Id) -> bool {
        self.wish(job, &Move::Rename(name(id)))
    }

    pub(super) fn delete(&mut self, job: usize) -> bool {
        self.wish(job, &Move::Delete)
    }

    /// Ends a job that runs; says whether what it did is kept.
    pub(super) fn finish(&mut self, job: usize, well: bool) -> bool {
        let Stage::Runs(run) = std::mem::replace(&mut self.jobs[job].stage, Stage::Over) else { panic!("it runs") };
        let good = well.then(|| run.life.after(&Move::EndWell).ok()).flatten();
        let kept = good.is_some();
        let (_, effect) = good.unwrap_or_else(|| run.life.after(&Move::EndBadly).unwrap());
        match effect {
            Effect::KeepUnder { id } => self.record_of(&run).0 = id,
            Effect::Remove => drop(self.record.remove(&run.session.unwrap())),
            // The id and the mark are free again when the run lets go.
            Effect::Free | Effect::Unmark => assert!(!kept),
            Effect::Keep | Effect::Adopt => assert!(kept),
            Effect::Nothing => {}
            other => panic!("no end of a job takes {other:?}"),
        }
        kept
    }

    pub(super) fn cancel(&mut self, job: usize) -> bool {
        match self.jobs[job].stage {
            Stage::Waits(_) => self.jobs[job].stage = Stage::Over,
            Stage::Runs(_) => drop(self.finish(job, false)),
            Stage::Over => panic!("it is over"),
        }
        true
    }

    pub(super) fn drop_session(&mut self, id: Id) -> bool {
        let found = self.found(&name(id)).filter(|key| !self.is_leaving(*key));
        let Some(key) = found else { return false };
        let Some(run) = self.runs_mut().find(|run| run.session == Some(key)) else {
            return self.remove_idle(key);
        };
        // The job is still to stop: that is a move of its own here.
        let (life, effect) = run.life.after(&Move::DropRunning).unwrap();
        assert_eq!(effect, Effect::Stop);
        run.life = life;
        self.record.get_mut(&key).unwrap().1 = true;
        true
    }

    pub(super) fn expire(&mut self, id: Id) -> bool {
        let found = self.found(&name(id)).filter(|_| !self.length(id).busy);
        found.is_some_and(|key| self.remove_idle(key))
    }

    fn remove_idle(&mut self, key: Key) -> bool {
        let life = SessionLife::Active { id: self.record[&key].0.clone() };
        assert_eq!(life.after(&Move::DropIdle), Ok((SessionLife::Gone, Effect::Remove)));
        self.record.remove(&key).is_some()
    }

    /// Lets everybody begin whose turn it is.
    pub(super) fn start(&mut self) -> Vec<Start> {
        let mut started = Vec::new();
        for number in 0..self.jobs.len() {
            let Stage::Waits(turn) = &mut self.jobs[number].stage else { continue };
            let turn = match turn {
                None => None,
                Some(turn) => match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(turn) => Some(turn),
                    Poll::Pending => continue,
                },
            };
            let session = self.session_at_start(number);
            let life = session.map(|key| SessionLife::Active { id: self.record[&key].0.clone() });
            let run = Run { session, life: life.unwrap_or_default(), _turn: turn, ..Run::default() };
            self.jobs[number].stage = Stage::Runs(Box::new(run));
            self.began.push(number);
            started.push((number, session));
        }
        started
    }

    fn session_at_start(&self, job: usize) -> Option<Key> {
        let named = self.jobs[job].named.as_ref()?;
        match self.jobs[job].meant {
            Some(meant) => self.found(named).filter(|key| *key == meant),
            None => self.found(named),
        }
    }

    fn wish(&mut self, job: usize, step: &Move) -> bool {
        let Ok((life, effect)) = self.run(job).life.after(step) else { return false };
        let wanted = match &effect {
            Effect::Make { id } | Effect::RenameNow { to: id } | Effect::Reserve { id } => Some(id),
            _ => None,
        };
        if wanted.is_some_and(|id| self.is_taken(id)) {
            return false;
        }
        let place = wanted.map(|id| self.lanes.join_front(lane(id)));
        match effect {
            Effect::Make { id } => {
                let key = self.put_on_record(id);
                let run = self.run(job);
                (run.session, run.head) = (Some(key), place);
            }
            Effect::RenameNow { to } => {
                let key = self.run(job).session.unwrap();
                self.record.get_mut(&key).unwrap().0 = to;
                self.run(job).head = place;
            }
            Effect::DeleteNow => {
                let run = self.run(job);
                let key = run.session.take().unwrap();
                run.head = None;
                self.record.remove(&key);
            }
            Effect::Reserve { id } => self.run(job).pending = place.map(|place| (id, place)),
            Effect::Free | Effect::Mark => self.run(job).pending = None,
            Effect::Nothing => {}
            other => panic!("no wish takes {other:?}"),
        }
        self.run(job).life = life;
        true
    }

    fn put_on_record(&mut self, id: SessionId) -> Key {
        self.made += 1;
        self.record.insert(self.made - 1, (id, false));
        self.made - 1
    }

    fn record_of(&mut self, run: &Run) -> &mut (SessionId, bool) {
        self.record.get_mut(&run.session.unwrap()).unwrap()
    }

    /// The session that is found under an id: no dropped one is.
    fn found(&self, id: &SessionId) -> Option<Key> {
        self.record.iter().find(|(_, (of, dropped))| of == id && !dropped).map(|(key, _)| *key)
    }

    fn is_taken(&self, id: &SessionId) -> bool {
        let pending = |run: &Run| run.pending.as_ref().is_some_and(|(kept, _)| kept == id);
        self.record.values().any(|(of, _)| of == id) || self.runs().any(pending)
    }

    /// Whether a job is about to delete the session (R18).
    fn is_leaving(&self, key: Key) -> bool {
        let marked = |run: &Run| matches!(run.life, SessionLife::Marked { by: Marker::Job, .. });
        self.runs().any(|run| run.session == Some(key) && marked(run))
    }

    fn run(&mut self, job: usize) -> &mut Run {
        match &mut self.jobs[job].stage {
            Stage::Runs(run) => run,
            Stage::Waits(_) | Stage::Over => panic!("job {job} does not run"),
        }
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.jobs.iter().filter_map(|job| match &job.stage {
            Stage::Runs(run) => Some(&**run),
            Stage::Waits(_) | Stage::Over => None,
        })
    }

    fn runs_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.jobs.iter_mut().filter_map(|job| match &mut job.stage {
            Stage::Runs(run) => Some(&mut **run),
            Stage::Waits(_) | Stage::Over => None,
        })
    }

    pub(super) fn length(&self, id: Id) -> Length {
        self.lanes.length(&lane(&name(id)))
    }

    /// Every session with its id, and whether it was dropped.
    pub(super) fn sessions(&self) -> Vec<(Key, String, bool)> {
        self.record.iter().map(|(key, (id, dropped))| (*key, id.to_string(), *dropped)).collect()
    }

    /// Every id that is kept for a session which its job renames.
    pub(super) fn pending(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.runs().filter_map(|run| Some(run.pending.as_ref()?.0.to_string())).collect();
        ids.sort();
        ids
    }

    /// The session that each job is in.
    pub(super) fn inside(&self, job: usize) -> Option<Key> {
        match &self.jobs[job].stage {
            Stage::Runs(run) => run.session,
            Stage::Waits(_) | Stage::Over => None,
        }
    }

    /// What holds at any moment, whatever is on the paper.
    pub(super) fn check(&self) {
        let running: Vec<_> = self.jobs.iter().filter(|job| matches!(job.stage, Stage::Runs(_))).collect();
        for id in (0..IDS.len()).map(name) {
            let of_id = running.iter().filter(|job| job.named.as_ref() == Some(&id)).count();
            assert!(of_id <= 1, "{of_id} jobs run that named {id}");
            let order: Vec<_> = self.began.iter().filter(|job| self.jobs[**job].named.as_ref() == Some(&id)).collect();
            assert!(order.is_sorted_by(|one, next| one < next), "those that named {id} began in the order {order:?}");
            let on_record = self.record.values().filter(|(of, _)| *of == id).count();
            let pending = self.runs().filter(|run| run.pending.as_ref().is_some_and(|(kept, _)| *kept == id)).count();
            assert!(on_record + pending <= 1, "{id} is the id of two sessions");
        }
        for run in self.runs().filter(|run| run.session.is_some()) {
            assert_eq!(self.runs().filter(|other| other.session == run.session).count(), 1, "two at once in a session");
            let (id, dropped) = &self.record[&run.session.unwrap()];
            assert_eq!(run.life.id(), Some(id));
            assert_eq!(*dropped, matches!(run.life, SessionLife::Marked { by: Marker::Outside, .. }));
        }
    }

    pub(super) fn check_all_over(&self) {
        assert!(self.jobs.iter().all(|job| matches!(job.stage, Stage::Over)));
        assert_eq!(self.lanes.count(), 0);
    }
}
