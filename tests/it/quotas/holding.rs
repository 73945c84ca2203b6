//! What stays until it is deleted: sessions, what they store, modules and their
//! bytes.

use serde_json::json;
use sessile_kit::Guest;
use sessile_kit::Run;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;

use super::check_refused;
use super::set;
use super::tenant;
use super::usage;

/// What the store of a stopped server counts is what is there.
async fn check_sound(mut server: TestServer) {
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let data = server.data();
    let _ = sessile(["check".as_ref(), "--data".as_ref(), data.as_os_str()]).expect(0);
}

#[tokio::test]
async fn r34_sessions_are_counted_and_a_drop_gives_the_place_back_and_a_rename_takes_none() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"sessions": 2})).await;
    let first = ann.new_session().with_id("first").await;
    let _ = ann.new_session().await;
    let third = || ann.new_session().with_id("third");
    check_refused(third().answer().await, 429, "quota-exceeded", "sessions", 2);
    let fork = ann.new_session().with("from", json!({"session": "first"})).answer().await;
    check_refused(fork, 429, "quota-exceeded", "sessions", 2);
    // An id that is taken is the better news.
    let _ = ann.new_session().with_id("first").answer().await.refused(409, "conflict");
    let _ = ann.patch(&first.path(""), &json!({"id": "renamed"})).await.good();
    check_refused(third().answer().await, 429, "quota-exceeded", "sessions", 2);
    // Another principal of the tenant shares the quota, another tenant does not.
    let bob = server.principal_of("acme", "bob", &["submit"]).await;
    check_refused(bob.new_session().answer().await, 429, "quota-exceeded", "sessions", 2);
    let _ = server.new_session().await;
    let _ = ann.delete("/v1/sessions/renamed").await.good();
    let _ = third().await;
    assert_eq!(usage(&server, "acme", "sessions").await, 2);
    // In force at once.
    set(&server, "acme", &json!({"sessions": 3})).await;
    let _ = bob.new_session().await;
    check_sound(server).await;
}

#[tokio::test]
async fn r34_a_guest_that_makes_one_session_too_many_is_told_so_and_goes_on() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"sessions": 1})).await;
    for dress in guests::SESSION_OPS.dresses() {
        let made = ann.new_job(dress.clone()).args(["create", "made"]).run().await.succeeded();
        assert_eq!(made.lines().await, [r#"create Ok("made")"#]);
        let refused = ann.new_job(dress).args(["create", "more"]).run().await.succeeded().stdout().await;
        assert!(refused.starts_with("create Err(Quota"), "{refused}");
        let _ = ann.delete("/v1/sessions/made").await.good();
    }
}

#[tokio::test]
async fn r34_a_write_over_http_that_would_pass_the_stored_bytes_is_refused_and_nothing_of_it_kept() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"stored_bytes": 10_000})).await;
    let session = ann.new_session().with_file("a", "a".repeat(6_000)).await;
    let put = ann.put(&session.path("/files/b"), "b".repeat(4_001)).await;
    check_refused(put, 507, "storage-full", "stored_bytes", 10_000);
    assert_eq!(session.files().await, ["a"]);
    let fork = ann.new_session().with("from", json!({"session": session.id()})).answer().await;
    check_refused(fork, 507, "storage-full", "stored_bytes", 10_000);
    assert_eq!(usage(&server, "acme", "sessions").await, 1);
    session.put_file("b", "b".repeat(4_000)).await;
    let _ = server.new_session().with_file("c", "c".repeat(20_000)).await;

    // What is deleted is stored as long as an earlier commit holds it.
    session.delete_file("a").await;
    assert_eq!(usage(&server, "acme", "stored_bytes").await, 10_000);
    let put = ann.put(&session.path("/files/c"), "c").await;
    check_refused(put, 507, "storage-full", "stored_bytes", 10_000);
    let _ = ann.patch(&session.path(""), &json!({"history": {"commits": 1}})).await.good();
    assert_eq!(usage(&server, "acme", "stored_bytes").await, 4_000);
    session.put_file("c", "c".repeat(6_000)).await;
    let other = ann.new_session().await;
    let _ = ann.put(&other.path("/files/d"), "d").await.refused(507, "storage-full");
    let _ = ann.delete(&session.path("")).await.good();
    other.put_file("d", "d".repeat(10_000)).await;
    check_sound(server).await;
}

#[tokio::test]
async fn r34_a_guest_near_the_end_of_its_tenant_s_storage_sees_enospc_and_goes_on() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"stored_bytes": 300_000})).await;
    let _ = ann.new_session().with_file("a", "a".repeat(100_000)).await;
    // A component's stream has no word for it but EIO.
    for (dress, full) in guests::FS_SCRIPT.dresses().into_iter().zip(["ENOSPC", "I/O error"]) {
        let session = ann.new_session().await;
        let script = "put /b 150000 1\nput /c 50001 2\nput /d 50000 3\n";
        let job = session.new_job(dress).stdin(script).run().await.succeeded();
        let told = job.lines().await;
        assert!(told[0] == "ok" && told[1].contains(full), "{told:?}");
        assert!(usage(&server, "acme", "stored_bytes").await <= 300_000);
        assert_eq!(session.file("b").await.map(|content| content.len()), Some(150_000));
        let _ = ann.delete(&session.path("")).await.good();
    }
    // Nothing is stored of what lies outside a session.
    let outside = ann.new_job(guests::FS_SCRIPT).stdin("put /b 400000 1\n").run().await.succeeded();
    assert_eq!(outside.lines().await, ["ok"]);
}

