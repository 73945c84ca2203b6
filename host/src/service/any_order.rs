//! The whole service with its disk, its engine and its clients, in orders that chance
//! makes: each task lets others go first as often as the dice say (B39). At the end
//! the power is cut at some moment, and another service starts on what that left.
//!
//! The dice decide what is asked for and how late each task is; the writer of the
//! store and the guests have threads of their own, so a seed repeats the pressure and
//! not each step. `SESSILE_ORDER_SEED=1000 SESSILE_ORDERS=500 cargo test -p sessile
//! --lib any_order` lives others.

mod home;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::task::JoinSet;

use self::home::FOR_EVER;
use self::home::LONG;
use self::home::check;
use self::home::furnish;
use self::home::is_free;
use self::home::jobs;
use self::home::order;
use self::home::owner;
use self::home::start;
use self::home::stop;
use crate::ids::JobId;
use crate::model::job::Job;
use crate::model::outcome::Outcome;
use crate::service::Service;
use crate::service::stream::Part;
use crate::service::tasks::late::Chance;
use crate::service::tasks::late::late;
use crate::store::tests::power::Dice;
use crate::store::tests::power::Disk;
use crate::store::tests::power::blackout;

const ORDERS: u64 = 40;
const CLIENTS: usize = 5;
const JOBS_OF_A_CLIENT: usize = 5;

/// Clients share the first two; nobody but the last client uses the third.
const SESSIONS: [&str; 3] = ["a", "b", "own"];

/// What clients were told, in that order. Each entry is on the disk's record too.
#[derive(Default)]
struct Told(Mutex<Vec<(JobId, Option<Outcome>)>>);

/// One client's part in it.
struct Client {
    service: Service,
    disk: Arc<Disk>,
    told: Arc<Told>,
    dice: Dice,
}

impl Client {
    /// Notes that the client was told of an acceptance, or an end.
    fn note(&self, id: &JobId, outcome: Option<Outcome>) {
        let mut told = self.told.0.lock().unwrap();
        self.disk.done(told.len());
        told.push((id.clone(), outcome));
    }

    fn note_end(&self, job: &Job) {
        let outcome = job.outcome.clone();
        assert!(outcome.is_some(), "{} was said to have ended, and no end is on record", job.id);
        self.note(&job.id, outcome);
    }

    async fn ask(mut self, client: usize) {
        for number in 0..JOBS_OF_A_CLIENT {
            let number = 100 + client * JOBS_OF_A_CLIENT + number;
            let session = SESSIONS[self.dice.roll(2) as usize];
            match self.dice.roll(6) {
                0 => self.stay(number, session).await,
                1 => self.cancel(number, session, FOR_EVER).await,
                2 => self.cancel(number, session, '.').await,
                3 => self.go_away(number, session).await,
                _ => self.wait(number, session).await,
            }
        }
    }

    /// Hands a job in and waits for its end.
    async fn wait(&mut self, number: usize, session: &str) {
        let end = if self.dice.roll(4) == 0 { '!' } else { '.' };
        let job = self.service.submit(&owner(), order(number, session, end)).await.unwrap();
        self.note(&job.id, None);
        let job = self.service.wait(job, LONG).await.unwrap();
        self.note_end(&job);
        let succeeded = job.outcome == Some(Outcome::Succeeded);
        assert_eq!(succeeded, end == '.', "{:?}", job.outcome);
    }

    /// Hands a job in and cancels it, at once or a little later.
    async fn cancel(&mut self, number: usize, session: &str, end: char) {
        let job = self.service.submit(&owner(), order(number, session, end)).await.unwrap();
        self.note(&job.id, None);
        for _ in 0..self.dice.roll(1 << self.dice.clone().roll(10)) {
            tokio::task::yield_now().await;
        }
        let job = self.service.cancel(&owner(), &job.id).await.unwrap();
        self.note_end(&job);
        let by_request = Outcome::Cancelled { detail: "it was cancelled by request".to_owned() };
        let may_be = [Some(by_request), Some(Outcome::Succeeded).filter(|_| end == '.')];
        assert!(job.outcome.is_some() && may_be.contains(&job.outcome), "{:?}", job.outcome);
    }

