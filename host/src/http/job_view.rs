//! A job as the client sees it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::history::ChangesView;
use crate::http::wire::rfc3339;
use crate::model::job::Job;
use crate::model::job::Progress;
use crate::model::outcome::Outcome;
use crate::model::rolling_key::RollingKey;

#[derive(Serialize)]
pub(super) struct JobView {
    id: String,
    module: String,
    version: u32,
    digest: String,
    session: Option<NamedView>,
    /// Only in the answer to the submission (R28).
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    state: &'static str,
    /// `null` until the job is over.
    outcome: Option<OutcomeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    /// `false` for a dry run.
    commit: bool,
    /// What a dry run would have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<ChangesView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
    attempt: u32,
    /// Of a job that failed and is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<OutcomeView>,
    priority: i8,
    /// The next attempt, or the last one, does not start before.
    not_before: Option<String>,
    retries: u32,
    limits: LimitsView,
    labels: BTreeMap<String, String>,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    queue_ms: Option<u64>,
    wall_ms: u64,
    cpu_ms: u64,
    memory_peak_bytes: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    stdout_truncated: bool,
    stderr_truncated: bool,
}

#[derive(Serialize)]
struct NamedView {
    id: String,
    active: bool,
}

#[derive(Serialize)]
pub(super) struct OutcomeView {
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ProgressView {
    fraction: f64,
    message: String,
}

#[derive(Serialize)]
struct LimitsView {
    wall_ms: u64,
    cpu_ms: u64,
    memory_bytes: u64,
    output_bytes: u64,
}

impl JobView {
    /// The job on record, and how far it says it is if it runs.
    pub(super) fn of(job: &Job, progress: Option<Progress>) -> Self {
        let started = job.started_at;
        Self {
            id: job.id.to_string(),
            module: job.module.to_string(),
            version: job.version,
            digest: job.digest.to_string(),
            session: job
                .session
                .as_ref()
                .map(|named| NamedView { id: named.id.to_string(), active: job.session_active }),
            session_key: None,
            state: job.state.word(),
            outcome: job.outcome.as_ref().map(OutcomeView::of),
            // The engine took it only as JSON, so what is stored reads back.
            result: job.result.clone().and_then(|json| RawValue::from_string(json).ok()),
            commit: !job.dry_run,
            changes: job.changes.clone().map(ChangesView::from),
            progress: progress.map(ProgressView::from),
            attempt: job.attempt,
            last_failure: job.last_failure.as_ref().map(OutcomeView::of),
            priority: job.schedule.priority.0,
            not_before: job.schedule.not_before.map(rfc3339),
            retries: job.schedule.retries,
            limits: LimitsView {
                wall_ms: millis(job.limits.wall),
                cpu_ms: millis(job.limits.cpu),
                memory_bytes: job.limits.memory_bytes,
                output_bytes: job.limits.output_bytes,
            },
            labels: job.labels.clone(),
            created_at: rfc3339(job.created_at),
            started_at: started.map(rfc3339),
            ended_at: job.ended_at.map(rfc3339),
            queue_ms: started.map(|started| millis(started.since(job.created_at))),
            wall_ms: millis(job.spent.wall),
            cpu_ms: millis(job.spent.cpu),
            memory_peak_bytes: job.spent.memory_peak_bytes,
            stdout_bytes: job.stdout_bytes,
            stderr_bytes: job.stderr_bytes,
            stdout_truncated: job.stdout_truncated,
            stderr_truncated: job.stderr_truncated,
        }
    }
}

impl JobView {
    /// With the session key for the next request.
    pub(super) fn with_key(self, key: Option<&RollingKey>) -> Self {
        Self { session_key: key.map(RollingKey::reveal), ..self }
    }
}

impl From<Progress> for ProgressView {
    fn from(Progress { fraction, message }: Progress) -> Self {
        Self { fraction, message }
    }
}

impl OutcomeView {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self { exit_code: Some(0), reason: None, detail: None },
            Outcome::Failed { reason, exit_code, detail } => {
                Self { exit_code: *exit_code, reason: Some(reason.word()), detail: Some(detail.clone()) }
            }
            Outcome::Cancelled { detail } => Self { exit_code: None, reason: None, detail: Some(detail.clone()) },
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
