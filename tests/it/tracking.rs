//! R21: every session can be listed, with who has it, what goes on in it, and
//! what it holds.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

async fn make_many(client: &Client, count: usize) {
    for number in 0..count {
        let _ = client.post("/v1/sessions", &json!({"id": format!("s{number:05}")})).await.expect(201);
    }
}

#[tokio::test]
async fn r21_a_list_shows_what_goes_on_and_what_is_held() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("busy").with_file("dir/a.txt", "12345").await;
    let made = session.show().await;
    let gate = session.hold().await;
    let next = session.new_job(guests::HELLO).submit().await;

    let shown = server.list("/v1/sessions").await.pop().unwrap();
    assert_eq!(shown, session.show().await);
    let expected = json!({"id": "busy", "owner": "dev", "state": "active", "queued": 1, "running_job": gate.id(),
        "bytes": 5, "files": 2, "created_at": made["created_at"], "last_used_at": made["last_used_at"]});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name} in {shown:#}");
    }

    gate.end().await;
    let _ = next.wait().await.succeeded();
    let after = session.show().await;
    assert_eq!((&after["queued"], &after["running_job"]), (&json!(0), &Value::Null));
    assert!(after["last_used_at"].as_str() > made["last_used_at"].as_str(), "{after:#}");
}

#[tokio::test]
async fn r21_a_failed_job_is_a_use_of_its_session() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let before = session.show().await;
    let _ = session.run(guests::WRITE_THEN_TRAP).await.failed("trap");
    let after = session.show().await;
    assert!(after["last_used_at"].as_str() > before["last_used_at"].as_str(), "{after:#}");
    assert_eq!(after["commit"], before["commit"]);
}

#[tokio::test]
async fn r21_a_list_is_filtered_by_state_and_owner() {
    let server = TestServer::start().await;
    let bob = server.principal("bob", &["submit", "modules"]).await;
    let _ = bob.new_session().with_id("his").await;
    make_many(&server, 3).await;

    assert_eq!(ids(&server.list("/v1/sessions?state=active").await), ["s00000", "s00001", "s00002"]);
    assert_eq!(ids(&server.list("/v1/sessions?state=pending").await), Vec::<&str>::new());
    assert_eq!(ids(&server.list("/v1/sessions?state=marked").await), Vec::<&str>::new());
    assert_eq!(ids(&server.list("/v1/sessions?state=active&owner=bob").await), ["his"]);
    let detail = server.get("/v1/sessions?state=idle").await.refused(400, "invalid-request");
    assert!(detail.contains("`idle`") && detail.contains("marked"), "{detail}");
}

#[tokio::test]
async fn r21_every_session_is_on_one_page_of_a_list() {
    let server = TestServer::start().await;
    // More than one full page, and the sessions of others on both sides of ours.
    for name in ["alice", "zoe"] {
        make_many(&server.principal(name, &["submit"]).await, 3).await;
    }
    make_many(&server, 520).await;
    let all = server.list("/v1/sessions").await;
    let expected: Vec<String> = (0..520).map(|number| format!("s{number:05}")).collect();
    assert_eq!(ids(&all), expected);
    assert!(all.iter().all(|item| item["owner"] == "dev"));
}

#[tokio::test]
async fn r21_a_pending_session_is_listed_by_its_new_id() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("old").await;
    let job = session.new_job(guests::SESSION_OPS).args(["rename", "new", "stay"]).submit().await;
    let listed = || async { Some(server.list("/v1/sessions?state=pending").await).filter(|items| !items.is_empty()) };
    let pending = until("the session is pending", listed).await;
    assert_eq!(ids(&pending), ["new"]);
    assert_eq!(pending[0], server.session("new").show().await);
    assert_eq!(ids(&server.list("/v1/sessions").await), ["old"]);
    job.end().await;
    assert_eq!(ids(&server.list("/v1/sessions?state=pending").await), Vec::<&str>::new());
}
