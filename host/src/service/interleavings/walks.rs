//! The walk of a job through the simulated world: the service's own pages as far as
//! they need no disk and no engine, and in between what
//! [`journey`](crate::service::journey) does there.

use std::sync::Arc;

use shuttle::future::yield_now;
use shuttle::rand::Rng;
use shuttle::rand::thread_rng;
use tokio::sync::oneshot;

use super::paper::Draft;
use super::paper::Gone;
use super::paper::Number;
use super::world::Note;
use super::world::SHARE;
use super::world::World;
use super::world::job_key;
use super::world::lane;
use crate::limits::SLICE;
use crate::model::life::Effect;
use crate::model::life::Move;
use crate::model::life::SessionLife;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::schedule::Priority;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::stage::Step;
use crate::queue::lanes::Place;
use crate::queue::lanes::Turn;
use crate::queue::shares::Line;
use crate::queue::slots::Slot;
use crate::service::journey::Halt;
use crate::service::live::InLane;
use crate::service::live::Listed;
use crate::service::live::LiveJob;
use crate::service::settle::cancelled;
use crate::service::settle::decided;
use crate::service::settle::dropped;
use crate::service::waiting::Ready;
use crate::service::waiting::Supply;
use crate::service::waiting::Waiting;
use crate::service::waiting::without_session;
use crate::store::StoreError;

/// What a job is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) job: Number,
    /// Which session, and with it whose job.
    pub(super) session: usize,
    pub(super) role: Role,
    pub(super) succeeds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It names the session, and waits for its turn there.
    InLane,
    /// It makes the session while it runs.
    Creates,
}

/// A job on its walk, of which [`Listed`] holds the rest.
struct Walk {
    world: Arc<World>,
    order: Order,
    live: Arc<LiveJob>,
    /// The session that was there when the job was accepted.
    meant: Option<SessionKey>,
}

/// What a creator holds of the lane of its session, given back in this order.
struct Head {
    _in_lane: InLane,
    _place: Place,
}

/// Lets a job in and sends it on its walk; says when it is on record.
pub(super) fn submit(world: &Arc<World>, order: Order) -> oneshot::Receiver<()> {
    let lane = lane(order.session);
    let meant = world.paper.named(&lane.owner, &lane.session).map(|session| session.key);
    let mut door = world.door.lock().unwrap();
    let place = (order.role == Role::InLane).then(|| {
        door.push(order.job);
        world.lanes.join(lane)
    });
    let listed = world.live.enter(LiveJob::new(job_key(order.job, order.session), 0)).unwrap();
    drop(door);
    let (tell, told) = oneshot::channel();
    let live = Arc::clone(&listed.job);
    let walk = Walk { world: Arc::clone(world), order, live, meant };
    world.spawn(async move {
        walk.world.paper.accept(order.job);
        let _ = tell.send(());
        walk.walk(place, listed).await;
    });
    told
}

impl Supply for Walk {
    async fn slot(&self) -> Slot {
        let lane = lane(self.order.session);
        let session = (self.order.role == Role::InLane).then_some(lane.session);
        self.world.slots.take(Line { owner: lane.owner, session }, SHARE, Priority::default()).await
    }

    async fn due(&self) {}

    async fn session(&self) -> Result<Option<Session>, StoreError> {
        if self.order.role == Role::Creates {
            return Ok(None);
        }
        let named = lane(self.order.session);
        let found = match self.meant {
            Some(key) => self.world.paper.session(key),
            None => self.world.paper.named(&named.owner, &named.session),
        };
        Ok(found.filter(|session| session.state.takes_requests()))
    }
}

impl Walk {
    async fn walk(&self, place: Option<Place>, listed: Listed) {
        let mut turn = None;
        match self.in_turn(place, &mut turn).await {
            Ok(()) => {}
            Err(Halt::Cancelled) => self.world.paper.end(self.order.job, cancelled(&self.live)),
            Err(Halt::Drained) => {}
            Err(Halt::Again(_)) => unreachable!("nothing here is tried again"),
            Err(Halt::Store(error)) => panic!("paper does not fail: {error}"),
        }
        drop(turn);
        drop(listed);
    }

