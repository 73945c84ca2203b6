//! Jobs on a disk that fails: each comes to its end, with the reason, and the
//! server lives.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::Clock;
use crate::engine::CompileLimits;
use crate::engine::Engine;
use crate::engine::EngineConfig;
use crate::ids::Digest;
use crate::limits::OPEN_FILES_MAX;
use crate::model::caller::Owner;
use crate::model::job::AskedLimits;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::Job;
use crate::model::job::OnCrash;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::quota::Quota;
use crate::model::schedule::Schedule;
use crate::queue::admission::UnknownSessions;
use crate::queue::slots::seats;
use crate::service::Service;
use crate::service::Settings;
use crate::service::jobs::JobOrder;
use crate::service::modules::Answer;
use crate::service::refusal::Refusal;
use crate::service::sessions::SessionOrder;
use crate::store::Store;
use crate::store::StoreConfig;
use crate::store::tests::power::Disk;
use crate::store::tests::power::Fault;
use crate::store::tests::power::Lasts;
use crate::store::tests::power::Trouble;

/// Far longer than any job here takes.
const LONG: Duration = Duration::from_secs(30);

/// A job that does nothing, and ends well.
const GUEST: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

async fn start(home: &TempDir) -> Service {
    let (data, work) = (home.path().join("data"), Some(home.path().join("work")));
    let store =
        Store::open(StoreConfig { data, work, work_bytes_max: 1 << 20, quota: Quota::of_machine(4, 1) }).unwrap();
    let settings = Settings {
        slots: 1,
        queue_max: 10,
        unknown_sessions: UnknownSessions::Serialize,
        sweep_interval: Duration::from_secs(3_600),
        reply_timeout: LONG,
    };
    let engine = Engine::start(EngineConfig {
        seats: seats(1),
        open_files_max: OPEN_FILES_MAX,
        memory_bytes_max: u64::MAX,
        compile: CompileLimits::default(),
    })
    .unwrap();
    Service::start(store, engine, settings, Clock::system()).await.unwrap()
}

async fn restarted(service: Service, home: &TempDir) -> Service {
    service.drain(Duration::ZERO).await;
    tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
    start(home).await
}

fn owner() -> Owner {
    Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() }
}

/// A service with a module `noop` and a session `s`.
async fn prepared(home: &TempDir) -> Service {
    let service = start(home).await;
    service.create_tenant(owner().tenant).await.unwrap();
    let wasm = wat::parse_str(GUEST).unwrap();
    let mut spool = service.spool();
    spool.write(&wasm).unwrap();
    service.upload(&owner(), "noop".parse().unwrap(), spool.finish(), Answer::WhenReady).await.unwrap();
    let session = SessionOrder::plain("s");
    service.create_session(&owner(), session).await.unwrap();
    service
}

fn order(number: usize) -> JobOrder {
    JobOrder {
        id: Some(format!("job-{number}").parse().unwrap()),
        module: "noop".parse().unwrap(),
        session: Some("s".parse().unwrap()),
        queue: None,
        inputs: Inputs { args: Vec::new(), env: BTreeMap::new(), stdin: Vec::new(), params_in_env: false },
        limits: AskedLimits::default(),
        schedule: Schedule::default(),
        on_crash: OnCrash::Rerun,
        delivery: Delivery::Stored,
        dry_run: false,
        labels: BTreeMap::new(),
        session_key: None,
        fingerprint: Digest::of(b"noop"),
    }
}

/// How a job ended, in a few words.
fn told(job: &Job) -> &str {
    match job.outcome.as_ref().unwrap() {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed { reason: Reason::HostError, detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

/// The disk has no room for one call of a job, whichever it is: accept, claim,
/// commit, or end.
#[tokio::test]
async fn b23_a_job_on_a_full_disk_fails_with_that_reason_and_the_server_lives() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::under(home.path());
    let mut service = prepared(&home).await;
    let mut ends = BTreeSet::new();
    for after in 0.. {
        disk.fail(Fault { trouble: Trouble::Full, after, lasts: Lasts::Once });
        let job = match service.submit(&owner(), order(after)).await {
            Ok(job) => job,
            Err(Refusal::StorageFull) => service.submit(&owner(), order(after)).await.unwrap(),
            // It had no room to sync.
            Err(Refusal::Unavailable(_)) => {
                assert!(!service.takes_writes());
                service = restarted(service, &home).await;
                service.submit(&owner(), order(after)).await.unwrap()
            }
            Err(refusal) => panic!("{refusal:?}"),
        };
        let mut job = service.wait(job, LONG).await.unwrap();
        let struck = disk.mend();
        if job.outcome.is_none() {
            assert!(!service.takes_writes(), "{after}: {job:?}");
            service = restarted(service, &home).await;
            job = service.wait(job, LONG).await.unwrap();
        }
        ends.insert(told(&job).to_owned());
        if !struck {
            break;
        }
    }
    let full = "what the job did could not be kept: the disk of the server is full";
    assert_eq!(ends, BTreeSet::from(["succeeded".to_owned(), full.to_owned()]));
    service.drain(LONG).await;
    tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
}
