//! R20: a session that nobody uses goes by itself, at its time and not before.
//!
//! Not here: what the exact moment is, and a hundred thousand at once. Those
//! need a clock that can be turned, and are tested beside the sweep.

use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use sessile_kit::Client;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

async fn until_gone(session: &Session, client: &Client) {
    let look = async || client.get(&session.path("")).await.status;
    until("the session is gone", || async { (look().await == 404).then_some(()) }).await;
}

#[tokio::test]
async fn r20_an_idle_session_expires_and_its_id_is_free_again() {
    let server = TestServer::with("sweep_interval_ms", 50).start().await;
    let session = server.new_session().with_id("brief").with("idle_timeout_s", 1).with_file("a.txt", "old").await;
    let stays = server.new_session().await;
    let shown = session.show().await;
    assert_eq!((&shown["idle_timeout_s"], &shown["lifetime_s"]), (&json!(1), &Value::Null));
    assert!(shown["expires_at"].as_str().unwrap() > shown["last_used_at"].as_str().unwrap(), "{shown}");
    assert_eq!(stays.show().await["expires_at"], Value::Null);

    until_gone(&session, &server).await;
    let again = server.new_session().with_id("brief").await;
    assert_eq!(again.files().await, Vec::<String>::new());
    let _ = stays.show().await;
}

#[tokio::test]
async fn r20_a_running_job_keeps_its_session_and_those_that_wait() {
    let server = TestServer::with("sweep_interval_ms", 20).start().await;
    let session = server.new_session().with("idle_timeout_s", 1).await;
    let gate = session.hold().await;
    let waiting = session.new_job(guests::COUNTER_FILE).submit().await;
    let begun = Instant::now();
    let is_overdue = || async { (begun.elapsed() > Duration::from_millis(1_500)).then_some(()) };
    until("more than the idle timeout has passed", is_overdue).await;
    assert_eq!(session.show().await["queued"], 1);

    gate.end().await;
    let job = waiting.wait().await.succeeded();
    assert_eq!(job.json["session"]["active"], true, "{:#}", job.json);
    until_gone(&session, &server).await;
}

#[tokio::test]
async fn r20_the_end_of_a_lifetime_cancels_the_job_and_releases_those_that_wait() {
    let server = TestServer::with("sweep_interval_ms", 50).start().await;
    let session = server.new_session().with("lifetime_s", 2).await;
    let gate = session.hold().await;
    let waiting = session.new_job(guests::HELLO).submit().await;

    let ended = gate.wait().await.cancelled();
    assert!(ended.detail().contains("lifetime"), "{}", ended.detail());
    until_gone(&session, &server).await;
    let released = waiting.wait().await.succeeded();
    assert_eq!(released.json["session"]["active"], false, "{:#}", released.json);
}

#[tokio::test]
async fn r20_the_times_go_on_while_the_server_is_down() {
    let mut server = TestServer::with("sweep_interval_ms", 50).start().await;
    let session = server.new_session().with("idle_timeout_s", 1).await;
    server.kill9();
    server.restart();
    until_gone(&session, &server).await;
}

#[tokio::test]
async fn r20_a_session_is_changed_while_it_lives() {
    let server = TestServer::start().await;
    let session = server.new_session().with("idle_timeout_s", 60).await;
    let patch = async |body: Value| server.patch(&session.path(""), &body).await;

    let changed = patch(json!({"idle_timeout_s": null, "lifetime_s": 600, "queue": "reject"})).await.expect(200);
    assert_eq!(changed.header("session-id"), Some(session.id()));
    let changed = changed.json();
    assert_eq!((&changed["idle_timeout_s"], &changed["lifetime_s"]), (&Value::Null, &json!(600)), "{changed}");
    assert_eq!(changed["queue"], "reject");
    assert_eq!(patch(json!({"lifetime_s": null})).await.expect(200).json()["expires_at"], Value::Null);

    for (body, word) in [
        (json!({"idle_timeout_s": 0}), "`idle_timeout_s` is 0"),
        (json!({"lifetime_s": 1_000_000_000_000_u64}), "`lifetime_s` is 1000000000000"),
        (json!({"transaction": "job"}), "transaction"),
        (json!({"queue": "maybe"}), "maybe"),
    ] {
        let detail = patch(body).await.refused(400, "invalid-request");
        assert!(detail.contains(word), "{detail}");
    }
    let _ = server.patch("/v1/sessions/none", &json!({})).await.refused(404, "not-found");
    let bob = server.principal("bob", &["submit"]).await;
    let _ = bob.patch(&session.path(""), &json!({"lifetime_s": 1})).await.refused(404, "not-found");
}