    async fn in_turn(&self, place: Option<Place>, turn: &mut Option<Turn>) -> Result<(), Halt> {
        let world = &*self.world;
        let lane = place.is_some().then(|| lane(self.order.session));
        let waiting = Waiting { live: &self.live, jobs: &world.live, draining: &world.draining, lane };
        let Ready { mut slot, session, in_lane } = waiting.ready(place, turn, self).await?;
        self.live.enter(session.as_ref());
        self.live.step(Step::Start).map_err(|_| Halt::Cancelled)?;

        let began_in = session.map(|session| session.key);
        let begun = match began_in.map(|key| (key, world.paper.begin(key))) {
            Some((_, None)) => without_session(&self.live).map(|()| None),
            Some((key, Some(draft))) => Ok(Some((draft, world.works(key, self.order.job)))),
            None => Ok(None),
        };
        let mut head = None;
        match begun {
            Ok(begun) => {
                let (draft, note) = begun.unzip();
                let ran = self.run(&mut slot, &mut head).await;
                drop(slot);
                self.settle(draft, ran);
                self.remove_if_marked(began_in);
                drop(note);
            }
            Err(outcome) => {
                world.paper.end(self.order.job, outcome);
                self.remove_if_marked(began_in);
            }
        }
        let (head, note) = head.unzip();
        drop(note);
        drop::<Option<Head>>(head);
        drop(in_lane);
        Ok(())
    }

    /// The guest, until it ends or is stopped. The slot is the caller's.
    async fn run<'a>(&'a self, slot: &mut Slot, head: &mut Option<(Head, Note<'a>)>) -> Outcome {
        let well = match self.order.succeeds {
            true => Outcome::Succeeded,
            false => Outcome::failed(Reason::Trap, "it trapped"),
        };
        tokio::select! {
            biased;
            () = self.live.stop.cancelled() => Outcome::failed(Reason::HostError, "it was stopped"),
            () = self.compute(slot, head) => well,
        }
    }

    async fn compute<'a>(&'a self, slot: &mut Slot, head: &mut Option<(Head, Note<'a>)>) {
        let _sits = self.world.sits(slot.seat());
        self.computes_a_while().await;
        if self.order.role == Role::Creates {
            *head = Some(self.create());
        }
        if thread_rng().gen_bool(0.5) {
            // However long it was, the others may have had less.
            tokio::time::advance(SLICE * thread_rng().gen_range(0..3)).await;
            slot.give_way().await;
            self.computes_a_while().await;
        }
    }

    async fn computes_a_while(&self) {
        let _computes = self.world.computes();
        yield_now().await;
    }

    /// First the place, then the session: whoever sees the session comes after.
    fn create(&self) -> (Head, Note<'_>) {
        let (world, lane) = (&self.world, lane(self.order.session));
        let place = world.lanes.join_front(lane.clone());
        let head = Head { _in_lane: world.live.take_lane(lane.clone(), &self.live), _place: place };
        let session = world.paper.make(&lane.owner, &lane.session);
        let note = world.works(session.key, self.order.job);
        let life = self.live.move_on(&Move::Create(lane.session), Some(session.key));
        life.expect("the job is in no session, so nobody can have dropped it");
        (head, note)
    }

    fn settle(&self, draft: Option<Draft>, ran: Outcome) {
        let (paper, job) = (&self.world.paper, self.order.job);
        let outcome = decided(&self.live, ran, Step::Fail);
        if outcome != Outcome::Succeeded {
            return paper.end(job, outcome);
        }
        let kept = match (self.live.life().after(&Move::EndWell), draft) {
            (Err(_), _) => Err(Gone),
            (Ok(_), Some(draft)) => {
                let kept = paper.commit(job, draft, Some(outcome));
                // Whoever drops a session leaves it to a job that is at work in it.
                assert!(kept.is_ok(), "job {job} commits to a session that has gone");
                kept
            }
            // A creator's work is its session's from here on.
            (Ok((_, Effect::Adopt)), None) => {
                let draft = self.live.session().and_then(|session| paper.begin(session));
                draft.ok_or(Gone).and_then(|draft| paper.commit(job, draft, Some(outcome)))
            }
            (Ok(_), None) => {
                paper.end(job, outcome);
                Ok(())
            }
        };
        let step = if kept.is_ok() { Step::Stored } else { Step::StoreFailed };
        self.live.step(step).expect("only this walk leads out of the commit");
        if kept.is_err() {
            paper.end(job, dropped());
        }
    }

    fn remove_if_marked(&self, began_in: Option<SessionKey>) {
        let paper = &self.world.paper;
        for key in began_in.into_iter().chain(self.live.session().filter(|now| Some(*now) != began_in)) {
            let Some(session) = paper.session(key) else { continue };
            if matches!(SessionLife::on_record(&session).after(&Move::EndBadly), Ok((_, Effect::Remove))) {
                paper.remove(key);
            }
        }
    }
}
