//! Between jobs and their rows.
//!
//! Promise: what a job was given is stored in a record with a format number, so
//! that a later server reads the queue of an earlier one.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;

use crate::ids::Digest;
use crate::ids::JobId;
use crate::model::entry::EntryKind;
use crate::model::history::Change;
use crate::model::history::ChangeList;
use crate::model::history::FileChange;
use crate::model::history::ParamChange;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::Job;
use crate::model::job::JobLimits;
use crate::model::job::JobSeq;
use crate::model::job::JobState;
use crate::model::job::NamedSession;
use crate::model::job::NewJob;
use crate::model::job::OnCrash;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::rolling_key::KeyName;
use crate::model::session::SessionKey;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::jobs::Ending;
use crate::store::keys;
use crate::store::modules;
use crate::store::rows;
use crate::store::sessions;

/// What a guest is given, as stored. Stdin is beside it, as bytes.
#[derive(Serialize, Deserialize)]
struct InputsRecord {
    /// Of this record; a change of meaning takes the next number.
    format: u32,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    params_in_env: bool,
}

const INPUTS_FORMAT: u32 = 1;

/// Writes a job that was accepted, with the session key that was handed
/// out for it.
pub(super) fn insert(db: &Connection, new: &NewJob, handed: Option<KeyName>) -> Result<JobSeq, StoreError> {
    let seq = insert_row(db, new, handed)?;
    let inputs = &new.inputs;
    let record = InputsRecord {
        format: INPUTS_FORMAT,
        args: inputs.args.clone(),
        env: inputs.env.clone(),
        params_in_env: inputs.params_in_env,
    };
    let record = serde_json::to_string(&record).map_err(|error| StoreError::Broken(error.to_string()))?;
    let input = "INSERT INTO job_input (job, record, stdin) VALUES (?1, ?2, ?3)";
    rows::change(db, input, params![seq.0, record, inputs.stdin])?;
    Ok(seq)
}

/// The same for a job that is over, whose inputs nobody needs any more.
pub(super) fn insert_over(db: &Connection, new: &NewJob) -> Result<JobSeq, StoreError> {
    insert_row(db, new, None)
}

fn insert_row(db: &Connection, new: &NewJob, handed: Option<KeyName>) -> Result<JobSeq, StoreError> {
    let insert = "INSERT INTO job (tenant, principal, id, fingerprint, module, version, digest, kind, session_id,
                      session_key, session_active, on_crash, dry_run, delivery, limit_wall_us, limit_cpu_us, limit_memory, limit_output,
                      created_at, key_session, key_handed, state, attempt)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10 IS NOT NULL, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                      ?18, ?19, ?20, 'queued', 0)
                  RETURNING seq";
    let named = new.session.as_ref();
    let values = params![
        new.owner.tenant.as_str(),
        new.owner.principal.as_str(),
        new.id.as_str(),
        new.fingerprint.as_bytes(),
        new.module.as_str(),
        new.version,
        new.digest.as_bytes(),
        modules::kind_word(new.kind),
        named.map(|session| session.id.as_str()),
        named.and_then(|session| session.key).map(|key| key.0),
        crash_word(new.on_crash),
        new.dry_run,
        delivery_word(new.delivery),
        rows::stored_stretch(new.limits.wall),
        rows::stored_stretch(new.limits.cpu),
        rows::stored(new.limits.memory_bytes),
        rows::stored(new.limits.output_bytes),
        new.created_at.micros(),
        handed.map(|name| name.session.0),
        handed.map(|name| rows::stored(name.number.0)),
    ];
    let seq = rows::one(db, insert, values, |row| Ok(JobSeq(row.get("seq")?)))?;
    let seq = seq.ok_or_else(|| StoreError::Broken("a job without a number".to_owned()))?;
    for (name, value) in &new.labels {
        let label = "INSERT INTO job_label (job, name, value) VALUES (?1, ?2, ?3)";
        rows::change(db, label, params![seq.0, name, value])?;
    }
    Ok(seq)
}

/// What is to be done after a job's end.
pub(super) struct Over {
    pub(super) id: JobId,
    /// Its module.
    pub(super) digest: Digest,
    /// The session that it belonged to, if any.
    pub(super) session: Option<SessionKey>,
}

