//! Mistakes of ours: a function of the host panics while a guest calls it.

use async_trait::async_trait;

use super::*;

/// Panics at once, or after a wait, in which the guest's stack was left and entered again.
struct BrokenDesk;

#[async_trait]
impl SessionDesk for BrokenDesk {
    async fn create(&self, _: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal> {
        panic!("the desk has a mistake");
    }

    async fn rename(&self, _: SessionId) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::NotFound)
    }

    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        panic!("the desk has another mistake");
    }

    async fn commit(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::NoSession)
    }

    async fn roll_back(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::NoSession)
    }
}

/// Has a file open and has printed when it calls the desk.
const BEFORE: &str = "(call $need (call $open (i32.const 1) (i64.const 64))) (call $need (call $write))
    (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 304)))";

fn calls(call: &str) -> Vec<u8> {
    let imports = r#"
        (import "sessile_v0" "session_create" (func $create (param i32 i32 i32 i32) (result i32)))
        (import "sessile_v0" "session_delete" (func $delete (result i32)))"#;
    let start = format!("(func (export \"_start\") {BEFORE} (drop {call}) (call $need (i32.const 9)))");
    wat::parse_str(format!("(module {imports} {PRELUDE} {start})")).unwrap()
}

#[tokio::test]
async fn b10_a_panic_in_a_function_of_the_host_fails_that_job_and_nothing_else() {
    let bench = Bench::new();
    let at_once = "(call $create (i32.const 0) (i32.const 1) (i32.const 1000) (i32.const 128))";
    for call in [at_once, "(call $delete)"] {
        // The one seat has a guest before and after, so it lives on, and nothing is held.
        for _ in 0..3 {
            let mut order = bench.order(bench.program(&calls(call)));
            // A guest without a session may make one.
            order.session = None;
            order.desk = Arc::new(BrokenDesk);
            let live = order.live.clone();
            let ran = bench.engine.run(0, order, Box::new(Alone)).await;
            check_failed(&ran, Reason::HostError);
            let Outcome::Failed { detail, .. } = &ran.outcome else { panic!("it has failed") };
            assert_eq!(detail, "the server made a mistake while it ran the job");
            // What it did is not known, so everything is looked at again; what it printed is kept.
            assert_eq!(ran.touched, Touched::Everywhere);
            assert_eq!(ran.stdout.bytes, b"hello");
            assert!(live.stdout.is_closed() && live.stderr.is_closed());
            assert_eq!(bench.run(CREATE_AND_WRITE).await.outcome, Outcome::Succeeded);
        }
    }
}
