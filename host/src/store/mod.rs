//! The store: the truth, on disk, and the working copies made from it.
//!
//! Comes in: the service, for every fact it needs and every change it makes.
//!
//! Promise: what a write answers is durable before the answer. One job's files,
//! parameters, outcome and result are one transaction. The working copies are
//! disposable: nothing is ever read from one except what a job that ended well
//! changed in it.
//!
//! Not here: whether something is allowed (`queue`, `service`), and what a guest
//! does inside its working copy (`engine`). No other room names SQL.

mod error;
mod page;
mod layout;
mod plain;
mod foreign;
mod quarantine;
mod ground;
mod durable;
mod secret;
mod tables;
mod schema;
mod upgrade;
mod rows;
mod receipt;
mod line;
mod writer;
mod checkpoint;
mod readers;
mod keys;
mod tenants;
mod quotas;
mod collector;
mod modules;
mod found;
mod artefacts;
mod sessions;
mod creation;
mod expiry;
mod params;
mod blobs;
mod chunks;
mod nodes;
mod tip;
mod edit;
mod commits;
mod undo;
mod held;
mod spool;
mod files;
mod puts;
mod pack;
mod unpack;
mod replace;
mod jobs;
mod job_rows;
mod job_ends;
mod job_ids;
mod recover;
mod janitor;
mod place;
mod copies;
mod scratch;
mod tree;
mod mend;
mod changes;
mod moves;
mod draft;
mod commit_point;
mod brief;
mod midway;
mod hashed;
mod inspection;
mod check;
mod archive;
mod figures;
mod backup;
mod restore;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
#[cfg(test)]
pub(crate) mod tests;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use crate::model::quota::Quota;
use crate::store::checkpoint::Checkpointer;
use crate::store::collector::Collector;
use crate::store::copies::Copies;
use crate::store::found::Found;
use crate::store::job_ids::JobIds;
use crate::store::layout::Layout;
use crate::store::quotas::Quotas;
use crate::store::readers::Readers;
use crate::store::secret::Secret;
use crate::store::writer::Writer;

pub use crate::store::artefacts::ArtefactFile;
pub use crate::store::backup::back_up;
pub use crate::store::check::Report;
pub use crate::store::check::check;
pub use crate::store::creation::Created;
pub use crate::store::creation::NewSession;
pub use crate::store::creation::Origin;
pub use crate::store::draft::CommitError;
pub use crate::store::draft::Draft;
pub use crate::store::draft::Fate;
pub use crate::store::error::Refused;
pub use crate::store::error::StoreError;
pub use crate::store::expiry::DuePlace;
pub use crate::store::expiry::SessionChanges;
pub use crate::store::figures::Disk;
pub use crate::store::figures::Figures;
pub use crate::store::figures::Held;
pub use crate::store::files::Body;
pub use crate::store::files::FileContent;
pub use crate::store::files::FileEntry;
pub use crate::store::ground::Ground;
pub use crate::store::jobs::Accepted;
pub use crate::store::jobs::Claim;
pub use crate::store::jobs::Ending;
pub use crate::store::jobs::JobFilter;
pub use crate::store::jobs::Stream;
pub use crate::store::keys::Key;
pub use crate::store::modules::Added;
pub use crate::store::modules::NewVersion;
pub use crate::store::pack::ArchiveState;
pub use crate::store::pack::Coding;
pub use crate::store::pack::Packed;
pub use crate::store::page::Page;
pub use crate::store::page::PageOf;
pub use crate::store::place::WorkPlace;
pub use crate::store::puts::Precondition;
pub use crate::store::puts::Put;
pub use crate::store::puts::Recursive;
pub use crate::store::puts::Tags;
pub use crate::store::receipt::Receipt;
pub use crate::store::recover::QueuedJob;
pub use crate::store::recover::Recovered;
pub use crate::store::replace::Replaced;
pub use crate::store::restore::restore;
pub use crate::store::sessions::Access;
pub use crate::store::sessions::SessionFilter;
pub use crate::store::spool::Spool;
pub use crate::store::spool::SpoolWriter;
pub use crate::store::tenants::Tenant;
pub use crate::store::unpack::BadArchive;
pub use crate::store::unpack::Unpacked;

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The data directory; made if it is not there.
    pub data: PathBuf,
    /// Where working copies lie; `None` lets the store choose.
    pub work: Option<PathBuf>,
    /// What the working copies may hold in memory together.
    pub work_bytes_max: u64,
    /// What a tenant has unless told otherwise.
    pub quota: Quota,
}

