//! R1 to R6: how a job comes to its session, and what it finds there.

use serde_json::Value;
use serde_json::json;
use sessile_kit::TestServer;
use sessile_kit::guests;

#[tokio::test]
async fn r1_a_running_job_cannot_be_attached_to_a_session() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let job = server.new_job(guests::STAY).submit().await.until_running().await;

    let attempt = server.patch(&format!("/v1/jobs/{}", job.id()), &json!({"session": session.id()})).await;
    assert!(matches!(attempt.status, 404 | 405), "{attempt:?}");
    let again = server.new_job(guests::STAY).id(job.id()).session(session.id()).answer().await;
    let _ = again.refused(409, "conflict");

    assert_eq!(job.look().await.json["session"], Value::Null);
    job.end().await;
}

#[tokio::test]
async fn b25_r2_the_same_id_with_the_same_request_runs_once() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let order = session.new_job(guests::COUNTER_FILE).id("invoice-7");

    let first = order.clone().run().await.succeeded();
    for _ in 0..3 {
        let again = order.clone().run().await.succeeded();
        assert_eq!(again.id(), "invoice-7");
        assert_eq!(again.json["ended_at"], first.json["ended_at"]);
    }

    assert_eq!(session.text("counter").await, "1");
    assert_eq!(session.param("counter").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn r2_requests_with_one_id_at_the_same_time_run_once() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let order = session.new_job(guests::COUNTER_FILE).id("at-once");
    server.ready(guests::COUNTER_FILE).await;

    let together: Vec<_> = (0..8).map(|_| tokio::spawn(order.clone().run())).collect();
    for one in together {
        assert_eq!(one.await.unwrap().succeeded().id(), "at-once");
    }

    assert_eq!(session.text("counter").await, "1");
}

#[tokio::test]
async fn r2_the_same_id_with_a_different_request_is_a_conflict() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let order = session.new_job(guests::COUNTER_FILE).id("mine");
    let _ = order.clone().run().await.succeeded();

    let detail = order.clone().args(["trap"]).answer().await.refused(409, "conflict");
    assert!(detail.contains("mine"), "{detail}");
    let _ = session.new_job(guests::APPEND).id("mine").answer().await.refused(409, "conflict");
    let _ = server.new_job(guests::COUNTER_FILE).id("mine").answer().await.refused(409, "conflict");

    assert_eq!(session.text("counter").await, "1");
}

#[tokio::test]
async fn r2_what_goes_without_saying_makes_no_other_request() {
    let server = TestServer::start().await;
    let order = server.new_job(guests::HELLO).id("mine");
    let first = order.clone().submit().await;
    let same = [("commit", true.into()), ("retries", 0.into()), ("on_crash", "rerun".into()), ("stdin", "".into())];
    for (field, value) in same {
        let again: serde_json::Value = value;
        let again = order.clone().with(field, again).answer().await.expect(202);
        assert_eq!(again.json()["created_at"], first.json["created_at"], "{field}");
    }
    // A session may say otherwise, so this is asked for.
    let _ = order.clone().with("queue", "wait").answer().await.refused(409, "conflict");
    let _ = order.with("commit", false).answer().await.refused(409, "conflict");
}

#[tokio::test]
async fn r3_a_job_that_names_no_existing_session_runs_outside_any() {
    let server = TestServer::start().await;
    for guest in guests::WHOAMI.dresses() {
        let accepted = server.new_job(guest.clone()).session("nobody-made-me").submit().await;
        assert_eq!(accepted.json["session"]["id"], "nobody-made-me", "{:#}", accepted.json);

        let job = accepted.wait().await.succeeded();
        assert_eq!(job.json["session"], json!({"id": "nobody-made-me", "active": false}), "{}", guest.name);
        let told = job.stdout().await;
        assert!(told.contains("session-active false"), "{told}");
        assert!(told.contains("session-id None"), "{told}");
        assert!(!told.contains("SESSILE_SESSION_ID"), "{told}");
    }
    let _ = server.get("/v1/sessions/nobody-made-me").await.refused(404, "not-found");
}

#[tokio::test]
async fn r4_a_guest_can_ask_whether_it_is_in_a_session_and_which() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("letters").await;
    for guest in guests::WHOAMI.dresses() {
        let job = session.run(guest).await.succeeded();
        assert_eq!(job.json["session"], json!({"id": "letters", "active": true}));
        let told = job.stdout().await;
        assert!(told.contains("session-active true"), "{told}");
        assert!(told.contains("session-id Some(\"letters\")"), "{told}");
        assert!(told.contains("env SESSILE_SESSION_ID=letters"), "{told}");
    }
}

#[tokio::test]
async fn r5_in_a_session_the_root_is_the_session_s_directory() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a/b.txt", "b").with_file("c.txt", "c").await;
    for guest in guests::LIST_ROOT.dresses() {
        let told = session.run(guest).await.succeeded().stdout().await;
        assert_eq!(told, "/a\n/a/b.txt\n/c.txt\n2 entries in .\n");
    }
}

#[tokio::test]
async fn r5_outside_a_session_the_root_is_empty_and_gone_afterwards() {
    let server = TestServer::start().await;
    for guest in guests::APPEND.dresses() {
        let _ = server.new_job(guest).args(["a line"]).run().await.succeeded();
    }
    for guest in guests::LIST_ROOT.dresses() {
        let told = server.new_job(guest).run().await.succeeded().stdout().await;
        assert_eq!(told, "0 entries in .\n");
    }
}

#[tokio::test]
async fn r6_a_parameter_that_one_job_stores_is_what_the_next_reads() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("over", "http").await;
    for guest in guests::PARAMS.dresses() {
        let words = ["get", "over", "set", "over", "job", "get", "over", "set", "new", "ü", "names"];
        let told = session.new_job(guest.clone()).args(words).run().await.succeeded().stdout().await;
        let expected = "Some(\"http\")\nOk(())\nSome(\"job\")\nOk(())\n[\"new\", \"over\"]\n";
        assert_eq!(told, expected, "{}", guest.name);

        let words = ["get", "over", "get", "new", "get", "none", "remove", "new", "remove", "new", "names"];
        let told = session.new_job(guest.clone()).args(words).run().await.succeeded().stdout().await;
        let expected = "Some(\"job\")\nSome(\"ü\")\nNone\nOk(true)\nOk(false)\n[\"over\"]\n";
        assert_eq!(told, expected, "{}", guest.name);

        session.set_param("over", "http").await;
    }
}

#[tokio::test]
async fn r6_outside_a_session_there_are_no_parameters() {
    let server = TestServer::start().await;
    for guest in guests::PARAMS.dresses() {
        let words = ["get", "a", "set", "a", "1", "remove", "a", "names"];
        let told = server.new_job(guest.clone()).args(words).run().await.succeeded().stdout().await;
        assert_eq!(told, "None\nErr(NoSession)\nErr(NoSession)\n[]\n", "{}", guest.name);
    }
}
