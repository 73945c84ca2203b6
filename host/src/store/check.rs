//! Whether the store is what it should be, found out without trusting it.
//!
//! Comes in: an operator, with a data directory that no server uses; and
//! whoever made a copy of one and wants to know what it is worth.
//!
//! Promise: each sentence names one thing that is wrong, and nothing is changed:
//! an old format is not upgraded, no log is carried over, no file is made.
//!
//! Not here: putting anything right.

mod database;
mod files;
mod records;
mod rules;

use std::fmt;
use std::path::Path;

use rusqlite::Connection;

pub(super) use crate::store::check::files::needed_modules;
use crate::store::error::StoreError;
use crate::store::foreign;
use crate::store::inspection;
use crate::store::layout::Layout;
use crate::store::plain;
use crate::store::rows;

/// Faults that are told of; a store with more is beyond repair anyway.
const FAULTS_MAX: usize = 100;

/// What is wrong, a sentence each.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: String) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(fault);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a look at a whole store found.
#[derive(Debug)]
pub struct Report {
    /// A sentence for each thing that is wrong; no more than a hundred.
    pub faults: Vec<String>,
    counts: Counts,
}

/// What was looked at.
#[derive(Debug, Default)]
struct Counts {
    tenants: u64,
    sessions: u64,
    commits: u64,
    pieces: u64,
    jobs: u64,
    modules: u64,
}

/// The last line for an operator, with the counts.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            0 => write!(f, "sound: ")?,
            1 => write!(f, "1 fault: ")?,
            FAULTS_MAX => write!(f, "{FAULTS_MAX} faults or more: ")?,
            many => write!(f, "{many} faults: ")?,
        }
        let Counts { tenants, sessions, commits, pieces, jobs, modules } = self.counts;
        write!(
            f,
            "looked at {tenants} tenants, {sessions} sessions with {commits} commits and {pieces} pieces of files, \
             {jobs} jobs, {modules} modules"
        )
    }
}

/// Looks at all of a data directory that no server uses, and keeps servers away
/// meanwhile. Fails as [`StoreError::Unusable`] if that cannot be done.
pub fn check(data: &Path) -> Result<Report, StoreError> {
    let layout = Layout::of(data)?;
    foreign::refuse_unreadable(&layout.open_dir()?)?;
    let _lock = layout.lock_if_there()?;
    whole(&layout)
}

/// The same for a directory that is the caller's alone.
pub(super) fn whole(layout: &Layout) -> Result<Report, StoreError> {
    let mut faults = Faults::default();
    files::secret(layout, &mut faults)?;
    foreign::findings(&layout.open_dir()?)?.into_iter().for_each(|finding| faults.add(finding));
    if !plain::is_file(&layout.database()) {
        return Err(StoreError::Unusable(format!("there is no database in {}", layout.data().display())));
    }
    let db = inspection::open(&layout.database())?;
    let mut counts = Counts::default();
    // What the database says of files means nothing if it is damaged itself.
    if database(&db, &mut faults)? {
        files::modules(layout, &db, &mut faults)?;
        files::artefacts(layout, &db, &mut faults)?;
        counts = count(&db)?;
    }
    Ok(Report { faults: faults.0, counts })
}

/// The same for a database without its directory.
pub(super) fn snapshot(path: &Path) -> Result<Report, StoreError> {
    let db = inspection::open(path)?;
    let mut faults = Faults::default();
    let counts = if database(&db, &mut faults)? { count(&db)? } else { Counts::default() };
    Ok(Report { faults: faults.0, counts })
}

/// Looks at a database alone; says whether it could be read to its end.
fn database(db: &Connection, faults: &mut Faults) -> Result<bool, StoreError> {
    database::check(db, faults)
}

/// What is wrong in the database of a store that is open.
#[cfg(test)]
pub(super) fn open_database(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut faults = Faults::default();
    database(db, &mut faults)?;
    Ok(faults.0)
}

fn count(db: &Connection) -> Result<Counts, StoreError> {
    let of = |table: &str| {
        let count = format!("SELECT count(*) AS count FROM {table}");
        Ok::<_, StoreError>(rows::one(db, &count, [], |row| rows::number(row, "count"))?.unwrap_or(0))
    };
    Ok(Counts {
        tenants: of("tenant")?,
        sessions: of("session")?,
        commits: of("session_commit")?,
        pieces: of("chunk")?,
        jobs: of("job")?,
        modules: of("module_version")?,
    })
}
