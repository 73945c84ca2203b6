//! R32: a job can be cancelled in every phase, and stops soon.

use std::time::Duration;
use std::time::Instant;

use sessile_kit::Guest;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// The promise is 100 ms; a shared, loaded test machine gets more before we call it broken.
const SOON: Duration = Duration::from_secs(2);

async fn check_stops_soon(guest: Guest) {
    let server = TestServer::start().await;
    for dress in guest.dresses() {
        let job = server.new_job(dress.clone()).limit("wall_ms", 600_000).submit().await.until_running().await;
        let start = Instant::now();
        job.end().await;
        assert!(start.elapsed() < SOON, "{}: {:?}", dress.name, start.elapsed());
        // The slot is free again: nothing of the guest goes on.
        let _ = server.new_job(guests::HELLO).run().await.succeeded();
    }
}

#[tokio::test]
async fn r32_a_guest_that_computes_stops_soon() {
    check_stops_soon(guests::SPIN).await;
}

#[tokio::test]
async fn r32_a_guest_that_waits_in_a_host_call_stops_soon() {
    check_stops_soon(guests::SLEEP).await;
}

#[tokio::test]
async fn r32_a_guest_that_floods_its_output_stops_soon() {
    let server = TestServer::start().await;
    let order = server.new_job(guests::FLOOD_STDOUT).limit("output_bytes", 16 << 20);
    let job = order.submit().await;
    let answer = job.cancel().await.expect(200).json();
    assert_eq!(answer["id"], job.id());
    // It may have met its limit first; what counts is that it is over.
    assert!(job.wait().await.has_ended());
}

#[tokio::test]
async fn r32_a_queued_job_is_cancelled_without_having_run() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let order = |line: &str| session.new_job(guests::APPEND).args([line]).submit();
    let (first, second, third) = (order("first").await, order("second").await, order("third").await);

    let start = Instant::now();
    second.end().await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(second.look().await.json["started_at"], serde_json::Value::Null);
    assert_eq!(first.look().await.state(), "queued");

    gate.end().await;
    let _ = first.wait().await.succeeded();
    let _ = third.wait().await.succeeded();
    assert_eq!(session.text("log").await, "first\nthird\n");
}

#[tokio::test]
async fn r32_a_job_that_waits_for_a_slot_is_cancelled_without_having_run() {
    let server = TestServer::with("slots", 1).start().await;
    let session = server.new_session().await;
    let gate = server.new_job(guests::STAY).submit().await.until_running().await;
    let waiting = session.new_job(guests::APPEND).args(["never"]).submit().await;

    waiting.end().await;
    gate.end().await;

    let _ = session.run(guests::HELLO).await.succeeded();
    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn r32_to_cancel_again_or_too_late_changes_nothing() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::STAY).submit().await.until_running().await;
    job.end().await;
    let cancelled = job.look().await.json;
    assert_eq!(job.cancel().await.expect(200).json(), cancelled);

    let done = server.new_job(guests::HELLO).run().await.succeeded();
    assert_eq!(done.cancel().await.expect(200).json()["state"], "succeeded");

    let nobody = server.post("/v1/jobs/nobody/cancel", &serde_json::json!({})).await;
    let _ = nobody.refused(404, "not-found");
}

#[tokio::test]
async fn r32_a_cancel_on_the_heels_of_its_job_is_not_lost() {
    let server = TestServer::start().await;
    server.ready(guests::STAY).await;
    for n in 0..30 {
        let id = format!("chased-{n}");
        let submitted = tokio::spawn(server.new_job(guests::STAY).id(&id).limit("wall_ms", 20_000).submit());
        // The job can be found before its own answer has arrived; a cancel that is answered counts from then on.
        loop {
            let answer = server.post(&format!("/v1/jobs/{id}/cancel"), &serde_json::json!({})).await;
            if answer.status == 200 {
                break;
            }
            let _ = answer.refused(404, "not-found");
        }
        let _ = submitted.await.unwrap().wait().await.cancelled();
    }
}

#[tokio::test]
async fn r32_a_cancel_outlives_a_kill() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let queued = session.new_job(guests::APPEND).args(["never"]).submit().await;
    queued.end().await;
    gate.end().await;

    server.kill9();
    server.restart();

    let _ = queued.look().await.cancelled();
    let _ = gate.look().await.cancelled();
    let _ = session.run(guests::HELLO).await.succeeded();
    assert_eq!(session.files().await, Vec::<String>::new());
}
