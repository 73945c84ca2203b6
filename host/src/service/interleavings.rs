//! Jobs, clients and cancels meet at every lock, in thousands of orders (B39).
//!
//! What runs is the code of the server: the lanes, the slots, the list of jobs, the
//! wait before a start, the decision at a guest's end. The store is a sheet of paper
//! and a guest a few pauses. Threads take turns at each lock
//! ([`sync`](crate::sync)), as a scheduler says that finds its way by chance.
//!
//! A failure prints its schedule: `SESSILE_SCHEDULE=… cargo test -p sessile --lib b39_jobs`
//! lives it again, step by step. `SHUTTLE_RANDOM_SEED=7` lives other orders, and
//! `SESSILE_SCHEDULES=100000` more of them.

mod clients;
mod paper;
mod walks;
mod world;

use std::sync::Arc;

use shuttle::Config;
use shuttle::Runner;
use shuttle::rand::Rng;
use shuttle::rand::thread_rng;
use shuttle::scheduler::PctScheduler;
use shuttle::scheduler::RandomScheduler;
use shuttle::scheduler::ReplayScheduler;
use shuttle::scheduler::Scheduler;
use shuttle::scheduler::UncontrolledNondeterminismCheckScheduler;
use tokio_util::sync::CancellationToken;

use self::clients::Then;
use self::walks::Order;
use self::walks::Role;
use self::world::World;
use self::world::lane;

/// Of each scheduler, unless the environment says otherwise.
const SCHEDULES: usize = 3_000;
const SEED: u64 = 39;
/// How often one thread is made to wait for all others, by the scheduler that looks
/// for what takes few such moments.
const PREEMPTIONS: usize = 3;

/// Enough for the deepest walk without optimisation.
const STACK_BYTES: usize = 256 * 1024;

/// Who takes part, drawn by the schedule's own dice.
fn cast() -> Vec<(Order, Then)> {
    let mut rng = thread_rng();
    let jobs = rng.gen_range(2..5);
    let mut cast = Vec::new();
    for job in 0..jobs {
        let role = if job == 0 && rng.gen_bool(0.4) { Role::Creates } else { Role::InLane };
        let session = if role == Role::Creates { 1 } else { rng.gen_range(0..2) };
        let then = match rng.gen_range(0..3) {
            0 => Then::Cancels("asked by its own client"),
            1 => Then::Waits,
            _ => Then::GoesAway,
        };
        cast.push((Order { job, session, role, succeeds: rng.gen_bool(0.8) }, then));
    }
    cast
}

/// One meeting of all of them.
fn meeting() {
    let mut rng = thread_rng();
    let world = World::new(rng.gen_range(1..3));
    let there = lane(0);
    world.paper.make(&there.owner, &there.session);
    let cast = cast();
    for (order, then) in cast.clone() {
        world.spawn(clients::hand_in(Arc::clone(&world), order, then));
    }
    for why in ["asked by somebody else", "asked by another one"] {
        let (order, _) = cast[rng.gen_range(0..cast.len())];
        world.spawn(clients::cancel(Arc::clone(&world), order, why));
    }
    let leaves = CancellationToken::new();
    world.spawn(clients::write(Arc::clone(&world), 100, rng.gen_range(0..2), leaves.clone()));
    if rng.gen_bool(0.5) {
        world.spawn(async move { leaves.cancel() });
    }
    if rng.gen_bool(0.4) {
        world.spawn(clients::drop_session(Arc::clone(&world), rng.gen_range(0..2)));
    }
    if rng.gen_bool(0.1) {
        let draining = world.draining.clone();
        world.spawn(async move { draining.cancel() });
    }
    shuttle::future::block_on(world.end());
    world.check();
}

fn run(scheduler: impl Scheduler + 'static, what: fn()) {
    // Time stands still but where a meeting turns it, so that it is the schedule's too.
    let time = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _in_time = time.enter();
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(scheduler, config).run(what);
}

/// Runs what the scheduler finds, or the one schedule that was asked for.
fn meet(scheduler: impl Scheduler + 'static) {
    match std::env::var("SESSILE_SCHEDULE") {
        // It is printed on several lines.
        Ok(schedule) => {
            let schedule: String = schedule.split_whitespace().collect();
            run(ReplayScheduler::new_from_encoded(&schedule), meeting);
        }
        Err(_) => run(scheduler, meeting),
    }
}

fn schedules() -> usize {
    std::env::var("SESSILE_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap())
}

#[test]
fn b39_jobs_that_meet_at_any_lock_come_to_one_end_each() {
    meet(RandomScheduler::new_from_seed(SEED, schedules()));
}

#[test]
fn b39_jobs_that_meet_come_to_one_end_each_however_long_one_of_them_is_held_up() {
    meet(PctScheduler::new_from_seed(SEED, PREEMPTIONS, schedules()));
}

/// What was found once is found again: nothing but the schedule decides.
#[test]
fn b39_a_schedule_can_be_lived_again() {
    meet(UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new_from_seed(SEED, 100)));
}

/// Two who count, each looking under one lock and writing under the next.
fn lost_count() {
    let count = Arc::new(crate::sync::Mutex::new(0));
    let counts = || {
        let count = Arc::clone(&count);
        shuttle::thread::spawn(move || {
            let before = *count.lock().unwrap();
            *count.lock().unwrap() = before + 1;
        })
    };
    for counts in [counts(), counts()] {
        counts.join().unwrap();
    }
    assert_eq!(*count.lock().unwrap(), 2, "a count is lost");
}

/// The lock of the three rooms is one at which another goes on.
#[test]
fn b39_what_is_wrong_between_two_locks_is_found() {
    let found = std::panic::catch_unwind(|| run(RandomScheduler::new_from_seed(SEED, 100), lost_count));
    let said = found.err().and_then(|panic| panic.downcast::<String>().ok());
    assert!(said.is_some_and(|said| said.contains("a count is lost")));
}
