//! Lives and lanes together: whatever order jobs and sessions come and go in,
//! the two do what somebody would who keeps all of it on one sheet of paper.
//!
//! Comes in: random moves. Goes out: to the real lanes and the real machine of
//! [`life`](crate::model::life), in the order in which the service uses them; and
//! to the paper, which knows neither.

mod house;
mod paper;

use proptest::prelude::*;

use self::house::House;
use self::paper::Paper;

/// Few ids, so that jobs meet.
const IDS: [&str; 3] = ["a", "b", "c"];

/// An id, by its place in [`IDS`].
type Id = usize;

/// One of those that are there, by a number that wraps around.
type Nth = usize;

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A client makes a session.
    Make(Id),
    Submit(Option<Id>),
    /// A job that runs wishes something.
    Create(Nth, Id),
    Rename(Nth, Id),
    Delete(Nth),
    /// A job that runs comes to its end, good or bad.
    Finish(Nth, bool),
    /// A job that waits or runs is cancelled.
    Cancel(Nth),
    /// A session is dropped from outside, whoever is at work in it.
    Drop(Id),
    /// A session's idle time is over.
    Expire(Id),
}

/// A job that began, and the session that it is in.
type Start = (usize, Option<usize>);

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (id, nth) = (0..IDS.len(), 0..8_usize);
    let act = prop_oneof![
        2 => id.clone().prop_map(Act::Make),
        8 => proptest::option::weighted(0.8, id.clone()).prop_map(Act::Submit),
        3 => (nth.clone(), id.clone()).prop_map(|(nth, id)| Act::Create(nth, id)),
        4 => (nth.clone(), id.clone()).prop_map(|(nth, id)| Act::Rename(nth, id)),
        2 => nth.clone().prop_map(Act::Delete),
        6 => (nth.clone(), any::<bool>()).prop_map(|(nth, well)| Act::Finish(nth, well)),
        1 => nth.prop_map(Act::Cancel),
        1 => id.clone().prop_map(Act::Drop),
        1 => id.prop_map(Act::Expire),
    ];
    proptest::collection::vec(act, 1..80)
}

/// Does one thing in both, and compares what is then to be seen.
fn act(house: &mut House, paper: &mut Paper, act: Act) -> Result<(), TestCaseError> {
    let (running, unended) = (paper.running(), paper.unended());
    let of = |jobs: &[usize], nth: Nth| jobs.get(nth % jobs.len().max(1)).copied();
    let (real, written) = match act {
        Act::Make(id) => (house.make(id), paper.make(id)),
        Act::Submit(named) => (house.submit(named), paper.submit(named)),
        Act::Create(nth, id) => match of(&running, nth) {
            Some(job) => (house.create(job, id), paper.create(job, id)),
            None => return Ok(()),
        },
        Act::Rename(nth, id) => match of(&running, nth) {
            Some(job) => (house.rename(job, id), paper.rename(job, id)),
            None => return Ok(()),
        },
        Act::Delete(nth) => match of(&running, nth) {
            Some(job) => (house.delete(job), paper.delete(job)),
            None => return Ok(()),
        },
        Act::Finish(nth, well) => match of(&running, nth) {
            Some(job) => (house.finish(job, well), paper.finish(job, well)),
            None => return Ok(()),
        },
        Act::Cancel(nth) => match of(&unended, nth) {
            Some(job) => (house.cancel(job), paper.cancel(job)),
            None => return Ok(()),
        },
        Act::Drop(id) => (house.drop_session(id), paper.drop_session(id)),
        Act::Expire(id) => (house.expire(id), paper.expire(id)),
    };
    prop_assert_eq!(real, written, "whether {:?} is granted", act);
    prop_assert_eq!(house.start(), paper.start(), "who begins after {:?}, and in which session", act);
    compare(house, paper)
}

fn compare(house: &House, paper: &Paper) -> Result<(), TestCaseError> {
    prop_assert_eq!(house.sessions(), paper.sessions());
    prop_assert_eq!(house.pending(), paper.pending());
    for job in paper.running() {
        prop_assert_eq!(house.inside(job), paper.inside(job), "the session of job {}", job);
    }
    for (id, name) in IDS.iter().enumerate() {
        let (length, line) = (house.length(id), paper.line(id));
        prop_assert_eq!((length.busy, length.waiting), (line > 0, line.saturating_sub(1)), "the line of {}", name);
    }
    house.check();
    Ok(())
}

proptest! {
    /// R7, R9 and R13 to R20: each job begins once, in its order and in the session
    /// that it is to have, or in none.
    #[test]
    fn r7_r13_to_r20_lives_and_lanes_do_what_is_on_paper(acts in acts()) {
        let (mut house, mut paper) = (House::default(), Paper::default());
        for one in acts {
            act(&mut house, &mut paper, one)?;
        }
        // Nobody waits for ever: when all that run have ended, all have run.
        while !paper.running().is_empty() {
            act(&mut house, &mut paper, Act::Finish(0, true))?;
        }
        prop_assert_eq!(paper.unended(), Vec::<usize>::new());
        house.check_all_over();
    }
}
