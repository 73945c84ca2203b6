//! What the store promises, tried on a store in a directory of its own.

mod archives;
mod crash;
mod drafts;
mod explicit;
mod fates;
mod files;
mod history;
mod hostile;
mod quarantine;
mod quotas;
mod needed;
pub(crate) mod power;
mod records;
mod upgrade;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use tempfile::TempDir;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::ids::JobId;
use crate::ids::ModuleName;
use crate::ids::TenantId;
use crate::limits;
use crate::model::caller::Owner;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::JobLimits;
use crate::model::job::JobSeq;
use crate::model::job::NewJob;
use crate::model::job::OnCrash;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::module::ModuleKind;
use crate::model::outcome::Outcome;
use crate::model::params::ParamChanges;
use crate::model::path::SessionPath;
use crate::model::quota::Quota;
use crate::model::schedule::Schedule;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::touched::Extent;
use crate::model::touched::Touched;
use crate::store::Accepted;
use crate::store::Body;
use crate::store::CommitError;
use crate::store::Created;
use crate::store::Draft;
use crate::store::Ending;
use crate::store::Fate;
use crate::store::FileEntry;
use crate::store::NewSession;
use crate::store::NewVersion;
use crate::store::PageOf;
use crate::store::Precondition;
use crate::store::Put;
use crate::store::Recursive;
use crate::store::Refused;
use crate::store::Spool;
use crate::store::Store;
use crate::store::StoreConfig;
use crate::store::StoreError;

/// A store with one tenant and one module, and what tests do with it.
struct Kit {
    home: TempDir,
    store: Store,
}

const NOW: i64 = 1_700_000_000_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW)
}

fn path(text: &str) -> SessionPath {
    SessionPath::parse(text).unwrap()
}

/// All of what lies at these paths.
fn paths(texts: &[&str]) -> Touched {
    Touched::Places(texts.iter().map(|text| (path(text), Extent::Whole)).collect())
}

fn owner(principal: &str) -> Owner {
    Owner { tenant: "acme".parse().unwrap(), principal: principal.parse().unwrap() }
}

fn all() -> PageOf {
    PageOf { limit: limits::PAGE_MAX, cursor: None }
}

/// Opens the store in a directory, with working copies beside it.
fn open(home: &Path, work_bytes_max: u64) -> Result<Store, StoreError> {
    let (data, work) = (home.join("data"), Some(home.join("fast")));
    Store::open(StoreConfig { data, work, work_bytes_max, quota: Quota::of_machine(4, 1) })
}

fn ending(outcome: Outcome) -> Ending {
    Ending {
        outcome,
        result: Some("{\"pages\":3}".to_owned()),
        changes: None,
        spent: Spent { wall: Duration::from_micros(1_500), cpu: Duration::from_micros(900), memory_peak_bytes: 7 },
        ended_at: Timestamp::from_micros(NOW + 9),
        stdout: Printed { bytes: b"out".to_vec(), passed_on: 0, truncated: true },
        stderr: Printed::default(),
    }
}

impl Kit {
    async fn new() -> Kit {
        Kit::with_budget(limits::WORK_BYTES_DEFAULT).await
    }

    async fn with_budget(work_bytes_max: u64) -> Kit {
        let home = tempfile::tempdir().unwrap();
        let store = open(home.path(), work_bytes_max).unwrap();
        let kit = Kit { home, store };
        kit.store.create_tenant("acme".parse().unwrap(), now()).await.unwrap();
        kit.upload("letter", b"letter 1").await;
        kit
    }

    /// Closes the store and opens it again.
    fn reopened(self) -> Kit {
        let Kit { home, store } = self;
        drop(store);
        let store = open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap();
        Kit { home, store }
    }

    async fn upload(&self, name: &str, bytes: &[u8]) -> super::Added {
        let digest = Digest::of(bytes);
        self.store.save_wasm(digest, bytes.to_vec()).await.unwrap();
        let new = NewVersion {
            tenant: "acme".parse().unwrap(),
            name: name.parse().unwrap(),
            digest,
            size_bytes: bytes.len() as u64,
            kind: ModuleKind::Core,
            imports: vec!["wasi_snapshot_preview1.fd_write".to_owned()],
            created_by: "ann".parse().unwrap(),
            now: now(),
        };
        self.store.add_version(new).await.unwrap()
    }

    async fn session(&self, id: &str) -> Session {
        self.limited_session(id, SessionLimits::default()).await
    }

    fn new_session(&self, id: &str) -> NewSession {
        NewSession {
            id: id.parse().unwrap(),
            owner: owner("ann"),
            queue: QueueMode::Wait,
            limits: SessionLimits::default(),
            terms: Terms::default(),
            params: BTreeMap::from([("count".to_owned(), "1".to_owned())]),
            creator: None,
            keyed: false,
            transaction: TransactionMode::Job,
            retention: Retention::default(),
            from: None,
            now: now(),
        }
    }

