//! How the end of a job lies in its rows.
//!
//! Promise: an end is written once, for the attempt that it is the end of.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::params;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::ids::JobId;
use crate::model::entry::EntryKind;
use crate::model::history::Change;
use crate::model::history::ChangeList;
use crate::model::history::FileChange;
use crate::model::history::ParamChange;
use crate::model::job::Job;
use crate::model::job::JobSeq;
use crate::model::job::JobState;
use crate::model::job::NamedSession;
use crate::model::job::NewJob;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::session::SessionKey;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::job_rows;
use crate::store::jobs::Claim;
use crate::store::jobs::Ending;
use crate::store::keys;
use crate::store::rows;
use crate::store::rows::Row;
use crate::store::sessions;

/// What is to be done after a job's end.
pub(super) struct Over {
    pub(super) id: JobId,
    /// Its module.
    pub(super) digest: Digest,
    /// The session that it belonged to, if any.
    pub(super) session: Option<SessionKey>,
}

/// How a job ended that comes on record after that.
#[derive(Clone, Copy)]
pub(super) struct Behind<'a> {
    /// When its one attempt began, if it came to that.
    pub(super) started_at: Option<Timestamp>,
    pub(super) ending: &'a Ending,
}

impl Ending {
    /// What the record says of a job that ended so, in the attempt that `claim` began, if
    /// any. `job` is what it said at some time before. Not for a dry run: what that would
    /// have changed is on record alone.
    pub fn of(&self, job: Job, claim: Option<Claim>) -> Job {
        let job = match claim {
            Some(Claim { attempt, session_active, at }) => Job { attempt, session_active, started_at: Some(at), ..job },
            None => job,
        };
        let kept = |stretch| Duration::from_micros(rows::stored_stretch(stretch).unsigned_abs());
        Job {
            state: JobState::from(&self.outcome),
            outcome: Some(self.outcome.clone()),
            last_failure: None,
            result: self.result.clone(),
            ended_at: Some(self.ended_at),
            spent: Spent { wall: kept(self.spent.wall), cpu: kept(self.spent.cpu), ..self.spent },
            stdout_bytes: self.stdout.size_bytes(),
            stderr_bytes: self.stderr.size_bytes(),
            stdout_truncated: self.stdout.truncated,
            stderr_truncated: self.stderr.truncated,
            ..job
        }
    }
}

/// Writes a job that is over. One statement for acceptance and end: what indexes say of
/// jobs that are not over need not be written and taken back.
pub(super) fn insert(db: &Connection, new: &NewJob, place: &str, behind: Behind<'_>) -> Result<(), StoreError> {
    let seq = job_rows::insert_row(db, new, place, None, Some(behind))?;
    insert_beside(db, seq, behind.ending)
}

/// Writes a job's end, unless it is over or in another attempt.
pub(super) fn end(db: &Connection, seq: JobSeq, attempt: u32, ending: &Ending) -> Result<Over, StoreError> {
    // Asked for first: a row that an update gives back goes through a table of its own.
    let find = "SELECT tenant, principal, id, digest, session_id, session_key, session_active FROM job
                WHERE seq = ?1 AND attempt = ?2 AND ended_at IS NULL";
    let over = rows::one(db, find, params![seq.0, attempt], |row| over(db, row))?;
    let over = over.ok_or(Refused::NotTheJob)?;
    let update = "UPDATE job SET state = ?1, reason = ?2, exit_code = ?3, detail = ?4, result = ?5, ended_at = ?6,
                      wall_us = ?7, cpu_us = ?8, memory_peak = ?9, stdout_bytes = ?10, stderr_bytes = ?11,
                      stdout_truncated = ?12, stderr_truncated = ?13 WHERE seq = ?14";
    let values = values(Some(ending)).into_iter().chain([ToSqlOutput::from(seq.0)]);
    rows::change(db, update, rusqlite::params_from_iter(values))?;
    insert_beside(db, seq, ending)?;
    rows::change(db, "DELETE FROM job_input WHERE job = ?1", [seq.0])?;
    Ok(over)
}

/// Writes that a job's attempt has failed and another one follows, not before that time.
pub(super) fn put_back(
    db: &Connection,
    seq: JobSeq,
    attempt: u32,
    failed: &Outcome,
    not_before: Timestamp,
) -> Result<(), StoreError> {
    let update = "UPDATE job SET state = 'queued', started_at = NULL, failures = failures + 1, not_before = ?1,
                      reason = ?2, exit_code = ?3, detail = ?4
                  WHERE seq = ?5 AND attempt = ?6 AND state = 'running'";
    let (reason, exit_code, detail) = words(failed);
    let values = params![not_before.micros(), reason, exit_code, detail, seq.0, attempt];
    match rows::change(db, update, values)? {
        1 => Ok(()),
        _ => Err(Refused::NotTheJob.into()),
    }
}

