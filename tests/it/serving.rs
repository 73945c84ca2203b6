//! The server as a program: how it starts, says that it is ready, and stops.

use std::process::Command;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::server_binary;

/// Runs the server's binary with arguments that it must refuse.
fn refused_start(args: &[&str]) -> String {
    let output: Output = Command::new(server_binary()).args(args).output().unwrap();
    assert!(!output.status.success(), "{args:?} was taken");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "a server that is not ready says nothing on stdout");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn dev_listens_on_loopback_only() {
    let ground = tempfile::tempdir().unwrap();
    let data = ground.path().to_str().unwrap();
    let said = refused_start(&["serve", "--dev", "--data", data, "--listen", "0.0.0.0:0"]);
    assert!(said.contains("0.0.0.0:0") && said.contains("loopback"), "{said}");
}

#[tokio::test]
async fn a_wrong_configuration_stops_the_start_with_its_name() {
    let ground = tempfile::tempdir().unwrap();
    let file = ground.path().join("sessile.toml");
    std::fs::write(&file, "slotz = 3\n").unwrap();
    let said = refused_start(&["serve", "--config", file.to_str().unwrap()]);
    assert!(said.contains("slotz"), "{said}");
}

#[tokio::test]
async fn a_configuration_file_is_read() {
    let ground = tempfile::tempdir().unwrap();
    let file = ground.path().join("sessile.toml");
    std::fs::write(&file, "unknown_sessions = \"reject\"\n").unwrap();
    let server = TestServer::with_config(&file).start().await;
    let _ = server.session("unknown").new_job(guests::HELLO).answer().await.refused(404, "not-found");
}

#[tokio::test]
async fn b36_a_second_server_on_the_same_data_is_refused() {
    let server = TestServer::start().await;
    let data = server.data();
    let said = refused_start(&["serve", "--dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(said.to_lowercase().contains("another") || said.contains("in use"), "{said}");
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
}

#[tokio::test]
async fn the_dev_key_of_existing_data_is_kept() {
    let mut server = TestServer::start().await;
    // The kit goes on with the key of the first start, whatever the second prints.
    let session = server.new_session().with_param("a", "1").await;
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    server.restart();
    assert_eq!(session.param("a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn b37_sigterm_lets_running_jobs_end_and_keeps_queued_ones() {
    let mut server = TestServer::with("drain_timeout_ms", 60_000).start().await;
    let session = server.new_session().await;
    let running = session.new_job(guests::SLEEP).args(["1500"]).submit().await.until_running().await;
    let queued = session.new_job(guests::APPEND).args(["later"]).submit().await;

    server.ask_to_stop();
    assert!(server.stopped().await.success(), "a drained server has not failed");
    server.restart();

    assert_eq!(running.wait().await.succeeded().json["attempt"], 1);
    assert_eq!(session.param("mark").await.as_deref(), Some("left"));
    let _ = queued.wait().await.succeeded();
    assert_eq!(session.text("log").await, "later\n");
}

#[tokio::test]
async fn b37_sigterm_cancels_what_outlives_the_grace_time() {
    let mut server = TestServer::with("drain_timeout_ms", 300).start().await;
    let session = server.new_session().with_file("kept.txt", "as it was").await;
    let before = session.snapshot().await;
    let sleeping = session.new_job(guests::SLEEP).submit().await.until_running().await;
    let spinning = server.new_job(guests::SPIN).limit("wall_ms", 600_000).submit().await.until_running().await;

    let start = Instant::now();
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    server.restart();

    let _ = sleeping.wait().await.cancelled();
    let _ = spinning.wait().await.cancelled();
    assert_eq!(session.snapshot().await, before);
}

#[tokio::test]
async fn b37_a_waiting_client_is_answered_before_a_drained_server_ends() {
    let mut server = TestServer::with("drain_timeout_ms", 60_000).start().await;
    server.ready(guests::SLEEP).await;
    let id = "waited-for";
    let waiting = tokio::spawn(server.new_job(guests::SLEEP).args(["1500"]).id(id).run());
    sessile_kit::until("the job runs", || async {
        let answer = server.get(&format!("/v1/jobs/{id}")).await;
        (answer.status == 200 && answer.json()["state"] == "running").then_some(())
    })
    .await;

    server.ask_to_stop();
    let _ = waiting.await.unwrap().succeeded();
    assert!(server.stopped().await.success());
}

#[tokio::test]
async fn b37_a_draining_server_takes_no_new_jobs() {
    let mut server = TestServer::with("drain_timeout_ms", 60_000).start().await;
    let running = server.new_job(guests::STAY).limit("wall_ms", 600_000).submit().await.until_running().await;
    // A connection that is open already; a server may also stop listening at once.
    let _ = server.get("/readyz").await.expect(200);
    server.ask_to_stop();
    sessile_kit::until("the server turns jobs away", || async {
        match server.new_job(guests::STAY).try_answer().await {
            Ok(answer) if answer.status == 503 => {
                assert!(answer.header("retry-after").is_some());
                let _ = answer.refused(503, "unavailable");
                Some(())
            }
            // Until the signal has arrived, jobs are taken as before.
            Ok(answer) => {
                let _ = answer.expect(202);
                None
            }
            Err(_) => Some(()),
        }
    })
    .await;
    assert!(server.is_alive(), "a running job was not waited for");
    server.kill9();
    server.restart();
    running.until_running().await.end().await;
}
