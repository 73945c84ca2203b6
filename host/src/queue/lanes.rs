//! The lanes: one line of waiting requests per session id.
//!
//! Comes in: a request that [`admission`](super::admission) has let in.
//! Goes out: to [`slots`](super::slots), once it is first in its line.
//!
//! Promise: two requests of one lane never hold a turn at the same time, and
//! turns are given in the order in which [`Lanes::join`] was called (R7). A
//! lane that nobody waits in leaves nothing in memory (R9).
//!
//! Not here: who may enter (admission), and how many jobs run at once (slots).

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::sync::Mutex;
use crate::sync::MutexGuard;

/// Which line: the session id that was named, within the principal, so that
/// nobody can hold up another's session by naming it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LaneKey {
    pub owner: Owner,
    pub session: SessionId,
}

/// All lines of the server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Lanes {
    lanes: Arc<Mutex<HashMap<LaneKey, Lane>>>,
}

/// A lane exists exactly while somebody holds its turn.
#[derive(Default)]
struct Lane {
    last_ticket: i64,
    /// Of the last one that was let pass those who wait; counts down.
    last_front: i64,
    /// Those that wait, by ticket: the lowest is next.
    waiting: BTreeMap<i64, oneshot::Sender<Turn>>,
}

/// The ticket between those of [`At::Front`], which count down from it, and those of
/// [`At::End`], which count up.
const BEHIND_THE_FRONT: i64 = 0;

/// Where in the line a place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    End,
    Front,
}

/// How long a lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// Whether somebody has the turn.
    pub busy: bool,
    /// How many wait behind.
    pub waiting: usize,
}

/// A place in a line. Dropping it leaves the line.
pub struct Place {
    lanes: Lanes,
    key: LaneKey,
    ticket: i64,
    call: oneshot::Receiver<Turn>,
}

/// The right to work on the session. Dropping it lets the next one in.
pub struct Turn {
    lanes: Lanes,
    /// `None` once the turn was handed on.
    key: Option<LaneKey>,
}

impl Lanes {
    /// Takes the next place in the line of `key`.
    pub fn join(&self, key: LaneKey) -> Place {
        self.take_place(key, At::End)
    }

    /// Takes the place before all who wait in the line of `key`, for a job that
    /// makes the session which they named (R13, R15): they come after it.
    pub fn join_front(&self, key: LaneKey) -> Place {
        self.take_place(key, At::Front)
    }

    fn take_place(&self, key: LaneKey, at: At) -> Place {
        let (caller, call) = oneshot::channel();
        let mut lanes = self.lock();
        let is_new = !lanes.contains_key(&key);
        let lane = lanes.entry(key.clone()).or_default();
        let ticket = match at {
            At::End => {
                lane.last_ticket += 1;
                lane.last_ticket
            }
            At::Front => {
                lane.last_front -= 1;
                lane.last_front
            }
        };
        if is_new {
            // Nobody is before us. `call` still lives, so the send cannot fail.
            let _ = caller.send(Turn { lanes: self.clone(), key: Some(key.clone()) });
        } else {
            lane.waiting.insert(ticket, caller);
        }
        drop(lanes);
        Place { lanes: self.clone(), key, ticket, call }
    }

    /// How long the line of `key` is now.
    pub fn length(&self, key: &LaneKey) -> Length {
        match self.lock().get(key) {
            Some(lane) => Length { busy: true, waiting: lane.waiting.len() },
            None => Length::default(),
        }
    }