/// A guest that has begun, and will write so many bytes when it is told to.
fn writer(client: &sessile_kit::Client, session: &Session) -> Run {
    let mut run = Run::begin(client, "puppet", "wall_ms=100000", Some(session), "TE: trailers\r\n");
    assert_eq!(run.head().0, 200);
    run
}

fn write_and_end(mut run: Run, bytes: usize) -> String {
    run.send(format!("write {}\n", "x".repeat(bytes)).as_bytes());
    run.send(b"");
    while !run.chunk().expect("the body ends whole").is_empty() {}
    run.fields().expect("the trailers are whole")["job-outcome"].clone()
}

#[tokio::test]
async fn r34_two_jobs_side_by_side_do_not_both_get_the_last_room() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"stored_bytes": 150_000})).await;
    ann.ready(guests::PUPPET).await;
    let sessions = [ann.new_session().await, ann.new_session().await];
    let [first, second] = [writer(&ann, &sessions[0]), writer(&ann, &sessions[1])];
    assert_eq!(write_and_end(first, 100_000), "succeeded");
    assert_eq!(write_and_end(second, 100_000), "failed; reason=storage-full");
    assert_eq!(sessions[1].files().await, Vec::<String>::new());
    assert_eq!(usage(&server, "acme", "stored_bytes").await, 100_000);
    let failed = ann.list("/v1/jobs?state=failed").await;
    let detail = failed[0]["outcome"]["detail"].as_str().unwrap();
    assert!(detail.contains("`stored_bytes` of the tenant's quota is 150000"), "{detail}");
    check_sound(server).await;
}

#[tokio::test]
async fn r34_what_a_job_makes_last_is_bound_too_in_the_session_that_it_creates_and_at_its_own_commits() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"stored_bytes": 10_000})).await;
    let [long, short] = ["x".repeat(10_001), "x".repeat(6_000)];
    let creator = ann.new_job(guests::SESSION_OPS).args(["create", "made", "write", "/f", &long]);
    let _ = creator.run().await.failed("storage-full");
    assert_eq!(usage(&server, "acme", "stored_bytes").await, 0);

    // The bytes before stay in the session's history, so the second commit would pass the quota, not the disk.
    let explicit = ann.new_session().with("transaction", "explicit").await;
    let other = "y".repeat(6_000);
    let words = ["write", "/f", &short, "commit", "write", "/f", &other, "commit", "write", "/f", "z", "commit"];
    let job = explicit.new_job(guests::SESSION_OPS).args(words).run().await.succeeded();
    let told = job.lines().await;
    assert!(told[0].ends_with("Ok(())") && told[1].contains("Err(Quota") && told[2].ends_with("Ok(())"), "{told:?}");
    assert_eq!(explicit.text("f").await, "z");
    check_sound(server).await;
}

#[tokio::test]
async fn r34_modules_and_their_bytes_are_counted_and_a_deletion_gives_them_back() {
    let server = TestServer::start().await;
    let bytes = |guest: Guest| guest.dresses()[0].bytes();
    let (hello, params) = (bytes(guests::HELLO), bytes(guests::PARAMS));
    let on_disk = || std::fs::read_dir(server.data().join("modules")).unwrap().count();
    let ann = tenant(&server, "acme", &json!({"modules": 1, "module_bytes": hello.len()})).await;
    let _ = ann.upload("hello", hello.clone()).await.good();
    // The same bytes again are no new version.
    let _ = ann.upload("hello", hello.clone()).await.good();
    let kept = on_disk();
    check_refused(ann.upload("other", params.clone()).await, 429, "quota-exceeded", "modules", 1);
    check_refused(ann.upload("hello", params.clone()).await, 429, "quota-exceeded", "modules", 1);
    set(&server, "acme", &json!({"modules": 2})).await;
    check_refused(ann.upload("other", params.clone()).await, 507, "storage-full", "module_bytes", hello.len() as u64);
    assert_eq!(on_disk(), kept, "nothing of a refused upload stays");
    assert_eq!(usage(&server, "acme", "modules").await, 1);
    assert_eq!(usage(&server, "acme", "module_bytes").await, hello.len() as u64);
    let _ = server.upload("params", params.clone()).await.good();

    let _ = ann.delete("/v1/modules/hello").await.good();
    assert_eq!(usage(&server, "acme", "module_bytes").await, 0);
    set(&server, "acme", &json!({"module_bytes": params.len()})).await;
    let _ = ann.upload("other", params).await.good();
    let _ = ann.delete("/v1/modules/other/versions/1").await.good();
    assert_eq!(usage(&server, "acme", "modules").await, 0);
    check_sound(server).await;
}
