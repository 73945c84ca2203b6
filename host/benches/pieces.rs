//! The pieces of which a job's time is made, each alone: `cargo bench -p sessile`.
//!
//! What a whole job costs, over what it is compared with, tells `cargo xtask bench`.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use divan::Bencher;
use sessile::clock::Timestamp;
use sessile::engine;
use sessile::engine::DeskRefusal;
use sessile::engine::DiskAllowance;
use sessile::engine::Engine;
use sessile::engine::EngineConfig;
use sessile::engine::Live;
use sessile::engine::Program;
use sessile::engine::Purse;
use sessile::engine::RightToCompute;
use sessile::engine::RunOrder;
use sessile::engine::SessionDesk;
use sessile::engine::SoFar;
use sessile::engine::Stand;
use sessile::engine::Stdin;
use sessile::engine::Stdout;
use sessile::ids::Digest;
use sessile::ids::SessionId;
use sessile::limits;
use sessile::model::caller::Owner;
use sessile::model::expiry::Terms;
use sessile::model::history::Retention;
use sessile::model::history::TransactionMode;
use sessile::model::job::Delivery;
use sessile::model::job::Inputs;
use sessile::model::job::JobLimits;
use sessile::model::job::JobSeq;
use sessile::model::job::NewJob;
use sessile::model::job::OnCrash;
use sessile::model::job::Printed;
use sessile::model::job::Spent;
use sessile::model::module::ModuleKind;
use sessile::model::outcome::Outcome;
use sessile::model::params::ParamChanges;
use sessile::model::params::Params;
use sessile::model::path::SessionPath;
use sessile::model::quota::Quota;
use sessile::model::schedule::Schedule;
use sessile::model::session::QueueMode;
use sessile::model::session::SessionKey;
use sessile::model::session::SessionLimits;
use sessile::model::touched::Touched;
use sessile::queue::admission;
use sessile::queue::admission::Facts;
use sessile::queue::admission::Named;
use sessile::queue::admission::Standing;
use sessile::queue::admission::UnknownSessions;
use sessile::queue::lanes::LaneKey;
use sessile::queue::lanes::Lanes;
use sessile::root::Root;
use sessile::store::Accepted;
use sessile::store::Created;
use sessile::store::Draft;
use sessile::store::Ending;
use sessile::store::Fate;
use sessile::store::NewSession;
use sessile::store::NewVersion;
use sessile::store::Store;
use sessile::store::StoreConfig;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const GUEST: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn main() -> std::process::ExitCode {
    // The engine compiles in a process of its own, which is the program that runs.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((verb, words)) = words.split_first()
        && verb == "compile-child"
    {
        return engine::compile_child(words);
    }
    divan::main();
    std::process::ExitCode::SUCCESS
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// Nobody else wants to compute, and nothing is asked about sessions.
struct Alone;

#[async_trait]
impl RightToCompute for Alone {
    async fn wanted(&self) {
        std::future::pending().await
    }

    async fn give_way(&mut self) {}
}

#[async_trait]
impl SessionDesk for Alone {
    async fn create(&self, _: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::Failed)
    }

    async fn rename(&self, _: SessionId) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::Failed)
    }

    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal> {
        Err(DeskRefusal::Failed)
    }

    async fn commit(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::Failed)
    }

    async fn roll_back(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::Failed)
    }
}

