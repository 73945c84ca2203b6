//! R28: a keyed session hands out a new key with every accepted request, and
//! the next request must carry the newest one.

use reqwest::Method;
use reqwest::RequestBuilder;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

/// A keyed session `vault` with one file, and its newest key.
async fn vault(server: &TestServer) -> (Session, String) {
    server.ready(guests::HELLO).await;
    let made = server.new_session().with_id("vault").with("keyed", true).answer().await.expect(201);
    assert_eq!(made.json()["keyed"], true);
    let session = server.session("vault");
    let key = handed(&made);
    let written = send(server, Method::PUT, &session.path("/files/a.txt"), &key, |put| put.body("1")).await;
    (session, handed(&written.good()))
}

/// The key that an answer hands out: in the header, and in the body if there is one.
#[track_caller]
fn handed(answer: &Answer) -> String {
    let key = answer.header("session-key").unwrap_or_else(|| panic!("{} hands out no key", answer.asked));
    let has_field = answer.asked.ends_with("/v1/jobs") || answer.asked.ends_with("/v1/sessions");
    if has_field || answer.asked == "PATCH /v1/sessions/vault" {
        assert_eq!(answer.json()["session_key"], key, "{}", answer.asked);
    }
    key.to_owned()
}

async fn send(
    server: &TestServer,
    method: Method,
    path: &str,
    key: &str,
    more: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Answer {
    let request = server.request(method, path);
    let request = if key.is_empty() { request } else { request.header("session-key", key) };
    server.send(more(request)).await
}

fn hello(id: &str) -> Value {
    json!({"module": "hello", "session": "vault", "id": id})
}

async fn submit(server: &TestServer, body: &Value, key: &str) -> Answer {
    send(server, Method::POST, "/v1/jobs", key, |post| post.json(body)).await
}

#[tokio::test]
async fn r28_every_accepted_request_hands_out_a_new_key() {
    let server = TestServer::start().await;
    let (session, mut key) = vault(&server).await;
    let mut seen = vec![key.clone()];
    let requests: [(Method, String, Value, &str); 8] = [
        (Method::POST, "/v1/jobs".to_owned(), hello("one"), "json"),
        (Method::PUT, session.path("/params/p"), json!("v"), "text"),
        (Method::PATCH, session.path("/params"), json!({"q": "w"}), "json"),
        (Method::DELETE, session.path("/params/q"), Value::Null, "none"),
        (Method::PUT, session.path("/files/b.txt"), json!("2"), "text"),
        (Method::DELETE, session.path("/files/b.txt"), Value::Null, "none"),
        (Method::PATCH, session.path(""), json!({"idle_timeout_s": 600}), "json"),
        (Method::POST, session.path("/revert"), json!({"to": 0}), "json"),
    ];
    for (method, path, body, kind) in requests {
        let answer = send(&server, method, &path, &key, |request| match kind {
            "json" => request.json(&body),
            "text" => request.body(body.as_str().unwrap().to_owned()),
            _ => request,
        });
        let answer = answer.await.good();
        assert_eq!(answer.header("session-id"), Some("vault"));
        key = handed(&answer);
        assert!(!seen.contains(&key), "{} handed out an old key", answer.asked);
        seen.push(key.clone());
    }
    // The body does for a key what the header does, if they agree.
    let mut body = hello("two");
    body["session_key"] = json!(key);
    let answer = submit(&server, &body, "").await.expect(202);
    let third = submit(&server, &hello("three"), &handed(&answer)).await.expect(202);
    let _ = submit(&server, &body, "sek_0").await.refused(400, "invalid-request");
    let revert = |key: &str| json!({"to": 0, "session_key": key});
    let stale = server.post(&session.path("/revert"), &revert(&key)).await;
    let _ = stale.refused(409, "session-key-mismatch");
    let newest = handed(&submit(&server, &hello("four"), &handed(&third)).await.expect(202));
    let _ = handed(&server.post(&session.path("/revert"), &revert(&newest)).await.expect(200));
}

#[tokio::test]
async fn r28_the_key_of_a_commit_or_a_rollback_may_be_in_its_body() {
    let server = TestServer::start().await;
    let made = server.new_session().with_id("vault").with("keyed", true).with("transaction", "explicit");
    let mut key = handed(&made.answer().await.expect(201));
    for what in ["commit", "rollback"] {
        let path = format!("/v1/sessions/vault/{what}");
        let _ = server.post(&path, &json!({})).await.refused(409, "session-key-mismatch");
        let _ = server.post(&path, &json!({"session_key": key, "to": 1})).await.refused(400, "invalid-request");
        key = handed(&server.post(&path, &json!({"session_key": key})).await.expect(200));
        key = handed(&send(&server, Method::POST, &path, &key, |post| post).await.expect(200));
        let both = send(&server, Method::POST, &path, &key, |post| post.json(&json!({"session_key": "other"}))).await;
        let _ = both.refused(400, "invalid-request");
    }
}

#[tokio::test]
async fn r28_a_missing_stale_or_forged_key_changes_nothing_and_learns_nothing() {
    let server = TestServer::start().await;
    let (session, key) = vault(&server).await;
    let stale = key;
    let newest = handed(&submit(&server, &hello("first"), &stale).await.expect(202));
    let _ = server.job("first").await.wait().await.succeeded();
    let (before, shown) = (session.snapshot().await, session.show().await);

    let mut said = Vec::new();
    let forged = format!("{}{}", &newest[..newest.len() - 1], if newest.ends_with('0') { '1' } else { '0' });
    for key in ["", &stale, &forged, "nonsense", &newest.to_uppercase()] {
        for (method, path) in [
            (Method::PUT, "/files/a.txt"),
            (Method::DELETE, "/files/a.txt"),
            (Method::PUT, "/params/p"),
            (Method::DELETE, "/params/p"),
            (Method::DELETE, ""),
        ] {
            let answer = send(&server, method, &session.path(path), key, |request| request.body("x")).await;
            assert_eq!(answer.header("session-key"), None);
            said.push(answer.refused(409, "session-key-mismatch"));
        }
        for path in ["", "/params"] {
            let answer = send(&server, Method::PATCH, &session.path(path), key, |patch| patch.json(&json!({}))).await;
            said.push(answer.refused(409, "session-key-mismatch"));
        }
        said.push(submit(&server, &hello("second"), key).await.refused(409, "session-key-mismatch"));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(session.snapshot().await, before);
    assert_eq!(session.show().await, shown);
    assert_eq!(server.list("/v1/jobs").await.len(), 1);
    assert!(!server.log().contains(&newest), "a key is in the log");

    let _ = submit(&server, &hello("second"), &newest).await.expect(202);
}

#[tokio::test]
async fn r28_a_request_that_fails_leaves_the_key_as_it_is() {
    let server = TestServer::start().await;
    let (session, key) = vault(&server).await;
    let _ = submit(&server, &json!({"module": "gone", "session": "vault"}), &key).await.refused(404, "not-found");
    let _ = send(&server, Method::DELETE, &session.path("/files/none"), &key, |d| d).await.refused(404, "not-found");
    let stale = |put: RequestBuilder| put.header("if-match", "\"other\"").body("x");
    let _ = send(&server, Method::PUT, &session.path("/files/a.txt"), &key, stale).await.expect(412);
    let bad = |patch: RequestBuilder| patch.json(&json!({"queue": "maybe"}));
    let _ = send(&server, Method::PATCH, &session.path(""), &key, bad).await.refused(400, "invalid-request");
    let _ = submit(&server, &hello("j"), &key).await.expect(202);
}

#[tokio::test]
async fn r28_a_lost_answer_is_given_again_with_the_same_key() {
    let mut server = TestServer::start().await;
    let (_, key) = vault(&server).await;
    let next = handed(&submit(&server, &hello("j"), &key).await.expect(202));
    assert_eq!(handed(&submit(&server, &hello("j"), &key).await.expect(202)), next);
    let another = handed(&submit(&server, &hello("k"), &next).await.expect(202));

    server.kill9();
    server.restart();
    assert_eq!(handed(&submit(&server, &hello("j"), &key).await.good()), next);
    // Only for one who carries the key of then, and only for that job.
    let _ = submit(&server, &hello("j"), "").await.refused(409, "session-key-mismatch");
    let _ = submit(&server, &hello("j"), &another).await.refused(409, "session-key-mismatch");
    let _ = submit(&server, &hello("l"), &key).await.refused(409, "session-key-mismatch");
    let _ = submit(&server, &hello("l"), &another).await.expect(202);
    assert_eq!(server.list("/v1/jobs?session=vault").await.len(), 3);
}

#[tokio::test]
async fn r28_of_requests_with_the_same_key_one_is_accepted() {
    let server = TestServer::start().await;
    let (session, key) = vault(&server).await;
    let mut tasks = Vec::new();
    for number in 0..16 {
        let (client, key) = (server.another(), key.clone());
        let path = session.path(&format!("/params/p{number}"));
        tasks.push(tokio::spawn(async move {
            let request = if number % 2 == 0 {
                client.request(Method::POST, "/v1/jobs").json(&hello(&format!("j{number}")))
            } else {
                client.request(Method::PUT, &path).body("x")
            };
            client.send(request.header("session-key", key)).await
        }));
    }
    let mut accepted = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.status < 300 {
            accepted += 1;
        } else {
            let _ = answer.refused(409, "session-key-mismatch");
        }
    }
    assert_eq!(accepted, 1);
    let kept = server.list("/v1/jobs").await.len() + session.params().await.len();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn r28_reads_need_no_key_and_hand_out_none() {
    let server = TestServer::start().await;
    let (session, key) = vault(&server).await;
    let next = handed(&submit(&server, &hello("j"), &key).await.expect(202));
    for path in
        [&session.path(""), &session.path("/files/a.txt"), &session.path("/params"), "/v1/jobs/j", "/v1/sessions"]
    {
        let answer = server.get(path).await.expect(200);
        assert_eq!(answer.header("session-key"), None, "{path}");
        assert!(!answer.text().contains("session_key") && !answer.text().contains(&next), "{}", answer.text());
    }
    let _ = submit(&server, &hello("k"), &next).await.expect(202);
}

#[tokio::test]
async fn r28_an_admin_drops_without_a_key_and_the_owner_with_it() {
    let server = TestServer::start().await;
    let bob = server.principal("bob", &["submit"]).await;
    for id in ["one", "two"] {
        let made = bob.new_session().with_id(id).with("keyed", true).answer().await.expect(201);
        let _ = bob.delete(&format!("/v1/sessions/{id}")).await.refused(409, "session-key-mismatch");
        if id == "one" {
            let _ = server.delete("/v1/sessions/one?owner=bob").await.expect(204);
        } else {
            let drop = bob.request(Method::DELETE, "/v1/sessions/two").header("session-key", handed(&made));
            let _ = bob.send(drop).await.expect(204);
        }
        let _ = bob.get(&format!("/v1/sessions/{id}")).await.refused(404, "not-found");
    }
}

#[tokio::test]
async fn r3_a_key_for_a_session_that_is_not_there_or_has_none_is_ignored() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    let _ = server.new_session().with_id("plain").await;
    for session in ["plain", "unknown"] {
        let body = json!({"module": "hello", "session": session});
        let answer = submit(&server, &body, "sek_whatever").await.expect(202);
        assert_eq!(answer.header("session-key"), None);
        assert_eq!(answer.json().get("session_key"), None);
    }
}

#[tokio::test]
async fn r28_nothing_usable_is_stored() {
    let server = TestServer::start().await;
    let (_, key) = vault(&server).await;
    let next = handed(&submit(&server, &hello("j"), &key).await.expect(202));
    let secret: Vec<u8> =
        (4..next.len()).step_by(2).map(|at| u8::from_str_radix(&next[at..at + 2], 16).unwrap()).collect();
    for path in std::fs::read_dir(server.data()).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!holds(next.as_bytes()) && !holds(&secret), "a key is in {}", path.display());
    }
}

