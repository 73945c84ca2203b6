//! The core imports of GUEST.md, called as no compiler would call them: with
//! bad pointers, short buffers and broken text.

use sessile_kit::Job;
use sessile_kit::TestServer;

/// A module whose `_start` is `body`, with every import by its short name, one
/// page of memory, and `(call $is EXPECTED)` that traps unless the value on the
/// stack is the expected one.
fn module(body: &str) -> Vec<u8> {
    let wat = format!(
        r#"(module
            (import "sessile_v0" "session_active" (func $session_active (result i32)))
            (import "sessile_v0" "session_id" (func $session_id (param i32 i32) (result i32)))
            (import "sessile_v0" "param_get" (func $param_get (param i32 i32 i32 i32) (result i32)))
            (import "sessile_v0" "param_set" (func $param_set (param i32 i32 i32 i32) (result i32)))
            (import "sessile_v0" "param_remove" (func $param_remove (param i32 i32) (result i32)))
            (import "sessile_v0" "param_names" (func $param_names (param i32 i32) (result i32)))
            (import "sessile_v0" "job_id" (func $job_id (param i32 i32) (result i32)))
            (import "sessile_v0" "job_attempt" (func $job_attempt (result i32)))
            (import "sessile_v0" "job_remaining_ms" (func $job_remaining_ms (result i64)))
            (import "sessile_v0" "job_progress" (func $job_progress (param f64 i32 i32)))
            (import "sessile_v0" "job_set_result" (func $job_set_result (param i32 i32) (result i32)))
            (import "sessile_v0" "job_log" (func $job_log (param i32 i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "city")
            (data (i32.const 16) "Utrecht")
            (data (i32.const 32) "\ff\fe\fd")
            (data (i32.const 48) "a\0ab")
            (data (i32.const 64) "{{\"n\": 1}}")
            (func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
            (func (export "_start") {body}))"#
    );
    wat::parse_str(wat).unwrap()
}

/// Runs `body` in a session with the parameter `city=Utrecht`.
async fn run(server: &TestServer, body: &str) -> (Job, sessile_kit::Session) {
    let session = server.new_session().with_param("city", "Utrecht").await;
    let _ = server.upload("by-hand", module(body)).await.good();
    let order = serde_json::json!({"module": "by-hand", "session": session.id()});
    let request = server.request(reqwest::Method::POST, "/v1/jobs").header("prefer", "wait=60").json(&order);
    let id = server.send(request).await.expect(200).json()["id"].as_str().unwrap().to_owned();
    (server.job(&id).await, session)
}

async fn check_well(body: &str) {
    let server = TestServer::start().await;
    let (job, _) = run(&server, body).await;
    let _ = job.succeeded();
}

async fn check_traps(calls: &[&str]) {
    let mut server = TestServer::start().await;
    for call in calls {
        let (job, _) = run(&server, call).await;
        let job = job.failed("trap");
        assert!(!job.detail().is_empty(), "{call}");
    }
    assert!(server.is_alive());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn b26_a_pointer_outside_memory_traps() {
    check_traps(&[
        "(drop (call $session_id (i32.const 65536) (i32.const 100)))",
        "(drop (call $param_get (i32.const -1) (i32.const 4) (i32.const 0) (i32.const 4)))",
        "(drop (call $param_get (i32.const 65533) (i32.const 4) (i32.const 0) (i32.const 4)))",
        "(drop (call $param_get (i32.const 0) (i32.const 4) (i32.const 65530) (i32.const 100)))",
        "(drop (call $param_set (i32.const 0) (i32.const 4) (i32.const 65530) (i32.const 100)))",
        "(drop (call $param_set (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 1)))",
        "(drop (call $param_remove (i32.const 70000) (i32.const 1)))",
        "(drop (call $job_id (i32.const 65530) (i32.const 2147483647)))",
        "(drop (call $job_set_result (i32.const 65535) (i32.const 2)))",
        "(call $job_progress (f64.const 0.5) (i32.const 65535) (i32.const 2))",
        "(call $job_log (i32.const 2) (i32.const 65535) (i32.const 2))",
    ])
    .await;
}

#[tokio::test]
async fn b26_a_huge_length_traps_and_costs_the_host_nothing() {
    check_traps(&[
        "(drop (call $param_set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 2147483647)))",
        "(drop (call $job_set_result (i32.const 0) (i32.const -1)))",
        "(call $job_log (i32.const 2) (i32.const 0) (i32.const 2147483647))",
    ])
    .await;
}

#[tokio::test]
async fn b26_a_short_buffer_gets_the_length_and_nothing_else() {
    check_well(
        "(call $is (call $param_get (i32.const 0) (i32.const 4) (i32.const 100) (i32.const 6)) (i32.const 7))
         (call $is (i32.load8_u (i32.const 100)) (i32.const 0))
         (call $is (call $param_get (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0)) (i32.const 7))
         (call $is (call $param_get (i32.const 0) (i32.const 4) (i32.const 100) (i32.const 7)) (i32.const 7))
         (call $is (i32.load8_u (i32.const 100)) (i32.const 85))
         (call $is (i32.load8_u (i32.const 106)) (i32.const 116))
         (call $is (i32.load8_u (i32.const 107)) (i32.const 0))",
    )
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_minus_one() {
    check_well(
        "(call $is (call $param_get (i32.const 16) (i32.const 7) (i32.const 100) (i32.const 50)) (i32.const -1))
         (call $is (call $param_remove (i32.const 16) (i32.const 7)) (i32.const 0))
         (call $is (call $param_remove (i32.const 0) (i32.const 4)) (i32.const 1))
         (call $is (call $param_get (i32.const 0) (i32.const 4) (i32.const 100) (i32.const 50)) (i32.const -1))
         (call $is (call $param_names (i32.const 100) (i32.const 50)) (i32.const 0))",
    )
    .await;
}

#[tokio::test]
async fn b27_broken_text_is_refused_and_never_mended() {
    let server = TestServer::start().await;
    let (job, session) = run(
        &server,
        "(call $is (call $param_set (i32.const 32) (i32.const 3) (i32.const 16) (i32.const 7)) (i32.const -5))
         (call $is (call $param_set (i32.const 0) (i32.const 4) (i32.const 32) (i32.const 3)) (i32.const -5))
         (call $is (call $param_set (i32.const 48) (i32.const 3) (i32.const 16) (i32.const 7)) (i32.const -5))
         (call $is (call $param_set (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 7)) (i32.const -5))
         (call $is (call $job_set_result (i32.const 32) (i32.const 3)) (i32.const -5))
         (call $is (call $job_set_result (i32.const 0) (i32.const 4)) (i32.const -5))",
    )
    .await;
    let job = job.succeeded();
    assert_eq!(job.json["result"], serde_json::Value::Null);
    assert_eq!(session.params().await.len(), 1);
    assert_eq!(session.param("city").await.as_deref(), Some("Utrecht"));
}

#[tokio::test]
async fn b26_names_and_values_have_a_longest_length() {
    check_well(
        "(memory.fill (i32.const 1024) (i32.const 120) (i32.const 300))
         (call $is (call $param_set (i32.const 1024) (i32.const 256) (i32.const 0) (i32.const 1)) (i32.const 0))
         (call $is (call $param_set (i32.const 1024) (i32.const 257) (i32.const 0) (i32.const 1)) (i32.const -5))
         (drop (memory.grow (i32.const 2)))
         (memory.fill (i32.const 1024) (i32.const 120) (i32.const 65537))
         (call $is (call $param_set (i32.const 0) (i32.const 4) (i32.const 1024) (i32.const 65536)) (i32.const 0))
         (call $is (call $param_set (i32.const 0) (i32.const 4) (i32.const 1024) (i32.const 65537)) (i32.const -5))",
    )
    .await;
}

#[tokio::test]
async fn a_good_result_is_kept_and_the_last_one_counts() {
    let server = TestServer::start().await;
    let (job, _) = run(
        &server,
        "(call $is (call $job_set_result (i32.const 65) (i32.const 3)) (i32.const 0))
         (call $is (call $job_set_result (i32.const 64) (i32.const 8)) (i32.const 0))
         (call $is (call $session_active) (i32.const 1))
         (call $is (call $job_attempt) (i32.const 1))
         (call $is (i64.gt_s (call $job_remaining_ms) (i64.const 0)) (i32.const 1))",
    )
    .await;
    assert_eq!(job.succeeded().json["result"]["n"], 1);
}

/// WASI warns of each, and knows no bound.
#[tokio::test]
async fn b29_calls_for_sockets_write_no_log() {
    let server = TestServer::start().await;
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const 1000))
            (loop $again
                (drop (call $shutdown (i32.const 3) (i32.const 1)))
                (drop (call $accept (i32.const 3) (i32.const 0) (i32.const 0)))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#;
    let _ = server.upload("sockets", wat::parse_str(wat).unwrap()).await.expect(201);
    let _ = server.send(server.request(reqwest::Method::POST, "/v1/run/sockets")).await.expect(200);
    assert!(!server.log().contains("sock_"), "{}", server.log());
}

#[tokio::test]
async fn b28_the_host_can_be_called_from_the_start_section() {
    let server = TestServer::start().await;
    let wat = r#"(module
        (import "sessile_v0" "param_set" (func $param_set (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "early")
        (func $begin (drop (call $param_set (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 5))))
        (start $begin)
        (func (export "_start")))"#;
    let session = server.new_session().await;
    let _ = server.upload("early", wat::parse_str(wat).unwrap()).await.expect(201);
    let order = serde_json::json!({"module": "early", "session": session.id()});
    let request = server.request(reqwest::Method::POST, "/v1/jobs").header("prefer", "wait=60").json(&order);
    let id = server.send(request).await.expect(200).json()["id"].as_str().unwrap().to_owned();
    // It works, or it ends this job with a sentence; either way the session is whole.
    let job = server.job(&id).await;
    let expected = (job.state() == "succeeded").then(|| "early".to_owned());
    assert!(expected.is_some() || !job.detail().is_empty(), "{:#}", job.json);
    assert_eq!(session.param("early").await, expected);
}