/// A guest of one instruction is instantiated on its seat, runs, and is taken apart.
#[divan::bench]
fn instantiate_and_run(bencher: Bencher<'_, '_>) {
    let (runtime, home) = (runtime(), tempfile::tempdir().expect("a directory"));
    let engine = Engine::start(EngineConfig {
        seats: 1,
        open_files_max: limits::OPEN_FILES_MAX,
        memory_bytes_max: u64::MAX,
        compile: engine::CompileLimits::default(),
    })
    .expect("an engine starts");
    let program = compiled(&runtime, &engine, &home);
    let root = File::open(home.path()).and_then(|dir| Root::new(dir.into())).expect("the directory is there");
    let root = Arc::new(root);
    let order = || RunOrder {
        program: program.clone(),
        module_name: "guest".to_owned(),
        inputs: Inputs::default(),
        stdin: Stdin::Bytes(Vec::new()),
        stdout: Stdout::Kept,
        limits: JobLimits::default(),
        tenant_memory: Purse::new(u64::MAX),
        job: "job".parse().expect("an id"),
        attempt: 1,
        session: None,
        params: Params::new(Arc::default()),
        root: Arc::clone(&root),
        has_links: false,
        is_light: false,
        disk: DiskAllowance { bytes_used: 0, bytes_max: u64::MAX, files_used: 0, files_max: u64::MAX },
        live: Arc::new(Live::new(limits::OUTPUT_BYTES_DEFAULT)),
        desk: Arc::new(Alone),
        stop: CancellationToken::new(),
    };
    bencher.with_inputs(order).bench_local_values(|order| {
        let ran = runtime.block_on(engine.run(0, order, Box::new(Alone)));
        assert_eq!(ran.outcome, Outcome::Succeeded);
    });
}

fn compiled(runtime: &Runtime, engine: &Engine, home: &TempDir) -> Program {
    let bytes = wat::parse_str(GUEST).expect("the guest is WebAssembly");
    let (wasm, artefact) = (home.path().join("wasm"), home.path().join("artefact"));
    std::fs::write(&wasm, &bytes).expect("room for a guest");
    let order = engine::CompileOrder {
        wasm: File::open(wasm).expect("it was just written"),
        kind: ModuleKind::Core,
        artefact: File::create(&artefact).expect("room for an artefact"),
        stop: CancellationToken::new(),
    };
    runtime.block_on(engine.compile(order)).expect("the guest is good");
    let artefact_digest = Digest::of(&std::fs::read(&artefact).expect("it was just made"));
    Program { digest: Digest::of(&bytes), kind: ModuleKind::Core, artefact, artefact_digest }
}

fn owner() -> Owner {
    Owner { tenant: "tenant".parse().expect("an id"), principal: "principal".parse().expect("an id") }
}

/// The turn goes from one who had it to the next of many who wait.
#[divan::bench(args = [1, 100])]
fn hand_over_of_a_lane(bencher: Bencher<'_, '_>, waiting: usize) {
    let (runtime, lanes) = (runtime(), Lanes::default());
    let key = LaneKey { owner: owner(), session: "session".parse().expect("an id") };
    let mut turn = Some(runtime.block_on(lanes.join(key.clone()).turn()));
    let mut places: VecDeque<_> = (0..waiting).map(|_| lanes.join(key.clone())).collect();
    bencher.bench_local(|| {
        places.push_back(lanes.join(key.clone()));
        let next = places.pop_front().expect("somebody waits");
        drop(turn.take());
        turn = Some(runtime.block_on(next.turn()));
    });
}

/// The decision about one job that names a session.
#[divan::bench]
fn admission_of_a_job(bencher: Bencher<'_, '_>) {
    let facts = Facts {
        draining: false,
        jobs_live: 100,
        tenant: Some(Standing { queued: 10, quota: Arc::new(Quota::of_machine(4, 2)), no_cpu: None }),
        named: Some(Named {
            id: "session".parse().expect("an id"),
            queue: Some(QueueMode::Wait),
            waiting: 3,
            busy: true,
        }),
        queue: None,
        queue_max: 100,
        unknown_sessions: UnknownSessions::Serialize,
    };
    bencher.bench_local(|| admission::admit(divan::black_box(&facts)).expect("there is room"));
}

