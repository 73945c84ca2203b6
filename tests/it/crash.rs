//! R22 and R25 with `kill -9` in the middle of a mixed load, again and again:
//! no accepted job is lost, no session is half-written.
//!
//! `cargo xtask crash --rounds N` runs this with more rounds.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;
use sessile_kit::until;

/// How many rounds, unless this variable says another number.
const ROUNDS: (&str, usize) = ("SESSILE_CRASH_ROUNDS", 3);

const SESSIONS: usize = 16;
const CLIENTS: usize = 8;

/// Requests that the server accepts between one kill and the next.
const ACCEPTED_PER_ROUND: usize = 160;

/// The whole load: `jobs` for each session, numbered, with ids that say so.
#[derive(Clone, Copy)]
struct Load {
    jobs: usize,
}

impl Load {
    fn for_rounds(rounds: usize) -> Self {
        Self { jobs: ACCEPTED_PER_ROUND * (rounds + 1) / SESSIONS }
    }

    fn traps(n: usize) -> bool {
        n % 5 == 4
    }

    fn job_id(session: usize, n: usize) -> String {
        format!("job-{session}-{n}")
    }

    /// Some requests are writes over HTTP, which must not be lost either.
    fn writes(n: usize) -> bool {
        n % 10 == 7
    }
}

#[tokio::test]
async fn r25_kills_lose_no_accepted_job_and_leave_no_session_half_written() {
    let rounds = env::var(ROUNDS.0).map_or(ROUNDS.1, |text| text.parse().expect("a number of rounds"));
    let load = Load::for_rounds(rounds);
    let mut server = TestServer::start().await;
    server.ready(guests::COUNTER_FILE).await;
    for s in 0..SESSIONS {
        let _ = server.new_session().with_id(&format!("session-{s}")).await;
    }

    let accepted = Arc::new(AtomicUsize::new(0));
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|c| tokio::spawn(send_share(server.another(), c, load, accepted.clone()))).collect();
    let books = server.new_session().with_id("books").with("transaction", "explicit").await;
    clients.push(tokio::spawn(keep_books(server.another(), books, accepted.clone(), rounds * ACCEPTED_PER_ROUND)));
    for round in 1..=rounds {
        let enough = round * ACCEPTED_PER_ROUND;
        let what = format!("{enough} requests are accepted");
        until(&what, || async { (accepted.load(Ordering::Relaxed) >= enough).then_some(()) }).await;
        server.kill9();
        server.restart();
        eprintln!("round {round} of {rounds}: killed after {} accepted requests", accepted.load(Ordering::Relaxed));
    }
    for client in clients {
        client.await.unwrap();
    }

    for s in 0..SESSIONS {
        check_history(&server.session(&format!("session-{s}")), &server, s, load).await;
    }
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let _ = sessile([OsStr::new("check"), OsStr::new("--data"), server.data().as_os_str()]).expect(0);
}

/// Counts in explicit transactions of two jobs, until the last kill (R23): what
/// a commit was said to have kept is there ever after, and what it was not may
/// be lost in a kill.
async fn keep_books(client: Client, books: Session, accepted: Arc<AtomicUsize>, enough: usize) {
    let mut kept = 0;
    for n in 0.. {
        if accepted.load(Ordering::Relaxed) >= enough {
            break;
        }
        let order = books.new_job(guests::COUNTER_FILE).id(&format!("book-{n}")).prefer("wait=60");
        let job = insist(|| order.clone().try_answer()).await.json();
        let count = job["result"].as_u64();
        assert!(count.is_none_or(|count| count > kept), "{count:?} after {kept} was committed: {job:#}");
        if n % 2 == 1 {
            let commit = || client.request(reqwest::Method::POST, &books.path("/commit"));
            let _ = insist(|| client.try_send(commit())).await;
            let now = insist(|| client.try_send(client.request(reqwest::Method::GET, &books.path("/params")))).await;
            let now = now.json()["counter"].as_str().map_or(0, |text| text.parse().unwrap());
            assert!(now >= kept, "{now} counted, and {kept} was committed");
            kept = now;
        }
    }
    assert!(kept > 0, "nothing was ever committed");
}

/// One client's share of the load: every eighth job of every session. A request
/// whose answer was lost is sent again until it is answered; its id makes that safe.
async fn send_share(client: Client, number: usize, load: Load, accepted: Arc<AtomicUsize>) {
    for n in (number..load.jobs).step_by(CLIENTS) {
        for s in 0..SESSIONS {
            let session = client.session(&format!("session-{s}"));
            let order = session.new_job(guests::COUNTER_FILE).id(&Load::job_id(s, n));
            let order = if Load::traps(n) { order.args(["trap"]) } else { order };
            let _ = insist(|| order.clone().try_answer()).await;
            if Load::writes(n) {
                let path = session.path(&format!("/files/written/{n}.txt"));
                let put = || client.request(reqwest::Method::PUT, &path).body(n.to_string());
                let _ = insist(|| client.try_send(put())).await;
            }
            accepted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends until there is an answer, and demands that it is a good one.
async fn insist<F>(send: impl Fn() -> F) -> Answer
where
    F: Future<Output = Result<Answer, reqwest::Error>>,
{
    until("a killed server comes back and answers", || async {
        match send().await {
            // A server that is just starting or stopping may say so.
            Ok(answer) if answer.status == 503 => None,
            Ok(answer) => Some(answer.good()),
            Err(_) => {
                // Nobody listens until the restart; this only spares the machine.
                tokio::time::sleep(Duration::from_millis(5)).await;
                None
            }
        }
    })
    .await
}

/// Every job has ended as it had to, and the successful ones form one history:
/// each count from 1 on is the result of exactly one of them, and the file and
/// the parameter hold the last.
async fn check_history(session: &Session, server: &TestServer, s: usize, load: Load) {
    let mut counts = BTreeSet::new();
    for n in 0..load.jobs {
        let job = server.job(&Load::job_id(s, n)).await.wait().await;
        if job.reason() == Some("lost") {
            // Three kills in a row hit it; the contract gives it up then, and only then.
            assert_eq!(job.json["attempt"], 3, "{:#}", job.json);
        } else if Load::traps(n) {
            let _ = job.failed("trap");
        } else {
            let job = job.succeeded();
            let count = job.json["result"].as_u64().expect("the result is the count");
            assert!(counts.insert(count), "session {s} has counted {count} twice");
        }
    }
    let last = counts.len();
    assert_eq!(counts.last().copied(), Some(last as u64), "session {s} has a gap in its history: {counts:?}");
    assert_eq!(session.text("counter").await, last.to_string(), "the file of session {s}");
    assert_eq!(session.param("counter").await, Some(last.to_string()), "the parameter of session {s}");
    for n in (0..load.jobs).filter(|n| Load::writes(*n)) {
        assert_eq!(session.text(&format!("written/{n}.txt")).await, n.to_string());
    }
    // Each success and each write is a commit, unless it was done twice and changed nothing the second time.
    let commits = server.list(&session.path("/commits")).await;
    let numbers: Vec<_> = commits.iter().map(|commit| commit["commit"].as_u64().unwrap()).collect();
    let newest = session.show().await["commit"].as_u64().unwrap();
    assert_eq!(numbers, Vec::from_iter((newest - 9..=newest).rev()), "the history of session {s}");
}
