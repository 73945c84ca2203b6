//! R7 and R22 under load: 64 sessions, 50 jobs each, 8 clients, and not one
//! increment lost or counted twice.

use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::guests;

const SESSIONS: usize = 64;
const JOBS: usize = 50;
const CLIENTS: usize = 8;

/// Lets the clients walk through all sessions at the same time, each with jobs
/// of its own, and demands the count in each session's file and parameter.
async fn check(traps: fn(usize) -> bool, expected: usize) {
    let server = TestServer::start().await;
    server.ready(guests::COUNTER_FILE).await;
    for s in 0..SESSIONS {
        let _ = server.new_session().with_id(&format!("session-{s}")).await;
    }

    let clients: Vec<_> = (0..CLIENTS).map(|c| tokio::spawn(walk(server.another(), c, traps))).collect();
    for client in clients {
        client.await.unwrap();
    }

    for s in 0..SESSIONS {
        let session = server.session(&format!("session-{s}"));
        assert_eq!(session.text("counter").await, expected.to_string(), "the file of session {s}");
        assert_eq!(session.param("counter").await, Some(expected.to_string()), "the parameter of session {s}");
    }
}

/// One client's share: every eighth job of every session. All of a row are
/// accepted before the first is awaited, so that the sessions' lines fill up.
async fn walk(client: Client, number: usize, traps: fn(usize) -> bool) {
    for n in (number..JOBS).step_by(CLIENTS) {
        let mut row = Vec::new();
        for s in 0..SESSIONS {
            let order = client.session(&format!("session-{s}")).new_job(guests::COUNTER_FILE);
            let order = if traps(n) { order.args(["trap"]) } else { order };
            row.push(order.submit().await);
        }
        for job in row {
            let job = job.wait().await;
            let _ = if traps(n) { job.failed("trap") } else { job.succeeded() };
        }
    }
}

#[tokio::test]
async fn r22_fifty_jobs_in_each_of_64_sessions_count_to_fifty() {
    check(|_| false, 50).await;
}

#[tokio::test]
async fn r22_with_one_job_in_five_trapping_they_count_to_forty() {
    check(|n| n % 5 == 4, 40).await;
}
