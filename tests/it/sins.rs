//! B10: every guest of `tests/guests` on one server, in every dress and without
//! the arguments that some of them want, and the server is as it was before.

use sessile_kit::Held;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

/// Connections for reading and threads for files stay when nobody uses them (the sweep
/// of each second keeps every such thread awake), some more or fewer each time. Far
/// fewer than the jobs of one round: one leaked by each would be seen.
const MORE_OR_FEWER: usize = 32;

/// Each guest once in a session of its own, all of them in line at the same time.
async fn run_all(server: &TestServer) {
    let mut jobs = Vec::new();
    for dress in guests::SINS.iter().flat_map(|guest| guest.dresses()) {
        let session = server.new_session().await;
        jobs.push((session.new_job(dress).limit("wall_ms", 1_500).submit().await, session));
    }
    for (job, session) in jobs {
        let job = job.wait().await;
        assert_ne!(job.reason(), Some("host-error"), "{:#}", job.json);
        let _ = server.delete(&session.path("")).await.good();
    }
}

#[tokio::test]
async fn b10_the_process_its_threads_and_its_descriptors_are_the_same_after_every_sin() {
    let mut server = TestServer::start().await;
    let pid = server.pid();
    // Once to be warm: connections to the database and threads for files stay open for the next one.
    run_all(&server).await;
    let before = Held::by(&server);

    run_all(&server).await;

    assert!(server.is_alive());
    assert_eq!(server.pid(), pid);
    let _ = server.get("/healthz").await.expect(200);
    let what = format!("the server holds what it held before, {before:?}");
    until(&what, || async {
        let now = Held::by(&server);
        let is_as_before = |now: usize, before: usize| now <= before + MORE_OR_FEWER;
        let same = is_as_before(now.threads, before.threads) && is_as_before(now.descriptors, before.descriptors);
        same.then_some(())
    })
    .await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
}
