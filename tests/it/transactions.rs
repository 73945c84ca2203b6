//! R22 and R24: a job that succeeds keeps all it changed; any other keeps nothing.

use serde_json::Value;
use sessile_kit::Guest;
use sessile_kit::Job;
use sessile_kit::NewJob;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// What each sin finds, and what must be as before when it is over.
async fn session_with_something(server: &TestServer) -> Session {
    let session = server.new_session().with_param("kept", "as it was").with_param("other", "too");
    session.with_file("kept.txt", "as it was").with_file("folder/inside.txt", "too").await
}

/// Runs the guest, in every dress it has, in a session with something in it,
/// and demands that nothing of it stays.
async fn check(guest: Guest, order: impl Fn(NewJob) -> NewJob, ending: impl Fn(Job) -> Job) {
    let server = TestServer::start().await;
    for dress in guest.dresses() {
        let session = session_with_something(&server).await;
        let before = session.snapshot().await;
        let commit = session.show().await["commit"].clone();

        let job = ending(order(session.new_job(dress.clone())).run().await);

        assert_eq!(job.json["result"], Value::Null, "{}: a result of a failed job stays", dress.name);
        assert_eq!(session.snapshot().await, before, "{}", dress.name);
        assert_eq!(session.show().await["commit"], commit, "{}", dress.name);
        // The next job finds the directory as the last commit left it, not as the failed job did.
        let told = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
        assert_eq!(told, "/folder\n/folder/inside.txt\n/kept.txt\n2 entries in .\n", "{}", dress.name);
    }
}

#[tokio::test]
async fn r22_a_job_that_succeeds_keeps_files_parameters_and_result_together() {
    let server = TestServer::start().await;
    for dress in guests::SLEEP.dresses() {
        let session = session_with_something(&server).await;
        let commit = session.show().await["commit"].as_u64().expect("a session counts its commits");

        let job = session.new_job(dress).args(["1"]).run().await.succeeded();

        assert_eq!(job.json["result"]["mark"], true);
        assert_eq!(session.param("mark").await.as_deref(), Some("left"));
        assert_eq!(session.param("kept").await.as_deref(), Some("overwritten"));
        assert_eq!(session.text("kept.txt").await, "overwritten by a job that must leave nothing\n");
        assert_eq!(session.text("marks/deep/er.txt").await, "deep");
        assert_eq!(session.show().await["commit"].as_u64(), Some(commit + 1));
    }
}

#[tokio::test]
async fn r22_a_trap_leaves_nothing_behind() {
    check(guests::WRITE_THEN_TRAP, |job| job, |job| job.failed("trap")).await;
}

#[tokio::test]
async fn r22_an_exit_code_other_than_0_leaves_nothing_behind() {
    check(guests::WRITE_THEN_EXIT, |job| job, |job| job.failed("exit")).await;
}

#[tokio::test]
async fn r22_a_stack_overflow_leaves_nothing_behind() {
    check(guests::STACK_OVERFLOW, |job| job, |job| job.failed("trap")).await;
}

#[tokio::test]
async fn r22_a_wall_time_out_while_computing_leaves_nothing_behind() {
    check(guests::SPIN, |job| job.limit("wall_ms", 500), |job| job.failed("wall-timeout")).await;
}

#[tokio::test]
async fn r22_a_wall_time_out_while_waiting_leaves_nothing_behind() {
    check(guests::SLEEP, |job| job.limit("wall_ms", 500), |job| job.failed("wall-timeout")).await;
}

#[tokio::test]
async fn r22_a_memory_limit_leaves_nothing_behind() {
    check(guests::EAT_MEMORY, |job| job.limit("memory_bytes", 64 << 20), |job| job.failed("memory-limit")).await;
}

#[tokio::test]
async fn r22_an_output_limit_leaves_nothing_behind() {
    check(guests::FLOOD_STDOUT, |job| job.limit("output_bytes", 64 << 10), |job| job.failed("output-limit")).await;
}

#[tokio::test]
async fn r22_a_cancel_leaves_nothing_behind() {
    let server = TestServer::start().await;
    for guest in [guests::SPIN, guests::SLEEP] {
        for dress in guest.dresses() {
            let session = session_with_something(&server).await;
            let before = session.snapshot().await;
            let job = session.new_job(dress).limit("wall_ms", 600_000).submit().await.until_running().await;
            job.end().await;
            assert_eq!(session.snapshot().await, before);
        }
    }
}

#[tokio::test]
async fn r22_a_failed_job_does_not_disturb_those_before_and_after_it() {
    let server = TestServer::start().await;
    for dress in guests::COUNTER_FILE.dresses() {
        let session = server.new_session().await;
        for trap in [false, true, true, false, true, false] {
            let order = session.new_job(dress.clone());
            if trap {
                let _ = order.args(["trap"]).run().await.failed("trap");
            } else {
                let _ = order.run().await.succeeded();
            }
        }
        assert_eq!(session.text("counter").await, "3", "{}", dress.name);
        assert_eq!(session.param("counter").await.as_deref(), Some("3"), "{}", dress.name);
    }
}

#[tokio::test]
async fn r22_a_thousand_new_files_stay_or_go_as_one() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let _ = session.run(guests::MANY_FILES).await.succeeded();
    assert_eq!(session.entries().await.iter().filter(|(_, kind)| kind == "file").count(), 1_000);
    assert_eq!(session.text("many/009/999.txt").await, "999");
    let held = session.show().await["files"].as_u64().expect("a session counts its files");
    assert!(held >= 1_000, "{held}");
}

#[tokio::test]
async fn r22_large_files_are_kept_whole() {
    let server = TestServer::start().await;
    for dress in guests::WRITE_BIG.dresses() {
        let session = server.new_session().await;
        // On each side of every border at which a server might store a file in another way.
        for bytes in [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 3_000_001] {
            let _ = session.new_job(dress.clone()).args([bytes.to_string()]).run().await.succeeded();
            let content = session.file("big.bin").await.expect("the file stays");
            assert_eq!(content.len(), bytes, "{}", dress.name);
            assert!(content.iter().enumerate().all(|(n, byte)| *byte == n.to_le_bytes()[0]), "{bytes} bytes");
        }
    }
}

#[tokio::test]
async fn r24_a_job_outside_a_session_is_a_transaction_of_its_own() {
    let server = TestServer::start().await;
    for dress in guests::REPORT.dresses() {
        let job = server.new_job(dress).args([r#"{"pages": 3}"#]).run().await.succeeded();
        assert_eq!(job.json["result"]["pages"], 3);
        assert_eq!(job.json["session"], Value::Null);
    }
    for dress in guests::WRITE_THEN_TRAP.dresses() {
        let job = server.new_job(dress).run().await.failed("trap");
        assert_eq!(job.json["result"], Value::Null);
    }
}
