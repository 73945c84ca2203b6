//! Jobs: what was asked for, what they may use, and what is on record of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::ids::JobId;
use crate::ids::ModuleName;
use crate::ids::SessionId;
use crate::limits;
use crate::model::caller::Owner;
use crate::model::history::ChangeList;
use crate::model::module::ModuleKind;
use crate::model::outcome::Outcome;
use crate::model::quota::AsksTooMuch;
use crate::model::quota::Measure;
use crate::model::quota::Quota;
use crate::model::rolling_key::KeyName;
use crate::model::schedule::Schedule;
use crate::model::session::SessionKey;

/// The number of a job in the order of acceptance, over the whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobSeq(pub i64);

/// What one job may use. Anything beyond ends it, with a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    pub wall: Duration,
    pub cpu: Duration,
    /// All memories and tables of the guest together.
    pub memory_bytes: u64,
    /// Each of stdout and stderr.
    pub output_bytes: u64,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            wall: limits::WALL_DEFAULT,
            cpu: limits::CPU_DEFAULT,
            memory_bytes: limits::MEMORY_BYTES_DEFAULT,
            output_bytes: limits::OUTPUT_BYTES_DEFAULT,
        }
    }
}

/// The limits that a request names, in the units of the API. Within the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedLimits {
    pub wall_ms: Option<u64>,
    pub cpu_ms: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub output_bytes: Option<u64>,
}

impl AskedLimits {
    /// What a job gets, as its tenant's quota allows (R34). The stdout of a streaming
    /// run is not kept, so that quota says nothing about it.
    pub fn within(self, quota: &Quota, delivery: Delivery) -> Result<JobLimits, AsksTooMuch> {
        let default = JobLimits::default();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let wall = quota.bound(Measure::WallMs, "limits.wall_ms", self.wall_ms, millis(default.wall))?;
        let cpu = quota.bound(Measure::CpuMs, "limits.cpu_ms", self.cpu_ms, millis(default.cpu))?;
        let memory = ("limits.memory_bytes", self.memory_bytes, default.memory_bytes);
        let output = ("limits.output_bytes", self.output_bytes, default.output_bytes);
        Ok(JobLimits {
            wall: Duration::from_millis(wall),
            cpu: Duration::from_millis(cpu),
            memory_bytes: quota.bound(Measure::MemoryBytes, memory.0, memory.1, memory.2)?,
            output_bytes: match delivery {
                Delivery::Stored => quota.bound(Measure::OutputBytes, output.0, output.1, output.2)?,
                Delivery::Streamed => self.output_bytes.unwrap_or(limits::STREAM_BYTES_MAX),
            },
        })
    }
}

/// What becomes of a job that was running when the server died (R25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    /// It runs again, up to [`limits::ATTEMPTS_MAX`] times in all.
    Rerun,
    /// It has failed as `lost`.
    Fail,
}

/// How a job's stdin and stdout travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// With the request, and on record: the job depends on no connection.
    Stored,
    /// As the client sends and reads: the job ends with its connection (R31),
    /// so it never runs again after a crash.
    Streamed,
}

/// What the guest is given, apart from its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The arguments after argv\[0\].
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub stdin: Vec<u8>,
    /// Whether parameters are handed over as `PARAM_<name>` too.
    pub params_in_env: bool,
}

impl Inputs {
    /// About what they take in memory.
    pub fn size_bytes(&self) -> usize {
        let env = self.env.iter().map(|(name, value)| name.len() + value.len());
        self.args.iter().map(String::len).chain(env).chain([self.stdin.len()]).sum()
    }
}

/// The session that a job named, and what stood behind the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSession {
    pub id: SessionId,
    /// The session of that name when the job was accepted; `None` if there was
    /// none (R3).
    pub key: Option<SessionKey>,
}

/// A job that may be accepted: checked, and its module found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    pub id: JobId,
    pub owner: Owner,
    pub module: ModuleName,
    pub version: u32,
    pub digest: Digest,
    pub kind: ModuleKind,
    pub session: Option<NamedSession>,
    pub inputs: Inputs,
    pub limits: JobLimits,
    pub schedule: Schedule,
    pub on_crash: OnCrash,
    pub delivery: Delivery,
    /// Whether nothing of it is to be kept (R26a).
    pub dry_run: bool,
    pub labels: BTreeMap<String, String>,
    /// Of the request as the client sent it, so that a retry is known (R2).
    pub fingerprint: Digest,
    /// The session key that it was submitted with, if one was demanded (R28).
    pub key_shown: Option<KeyName>,
    pub created_at: Timestamp,
}

