//! After a start: what an earlier server left, put in order.
//!
//! Promise: a job that was accepted is queued again, in its place, or has failed
//! as `lost` with a sentence (R25). Nothing of an attempt that was cut short is
//! anywhere: its work was in a working copy, and those are gone.

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::ids::TenantId;
use crate::limits::ATTEMPTS_MAX;
use crate::limits::INPUTS_HELD_BYTES_MAX;
use crate::model::job::Inputs;
use crate::model::job::JobSeq;
use crate::model::job::NewJob;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::module::ModuleVersion;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::expiry;
use crate::store::job_ends;
use crate::store::job_rows;
use crate::store::jobs::Ending;
use crate::store::modules;
use crate::store::rows;
use crate::store::sessions;
use crate::store::undo;

const DROPPED: &str = "its session was dropped, and the server stopped";

/// A job that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedJob {
    pub seq: JobSeq,
    pub job: NewJob,
    /// Attempts so far: some were cut short, and some failed.
    pub attempts: u32,
    /// How many of them failed.
    pub failures: u32,
    /// The session that such an attempt made: others wait for the creator (R13).
    pub created: Option<SessionId>,
    /// Whether what the guest is given is on record alone ([`Store::inputs`]), and not in `job`.
    pub inputs_on_record: bool,
}

impl QueuedJob {
    /// A job that has just been accepted under `seq`, and is on record.
    pub fn accepted(seq: JobSeq, mut job: NewJob) -> Self {
        let inputs_on_record = job.inputs.size_bytes() > INPUTS_HELD_BYTES_MAX;
        if inputs_on_record {
            job.inputs = Inputs::default();
        }
        Self { seq, job, attempts: 0, failures: 0, created: None, inputs_on_record }
    }
}

/// What an earlier server left to be done, and what was put in order.
#[derive(Debug, Default)]
pub struct Recovered {
    /// In the order of acceptance.
    pub queued: Vec<QueuedJob>,
    /// Versions whose compilation was cut short.
    pub compiling: Vec<(TenantId, ModuleVersion)>,
    /// How many jobs failed as `lost` just now.
    pub lost: usize,
    /// How many were cancelled just now, since their sessions had been dropped.
    pub cancelled: usize,
    /// How many sessions had an explicit transaction open, which is undone now.
    pub rolled_back: usize,
    /// How many sessions that were being dropped are gone now.
    pub sessions_removed: usize,
}

impl Store {
    /// Puts in order what an earlier server left. Once, after the store was
    /// opened and before anything else is asked of it.
    pub async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        let put_in_order = self.writer().enqueue(move |db| {
            let cancelled = cancel_in_marked(db, now)?;
            let lost = requeue(db, now)?;
            let rolled_back = undo::roll_back_all(db)?;
            Ok((cancelled, lost, rolled_back, remove_all_marked(db)?))
        });
        let (cancelled, lost, rolled_back, sessions_removed) = put_in_order.await?;
        let shared = self.shared();
        self.writer().enqueue(move |db| shared.collector.sweep(db)).await?;
        self.read(move |db| {
            let (queued, compiling) = (queued(db)?, compiling(db)?);
            Ok(Recovered { queued, compiling, lost, cancelled, rolled_back, sessions_removed })
        })
        .await
    }
}

fn remove_all_marked(db: &Connection) -> Result<usize, StoreError> {
    let marked = "SELECT key FROM session WHERE state = 'marked'";
    let marked = rows::all(db, marked, [], |row| Ok(SessionKey(row.get("key")?)))?;
    marked.iter().try_for_each(|key| sessions::remove(db, *key).map(|_| ()))?;
    Ok(marked.len())
}

/// Ends the jobs that were running in sessions which were dropped, or had made them: they
/// were being stopped (R19). Says how many.
fn cancel_in_marked(db: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let running =
        "SELECT job.seq, job.attempt FROM session CROSS JOIN job ON job.ended_at IS NULL AND job.state = 'running'
                   WHERE session.state = 'marked' AND (session.creator = job.seq OR job.session_active = 1
                       AND (session.key = job.session_key OR job.session_key IS NULL
                           AND session.tenant = job.tenant AND session.principal = job.principal
                           AND session.id = job.session_id))";
    let running = rows::all(db, running, [], |row| Ok((JobSeq(row.get("seq")?), rows::small(row, "attempt")?)))?;
    for (seq, attempt) in &running {
        job_ends::end(db, *seq, *attempt, &cut_short(Outcome::Cancelled { detail: DROPPED.to_owned() }, now))?;
    }
    Ok(running.len())
}

/// How a job ends of which nothing is left.
fn cut_short(outcome: Outcome, now: Timestamp) -> Ending {
    Ending {
        outcome,
        result: None,
        changes: None,
        spent: Spent::default(),
        ended_at: now,
        stdout: Printed::default(),
        stderr: Printed::default(),
    }
}

/// Decides about the jobs that were running; says how many are lost.
fn requeue(db: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let rerun = "UPDATE job SET state = 'queued', started_at = NULL
                 WHERE ended_at IS NULL AND state = 'running' AND on_crash = 'rerun' AND attempt - failures < ?1";
    rows::change(db, rerun, [ATTEMPTS_MAX])?;
    // The client of a streaming run is gone with its connection, so nobody waits for one that was queued (R31).
    let running = "SELECT seq, attempt, failures FROM job
                   WHERE ended_at IS NULL AND (state = 'running' OR delivery = 'streamed')";
    let running = rows::all(db, running, [], |row| {
        Ok((JobSeq(row.get("seq")?), rows::small(row, "attempt")?, rows::small(row, "failures")?))
    })?;
    for (seq, attempt, failures) in &running {
        // Attempts that came to an end of their own are not held against the server.
        let detail = match attempt.saturating_sub(*failures) {
            0 => "the server stopped before the job could run, and its client is gone".to_owned(),
            1 => "the server stopped while the job ran, and the job is not to be run again".to_owned(),
            times => format!("the server stopped while the job ran, {times} times; nothing of it was kept"),
        };
        let ending = cut_short(Outcome::failed(Reason::Lost, detail), now);
        let over = job_ends::end(db, *seq, *attempt, &ending)?;
        if let Some(session) = over.session {
            expiry::used(db, session, now)?;
        }
    }
    Ok(running.len())
}

fn queued(db: &Connection) -> Result<Vec<QueuedJob>, StoreError> {
    let list = "SELECT * FROM job WHERE ended_at IS NULL AND state = 'queued' ORDER BY seq";
    rows::all(db, list, params![], |row| {
        let (seq, attempts) = (JobSeq(row.get("seq")?), rows::small(row, "attempt")?);
        let failures = rows::small(row, "failures")?;
        let created = "SELECT id FROM session WHERE creator = ?1 AND state = 'active'";
        let created = rows::one(db, created, [seq.0], |row| rows::parsed(row, "id"))?;
        // One at a time, so that a long queue of large ones takes no more memory than before.
        let accepted = QueuedJob::accepted(seq, job_rows::accepted(db, row)?);
        Ok(QueuedJob { attempts, failures, created, ..accepted })
    })
}

fn compiling(db: &Connection) -> Result<Vec<(TenantId, ModuleVersion)>, StoreError> {
    let list = "SELECT * FROM module_version WHERE state = 'compiling' ORDER BY created_at";
    rows::all(db, list, params![], |row| Ok((rows::parsed(row, "tenant")?, modules::module_version(row)?)))
}
