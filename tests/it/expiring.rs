//! R20 and R21: sessions that nobody uses go, and all of them can be looked at.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

async fn quick() -> TestServer {
    TestServer::with("sweep_interval_ms", 50).start().await
}

async fn gone(server: &TestServer, session: &Session) {
    let path = session.path("");
    until(&format!("{path} is gone"), || async { (server.get(&path).await.status == 404).then_some(()) }).await;
}

#[tokio::test]
async fn r20_an_idle_session_goes_and_the_others_stay() {
    let server = quick().await;
    let short = server.new_session().with("idle_timeout_s", 1).with_file("f", "1").await;
    let long = server.new_session().with("idle_timeout_s", 3_600).await;
    let endless = server.new_session().await;
    assert_eq!(short.show().await["idle_timeout_s"], 1);
    assert!(short.show().await["expires_at"].is_string());
    assert_eq!(endless.show().await["expires_at"], Value::Null);

    gone(&server, &short).await;
    assert_eq!(long.show().await["state"], "active");
    assert_eq!(endless.show().await["state"], "active");
    // Its id is free again, and nothing of it is left.
    let again = server.new_session().with_id(short.id()).await;
    assert_eq!(again.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn r20_a_running_job_is_activity() {
    let server = quick().await;
    let (used, unused) =
        (server.new_session().with("idle_timeout_s", 1), server.new_session().with("idle_timeout_s", 1));
    let used = used.await;
    let job = used.hold().await;
    let unused = unused.await;
    gone(&server, &unused).await;
    assert_eq!(used.show().await["running_job"], job.id());
    job.end().await;
    gone(&server, &used).await;
}

#[tokio::test]
async fn r20_a_lifetime_ends_a_session_whoever_uses_it() {
    let server = quick().await;
    let session = server.new_session().with("lifetime_s", 2).await;
    let job = session.hold().await;
    gone(&server, &session).await;
    let _ = job.wait().await.cancelled();
}

#[tokio::test]
async fn r20_the_terms_can_be_changed() {
    let server = quick().await;
    let session = server.new_session().with("idle_timeout_s", 3_600).with("lifetime_s", 7_200).await;
    let (server, path) = (&server, session.path(""));
    let path = path.as_str();
    let change = |body: Value| async move { server.patch(path, &body).await };
    let changed = change(json!({"idle_timeout_s": null, "lifetime_s": null})).await.expect(200).json();
    assert_eq!((&changed["idle_timeout_s"], &changed["expires_at"]), (&Value::Null, &Value::Null));
    let detail = change(json!({"idle_timeout_s": 0})).await.refused(400, "invalid-request");
    assert!(detail.contains("idle_timeout_s") && detail.contains('0'), "{detail}");
    let _ = change(json!({"idle": 1})).await.refused(400, "invalid-request");
    let _ = change(json!({"idle_timeout_s": 1})).await.expect(200);
    gone(server, &session).await;
}

#[tokio::test]
async fn r20_what_has_expired_while_the_server_was_away_goes_after_its_start() {
    let mut server = quick().await;
    let session = server.new_session().with("idle_timeout_s", 1).await;
    server.kill9();
    server.restart();
    gone(&server, &session).await;
}

#[tokio::test]
async fn r21_sessions_are_listed_by_state_with_what_goes_on_in_them() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("busy").with_file("d/f", "12345").await;
    let _ = server.new_session().with_id("calm").await;
    let job = session.hold().await;
    let _waiting = session.new_job(guests::HELLO).submit().await;

    let listed = server.list("/v1/sessions?state=active").await;
    let busy = listed.iter().find(|session| session["id"] == "busy").unwrap();
    assert_eq!(busy["owner"], "dev");
    assert_eq!((&busy["bytes"], &busy["files"], &busy["queued"]), (&json!(5), &json!(2), &json!(1)));
    assert_eq!(busy["running_job"], job.id());
    assert!(busy["created_at"].is_string() && busy["last_used_at"].is_string());
    assert_eq!(listed.len(), 2);
    assert!(server.list("/v1/sessions?state=marked").await.is_empty());
    let detail = server.get("/v1/sessions?state=tired").await.refused(400, "invalid-request");
    assert!(detail.contains("tired"), "{detail}");
    job.end().await;
}
