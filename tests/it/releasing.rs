//! R17 to R19: a session goes, and those who wait in its queue run without one,
//! in their order.

use sessile_kit::Guest;
use sessile_kit::Job;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

const OPS: Guest = guests::SESSION_OPS;

async fn check_released(waiters: &[Job]) {
    let mut started = Vec::new();
    for waiter in waiters {
        let waiter = waiter.wait().await.succeeded();
        assert_eq!(waiter.json["session"]["active"], false, "{:#}", waiter.json);
        assert_eq!(waiter.stdout().await, "id None\n");
        started.push(waiter.json["started_at"].as_str().unwrap().to_owned());
    }
    assert!(started.is_sorted(), "{started:?}");
}

#[tokio::test]
async fn r18_a_session_that_its_job_deletes_takes_no_new_request_and_goes_with_the_job() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("s").with_file("f", "1").await;
    let args = ["delete", "id", "progress", "deleted", "stay"];
    let job = session.new_job(OPS).args(args).submit().await;
    job.until_says("deleted").await;
    let _ = server.get("/v1/sessions/s").await.refused(404, "not-found");
    let _ = server.put("/v1/sessions/s/files/g", "2").await.refused(404, "not-found");
    let _ = server.new_session().with_id("s").answer().await.refused(409, "conflict");
    let listed = server.list("/v1/sessions").await;
    assert_eq!(listed[0]["state"], "marked");
    assert!(server.list("/v1/sessions?state=active").await.is_empty());
    assert_eq!(server.list("/v1/sessions?state=marked").await, listed);
    // It did not end well, so the session is as it was.
    job.end().await;
    assert_eq!(session.text("f").await, "1");

    for dress in OPS.dresses() {
        let session = server.new_session().await;
        let _ = session.new_job(dress).args(["delete", "id", "write", "g", "1"]).run().await.succeeded();
        let _ = server.get(&session.path("")).await.refused(404, "not-found");
    }
}

#[tokio::test]
async fn r17_those_who_wait_behind_a_job_that_deletes_the_session_are_released_in_order() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let deletes = session.new_job(OPS).args(["delete"]).submit().await;
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(session.new_job(OPS).args(["id"]).submit().await);
    }
    gate.end().await;
    let _ = deletes.wait().await.succeeded();
    check_released(&waiters).await;
}

#[tokio::test]
async fn r19_a_drop_while_a_hundred_wait_cancels_the_one_and_releases_the_others() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let running = session.hold().await;
    let mut waiters = Vec::new();
    for _ in 0..100 {
        waiters.push(session.new_job(OPS).args(["id"]).submit().await);
    }
    let _ = server.delete(&session.path("")).await.expect(202);
    let _ = server.get(&session.path("")).await.refused(404, "not-found");
    let _ = running.wait().await.cancelled();
    check_released(&waiters).await;
}

#[tokio::test]
async fn r18_all_that_jobs_delete_are_on_one_page_of_a_list() {
    let server = TestServer::with("slots", 4).start().await;
    let _ = server.new_session().with_id("b").await;
    let mut jobs = Vec::new();
    for id in ["c", "a", "d"] {
        let session = server.new_session().with_id(id).await;
        let job = session.new_job(OPS).args(["delete", "progress", "deleted", "stay"]).submit().await;
        job.until_says("deleted").await;
        jobs.push(job);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/sessions?state=marked&limit=1{cursor}")).await.expect(200).json();
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page:#}");
        found.push(page["items"][0]["id"].as_str().unwrap().to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, ["a", "c", "d"]);
    for job in jobs {
        job.end().await;
    }
}

#[tokio::test]
async fn r19_a_session_that_is_dropped_while_it_is_pending_is_unusable_under_both_ids() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("old").await;
    let job = session.new_job(OPS).args(["rename", "new", "progress", "renamed", "stay"]).submit().await;
    job.until_says("renamed").await;
    assert_eq!(server.session("new").show().await["state"], "pending");
    let _ = server.delete(&session.path("")).await.expect(202);
    for id in ["old", "new"] {
        let _ = server.get(&format!("/v1/sessions/{id}")).await.refused(404, "not-found");
    }
    let _ = job.wait().await.cancelled();
}

/// The note of who runs in `s` was lost to the one that wanted its id.
#[tokio::test]
async fn r19_a_drop_finds_the_job_whose_session_s_id_another_could_not_have() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("s").await;
    let running = session.hold().await;
    for wish in ["create s", "create t rename s"] {
        let _ = server.new_job(OPS).args(wish.split(' ')).run().await.succeeded();
        assert_eq!(session.show().await["running_job"], running.id(), "after `{wish}`");
    }
    let _ = server.delete(&session.path("")).await.expect(202);
    let _ = running.wait().await.cancelled();
}

#[tokio::test]
async fn r17_a_rename_from_outside_waits_its_turn_and_releases_those_behind() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("old").with_param("k", "v").await;
    let _ = server.new_session().with_id("taken").await;
    let rename = |to: &str| serde_json::json!({"id": to});
    let _ = server.patch("/v1/sessions/old", &rename("taken")).await.refused(409, "conflict");
    let _ = server.patch("/v1/sessions/old", &rename("a b")).await.refused(400, "invalid-request");

    let gate = session.hold().await;
    let client = server.another();
    let renamed =
        tokio::spawn(async move { client.patch("/v1/sessions/old", &serde_json::json!({"id": "new"})).await });
    until("the rename waits in the queue", || async { (session.show().await["queued"] == 1).then_some(()) }).await;
    let behind = session.new_job(OPS).args(["id"]).submit().await;
    gate.end().await;

    let renamed = renamed.await.unwrap().expect(200);
    assert_eq!((renamed.json()["id"].as_str(), renamed.header("session-id")), (Some("new"), Some("new")));
    check_released(&[behind]).await;
    let _ = server.get("/v1/sessions/old").await.refused(404, "not-found");
    assert_eq!(server.session("new").param("k").await.as_deref(), Some("v"));
    let _ = server.session("new").new_job(OPS).args(["id"]).run().await.succeeded();
}
