//! B38: what a server holds does not grow with the number of jobs that it has run.
//!
//! `cargo xtask soak` looks at the same for as long as one likes; here jobs are counted
//! and not minutes.

use std::ffi::OsStr;
use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream;
use sessile_kit::Client;
use sessile_kit::Held;
use sessile_kit::Run;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::entries_below;
use sessile_kit::guests;
use sessile_kit::sessile;
use sessile_kit::until;

/// Idle connections to the database, threads for files, and working copies are kept, some
/// more or fewer each time. Far fewer than the jobs of a round.
const MORE_OR_FEWER: usize = 40;

/// How much memory may stay behind for each job: a leak of a record or a buffer is more.
const BYTES_PER_JOB: u64 = 1_024;

const AT_ONCE: usize = 8;

/// One of each kind of use that a server is put to.
async fn use_it(client: &Client, session: &Session, n: usize) {
    match n % 10 {
        0 => {
            let own = client.new_session().with_param("a", "1").with_file("f", "x").await;
            let _ = own.run(guests::COUNTER_FILE).await.succeeded();
            own.put_file("dir/g", "y").await;
            own.delete_file("f").await;
            let _ = client.delete(&own.path("")).await.good();
        }
        1 => drop(session.run(guests::COUNTER_FILE).await.succeeded()),
        2 => drop(session.new_job(guests::COUNTER_FILE).args(["trap"]).run().await.failed("trap")),
        3 => drop(client.new_job(guests::SPIN).limit("cpu_ms", 10).run().await.failed("cpu-limit")),
        4 => client.new_job(guests::STAY).submit().await.end().await,
        5 => drop(client.new_job(guests::STAY).limit("wall_ms", 5).run().await.failed("wall-timeout")),
        6 => drop(Run::start(client, "hello", "", None).read()),
        // A client that hangs up in the middle.
        7 => drop(Run::begin(client, "stream", "", None, "")),
        8 => drop(client.upload("refused", b"no module".to_vec()).await.refused(422, "invalid-module")),
        _ => drop(client.get("/v1/sessions/nobody").await.refused(404, "not-found")),
    }
}

async fn round(client: &Client, uses: usize) {
    let session = client.new_session().await;
    stream::iter(0..uses).for_each_concurrent(AT_ONCE, |n| use_it(client, &session, n)).await;
    let _ = client.delete(&session.path("")).await.good();
}

/// Waits until the server holds no more than it did, but for what is kept for the next one.
async fn until_holds_as_before(server: &TestServer, places: [&Path; 3], before: (Held, usize), rounds: &str) {
    let what = format!("the server holds what it held before, {before:?}, after {rounds}");
    until(&what, || async {
        let (now, entries) = (Held::by(server), entries(places));
        let (held, entries_before) = before;
        let is_as_before = |now: usize, before: usize| now <= before + MORE_OR_FEWER;
        let same = is_as_before(now.threads, held.threads)
            && is_as_before(now.descriptors, held.descriptors)
            && is_as_before(entries, entries_before);
        same.then_some(())
    })
    .await;
}

fn entries(places: [&Path; 3]) -> usize {
    places.into_iter().map(entries_below).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b38_threads_descriptors_and_what_lies_about_do_not_grow_with_the_number_of_jobs() {
    let ground = tempfile::tempdir().unwrap();
    let work = ground.path().join("work");
    let mut server = TestServer::with("work", work.display()).start().await;
    for guest in [guests::COUNTER_FILE, guests::SPIN, guests::STAY, guests::HELLO, guests::STREAM] {
        server.ready(guest).await;
    }
    let (tmp, spare) = (server.data().join("tmp"), server.data().join("work"));
    let places = [&*work, &*tmp, &*spare];
    // Once to be warm.
    round(&server, 200).await;
    let before = (Held::by(&server), entries(places));
    for (rounds, uses) in [("another round", 200), ("three more", 600)] {
        round(&server, uses).await;
        until_holds_as_before(&server, places, before, rounds).await;
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    assert_eq!(entries(places), 0, "nothing lies about when the server is gone");
    let _ = sessile([OsStr::new("check"), OsStr::new("--data"), server.data().as_os_str()]).expect(0);
}

#[tokio::test]
async fn b38_memory_does_not_grow_with_the_number_of_jobs() {
    const JOBS: usize = 2_000;
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let run = |jobs: usize| {
        let (server, session) = (&server, &session);
        stream::iter(0..jobs).for_each_concurrent(AT_ONCE, move |n| async move {
            match n % 4 {
                0 => drop(session.run(guests::COUNTER_FILE).await.succeeded()),
                _ => drop(server.new_job(guests::HELLO).run().await.succeeded()),
            }
        })
    };
    // Caches fill, and the allocator's places with them.
    run(JOBS).await;
    let before = Held::by(&server).memory_bytes;
    run(2 * JOBS).await;
    let after = Held::by(&server).memory_bytes;
    let more = after.saturating_sub(before);
    eprintln!("{before} bytes, and {more} more");
    assert!(more < 2 * JOBS as u64 * BYTES_PER_JOB, "{before} bytes were held, and then {more} more");
}
