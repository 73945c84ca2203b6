//! R34: one tenant's load does not starve another.

use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Client;
use sessile_kit::Job;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// Longer than any test here may take.
const FOR_EVER_MS: u64 = 600_000;

/// A second tenant beside the one that the server starts with.
async fn another_tenant(server: &TestServer) -> Client {
    let _ = server.post("/v1/admin/tenants", &json!({"id": "quiet"})).await.expect(201);
    server.principal_of("quiet", "bob", &["submit", "modules"]).await
}

/// Jobs that compute until they are stopped, more than the server has slots for.
async fn flood(server: &TestServer, count: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    for _ in 0..count {
        let job = server.new_job(guests::SPIN).limit("wall_ms", FOR_EVER_MS).limit("cpu_ms", FOR_EVER_MS);
        jobs.push(job.submit().await);
    }
    jobs
}

#[tokio::test]
async fn r34_a_tenant_whose_jobs_never_end_does_not_keep_another_from_its_slots() {
    let server = TestServer::with("slots", 2).start().await;
    let quiet = another_tenant(&server).await;
    let jobs = flood(&server, 40).await;

    // Nothing of the flood ends, so each of these can only run between its slices.
    let session = quiet.new_session().await;
    for _ in 0..10 {
        let _ = session.run(guests::COUNTER_FILE).await.succeeded();
    }
    assert_eq!(session.text("counter").await, "10");

    // A guest that gave way goes on, and counts what it used.
    let running = server.list("/v1/jobs?state=running").await;
    assert_eq!(running.len(), 2);
    for job in jobs {
        job.end().await;
    }
}

/// The promise is a second for a start and a tenth of one for `/healthz`, at the 99th percentile; the bench measures
/// that. Here other tests use the machine too, so what counts is the order, and that nothing hangs.
#[tokio::test]
async fn b34_jobs_start_and_the_server_answers_while_another_tenant_runs_64_hostile_jobs() {
    const PATIENCE: Duration = Duration::from_secs(20);
    let server = TestServer::start().await;
    let quiet = another_tenant(&server).await;
    let mut hostile = flood(&server, 32).await;
    for _ in 0..32 {
        hostile.push(server.new_job(guests::STAY).limit("wall_ms", FOR_EVER_MS).submit().await);
    }
    let session = quiet.new_session().await;
    let (mut starts, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        let asked = Instant::now();
        let _ = session.run(guests::COUNTER_FILE).await.succeeded();
        starts.push(asked.elapsed());
        let asked = Instant::now();
        let _ = quiet.get("/healthz").await.expect(200);
        answers.push(asked.elapsed());
    }
    for job in &hostile {
        assert!(!job.look().await.has_ended(), "none of the small jobs had to wait for the end of any of these");
    }
    starts.sort();
    answers.sort();
    eprintln!("median and longest of a small job: {:?}, {:?}", starts[15], starts[29]);
    eprintln!("median and longest of /healthz: {:?}, {:?}", answers[15], answers[29]);
    assert!(starts[29] < PATIENCE && answers[29] < PATIENCE);
    for job in hostile {
        job.end().await;
    }
}

/// It does nothing, so that it comes to be trusted; called with an argument, it computes for ever.
const LIES_IN_WAIT: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $args (i32.const 0) (i32.const 4)))
        (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1)) (then (loop (br 0))))))"#;

#[tokio::test]
async fn b34_a_module_that_lies_in_wait_holds_nobody_up() {
    let server = TestServer::start().await;
    let _ = server.upload("patient", wat::parse_str(LIES_IN_WAIT).unwrap()).await.good();
    let order = |args: &[&str]| json!({"module": "patient", "args": args, "limits": {"wall_ms": FOR_EVER_MS, "cpu_ms": FOR_EVER_MS}});
    let wait = |order: Value| server.request(Method::POST, "/v1/jobs").header("prefer", "wait=60").json(&order);
    for _ in 0..200 {
        let job = server.send(wait(order(&[]))).await.good().json();
        assert_eq!(job["state"], "succeeded", "{job:#}");
    }
    let mut lying = Vec::new();
    for _ in 0..32 {
        let job = server.post("/v1/jobs", &order(&["now"])).await.expect(202).json();
        lying.push(server.job(job["id"].as_str().unwrap()).await);
    }
    let quiet = another_tenant(&server).await;
    for _ in 0..10 {
        let _ = quiet.get("/healthz").await.expect(200);
        let _ = quiet.new_job(guests::HELLO).run().await.succeeded();
    }
    for job in lying {
        assert!(!job.look().await.has_ended());
        job.end().await;
    }
}

