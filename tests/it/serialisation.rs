//! R7 to R12: one job of a session at a time, in the order of acceptance, and
//! sessions beside one another.

use std::time::Duration;

use serde_json::Value;
use sessile_kit::Job;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// Submits one job per line, which appends that line to the file `log`.
async fn append_each(session: &Session, lines: &[String]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for line in lines {
        jobs.push(session.new_job(guests::APPEND).args([line]).submit().await);
    }
    jobs
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("line {n}")).collect()
}

/// A moment of a job, which as RFC 3339 in UTC sorts as text once its fraction has a fixed length.
fn moment(job: &Job, name: &str) -> (String, String) {
    let text = job.json[name].as_str().unwrap_or_else(|| panic!("no {name} in {:#}", job.json));
    let text = text.strip_suffix('Z').unwrap_or_else(|| panic!("{text} is not in UTC"));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    (seconds.to_owned(), format!("{fraction:0<9}"))
}

#[tokio::test]
async fn r7_jobs_of_one_session_run_in_the_order_of_acceptance() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let lines = numbered(20);
    let jobs = append_each(&session, &lines).await;
    for job in &jobs {
        assert_eq!(job.look().await.state(), "queued");
    }

    gate.end().await;
    for job in jobs {
        let _ = job.wait().await.succeeded();
    }

    assert_eq!(session.text("log").await, lines.join("\n") + "\n");
}

#[tokio::test]
async fn b24_r7_two_jobs_of_one_session_never_run_at_the_same_time() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let jobs = append_each(&session, &numbered(30)).await;

    let mut times = Vec::new();
    for job in jobs {
        let job = job.wait().await.succeeded();
        times.push((moment(&job, "started_at"), moment(&job, "ended_at")));
    }

    times.sort();
    for pair in times.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "{:?} begins before {:?} has ended", pair[1], pair[0]);
    }
}

#[tokio::test]
async fn r8_jobs_of_different_sessions_run_at_the_same_time() {
    let server = TestServer::with("slots", 3).start().await;
    let (one, other) = (server.new_session().await, server.new_session().await);

    // Each of these waits until its guest runs, and none ends by itself.
    let held = [one.hold().await, other.hold().await];
    let free = server.new_job(guests::STAY).submit().await.until_running().await;

    for job in held.iter().chain([&free]) {
        assert_eq!(job.look().await.state(), "running");
        job.end().await;
    }
}

#[tokio::test]
async fn r8_no_more_jobs_run_than_there_are_slots() {
    let server = TestServer::with("slots", 1).start().await;
    let gate = server.new_job(guests::STAY).submit().await.until_running().await;
    let next = server.new_job(guests::HELLO).submit().await;

    assert_eq!(next.look().await.state(), "queued");
    gate.end().await;
    let _ = next.wait().await.succeeded();
}

#[tokio::test]
async fn r8_a_session_that_waits_for_its_turn_takes_no_slot() {
    let server = TestServer::with("slots", 2).start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let waiting = append_each(&session, &numbered(10)).await;

    // Ten jobs wait for the turn, so the second slot must still be free.
    let _ = server.new_job(guests::HELLO).run().await.succeeded();

    gate.end().await;
    for job in waiting {
        let _ = job.wait().await.succeeded();
    }
}

#[tokio::test]
async fn r9_an_unknown_id_serialises_the_jobs_that_name_it() {
    let server = TestServer::start().await;
    let gate = server.session("unknown").hold().await;
    let next = server.session("unknown").new_job(guests::HELLO).submit().await;

    let _ = server.session("another").run(guests::HELLO).await.succeeded();
    assert_eq!(next.look().await.state(), "queued");

    gate.end().await;
    let _ = next.wait().await.succeeded();
}

