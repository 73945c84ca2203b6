//! R26a: the commits of a session are read, gone back to and built upon.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Guest;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

const OPS: Guest = guests::SESSION_OPS;

async fn commits(server: &TestServer, session: &Session) -> Vec<Value> {
    server.list(&session.path("/commits")).await
}

/// What a commit changed, in short.
async fn changes(server: &TestServer, session: &Session, number: u64) -> Value {
    server.get(&session.path(&format!("/commits/{number}"))).await.expect(200).json()["changes"].clone()
}

async fn text_at(server: &TestServer, session: &Session, number: u64, path: &str) -> Option<String> {
    let answer = server.get(&session.path(&format!("/commits/{number}/files/{path}"))).await;
    if answer.status == 404 {
        return None;
    }
    assert_eq!(answer.header("session-commit"), Some(number.to_string().as_str()));
    Some(answer.expect(200).text())
}

#[tokio::test]
async fn r26a_every_commit_says_who_made_it_and_what_it_changed() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("p", "0").await;
    let job = session.new_job(OPS).args("write a 1 set k v".split(' ')).id("first").run().await.succeeded();
    session.put_file("d/b", "22").await;
    session.set_param("p", "1").await;
    let _ = session.new_job(OPS).args("write a 333 remove d/b".split(' ')).run().await.succeeded();
    // A job that changed nothing makes no commit.
    let _ = session.new_job(OPS).args(["read", "a"]).run().await.succeeded();

    let told = commits(&server, &session).await;
    let short: Vec<_> = told.iter().map(|commit| (commit["commit"].clone(), commit["cause"].clone())).collect();
    let causes = [(4, "job"), (3, "params"), (2, "files"), (1, "job"), (0, "created")];
    assert_eq!(short, causes.map(|(number, cause)| (json!(number), json!(cause))));
    assert_eq!((&told[3]["job"], &told[3]["bytes"], &told[3]["files"]), (&json!(job.id()), &json!(1), &json!(1)));
    assert_eq!(told[2]["job"], Value::Null);
    let file = |path, kind, change, size| json!({"path": path, "kind": kind, "change": change, "size": size});
    let expected = json!({
        "files": [file("a", "file", "created", 1)],
        "params": [{"name": "k", "change": "created"}],
    });
    assert_eq!(changes(&server, &session, 1).await, expected);
    let expected = json!({
        "files": [file("d", "directory", "created", 0), file("d/b", "file", "created", 2)],
        "params": [],
    });
    assert_eq!(changes(&server, &session, 2).await, expected);
    assert_eq!(changes(&server, &session, 3).await["params"], json!([{"name": "p", "change": "modified"}]));
    let expected = json!([file("a", "file", "modified", 3), file("d/b", "file", "deleted", 2)]);
    assert_eq!(changes(&server, &session, 4).await["files"], expected);
    assert_eq!(text_at(&server, &session, 1, "a").await.as_deref(), Some("1"));
    assert_eq!(text_at(&server, &session, 1, "d/b").await, None);
    assert_eq!(text_at(&server, &session, 3, "d/b").await.as_deref(), Some("22"));
}

#[tokio::test]
async fn r26a_the_last_ten_commits_are_kept_unless_the_session_says_otherwise() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    for number in 1..=12 {
        session.put_file("f", format!("version {number}")).await;
    }
    let numbers = async |session: &Session| {
        let told = commits(&server, session).await;
        told.iter().map(|commit| commit["commit"].as_u64().expect("it has a number")).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&session).await, Vec::from_iter((3..=12).rev()));
    let shown = session.show().await;
    assert_eq!(shown["history"], json!({"commits": 10, "age_s": null, "oldest_commit": 3}));
    assert_eq!(shown["stored_bytes"], 7 * 9 + 3 * 10);
    let sentence = server.get(&session.path("/commits/2")).await.refused(404, "not-found");
    assert!(sentence.contains("commit 2") && sentence.contains("3 to 12"), "{sentence}");
    let sentence = server.get(&session.path("/files/f?commit=13")).await.refused(404, "not-found");
    assert!(sentence.contains("commit 13"), "{sentence}");

    let changed = server.patch(&session.path(""), &json!({"history": {"commits": 2, "age_s": 3_600}})).await;
    assert_eq!(changed.expect(200).json()["history"], json!({"commits": 2, "age_s": 3_600, "oldest_commit": 11}));
    assert_eq!(numbers(&session).await, [12, 11]);
    let one = server.new_session().with("history", json!({"commits": 1})).with_file("f", "x").await;
    assert_eq!(numbers(&one).await, [1]);
    let page = server.get(&session.path("/commits?limit=1")).await.expect(200).json();
    assert_eq!((&page["items"][0]["commit"], page["next_cursor"].is_string()), (&json!(12), true));
}