#[tokio::test]
async fn r34_a_guest_that_has_given_way_keeps_its_limits() {
    let server = TestServer::with("slots", 1).start().await;
    let quiet = another_tenant(&server).await;
    let long = server.new_job(guests::SPIN).limit("wall_ms", FOR_EVER_MS).limit("cpu_ms", 1_000).submit().await;
    let other = quiet.new_job(guests::SPIN).limit("wall_ms", 2_000).limit("cpu_ms", FOR_EVER_MS).submit().await;
    let _ = long.wait().await.failed("cpu-limit");
    let _ = other.wait().await.failed("wall-timeout");
    let _ = quiet.new_job(guests::HELLO).run().await.succeeded();
}

#[tokio::test]
async fn r34_a_tenant_has_no_more_jobs_under_way_than_its_quota_allows() {
    let server = TestServer::with("slots", 2).start().await;
    let quiet = another_tenant(&server).await;
    let _ = server.patch("/v1/admin/tenants/quiet/quota", &json!({"running_jobs": 1})).await.expect(200);
    let one = quiet.new_job(guests::STAY).submit().await.until_running().await;
    let next = quiet.new_job(guests::HELLO).submit().await;

    // A slot is free, and not for this tenant.
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    assert_eq!(next.look().await.state(), "queued");
    one.end().await;
    let _ = next.wait().await.succeeded();
}

#[tokio::test]
async fn r34_short_jobs_of_a_tenant_pass_its_long_ones_if_its_quota_lets_them_begin() {
    let server = TestServer::with("slots", 1).start().await;
    let _ = server.patch("/v1/admin/tenants/dev/quota", &json!({"running_jobs": 3})).await.expect(200);
    let jobs = flood(&server, 2).await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    for job in jobs {
        job.end().await;
    }
}

#[tokio::test]
async fn r34_short_jobs_pass_long_ones_on_a_server_as_it_comes() {
    let server = TestServer::start().await;
    // As many as there are slots for.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut jobs = Vec::new();
    for job in flood(&server, 4 * processors).await {
        jobs.push(job.until_running().await);
    }
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    for job in jobs {
        job.end().await;
    }
}

#[tokio::test]
async fn b08_the_jobs_of_a_tenant_share_the_memory_that_its_quota_allows() {
    let server = TestServer::start().await;
    let quiet = another_tenant(&server).await;
    let small = json!({"running_memory_bytes": 32 << 20});
    let _ = server.patch("/v1/admin/tenants/quiet/quota", &small).await.expect(200);
    let job = quiet.new_job(guests::EAT_MEMORY).limit("memory_bytes", 256 << 20).run().await;
    let job = job.failed("memory-limit");
    let detail = job.json["outcome"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("the jobs of its tenant hold"), "{detail}");
    // What it held is given back, and another tenant did not feel it.
    let _ = quiet.new_job(guests::HELLO).run().await.succeeded();
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
}

#[tokio::test]
async fn b08_all_guests_share_the_memory_that_the_server_has_for_them() {
    let server = TestServer::with("guest_memory_bytes_max", 256 << 20).start().await;
    let all = json!({"running_memory_bytes": 1_u64 << 40});
    let _ = server.patch("/v1/admin/tenants/dev/quota", &all).await.expect(200);
    let job = server.new_job(guests::EAT_MEMORY).limit("memory_bytes", 1 << 30).run().await;
    let _ = job.failed("host-error");
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
}

#[tokio::test]
async fn r32_a_job_that_waits_to_go_on_is_cancelled_at_once() {
    let server = TestServer::with("slots", 1).start().await;
    let quiet = another_tenant(&server).await;
    let mut jobs = flood(&server, 1).await;
    let others = async {
        let job = quiet.new_job(guests::SPIN).limit("wall_ms", FOR_EVER_MS).limit("cpu_ms", FOR_EVER_MS);
        job.submit().await.until_running().await
    };
    jobs.push(others.await);
    // Two guests have begun on one slot: whichever has it, either can be stopped.
    for job in jobs {
        job.end().await;
    }
}
