//! Between jobs and their rows.
//!
//! Promise: what a job was given is stored in a record with a format number, so
//! that a later server reads the queue of an earlier one.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::ToSql;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;

use crate::clock::Timestamp;
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
use crate::model::schedule::Priority;
use crate::model::schedule::Schedule;
use crate::model::session::SessionKey;
use crate::store::error::StoreError;
use crate::store::job_ends;
use crate::store::job_ends::Behind;
use crate::store::keys;
use crate::store::modules;
use crate::store::rows;
use crate::store::rows::Row;

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
/// out for it. Its id lies at `place`.
pub(super) fn insert(
    db: &Connection,
    new: &NewJob,
    place: &str,
    handed: Option<KeyName>,
) -> Result<JobSeq, StoreError> {
    let seq = insert_row(db, new, place, handed, None)?;
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

/// Writes the row of a job, which is over or queued, and its labels.
pub(super) fn insert_row(
    db: &Connection,
    new: &NewJob,
    place: &str,
    handed: Option<KeyName>,
    over: Option<Behind<'_>>,
) -> Result<JobSeq, StoreError> {
    let insert = "INSERT INTO job (tenant, principal, id, fingerprint, module, version, digest, kind, session_id,
                      session_key, session_active, on_crash, dry_run, delivery,
                      limit_wall_us, limit_cpu_us, limit_memory, limit_output,
                      created_at, key_session, key_handed, attempt, started_at, state, reason, exit_code, detail,
                      result, ended_at, wall_us, cpu_us, memory_peak, stdout_bytes, stderr_bytes,
                      stdout_truncated, stderr_truncated, place, priority, not_before, retries)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10 IS NOT NULL, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                      ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36,
                      ?37, ?38, ?39)";
    let named = new.session.as_ref();
    let started_at = over.and_then(|behind| behind.started_at);
    let given: [&dyn ToSql; 22] = [
        &new.owner.tenant.as_str(),
        &new.owner.principal.as_str(),
        &new.id.as_str(),
        &new.fingerprint.as_bytes(),
        &new.module.as_str(),
        &new.version,
        &new.digest.as_bytes(),
        &modules::kind_word(new.kind),
        &named.map(|session| session.id.as_str()),
        &named.and_then(|session| session.key).map(|key| key.0),
        &crash_word(new.on_crash),
        &new.dry_run,
        &delivery_word(new.delivery),
        &rows::stored_stretch(new.limits.wall),
        &rows::stored_stretch(new.limits.cpu),
        &rows::stored(new.limits.memory_bytes),
        &rows::stored(new.limits.output_bytes),
        &new.created_at.micros(),
        &handed.map(|name| name.session.0),
        &handed.map(|name| rows::stored(name.number.0)),
        &u32::from(started_at.is_some()),
        &started_at.map(Timestamp::micros),
    ];
    let end = job_ends::values(over.map(|behind| behind.ending));
    let schedule = &new.schedule;
    let not_before = schedule.not_before.map(Timestamp::micros);
    let rest: [&dyn ToSql; 4] = [&place, &schedule.priority.0, &not_before, &schedule.retries];
    let values = given.into_iter().chain(end.iter().map(|value| value as &dyn ToSql)).chain(rest);
    rows::change(db, insert, rusqlite::params_from_iter(values))?;
    let seq = JobSeq(db.last_insert_rowid());
    for (name, value) in &new.labels {
        let label = "INSERT INTO job_label (job, name, value) VALUES (?1, ?2, ?3)";
        rows::change(db, label, params![seq.0, name, value])?;
    }
    Ok(seq)
}

/// A row of `job`, with all that belongs to it.
pub(super) fn job(db: &Connection, row: &Row<'_>) -> Result<Job, StoreError> {
    let job = listed(db, row)?;
    let has_changes = job.dry_run && job.state == JobState::Succeeded;
    let changes = has_changes.then(|| job_ends::changes(db, job.seq)).transpose()?;
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
        last_failure: last_failure(row, state)?,
        limits: limits(row)?,
        schedule: schedule(row)?,
        labels: labels(db, seq)?,
        created_at: rows::moment(row, "created_at")?,
        started_at: started_at.map(Timestamp::from_micros),
        ended_at: ended_at.map(Timestamp::from_micros),
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
        schedule: schedule(row)?,
        on_crash: rows::word_of(row, "on_crash", &[OnCrash::Rerun, OnCrash::Fail], crash_word)?,
        delivery: delivery(row)?,
        dry_run: row.get("dry_run")?,
        labels: labels(db, seq)?,
        fingerprint: rows::digest(row, "fingerprint")?,
        key_shown: key_handed(row)?.and_then(KeyName::before),
        created_at: rows::moment(row, "created_at")?,
    })
}

/// What a job is given that is not over.
pub(super) fn inputs(db: &Connection, seq: JobSeq) -> Result<Inputs, StoreError> {
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

pub(super) fn named_session(row: &Row<'_>) -> Result<Option<NamedSession>, StoreError> {
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
    Ok(match state {
        JobState::Queued | JobState::Running => None,
        JobState::Succeeded => Some(Outcome::Succeeded),
        JobState::Failed => Some(failure(row)?),
        JobState::Cancelled => Some(Outcome::Cancelled { detail: detail(row)? }),
    })
}

/// How the last attempt failed, of a job that is not over.
fn last_failure(row: &Row<'_>, state: JobState) -> Result<Option<Outcome>, StoreError> {
    let has_failed = !state.is_over() && rows::small(row, "failures")? > 0;
    has_failed.then(|| failure(row)).transpose()
}

fn failure(row: &Row<'_>) -> Result<Outcome, StoreError> {
    let reason: Reason = rows::parsed(row, "reason")?;
    Ok(Outcome::Failed { reason, exit_code: row.get("exit_code")?, detail: detail(row)? })
}

fn detail(row: &Row<'_>) -> Result<String, StoreError> {
    Ok(row.get::<Option<String>>("detail")?.unwrap_or_default())
}

fn schedule(row: &Row<'_>) -> Result<Schedule, StoreError> {
    let not_before: Option<i64> = row.get("not_before")?;
    Ok(Schedule {
        priority: Priority(row.get("priority")?),
        not_before: not_before.map(Timestamp::from_micros),
        retries: rows::small(row, "retries")?,
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