#[tokio::test]
async fn r9_the_setting_parallel_lets_them_run_beside_one_another() {
    let server = TestServer::with("unknown_sessions", "parallel").start().await;
    let gate = server.session("unknown").hold().await;
    let _ = server.session("unknown").run(guests::HELLO).await.succeeded();
    gate.end().await;
}

#[tokio::test]
async fn r9_the_setting_reject_refuses_them() {
    let server = TestServer::with("unknown_sessions", "reject").start().await;
    let detail = server.session("unknown").new_job(guests::HELLO).answer().await.refused(404, "not-found");
    assert!(detail.contains("unknown"), "{detail}");
    let session = server.new_session().with_id("known").await;
    let _ = session.run(guests::HELLO).await.succeeded();
}

#[tokio::test]
async fn r10_a_write_over_http_takes_its_turn_behind_a_running_job() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a.txt", "old").await;
    let gate = session.hold().await;

    let mut put = tokio::spawn({
        let session = session.clone();
        async move { session.put_file("a.txt", "new").await }
    });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut put).await;
    assert!(early.is_err(), "the write was answered while a job of the session ran");
    assert_eq!(session.text("a.txt").await, "old");

    gate.end().await;
    put.await.unwrap();
    assert_eq!(session.text("a.txt").await, "new");
}

#[tokio::test]
async fn r10_reads_see_the_last_commit_and_do_not_wait() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("kept.txt", "old").with_param("kept", "old").await;
    let before = session.snapshot().await;
    let job = session.new_job(guests::SLEEP).submit().await.until_running().await;

    // The guest writes its marks and then sleeps; whenever we look, none can be seen.
    for _ in 0..20 {
        assert_eq!(session.snapshot().await, before);
    }
    assert_eq!(job.look().await.state(), "running");
    job.end().await;
    assert_eq!(session.snapshot().await, before);
}

#[tokio::test]
async fn r11_a_session_that_rejects_says_that_it_is_busy() {
    let server = TestServer::start().await;
    let session = server.new_session().with("queue", "reject").await;
    let gate = session.hold().await;

    let detail = session.new_job(guests::HELLO).answer().await.refused(409, "session-busy");
    assert!(detail.contains(session.id()), "{detail}");
    // What the request says goes before what the session was made with.
    let patient = session.new_job(guests::HELLO).with("queue", "wait").submit().await;

    gate.end().await;
    let _ = patient.wait().await.succeeded();
    let _ = session.run(guests::HELLO).await.succeeded();
}

#[tokio::test]
async fn r11_a_request_can_ask_to_be_refused_rather_than_to_wait() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let impatient = session.new_job(guests::HELLO).with("queue", "reject");
    let _ = impatient.clone().answer().await.refused(409, "session-busy");
    gate.end().await;
    let _ = impatient.run().await.succeeded();
}

#[tokio::test]
async fn r12_the_queue_of_a_session_is_bounded() {
    let server = TestServer::with("queue_max", 3).start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let jobs = append_each(&session, &numbered(3)).await;
    assert_eq!(session.show().await["queued"], 3);

    let answer = session.new_job(guests::APPEND).args(["too many"]).answer().await;
    let retry_after: u64 = answer.header("retry-after").expect("a 429 says when to try again").parse().unwrap();
    assert!(retry_after > 0);
    let _ = answer.refused(429, "queue-full");
    let _ = server.new_job(guests::HELLO).run().await.succeeded();

    gate.end().await;
    for job in jobs {
        let _ = job.wait().await.succeeded();
    }
    assert_eq!(session.text("log").await.lines().count(), 3);
    assert_eq!(session.show().await["running_job"], Value::Null);
}

/// A client that was told of an end found the session busy, for the moment that
/// the turn took to come back.
#[tokio::test]
async fn r11_a_session_is_free_when_the_end_of_its_job_is_told() {
    let server = TestServer::start().await;
    let session = server.new_session().with("queue", "reject").await;
    for _ in 0..100 {
        let _ = session.run(guests::HELLO).await.succeeded();
    }
}
