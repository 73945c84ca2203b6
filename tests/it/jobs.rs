//! `/v1/jobs`: submit, wait, look, read the output.

use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use sessile_kit::TestServer;
use sessile_kit::guests;

#[tokio::test]
async fn a_job_is_accepted_and_found_under_its_location() {
    let server = TestServer::start().await;
    let answer = server.new_job(guests::HELLO).answer().await.expect(202);
    let job = answer.json();
    assert_eq!(answer.header("location"), Some(format!("/v1/jobs/{}", job["id"].as_str().unwrap()).as_str()));
    assert!(matches!(job["state"].as_str(), Some("queued" | "running")), "{job:#}");
    assert_is_uuid_v4(job["id"].as_str().unwrap());
    let done = server.job(job["id"].as_str().unwrap()).await.wait().await.succeeded().json;

    for name in ["created_at", "started_at", "ended_at"] {
        assert!(done[name].as_str().is_some_and(|time| time.ends_with('Z')), "`{name}` in {done:#}");
    }
    for name in ["queue_ms", "wall_ms", "cpu_ms", "memory_peak_bytes", "stdout_bytes", "stderr_bytes"] {
        assert!(done[name].is_u64(), "`{name}` in {done:#}");
    }
    assert_eq!(done["module"].as_str().unwrap().split('@').next(), Some("hello"));
    assert!(done["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(done["session"], Value::Null);
    assert_eq!(done["attempt"], 1);
    assert_eq!(done["stdout_truncated"], false);
    assert!(done["memory_peak_bytes"].as_u64().unwrap() >= 65_536);
}

#[tokio::test]
async fn a_client_that_waits_gets_the_ended_job_in_one_request() {
    let server = TestServer::start().await;
    let answer = server.new_job(guests::HELLO).prefer("wait=60").answer().await.expect(200);
    assert_eq!(answer.json()["state"], "succeeded");
    let failed = server.new_job(guests::WRITE_THEN_TRAP).prefer("wait=60").answer().await.expect(200);
    assert_eq!(failed.json()["state"], "failed");
}

/// As it is written: 8-4-4-4-12 lower-case digits.
#[track_caller]
fn assert_is_uuid_v4(id: &str) {
    let shape: String = id.chars().map(|c| if matches!(c, '0'..='9' | 'a'..='f') { 'x' } else { c }).collect();
    assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "{id}");
    assert!(id[14..].starts_with('4') && id[19..].starts_with(['8', '9', 'a', 'b']), "{id}");
}

#[tokio::test]
async fn who_waits_is_told_what_the_record_says() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let report = || session.new_job(guests::REPORT).args(["[1, 2]"]);
    for order in [
        server.new_job(guests::HELLO),
        server.new_job(guests::WRITE_THEN_TRAP),
        server.new_job(guests::HELLO).session("nobody-made-it"),
        server.new_job(guests::FLOOD_STDOUT).limit("output_bytes", 1_000),
        report().with("labels", serde_json::json!({"a": "b"})),
        report().with("commit", false),
        session.new_job(guests::REMEMBER).id("chosen"),
    ] {
        let told = order.run().await;
        assert_eq!(told.json, told.look().await.json);
    }
}

#[tokio::test]
async fn a_client_that_has_waited_long_enough_gets_the_job_as_it_is() {
    let server = TestServer::start().await;
    let start = Instant::now();
    let answer = server.new_job(guests::STAY).prefer("wait=1").answer().await.expect(202);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    server.job(answer.json()["id"].as_str().unwrap()).await.end().await;
}

#[tokio::test]
async fn a_job_gets_its_arguments_environment_and_stdin() {
    let server = TestServer::start().await;
    for dress in guests::WHOAMI.dresses() {
        let order = server.new_job(dress.clone()).args(["one", "", "drei für"]).env("KEY", "a=b");
        let told = order.stdin("line\nand ü").run().await.succeeded().stdout().await;
        let start = format!("arg 0 {}\narg 1 one\narg 2 \narg 3 drei für\nenv KEY=a=b\n", dress.name);
        assert!(told.starts_with(&start), "{told}");
        assert!(told.contains("stdin line\nand ü\n"), "{told}");
    }
}

