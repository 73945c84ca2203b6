//! B7, B8, B9, B17 and R33: whatever one job wants, it ends in time, and it gets no
//! more than its share. Each guest is a module of a few lines, where no compiler
//! would write it.

use std::time::Duration;
use std::time::Instant;

use sessile_kit::Job;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

/// What a job may take beyond its limit, as the server itself has measured it.
const GRACE: Duration = Duration::from_secs(1);

/// The imports that the guests here share, two pages of memory, `(call $is GOT EXPECTED)`, which traps
/// unless they are the same, and one subscription to a clock in an hour at 400.
const PRELUDE: &str = r#"
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "param_set" (func $param_set (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "job_set_result" (func $set_result (param i32 i32) (result i32)))
    (import "sessile_v0" "job_progress" (func $progress (param f64 i32 i32)))
    (memory (export "memory") 2)
    (data (i32.const 0) "ab")
    (data (i32.const 400) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\a0\b8\30\46\03\00\00")
    (func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
    (func $in_place (call $progress (f64.const 1) (i32.const 0) (i32.const 2)))
"#;

fn start(body: &str) -> String {
    format!("(module {PRELUDE} (func (export \"_start\") (local $n i32) {body}))")
}

/// Uploads a module and hands it in, with limits.
async fn submit(server: &TestServer, wat: &str, limits: &[(&str, u64)], session: Option<&str>) -> Job {
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error} in {wat}"));
    let _ = server.upload("by-hand", wasm).await.good();
    let limits: serde_json::Map<_, _> =
        limits.iter().map(|(name, most)| ((*name).to_owned(), (*most).into())).collect();
    let order = serde_json::json!({"module": "by-hand", "limits": limits, "session": session});
    let id = server.post("/v1/jobs", &order).await.expect(202).json()["id"].as_str().unwrap().to_owned();
    server.job(&id).await
}

/// Guests that never end, by where they spend their time.
fn endless() -> Vec<(&'static str, String)> {
    let in_start =
        |body: &str| format!("(module {PRELUDE} (func $begin {body}) (start $begin) (func (export \"_start\")))");
    let forever = |body: &str| start(&format!("(call $in_place) (loop {body} (br 0))"));
    let sleep = "(drop (call $poll (i32.const 400) (i32.const 500) (i32.const 1) (i32.const 600)))";
    let readdir =
        "(drop (call $readdir (i32.const 3) (i32.const 1000) (i32.const 60000) (i64.const 0) (i32.const 900)))";
    vec![
        ("computing", forever("")),
        ("sleeping", forever(sleep)),
        ("computing in its start section", in_start("(call $in_place) (loop (br 0))")),
        ("sleeping in its start section", in_start(&format!("(call $in_place) (loop {sleep} (br 0))"))),
        ("filling memory", {
            let grow = "(drop (memory.grow (i32.const 1024))) (call $in_place)";
            start(&format!("{grow} (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 67108864)) (br 0))"))
        }),
        ("drawing random bytes", {
            let grow = "(drop (memory.grow (i32.const 128))) (call $in_place)";
            start(&format!(
                "{grow} (loop (call $is (call $random (i32.const 0) (i32.const 8000000)) (i32.const 0)) (br 0))"
            ))
        }),
        ("listing its directory", forever(readdir)),
        ("opening what is not there", {
            let open = "(drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 300)))";
            forever(open)
        }),
        ("renaming what is not there", {
            forever(
                "(drop (call $rename (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 3) (i32.const 1) (i32.const 1)))",
            )
        }),
        ("setting parameters", {
            let set = "(drop (call $param_set (i32.const 0) (i32.const 2) (i32.const 2000) (i32.const 60000)))";
            forever(set)
        }),
        ("setting its result", {
            let digits = "(memory.fill (i32.const 2000) (i32.const 49) (i32.const 100000))";
            let result = "(drop (call $set_result (i32.const 2000) (i32.const 100000)))";
            start(&format!("{digits} (call $in_place) (loop {result} (br 0))"))
        }),
        ("reporting progress", forever("(call $progress (f64.const 1) (i32.const 0) (i32.const 2))")),
        (
            "writing nothing",
            forever("(drop (call $write (i32.const 1) (i32.const 800) (i32.const 1) (i32.const 900)))"),
        ),
    ]
}

#[tokio::test]
async fn b07_wherever_a_job_spends_its_time_it_ends_within_its_limit_and_a_second() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    for (place, wat) in endless() {
        let limits = [("wall_ms", 300), ("cpu_ms", 60_000), ("memory_bytes", 128 << 20)];
        let job = submit(&server, &wat, &limits, Some(session.id())).await.wait().await;
        assert_eq!((job.state(), job.reason()), ("failed", Some("wall-timeout")), "{place}: {:#}", job.json);
        let wall = Duration::from_millis(job.json["wall_ms"].as_u64().unwrap());
        assert!(wall <= Duration::from_millis(300) + GRACE, "{place}: {wall:?}");
    }
}

#[tokio::test]
async fn b07_wherever_a_job_spends_its_time_a_cancel_ends_it_within_a_second() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    for (place, wat) in endless() {
        let limits = [("wall_ms", 600_000), ("cpu_ms", 600_000), ("memory_bytes", 128 << 20)];
        let job = submit(&server, &wat, &limits, Some(session.id())).await;
        job.until_says("ab").await;
        let asked = Instant::now();
        job.end().await;
        assert!(asked.elapsed() <= GRACE * 2, "{place}: {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn b07_processor_time_that_is_spent_in_the_host_counts() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    for (place, wat) in endless() {
        if place.starts_with("sleeping") {
            continue;
        }
        let limits = [("wall_ms", 60_000), ("cpu_ms", 200), ("memory_bytes", 128 << 20)];
        let job = submit(&server, &wat, &limits, Some(session.id())).await.wait().await;
        assert_eq!((job.state(), job.reason()), ("failed", Some("cpu-limit")), "{place}: {:#}", job.json);
    }
}

/// A component of so many core modules with a memory of `pages` each, of which the last is a command.
fn memories(count: usize, pages: u32) -> String {
    let one = format!("(core module $m (memory {pages}) (func (export \"run\") (result i32) (i32.const 0)))");
    let instances: String = (0..count).map(|n| format!("(core instance $i{n} (instantiate $m))")).collect();
    let last = count - 1;
    format!(
        r#"(component {one} {instances}
            (func $run (result (result)) (canon lift (core func $i{last} "run")))
            (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#
    )
}

#[tokio::test]
async fn b08_memories_and_tables_count_together() {
    let server = TestServer::start().await;
    let check = async |wat: &str, reason: Option<&str>| {
        let job = submit(&server, wat, &[("memory_bytes", 16 << 20)], None).await.wait().await;
        assert_eq!(job.reason(), reason, "{:#}", job.json);
        assert!(job.json["memory_peak_bytes"].as_u64().unwrap() <= 16 << 20);
    };
    // 64 pages are 4 MiB.
    check(&memories(4, 64), None).await;
    check(&memories(5, 64), Some("memory-limit")).await;
    check(&memories(4, 65), Some("memory-limit")).await;
    let tables = |count: usize| {
        let tables = "(table 1000000 funcref)".repeat(count);
        format!("(module {PRELUDE} {tables} (func (export \"_start\")))")
    };
    check(&tables(1), None).await;
    check(&tables(3), Some("memory-limit")).await;
    let grown = "(table $t 30000 funcref) (func (export \"_start\")
        (drop (table.grow $t (ref.null func) (i32.const 1000000))) (drop (memory.grow (i32.const 160))))";
    check(&format!("(module {PRELUDE} {grown})"), Some("memory-limit")).await;
}

fn resident_bytes(server: &TestServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Makes the server hold as much as it can for one guest: files, parameters, a result, output, and what each call needs.
fn hoarder() -> String {
    start(
        r#"(drop (memory.grow (i32.const 126)))
        (memory.fill (i32.const 70000) (i32.const 49) (i32.const 5000000))
        ;; Files, until there are no more.
        (loop (br_if 0 (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 1)
            (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 300)))))
        ;; Parameters of 60,000 bytes, until there is no room.
        (loop
            (i32.store8 (i32.const 1) (i32.add (i32.const 97) (local.get $n)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.eqz (call $param_set (i32.const 0) (i32.const 2) (i32.const 70000) (i32.const 60000)))))
        (call $is (call $set_result (i32.const 70000) (i32.const 262144)) (i32.const 0))
        ;; One buffer of 4 MiB for stdout, of which the limit keeps 1 MiB less one byte.
        (i32.store (i32.const 800) (i32.const 70000))
        (i32.store (i32.const 804) (i32.const 60000))
        (local.set $n (i32.const 17))
        (loop
            (call $is (call $write (i32.const 1) (i32.const 800) (i32.const 1) (i32.const 900)) (i32.const 0))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        ;; 1,024 clocks that are due now, then sleep, having drawn as many random bytes as there may be.
        (memory.fill (i32.const 70000) (i32.const 0) (i32.const 49152))
        (call $is (call $poll (i32.const 70000) (i32.const 200000) (i32.const 1024) (i32.const 600)) (i32.const 0))
        (call $is (call $random (i32.const 70000) (i32.const 8000000)) (i32.const 0))
        (i32.store8 (i32.const 1) (i32.const 98))
        (call $in_place)
        (loop (drop (call $poll (i32.const 400) (i32.const 500) (i32.const 1) (i32.const 600))) (br 0))"#,
    )
}

#[tokio::test]
async fn b08_what_the_server_holds_for_a_job_is_its_memory_and_sixteen_megabytes() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    // Once to be warm: code, connections and the parts of the pool that stay resident.
    for round in 0..2 {
        let before = resident_bytes(&server);
        let limits = [("memory_bytes", 9 << 20), ("wall_ms", 600_000)];
        let job = submit(&server, &hoarder(), &limits, Some(session.id())).await;
        job.until_says("ab").await;
        let more = resident_bytes(&server).saturating_sub(before);
        assert!(round == 0 || more <= (9 << 20) + (16 << 20), "{more} bytes more");
        job.end().await;
    }
}