    /// Hands a job in and goes away in the middle of that.
    async fn go_away(&mut self, number: usize, session: &str) {
        let polls = self.dice.roll(60);
        let owner = owner();
        let mut asked = Box::pin(self.service.submit(&owner, order(number, session, '.')));
        for _ in 0..polls {
            if futures_util::poll!(&mut asked).is_ready() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Stays with a streaming run to its end, or hangs up.
    async fn stay(&mut self, number: usize, session: &str) {
        let run = self.service.run(&owner(), order(number, session, '.')).await.unwrap();
        let (id, mut answer) = (run.id, run.answer);
        self.note(&id, None);
        run.stdin.finish();
        for _ in 0..self.dice.roll(200) {
            tokio::task::yield_now().await;
        }
        if self.dice.roll(2) == 0 {
            return drop(answer);
        }
        match answer.next().await {
            Part::End(outcome) => self.note(&id, outcome),
            Part::Stdout(bytes) => panic!("it prints nothing, and printed {bytes:?}"),
        }
    }
}

/// Whoever knows of the end of a job finds its session free.
async fn alone(client: Client) {
    for number in 0..JOBS_OF_A_CLIENT {
        let order = order(200 + number, SESSIONS[2], '.');
        let job = client.service.submit(&owner(), order).await.unwrap();
        client.note(&job.id, None);
        let job = client.service.wait(job, LONG).await.unwrap();
        assert!(is_free(&client.service, SESSIONS[2]), "the end of {} is told, and its session is not free", job.id);
        client.note_end(&job);
    }
}

/// Everything that was told before the cut is so after it.
fn compare(jobs: &[Job], told: &[(JobId, Option<Outcome>)]) {
    let jobs: BTreeMap<_, _> = jobs.iter().map(|job| (job.id.as_str(), job)).collect();
    for (id, outcome) in told {
        let job = jobs.get(id.as_str()).unwrap_or_else(|| panic!("{id} was accepted and is not there"));
        assert!(outcome.is_none() || job.outcome == *outcome, "{id}: {outcome:?}, then {:?}", job.outcome);
    }
}

/// Lets all jobs come to an end that nobody stayed with: one that computes for ever is
/// cancelled. Some may not be on record yet.
async fn end_all(service: &Service) {
    while service.inner.live.count() > 0 {
        for job in jobs(service).await.into_iter().filter(|job| job.outcome.is_none()) {
            if job.labels["end"] == FOR_EVER.to_string() {
                service.cancel(&owner(), &job.id).await.unwrap();
            } else {
                service.wait(job, LONG).await.unwrap();
            }
        }
        tokio::task::yield_now().await;
    }
}

/// One life of a service, and the one after it.
async fn live(seed: u64) {
    let mut dice = Dice::new(seed);
    let memory = std::path::Path::new("/dev/shm");
    let new_home = || if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let home = new_home();
    let disk = Disk::under(home.path());
    let service = start(home.path()).await;
    furnish(&service, &SESSIONS).await;
    let begun = disk.events();
    let told: Arc<Told> = Arc::default();
    let chance = Chance::new(dice.split());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (service, disk, told) = (service.clone(), Arc::clone(&disk), Arc::clone(&told));
        let client = Client { service, disk, told, dice: dice.split() };
        if number == 0 {
            clients.spawn(late(alone(client)));
        } else {
            clients.spawn(late(client.ask(number)));
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    drop(chance);
    end_all(&service).await;
    let told = std::mem::take(&mut *told.0.lock().unwrap());
    compare(&check(&service, &SESSIONS).await, &told);
    stop(service).await;

    let after = new_home();
    let told_before = blackout(&disk, begun, after.path(), &mut dice);
    let service = start(after.path()).await;
    end_all(&service).await;
    compare(&check(&service, &SESSIONS).await, &told[..told_before]);
    stop(service).await;
}

#[test]
fn b39_in_any_order_each_job_has_one_end_and_sessions_hold_what_succeeded() {
    let number = |name, default| std::env::var(name).map_or(default, |text: String| text.parse().unwrap());
    let first = number("SESSILE_ORDER_SEED", 1);
    for seed in first..first + number("SESSILE_ORDERS", ORDERS) {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(seed));
    }
}
