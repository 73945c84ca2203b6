//! R33 as far as this version has it: a limit that a job meets ends it with the
//! limit's name, and the sentence names the number.

use sessile_kit::Guest;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// Runs a guest, in every dress, into one limit.
async fn check(guest: Guest, limit: (&str, u64), reason: &str, said: &str) {
    let server = TestServer::start().await;
    for dress in guest.dresses() {
        let job = server.new_job(dress.clone()).limit(limit.0, limit.1).run().await.failed(reason);
        assert!(job.detail().contains(said), "{}: {}", dress.name, job.detail());
        let _ = server.new_job(guests::HELLO).run().await.succeeded();
    }
}

#[tokio::test]
async fn r33_wall_time_bounds_a_guest_that_computes() {
    check(guests::SPIN, ("wall_ms", 300), "wall-timeout", "300").await;
}

#[tokio::test]
async fn r33_wall_time_bounds_a_guest_that_waits() {
    check(guests::SLEEP, ("wall_ms", 300), "wall-timeout", "300").await;
}

#[tokio::test]
async fn r33_cpu_time_bounds_a_guest_that_computes() {
    check(guests::SPIN, ("cpu_ms", 300), "cpu-limit", "300").await;
}

#[tokio::test]
async fn r33_cpu_time_does_not_count_while_a_guest_waits() {
    let server = TestServer::start().await;
    for dress in guests::SLEEP.dresses() {
        let order = server.new_job(dress).args(["400"]).limit("cpu_ms", 200);
        let _ = order.run().await.succeeded();
    }
}

#[tokio::test]
async fn r33_memory_is_bounded() {
    check(guests::EAT_MEMORY, ("memory_bytes", 32 << 20), "memory-limit", "33554432").await;
}

/// One that begins small is of the pool, whose maximum is not the module's own.
#[tokio::test]
async fn r33_a_table_is_bounded() {
    let server = TestServer::start().await;
    for (begins, grows) in [(1, 20_000), (20_001, 100_000_000)] {
        let wat = format!(
            r#"(module (memory (export "memory") 1) (table {begins} funcref)
                (func (export "_start") (drop (table.grow (ref.null func) (i32.const {grows})))))"#
        );
        let _ = server.upload("table", wat::parse_str(wat).unwrap()).await.good();
        let run = server.request(reqwest::Method::POST, "/v1/run/table");
        let answer = server.send(run).await.expect(422).json();
        assert_eq!(answer["reason"], "memory-limit", "{begins}: {answer:#}");
    }
}

#[tokio::test]
async fn r33_what_one_call_moves_is_no_limit_of_the_job() {
    let server = TestServer::start().await;
    for dress in guests::LARGE_CALLS.dresses() {
        let session = server.new_session().await;
        let job = session.new_job(dress).limit("output_bytes", 16 << 20).run().await.succeeded();
        assert_eq!(job.json["stdout_bytes"], 9 << 20);
        let (file, printed) = (session.text("large").await, job.stdout().await);
        assert_eq!(file.len(), 9 << 20);
        assert!(file == printed);
    }
}

#[tokio::test]
async fn r33_output_is_bounded() {
    check(guests::FLOOD_STDOUT, ("output_bytes", 10_000), "output-limit", "10000").await;
}

#[tokio::test]
async fn r33_what_fits_into_the_output_limit_is_kept_and_marked_as_cut() {
    let server = TestServer::start().await;
    for dress in guests::FLOOD_STDOUT.dresses() {
        let order = server.new_job(dress.clone()).limit("output_bytes", 10_000);
        let job = order.run().await.failed("output-limit");
        assert_eq!(job.stdout().await, "x".repeat(10_000), "{}", dress.name);
        assert_eq!(job.json["stdout_truncated"], true);
        assert_eq!(job.json["stdout_bytes"], 10_000);

        let order = server.new_job(dress).args(["stderr"]).limit("output_bytes", 10_000);
        let job = order.run().await.failed("output-limit");
        assert_eq!(job.stderr().await, "x".repeat(10_000));
        assert_eq!(job.stdout().await, "");
    }
}

#[tokio::test]
async fn r33_open_files_are_bounded_and_the_job_goes_on() {
    let server = TestServer::start().await;
    for dress in guests::OPEN_MANY.dresses() {
        let told = server.new_job(dress).run().await.succeeded().stdout().await;
        let open: u32 = told.trim().parse().unwrap();
        assert!((100..=1_000).contains(&open), "{open} files were open at once");
    }
}

#[tokio::test]
async fn r33_a_stack_that_overflows_is_a_trap() {
    let server = TestServer::start().await;
    for dress in guests::STACK_OVERFLOW.dresses() {
        let _ = server.new_job(dress).run().await.failed("trap");
    }
}

#[tokio::test]
async fn r33_a_limit_beyond_the_server_s_own_is_refused_with_both_numbers() {
    let server = TestServer::start().await;
    for name in ["wall_ms", "cpu_ms", "memory_bytes", "output_bytes"] {
        let order = server.new_job(guests::HELLO).limit(name, 1 << 52);
        let detail = order.answer().await.refused(400, "invalid-request");
        assert!(detail.contains(name) && detail.contains("4503599627370496"), "{detail}");
    }
}

#[tokio::test]
async fn a_trap_is_told_with_the_names_of_the_guest_s_functions() {
    let server = TestServer::start().await;
    for dress in guests::PANIC_WITH_NAMES.dresses() {
        let job = server.new_job(dress.clone()).run().await.failed("trap");
        for name in ["adds_up_the_lines", "reads_the_order"] {
            assert!(job.detail().contains(name), "{}: {}", dress.name, job.detail());
        }
        assert!(job.stderr().await.contains("an order without lines"));
    }
}

#[tokio::test]
async fn b12_an_exit_code_is_kept_for_core_modules_and_is_0_or_1_for_components() {
    let server = TestServer::start().await;
    let codes = [1, 2, 42, 125];
    for code in codes {
        let order = server.new_job(guests::WRITE_THEN_EXIT).args([code.to_string()]);
        let job = order.run().await.failed("exit");
        assert_eq!(job.json["outcome"]["exit_code"], code);
    }
    let component = guests::WRITE_THEN_EXIT.component();
    let job = server.new_job(component.clone()).args(["42"]).run().await.failed("exit");
    assert_eq!(job.json["outcome"]["exit_code"], 1);
    let _ = server.new_job(guests::WRITE_THEN_EXIT).args(["0"]).run().await.succeeded();
    let _ = server.new_job(component).args(["0"]).run().await.succeeded();
}
