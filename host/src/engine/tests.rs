//! The engine from outside, with guests of a few lines each.

mod alone;
mod desk;
mod mistakes;
mod refused;
mod short_stay;

use std::fs::File;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::alone::Alone;
use super::*;
use crate::ids::SessionId;
use crate::limits::OPEN_FILES_MAX;
use crate::model::job::Inputs;
use crate::model::job::JobLimits;
use crate::model::module::ModuleKind;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::params::Params;
use crate::model::path::SessionPath;
use crate::model::touched::Extent;
use crate::model::touched::Touched;
use crate::root::Root;

/// The imports and the memory that the guests here share.
const PRELUDE: &str = r#"
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_link"
        (func $path_link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "sessile_v0" "param_get" (func $param_get (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "param_set" (func $param_set (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "job_set_result" (func $set_result (param i32 i32) (result i32)))
    (import "sessile_v0" "job_progress" (func $progress (param f64 i32 i32)))
    (memory (export "memory") 2)
    (data (i32.const 0) "a.txt")
    (data (i32.const 100) "hello")
    ;; One buffer: at 100, five bytes.
    (data (i32.const 200) "\64\00\00\00\05\00\00\00")
    (func $open (param $oflags i32) (param $rights i64) (result i32)
        (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5) (local.get $oflags)
            (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 300)))
    (func $write (result i32)
        (call $fd_write (i32.load (i32.const 300)) (i32.const 200) (i32.const 1) (i32.const 304)))
    (func $need (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
"#;

const CREATE_AND_WRITE: &str = "(call $need (call $open (i32.const 1) (i64.const 64))) (call $need (call $write))";
const SPIN: &str = "(loop (br 0))";
/// One relative clock of an hour.
const SLEEP: &str = "(i32.store (i32.const 416) (i32.const 1)) (i64.store (i32.const 424) (i64.const 3600000000000))
    (drop (call $poll (i32.const 400) (i32.const 500) (i32.const 1) (i32.const 600)))";

const NOSPC: i32 = 51;
const NOTSUP: i32 = 58;

fn engine() -> Engine {
    Engine::start(EngineConfig {
        seats: 1,
        open_files_max: OPEN_FILES_MAX,
        memory_bytes_max: u64::MAX,
        compile: CompileLimits::default(),
    })
    .unwrap()
}

/// A server's engine, a session's directory and a job's limits.
struct Bench {
    temp: TempDir,
    engine: Engine,
    limits: JobLimits,
    bytes_max: u64,
    stop: CancellationToken,
    session: Option<SessionId>,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("work")).unwrap();
        Self {
            temp,
            engine: engine(),
            limits: JobLimits::default(),
            bytes_max: 1_000,
            stop: CancellationToken::new(),
            session: Some("s".parse().unwrap()),
        }
    }

    fn work(&self) -> std::path::PathBuf {
        self.temp.path().join("work")
    }

    fn program(&self, wasm: &[u8]) -> Program {
        let kind = self.engine.inspect(wasm).unwrap().kind;
        let artefact = module::compile(self.engine.inner.cache.shelf(), wasm, kind).unwrap();
        // A name for each, since a loaded file must never change.
        let path = self.temp.path().join(Digest::of(wasm).hex());
        std::fs::write(&path, &artefact).unwrap();
        Program { digest: Digest::of(wasm), kind, artefact: path, artefact_digest: Digest::of(&artefact) }
    }

    fn order(&self, program: Program) -> RunOrder {
        RunOrder {
            program,
            module_name: "guest".to_owned(),
            inputs: Inputs::default(),
            stdin: Stdin::Bytes(Vec::new()),
            stdout: Stdout::Kept,
            limits: self.limits,
            tenant_memory: Purse::new(u64::MAX),
            job: "j".parse().unwrap(),
            attempt: 1,
            session: self.session.clone(),
            params: Params::new(Arc::default()),
            root: Arc::new(Root::new(File::open(self.work()).unwrap().into()).unwrap()),
            has_links: false,
            is_light: false,
            disk: DiskAllowance { bytes_used: 0, bytes_max: self.bytes_max, files_used: 0, files_max: 10 },
            live: Arc::new(Live::new(self.limits.output_bytes)),
            desk: Arc::new(desk::ClosedDesk),
            stop: self.stop.clone(),
        }
    }

    /// Runs a guest whose `_start` is `body`.
    async fn run(&self, body: &str) -> Ran {
        let order = self.order(self.program(&guest(body)));
        self.engine.run(0, order, Box::new(Alone)).await
    }

    /// Stops the guest when it has run for a moment, and says how long it went on.
    async fn run_and_stop(&self, body: &str) -> (Ran, Duration) {
        let order = self.order(self.program(&guest(body)));
        let running = tokio::spawn(self.engine.run(0, order, Box::new(Alone)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = Instant::now();
        self.stop.cancel();
        (running.await.unwrap(), asked.elapsed())
    }
}

fn guest(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {PRELUDE} (func (export \"_start\") {body}))")).unwrap()
}

fn paths(names: &[&str]) -> Touched {
    let places = names.iter().map(|name| (SessionPath::parse(name).unwrap(), Extent::Whole));
    Touched::Places(places.collect())
}

#[track_caller]
fn check_failed(ran: &Ran, expected: Reason) {
    match &ran.outcome {
        Outcome::Failed { reason, .. } if *reason == expected => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_written_file_is_there_and_touched() {
    let bench = Bench::new();
    let ran = bench.run(CREATE_AND_WRITE).await;
    assert_eq!(ran.outcome, Outcome::Succeeded);
    assert_eq!(ran.touched, paths(&["a.txt"]));
    assert_eq!(std::fs::read(bench.work().join("a.txt")).unwrap(), b"hello");
    assert!(ran.spent.memory_peak_bytes >= 128 << 10);
}

#[tokio::test]
async fn reading_touches_nothing() {
    let bench = Bench::new();
    std::fs::write(bench.work().join("a.txt"), "x").unwrap();
    let read = "(call $need (call $open (i32.const 0) (i64.const 2)))
        (call $need (call $fd_readdir (i32.const 3) (i32.const 1000) (i32.const 1000) (i64.const 0) (i32.const 900)))";
    let ran = bench.run(read).await;
    assert_eq!(ran.outcome, Outcome::Succeeded);
    assert!(ran.touched.is_nowhere());
}

#[tokio::test]
async fn r33_a_write_past_the_disk_limit_gets_enospc_and_writes_nothing() {
    let mut bench = Bench::new();
    bench.bytes_max = 4;
    let ran = bench.run(CREATE_AND_WRITE).await;
    assert_eq!(ran.outcome, Outcome::exited(NOSPC));
    assert_eq!(std::fs::read(bench.work().join("a.txt")).unwrap(), b"");
}

#[tokio::test]
async fn b16_a_removed_file_fills_the_session_until_it_is_closed() {
    let mut bench = Bench::new();
    bench.bytes_max = 9;
    let again = format!(
        "{CREATE_AND_WRITE} (call $need (call $unlink (i32.const 3) (i32.const 0) (i32.const 5)))
        (call $need (call $open (i32.const 1) (i64.const 64))) (call $need (call $write))"
    );
    assert_eq!(bench.run(&again).await.outcome, Outcome::exited(NOSPC));
}

#[tokio::test]
async fn b20_a_second_name_for_a_file_is_refused() {
    let bench = Bench::new();
    std::fs::write(bench.work().join("a.txt"), "x").unwrap();
    let link = "(call $need (call $path_link (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5)
        (i32.const 3) (i32.const 100) (i32.const 5)))";
    assert_eq!(bench.run(link).await.outcome, Outcome::exited(NOTSUP));
}

#[tokio::test]
async fn r32_a_computing_guest_stops_within_100_ms() {
    let (ran, took) = Bench::new().run_and_stop(SPIN).await;
    assert!(matches!(ran.outcome, Outcome::Cancelled { .. }), "{:?}", ran.outcome);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn r32_a_sleeping_guest_stops_within_100_ms() {
    let (ran, took) = Bench::new().run_and_stop(SLEEP).await;
    assert!(matches!(ran.outcome, Outcome::Cancelled { .. }), "{:?}", ran.outcome);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn a_guest_whose_future_is_dropped_gives_its_slot_back() {
    let bench = Bench::new();
    let spinning = bench.engine.run(0, bench.order(bench.program(&guest(SPIN))), Box::new(Alone));
    assert!(tokio::time::timeout(Duration::from_millis(50), spinning).await.is_err());
    let next = tokio::time::timeout(Duration::from_secs(5), bench.run("")).await.unwrap();
    assert_eq!(next.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn r33_each_limit_ends_the_job_with_its_own_reason() {
    let mut bench = Bench::new();
    bench.limits.wall = Duration::from_millis(50);
    check_failed(&bench.run(SPIN).await, Reason::WallTimeout);
    check_failed(&bench.run(SLEEP).await, Reason::WallTimeout);

    bench.limits = JobLimits { cpu: Duration::from_millis(50), ..JobLimits::default() };
    check_failed(&bench.run(SPIN).await, Reason::CpuLimit);

    bench.limits = JobLimits { memory_bytes: 1 << 20, ..JobLimits::default() };
    let grown = bench.run("(drop (memory.grow (i32.const 100)))").await;
    check_failed(&grown, Reason::MemoryLimit);
    bench.limits.memory_bytes = 1 << 16;
    check_failed(&bench.run("").await, Reason::MemoryLimit);
}

#[tokio::test]
async fn r33_output_is_kept_up_to_the_limit_exactly() {
    let mut bench = Bench::new();
    bench.limits.output_bytes = 12;
    let flood = "(loop (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 304))) (br 0))";
    let ran = bench.run(flood).await;
    check_failed(&ran, Reason::OutputLimit);
    assert_eq!(ran.stdout.bytes, b"hellohellohe");
    assert!(ran.stdout.truncated && !ran.stderr.truncated);
}

#[tokio::test]
async fn r22_the_exit_code_is_kept_as_it_is() {
    let bench = Bench::new();
    assert_eq!(bench.run("(call $exit (i32.const 0))").await.outcome, Outcome::Succeeded);
    assert_eq!(bench.run("(call $exit (i32.const 3))").await.outcome, Outcome::exited(3));
    assert_eq!(bench.run("(call $exit (i32.const 200))").await.outcome, Outcome::exited(200));
}

#[tokio::test]
async fn a_trap_shows_the_functions_and_nothing_of_the_host() {
    let wat = format!("(module {PRELUDE} (func $break_it unreachable) (func (export \"_start\") (call $break_it)))");
    let bench = Bench::new();
    let order = bench.order(bench.program(&wat::parse_str(wat).unwrap()));
    let Outcome::Failed { reason: Reason::Trap, detail, .. } =
        bench.engine.run(0, order, Box::new(Alone)).await.outcome
    else {
        panic!("it traps");
    };
    assert!(detail.starts_with("the job gave up: it executed `unreachable`"), "{detail}");
    assert!(detail.contains("break_it"), "{detail}");
    assert!(!detail.contains(bench.temp.path().to_str().unwrap()) && !detail.contains(".rs"), "{detail}");
}

#[tokio::test]
async fn b09_a_full_stack_is_a_trap_and_the_slot_lives_on() {
    let bench = Bench::new();
    let wat = format!("(module {PRELUDE} (func $deep (call $deep)) (func (export \"_start\") (call $deep)))");
    let order = bench.order(bench.program(&wat::parse_str(wat).unwrap()));
    check_failed(&bench.engine.run(0, order, Box::new(Alone)).await, Reason::Trap);
    assert_eq!(bench.run("").await.outcome, Outcome::Succeeded);
}

/// Sets the parameter `a.txt` to `hello`, reads it back, and hands its length over as the result.
const TALK: &str = r#"
    (call $need (call $param_set (i32.const 0) (i32.const 5) (i32.const 100) (i32.const 5)))
    (i32.store8 (i32.const 1100) (i32.add (i32.const 48)
        (call $param_get (i32.const 0) (i32.const 5) (i32.const 1000) (i32.const 10))))
    (call $progress (f64.const 7) (i32.const 1000) (i32.const 5))
    (call $need (call $set_result (i32.const 1100) (i32.const 1)))
"#;

#[tokio::test]
async fn r06_parameters_result_and_progress_come_back() {
    let bench = Bench::new();
    let order = bench.order(bench.program(&guest(TALK)));
    let progress = order.live.progress();
    let ran = bench.engine.run(0, order, Box::new(Alone)).await;
    assert_eq!(ran.outcome, Outcome::Succeeded);
    assert_eq!(ran.result.as_deref(), Some("5"));
    assert_eq!(ran.params, [("a.txt".to_owned(), Some("hello".to_owned()))].into());
    let told = progress.borrow().clone().unwrap();
    assert_eq!((told.fraction, told.message.as_str()), (1.0, "hello"));
}

#[tokio::test]
async fn r03_outside_a_session_there_are_no_parameters() {
    let mut bench = Bench::new();
    bench.session = None;
    let ran = bench.run(TALK).await;
    assert_eq!(ran.outcome, Outcome::exited(-2));
    assert!(ran.params.is_empty());
}

#[tokio::test]
async fn b26_a_bad_pointer_traps_and_bad_text_is_refused() {
    let bench = Bench::new();
    let outside = "(drop (call $set_result (i32.const 131071) (i32.const 2)))";
    check_failed(&bench.run(outside).await, Reason::Trap);
    let huge = "(drop (call $set_result (i32.const 8) (i32.const -1)))";
    check_failed(&bench.run(huge).await, Reason::Trap);
    let no_text = "(i32.store8 (i32.const 0) (i32.const 255))
        (call $need (call $param_set (i32.const 0) (i32.const 5) (i32.const 100) (i32.const 5)))";
    assert_eq!(bench.run(no_text).await.outcome, Outcome::exited(-5));
}

#[tokio::test]
async fn b03_an_artefact_that_was_altered_is_not_loaded() {
    let bench = Bench::new();
    let program = bench.program(&guest(""));
    let mut bytes = std::fs::read(&program.artefact).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&program.artefact, bytes).unwrap();
    let ran = bench.engine.run(0, bench.order(program), Box::new(Alone)).await;
    check_failed(&ran, Reason::HostError);
    assert!(ran.touched.is_nowhere());
}

#[tokio::test]
async fn a_module_too_large_for_the_pool_runs_all_the_same() {
    let bench = Bench::new();
    let wat = format!("(module {PRELUDE} (table 30000 funcref) (func (export \"_start\")))");
    let order = bench.order(bench.program(&wat::parse_str(wat).unwrap()));
    assert_eq!(bench.engine.run(0, order, Box::new(Alone)).await.outcome, Outcome::Succeeded);
}

/// The least that is a command of WASI 0.2: it succeeds at once.
const COMPONENT: &str = r#"(component
    (core module $m (func (export "run") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#;

#[tokio::test]
async fn a_component_runs_too() {
    let bench = Bench::new();
    let order = bench.order(bench.program(&wat::parse_str(COMPONENT).unwrap()));
    assert_eq!(bench.engine.run(0, order, Box::new(Alone)).await.outcome, Outcome::Succeeded);
}
