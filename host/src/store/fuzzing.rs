//! What lies on disk, and what is restored from, as nobody has written it.
//!
//! Comes in: bytes, which mean damage to a sound data directory or to a sound
//! backup; both are made once, with what a server leaves behind.
//!
//! Not here: the damage itself and what must hold after it ([`backup`], [`store`]).

mod archive;
mod backup;
mod damage;
mod open;

pub use self::archive::archive;
pub use self::backup::backup;
pub use self::open::store;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::JobLimits;
use crate::model::job::NamedSession;
use crate::model::job::NewJob;
use crate::model::job::OnCrash;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::module::ModuleKind;
use crate::model::outcome::Outcome;
use crate::model::path::SessionPath;
use crate::model::quota::Quota;
use crate::model::schedule::Schedule;
use crate::model::session::QueueMode;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::touched::Extent;
use crate::model::touched::Touched;
use crate::store::Accepted;
use crate::store::Created;
use crate::store::Ending;
use crate::store::Fate;
use crate::store::Key;
use crate::store::NewSession;
use crate::store::NewVersion;
use crate::store::Precondition;
use crate::store::Store;
use crate::store::StoreConfig;
use crate::store::StoreError;
use crate::store::backup::back_up;

fn now() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

const WASM: &[u8] = b"not looked at by a store";
const SOUND: &str = "a sound store does what it is asked for";

/// The files of a data directory, or the entries of a backup, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// What the inputs damage.
struct Base {
    /// Of a server that was stopped, and of one that was killed: its last commits
    /// are in the log.
    stopped: Files,
    killed: Files,
    /// A backup of the same.
    backup: Vec<u8>,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let home = home();
    let store = open_at(home.path()).expect(SOUND);
    runtime().block_on(fill(&store)).expect(SOUND);
    let killed = read(&home.path().join("data"));
    drop(store);
    let to = home.path().join("backup");
    let report = back_up(&home.path().join("data"), &to).expect(SOUND);
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    Base { stopped: read(&home.path().join("data")), killed, backup: fs::read(to).expect(SOUND) }
});

/// In memory where that can be had: inputs are many, and none must outlast a power cut.
fn home() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a thread's runtime")
}

fn open_at(home: &Path) -> Result<Store, StoreError> {
    let (data, work) = (home.join("data"), Some(home.join("work")));
    Store::open(StoreConfig { data, work, work_bytes_max: 1 << 20, quota: Quota::of_machine(4, 1) })
}

/// A little of everything that a store keeps.
async fn fill(store: &Store) -> Result<(), StoreError> {
    store.create_tenant(owner().tenant, now()).await?;
    let scopes = [Scope::Submit, Scope::Modules].into();
    let (id, hash) = ("k".to_owned(), [7; 32]);
    store.create_key(Key { id, hash, owner: owner(), scopes, created_at: now(), last_used_at: None }).await?;
    store.save_wasm(Digest::of(WASM), WASM.to_vec()).await?;
    store.add_version(version()).await?;
    let each = session(store, "each", TransactionMode::Job).await?;
    put(store, each, "a/b.txt", b"one").await?;
    put(store, each, "a/b.txt", b"two").await?;
    put(store, each, "zeros", &[0; 70_000]).await?;
    job(store, each, "ended").await?;
    let explicit = session(store, "explicit", TransactionMode::Explicit).await?;
    put(store, explicit, "not-yet", b"uncommitted").await?;
    store.accept(new_job("queued", each)).await?;
    Ok(())
}

fn owner() -> Owner {
    Owner { tenant: "t".parse().expect("a name"), principal: "p".parse().expect("a name") }
}

fn version() -> NewVersion {
    NewVersion {
        tenant: owner().tenant,
        name: "m".parse().expect("a name"),
        digest: Digest::of(WASM),
        size_bytes: WASM.len() as u64,
        kind: ModuleKind::Core,
        imports: vec!["sessile_v0.param_get".to_owned()],
        created_by: owner().principal,
        now: now(),
    }
}

async fn session(store: &Store, id: &str, transaction: TransactionMode) -> Result<SessionKey, StoreError> {
    let new = NewSession {
        id: id.parse().expect("an id"),
        owner: owner(),
        queue: QueueMode::Wait,
        limits: SessionLimits::default(),
        terms: Terms::default(),
        params: BTreeMap::from([("count".to_owned(), "1".to_owned())]),
        creator: None,
        keyed: true,
        transaction,
        retention: Retention { commits: 3, ..Retention::default() },
        from: None,
        now: now(),
    };
    match store.create_session(new).await? {
        Created::New(session) | Created::Again(session) => Ok(session.key),
        Created::Exists => Err(StoreError::Unusable("a new store has no session".to_owned())),
    }
}

async fn put(store: &Store, key: SessionKey, at: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut spool = store.spool();
    spool.write(bytes)?;
    store.put_file(key, path(at), spool.finish(), Precondition::default(), now()).await?;
    Ok(())
}

fn path(text: &str) -> SessionPath {
    SessionPath::parse(text).expect("a path")
}

fn new_job(id: &str, session: SessionKey) -> NewJob {
    NewJob {
        id: id.parse().expect("an id"),
        owner: owner(),
        module: "m".parse().expect("a name"),
        version: 1,
        digest: Digest::of(WASM),
        kind: ModuleKind::Core,
        session: Some(NamedSession { id: "each".parse().expect("an id"), key: Some(session) }),
        inputs: Inputs { args: vec!["--fast".to_owned()], stdin: b"in".to_vec(), ..Inputs::default() },
        limits: JobLimits::default(),
        schedule: Schedule::default(),
        on_crash: OnCrash::Rerun,
        delivery: Delivery::Stored,
        dry_run: false,
        labels: BTreeMap::from([("label".to_owned(), "value".to_owned())]),
        fingerprint: Digest::of(id.as_bytes()),
        key_shown: None,
        created_at: now(),
    }
}

/// A job that made a link and a file, and ended well.
async fn job(store: &Store, key: SessionKey, id: &str) -> Result<(), StoreError> {
    let Accepted::New(job) = store.accept(new_job(id, key)).await? else {
        return Err(StoreError::Unusable("a new store has no job".to_owned()));
    };
    let attempt = store.claim(job.seq, true, now()).await?;
    let draft = store.begin(Some(key)).await?;
    let dir = draft.root().dir().try_clone().expect(SOUND);
    dir.symlink("a/b.txt", "link").and_then(|()| dir.write("made", "by a job")).expect(SOUND);
    let ending = Ending {
        outcome: Outcome::Succeeded,
        result: Some("{}".to_owned()),
        changes: None,
        spent: Spent::default(),
        ended_at: now(),
        stdout: Printed { bytes: b"out".to_vec(), passed_on: 0, truncated: true },
        stderr: Printed::default(),
    };
    let touched = Touched::Places(["link", "made"].map(|name| (path(name), Extent::Whole)).into());
    let params = [("count".to_owned(), None), ("set".to_owned(), Some("by a job".to_owned()))].into();
    draft.commit(job.seq, attempt, ending, touched, params, Fate::Stays).await.expect(SOUND);
    Ok(())
}

/// All files beneath a directory.
fn read(dir: &Path) -> Files {
    let (mut found, mut ahead) = (Files::new(), vec![dir.to_owned()]);
    while let Some(above) = ahead.pop() {
        for entry in fs::read_dir(&above).expect(SOUND) {
            let path = entry.expect(SOUND).path();
            if path.is_dir() {
                ahead.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("it lies beneath").to_string_lossy().into_owned();
                found.insert(name, fs::read(path).expect(SOUND));
            }
        }
    }
    found
}
