//! Samples: how long each request of a contestant took, and what its process
//! worked meanwhile.
//!
//! Promise: contestants take turns in short rounds, and who goes first changes
//! from round to round, so that whatever else the machine does falls on all of
//! them.

use std::fs;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;

/// Linux tells the time of a process in hundredths of a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// What one contestant took, over all its rounds.
#[derive(Default)]
pub(super) struct Samples {
    /// Of each request, from sending it to the last byte of its answer.
    latencies: Vec<Duration>,
    /// Of the rounds together.
    wall: Duration,
    /// Of the server's process, system calls included, meanwhile.
    cpu: Duration,
}

/// One of those who are compared.
pub(super) struct Contestant<'a> {
    /// Whose processor time is counted.
    process: u32,
    round: Step<'a, Vec<Duration>>,
    /// What has to be done between its round and the next one's, untimed.
    after: Option<Step<'a, ()>>,
}

type Step<'a, T> = Box<dyn FnMut() -> anyhow::Result<T> + 'a>;

impl<'a> Contestant<'a> {
    /// A process, and how it is put to work for one round, which gives the latencies
    /// of its requests.
    pub(super) fn new(process: u32, round: impl FnMut() -> anyhow::Result<Vec<Duration>> + 'a) -> Self {
        Contestant { process, round: Box::new(round), after: None }
    }

    /// The same, with something to be done after each round.
    pub(super) fn then(self, after: impl FnMut() -> anyhow::Result<()> + 'a) -> Self {
        Contestant { after: Some(Box::new(after)), ..self }
    }
}

/// Lets two take turns, after a round each that does not count.
pub(super) fn alternate(rounds: usize, mut two: [Contestant<'_>; 2]) -> anyhow::Result<[Samples; 2]> {
    let mut samples = [Samples::default(), Samples::default()];
    for number in 0..=rounds {
        let first = number % 2;
        for who in [first, 1 - first] {
            let taken = take(&mut two[who])?;
            if number > 0 {
                samples[who].add(taken);
            }
        }
    }
    Ok(samples)
}

/// Lets one be measured after the other, for a contest in which what the second
/// one does cannot be undone.
pub(super) fn in_turn([mut one, mut other]: [Contestant<'_>; 2]) -> anyhow::Result<[Samples; 2]> {
    Ok([take(&mut one)?, take(&mut other)?])
}

fn take(contestant: &mut Contestant<'_>) -> anyhow::Result<Samples> {
    let (cpu, begin) = (cpu_of(contestant.process)?, Instant::now());
    let latencies = (contestant.round)()?;
    let wall = begin.elapsed();
    let cpu = cpu_of(contestant.process)?.saturating_sub(cpu);
    contestant.after.as_mut().map_or(Ok(()), |after| after())?;
    Ok(Samples { latencies, wall, cpu })
}

/// A request after the other, so many of them.
pub(super) fn one_by_one(
    count: usize,
    mut request: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let timed = |_| {
        let begin = Instant::now();
        request().map(|()| begin.elapsed())
    };
    (0..count).map(timed).collect()
}

/// When a client of many is due: each once in as many milliseconds as there are
/// clients, one behind the other, so that together they ask 1,000 times in a second.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    next: Instant,
    between: Duration,
}

impl Pace {
    /// The paces of so many clients, from now on.
    pub(super) fn of(clients: usize) -> impl Iterator<Item = Pace> {
        let begin = Instant::now();
        let between = Duration::from_millis(clients as u64);
        (0..clients as u64).map(move |number| Pace { next: begin + Duration::from_millis(number), between })
    }

    /// Waits until it is time for the next request, and tells for when it was due,
    /// which is earlier than now for a client that is late.
    pub(super) fn wait(&mut self) -> Instant {
        let due = self.next;
        self.next += self.between;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due
    }
}

/// All clients at their pace, for that long. A latency runs from the time at which
/// a request was due, so that what a late answer holds up is counted too.
pub(super) fn at_a_pace<C: Send>(
    clients: &mut [C],
    time: Duration,
    request: impl Fn(&mut C) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + time;
    let mut paced: Vec<_> = Pace::of(clients.len()).zip(clients).collect();
    together(&mut paced, |(pace, client)| {
        let mut latencies = Vec::new();
        while pace.next < end {
            let due = pace.wait();
            request(client)?;
            latencies.push(due.elapsed());
        }
        Ok(latencies)
    })
}

/// All clients at the same time, each a request after the other, for that long.
pub(super) fn at_once<C: Send>(
    clients: &mut [C],
    time: Duration,
    request: impl Fn(&mut C) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + time;
    together(clients, |client| {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let begin = Instant::now();
            request(client)?;
            latencies.push(begin.elapsed());
        }
        Ok(latencies)
    })
}

/// A thread for each client, and what all of them took.
fn together<C: Send>(
    clients: &mut [C],
    work: impl Fn(&mut C) -> anyhow::Result<Vec<Duration>> + Sync,
) -> anyhow::Result<Vec<Duration>> {
    let work = &work;
    let all: anyhow::Result<Vec<_>> = thread::scope(|scope| {
        let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
        threads.into_iter().map(|one| one.join().expect("a client does not panic")).collect()
    });
    Ok(all?.concat())
}

/// What a process has worked since its start.
fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    cpu_in(&stat).with_context(|| format!("{path} does not look as expected"))
}

/// User and system time are the fields 14 and 15. The second is a name, which may
/// hold spaces and brackets; what follows the last bracket does not.
fn cpu_in(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(|field| field.parse::<u32>().ok());
    Some(TICK * (ticks.next()?? + ticks.next()??))
}

impl Samples {
    fn add(&mut self, other: Samples) {
        self.latencies.extend(other.latencies);
        self.wall += other.wall;
        self.cpu += other.cpu;
    }

    pub(super) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that `percent` of the requests did not pass.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default()
    }

    pub(super) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.wall.as_secs_f64()
    }

    /// What the server's process worked for each request.
    pub(super) fn cpu_each(&self) -> Duration {
        self.cpu.div_f64(self.latencies.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let latencies: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let samples = Samples { latencies, ..Samples::default() };
        assert_eq!(samples.percentile(50), Duration::from_millis(100));
        assert_eq!(samples.percentile(99), Duration::from_millis(198));
        assert_eq!(Samples::default().percentile(50), Duration::ZERO);
    }

    #[test]
    fn a_late_client_is_told_when_it_was_due() {
        let mut paces: Vec<Pace> = Pace::of(2).collect();
        let first = paces[0].next;
        assert_eq!(paces[1].next - first, Duration::from_millis(1));
        assert_eq!([paces[0].wait(), paces[0].wait()], [first, first + Duration::from_millis(2)]);
    }

    #[test]
    fn the_time_of_a_process_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 4 0 100";
        assert_eq!(cpu_in(stat), Some(Duration::from_millis(420)));
    }

    #[test]
    fn each_has_as_many_rounds_and_the_first_does_not_count() {
        let turns = std::cell::RefCell::new(String::new());
        let contestant = |name: char| {
            let turns = &turns;
            Contestant::new(std::process::id(), move || {
                turns.borrow_mut().push(name);
                Ok(vec![Duration::from_millis(1)])
            })
        };
        let samples = alternate(3, [contestant('a'), contestant('b')]).unwrap();
        assert_eq!(turns.into_inner(), "abbaabba");
        assert_eq!(samples.map(|one| one.count()), [3, 3]);
    }
}
