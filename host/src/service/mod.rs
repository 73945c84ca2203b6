//! The hall: joins the rooms, and owns every job from its acceptance on.
//!
//! Comes in: words that the front door has parsed, with a known caller.
//! Goes out: to the queue for a turn and a slot, to the engine for a run, to
//! the store for everything that lasts.
//!
//! Promise: a job belongs to the service, never to a connection. What is
//! answered as done is durable.
//!
//! Not here: rules (`model`, `queue::admission`), and how things look in JSON
//! (`http`).

pub mod journey;
mod waiting;
mod settle;
mod again;
mod shares;
mod purses;
pub mod jobs;
pub mod follow;
mod resume;
mod desk;
mod record;
pub mod run;
pub mod stream;
pub mod live;
mod names;
mod tasks;
pub mod sessions;
mod contents;
mod archives;
mod history;
pub mod session_keys;
pub mod expiry;
pub mod modules;
pub mod keys;
pub mod tenants;
mod rates;
pub mod quotas;
pub mod figures;
pub mod refusal;
#[cfg(test)]
mod failing_disk;
#[cfg(test)]
mod any_order;
#[cfg(test)]
mod interleavings;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::rolling_key::KeyMaker;
use crate::queue::admission::UnknownSessions;
use crate::queue::compilers::Compilers;
use crate::queue::lanes::Lanes;
use crate::queue::slots::Slots;
use crate::service::refusal::Chain;
use crate::store::Store;
use crate::store::StoreError;

use self::figures::Meters;
use self::keys::KeyRing;
use self::live::LiveJobs;
use self::modules::Programs;
use self::names::Names;
use self::purses::Purses;
use self::rates::Rates;
use self::record::AllUnrecorded;

/// What the operator has set about queueing.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Guests that run at once.
    pub slots: usize,
    /// Requests that may wait in one lane.
    pub queue_max: usize,
    pub unknown_sessions: UnknownSessions,
    /// How often sessions that have expired are looked for.
    pub sweep_interval: Duration,
    /// How long a streaming run waits for a client that does not read (R30).
    pub reply_timeout: Duration,
}

/// The service. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    clock: Clock,
    started_at: Timestamp,
    store: Store,
    engine: Engine,
    lanes: Lanes,
    slots: Slots,
    live: Arc<LiveJobs>,
    names: Names,
    unrecorded: AllUnrecorded,
    keys: KeyRing,
    /// Requests and processor time of tenants.
    rates: Rates,
    purses: Purses,
    meters: Meters,
    /// Makes the keys of sessions, which are not stored.
    key_maker: KeyMaker,
    programs: Programs,
    /// Held while a job takes its place in the lane and in the store's line of
    /// writes, so that both lines have the same order: the order in which jobs
    /// run now is the one in which they would run after a crash (R7, R25).
    door: Mutex<()>,
    /// Compilation is the heaviest thing that a tenant can ask for.
    compilers: Compilers,
    /// Files that are read out of the store at once.
    reads: Semaphore,
    /// Archives that are packed or unpacked: one of each tenant, and of all as many as
    /// there are processors.
    packers: Compilers,
    /// Uploads are held in memory while they are looked at.
    uploads: Semaphore,
    /// The walks of jobs and other work that outlives its request.
    tasks: TaskTracker,
    /// Cancelled when the server stops: nothing new starts.
    draining: CancellationToken,
    /// Cancelled when the grace time is over: nobody waits for a client any more.
    hanging_up: CancellationToken,
}

/// What is left of a job's walk once the grace time is over.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl Service {
    /// Joins the rooms and takes up what an earlier server left: jobs that were
    /// queued are queued again, in their order.
    pub async fn start(store: Store, engine: Engine, settings: Settings, clock: Clock) -> Result<Self, StoreError> {
        let recovered = store.recover(clock.now()).await?;
        let keys = store.all_keys().await?.into_iter();
        let keys = KeyRing::new(keys.map(|key| (key.hash, Caller { owner: key.owner, scopes: key.scopes })));
        let key_maker = KeyMaker::new(store.secret());
        let inner = Inner {
            settings,
            started_at: clock.now(),
            clock,
            store,
            engine,
            lanes: Lanes::default(),
            slots: Slots::new(settings.slots),
            live: Arc::default(),
            names: Names::default(),
            unrecorded: AllUnrecorded::default(),
            keys,
            rates: Rates::default(),
            purses: Purses::default(),
            meters: Meters::default(),
            key_maker,
            programs: Programs::default(),
            door: Mutex::new(()),
            compilers: Compilers::default(),
            reads: Semaphore::new(limits::FILE_READS_MAX),
            packers: Compilers::default(),
            uploads: Semaphore::new(limits::UPLOADS_MAX),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            hanging_up: CancellationToken::new(),
        };
        let service = Self { inner: Arc::new(inner) };
        service.inner.store.collect_artefacts(service.inner.engine.fingerprint()).await?;
        service.inner.meters.recovered(&recovered);
        for (tenant, version) in recovered.compiling {
            service.compile_again(tenant, version);
        }
        service.resume(recovered.queued);
        // Last: jobs that were queued have their places by now, and keep their sessions.
        service.sweep_from_now_on();
        Ok(service)
    }

    /// The present moment.
    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Who an API key speaks for, if it is valid.
    pub fn caller_of(&self, key: &str) -> Option<Caller> {
        self.inner.keys.caller(key, self.now())
    }

    /// The API keys.
    pub fn keys(&self) -> &KeyRing {
        &self.inner.keys
    }

    /// Whether the server is stopping.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Whether jobs can be recorded at all: not after the disk has failed.
    pub fn takes_writes(&self) -> bool {
        self.inner.store.takes_writes()
    }

    /// Stops: no new work, running jobs get `grace` to end and are cancelled
    /// then, queued ones stay for the next start.
    pub async fn drain(&self, grace: Duration) {
        self.inner.draining.cancel();
        self.inner.tasks.close();
        tracing::info!(running = self.inner.live.running(), grace_ms = grace.as_millis() as u64, "stopping");
        if let Err(error) = self.note_key_uses(Duration::ZERO).await {
            tracing::warn!(error = %Chain(&error), "when API keys were last used is not known to the minute");
        }
        if tokio::time::timeout(grace, self.inner.tasks.wait()).await.is_ok() {
            return;
        }
        self.inner.live.cancel_all("the server was stopping");
        self.inner.hanging_up.cancel();
        if tokio::time::timeout(STOP_TIMEOUT, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("some work did not end; what is not durable yet is undone at the next start");
        }
    }
}
