//! R7, R9, R13 to R19 and R22 at once, through the front door: whatever jobs do
//! to their sessions and clients to both, after every step those run who would on
//! paper, in the session that they would and with what is kept in it; all others
//! wait, and each job has run once in the end.
//!
//! Not here: the same for the rules alone (`queue/tests.rs` of the server), which
//! shares the paper.

#[path = "../../host/src/queue/tests/paper.rs"]
#[allow(dead_code, reason = "nothing expires here")]
mod paper;
mod puppet;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;
use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

use self::paper::Paper;
use self::puppet::Puppet;

/// Few ids, so that jobs meet.
const IDS: [&str; 3] = ["a", "b", "c"];

type Id = usize;
type Start = (usize, Option<usize>);

/// Plays, a step of which takes some milliseconds.
const PLAYS: u64 = 48;
const STEPS: usize = 50;

/// Plays that go on at the same time, each as a principal of its own.
const STAGES: u64 = 4;

/// Jobs that have not ended, in one play.
const CROWD_MAX: usize = 8;

/// The same numbers for the same seed, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// The parameter and the file of a session, or of a job's draft.
type Texts = (Option<String>, Option<String>);

struct Play {
    seed: u64,
    dice: Dice,
    client: Client,
    admin: Client,
    owner: String,
    module: String,
    puppets: BTreeMap<usize, Puppet>,
    /// The ids of all jobs, by their numbers.
    ids: BTreeMap<usize, String>,
    paper: Paper,
    /// What is kept in each session, and what each job that runs would leave.
    kept: BTreeMap<usize, Texts>,
    drafts: BTreeMap<usize, Texts>,
    ran: BTreeSet<usize>,
    /// What was done, for the message of a play that fails.
    script: Vec<String>,
}

impl Drop for Play {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: {:#?}", self.seed, self.script);
        }
    }
}

impl Play {
    async fn open(admin: &Client, seed: u64) -> Self {
        let owner = format!("player-{seed}");
        let client = admin.principal(&owner, &["submit", "modules"]).await;
        // The core module and its twin take turns.
        let dress = guests::PUPPET.dresses().swap_remove(usize::from(seed.is_multiple_of(2)));
        Self {
            seed,
            dice: Dice(seed),
            module: dress.name,
            client,
            admin: admin.another(),
            owner,
            puppets: BTreeMap::new(),
            ids: BTreeMap::new(),
            paper: Paper::default(),
            kept: BTreeMap::new(),
            drafts: BTreeMap::new(),
            ran: BTreeSet::new(),
            script: Vec::new(),
        }
    }

    async fn step(&mut self) {
        let id = self.dice.roll(IDS.len());
        let running = self.pick(&self.paper.running());
        match (self.dice.roll(20), running) {
            (0..=1, _) => self.make(id).await,
            (2..=7, _) if self.paper.unended().len() < CROWD_MAX => {
                let named = (self.dice.roll(5) > 0).then_some(id);
                self.submit(named).await;
            }
            (8..=9, Some(job)) => self.wish(job, "create", Some(id)),
            (10..=12, Some(job)) => self.wish(job, "rename", Some(id)),
            (13, Some(job)) => self.wish(job, "delete", None),
            (14..=15, Some(job)) => self.write(job),
            (16..=17, Some(job)) => {
                let how = ["exit 0", "exit 0", "exit 3", "trap"][self.dice.roll(4)];
                self.finish(job, how);
            }
            (18, _) => self.cancel().await,
            (19, _) => self.drop_session(id).await,
            _ => return,
        }
        self.look_around().await;
    }

    fn pick(&mut self, jobs: &[usize]) -> Option<usize> {
        let nth = self.dice.roll(jobs.len().max(1));
        jobs.get(nth).copied()
    }

    fn note(&mut self, act: String) {
        self.script.push(act);
    }

    async fn make(&mut self, id: Id) {
        self.note(format!("make {}", IDS[id]));
        let answer = self.client.new_session().with_id(IDS[id]).answer().await;
        let _ = answer.expect(if self.paper.make(id) { 201 } else { 409 });
    }

    async fn submit(&mut self, named: Option<Id>) {
        let job = self.ids.len();
        self.note(format!("submit {job} on {:?}", named.map(|id| IDS[id])));
        let session = named.map(|id| self.client.session(IDS[id]));
        let mut puppet = Puppet::send_out(&self.client, &self.module, session.as_ref());
        self.paper.submit(named);
        // Outside any session it begins at once and says its id itself.
        let Some(id) = named else {
            self.ids.insert(job, String::new());
            self.puppets.insert(job, puppet);
            return;
        };
        let path = format!("/v1/jobs?session={}", IDS[id]);
        let known: BTreeSet<_> = self.ids.values().cloned().collect();
        let new = until("the run is accepted", || async {
            let listed = self.client.list(&path).await;
            listed.iter().map(|job| text(&job["id"])).find(|id| !known.contains(id))
        });
        let new = new.await;
        puppet.id = Some(new.clone());
        self.ids.insert(job, new);
        self.puppets.insert(job, puppet);
    }

