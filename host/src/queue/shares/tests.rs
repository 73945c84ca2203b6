//! The shares over simulated time: guests that compute for as long as a test
//! says, on a clock that only the test moves.

use std::collections::BTreeMap;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A guest that has been let in, by its place in [`House::jobs`].
type Id = usize;

struct Job {
    line: Line,
    share: Share,
    left: Duration,
    came: Duration,
    began: Option<Duration>,
    ended: Option<Duration>,
    had: Duration,
}

/// Slots, seats and guests, without threads.
struct House {
    shares: Shares<Id>,
    now: Duration,
    jobs: Vec<Job>,
    /// Those that have a slot, since when, and on which seat.
    at_work: BTreeMap<Id, (Duration, usize)>,
    seats: BTreeMap<Id, usize>,
}

impl House {
    fn new(slots: usize, seats: usize) -> Self {
        let shares = Shares::new(slots, seats);
        Self { shares, now: Duration::ZERO, jobs: Vec::new(), at_work: BTreeMap::new(), seats: BTreeMap::new() }
    }

    fn submit(&mut self, line: Line, share: Share, length: Duration) -> Id {
        self.submit_with(Priority::default(), line, share, length)
    }

    fn submit_with(&mut self, priority: Priority, line: Line, share: Share, length: Duration) -> Id {
        let id = self.jobs.len();
        let came = self.now;
        self.shares.join(&line, share, Wants::ToBegin, priority, id);
        self.jobs.push(Job { line, share, left: length, came, began: None, ended: None, had: Duration::ZERO });
        self.call();
        id
    }

