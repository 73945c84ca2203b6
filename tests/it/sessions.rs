//! `/v1/sessions`: make, look, drop.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

#[tokio::test]
async fn a_new_session_is_shown_with_all_that_r21_asks_for() {
    let server = TestServer::start().await;
    let made = server.new_session().with_id("letters").with_param("city", "Utrecht").answer().await.expect(201);
    assert_eq!(made.header("location"), Some("/v1/sessions/letters"));
    let made = made.json();
    let expected = json!({
        "id": "letters", "owner": "dev", "state": "active", "transaction": "job", "queue": "wait", "keyed": false,
        "bytes": 0, "files": 0, "queued": 0, "running_job": null, "uncommitted": false,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&made[name], value, "`{name}` in {made:#}");
    }
    for name in ["created_at", "last_used_at", "expires_at", "idle_timeout_s", "commit"] {
        assert!(made.get(name).is_some(), "no `{name}` in {made:#}");
    }
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(server.session("letters").show().await, made);
}

#[tokio::test]
async fn a_session_without_an_id_gets_one_that_nobody_can_guess() {
    let server = TestServer::start().await;
    let (one, other) = (server.new_session().await, server.new_session().await);
    assert_ne!(one.id(), other.id());
    assert_eq!(one.id().len(), 36, "{} is no UUID", one.id());
    assert_eq!(one.id().as_bytes()[14], b'4', "{} is no random UUID", one.id());
}

#[tokio::test]
async fn an_id_is_given_once() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("mine").await;
    let detail = server.new_session().with_id("mine").answer().await.refused(409, "conflict");
    assert!(detail.contains("mine"), "{detail}");
}

#[tokio::test]
async fn an_id_is_letters_digits_and_three_marks() {
    let server = TestServer::start().await;
    for id in ["", "-x", ".", "..", "a/b", "a b", "ä", "a\nb", &"a".repeat(129)] {
        let _ = server.new_session().with_id(id).answer().await.refused(400, "invalid-request");
    }
    let _ = server.new_session().with_id(&"a".repeat(128)).await;
    let _ = server.new_session().with_id("A.b_c-9").await;
}

#[tokio::test]
async fn a_list_shows_every_session_once() {
    let server = TestServer::start().await;
    for n in 0..7 {
        let _ = server.new_session().with_id(&format!("s{n}")).await;
    }
    let listed = server.list("/v1/sessions?").await;
    let mut ids: Vec<_> = listed.iter().map(|item| item["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]);

    let page = server.get("/v1/sessions?limit=3").await.expect(200).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    assert!(page["next_cursor"].is_string());
}

#[tokio::test]
async fn r21_a_session_shows_what_it_holds_and_what_waits() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a.txt", "12345").with_file("b/c.txt", "123").await;
    let gate = session.hold().await;
    let next = session.new_job(guests::HELLO).submit().await;

    let shown = session.show().await;
    assert_eq!(shown["bytes"], 8);
    assert!(shown["files"].as_u64().unwrap() >= 2);
    assert_eq!(shown["running_job"], gate.id());
    assert_eq!(shown["queued"], 1);

    gate.end().await;
    let _ = next.wait().await.succeeded();
    let shown = session.show().await;
    assert_eq!((&shown["running_job"], &shown["queued"]), (&Value::Null, &json!(0)));
}

#[tokio::test]
async fn r19_a_dropped_session_is_gone_with_all_it_held() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("again").with_param("a", "1").with_file("a.txt", "1").await;
    let _ = session.run(guests::APPEND).await.succeeded();

    let dropped: Answer = server.delete(&session.path("")).await;
    assert!(matches!(dropped.status, 202 | 204), "{dropped:?}");
    let _ = server.get(&session.path("/files/a.txt")).await.refused(404, "not-found");
    until("the session is gone", || async { (server.get(&session.path("")).await.status == 404).then_some(()) }).await;
    let _ = server.delete(&session.path("")).await.refused(404, "not-found");

    // A new one under the same id starts empty, for readers and for jobs.
    let again = server.new_session().with_id("again").await;
    assert_eq!(again.files().await, Vec::<String>::new());
    assert_eq!(again.params().await.len(), 0);
    let told = again.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert_eq!(told, "0 entries in .\n");
}

#[tokio::test]
async fn r17_r19_dropping_a_session_stops_its_job_and_releases_those_that_wait() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let running = session.hold().await;
    let waiting = session.new_job(guests::WHOAMI).submit().await;

    let _ = server.delete(&session.path("")).await.expect(202);

    let _ = running.wait().await.cancelled();
    let waiting = waiting.wait().await.succeeded();
    assert_eq!(waiting.json["session"]["active"], false);
    assert!(waiting.stdout().await.contains("session-active false"));
    until("the session is gone", || async { (server.get(&session.path("")).await.status == 404).then_some(()) }).await;
}

#[tokio::test]
async fn r29_a_new_session_is_named_in_the_body_or_the_header_and_not_differently_in_both() {
    let server = TestServer::start().await;
    let create = |body: Value| server.request(Method::POST, "/v1/sessions").json(&body).header("session-id", "mine");
    let detail = server.send(create(json!({"id": "other"}))).await.refused(400, "invalid-request");
    assert!(detail.contains("`other`") && detail.contains("`mine`"), "{detail}");
    let made = server.send(create(json!({}))).await.expect(201);
    assert_eq!((made.json()["id"].as_str(), made.header("session-id")), (Some("mine"), Some("mine")));
    let _ = server.send(create(json!({"id": "mine"}))).await.refused(409, "conflict");
}

#[tokio::test]
async fn r29_every_answer_about_a_session_names_it() {
    let server = TestServer::start().await;
    let made = server.new_session().with_id("named").answer().await.expect(201);
    assert_eq!(made.header("session-id"), Some("named"));
    let session = server.session("named");
    session.put_file("a.txt", "a").await;

    let job = session.new_job(guests::HELLO).answer().await.expect(202);
    assert_eq!(job.header("session-id"), Some("named"));
    for path in ["", "/params", "/files", "/files/a.txt"] {
        let answer = server.get(&session.path(path)).await.expect(200);
        assert_eq!(answer.header("session-id"), Some("named"), "GET {path}");
    }
    let put = server.put(&session.path("/params/city"), "Utrecht").await.good();
    assert_eq!(put.header("session-id"), Some("named"));
    let put = server.put(&session.path("/files/b.txt"), "b").await.good();
    assert_eq!(put.header("session-id"), Some("named"));
    let dropped = server.delete(&session.path("")).await.good();
    assert_eq!(dropped.header("session-id"), Some("named"));
}

#[tokio::test]
async fn a_session_can_be_named_in_a_header_too_and_both_must_agree() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("named").await;
    let module = server.ready(guests::HELLO).await;
    let submit = |body: Value, header: &str| {
        let request = server.request(reqwest::Method::POST, "/v1/jobs").header("session-id", header).json(&body);
        server.send(request)
    };

    let by_header = submit(json!({"module": module}), session.id()).await.expect(202).json();
    assert_eq!(by_header["session"]["id"], "named");
    let both = submit(json!({"module": module, "session": "named"}), session.id()).await.expect(202).json();
    assert_eq!(both["session"]["id"], "named");
    let detail = submit(json!({"module": module, "session": "other"}), session.id()).await;
    let detail = detail.refused(400, "invalid-request");
    assert!(detail.contains("named") && detail.contains("other"), "{detail}");
}