/// The commit of a job that has written so many files of 1 KiB, with its sync.
#[divan::bench(args = [0, 1, 10, 100], sample_size = 1, sample_count = 50)]
fn commit_of_files(bencher: Bencher<'_, '_>, files: usize) {
    let kit = Kit::new();
    let mut number = 0;
    let job = || {
        number += 1;
        kit.job_that_wrote(number, files)
    };
    bencher.with_inputs(job).bench_local_values(|(seq, draft, touched)| {
        let ending = Ending {
            outcome: Outcome::Succeeded,
            result: None,
            changes: None,
            spent: Spent { wall: Duration::ZERO, cpu: Duration::ZERO, memory_peak_bytes: 0 },
            ended_at: now(),
            stdout: Printed::default(),
            stderr: Printed::default(),
        };
        let commit = draft.commit(seq, 1, ending, touched, ParamChanges::default(), Fate::Stays);
        kit.runtime.block_on(commit).expect("the commit is good");
    });
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

/// A store with a session and a module.
struct Kit {
    // Dropped in this order: the store waits for what it has begun.
    store: Store,
    runtime: Runtime,
    session: SessionKey,
    _home: TempDir,
}

impl Kit {
    fn new() -> Kit {
        // On a disk: the sources may lie on one, and temporary files in memory.
        let home = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let (data, quota) = (home.path().join("data"), Quota::of_machine(4, 2));
        let config = StoreConfig { data, work: None, work_bytes_max: limits::WORK_BYTES_DEFAULT, quota };
        let (store, runtime) = (Store::open(config).expect("a store opens"), runtime());
        let session = runtime.block_on(async {
            store.create_tenant(owner().tenant, now()).await.expect("a tenant");
            store.save_wasm(Digest::of(b"wasm"), b"wasm".to_vec()).await.expect("room for a module");
            let version = NewVersion {
                tenant: owner().tenant,
                name: "module".parse().expect("a name"),
                digest: Digest::of(b"wasm"),
                size_bytes: 4,
                kind: ModuleKind::Core,
                imports: Vec::new(),
                created_by: owner().principal,
                now: now(),
            };
            let _ = store.add_version(version).await.expect("a module");
            let new = NewSession {
                id: "session".parse().expect("an id"),
                owner: owner(),
                queue: QueueMode::Wait,
                limits: SessionLimits::default(),
                terms: Terms::default(),
                params: BTreeMap::new(),
                creator: None,
                keyed: false,
                transaction: TransactionMode::Job,
                retention: Retention::default(),
                from: None,
                now: now(),
            };
            match store.create_session(new).await.expect("a session") {
                Created::New(session) => session.key,
                Created::Again(_) | Created::Exists => unreachable!("the store was empty"),
            }
        });
        Kit { store, runtime, session, _home: home }
    }

    /// A job that runs, and has written its files with new content.
    fn job_that_wrote(&self, number: u64, files: usize) -> (JobSeq, Draft, Touched) {
        self.runtime.block_on(async {
            let accepted = self.store.accept(new_job(number)).await.expect("room for a job");
            let Accepted::New(job) = accepted else { unreachable!("each number is used once") };
            let _ = self.store.claim(job.seq, true, now()).await.expect("it waits");
            let draft = self.store.begin(Some(self.session)).await.expect("a working copy");
            let (dir, mut touched) = (draft.root().dir(), Touched::nowhere());
            for file in 0..files {
                let name = format!("file-{file}");
                dir.write(&name, number.to_le_bytes().repeat(128)).expect("room for a file");
                touched.note(&SessionPath::parse(&name).expect("a path"));
            }
            (job.seq, draft, touched)
        })
    }
}

fn new_job(number: u64) -> NewJob {
    NewJob {
        id: format!("job-{number}").parse().expect("an id"),
        owner: owner(),
        module: "module".parse().expect("a name"),
        version: 1,
        digest: Digest::of(b"wasm"),
        kind: ModuleKind::Core,
        session: None,
        inputs: Inputs::default(),
        limits: JobLimits::default(),
        schedule: Schedule::default(),
        on_crash: OnCrash::Rerun,
        delivery: Delivery::Stored,
        dry_run: false,
        labels: BTreeMap::new(),
        fingerprint: Digest::of(b"request"),
        key_shown: None,
        created_at: now(),
    }
}
