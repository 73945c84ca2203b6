//! What the store counts of its work, and what it holds, for the operator.
//!
//! Promise: nothing is scanned for it but the list of tenants, whose rows say what
//! each of them holds. What cannot be found out is absent, and logged.

use std::path::Path;

use rusqlite::Connection;

use crate::meter::Bounds;
use crate::meter::Count;
use crate::meter::Noted;
use crate::meter::Spread;
use crate::meter::micros;
use crate::meter::millis;
use crate::store::Store;
use crate::store::block;
use crate::store::error::StoreError;
use crate::store::rows;

const COMMIT_TIMES: Bounds = Bounds::of_times(&[
    micros(100),
    micros(250),
    micros(500),
    millis(1),
    micros(2_500),
    millis(5),
    millis(10),
    millis(25),
    millis(50),
    millis(100),
    millis(500),
    millis(2_500),
]);

const UNITS: Bounds = Bounds::of_counts(&[1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);

/// The writer's counts.
pub(super) struct Meters {
    /// Of commits that are on disk: how long each took, and how many units it holds.
    pub(super) time: Spread,
    pub(super) units: Spread,
    /// Commits for which the disk had no room.
    pub(super) full: Count,
    /// Commits that failed otherwise: one at most, after which there are none.
    pub(super) failed: Count,
}

impl Default for Meters {
    fn default() -> Self {
        let (full, failed) = (Count::default(), Count::default());
        Self { time: Spread::new(COMMIT_TIMES), units: Spread::new(UNITS), full, failed }
    }
}

/// What the store had done, and held, at a moment.
#[derive(Clone, Debug)]
pub struct Figures {
    pub commit_time: Noted,
    pub commit_units: Noted,
    pub commits_full: u64,
    pub commits_failed: u64,
    /// Units of work that wait for the writer.
    pub writes_waiting: u64,
    /// What of the log is not carried over yet, as of the last commit.
    pub log_bytes: u64,
    pub takes_writes: bool,
    /// What working copies take, at a guess, where they lie.
    pub copies_in_memory_bytes: u64,
    pub copies_on_disk_bytes: u64,
    pub disk: Option<Disk>,
    pub held: Option<Held>,
}

/// The file system of the data directory.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    pub bytes: u64,
    /// What the server may still use of it.
    pub free_bytes: u64,
    pub database_bytes: u64,
}

/// What all tenants hold together.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub tenants: u64,
    pub sessions: u64,
    pub stored_bytes: u64,
    /// Versions of them.
    pub modules: u64,
    pub module_bytes: u64,
}

impl Store {
    /// What the store has done, and holds now.
    pub async fn figures(&self) -> Figures {
        let shared = self.shared();
        let looked = block(move || {
            let disk = disk(shared.layout.data(), &shared.layout.database());
            Ok((disk, shared.readers.with(held)))
        });
        let (disk, held) = match looked.await {
            Ok((disk, held)) => {
                (disk.map_err(|error| unknown(&error)).ok(), held.map_err(|error| unknown(&error)).ok())
            }
            // The runtime is ending.
            Err(error) => {
                unknown(&error);
                (None, None)
            }
        };
        let writer = self.writer();
        let meters = writer.meters();
        let (copies_in_memory_bytes, copies_on_disk_bytes) = self.inner.shared.copies.bytes();
        Figures {
            commit_time: meters.time.look(),
            commit_units: meters.units.look(),
            commits_full: meters.full.get(),
            commits_failed: meters.failed.get(),
            writes_waiting: writer.waiting() as u64,
            log_bytes: writer.log_bytes(),
            takes_writes: self.takes_writes(),
            copies_in_memory_bytes,
            copies_on_disk_bytes,
            disk,
            held,
        }
    }
}

fn unknown(error: &StoreError) {
    tracing::warn!(%error, "what the store holds could not be found out");
}

fn disk(data: &Path, database: &Path) -> Result<Disk, StoreError> {
    let space = rustix::fs::statvfs(data);
    let space = space.map_err(|errno| StoreError::io("ask for the room on its disk")(errno.into()))?;
    let file = std::fs::metadata(database).map_err(StoreError::io("look at the database"))?;
    Ok(Disk {
        bytes: space.f_blocks.saturating_mul(space.f_frsize),
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        database_bytes: file.len(),
    })
}

fn held(db: &Connection) -> Result<Held, StoreError> {
    let sums = "SELECT count(*) AS tenants, coalesce(sum(sessions), 0) AS sessions,
                       coalesce(sum(stored_bytes), 0) AS stored_bytes, coalesce(sum(modules), 0) AS modules,
                       coalesce(sum(module_bytes), 0) AS module_bytes
                FROM tenant";
    let held = rows::one(db, sums, [], |row| {
        Ok(Held {
            tenants: rows::number(row, "tenants")?,
            sessions: rows::number(row, "sessions")?,
            stored_bytes: rows::number(row, "stored_bytes")?,
            modules: rows::number(row, "modules")?,
            module_bytes: rows::number(row, "module_bytes")?,
        })
    })?;
    held.ok_or_else(|| StoreError::Broken("a sum has no row".to_owned()))
}
