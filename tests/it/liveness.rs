//! R35: no guest stalls the server or ends it.

use std::time::Duration;
use std::time::Instant;

use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// The promise is 100 ms on an idle machine; test machines are neither idle nor ours.
const SOON: Duration = Duration::from_secs(2);

async fn check_health(server: &Client) {
    let start = Instant::now();
    let _ = server.get("/healthz").await.expect(200);
    assert!(start.elapsed() < SOON, "/healthz took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_module_that_loops_for_ever_is_stopped_while_fifty_other_jobs_finish() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    server.ready(guests::COUNTER_FILE).await;
    let looping = server.new_job(guests::SPIN).limit("wall_ms", 4_000).limit("cpu_ms", 60_000).submit().await;
    let looping = looping.until_running().await;

    let others: Vec<_> = (0..50).map(|_| tokio::spawn(session.new_job(guests::COUNTER_FILE).run())).collect();
    check_health(&server).await;
    for other in others {
        let _ = other.await.unwrap().succeeded();
        check_health(&server).await;
    }

    assert_eq!(session.text("counter").await, "50");

    let _ = looping.wait().await.failed("wall-timeout");
}

#[tokio::test]
async fn r35_health_answers_while_every_slot_computes() {
    let server = TestServer::with("slots", 4).start().await;
    let mut computing = Vec::new();
    for _ in 0..4 {
        let job = server.new_job(guests::SPIN).limit("wall_ms", 600_000).limit("cpu_ms", 600_000);
        computing.push(job.submit().await.until_running().await);
    }

    for _ in 0..20 {
        check_health(&server).await;
    }
    let _ = server.get("/readyz").await.expect(200);
    let _ = server.new_session().with_param("a", "1").await;

    for job in computing {
        job.end().await;
    }
}

#[tokio::test]
async fn r35_all_sins_at_once_do_not_end_the_server_or_make_it_panic() {
    let mut server = TestServer::start().await;
    let pid = server.pid();
    let sins = [
        guests::SPIN,
        guests::SLEEP,
        guests::EAT_MEMORY,
        guests::FLOOD_STDOUT,
        guests::STACK_OVERFLOW,
        guests::WRITE_THEN_TRAP,
        guests::WRITE_THEN_EXIT,
        guests::ESCAPE,
        guests::OPEN_MANY,
        guests::MANY_FILES,
    ];
    let mut jobs = Vec::new();
    for dress in sins.iter().flat_map(|sin| sin.dresses()) {
        let session = server.new_session().await;
        jobs.push(session.new_job(dress).limit("wall_ms", 3_000).submit().await);
    }

    for job in jobs {
        let job = job.wait().await;
        assert_ne!(job.reason(), Some("host-error"), "{:#}", job.json);
    }

    assert!(server.is_alive());
    assert_eq!(server.pid(), pid);
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
}