#[tokio::test]
async fn r28_a_rename_takes_the_keys_along() {
    let server = TestServer::start().await;
    let (session, key) = vault(&server).await;
    let rename = |id: &'static str| move |patch: RequestBuilder| patch.json(&json!({"id": id, "lifetime_s": 600}));
    let _ = server.new_session().with_id("taken").await;
    let _ = send(&server, Method::PATCH, &session.path(""), &key, rename("taken")).await.refused(409, "conflict");
    let answer = send(&server, Method::PATCH, &session.path(""), &key, rename("safe")).await.expect(200);
    assert_eq!((answer.header("session-id"), &answer.json()["lifetime_s"]), (Some("safe"), &json!(600)));
    let next = handed(&answer);
    assert_eq!(answer.json()["session_key"], next);

    let in_safe = json!({"module": "hello", "session": "safe"});
    let _ = submit(&server, &in_safe, &key).await.refused(409, "session-key-mismatch");
    let _ = submit(&server, &in_safe, &next).await.expect(202);
    // The same id again is no rename, and a request like any other.
    let (session, key) = vault(&server).await;
    let answer = send(&server, Method::PATCH, &session.path(""), &key, rename("vault")).await.expect(200);
    let _ = submit(&server, &hello("j"), &handed(&answer)).await.expect(202);
}

