//! B22: a kill while there is work in each of 1,000 sessions.

use std::time::Duration;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream;
use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::guests;

const SESSIONS: usize = 1_000;

/// How many requests are under way at once.
const AT_ONCE: usize = 16;

/// Two seconds are promised, and the bench measures them; here it is a sign of life on a busy machine.
const READY_MAX: Duration = Duration::from_secs(20);

async fn in_each<F>(work: impl Fn(usize) -> F)
where
    F: Future<Output = ()>,
{
    stream::iter(0..SESSIONS).for_each_concurrent(AT_ONCE, work).await;
}

fn id(n: usize) -> String {
    format!("session-{n}")
}

/// The file and the parameter say the same count, which is one of these. Both
/// are read as of one commit: jobs that run again meanwhile make others.
async fn check(client: &Client, n: usize, counts: &[&str]) {
    let session = client.session(&id(n));
    let commit = &session.show().await["commit"];
    let read = async |what: &str| client.get(&session.path(&format!("/{what}?commit={commit}"))).await.expect(200);
    let (file, params) = (read("files/counter").await.text(), read("params").await.json());
    assert_eq!(params["counter"], file, "session {n} at commit {commit}");
    assert!(counts.contains(&&*file), "session {n} has counted to {file}");
}

#[tokio::test]
async fn b22_a_kill_with_work_in_1_000_sessions_leaves_each_old_or_new_and_loses_no_job() {
    let mut server = TestServer::start().await;
    server.ready(guests::COUNTER_FILE).await;
    let client = &server.another();
    in_each(|n| {
        let session = client.new_session().with_id(&id(n)).with_param("counter", "1").with_file("counter", "1");
        async {
            let _ = session.await;
        }
    })
    .await;
    in_each(|n| {
        let session = client.session(&id(n));
        async move {
            let _ = session.new_job(guests::COUNTER_FILE).id(&format!("job-{n}")).submit().await;
        }
    })
    .await;
    server.kill9();

    let asked = Instant::now();
    server.restart();
    let took = asked.elapsed();
    eprintln!("ready after {took:?}");
    assert!(took < READY_MAX, "{took:?}");
    in_each(|n| check(client, n, &["1", "2"])).await;
    in_each(|n| async move {
        let _ = client.job(&format!("job-{n}")).await.wait().await.succeeded();
        check(client, n, &["2"]).await;
    })
    .await;
}
