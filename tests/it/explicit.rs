//! R23: a transaction of many jobs, kept or undone by HTTP or by a guest.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Guest;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

const OPS: Guest = guests::SESSION_OPS;

async fn explicit(server: &TestServer) -> Session {
    server.new_session().with("transaction", "explicit").await
}

async fn post(server: &TestServer, session: &Session, what: &str) -> Value {
    server.post(&session.path(what), &json!({})).await.expect(200).json()
}

#[tokio::test]
async fn r23_what_jobs_did_is_kept_by_a_commit_and_undone_by_a_rollback() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let session = explicit(&server).await;
        let ops = async |args: &str| session.new_job(dress.clone()).args(args.split(' ')).run().await.succeeded();
        let _ = ops("write a 1 set k 1").await;
        session.put_file("b", "by HTTP").await;
        session.set_param("h", "by HTTP").await;
        // Nothing of it is there for readers, and all of it for the next job.
        let shown = session.show().await;
        assert_eq!((&shown["uncommitted"], &shown["commit"], &shown["files"]), (&json!(true), &json!(0), &json!(0)));
        assert_eq!(session.files().await, Vec::<String>::new());
        assert_eq!(session.param("k").await, None);
        let heard = ops("read a read b get k get h").await.lines().await;
        let expected = ["read Some(\"1\")", "read Some(\"by HTTP\")", "get Some(\"1\")", "get Some(\"by HTTP\")"];
        assert_eq!(heard, expected);

        let committed = post(&server, &session, "/commit").await;
        assert_eq!((&committed["uncommitted"], &committed["commit"]), (&json!(false), &json!(1)));
        assert_eq!(session.files().await, ["a", "b"]);
        let before = session.snapshot().await;
        let _ = ops("write a 2 remove b write c 3 set k 2").await;
        session.delete_file("a").await;
        assert_eq!(session.snapshot().await, before);
        let undone = post(&server, &session, "/rollback").await;
        assert_eq!((&undone["uncommitted"], &undone["commit"]), (&json!(false), &json!(1)));
        assert_eq!(session.snapshot().await, before);
        let heard = ops("read a read b read c get k").await.lines().await;
        assert_eq!(heard, ["read Some(\"1\")", "read Some(\"by HTTP\")", "read None", "get Some(\"1\")"]);
        // Neither has anything to do now, and says so by the same number.
        assert_eq!(post(&server, &session, "/commit").await["commit"], 1);
        assert_eq!(post(&server, &session, "/rollback").await["commit"], 1);
    }
}

#[tokio::test]
async fn r23_a_failed_job_goes_back_to_where_it_began_and_the_transaction_goes_on() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let session = explicit(&server).await;
        let ops = |args: &str| session.new_job(dress.clone()).args(args.split(' '));
        let _ = ops("write a 1 set k 1").run().await.succeeded();
        let _ = ops("write a 2 write b 2 set k 2 trap").run().await.failed("trap");
        let stopped = ops("write a 3 remove a set k 3 progress here stay").submit().await;
        stopped.until_says("here").await;
        let _ = stopped.cancel().await;
        let heard = ops("read a read b get k").run().await.succeeded().lines().await;
        assert_eq!(heard, ["read Some(\"1\")", "read None", "get Some(\"1\")"]);
        post(&server, &session, "/commit").await;
        assert_eq!(session.text("a").await, "1");
        assert_eq!(session.files().await, ["a"]);
    }
}

#[tokio::test]
async fn r23_a_guest_commits_in_the_middle_and_what_it_does_after_that_goes_with_its_trap() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let session = explicit(&server).await;
        let ops = |args: &str| session.new_job(dress.clone()).args(args.split(' '));
        session.put_file("early", "by an earlier write").await;
        let job = ops("write a 1 set k 1 commit write a 2 write b 2 set k 2 trap").run().await.failed("trap");
        assert_eq!(job.lines().await, ["set Ok(())", "commit Ok(())", "set Ok(())"]);
        let shown = session.show().await;
        assert_eq!((&shown["uncommitted"], &shown["commit"]), (&json!(false), &json!(1)));
        assert_eq!(session.files().await, ["a", "early"]);
        assert_eq!((session.text("a").await.as_str(), session.param("k").await.as_deref()), ("1", Some("1")));
        let heard = ops("read a read b get k").run().await.succeeded().lines().await;
        assert_eq!(heard, ["read Some(\"1\")", "read None", "get Some(\"1\")"]);
        // The commit is the guest's, and says so.
        let commit = server.get(&session.path("/commits/1")).await.expect(200).json();
        assert_eq!((&commit["cause"], &commit["job"]), (&json!("commit"), &json!(job.id())));
    }
}