    fn wish(&mut self, job: usize, word: &str, id: Option<Id>) {
        let order = [Some(word), id.map(|id| IDS[id])].into_iter().flatten().collect::<Vec<_>>().join(" ");
        self.note(format!("{job}: {order}"));
        let granted = match (word, id) {
            ("create", Some(id)) => self.paper.create(job, id),
            ("rename", Some(id)) => self.paper.rename(job, id),
            _ => self.paper.delete(job),
        };
        let answer = self.obey(job, &order);
        assert_eq!(answer.starts_with("Ok("), granted, "{order}: {answer}");
        if self.paper.inside(job).is_none() {
            // The parameters were the session's.
            self.drafts.get_mut(&job).unwrap().0 = None;
        }
    }

    fn write(&mut self, job: usize) {
        let value = format!("{}-{}", self.script.len(), job);
        self.note(format!("{job}: write {value}"));
        assert_eq!(self.obey(job, &format!("write {value}")), "Ok(())");
        let stored = self.obey(job, &format!("param {value}"));
        let inside = self.paper.inside(job).is_some();
        assert_eq!(stored, if inside { "Ok(())" } else { "Err(NoSession)" });
        let draft = self.drafts.get_mut(&job).unwrap();
        *draft = (inside.then(|| value.clone()), Some(value));
    }

    fn obey(&mut self, job: usize, order: &str) -> String {
        self.puppets.get_mut(&job).unwrap().obey(order)
    }

    fn finish(&mut self, job: usize, how: &str) {
        self.note(format!("{job}: {how}"));
        let outcome = self.puppets.remove(&job).unwrap().obey_and_end(how);
        match how {
            "exit 0" => assert_eq!(outcome, "succeeded"),
            "trap" => assert_eq!(outcome, "failed; reason=trap"),
            // A component's exit code is 1, whatever it says.
            _ => assert!(outcome.starts_with("failed; reason=exit; exit_code="), "{outcome}"),
        }
        self.is_over(job, how == "exit 0");
    }

    fn is_over(&mut self, job: usize, well: bool) {
        let session = self.paper.inside(job).filter(|session| !self.paper.being_deleted(*session));
        let kept = self.paper.finish(job, well);
        if let (true, Some(session), Some(draft)) = (kept, session, self.drafts.remove(&job)) {
            self.kept.insert(session, draft);
        }
    }

    async fn cancel(&mut self) {
        let Some(job) = self.pick(&self.paper.unended()) else { return };
        self.note(format!("cancel {job}"));
        let answer = self.client.post(&format!("/v1/jobs/{}/cancel", self.ids[&job]), &json!({})).await;
        assert_eq!(answer.expect(200).json()["state"], "cancelled");
        let puppet = self.puppets.remove(&job).unwrap();
        if self.paper.running().contains(&job) {
            assert_eq!(puppet.end(), "cancelled");
        }
        self.is_over(job, false);
    }

    /// By its owner, or by an admin.
    async fn drop_session(&mut self, id: Id) {
        self.note(format!("drop {}", IDS[id]));
        let session = self.paper.sessions().into_iter().find(|(_, of, _)| of == IDS[id]).map(|(number, ..)| number);
        let at_work =
            self.paper.running().into_iter().find(|job| session.is_some_and(|_| self.paper.inside(*job) == session));
        let pending = self.paper.pending().contains(&IDS[id].to_owned());
        let status = match (self.paper.drop_session(id), at_work, pending) {
            (true, Some(_), _) => 202,
            (true, None, _) => 204,
            (false, _, true) => 409,
            (false, _, false) => 404,
        };
        let path = format!("/v1/sessions/{}", IDS[id]);
        let answer = match self.dice.roll(2) {
            0 => self.client.delete(&path).await,
            _ => self.admin.delete(&format!("{path}?owner={}", self.owner)).await,
        };
        let _ = answer.expect(status);
        if let (202, Some(job)) = (status, at_work) {
            assert_eq!(self.puppets.remove(&job).unwrap().end(), "cancelled");
            self.is_over(job, false);
        }
    }

