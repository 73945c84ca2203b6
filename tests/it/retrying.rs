//! `retries`: a job that failed is run again, and only its last attempt counts.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Client;
use sessile_kit::Job;
use sessile_kit::NewJob;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

/// A job of the session that fails until its second attempt.
fn twice(session: &Session) -> NewJob {
    session.new_job(guests::TRY_AGAIN).args(["2"])
}

/// The job when an attempt has failed and the next one has not begun.
async fn until_put_back(job: &Job) -> Value {
    until("an attempt has failed", || async {
        let now = job.look().await;
        assert!(!now.has_ended(), "{:#}", now.json);
        (now.state() == "queued" && !now.json["last_failure"].is_null()).then_some(now.json)
    })
    .await
}

#[tokio::test]
async fn a_job_that_failed_is_run_again_and_only_its_last_attempt_counts() {
    let server = TestServer::start().await;
    for dress in guests::TRY_AGAIN.dresses() {
        let session = server.new_session().await;
        let job = session.new_job(dress).args(["3"]).with("retries", 5).run().await.succeeded();
        assert_eq!((&job.json["attempt"], &job.json["retries"]), (&3.into(), &5.into()), "{:#}", job.json);
        assert_eq!(job.json["last_failure"], Value::Null);
        assert_eq!(job.stdout().await, "attempt 3\n");
        assert_eq!(session.param("attempt").await.as_deref(), Some("3"));
        let attempts: Vec<_> = session.files().await.into_iter().filter(|path| path.contains("attempt")).collect();
        assert_eq!(attempts, ["attempt-3"]);
        assert_eq!(session.show().await["commit"], 1, "what failed was no commit");
        assert_eq!(job.look().await.json, job.json);
    }
}

#[tokio::test]
async fn it_has_failed_when_the_retries_are_used_up() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::TRY_AGAIN).args(["9"]).with("retries", 1).run().await.failed("exit");
    assert_eq!((&job.json["attempt"], &job.json["outcome"]["exit_code"]), (&2.into(), &3.into()), "{:#}", job.json);
    assert_eq!(job.stdout().await, "attempt 2\n");
    assert_eq!(session.show().await["commit"], 0);
    let once = server.new_job(guests::WRITE_THEN_TRAP).run().await.failed("trap");
    assert_eq!((&once.json["attempt"], &once.json["retries"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn between_two_attempts_it_says_how_the_last_one_failed_and_when_the_next_one_comes() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::TRY_AGAIN).args(["9"]).with("retries", 20).submit().await;
    let waiting = until_put_back(&job).await;
    assert_eq!(waiting["last_failure"]["exit_code"], 3, "{waiting:#}");
    assert_eq!(waiting["last_failure"]["reason"], "exit");
    assert_eq!((&waiting["outcome"], &waiting["started_at"]), (&Value::Null, &Value::Null));
    assert!(waiting["not_before"].as_str() > waiting["created_at"].as_str(), "{waiting:#}");
    job.end().await;
}

#[tokio::test]
async fn r7_those_behind_it_in_its_session_come_after_its_last_attempt() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let first = twice(&session).with("retries", 1).submit().await;
    let next = session.new_job(guests::PARAMS).args(["get", "attempt"]).submit().await;
    let _ = until_put_back(&first).await;
    assert_eq!(next.look().await.state(), "queued");
    assert_eq!(session.show().await["queued"], 2);
    let refused = session.new_job(guests::HELLO).with("queue", "reject").answer().await;
    let _ = refused.refused(409, "session-busy");
    let next = next.wait().await.succeeded();
    assert!(next.stdout().await.contains("\"2\""), "{}", next.stdout().await);
    let _ = first.look().await.succeeded();
}

#[tokio::test]
async fn r32_it_can_be_cancelled_between_two_attempts() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::TRY_AGAIN).args(["9"]).with("retries", 20).submit().await;
    let _ = until_put_back(&job).await;
    let cancelled = job.cancel().await.expect(200).json();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
    assert_eq!(cancelled["last_failure"], Value::Null);
    let _ = session.run(guests::COUNTER_FILE).await.succeeded();
}

#[tokio::test]
async fn r25_a_crash_between_two_attempts_forgets_neither_the_failure_nor_the_place() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let job = twice(&session).with("retries", 1).submit().await;
    let next = session.new_job(guests::PARAMS).args(["get", "attempt"]).submit().await;
    let before = until_put_back(&job).await;
    server.kill9();
    server.restart();
    let done = job.wait().await.succeeded();
    assert_eq!((&done.json["attempt"], &done.json["not_before"]), (&2.into(), &before["not_before"]));
    let next = next.wait().await.succeeded();
    assert!(next.stdout().await.contains("\"2\""), "{}", next.stdout().await);
}

#[tokio::test]
async fn r19_its_session_can_be_dropped_between_two_attempts_and_the_next_one_runs_without() {
    let server = TestServer::with("sweep_interval_ms", 100).start().await;
    let session = server.new_session().await;
    let job = twice(&session).with("retries", 1).submit().await;
    let _ = until_put_back(&job).await;
    let _ = server.delete(&session.path("")).await.expect(204);
    let done = job.wait().await.succeeded();
    assert_eq!((&done.json["attempt"], &done.json["session"]["active"]), (&2.into(), &false.into()), "{:#}", done.json);
    let _ = server.get(&session.path("")).await.refused(404, "not-found");
}

/// Who named the session that the failed attempt made waits until the job has ended (R13).
#[tokio::test]
async fn r16_a_creator_that_is_run_again_finds_the_session_that_it_made() {
    let server = TestServer::start().await;
    for dress in guests::TRY_AGAIN.dresses() {
        let id = format!("made-{}", dress.name.replace('_', "-"));
        let creator = server.new_job(dress).args(["2", id.as_str()]).with("retries", 1).submit().await;
        let _ = until_put_back(&creator).await;
        let session = server.session(&id);
        assert_eq!(session.files().await, Vec::<String>::new(), "nothing of the failed attempt is kept");
        let next = session.new_job(guests::PARAMS).args(["get", "attempt"]).submit().await;
        let creator = creator.wait().await.succeeded();
        assert_eq!(creator.stdout().await, format!("create Ok({id:?})\nattempt 2\n"));
        let next = next.wait().await.succeeded();
        assert!(next.stdout().await.contains("\"2\""), "{}", next.stdout().await);
        assert!(session.files().await.contains(&"attempt-2".to_owned()));
    }
}

#[tokio::test]
async fn a_follower_of_the_output_is_told_that_its_attempt_has_ended() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::TRY_AGAIN).args(["9"]).with("retries", 1).submit().await;
    let followed = follow(&server, &job).await;
    let _ = job.wait().await.failed("exit");
    assert!(["attempt 1\n", "attempt 2\n"].contains(&followed.as_str()), "{followed}");
}

async fn follow(client: &Client, job: &Job) -> String {
    client.get(&format!("/v1/jobs/{}/stdout?follow=true", job.id())).await.expect(200).text()
}

#[tokio::test]
async fn so_many_retries_are_refused_with_the_bound() {
    let server = TestServer::start().await;
    for (retries, said) in [(json!(21), "from 0 to 20"), (json!(-1), "`retries` is -1"), (json!("3"), "expected i64")] {
        let refusal = server.new_job(guests::HELLO).with("retries", retries).answer().await;
        let refusal = refusal.refused(400, "invalid-request");
        assert!(refusal.contains(said), "{refusal}");
    }
}