/// How far a job is, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [JobState; 5] =
        [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change about the job any more.
    pub fn is_over(self) -> bool {
        match self {
            JobState::Queued | JobState::Running => false,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => true,
        }
    }
}

impl From<&Outcome> for JobState {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => JobState::Succeeded,
            Outcome::Failed { .. } => JobState::Failed,
            Outcome::Cancelled { .. } => JobState::Cancelled,
        }
    }
}

/// What a guest used, as measured by the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub wall: Duration,
    pub cpu: Duration,
    pub memory_peak_bytes: u64,
}

/// What a guest printed to one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// The bytes up to the limit.
    pub bytes: Vec<u8>,
    /// How many bytes went to the client as they came, and are not kept.
    pub passed_on: u64,
    /// Whether there was more.
    pub truncated: bool,
}

impl Printed {
    /// How many bytes were printed, up to the limit.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64 + self.passed_on
    }
}

/// How far the guest says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    pub message: String,
}

/// A job as it is on record.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub seq: JobSeq,
    pub id: JobId,
    pub owner: Owner,
    pub module: ModuleName,
    pub version: u32,
    pub digest: Digest,
    pub delivery: Delivery,
    pub session: Option<NamedSession>,
    /// Whether it runs, or ran, inside that session; before it starts, whether
    /// that session existed when it was accepted.
    pub session_active: bool,
    /// The session key that its acceptance handed out (R28).
    pub key_handed: Option<KeyName>,
    pub state: JobState,
    /// `None` until the job is over.
    pub outcome: Option<Outcome>,
    /// The JSON text that the guest handed back.
    pub result: Option<String>,
    pub dry_run: bool,
    /// What a dry run that ended well would have changed.
    pub changes: Option<ChangeList>,
    /// How often it was started.
    pub attempt: u32,
    /// How the last attempt failed, of a job that is tried again.
    pub last_failure: Option<Outcome>,
    pub limits: JobLimits,
    /// Before which the next attempt does not start is in it too.
    pub schedule: Schedule,
    pub labels: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub spent: Spent,
    pub stdout_bytes: u64,
    pub stderr_bytes: u64,
    pub stdout_truncated: bool,
    pub stderr_truncated: bool,
}

impl NewJob {
    /// The job as it is when it has just been accepted under `seq`, but for a session
    /// key that it was handed.
    pub fn accepted(&self, seq: JobSeq) -> Job {
        let new = self.clone();
        Job {
            seq,
            id: new.id,
            owner: new.owner,
            module: new.module,
            version: new.version,
            digest: new.digest,
            delivery: new.delivery,
            session_active: new.session.as_ref().is_some_and(|named| named.key.is_some()),
            session: new.session,
            key_handed: None,
            state: JobState::Queued,
            outcome: None,
            result: None,
            dry_run: new.dry_run,
            changes: None,
            attempt: 0,
            last_failure: None,
            limits: new.limits,
            schedule: new.schedule,
            labels: new.labels,
            created_at: new.created_at,
            started_at: None,
            ended_at: None,
            spent: Spent::default(),
            stdout_bytes: 0,
            stderr_bytes: 0,
            stdout_truncated: false,
            stderr_truncated: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r34_a_job_gets_what_it_asks_for_within_its_tenant_s_quota_and_else_the_default_within_it() {
        let quota = Quota { wall_ms: 5_000, output_bytes: 10, ..Quota::of_machine(1, 1) };
        let limits = AskedLimits::default().within(&quota, Delivery::Stored).unwrap();
        assert_eq!((limits.wall, limits.output_bytes), (Duration::from_secs(5), 10));
        assert_eq!(limits.cpu, limits::CPU_DEFAULT);
        let streamed = AskedLimits::default().within(&quota, Delivery::Streamed).unwrap();
        assert_eq!(streamed.output_bytes, limits::STREAM_BYTES_MAX);
        let most = AskedLimits { wall_ms: Some(5_000), ..AskedLimits::default() };
        assert_eq!(most.within(&quota, Delivery::Stored), Ok(limits));
        let more = AskedLimits { wall_ms: Some(5_001), ..most }.within(&quota, Delivery::Stored).unwrap_err();
        let told = "`limits.wall_ms` is 5001, and the tenant's quota allows at most 5000 (`wall_ms`)";
        assert_eq!(more.to_string(), told);
    }
}
