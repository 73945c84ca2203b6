//! A job as the client sees it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::history::ChangesView;
use crate::http::openapi::words;
use crate::http::wire::rfc3339;
use crate::limits;
use crate::model::job::Job;
use crate::model::job::Progress;
use crate::model::outcome::Outcome;
use crate::model::rolling_key::RollingKey;

/// One run of a module, as it is now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub(super) struct JobView {
    #[schemars(with = "words::Id")]
    id: String,
    /// The name of the module that it runs.
    #[schemars(with = "words::Name")]
    module: String,
    /// The module's version.
    version: u32,
    #[schemars(with = "words::Digest")]
    digest: String,
    /// The session that it named; `null` if it named none.
    session: Option<NamedView>,
    /// The key for the next request to its session. Only in the answer to the submission, if the session demands keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    #[schemars(with = "words::JobStateWord")]
    state: &'static str,
    /// How it ended; `null` until it is over.
    outcome: Option<OutcomeView>,
    /// The JSON that it handed back, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    result: Option<Box<RawValue>>,
    /// `false` for a dry run.
    commit: bool,
    /// What a dry run would have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<ChangesView>,
    /// How far it says that it is, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
    /// How often it was started.
    attempt: u32,
    /// How its last attempt failed, if it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<OutcomeView>,
    #[schemars(range(min = -limits::PRIORITY_MAX, max = limits::PRIORITY_MAX))]
    priority: i8,
    /// The next attempt, or the last one, does not start before.
    #[schemars(with = "Option<words::Moment>")]
    not_before: Option<String>,
    retries: u32,
    limits: LimitsView,
    #[schemars(with = "words::Labels")]
    labels: BTreeMap<String, String>,
    #[schemars(with = "words::Moment")]
    created_at: String,
    #[schemars(with = "Option<words::Moment>")]
    started_at: Option<String>,
    #[schemars(with = "Option<words::Moment>")]
    ended_at: Option<String>,
    /// Milliseconds from its acceptance to its start; `null` before that.
    queue_ms: Option<u64>,
    /// Milliseconds from its start to its end.
    wall_ms: u64,
    /// Milliseconds of processor time.
    cpu_ms: u64,
    memory_peak_bytes: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    /// Whether it printed more than is kept.
    stdout_truncated: bool,
    stderr_truncated: bool,
}

/// The session that a job named.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NamedSession")]
struct NamedView {
    #[schemars(with = "words::Id")]
    id: String,
    /// Whether the job runs in it; `false` if there is no such session.
    active: bool,
}

/// How a job ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub(super) struct OutcomeView {
    /// What it ended with, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<words::ReasonWord>")]
    reason: Option<&'static str>,
    /// A sentence about it; for a trap with the backtrace.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// How far a job says that it is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Progress")]
pub(super) struct ProgressView {
    /// From 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    fraction: f64,
    #[schemars(length(max = limits::PROGRESS_BYTES_MAX))]
    message: String,
}

/// What a job may use at most.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobLimits")]
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