/// What the row of a job says of its end, `state` to `stderr_truncated`; without one,
/// that it is queued.
pub(super) fn values(ending: Option<&Ending>) -> [ToSqlOutput<'_>; 13] {
    let text = |text| ToSqlOutput::Borrowed(ValueRef::from(text));
    let number = |number: i64| ToSqlOutput::from(number);
    let none = || ToSqlOutput::Borrowed(ValueRef::Null);
    let Some(ending) = ending else {
        let zeros = [(); 7].map(|()| number(0));
        let [wall, cpu, memory, stdout, stderr, cut, cut_too] = zeros;
        let queued = text(Some(JobState::Queued.word()));
        return [queued, none(), none(), none(), none(), none(), wall, cpu, memory, stdout, stderr, cut, cut_too];
    };
    let (reason, exit_code, detail) = words(&ending.outcome);
    [
        text(Some(JobState::from(&ending.outcome).word())),
        text(reason),
        exit_code.map_or_else(none, ToSqlOutput::from),
        text(detail),
        text(ending.result.as_deref()),
        number(ending.ended_at.micros()),
        number(rows::stored_stretch(ending.spent.wall)),
        number(rows::stored_stretch(ending.spent.cpu)),
        number(rows::stored(ending.spent.memory_peak_bytes)),
        number(rows::stored(ending.stdout.size_bytes())),
        number(rows::stored(ending.stderr.size_bytes())),
        number(i64::from(ending.stdout.truncated)),
        number(i64::from(ending.stderr.truncated)),
    ]
}

/// What a row says of an outcome beside the state: `reason`, `exit_code` and `detail`.
fn words(outcome: &Outcome) -> (Option<&'static str>, Option<i32>, Option<&str>) {
    match outcome {
        Outcome::Succeeded => (None, None, None),
        Outcome::Failed { reason, exit_code, detail } => (Some(reason.word()), *exit_code, Some(detail)),
        Outcome::Cancelled { detail } => (None, None, Some(detail)),
    }
}

/// What of a job's end has rows of its own.
fn insert_beside(db: &Connection, seq: JobSeq, ending: &Ending) -> Result<(), StoreError> {
    for (stream, printed) in [("stdout", &ending.stdout), ("stderr", &ending.stderr)] {
        if !printed.bytes.is_empty() {
            let output = "INSERT INTO job_output (job, stream, bytes) VALUES (?1, ?2, ?3)";
            rows::change(db, output, params![seq.0, stream, printed.bytes])?;
        }
    }
    ending.changes.as_ref().map_or(Ok(()), |changes| store_changes(db, seq, changes))
}

/// The word for a parameter among the kinds of what lies in a directory.
const PARAM: &str = "param";

/// Writes what a dry run would have changed.
fn store_changes(db: &Connection, seq: JobSeq, changes: &ChangeList) -> Result<(), StoreError> {
    let insert = "INSERT INTO job_change (job, what, name, change, size_bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
    for FileChange { path, kind, change, size } in &changes.files {
        let values = params![seq.0, kind.word(), path.as_str(), change.word(), rows::stored(*size)];
        rows::change(db, insert, values)?;
    }
    for ParamChange { name, change } in &changes.params {
        rows::change(db, insert, params![seq.0, PARAM, name, change.word(), 0])?;
    }
    Ok(())
}

/// What a dry run would have changed.
pub(super) fn changes(db: &Connection, seq: JobSeq) -> Result<ChangeList, StoreError> {
    let mut changes = ChangeList::default();
    let list = "SELECT * FROM job_change WHERE job = ?1 ORDER BY name, what";
    rows::each(db, list, [seq.0], |row| {
        let change = rows::word_of(row, "change", &Change::ALL, Change::word)?;
        let what: String = row.get("what")?;
        if what == PARAM {
            changes.params.push(ParamChange { name: row.get("name")?, change });
        } else {
            let kind = rows::word_of(row, "what", &EntryKind::ALL, EntryKind::word)?;
            let (path, size) = (rows::path(row, "name")?, rows::number(row, "size_bytes")?);
            changes.files.push(FileChange { path, kind, change, size });
        }
        Ok(())
    })?;
    Ok(changes)
}

fn over(db: &Connection, row: &Row<'_>) -> Result<Over, StoreError> {
    let session = match job_rows::named_session(row)? {
        // The id may have matched nothing at the job's acceptance and something at its turn (R13).
        Some(NamedSession { id, key: None }) if row.get("session_active")? => {
            sessions::key_of(db, &keys::owner(row)?, &id)?
        }
        named => named.and_then(|named| named.key),
    };
    Ok(Over { id: rows::parsed(row, "id")?, digest: rows::digest(row, "digest")?, session })
}
