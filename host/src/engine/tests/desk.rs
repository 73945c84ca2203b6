//! What a guest is told when its wishes about sessions are refused.

use async_trait::async_trait;

use super::*;

/// Refuses everything; what is allowed is not the engine's business.
pub(super) struct ClosedDesk;

#[async_trait]
impl SessionDesk for ClosedDesk {
    async fn create(&self, _: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::Exists)
    }

    async fn rename(&self, _: SessionId) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::NotFound)
    }

    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::Failed)
    }

    async fn commit(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::NoSession)
    }

    async fn roll_back(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::NoSession)
    }
}

/// The guest's session functions, and a letter that is an id.
const SESSION: &str = r#"
    (import "sessile_v0" "session_create" (func $session_create (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "session_rename" (func $session_rename (param i32 i32) (result i32)))
    (import "sessile_v0" "session_delete" (func $session_delete (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "a")
"#;

async fn run(body: &str) -> Ran {
    let mut bench = Bench::new();
    bench.session = None;
    let wasm = wat::parse_str(format!("(module {SESSION} (func (export \"_start\") {body}))")).unwrap();
    let order = bench.order(bench.program(&wasm));
    bench.engine.run(0, order, Box::new(Alone)).await
}

#[tokio::test]
async fn a_refusal_is_a_number_for_the_guest_and_a_failure_of_ours_ends_the_run() {
    let call = |function: &str, args: &[i32], code: i32| {
        let args: String = args.iter().map(|arg| format!("(i32.const {arg}) ")).collect();
        format!("(if (i32.ne (call ${function} {args}) (i32.const {code})) (then (unreachable)))")
    };
    let refused = [
        // A place that is too small for an id is asked about before anything is made.
        call("session_create", &[0, 0, 64, 10], 36),
        call("session_create", &[0, 0, 64, 128], -3),
        call("session_rename", &[0, 1], -1),
        call("session_rename", &[0, 0], -5),
    ];
    assert_eq!(run(&refused.concat()).await.outcome, Outcome::Succeeded);
    check_failed(&run("(drop (call $session_delete))").await, Reason::HostError);
}
