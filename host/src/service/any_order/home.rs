//! A whole service on a recorded disk, and what its sessions must hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::CompileLimits;
use crate::engine::Engine;
use crate::engine::EngineConfig;
use crate::ids::Digest;
use crate::ids::SessionId;
use crate::limits::OPEN_FILES_MAX;
use crate::limits::PAGE_MAX;
use crate::model::caller::Owner;
use crate::model::job::AskedLimits;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::Job;
use crate::model::job::OnCrash;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::path::SessionPath;
use crate::model::quota::Quota;
use crate::model::schedule::Schedule;
use crate::queue::admission::UnknownSessions;
use crate::queue::lanes::LaneKey;
use crate::queue::slots::seats;
use crate::service::Service;
use crate::service::Settings;
use crate::service::jobs::JobOrder;
use crate::service::modules::Answer;
use crate::service::refusal::Refusal;
use crate::service::sessions::SessionOrder;
use crate::store::Body;
use crate::store::JobFilter;
use crate::store::PageOf;
use crate::store::Store;
use crate::store::StoreConfig;

/// Far longer than any job here takes.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// How a job ends that never ends by itself.
pub(super) const FOR_EVER: char = '~';

const SLOTS: usize = 2;

/// Writes its argument, four bytes, behind the file `log` and the parameter `log`,
/// and hands the first three back as its result. Then it ends well (`.`), traps
/// (`!`) or computes for ever (`~`), as the fourth says.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "param_get" (func $get (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "param_set" (func $set (param i32 i32 i32 i32) (result i32)))
    (import "sessile_v0" "job_set_result" (func $result (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "log")
    (func $need (param i32) (if (local.get 0) (then (unreachable))))
    (func (export "_start") (local $arg i32) (local $length i32)
        (call $need (call $args (i32.const 100) (i32.const 200)))
        (local.set $arg (i32.load (i32.const 104)))
        (call $need (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1)
            (i64.const 64) (i64.const 0) (i32.const 1) (i32.const 300)))
        (i32.store (i32.const 304) (local.get $arg))
        (i32.store (i32.const 308) (i32.const 4))
        (call $need (call $write (i32.load (i32.const 300)) (i32.const 304) (i32.const 1) (i32.const 312)))
        (local.set $length (call $get (i32.const 0) (i32.const 3) (i32.const 1024) (i32.const 8192)))
        (if (i32.lt_s (local.get $length) (i32.const 0)) (then (local.set $length (i32.const 0))))
        (i32.store (i32.add (i32.const 1024) (local.get $length)) (i32.load (local.get $arg)))
        (call $need (call $set (i32.const 0) (i32.const 3) (i32.const 1024)
            (i32.add (local.get $length) (i32.const 4))))
        (call $need (call $result (local.get $arg) (i32.const 3)))
        (if (i32.eq (i32.load8_u offset=3 (local.get $arg)) (i32.const 33)) (then (unreachable)))
        (if (i32.eq (i32.load8_u offset=3 (local.get $arg)) (i32.const 126)) (then (loop (br 0))))))"#;

pub(super) async fn start(home: &Path) -> Service {
    let (data, work) = (home.join("data"), Some(home.join("work")));
    let quota = Quota::of_machine(100, SLOTS as u64);
    let store = Store::open(StoreConfig { data, work, work_bytes_max: 1 << 20, quota }).unwrap();
    let settings = Settings {
        slots: SLOTS,
        queue_max: 100,
        unknown_sessions: UnknownSessions::Serialize,
        sweep_interval: Duration::from_secs(3_600),
        reply_timeout: LONG,
    };
    let engine = Engine::start(EngineConfig {
        seats: seats(SLOTS),
        open_files_max: OPEN_FILES_MAX,
        memory_bytes_max: u64::MAX,
        compile: CompileLimits::default(),
    })
    .unwrap();
    Service::start(store, engine, settings, Clock::system()).await.unwrap()
}