    /// Those begin who would on paper, and everything looks as it does there.
    async fn look_around(&mut self) {
        for (job, session) in self.paper.start() {
            let texts = session.and_then(|session| self.kept.get(&session).cloned()).unwrap_or_default();
            let id = session.map(|session| self.id_of(session));
            let puppet = self.puppets.get_mut(&job).unwrap();
            assert_eq!(puppet.hello(), said(id, &texts), "job {job}");
            assert!(self.ran.insert(job), "job {job} has run before");
            self.ids.insert(job, puppet.id.clone().unwrap());
            self.drafts.insert(job, texts);
        }
        let running = self.paper.running();
        let waiting: Vec<_> = self.paper.unended().into_iter().filter(|job| !running.contains(job)).collect();
        for job in &waiting {
            assert!(self.puppets[job].is_silent(), "job {job} has begun");
        }
        let queued = self.client.list("/v1/jobs?state=queued").await;
        let queued: BTreeSet<_> = queued.iter().map(|job| text(&job["id"])).collect();
        assert_eq!(queued, waiting.iter().map(|job| self.ids[job].clone()).collect());
        self.look_at_sessions(&running).await;
    }

    async fn look_at_sessions(&self, running: &[usize]) {
        let listed = self.client.list("/v1/sessions").await;
        let field = |session: &Value, name: &str| session[name].clone();
        let seen: Vec<_> =
            listed.iter().map(|one| ["id", "state", "running_job", "queued"].map(|name| field(one, name))).collect();
        let mut expected = Vec::new();
        for (number, id, _) in self.paper.sessions() {
            let state = if self.paper.being_deleted(number) { "marked" } else { "active" };
            let job = running.iter().find(|job| self.paper.inside(**job) == Some(number));
            let line = self.paper.line(IDS.iter().position(|one| *one == id).unwrap());
            expected.push([
                json!(id),
                json!(state),
                json!(job.map(|job| &self.ids[job])),
                json!(line.saturating_sub(1)),
            ]);
        }
        expected.sort_by_key(|session| text(&session[0]));
        assert_eq!(seen, expected);
        let pending = self.client.list("/v1/sessions?state=pending").await;
        assert_eq!(pending.iter().map(|one| text(&one["id"])).collect::<Vec<_>>(), self.paper.pending());
    }

    fn id_of(&self, session: usize) -> String {
        self.paper.sessions().into_iter().find(|(number, ..)| *number == session).unwrap().1
    }

    /// Lets everybody run who waits; then each has run once, unless it was
    /// cancelled before, and the sessions hold what was kept.
    async fn close(&mut self) {
        while let Some(job) = self.paper.running().first().copied() {
            self.finish(job, "exit 0");
            self.look_around().await;
        }
        assert_eq!(self.paper.unended(), Vec::<usize>::new());
        for (number, id) in &self.ids {
            let job = self.client.job(id).await;
            let ran = self.ran.contains(number);
            assert!(job.has_ended() && job.json["attempt"] == usize::from(ran), "{:#}", job.json);
        }
        for (number, id, _) in self.paper.sessions() {
            let session = self.client.session(&id);
            let (param, file) = self.kept.get(&number).cloned().unwrap_or_default();
            assert_eq!(session.param("p").await, param);
            assert_eq!(session.file("f").await, file.map(String::into_bytes));
        }
    }
}

/// What a puppet says that finds this.
fn said(id: Option<String>, (param, file): &Texts) -> String {
    [&id, param, file].map(|text| text.clone().unwrap_or_else(|| "-".to_owned())).join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r7_r13_to_r19_those_run_who_would_on_paper() {
    let server = TestServer::with("slots", 40).start().await;
    for dress in guests::PUPPET.dresses() {
        // Modules are the tenant's, so the players find it compiled.
        server.ready(dress).await;
    }
    let stages: Vec<_> = (0..STAGES).map(|stage| tokio::spawn(play(server.another(), stage))).collect();
    for stage in stages {
        stage.await.unwrap();
    }
}

/// One play after another.
async fn play(admin: Client, stage: u64) {
    for seed in (1..=PLAYS).filter(|seed| seed % STAGES == stage) {
        let mut play = Play::open(&admin, seed).await;
        for _ in 0..STEPS {
            play.step().await;
        }
        play.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r13_one_that_waits_for_a_slot_comes_after_the_session_s_creator() {
    let server = TestServer::with("slots", 2).start().await;
    let puppet = guests::PUPPET.dresses().swap_remove(0);
    server.ready(puppet.clone()).await;
    let gate = server.new_job(guests::STAY).submit().await.until_running().await;
    let mut creator = Puppet::send_out(&server, &puppet.name, None);
    assert_eq!(creator.hello(), "- - -");
    // It has the turn of that id, and no slot.
    let named = server.session("made").new_job(guests::SESSION_OPS).args(["id", "write", "f", "2"]).submit().await;
    assert_eq!(creator.obey("create made"), "Ok(\"made\")");
    gate.end().await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    assert_eq!(named.look().await.state(), "queued");
    assert_eq!(creator.obey("write 1"), "Ok(())");
    assert_eq!(creator.obey_and_end("exit 0"), "succeeded");
    let named = named.wait().await.succeeded();
    assert_eq!(named.lines().await, ["id Some(\"made\")"]);
    assert_eq!(server.session("made").text("f").await, "2");
}