#[tokio::test]
async fn stdin_may_be_any_bytes_in_base64() {
    let server = TestServer::start().await;
    let told = server.new_job(guests::WHOAMI).with("stdin_base64", "aGVsbG8=").run().await.succeeded().stdout().await;
    assert!(told.contains("stdin hello\n"), "{told}");
    let both = server.new_job(guests::WHOAMI).stdin("a").with("stdin_base64", "aGVsbG8=").answer().await;
    let _ = both.refused(400, "invalid-request");
    let _ = server.new_job(guests::WHOAMI).with("stdin_base64", "***").answer().await.refused(400, "invalid-request");
}

#[tokio::test]
async fn stdout_and_stderr_are_kept_apart_and_read_in_parts() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::WHOAMI).run().await.succeeded();
    assert_eq!(job.stderr().await, "this is stderr\n");
    let stdout = job.stdout().await;
    assert!(!stdout.contains("stderr"), "{stdout}");
    assert_eq!(job.json["stdout_bytes"], stdout.len());
    assert_eq!(job.json["stderr_bytes"], 15);

    let path = format!("/v1/jobs/{}/stderr", job.id());
    let part = server.send(server.request(Method::GET, &path).header("range", "bytes=5-6")).await.expect(206);
    assert_eq!(part.text(), "is");
}

#[tokio::test]
async fn progress_is_seen_while_the_job_runs() {
    let server = TestServer::start().await;
    for dress in guests::REPORT.dresses() {
        let job = server.new_job(dress).args(["{}", "sleep"]).submit().await;
        let seen = sessile_kit::until("progress is seen", || async {
            let now = job.look().await;
            assert!(!now.has_ended(), "{:#}", now.json);
            Some(now.json["progress"].clone()).filter(|progress| !progress.is_null())
        })
        .await;
        assert_eq!(seen["fraction"], 0.5, "{seen}");
        assert_eq!(seen["message"], "half way", "{seen}");
        job.end().await;
    }
}

#[tokio::test]
async fn a_result_is_any_json_and_nothing_else() {
    let server = TestServer::start().await;
    for dress in guests::REPORT.dresses() {
        for text in [r#"{"a": [1, null, "ü"]}"#, "7", "\"text\"", "null"] {
            let job = server.new_job(dress.clone()).args([text]).run().await.succeeded();
            assert_eq!(job.stdout().await, "true\n", "{text}");
            assert_eq!(job.json["result"], serde_json::from_str::<Value>(text).unwrap());
        }
        let job = server.new_job(dress).args(["{not json"]).run().await.succeeded();
        assert_eq!(job.stdout().await, "false\n");
        assert_eq!(job.json["result"], Value::Null);
    }
}

#[tokio::test]
async fn jobs_are_listed_by_session_state_and_module() {
    let server = TestServer::start().await;
    let (one, other) = (server.new_session().await, server.new_session().await);
    let in_one = one.run(guests::HELLO).await.succeeded();
    let in_other = other.run(guests::WRITE_THEN_TRAP).await.failed("trap");
    let outside = server.new_job(guests::HELLO).run().await.succeeded();

    let listed = async |query: &str| {
        let items = server.list(&format!("/v1/jobs?{query}")).await;
        let mut ids: Vec<_> = items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let sorted = |jobs: &[&sessile_kit::Job]| {
        let mut ids: Vec<_> = jobs.iter().map(|job| job.id().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(listed("").await, sorted(&[&in_one, &in_other, &outside]));
    assert_eq!(listed(&format!("session={}", one.id())).await, sorted(&[&in_one]));
    assert_eq!(listed("state=failed").await, sorted(&[&in_other]));
    assert_eq!(listed("module=hello").await, sorted(&[&in_one, &outside]));
}

#[tokio::test]
async fn parameters_come_in_the_environment_when_asked_for() {
    let server = TestServer::start().await;
    let session = server.new_session().with_param("city", "Utrecht").with_param("not an identifier", "x").await;
    for dress in guests::WHOAMI.dresses() {
        let with = session.new_job(dress.clone()).with("params_in_env", true).run().await.succeeded().stdout().await;
        assert!(with.contains("env PARAM_city=Utrecht\n"), "{with}");
        assert!(!with.contains("PARAM_not"), "{with}");
        let without = session.run(dress).await.succeeded().stdout().await;
        assert!(!without.contains("PARAM_"), "{without}");
    }
}
