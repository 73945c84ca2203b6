//! R26a: a job that says what it would change, and changes nothing.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Guest;
use sessile_kit::TestServer;
use sessile_kit::guests;

const OPS: Guest = guests::SESSION_OPS;

#[tokio::test]
async fn r26a_a_dry_run_answers_with_its_output_and_what_it_would_have_changed() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let session = server.new_session().with_param("k", "v").with_param("same", "s");
        let session = session.with_file("a", "1").with_file("b", "1").await;
        let before = (session.snapshot().await, session.show().await["commit"].clone());
        let args = "write a longer remove b write c 22 set k new set n 1 set same s read a";
        let job = session.new_job(dress.clone()).args(args.split(' ')).with("commit", false).run().await.succeeded();
        assert_eq!(job.lines().await.last().map(String::as_str), Some("read Some(\"longer\")"));
        assert_eq!(job.json["commit"], false);
        let file = |path, change, size| json!({"path": path, "kind": "file", "change": change, "size": size});
        let expected = json!({
            "files": [file("a", "modified", 6), file("b", "deleted", 1), file("c", "created", 2)],
            "params": [{"name": "k", "change": "modified"}, {"name": "n", "change": "created"}],
        });
        assert_eq!(job.json["changes"], expected);
        assert_eq!(job.look().await.json["changes"], expected);
        // A list of such jobs could have no end.
        let listed = server.list("/v1/jobs").await;
        assert!(listed.iter().all(|job| job["changes"].is_null()), "{listed:?}");
        assert_eq!((session.snapshot().await, session.show().await["commit"].clone()), before);
        // The next job finds nothing of it either, and is an ordinary one.
        let next = session.new_job(dress).args("read a read b read c get k".split(' ')).run().await.succeeded();
        assert_eq!(next.lines().await, ["read Some(\"1\")", "read Some(\"1\")", "read None", "get Some(\"v\")"]);
        assert_eq!((&next.json["commit"], &next.json["changes"]), (&json!(true), &Value::Null));
    }
}

#[tokio::test]
async fn r26a_nothing_of_a_dry_run_outlasts_it() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let outside = server.new_job(dress.clone()).args("create made write a 1".split(' ')).with("commit", false);
        let outside = outside.run().await.succeeded();
        assert!(outside.lines().await[0].contains("Invalid"), "{:?}", outside.lines().await);
        assert_eq!(outside.json["changes"], json!({"files": [], "params": []}));
        let _ = server.get("/v1/sessions/made").await.refused(404, "not-found");

        let session = server.new_session().with_file("a", "1").await;
        let renamed = format!("renamed-{}", session.id());
        let rename = session.new_job(dress.clone()).args(["rename", &renamed, "id"]).with("commit", false);
        let _ = rename.run().await.succeeded();
        let _ = server.get(&format!("/v1/sessions/{renamed}")).await.refused(404, "not-found");
        let _ = session.new_job(dress.clone()).args(["delete"]).with("commit", false).run().await.succeeded();
        assert_eq!(session.show().await["state"], "active");
        assert_eq!(session.text("a").await, "1");

        let explicit = server.new_session().with("transaction", "explicit").with_file("a", "1").await;
        let job = explicit.new_job(dress.clone()).args("write a 2 commit rollback".split(' ')).with("commit", false);
        let job = job.run().await.succeeded();
        assert!(job.lines().await.iter().all(|line| line.contains("Invalid")), "{:?}", job.lines().await);
        assert_eq!(job.json["changes"]["files"][0]["change"], "modified");
        let heard = explicit.new_job(dress).args(["read", "a"]).run().await.succeeded().lines().await;
        assert_eq!(heard, ["read Some(\"1\")"]);
    }
}

#[tokio::test]
async fn r26a_a_dry_run_that_fails_says_why_and_lists_nothing() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a", "1").await;
    let before = session.snapshot().await;
    let job = session.new_job(OPS).args("write a 2 trap".split(' ')).with("commit", false).run().await.failed("trap");
    assert_eq!(job.json["changes"], Value::Null);
    assert_eq!(session.snapshot().await, before);
    // It is another request than the same without `commit: false` (R2).
    let named = |dry: bool| session.new_job(OPS).args(["read", "a"]).id("named").with("commit", dry);
    let _ = named(false).run().await.succeeded();
    let _ = named(true).answer().await.refused(409, "conflict");
}