    async fn limited_session(&self, id: &str, limits: SessionLimits) -> Session {
        let new = NewSession { limits, ..self.new_session(id) };
        match self.store.create_session(new).await.unwrap() {
            Created::New(session) => session,
            Created::Again(_) | Created::Exists => panic!("{id} exists"),
        }
    }

    fn new_job(&self, id: &str) -> NewJob {
        NewJob {
            id: id.parse::<JobId>().unwrap(),
            owner: owner("ann"),
            module: "letter".parse::<ModuleName>().unwrap(),
            version: 1,
            digest: Digest::of(b"letter 1"),
            kind: ModuleKind::Core,
            session: None,
            inputs: Inputs {
                args: vec!["--fast".to_owned()],
                env: BTreeMap::from([("LANG".to_owned(), "de".to_owned())]),
                stdin: vec![0, 255],
                params_in_env: true,
            },
            limits: JobLimits::default(),
            schedule: Schedule::default(),
            on_crash: OnCrash::Rerun,
            delivery: Delivery::Stored,
            dry_run: false,
            labels: BTreeMap::from([("run".to_owned(), id.to_owned())]),
            fingerprint: Digest::of(id.as_bytes()),
            key_shown: None,
            created_at: now(),
        }
    }

    async fn accept(&self, id: &str) -> JobSeq {
        match self.store.accept(self.new_job(id)).await.unwrap() {
            Accepted::New(job) => {
                // What is answered is what is on record.
                assert_eq!(self.store.job_by_seq(job.seq).await.unwrap().as_ref(), Some(&*job));
                job.seq
            }
            known => panic!("{known:?}"),
        }
    }

    /// A job that was accepted and claimed.
    async fn running(&self, id: &str) -> (JobSeq, u32) {
        let seq = self.accept(id).await;
        (seq, self.store.claim(seq, true, now()).await.unwrap())
    }

    async fn begin(&self, key: SessionKey) -> Draft {
        self.store.begin(Some(key)).await.unwrap()
    }

    /// Runs one job that does `work` in the session's directory and ends well.
    async fn job(&self, key: SessionKey, id: &str, changed: &[&str], work: impl FnOnce(&Dir)) {
        let (seq, attempt) = self.running(id).await;
        let draft = self.begin(key).await;
        work(draft.root().dir());
        self.commit(draft, seq, attempt, changed).await.unwrap();
    }

    async fn commit(&self, draft: Draft, seq: JobSeq, attempt: u32, changed: &[&str]) -> Result<(), CommitError> {
        draft.commit(seq, attempt, ending(Outcome::Succeeded), paths(changed), ParamChanges::new(), Fate::Stays).await
    }

    fn spool(&self, bytes: &[u8]) -> Spool {
        let mut spool = self.store.spool();
        bytes.chunks(100_000).for_each(|part| spool.write(part).unwrap());
        spool.finish()
    }

    async fn put(&self, key: SessionKey, at: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.store.put_file(key, path(at), self.spool(bytes), Precondition::default(), now()).await
    }

    async fn entry(&self, key: SessionKey, at: &str) -> FileEntry {
        self.store.file(key, None, path(at)).await.unwrap().unwrap().entry
    }

    async fn read(&self, key: SessionKey, at: &str) -> Option<Vec<u8>> {
        let content = self.store.file(key, None, path(at)).await.unwrap()?;
        if let Some(small) = self.store.small_file(key, None, &path(at)).unwrap() {
            assert!(matches!((&small.body, &content.body), (Body::Memory(small), Body::Memory(all)) if small == all));
            assert_eq!((small.entry, small.commit), (content.entry, content.commit));
        }
        Some(match content.body {
            Body::Memory(bytes) => bytes,
            Body::Spooled(mut file) => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
                bytes
            }
        })
    }

    /// Everything in a session, as `kind path size`.
    async fn tree(&self, key: SessionKey) -> Vec<String> {
        let (page, _) = self.store.files(key, None, None, Recursive::Yes, all()).await.unwrap();
        page.items.iter().map(|entry| format!("{} {} {}", entry.kind.word(), entry.path, entry.size)).collect()
    }
}

/// Everything in a directory, as `kind path size`.
fn tree_of(dir: &Dir) -> Vec<String> {
    fn walk(dir: &Dir, above: &str, found: &mut Vec<String>) {
        for entry in dir.entries().unwrap() {
            let entry = entry.unwrap();
            let name = format!("{above}{}", entry.file_name().to_str().unwrap());
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                found.push(format!("directory {name} 0"));
                walk(&entry.open_dir().unwrap(), &format!("{name}/"), found);
            } else {
                let kind = if meta.is_symlink() { "link" } else { "file" };
                found.push(format!("{kind} {name} {}", meta.len()));
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, "", &mut found);
    found.sort_by(|a, b| a.split(' ').nth(1).cmp(&b.split(' ').nth(1)));
    found
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Refused {
    match result {
        Err(StoreError::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}