/// Stops it, when nobody is left in it.
pub(super) async fn stop(service: Service) {
    service.drain(LONG).await;
    assert_eq!(service.inner.live.count(), 0, "a job is left on the list");
    assert_eq!(service.inner.lanes.count(), 0, "a lane is left");
    assert_eq!(service.inner.slots.free(), SLOTS, "a slot is lost, or was given back twice");
    assert!(service.inner.slots.is_idle(), "somebody waits for a slot, or has a seat");
    tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
}

pub(super) fn owner() -> Owner {
    Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() }
}

pub(super) async fn furnish(service: &Service, sessions: &[&str]) {
    service.create_tenant(owner().tenant).await.unwrap();
    let mut spool = service.spool();
    spool.write(&wat::parse_str(GUEST).unwrap()).unwrap();
    service.upload(&owner(), "log".parse().unwrap(), spool.finish(), Answer::WhenReady).await.unwrap();
    for id in sessions {
        let session = SessionOrder::plain(id);
        service.create_session(&owner(), session).await.unwrap();
    }
}

/// A job by its number of three digits, and how it is to end.
pub(super) fn order(number: usize, session: &str, end: char) -> JobOrder {
    let args = vec![format!("{number}{end}")];
    JobOrder {
        id: Some(format!("job-{number}").parse().unwrap()),
        module: "log".parse().unwrap(),
        session: Some(session.parse().unwrap()),
        queue: None,
        inputs: Inputs { args, env: BTreeMap::new(), stdin: Vec::new(), params_in_env: false },
        limits: AskedLimits::default(),
        schedule: Schedule::default(),
        on_crash: OnCrash::Rerun,
        delivery: Delivery::Stored,
        dry_run: false,
        labels: BTreeMap::from([("end".to_owned(), end.to_string())]),
        session_key: None,
        fingerprint: Digest::of(number.to_string().as_bytes()),
    }
}

/// Whether nobody has the turn in the session, or waits for it.
pub(super) fn is_free(service: &Service, session: &str) -> bool {
    let lane = LaneKey { owner: owner(), session: session.parse().unwrap() };
    !service.inner.lanes.length(&lane).busy
}

/// All jobs on record, in the order in which they were accepted.
pub(super) async fn jobs(service: &Service) -> Vec<Job> {
    let page = PageOf { limit: PAGE_MAX, cursor: None };
    let page = service.jobs(&owner(), JobFilter::default(), page).await.unwrap();
    assert_eq!(page.next, None, "more jobs than a page has");
    let mut jobs = page.items;
    jobs.sort_by_key(|job| job.seq.0);
    jobs
}

/// Each job that is on record has an end that it can have; and each session holds
/// what those that succeeded in it have done, one after the other.
pub(super) async fn check(service: &Service, sessions: &[&str]) -> Vec<Job> {
    let jobs = jobs(service).await;
    for job in &jobs {
        match job.outcome.as_ref().unwrap_or_else(|| panic!("{} has no end", job.id)) {
            Outcome::Succeeded => assert!(job.result.is_some(), "{} has lost its result", job.id),
            Outcome::Cancelled { .. } | Outcome::Failed { reason: Reason::Trap | Reason::Lost, .. } => {
                assert_eq!(job.result, None, "{} has left a result behind", job.id);
            }
            Outcome::Failed { .. } => panic!("{}: {:?}", job.id, job.outcome),
        }
    }
    for id in sessions {
        let id: SessionId = id.parse().unwrap();
        let here = jobs.iter().filter(|job| job.session.as_ref().is_some_and(|named| named.id == id));
        let expected: String = here.filter_map(|job| job.result.as_ref()).map(|result| format!("{result}.")).collect();
        let session = service.session(&owner(), &id).await.unwrap();
        let (params, _) = service.params(&session, None).await.unwrap();
        assert_eq!(params.get("log").cloned().unwrap_or_default(), expected, "the parameter of {id}");
        let log = match service.file(&session, None, &SessionPath::parse("log").unwrap()).await {
            Ok(file) => match file.body {
                Body::Memory(bytes) => String::from_utf8(bytes).unwrap(),
                Body::Spooled(_) => panic!("the file of {id} is too large"),
            },
            Err(Refusal::NotAFile(_)) => String::new(),
            Err(refusal) => panic!("{refusal:?}"),
        };
        assert_eq!(log, expected, "the file of {id}");
    }
    jobs
}
