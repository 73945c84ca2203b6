//! `not_before` and `priority`: when a job starts, beside its turn.

use std::time::Duration;
use std::time::SystemTime;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Held;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// That long from now, to the second, so that times with it and without its fraction sort as text.
fn in_about(seconds: u64) -> String {
    let then = OffsetDateTime::from(SystemTime::now() + Duration::from_secs(seconds));
    then.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
}

/// Demands that a job did not start before that time.
#[track_caller]
fn started_after(job: &Value, not_before: &str) {
    let started = job["started_at"].as_str().unwrap();
    assert!(started.trim_end_matches('Z') >= not_before.trim_end_matches('Z'), "{started} is before {not_before}");
}

#[tokio::test]
async fn a_job_does_not_start_before_its_time() {
    let server = TestServer::start().await;
    let not_before = in_about(2);
    let job = server.new_job(guests::HELLO).with("not_before", not_before.as_str()).submit().await;
    assert_eq!((&job.json["state"], &job.json["not_before"]), (&"queued".into(), &not_before.as_str().into()));
    started_after(&job.wait().await.succeeded().json, &not_before);

    let past = server.new_job(guests::HELLO).with("not_before", "2001-01-01T00:00:00+01:00").run().await.succeeded();
    assert_eq!(past.json["not_before"], "2000-12-31T23:00:00Z");
}

#[tokio::test]
async fn r7_in_a_session_it_keeps_its_place() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let not_before = in_about(2);
    let first = session.new_job(guests::COUNTER_FILE).with("not_before", not_before.as_str()).submit().await;
    let next = session.new_job(guests::COUNTER_FILE).submit().await;
    let (first, next) = (first.wait().await.succeeded(), next.wait().await.succeeded());
    assert_eq!((&first.json["result"], &next.json["result"]), (&1.into(), &2.into()));
    started_after(&first.json, &not_before);
}

#[tokio::test]
async fn r25_a_crash_does_not_start_it_sooner() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let not_before = in_about(3);
    let job = session.new_job(guests::COUNTER_FILE).with("not_before", not_before.as_str()).submit().await;
    server.kill9();
    server.restart();
    let job = job.wait().await.succeeded();
    assert_eq!(job.json["attempt"], 1);
    started_after(&job.json, &not_before);
}

#[tokio::test]
async fn r32_it_can_be_cancelled_before_its_time() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::HELLO).with("not_before", in_about(300)).submit().await;
    let next = session.new_job(guests::COUNTER_FILE).submit().await;
    job.end().await;
    let _ = next.wait().await.succeeded();
}

#[tokio::test]
async fn r19_its_session_can_be_dropped_before_its_time() {
    let server = TestServer::with("sweep_interval_ms", 100).start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::HELLO).with("not_before", in_about(300)).submit().await;
    until("it is at the head", || async { (session.show().await["queued"] == 1).then_some(()) }).await;
    let _ = server.delete(&session.path("")).await.expect(204);
    let _ = server.get(&session.path("")).await.refused(404, "not-found");
    assert_eq!(job.look().await.state(), "queued");
    job.end().await;
}

/// R10: who came after the job comes after it also when the server stops in between.
#[tokio::test]
async fn r7_no_write_passes_it_when_the_server_stops() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::HELLO).with("not_before", in_about(300)).submit().await;
    let put = |path: &str| server.request(Method::PUT, &session.path(path)).body("late").send();
    let writes = tokio::spawn(futures_util::future::join_all(["/files/f", "/params/p", "/files/g"].map(put)));
    until("the writes wait", || async { (session.show().await["queued"] == 4).then_some(()) }).await;
    server.ask_to_stop();
    for answer in writes.await.unwrap() {
        assert_eq!(answer.unwrap().status(), 503);
    }
    assert!(server.stopped().await.success());
    server.restart();
    assert_eq!((session.files().await.len(), session.params().await.len()), (0, 0));
    assert_eq!(job.look().await.state(), "queued");
    job.end().await;
}

/// What a job is given lies on the disk while it waits, and is read when it starts.
#[tokio::test]
async fn r35_many_jobs_that_wait_with_large_requests_take_little_memory() {
    const JOBS: u64 = 100;
    let mut server = TestServer::start().await;
    server.ready(guests::STREAM).await;
    let stdin = "x".repeat(900_000);
    let order = || server.new_job(guests::STREAM).args(["echo"]).stdin(&stdin);
    let _ = order().run().await.succeeded();
    let before = Held::by(&server).memory_bytes;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(order().with("not_before", in_about(300)).submit().await);
    }
    let limit = before + JOBS * 900_000 / 3;
    let held = Held::by(&server).memory_bytes;
    assert!(held < limit, "{before} bytes were held before, and {held} are now");
    server.kill9();
    server.restart();
    let held = Held::by(&server).memory_bytes;
    assert!(held < limit, "{before} bytes were held before, and {held} are after a restart");
    for job in jobs {
        job.end().await;
    }
}

#[tokio::test]
async fn a_time_that_is_none_or_too_far_ahead_is_refused() {
    let server = TestServer::start().await;
    for (bad, said) in [
        (json!("tomorrow"), "\"tomorrow\""),
        (json!(1_795_000_000), "expected a string"),
        (json!("9999-01-01T00:00:00Z"), "at most 366 days"),
    ] {
        let refusal = server.new_job(guests::HELLO).with("not_before", bad).answer().await;
        let refusal = refusal.refused(400, "invalid-request");
        assert!(refusal.contains(said), "{refusal}");
    }
    assert_eq!(server.list("/v1/jobs").await, Vec::<Value>::new());
}

/// With room for one guest, each of those who wait is let in when the one before it is gone.
#[tokio::test]
async fn of_the_jobs_that_wait_the_one_of_highest_priority_begins_first() {
    let server = TestServer::start().await;
    let _ = server.patch("/v1/admin/tenants/dev/quota", &json!({"running_jobs": 1})).await.expect(200);
    let stay = || server.new_job(guests::STAY).limit("wall_ms", 600_000);
    let holds = stay().submit().await.until_running().await;
    let mut waiting = Vec::new();
    for priority in [-100, 0, 7, 100, 7] {
        let job = stay().with("priority", priority).submit().await;
        assert_eq!(job.json["priority"], priority);
        waiting.push(job);
    }
    holds.end().await;
    for next in [3, 2, 4, 1, 0] {
        let running = waiting[next].until_running().await;
        assert_eq!(server.list("/v1/jobs?state=running").await.len(), 1);
        running.end().await;
    }
}

/// Nor does the one behind it hold up the one in front.
#[tokio::test]
async fn r7_priority_changes_no_order_in_a_session() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let holds = session.hold().await;
    let mut jobs = Vec::new();
    for priority in [-100, 100, 0] {
        jobs.push(session.new_job(guests::COUNTER_FILE).with("priority", priority).submit().await);
    }
    holds.end().await;
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait().await.succeeded().json["result"], number + 1);
    }
}