#[tokio::test]
async fn r23_a_guest_rolls_back_in_the_middle_and_goes_on_from_the_last_commit() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let session = explicit(&server).await;
        let ops = |args: &str| session.new_job(dress.clone()).args(args.split(' '));
        session.put_file("kept", "as it was").await;
        post(&server, &session, "/commit").await;
        let _ = ops("write early 1 set k 1").run().await.succeeded();
        let job = ops("remove kept write kept no set k 2 rollback read kept read early get k write after a");
        let heard = job.run().await.succeeded().lines().await;
        let expected =
            ["remove true", "set Ok(())", "rollback Ok(())", "read Some(\"as it was\")", "read None", "get None"];
        assert_eq!(heard, expected);
        assert_eq!(post(&server, &session, "/commit").await["commit"], 2);
        assert_eq!(session.files().await, ["after", "kept"]);
        // Nothing that it would put back may be open.
        let job = ops("write kept no hold kept rollback read kept").run().await.succeeded();
        assert_eq!(job.lines().await, ["rollback Err(Busy)", "read Some(\"no\")"]);
    }
}

#[tokio::test]
async fn r23_where_each_job_is_a_transaction_nobody_ends_one() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    for what in ["/commit", "/rollback"] {
        let sentence = server.post(&session.path(what), &json!({})).await.refused(409, "conflict");
        assert!(sentence.contains("explicit"), "{sentence}");
    }
    for dress in OPS.dresses() {
        let inside = session.new_job(dress.clone()).args(["commit", "rollback", "write", "a", "1"]);
        let heard = inside.run().await.succeeded().lines().await;
        assert!(heard.iter().all(|line| line.contains("Invalid")), "{heard:?}");
        assert_eq!(session.files().await, ["a"]);
        let outside = server.new_job(dress.clone()).args(["commit", "rollback"]).run().await.succeeded();
        assert_eq!(outside.lines().await, ["commit Err(NoSession)", "rollback Err(NoSession)"]);
        let creator = server.new_job(dress).args(["create", "-", "commit"]).run().await.succeeded();
        assert!(creator.lines().await[1].contains("Invalid"));
    }
}

#[tokio::test]
async fn r23_a_drop_and_an_expiry_lose_what_was_not_committed() {
    let server = TestServer::with("sweep_interval_ms", 20).start().await;
    let session = explicit(&server).await;
    session.put_file("a", "lost").await;
    let _ = server.delete(&session.path("")).await.expect(204);
    let again = server.new_session().with_id(session.id()).with("transaction", "explicit").with("idle_timeout_s", 1);
    let again = again.await;
    assert_eq!(again.files().await, Vec::<String>::new());
    again.put_file("a", "lost too").await;
    sessile_kit::until("the session expires", async || {
        let gone = server.get(&again.path("")).await.status == 404;
        gone.then_some(())
    })
    .await;
}

#[tokio::test]
async fn r23_a_restart_rolls_back_what_was_not_committed() {
    let mut server = TestServer::start().await;
    let session = explicit(&server).await;
    let ops = |args: &str| session.new_job(OPS).args(args.split(' '));
    let _ = ops("write a 1 set k 1").run().await.succeeded();
    post(&server, &session, "/commit").await;
    let before = session.snapshot().await;
    let _ = ops("write a 2 write b 2 set k 2").run().await.succeeded();
    // In the middle of a job, too: it runs again, and finds the last commit.
    let job = ops("read a write c 3 progress here stay").with("on_crash", "rerun").submit().await;
    job.until_says("here").await;
    server.kill9();
    server.restart();
    assert_eq!(session.snapshot().await, before);
    let job = server.job(job.id()).await;
    job.until_says("here").await;
    assert_eq!(session.show().await["uncommitted"], false);
    let _ = job.cancel().await;
    let heard = ops("read a read b get k").run().await.succeeded().lines().await;
    assert_eq!(heard, ["read Some(\"1\")", "read None", "get Some(\"1\")"]);
}

/// R10: an end of a transaction takes its turn, like any write.
#[tokio::test]
async fn r23_a_commit_over_http_waits_for_the_job_before_it() {
    let server = TestServer::start().await;
    let session = explicit(&server).await;
    let job = session.new_job(OPS).args(["progress", "here", "stay"]).submit().await;
    job.until_says("here").await;
    let commit = {
        let (client, path) = (server.another(), session.path("/commit"));
        tokio::spawn(async move { client.post(&path, &json!({})).await })
    };
    sessile_kit::until("the commit waits", async || (session.show().await["queued"] == 1).then_some(())).await;
    assert!(!commit.is_finished());
    let _ = job.cancel().await;
    assert_eq!(commit.await.expect("it is answered").expect(200).json()["commit"], 0);
}
