//! What passes by itself: queued jobs, requests per second, processor time.

use serde_json::json;
use sessile_kit::Run;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

use super::check_refused;
use super::set;
use super::tenant;
use super::usage;

#[tokio::test]
async fn r34_jobs_wait_up_to_the_quota_and_one_that_leaves_the_line_makes_room() {
    let server = TestServer::with("slots", 1).start().await;
    let ann = tenant(&server, "acme", &json!({"queued_jobs": 2})).await;
    let stay = || ann.new_job(guests::STAY).limit("wall_ms", 600_000);
    let running = stay().submit().await.until_running().await;
    let first = stay().id("first").submit().await;
    let _ = stay().submit().await;
    check_refused(stay().answer().await, 429, "quota-exceeded", "queued_jobs", 2);
    let run = Run::start(&ann, "stay", "", None).read();
    assert_eq!((run.status, run.headers["retry-after"].as_str()), (429, "1"));
    assert_eq!((usage(&server, "acme", "queued_jobs").await, usage(&server, "acme", "running_jobs").await), (2, 1));

    // A retry of what was accepted, other requests and other tenants are not refused.
    assert_eq!(stay().id("first").submit().await.id(), first.id());
    let _ = ann.new_session().with_file("f", "x").await;
    let _ = server.new_job(guests::STAY).submit().await;

    first.end().await;
    let _ = stay().submit().await;
    check_refused(stay().answer().await, 429, "quota-exceeded", "queued_jobs", 2);
    set(&server, "acme", &json!({"queued_jobs": 3})).await;
    let _ = stay().submit().await;
    running.end().await;
}

#[tokio::test]
async fn r34_too_many_requests_in_a_second_are_refused_and_soon_taken_again() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"requests_per_s": 2})).await;
    let look = || ann.get("/v1/sessions");
    // A pause between them would be a rest.
    let mut refused = look().await;
    while refused.status != 429 {
        refused = look().await;
    }
    check_refused(refused, 429, "rate-limited", "requests_per_s", 2);
    // It is the key's tenant that counts, so this costs others nothing, nor those who have no key.
    let _ = server.get("/v1/sessions").await.expect(200);
    assert_eq!(ann.get("/healthz").await.text(), "ok\n");
    assert_eq!(ann.get("/readyz").await.text(), "ok\n");
    let _ = ann.with_key(Some("ssk_0")).get("/v1/sessions").await.refused(401, "unauthorized");
    until("the next request is taken", || async { (look().await.status == 200).then_some(()) }).await;
    set(&server, "acme", &json!({"requests_per_s": 1_000_000})).await;
    for _ in 0..20 {
        let _ = look().await.expect(200);
    }
}

#[tokio::test]
async fn r34_a_tenant_without_processor_time_hands_in_no_job_until_it_has_some_again() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"cpu_s_per_min": 1})).await;
    let session = ann.new_session().await;
    let spin = session.new_job(guests::SPIN).limit("cpu_ms", 1_500);
    let _ = spin.clone().run().await.failed("cpu-limit");
    let answer = spin.clone().answer().await;
    let wait: u64 = answer.header("retry-after").expect("it says when").parse().unwrap();
    assert!((10..=60).contains(&wait), "half a second comes in half a minute, and not in {wait} s");
    check_refused(answer, 429, "quota-exceeded", "cpu_s_per_min", 1);
    let run = Run::start(&ann, "spin", "", Some(&session)).read();
    assert_eq!(run.status, 429);
    // What is no job is taken, and so are another tenant's.
    session.put_file("f", "x").await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    set(&server, "acme", &json!({"cpu_s_per_min": 60})).await;
    let _ = ann.new_job(guests::HELLO).run().await.succeeded();
}