    /// How many lanes exist: those in which somebody has a turn.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many wait in all of them together.
    pub fn waiting(&self) -> usize {
        self.lock().values().map(|lane| lane.waiting.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneKey, Lane>> {
        // A panic while the lock was held could only come from the allocator;
        // the map is whole between any two statements of ours.
        self.lanes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the turn of `key` to the first who still wants it, or ends the lane.
    fn hand_on(&self, key: LaneKey) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(&key) else { return };
        let mut turn = Turn { lanes: self.clone(), key: Some(key.clone()) };
        while let Some((_, caller)) = lane.waiting.pop_first() {
            match caller.send(turn) {
                Ok(()) => return,
                // That one left between our look and the call.
                Err(unwanted) => turn = unwanted,
            }
        }
        // The lock is held, so this turn must not hand itself on when it drops.
        turn.key = None;
        lanes.remove(&key);
    }
}

impl Place {
    /// Waits until this place is first in its line.
    pub async fn turn(mut self) -> Turn {
        match (&mut self.call).await {
            Ok(turn) => turn,
            // A caller is dropped only by `Place::drop`, which has not run, or
            // after it has sent the turn.
            Err(_) => unreachable!("a place in a line is always called"),
        }
    }
}

impl Turn {
    /// Gives the turn to those who were let pass those who wait, and takes the place
    /// right behind them. With nobody there it is called at once.
    pub fn let_pass(mut self) -> Place {
        let (lanes, key) = (self.lanes.clone(), self.key.take().expect("only a turn that is dropped has no lane"));
        let (caller, call) = oneshot::channel();
        if let Some(lane) = lanes.lock().get_mut(&key) {
            // One has the turn at a time, so nobody else has this ticket.
            lane.waiting.insert(BEHIND_THE_FRONT, caller);
        }
        lanes.hand_on(key.clone());
        Place { lanes, key, ticket: BEHIND_THE_FRONT, call }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lane) = self.lanes.lock().get_mut(&self.key) {
            lane.waiting.remove(&self.ticket);
        }
        // If the turn was already sent, it lies in `call` and is dropped with
        // it, after the lock above was given back: the next one is let in.
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.lanes.hand_on(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn key(session: &str) -> LaneKey {
        let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
        LaneKey { owner, session: session.parse().unwrap() }
    }

    /// Whether the place has been called, without waiting.
    fn called(place: &mut Place) -> bool {
        !place.call.is_empty()
    }

    #[tokio::test]
    async fn r7_turns_are_given_one_at_a_time_and_in_order() {
        let lanes = Lanes::default();
        let first = lanes.join(key("s"));
        let mut second = lanes.join(key("s"));
        let mut third = lanes.join(key("s"));
        let turn = first.turn().await;
        assert!(!called(&mut second) && !called(&mut third));
        drop(turn);
        assert!(called(&mut second) && !called(&mut third));
        drop(second.turn().await);
        assert!(called(&mut third));
    }

    #[tokio::test]
    async fn r8_lanes_do_not_wait_for_each_other() {
        let lanes = Lanes::default();
        let _one = lanes.join(key("one")).turn().await;
        let _two = lanes.join(key("two")).turn().await;
        assert_eq!(lanes.count(), 2);
    }

    #[tokio::test]
    async fn one_that_leaves_the_line_holds_nobody_up() {
        let lanes = Lanes::default();
        let turn = lanes.join(key("s")).turn().await;
        let second = lanes.join(key("s"));
        let third = lanes.join(key("s"));
        assert_eq!((lanes.length(&key("s")), lanes.waiting()), (Length { busy: true, waiting: 2 }, 2));
        drop(second);
        drop(turn);
        drop(third.turn().await);
        assert_eq!(lanes.count(), 0);
    }

    #[tokio::test]
    async fn one_that_leaves_after_the_call_passes_the_turn_on() {
        let lanes = Lanes::default();
        let turn = lanes.join(key("s")).turn().await;
        let second = lanes.join(key("s"));
        let third = lanes.join(key("s"));
        drop(turn);
        drop(second);
        drop(third.turn().await);
        assert_eq!(lanes.count(), 0);
    }

    #[tokio::test]
    async fn r13_a_creator_comes_before_those_who_named_its_session_earlier() {
        let lanes = Lanes::default();
        let turn = lanes.join(key("s")).turn().await;
        let mut named_it = lanes.join(key("s"));
        let mut creator = lanes.join_front(key("s"));
        drop(turn);
        assert!(called(&mut creator) && !called(&mut named_it));
        // It need not take the turn to have it.
        drop(creator);
        assert!(called(&mut named_it));
    }

    #[tokio::test]
    async fn r13_one_that_has_the_turn_lets_a_creator_pass_and_nobody_else() {
        let lanes = Lanes::default();
        let turn = lanes.join(key("s")).turn().await;
        let mut later = lanes.join(key("s"));
        let mut creator = lanes.join_front(key("s"));
        let mut again = turn.let_pass();
        assert!(called(&mut creator) && !called(&mut again) && !called(&mut later));
        drop(creator);
        assert!(called(&mut again) && !called(&mut later));
        // With nobody to let pass it keeps its turn.
        let mut again = again.turn().await.let_pass();
        assert!(called(&mut again) && !called(&mut later));
        drop(again);
        drop(later.turn().await);
        assert_eq!(lanes.count(), 0);
    }

    #[tokio::test]
    async fn r9_a_million_names_leave_nothing_in_memory() {
        let lanes = Lanes::default();
        for number in 0..1_000_000 {
            drop(lanes.join(key(&format!("id-{number}"))).turn().await);
        }
        assert_eq!(lanes.count(), 0);
    }

    /// What can happen to a line.
    #[derive(Clone, Copy, Debug)]
    enum Move {
        Join,
        JoinFront,
        /// One of those who are in the line leaves it.
        Leave(usize),
        /// The one who has the turn is done.
        Finish,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            3 => Just(Move::Join),
            1 => Just(Move::JoinFront),
            2 => (0..8_usize).prop_map(Move::Leave),
            3 => Just(Move::Finish),
        ];
        proptest::collection::vec(one, 0..60)
    }

    /// A lane as one would write it down: who has the turn, and who is behind.
    #[derive(Default)]
    struct Model {
        line: VecDeque<u32>,
    }

    impl Model {
        fn join(&mut self, who: u32, at_front: bool) {
            // Nobody comes before the one who has the turn.
            let place = if at_front && !self.line.is_empty() { 1 } else { self.line.len() };
            self.line.insert(place, who);
        }
    }

    /// Those who are in the real line, by number.
    #[derive(Default)]
    struct Real {
        lanes: Lanes,
        places: BTreeMap<u32, Place>,
    }

    impl Real {
        fn called(&mut self) -> Vec<u32> {
            let called = self.places.iter_mut().filter_map(|(who, place)| called(place).then_some(*who));
            called.collect()
        }
    }

    proptest! {
        /// R7, R13, R15: whatever order people come and go in, exactly the first has
        /// the turn, nobody is lost and nobody has two turns.
        #[test]
        fn a_line_is_what_one_would_write_down(moves in moves()) {
            let (mut model, mut real) = (Model::default(), Real::default());
            for (number, step) in moves.into_iter().enumerate() {
                let who = u32::try_from(number).unwrap();
                match step {
                    Move::Join => {
                        model.join(who, false);
                        real.places.insert(who, real.lanes.join(key("s")));
                    }
                    Move::JoinFront => {
                        model.join(who, true);
                        real.places.insert(who, real.lanes.join_front(key("s")));
                    }
                    Move::Leave(index) if index < model.line.len() => {
                        let who = model.line.remove(index).unwrap();
                        drop(real.places.remove(&who));
                    }
                    Move::Leave(_) => {}
                    Move::Finish => {
                        if let Some(who) = model.line.pop_front() {
                            drop(real.places.remove(&who));
                        }
                    }
                }
                prop_assert_eq!(real.called(), model.line.front().copied().into_iter().collect::<Vec<_>>());
                let length = Length { busy: !model.line.is_empty(), waiting: model.line.len().saturating_sub(1) };
                prop_assert_eq!(real.lanes.length(&key("s")), length);
            }
            real.places.clear();
            prop_assert_eq!(real.lanes.count(), 0);
        }
    }
}