#[tokio::test]
async fn b08_what_one_call_may_ask_for_is_bounded() {
    let server = TestServer::start().await;
    // Refused with a number, and the job goes on.
    let told = start(
        "(call $is (call $poll (i32.const 0) (i32.const 0) (i32.const 1025) (i32.const 600)) (i32.const 28))
         (call $is (call $poll (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 600)) (i32.const 28))
         (call $is (call $set_result (i32.const 0) (i32.const 100000)) (i32.const -5))",
    );
    let _ = submit(&server, &told, &[], None).await.wait().await.succeeded();
    // More than 8 MiB in one call ends the job.
    let grow = "(drop (memory.grow (i32.const 1000)))";
    for call in [
        "(drop (call $random (i32.const 0) (i32.const 16000000)))",
        "(drop (call $param_set (i32.const 0) (i32.const 2) (i32.const 0) (i32.const -1)))",
    ] {
        let job = submit(&server, &start(&format!("{grow} {call}")), &[], None).await.wait().await;
        assert_eq!((job.state(), job.reason()), ("failed", Some("trap")), "{call}: {:#}", job.json);
    }
}

#[tokio::test]
async fn b09_a_stack_that_ends_in_a_call_to_the_host_is_a_trap() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let calls = [
        "(drop (call $param_set (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 2)))",
        "(drop (call $readdir (i32.const 3) (i32.const 1000) (i32.const 60000) (i64.const 0) (i32.const 900)))",
        "(drop (call $write (i32.const 1) (i32.const 800) (i32.const 1) (i32.const 900)))",
        "(drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1) (i64.const 66) (i64.const 0)
            (i32.const 0) (i32.const 300)))",
        "(drop (call $set_result (i32.const 0) (i32.const 2)))",
        "(drop (call $progress_ (i32.const 0)))",
    ];
    for call in calls {
        // Steps of every size, so that one of them ends just where the host is called.
        for locals in [0, 1, 3, 7, 40] {
            let locals = "(local i64)".repeat(locals);
            let deep = format!(
                "(func $progress_ (param i32) (result i32) (call $in_place) (local.get 0))
                 (func $deep (param i32) {locals} {call} (call $deep (i32.add (local.get 0) (i32.const 1))) {call})"
            );
            let wat = format!("(module {PRELUDE} {deep} (func (export \"_start\") (call $deep (i32.const 0))))");
            let job = submit(&server, &wat, &[], Some(session.id())).await.wait().await;
            assert_eq!((job.state(), job.reason()), ("failed", Some("trap")), "{call}: {:#}", job.json);
            assert!(job.detail().contains("stack"), "{call}: {}", job.detail());
        }
    }
    assert!(server.is_alive());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn b17_the_files_of_all_guests_together_leave_half_to_the_server() {
    const SLOTS: usize = 64;
    const SEATS: usize = 4 * SLOTS;
    let server = TestServer::with("slots", SLOTS).start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], words[1], "the soft limit is the hard one");
    // `unlimited` is no limit for files on Linux, but a number that is as good.
    let of_the_process: usize = words[1].parse().unwrap_or(usize::MAX);
    let each = (of_the_process / 2 / SEATS).clamp(32, 1_000);
    for dress in guests::OPEN_MANY.dresses() {
        let told = server.new_job(dress).run().await.succeeded().stdout().await;
        let open: usize = told.trim().parse().unwrap();
        assert!((each / 2 - 8..=each).contains(&open), "{open} files were open at once, {each} may be");
    }
}