/// The store. A clone is the same store. The last one that is dropped closes it
/// and waits for what is under way, so drop it where blocking is allowed.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields are dropped in this order: the writer finishes its line, then the
/// checkpointer may stop, then the working copies and the lock go.
struct Inner {
    writer: Writer,
    _checkpointer: Checkpointer,
    shared: Arc<Shared>,
    secret: Secret,
}

/// What work on other threads keeps alive.
struct Shared {
    layout: Layout,
    readers: Readers,
    found: Found,
    copies: Arc<Copies>,
    collector: Collector,
    quotas: Quotas,
    job_ids: JobIds,
    /// Held as long as anything can still write.
    _lock: File,
}

impl Store {
    /// Opens the data directory, and makes it if need be. Blocks.
    pub fn open(config: StoreConfig) -> Result<Store, StoreError> {
        Store::open_on(Ground::prepare(&config)?)
    }

    /// Opens the data directory that was prepared, and starts the store's threads.
    /// Touches nothing outside the ground's directories. Blocks.
    pub fn open_on(ground: Ground) -> Result<Store, StoreError> {
        let Ground { layout, lock, chosen, work_bytes_max, quota } = ground;
        janitor::empty(&layout.tmp()).map_err(StoreError::io("empty the directory for temporary files"))?;
        let secret = secret::load(&layout)?;
        // Before anybody reads there what may never have reached the disk.
        durable::write_again(&layout.log()).map_err(StoreError::io("write the database's log again"))?;
        let database = layout.database();
        let db = schema::open_for_writing(&database)?;
        durable::sync_dir(layout.data()).map_err(StoreError::io("make the data directory durable"))?;
        let quotas = Quotas::load(&db, quota)?;
        let job_ids = JobIds::load(&db)?;
        let copies = Copies::open(&layout, chosen, work_bytes_max)?;
        let (checkpointer, nudge) = Checkpointer::start(&database)?;
        let writer = Writer::start(db, nudge)?;
        let shared = Shared {
            readers: Readers::new(database),
            found: Found::default(),
            copies: Arc::new(copies),
            collector: Collector::new(layout.clone()),
            quotas,
            job_ids,
            layout,
            _lock: lock,
        };
        let inner = Inner { writer, _checkpointer: checkpointer, shared: Arc::new(shared), secret };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Where working copies lie by default, and why there.
    pub fn work_place(&self) -> &WorkPlace {
        self.inner.shared.copies.place()
    }

    /// Whether writes can succeed at all: not after a commit that failed, until
    /// the server is started anew.
    pub fn takes_writes(&self) -> bool {
        !self.inner.writer.is_poisoned()
    }

    fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.inner.shared)
    }

    /// Looks up a few things by their keys in the last commit, right here: their pages are
    /// in memory as a rule, and to hand that over to another thread takes longer. The
    /// largest of them are the parameters of a session, which have bounds.
    fn look<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.inner.shared.readers.with(read)
    }

    /// Looks at the last commit, away from the async threads.
    async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = self.shared();
        block(move || shared.readers.with(read)).await
    }
}

/// Does something that blocks, away from the async threads. It goes on to its
/// end whether or not anybody waits for it.
async fn block<T, W>(work: W) -> Result<T, StoreError>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that shuts down drops work that it has not begun.
        Err(_) => Err(StoreError::Busy),
    }
}