/// Writes a job's end, unless it is over or in another attempt.
pub(super) fn end(db: &Connection, seq: JobSeq, attempt: u32, ending: &Ending) -> Result<Over, StoreError> {
    let update = "UPDATE job SET state = ?3, reason = ?4, exit_code = ?5, detail = ?6, result = ?7, ended_at = ?8,
                      wall_us = ?9, cpu_us = ?10, memory_peak = ?11, stdout_bytes = ?12, stderr_bytes = ?13,
                      stdout_truncated = ?14, stderr_truncated = ?15
                  WHERE seq = ?1 AND attempt = ?2 AND ended_at IS NULL RETURNING *";
    let (reason, exit_code, detail) = match &ending.outcome {
        Outcome::Succeeded => (None, None, None),
        Outcome::Failed { reason, exit_code, detail } => (Some(reason.word()), *exit_code, Some(detail)),
        Outcome::Cancelled { detail } => (None, None, Some(detail)),
    };
    let values = params![
        seq.0,
        attempt,
        JobState::from(&ending.outcome).word(),
        reason,
        exit_code,
        detail,
        ending.result,
        ending.ended_at.micros(),
        rows::stored_stretch(ending.spent.wall),
        rows::stored_stretch(ending.spent.cpu),
        rows::stored(ending.spent.memory_peak_bytes),
        rows::stored(ending.stdout.size_bytes()),
        rows::stored(ending.stderr.size_bytes()),
        ending.stdout.truncated,
        ending.stderr.truncated,
    ];
    let over = rows::one(db, update, values, |row| over(db, row))?;
    let over = over.ok_or(Refused::NotTheJob)?;
    for (stream, printed) in [("stdout", &ending.stdout), ("stderr", &ending.stderr)] {
        if !printed.bytes.is_empty() {
            let output = "INSERT INTO job_output (job, stream, bytes) VALUES (?1, ?2, ?3)";
            rows::change(db, output, params![seq.0, stream, printed.bytes])?;
        }
    }
    if let Some(changes) = &ending.changes {
        store_changes(db, seq, changes)?;
    }
    rows::change(db, "DELETE FROM job_input WHERE job = ?1", [seq.0])?;
    Ok(over)
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

fn changes(db: &Connection, seq: JobSeq) -> Result<ChangeList, StoreError> {
    let mut changes = ChangeList::default();
    let list = "SELECT * FROM job_change WHERE job = ?1 ORDER BY name, what";
    rows::all(db, list, [seq.0], |row| {
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
    let session = match named_session(row)? {
        // The id may have matched nothing at the job's acceptance and something at its turn (R13).
        Some(NamedSession { id, key: None }) if row.get("session_active")? => {
            sessions::key_of(db, &keys::owner(row)?, &id)?
        }
        named => named.and_then(|named| named.key),
    };
    Ok(Over { id: rows::parsed(row, "id")?, digest: rows::digest(row, "digest")?, session })
}

/// A row of `job`, with all that belongs to it.
pub(super) fn job(db: &Connection, row: &Row<'_>) -> Result<Job, StoreError> {
    let job = listed(db, row)?;
    let has_changes = job.dry_run && job.state == JobState::Succeeded;
    let changes = has_changes.then(|| changes(db, job.seq)).transpose()?;
    Ok(Job { changes, ..job })
}

/// The same for a list, which leaves out what a dry run would have changed: each
/// job may have tens of thousands of them.
pub(super) fn listed(db: &Connection, row: &Row<'_>) -> Result<Job, StoreError> {
    let seq = JobSeq(row.get("seq")?);
    let started_at: Option<i64> = row.get("started_at")?;
    let ended_at: Option<i64> = row.get("ended_at")?;
    let state = rows::word_of(row, "state", &JobState::ALL, JobState::word)?;
    Ok(Job {
        seq,
        id: rows::parsed(row, "id")?,
        owner: keys::owner(row)?,
        module: rows::parsed(row, "module")?,
        version: rows::small(row, "version")?,
        digest: rows::digest(row, "digest")?,
        delivery: delivery(row)?,
        session: named_session(row)?,
        session_active: row.get("session_active")?,
        key_handed: key_handed(row)?,
        state,
        outcome: outcome(row, state)?,
        result: row.get("result")?,
        dry_run: row.get("dry_run")?,
        changes: None,
        attempt: rows::small(row, "attempt")?,
        limits: limits(row)?,
        labels: labels(db, seq)?,
        created_at: rows::moment(row, "created_at")?,
        started_at: started_at.map(crate::clock::Timestamp::from_micros),
        ended_at: ended_at.map(crate::clock::Timestamp::from_micros),
        spent: Spent {
            wall: rows::stretch(row, "wall_us")?,
            cpu: rows::stretch(row, "cpu_us")?,
            memory_peak_bytes: rows::number(row, "memory_peak")?,
        },
        stdout_bytes: rows::number(row, "stdout_bytes")?,
        stderr_bytes: rows::number(row, "stderr_bytes")?,
        stdout_truncated: row.get("stdout_truncated")?,
        stderr_truncated: row.get("stderr_truncated")?,
    })
}

/// The job as it was accepted, from its row and its inputs; for one that is not
/// over.
pub(super) fn accepted(db: &Connection, row: &Row<'_>) -> Result<NewJob, StoreError> {
    let seq = JobSeq(row.get("seq")?);
    Ok(NewJob {
        id: rows::parsed(row, "id")?,
        owner: keys::owner(row)?,
        module: rows::parsed(row, "module")?,
        version: rows::small(row, "version")?,
        digest: rows::digest(row, "digest")?,
        kind: modules::kind(row)?,
        session: named_session(row)?,
        inputs: inputs(db, seq)?,
        limits: limits(row)?,
        on_crash: rows::word_of(row, "on_crash", &[OnCrash::Rerun, OnCrash::Fail], crash_word)?,
        delivery: delivery(row)?,
        dry_run: row.get("dry_run")?,
        labels: labels(db, seq)?,
        fingerprint: rows::digest(row, "fingerprint")?,
        key_shown: key_handed(row)?.and_then(KeyName::before),
        created_at: rows::moment(row, "created_at")?,
    })
}

fn inputs(db: &Connection, seq: JobSeq) -> Result<Inputs, StoreError> {
    let find = "SELECT record, stdin FROM job_input WHERE job = ?1";
    let found = rows::one(db, find, [seq.0], |row| {
        let record: String = row.get("record")?;
        Ok((record, row.get("stdin")?))
    })?;
    let (record, stdin) = found.ok_or_else(|| StoreError::Broken(format!("job {} without inputs", seq.0)))?;
    let record: InputsRecord = serde_json::from_str(&record).map_err(|error| StoreError::Broken(error.to_string()))?;
    if record.format != INPUTS_FORMAT {
        return Err(StoreError::Broken(format!("inputs of a job in format {}", record.format)));
    }
    Ok(Inputs { args: record.args, env: record.env, stdin, params_in_env: record.params_in_env })
}

fn named_session(row: &Row<'_>) -> Result<Option<NamedSession>, StoreError> {
    let id: Option<String> = row.get("session_id")?;
    let Some(id) = id else { return Ok(None) };
    let id = id.parse().map_err(|error: crate::ids::BadName| StoreError::Broken(error.to_string()))?;
    let key: Option<i64> = row.get("session_key")?;
    Ok(Some(NamedSession { id, key: key.map(SessionKey) }))
}

fn key_handed(row: &Row<'_>) -> Result<Option<KeyName>, StoreError> {
    let session: Option<i64> = row.get("key_session")?;
    let number = rows::key_number(row, "key_handed")?;
    Ok(session.zip(number).map(|(session, number)| KeyName { session: SessionKey(session), number }))
}

fn outcome(row: &Row<'_>, state: JobState) -> Result<Option<Outcome>, StoreError> {
    let detail = || Ok::<_, StoreError>(row.get::<_, Option<String>>("detail")?.unwrap_or_default());
    Ok(match state {
        JobState::Queued | JobState::Running => None,
        JobState::Succeeded => Some(Outcome::Succeeded),
        JobState::Failed => {
            let reason: Reason = rows::parsed(row, "reason")?;
            Some(Outcome::Failed { reason, exit_code: row.get("exit_code")?, detail: detail()? })
        }
        JobState::Cancelled => Some(Outcome::Cancelled { detail: detail()? }),
    })
}

fn limits(row: &Row<'_>) -> Result<JobLimits, StoreError> {
    Ok(JobLimits {
        wall: rows::stretch(row, "limit_wall_us")?,
        cpu: rows::stretch(row, "limit_cpu_us")?,
        memory_bytes: rows::number(row, "limit_memory")?,
        output_bytes: rows::number(row, "limit_output")?,
    })
}

fn labels(db: &Connection, seq: JobSeq) -> Result<BTreeMap<String, String>, StoreError> {
    let list = "SELECT name, value FROM job_label WHERE job = ?1";
    let pairs = rows::all(db, list, [seq.0], |row| Ok((row.get("name")?, row.get("value")?)))?;
    Ok(BTreeMap::from_iter(pairs))
}

fn crash_word(on_crash: OnCrash) -> &'static str {
    match on_crash {
        OnCrash::Rerun => "rerun",
        OnCrash::Fail => "fail",
    }
}

fn delivery(row: &Row<'_>) -> Result<Delivery, StoreError> {
    rows::word_of(row, "delivery", &[Delivery::Stored, Delivery::Streamed], delivery_word)
}

fn delivery_word(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Stored => "stored",
        Delivery::Streamed => "streamed",
    }
}