#[tokio::test]
async fn r26a_a_revert_is_a_new_commit() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("k", "old").with_file("f", "old").await;
    let etag = server.get(&session.path("/files/f")).await.header("etag").map(str::to_owned);
    let before = session.snapshot().await;
    let _ = session.new_job(OPS).args("write f new write g new set k new".split(' ')).run().await.succeeded();
    let after = session.snapshot().await;

    let reverted = server.post(&session.path("/revert"), &json!({"to": 1})).await.expect(200);
    assert_eq!(reverted.header("session-id"), Some(session.id()));
    assert_eq!(reverted.json()["commit"], 3);
    assert_eq!(session.snapshot().await, before);
    // The same content has the same tag again, and a job finds it too.
    assert_eq!(server.get(&session.path("/files/f")).await.header("etag").map(str::to_owned), etag);
    let heard = session.new_job(OPS).args("read f read g get k".split(' ')).run().await.succeeded().lines().await;
    assert_eq!(heard, ["read Some(\"old\")", "read None", "get Some(\"old\")"]);
    let told = &commits(&server, &session).await[0];
    assert_eq!((&told["commit"], &told["cause"]), (&json!(3), &json!("revert")));
    let _ = server.post(&session.path("/revert"), &json!({"commit": 2})).await.expect(200);
    assert_eq!(session.snapshot().await, after);
    let _ = server.post(&session.path("/revert"), &json!({"to": 9})).await.refused(404, "not-found");
    let _ = server.post(&session.path("/revert"), &json!({})).await.refused(400, "invalid-request");
    let explicit = server.new_session().with("transaction", "explicit").with_file("f", "x").await;
    let sentence = server.post(&explicit.path("/revert"), &json!({"to": 0})).await.refused(409, "conflict");
    assert!(sentence.contains("roll"), "{sentence}");
}

#[tokio::test]
async fn r26a_a_fork_begins_where_the_other_session_was() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("source").with_param("k", "v").with_file("f", "1").await;
    session.put_file("f", "22").await;
    session.put_file("d/g", "3").await;
    let fork = server.new_session().with_id("now").with("from", json!({"session": "source"})).await;
    assert_eq!(fork.snapshot().await, session.snapshot().await);
    let shown = fork.show().await;
    assert_eq!((&shown["commit"], &shown["bytes"], &shown["files"]), (&json!(0), &json!(3), &json!(3)));
    let then = server.new_session().with("from", json!({"session": "source", "commit": 1})).with_param("k", "mine");
    let then = then.await;
    assert_eq!((then.text("f").await.as_str(), then.param("k").await.as_deref()), ("1", Some("mine")));
    // Each goes its own way, also when the other is gone.
    let _ = then.new_job(OPS).args("write f changed".split(' ')).run().await.succeeded();
    assert_eq!((session.text("f").await.as_str(), fork.text("f").await.as_str()), ("22", "22"));
    let _ = server.delete(&session.path("")).await.expect(204);
    assert_eq!(fork.text("d/g").await, "3");
    let heard = fork.new_job(OPS).args(["read", "f"]).run().await.succeeded().lines().await;
    assert_eq!(heard, ["read Some(\"22\")"]);

    let refused = server.new_session().with("from", json!({"session": "now", "commit": 5})).answer().await;
    let _ = refused.refused(404, "not-found");
    let refused = server.new_session().with("from", json!({"session": "source"})).answer().await;
    let _ = refused.refused(404, "not-found");
    // Another's session is not there to be forked (R27).
    let other = server.principal("other", &["submit"]).await;
    let refused = other.new_session().with("from", json!({"session": "now"})).answer().await;
    let _ = refused.refused(404, "not-found");
}

/// R10: what is read under one number belongs together, whatever goes on.
#[tokio::test]
async fn r10_a_listing_and_the_files_of_one_commit_belong_together() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("n", "1").with_file("f", "1").await;
    let listing = server.get(&session.path("/files")).await.expect(200);
    let commit = listing.header("session-commit").expect("a listing says its commit").to_owned();
    // While a job runs, and after it has changed everything.
    let held = session.hold().await;
    assert_eq!(session.text("f").await, "1");
    let _ = held.cancel().await;
    let _ = session.new_job(OPS).args("write f 2 write g 2 set n 2".split(' ')).run().await.succeeded();
    for (path, expected) in [("/files/f", "1"), ("/params/n", "1")] {
        let answer = server.get(&session.path(&format!("{path}?commit={commit}"))).await.expect(200);
        assert_eq!(answer.header("session-commit"), Some(commit.as_str()));
        assert_eq!(answer.text(), expected);
    }
    let then = server.get(&session.path(&format!("/files?commit={commit}"))).await.expect(200);
    assert_eq!(then.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.get(&session.path(&format!("/params?commit={commit}"))).await.json(), json!({"n": "1"}));
    let head = server.send(server.request(Method::HEAD, &session.path(&format!("/files/g?commit={commit}")))).await;
    assert_eq!(head.status, 404);
    let _ = server.get(&session.path("/files/f?commit=x")).await.refused(400, "invalid-request");
}

#[tokio::test]
async fn r26a_history_outlives_the_server() {
    let mut server = TestServer::start().await;
    let session = server.new_session().with_file("f", "1").await;
    let _ = session.new_job(OPS).args("write f 2 write g 2".split(' ')).run().await.succeeded();
    session.put_file("f", "3").await;
    let before = commits(&server, &session).await;
    server.kill9();
    server.restart();
    assert_eq!(commits(&server, &session).await, before);
    for (number, text) in [(1, "1"), (2, "2"), (3, "3")] {
        assert_eq!(text_at(&server, &session, number, "f").await.as_deref(), Some(text));
    }
}