#[tokio::test]
async fn r28_no_id_of_a_keyed_session_lets_in_without_a_key() {
    let server = TestServer::start().await;
    let (_, key) = vault(&server).await;
    server.ready(guests::SESSION_OPS).await;
    let ops = |args: Value| json!({"module": "session_ops", "session": "vault", "args": args});
    let answer =
        submit(&server, &ops(json!(["rename", "safe", "progress", "renamed", "stay"])), &key).await.expect(202);
    let (id, key) = (answer.json()["id"].as_str().unwrap().to_owned(), handed(&answer));
    until("the session is renamed", || async {
        (server.job(&id).await.json["progress"]["message"] == "renamed").then_some(())
    })
    .await;
    let in_safe = json!({"module": "hello", "session": "safe"});
    let _ = submit(&server, &in_safe, "").await.refused(409, "session-key-mismatch");
    let next = handed(&submit(&server, &in_safe, &key).await.expect(202));
    let _ = submit(&server, &hello("late"), &key).await.refused(409, "session-key-mismatch");
    server.job(&id).await.end().await;

    // A job deletes the session, so others find none; but the job fails, and the session stays.
    let args = json!(["delete", "progress", "deleted", "stay"]);
    let answer = submit(&server, &ops(args), &next).await.expect(202);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    until("the session is leaving", || async {
        (server.job(&id).await.json["progress"]["message"] == "deleted").then_some(())
    })
    .await;
    let outside = submit(&server, &hello("outside"), "").await.expect(202);
    assert_eq!(outside.header("session-key"), None);
    server.job(&id).await.end().await;
    let ran = server.job("outside").await.wait().await.succeeded();
    assert_eq!(ran.json["session"]["active"], false, "{:#}", ran.json);
    let _ = submit(&server, &hello("inside"), &handed(&answer)).await.expect(202);
}

#[tokio::test]
async fn r28_a_streaming_run_needs_a_key_and_hands_one_out_also_when_it_fails() {
    let server = TestServer::start().await;
    let (_, mut key) = vault(&server).await;
    for (guest, status) in [(guests::HELLO, 200), (guests::WRITE_THEN_TRAP, 422)] {
        let path = format!("/v1/run/{}", server.ready(guest).await);
        let run = |key: &str| {
            let key = key.to_owned();
            send(&server, Method::POST, &path, "", move |run| {
                let run = run.header("session-id", "vault");
                if key.is_empty() { run } else { run.header("session-key", key) }
            })
        };
        for wrong in ["", "sek_0"] {
            let _ = run(wrong).await.refused(409, "session-key-mismatch");
        }
        let answer = run(&key).await;
        assert_eq!((answer.status, answer.header("job-session-active")), (status, Some("true")), "{answer:?}");
        let next = handed(&answer);
        let _ = run(&key).await.refused(409, "session-key-mismatch");
        key = next;
    }
    let _ = submit(&server, &hello("j"), &key).await.expect(202);
}