#[tokio::test]
async fn r33_depth_and_length_of_paths_are_bounded_and_the_job_goes_on() {
    let server = TestServer::start().await;
    let deep = |levels: usize| "/d".repeat(levels);
    let mut script: Vec<String> = (1..=63).map(|levels| format!("mkdir {}", deep(levels))).collect();
    let good = script.len();
    let name = |bytes: usize| format!("/{}", "n".repeat(bytes));
    // Four names of 255 bytes, and the slashes between them, are 1,023 bytes.
    let long = |names: usize| name(255).repeat(names);
    let folders = (1..=3).map(|names| format!("mkdir {}", long(names)));
    script.extend(
        [format!("put {}/f 1 1", deep(63)), format!("put {} 1 1", name(255))]
            .into_iter()
            .map(|line| line.replace(&name(255), &name(254))),
    );
    script.extend(folders);
    script.push(format!("put {} 1 1", long(4)));
    let good = script.len().max(good);
    script.extend([
        format!("mkdir {}/e/f", deep(63)),
        format!("put {}/e/f 1 1", deep(63)),
        format!("put {} 1 1", name(256)),
        format!("mkdir {}", name(300)),
        format!("put {}/ab 1 1", long(4)),
        format!("rename {}/f {}/g/h", deep(63), deep(63)),
    ]);
    for dress in guests::FS_SCRIPT.dresses() {
        let session = server.new_session().await;
        let job = session.new_job(dress).stdin(&script.join("\n")).run().await.succeeded();
        let told = job.lines().await;
        for (n, (line, answer)) in script.iter().zip(&told).enumerate() {
            let expected = if n < good { "ok" } else { "ENAMETOOLONG" };
            assert_eq!(answer, expected, "{line}");
        }
        assert_eq!(told.len(), script.len());
        let _ = server.delete(&session.path("")).await.good();
        until("the session is gone", || async { (server.get(&session.path("")).await.status == 404).then_some(()) })
            .await;
    }
}

#[tokio::test]
async fn b13_the_one_directory_that_a_guest_is_given_is_named_by_a_slash() {
    let server = TestServer::start().await;
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
        (func (export "_start") (local $n i32)
            (call $is (call $get (i32.const 3) (i32.const 100)) (i32.const 0))
            (call $is (i32.load (i32.const 104)) (i32.const 1))
            (call $is (call $name (i32.const 3) (i32.const 200) (i32.const 1)) (i32.const 0))
            (call $is (i32.load8_u (i32.const 200)) (i32.const 47))
            (local.set $n (i32.const 1000))
            (loop
                (call $is (call $get (local.get $n) (i32.const 100)) (i32.const 8))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if 0 (i32.gt_s (local.get $n) (i32.const 3))))))"#;
    let _ = submit(&server, wat, &[], None).await.wait().await.succeeded();
}