    fn call(&mut self) {
        while let Some(Next { who, seat, .. }) = self.shares.next() {
            let seat = match seat {
                Some(seat) => *self.seats.entry(who).or_insert(seat),
                None => self.seats[&who],
            };
            self.jobs[who].began.get_or_insert(self.now);
            assert!(self.at_work.insert(who, (self.now, seat)).is_none(), "job {who} has two slots");
        }
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.now += MS;
        for (id, (since, seat)) in self.at_work.clone() {
            let job = &mut self.jobs[id];
            (job.left, job.had) = (job.left.saturating_sub(MS), job.had + MS);
            let (line, share, used) = (job.line.clone(), job.share, self.now - since);
            if job.left.is_zero() {
                job.ended = Some(self.now);
                self.at_work.remove(&id);
                self.seats.remove(&id);
                self.shares.give_back_slot(&line, used);
                self.shares.give_back_seat(&line, seat);
            } else if used >= SLICE && self.shares.is_wanted() {
                self.at_work.remove(&id);
                self.shares.join(&line, share, Wants::ToGoOn, Priority::default(), id);
                self.shares.give_back_slot(&line, used);
            }
            self.call();
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// The time that all jobs had for which `of` holds.
    fn had(&self, of: impl Fn(&Line) -> bool) -> Duration {
        self.jobs.iter().filter(|job| of(&job.line)).map(|job| job.had).sum()
    }

    fn delay(&self, id: Id) -> Option<Duration> {
        Some(self.jobs[id].began? - self.jobs[id].came)
    }
}

fn line(tenant: &str, session: &str) -> Line {
    let owner = Owner { tenant: tenant.parse().unwrap(), principal: "p".parse().unwrap() };
    Line { owner, session: Some(session.parse().unwrap()) }
}

fn share(weight: u32, running_max: usize) -> Share {
    Share { weight, running_max }
}

/// Whether `part` is within `percent` of `expected`.
#[track_caller]
fn near(part: Duration, expected: f64, percent: f64) {
    let part = part.as_secs_f64();
    assert!((part - expected).abs() <= expected * percent / 100.0, "{part} s, and {expected} s were expected");
}

#[test]
fn r34_tenants_that_have_work_share_the_slots_by_weight() {
    let mut house = House::new(2, 24);
    for (tenant, weight, sessions) in [("a", 1, 4), ("b", 3, 4), ("c", 2, 4)] {
        for session in 0..sessions {
            house.submit(line(tenant, &format!("s{session}")), share(weight, 4), Duration::from_secs(3_600));
        }
    }
    house.run_for(Duration::from_secs(60));
    for (tenant, part) in [("a", 20.0), ("b", 60.0), ("c", 40.0)] {
        near(house.had(|line| line.owner.tenant.as_str() == tenant), part, 2.0);
    }
}

#[test]
fn r34_what_is_a_tenant_s_is_shared_equally_among_its_sessions() {
    let mut house = House::new(2, 24);
    // One session hands in many short jobs, one after the other is all it can; one computes on and on.
    house.submit(line("a", "long"), share(1, 8), Duration::from_secs(3_600));
    house.submit(line("b", "other"), share(1, 8), Duration::from_secs(3_600));
    for _ in 0..4_000 {
        house.submit(line("a", "many"), share(1, 8), 10 * MS);
    }
    house.run_for(Duration::from_secs(20));
    near(house.had(|line| line == &self::line("a", "long")), 10.0, 3.0);
    near(house.had(|line| line == &self::line("a", "many")), 10.0, 3.0);
    near(house.had(|line| line.owner.tenant.as_str() == "b"), 20.0, 3.0);
}

#[test]
fn r34_a_flood_moves_another_tenant_s_start_by_no_more_than_a_slice() {
    let mut house = House::new(2, 8);
    for number in 0..10_000 {
        house.submit(line("flood", &format!("s{number}")), share(1, 2), Duration::from_secs(30));
    }
    let mut small = Vec::new();
    for _ in 0..200 {
        house.run_for(100 * MS);
        small.push(house.submit(line("quiet", "s"), share(1, 2), 5 * MS));
    }
    house.run_for(100 * MS);
    let delays: Vec<_> = small.iter().map(|id| house.delay(*id).expect("each began")).collect();
    assert!(delays.iter().all(|delay| *delay <= SLICE), "{:?}", delays.iter().max());
    // And the flood got all the rest.
    near(house.had(|line| line.owner.tenant.as_str() == "flood"), 39.2, 2.0);
}

#[test]
fn r34_short_jobs_of_one_tenant_pass_its_long_ones() {
    let mut house = House::new(1, 8);
    for number in 0..3 {
        house.submit(line("a", &format!("long{number}")), share(1, 4), Duration::from_secs(30));
    }
    house.run_for(Duration::from_secs(1));
    let short = house.submit(line("a", "short"), share(1, 4), 10 * MS);
    house.run_for(2 * SLICE);
    assert!(house.jobs[short].ended.is_some());
}

#[test]
fn r34_a_tenant_that_was_idle_has_saved_nothing_up() {
    let mut house = House::new(1, 8);
    house.submit(line("a", "s"), share(1, 1), Duration::from_secs(3_600));
    house.run_for(Duration::from_secs(10));
    house.submit(line("b", "s"), share(1, 1), Duration::from_secs(3_600));
    house.run_for(Duration::from_secs(10));
    near(house.had(|line| line.owner.tenant.as_str() == "b"), 5.0, 3.0);
}

#[test]
fn r34_no_tenant_has_more_guests_under_way_than_it_may() {
    let mut house = House::new(4, 16);
    for number in 0..10 {
        house.submit(line("a", &format!("s{number}")), share(1, 3), 100 * MS);
    }
    for _ in 0..400 {
        house.step();
        assert!(house.seats.len() <= 3);
    }
    assert!(house.jobs.iter().all(|job| job.ended.is_some()));
}

#[test]
fn r34_the_last_seats_are_for_tenants_that_have_none() {
    let mut house = House::new(2, 8);
    for number in 0..20 {
        house.submit(line("greedy", &format!("s{number}")), share(1, 100), Duration::from_secs(3_600));
    }
    house.run_for(Duration::from_secs(2));
    assert_eq!(house.seats.len(), 6);
    let late = house.submit(line("late", "s"), share(1, 100), 10 * MS);
    house.run_for(2 * SLICE);
    assert!(house.jobs[late].ended.is_some());
}

#[test]
fn of_one_tenant_s_jobs_that_wait_the_one_of_higher_priority_begins_first() {
    let mut house = House::new(1, 8);
    house.submit(line("a", "first"), share(1, 1), 10 * MS);
    let priorities = [-100, 0, 3, 0, 100, -1];
    let waiting = priorities.map(|priority| {
        let session = format!("s{}", house.jobs.len());
        house.submit_with(Priority(priority), line("a", &session), share(1, 1), 10 * MS)
    });
    let same_line = house.submit_with(Priority(50), line("a", "s1"), share(1, 1), 10 * MS);
    house.run_for(Duration::from_secs(1));
    let mut order: Vec<_> = waiting.into_iter().chain([same_line]).collect();
    order.sort_by_key(|id| house.jobs[*id].began.expect("each began"));
    let begun: Vec<_> = order.into_iter().map(|id| id - 1).collect();
    assert_eq!(begun, [4, 6, 2, 1, 3, 5, 0]);
}

#[test]
fn r34_no_priority_takes_anything_from_another_tenant_or_from_those_who_have_begun() {
    let mut house = House::new(1, 8);
    let long = house.submit(line("a", "long"), share(1, 4), Duration::from_secs(3_600));
    house.submit(line("b", "s"), share(1, 4), Duration::from_secs(3_600));
    for number in 0..2 {
        let urgent = line("a", &format!("urgent{number}"));
        house.submit_with(Priority(100), urgent, share(1, 4), Duration::from_secs(3_600));
    }
    house.run_for(Duration::from_secs(60));
    near(house.had(|line| line.owner.tenant.as_str() == "b"), 30.0, 3.0);
    near(house.jobs[long].had, 10.0, 5.0);
}

#[test]
fn nothing_is_kept_of_those_who_have_no_work() {
    let mut house = House::new(2, 8);
    for number in 0..50 {
        house.submit(line(&format!("t{}", number % 5), &format!("s{number}")), share(1, 2), 7 * MS);
    }
    let waits = line("gives-up", "s");
    let ticket = house.shares.join(&waits, share(1, 1), Wants::ToBegin, Priority(7), 1_000);
    house.shares.leave(&waits, Wants::ToBegin, ticket);
    house.run_for(Duration::from_secs(1));
    assert!(house.jobs.iter().all(|job| job.ended.is_some()));
    assert!(house.shares.tenants.is_empty());
    assert_eq!((house.shares.slots_free(), house.shares.seats_free.len()), (2, 8));
}
