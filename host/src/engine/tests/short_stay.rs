//! Guests that begin where they are handed in, since their module is known to be
//! brief: what they do there, and what becomes of those that are not brief at all.

use std::sync::Mutex;
use std::thread::ThreadId;

use async_trait::async_trait;

use super::*;

/// Enough to be trusted at first, if none is held up by what else the machine does.
const RUNS: u32 = 64;

/// Enough whatever it does.
const RUNS_MAX: u32 = 10_000;

/// A right to compute that tells on which thread the guest was at its end.
struct Told(Arc<Mutex<Option<ThreadId>>>);

#[async_trait]
impl RightToCompute for Told {
    async fn wanted(&self) {
        std::future::pending().await
    }

    async fn give_way(&mut self) {}
}

impl Drop for Told {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = Some(std::thread::current().id());
    }
}

/// A module that does nothing, or `body` if there is a parameter `a.txt`.
struct Moody {
    bench: Bench,
    program: Program,
}

impl Moody {
    fn new(body: &str) -> Self {
        let bench = Bench::new();
        let moody = format!(
            "(if (i32.ge_s (call $param_get (i32.const 0) (i32.const 5) (i32.const 1000) (i32.const 10)) (i32.const 0))
                (then {body}))"
        );
        let program = bench.program(&guest(&moody));
        Self { bench, program }
    }

    fn order(&self, in_the_mood: bool) -> RunOrder {
        let params = in_the_mood.then(|| ("a.txt".to_owned(), "x".to_owned())).into_iter().collect();
        let params = Params::new(Arc::new(params));
        RunOrder { is_light: true, params, ..self.bench.order(self.program.clone()) }
    }

    /// Runs it, and says whether it ended here, where it was handed in.
    async fn run(&self, order: RunOrder) -> (Ran, bool) {
        let told = Arc::default();
        let ran = self.bench.engine.run(0, order, Box::new(Told(Arc::clone(&told)))).await;
        let ended_on = told.lock().unwrap().expect("a guest that is gone has no right any more");
        (ran, ended_on == std::thread::current().id())
    }

    async fn brief(&self) -> bool {
        let (ran, here) = self.run(self.order(false)).await;
        assert_eq!(ran.outcome, Outcome::Succeeded);
        here
    }

    async fn trusted(self) -> Self {
        for _ in 0..RUNS_MAX {
            if self.brief().await {
                return self;
            }
        }
        panic!("it was brief all the time");
    }
}

#[tokio::test]
async fn a_guest_begins_on_its_seat_until_its_module_is_known_to_be_brief() {
    let moody = Moody::new("");
    assert!(!moody.brief().await);
    let moody = moody.trusted().await;
    let (ran, here) = moody.run(RunOrder { is_light: false, ..moody.order(false) }).await;
    assert_eq!((ran.outcome, here), (Outcome::Succeeded, false), "its files may take long");
    assert!(moody.brief().await);
}

#[tokio::test]
async fn b07_a_guest_that_began_elsewhere_meets_its_limits_and_its_stop_on_its_seat() {
    for body in [SPIN, SLEEP] {
        let mut moody = Moody::new(body).trusted().await;
        moody.bench.limits.wall = Duration::from_millis(50);
        let (ran, here) = moody.run(moody.order(true)).await;
        check_failed(&ran, Reason::WallTimeout);
        assert!(!here && ran.spent.wall >= moody.bench.limits.wall);
    }

    let mut moody = Moody::new(SPIN).trusted().await;
    moody.bench.limits.cpu = Duration::from_millis(50);
    let (ran, here) = moody.run(moody.order(true)).await;
    check_failed(&ran, Reason::CpuLimit);
    assert!(!here && ran.spent.cpu > moody.bench.limits.cpu, "both stretches count: {:?}", ran.spent);

    let moody = Moody::new(SLEEP).trusted().await;
    let running = moody.run(moody.order(true));
    let stopped = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        moody.bench.stop.cancel();
    };
    let ((ran, here), ()) = tokio::join!(running, stopped);
    assert!(matches!(ran.outcome, Outcome::Cancelled { .. }) && !here, "{:?}", ran.outcome);
}

#[tokio::test]
async fn b34_a_guest_that_wants_much_memory_waits_for_its_seat_before_it_gets_it() {
    let fill = |pages: u32| {
        format!(
            "(drop (memory.grow (i32.const {pages})))
            (memory.fill (i32.const 131072) (i32.const 1) (i32.const {}))",
            pages << 16
        )
    };
    for (pages, expected) in [(1, true), (512, false)] {
        let moody = Moody::new(&fill(pages)).trusted().await;
        let (ran, here) = moody.run(moody.order(true)).await;
        assert_eq!((ran.outcome, here), (Outcome::Succeeded, expected), "{pages} pages");
        assert!(ran.spent.memory_peak_bytes >= u64::from(pages) << 16);
    }
}

#[tokio::test]
async fn b34_a_module_that_computes_where_it_was_trusted_not_to_is_trusted_no_more() {
    // Not interrupted by any tick, and longer than what is called brief.
    let fill = "(memory.fill (i32.const 131072) (i32.const 1) (i32.const 15728640))";
    let moody = Moody::new(&format!("(drop (memory.grow (i32.const 240))) {fill}")).trusted().await;
    let (ran, _) = moody.run(moody.order(true)).await;
    assert_eq!(ran.outcome, Outcome::Succeeded);
    for _ in 0..RUNS {
        assert!(!moody.brief().await);
    }
}

#[tokio::test]
async fn b10_a_trap_where_others_are_served_harms_that_run_alone() {
    let moody = Moody::new("unreachable").trusted().await;
    let (ran, here) = moody.run(moody.order(true)).await;
    check_failed(&ran, Reason::Trap);
    assert!(here);
    assert!(moody.brief().await);
}
