//! R22, to the byte: whatever a job does to its directory is kept or undone
//! exactly, after a commit, after a rollback and after a restart, on both
//! surfaces.
//!
//! A guest and a plain model read the same scripts, and their answers and their
//! trees are compared. A test that fails shows the seed and all scripts so far.

mod model;
mod walk;
mod chance;
mod nasty;
mod place;

use std::env;

use sessile_kit::Dice;
use sessile_kit::Job;
use sessile_kit::Settings;
use sessile_kit::TestServer;
use sessile_kit::guests;

use self::place::End;
use self::place::Place;

/// The first of the seeds, unless this variable says another number.
const FIRST_SEED: (&str, u64) = ("SESSILE_FS_SEED", 1);

/// Random sessions that live side by side, on each surface.
const SEEDS: u64 = 8;

/// Jobs of one session between two crashes.
const ROUNDS: usize = 6;

/// At most as many operations in one job.
const LINES_MAX: usize = 40;

fn lines(script: &str) -> Vec<String> {
    script.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn r22_what_somebody_thought_of_is_kept_or_undone_to_the_byte() {
    check_stories(Settings::default()).await;
}

#[tokio::test]
async fn r22_and_so_it_is_where_working_copies_lie_on_a_disk() {
    // The temporary directory of most machines is one.
    let disk = tempfile::tempdir().unwrap();
    check_stories(TestServer::with("work", disk.path().display())).await;
}

async fn check_stories(settings: Settings) {
    let mut server = settings.start().await;
    let mut places = Vec::new();
    for (name, before, script) in nasty::STORIES {
        for dress in guests::FS_SCRIPT.dresses() {
            let mut place = Place::new(server.new_session().await, dress, name);
            place.run(&lines(before), End::Kept).await;
            for end in [End::Exit, End::Trap, End::Kept] {
                place.run(&lines(script), end).await;
            }
            places.push(place);
        }
    }
    server.kill9();
    server.restart();
    for place in &places {
        place.check().await;
    }
}

/// More names than the server lists for one job (20,000), so that it has to look everywhere.
#[tokio::test]
async fn r22_more_changes_than_are_listed_are_kept_or_undone_to_the_byte() {
    let server = TestServer::start().await;
    let before = "mkdir /d\nput /d/0 65537 1\nput /d/other 10 2\nmkdir /e\nput /e/x 10 3\nput /y 10 4\nsymlink y /l";
    let wander = (0..20_001).map(|n| format!("rename /d/{n} /d/{}", n + 1));
    let after = lines("put /y 11 5\nunlink /e/x\nrmdir /e\nput /e 12 6\nunlink /l\nsymlink d /l\nput /l/new 13 7");
    let script: Vec<String> = wander.chain(after).collect();
    for dress in guests::FS_SCRIPT.dresses() {
        let mut place = Place::new(server.new_session().await, dress, "a file that wanders");
        place.run(&lines(before), End::Kept).await;
        place.run(&script, End::Trap).await;
        place.run(&script, End::Kept).await;
    }
}

/// A session with a random life.
struct Life {
    dice: Dice,
    place: Place,
}

impl Life {
    /// A random script, with what it does left to be done.
    fn script(&mut self) -> Vec<String> {
        let len = 1 + self.dice.roll(LINES_MAX);
        chance::script(&mut self.dice, &mut self.place.model.clone(), len)
    }

    async fn rounds(mut self) -> Self {
        for _ in 0..ROUNDS {
            let script = self.script();
            // Most jobs succeed, so that the tree becomes something.
            let end = if self.dice.roll(2) == 0 { End::Kept } else { *self.dice.pick(&End::ALL) };
            self.place.run(&script, end).await;
            self.something_over_http().await;
        }
        self
    }

    /// A write that a working copy does not see happen, between two jobs or not at all.
    async fn something_over_http(&mut self) {
        let there = self.place.model.paths(|_| true);
        match self.dice.roll(6) {
            0 => self.place.put("over-http", 65_535 + u32::try_from(self.dice.roll(3)).unwrap(), 7).await,
            1 if !there.is_empty() => self.place.delete(self.dice.pick(&there).as_str()).await,
            _ => {}
        }
    }
}

async fn rounds(lives: Vec<Life>) -> Vec<Life> {
    let together: Vec<_> = lives.into_iter().map(|life| tokio::spawn(life.rounds())).collect();
    let mut lived = Vec::new();
    for life in together {
        lived.push(life.await.unwrap());
    }
    lived
}

/// Kills the server when every session's job has done its work and waits.
async fn kill_in_the_guest(server: &mut TestServer, lives: &mut [Life]) {
    let mut jobs = Vec::new();
    for life in &mut *lives {
        let script = life.script();
        let job = life.place.order(&script, End::Cancel).with("on_crash", "fail").submit().await;
        jobs.push(job);
    }
    for job in &jobs {
        job.until_says("waiting").await;
    }
    server.kill9();
    server.restart();
    for (life, job) in lives.iter().zip(jobs) {
        let _ = job.wait().await.failed("lost");
        life.place.check().await;
    }
}

/// Kills the server as soon as the jobs are accepted, whatever each is doing then.
async fn kill_anywhere(server: &mut TestServer, lives: &mut [Life]) {
    let mut jobs: Vec<(Vec<String>, Job)> = Vec::new();
    for life in &mut *lives {
        let script = life.script();
        let job = life.place.order(&script, End::Kept).submit().await;
        jobs.push((script, job));
    }
    server.kill9();
    server.restart();
    for (life, (script, job)) in lives.iter_mut().zip(jobs) {
        life.place.kept(&script, &job.wait().await.succeeded()).await;
    }
}

#[tokio::test]
async fn r22_whatever_a_job_does_to_its_files_is_kept_or_undone_to_the_byte() {
    // Every session must be able to have its job in the middle when the server is killed.
    let mut server = TestServer::with("slots", SEEDS * 2).start().await;
    let first = env::var(FIRST_SEED.0).map_or(FIRST_SEED.1, |text| text.parse().expect("a number"));
    let mut lives = Vec::new();
    for seed in first..first + SEEDS {
        for dress in guests::FS_SCRIPT.dresses() {
            let session = server.new_session().await;
            server.ready(dress.clone()).await;
            lives.push(Life { dice: Dice::new(seed), place: Place::new(session, dress, &format!("seed {seed}")) });
        }
    }
    lives = rounds(lives).await;
    kill_in_the_guest(&mut server, &mut lives).await;
    lives = rounds(lives).await;
    kill_anywhere(&mut server, &mut lives).await;
}
