//! R7 and R13 to R19 at once: whatever order jobs, renames, deletions, drops and
//! cancels come in, each job runs once at most, those of one id take turns in
//! their order, and no session is left that nobody can use.

use serde_json::json;
use sessile_kit::Dice;
use sessile_kit::Guest;
use sessile_kit::Job;
use sessile_kit::TestServer;
use sessile_kit::guests;
use tokio::task::JoinHandle;

const OPS: Guest = guests::SESSION_OPS;
const IDS: [&str; 4] = ["a", "b", "c", "d"];
const STEPS: usize = 80;

fn an_id(dice: &mut Dice) -> &'static str {
    IDS[dice.roll(IDS.len())]
}

/// What a job does, in words of the guest.
fn script(dice: &mut Dice) -> String {
    let id = an_id(dice);
    match dice.roll(8) {
        0 => format!("create {id} write made 1"),
        1 => format!("create {id} rename {} trap", an_id(dice)),
        2 => format!("write moved 1 rename {id}"),
        3 => format!("rename {id} rename {} trap", an_id(dice)),
        4 => "delete".to_owned(),
        5 => "delete trap".to_owned(),
        6 => format!("create {id} delete"),
        _ => "set k v write f 1".to_owned(),
    }
}

/// What was handed in, in the order of acceptance.
#[derive(Default)]
struct HandedIn {
    jobs: Vec<(Option<&'static str>, Job)>,
    renames: Vec<JoinHandle<u16>>,
}

async fn step(server: &TestServer, dice: &mut Dice, done: &mut HandedIn) {
    match dice.roll(10) {
        0 => {
            let made = server.new_session().with_id(an_id(dice)).answer().await;
            assert!(matches!(made.status, 201 | 409), "{made:?}");
        }
        1 => {
            let dropped = server.delete(&format!("/v1/sessions/{}", an_id(dice))).await;
            assert!(matches!(dropped.status, 202 | 204 | 404 | 409), "{dropped:?}");
        }
        2 => {
            let (client, from, to) = (server.another(), an_id(dice), an_id(dice));
            let path = format!("/v1/sessions/{from}");
            done.renames.push(tokio::spawn(async move { client.patch(&path, &json!({"id": to})).await.status }));
        }
        3 if !done.jobs.is_empty() => {
            let (_, job) = &done.jobs[dice.roll(done.jobs.len())];
            let _ = job.cancel().await.expect(200);
        }
        _ => {
            let named = (dice.roll(4) > 0).then(|| an_id(dice));
            let script = script(dice);
            let job = server.new_job(OPS).args(script.split(' '));
            let job = named.into_iter().fold(job, |job, id| job.session(id));
            done.jobs.push((named, job.submit().await));
        }
    }
}

/// Those that named one id and ran, one after the other.
fn check_turns(id: &str, jobs: &[Job]) {
    let time = |job: &Job, field: &str| job.json[field].as_str().unwrap().to_owned();
    let ran: Vec<_> = jobs.iter().filter(|job| job.json["started_at"].is_string()).collect();
    for pair in ran.windows(2) {
        let (before, after) = (time(pair[0], "ended_at"), time(pair[1], "started_at"));
        assert!(micros(&before) <= micros(&after), "on `{id}`: {:#} and {:#}", pair[0].json, pair[1].json);
    }
}

/// A time with all six digits of its fraction, which sorts as text.
fn micros(time: &str) -> String {
    let (seconds, fraction) = time.trim_end_matches('Z').split_once('.').unwrap_or((time.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<6}")
}

async fn check(seed: u64) {
    let server = TestServer::with("slots", 3).start().await;
    server.ready(OPS).await;
    let (mut dice, mut done) = (Dice::new(seed), HandedIn::default());
    for _ in 0..STEPS {
        step(&server, &mut dice, &mut done).await;
    }
    for rename in done.renames {
        let status = rename.await.unwrap();
        assert!(matches!(status, 200 | 404 | 409), "seed {seed}: a rename was answered {status}");
    }
    let mut ended = Vec::new();
    for (named, job) in done.jobs {
        let job = job.wait().await;
        // Two at once in one session would have failed here, at the commit of the second.
        assert_ne!(job.reason(), Some("host-error"), "seed {seed}: {:#}", job.json);
        assert!(job.json["attempt"].as_u64().unwrap() <= 1, "seed {seed}: {:#}", job.json);
        ended.push((named, job));
    }
    for id in IDS {
        let of_id: Vec<_> = ended.iter().filter(|(named, _)| *named == Some(id)).map(|(_, job)| job.clone()).collect();
        check_turns(id, &of_id);
    }
    let mut seen = Vec::new();
    for session in server.list("/v1/sessions").await {
        assert_eq!((&session["state"], &session["queued"]), (&json!("active"), &json!(0)), "seed {seed}: {session:#}");
        let id = session["id"].as_str().unwrap().to_owned();
        let inside = server.session(&id).new_job(OPS).args(["id"]).run().await.succeeded();
        assert_eq!(inside.stdout().await, format!("id Some({id:?})\n"), "seed {seed}");
        assert!(!seen.contains(&id), "seed {seed}: {id} twice");
        seen.push(id);
    }
    // Whatever is left can be dropped, and the ids are free again.
    for id in IDS {
        let dropped = server.delete(&format!("/v1/sessions/{id}")).await;
        assert!(matches!(dropped.status, 204 | 404), "seed {seed}: {dropped:?}");
        let _ = server.new_session().with_id(id).answer().await.expect(201);
    }
}

#[tokio::test]
async fn r7_r13_to_r19_hold_in_any_order() {
    let together: Vec<_> = (1..=6).map(|seed| tokio::spawn(check(seed))).collect();
    for one in together {
        one.await.unwrap();
    }
}
