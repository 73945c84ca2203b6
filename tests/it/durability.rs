//! R25: what the server has accepted or acknowledged outlives its death.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use sessile_kit::TestServer;
use sessile_kit::guests;

#[tokio::test]
async fn r25_accepted_jobs_run_after_a_kill_in_their_places() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let mut jobs = Vec::new();
    for n in 0..10 {
        jobs.push(session.new_job(guests::APPEND).args([n.to_string()]).submit().await);
    }

    server.kill9();
    server.restart();

    // The gate is at the head of the line again, so all others still wait.
    let gate = gate.until_running().await;
    for job in &jobs {
        assert_eq!(job.look().await.state(), "queued");
    }
    gate.end().await;
    for job in jobs {
        let _ = job.wait().await.succeeded();
    }
    assert_eq!(session.text("log").await, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

#[tokio::test]
async fn r25_a_job_that_was_running_is_rolled_back_and_run_again() {
    let mut server = TestServer::start().await;
    let session = server.new_session().with_file("kept.txt", "as it was").with_param("kept", "as it was").await;
    let before = session.snapshot().await;
    let job = session.new_job(guests::SLEEP).submit().await.until_running().await;
    assert_eq!(job.json["attempt"], 1);

    server.kill9();
    server.restart();

    assert_eq!(session.snapshot().await, before);
    let again = job.until_running().await;
    assert_eq!(again.json["attempt"], 2);
    again.end().await;
    assert_eq!(session.snapshot().await, before);
}

#[tokio::test]
async fn r25_a_job_that_asks_for_it_is_lost_with_the_server() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::STAY).with("on_crash", "fail").submit().await.until_running().await;
    let next = session.new_job(guests::HELLO).with("on_crash", "fail").submit().await;

    server.kill9();
    server.restart();

    let _ = job.wait().await.failed("lost");
    // This one was never begun, so nothing of it can be lost.
    let _ = next.wait().await.succeeded();
}

#[tokio::test]
async fn r25_a_job_is_lost_after_three_attempts_and_the_queue_moves_on() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::STAY).submit().await;
    let next = session.new_job(guests::HELLO).submit().await;
    for attempt in 1..=3 {
        assert_eq!(job.until_running().await.json["attempt"], attempt);
        server.kill9();
        server.restart();
    }

    let lost = job.wait().await.failed("lost");
    assert_eq!(lost.json["attempt"], 3);
    let _ = next.wait().await.succeeded();
}

#[tokio::test]
async fn b21_what_was_acknowledged_is_there_after_a_kill() {
    let mut server = TestServer::start().await;
    let session = server.new_session().with_param("city", "Utrecht").with_file("in/data.txt", "data").await;
    let job = session.new_job(guests::REPORT).args(["[1, 2]"]).run().await.succeeded();
    let shown = server.get(&format!("/v1/jobs/{}", job.id())).await.expect(200).json();
    let before = session.snapshot().await;
    let modules = server.list("/v1/modules").await;
    let alice = server.principal("alice", &["submit"]).await;

    server.kill9();
    server.restart();

    assert_eq!(session.snapshot().await, before);
    assert_eq!(server.list("/v1/modules").await, modules);
    let job = job.look().await;
    assert_eq!(job.json, shown);
    assert_eq!(job.json["result"][1], 2);
    assert_eq!(job.stdout().await, "true\n");
    let _ = alice.get("/v1/sessions").await.expect(200);
}

#[tokio::test]
async fn a_loaded_module_survives_a_restart_without_being_compiled_again() {
    let mut server = TestServer::start().await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    let compiled = artifacts(&server.data().join("artefacts"));
    assert!(!compiled.is_empty(), "an upload leaves an artefact");

    server.kill9();
    server.restart();

    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    assert_eq!(artifacts(&server.data().join("artefacts")), compiled);
}

/// Each file and when it was last written.
fn artifacts(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(artifacts(&path));
        } else {
            found.insert(path.clone(), fs::metadata(&path).unwrap().modified().unwrap());
        }
    }
    found
}
