//! The request for a job, read and checked.
//!
//! Promise: a [`JobOrder`] is within every limit that can be checked without
//! looking anything up, and the refusal names the field, the value and the
//! bound.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::http::openapi::words;
use crate::http::problem::Problem;
use crate::http::session_form::QueueWord;
use crate::http::session_keys::agreed;
use crate::http::wire::from_rfc3339;
use crate::http::wire::object;
use crate::http::wire::rfc3339;
use crate::ids::Digest;
use crate::ids::JobId;
use crate::ids::SessionId;
use crate::limits;
use crate::model::job::AskedLimits;
use crate::model::job::Delivery;
use crate::model::job::Inputs;
use crate::model::job::OnCrash;
use crate::model::rolling_key::ShownKey;
use crate::model::schedule::Priority;
use crate::model::schedule::Schedule;
use crate::service::jobs::JobOrder;

/// A job to be run.
// Serialised again only for its fingerprint.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewJob")]
pub(super) struct JobForm {
    /// The job's id. The same id with the same request again is answered with the same job; without it the server chooses one.
    #[schemars(with = "Option<words::Id>")]
    id: Option<String>,
    /// The module to run: `name`, `name@3` or `name@sha256:…`.
    #[schemars(with = "words::ModuleReference")]
    pub(super) module: String,
    /// Its arguments, after its name.
    #[serde(default)]
    #[schemars(length(max = limits::ARGS_MAX))]
    pub(super) args: Vec<String>,
    /// Its environment variables.
    #[serde(default)]
    #[schemars(with = "words::Variables")]
    pub(super) env: BTreeMap<String, String>,
    /// What it reads from stdin, as text; or `stdin_base64`, but not both.
    stdin: Option<String>,
    /// What it reads from stdin, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    stdin_base64: Option<String>,
    /// The session in which it runs. If there is none of that id, the job runs outside of any.
    #[schemars(with = "Option<words::Id>")]
    session: Option<String>,
    /// The newest key of a session that demands keys; the header `Session-Key` says the same.
    session_key: Option<String>,
    /// Whether it waits while its session is busy; if not said, as the session says.
    pub(super) queue: Option<QueueWord>,
    /// What it may use at most.
    #[serde(default, deserialize_with = "object")]
    pub(super) limits: LimitsForm,
    /// Of a tenant's jobs that wait for a slot, the one of higher priority begins first; 0 if not said.
    #[schemars(range(min = -limits::PRIORITY_MAX, max = limits::PRIORITY_MAX))]
    priority: Option<i64>,
    /// It starts no sooner.
    #[schemars(with = "Option<words::Moment>")]
    not_before: Option<String>,
    /// How often it is run again when it failed; 0 if not said.
    #[schemars(range(min = 0, max = limits::RETRIES_MAX))]
    retries: Option<i64>,
    /// Labels by which it is found again.
    #[serde(default)]
    #[schemars(with = "words::Labels")]
    labels: BTreeMap<String, String>,
    /// Whether it gets its session's parameters as environment variables too.
    #[serde(default)]
    pub(super) params_in_env: bool,
    /// `false` for a dry run, which says what it would change and keeps nothing.
    commit: Option<bool>,
    /// What becomes of it if the server dies while it runs; `rerun` if not said.
    on_crash: Option<OnCrashWord>,
}

/// What a job may use at most.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewJobLimits")]
pub(super) struct LimitsForm {
    /// Milliseconds from its start to its end.
    #[schemars(range(min = 1, max = millis(limits::WALL_MAX)))]
    pub(super) wall_ms: Option<u64>,
    /// Milliseconds of processor time.
    #[schemars(range(min = 1, max = millis(limits::CPU_MAX)))]
    pub(super) cpu_ms: Option<u64>,
    /// All memories and tables together.
    #[schemars(range(min = limits::MEMORY_BYTES_MIN, max = limits::MEMORY_BYTES_MAX))]
    pub(super) memory_bytes: Option<u64>,
    /// Each of stdout and stderr.
    #[schemars(range(min = 0, max = limits::OUTPUT_BYTES_MAX))]
    output_bytes: Option<u64>,
}

/// What becomes of a job that was running when the server died: it is run again, or fails.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum OnCrashWord {
    Rerun,
    Fail,
}

impl JobForm {
    /// The request for a job that says nothing but its module.
    pub(super) fn of(module: String) -> Self {
        Self { module, ..Self::default() }
    }

    /// The session key that the body shows.
    pub(super) fn session_key(&self) -> Option<&str> {
        self.session_key.as_deref()
    }

    /// The order that this request stands for. `header` is the session that the
    /// header `Session-Id` names, `shown` the session key of header or body.
    pub(super) fn order(mut self, header: Option<&str>, shown: Option<ShownKey>) -> Result<JobOrder, Problem> {
        // A key is not part of what is asked for, and is compared by itself.
        self.session_key = None;
        self.session = agreed(self.session.take(), header)?;
        self.leave_out_what_goes_without_saying();
        // Two requests are the same if they mean the same: the form is written
        // out again in one order of fields, with the header's session in it.
        let meant = serde_json::to_vec(&self).map_err(|_| Problem::invalid("the request cannot be written as JSON"))?;
        self.order_with(Digest::of(&meant), shown)
    }

    /// The same where the server chooses the id, so that no request is compared with it.
    pub(super) fn order_without_id(mut self, header: Option<&str>) -> Result<JobOrder, Problem> {
        self.session = agreed(self.session.take(), header)?;
        self.order_with(Digest::of(&[]), None)
    }

    /// What a request says that is so anyway is as if it was not said.
    fn leave_out_what_goes_without_saying(&mut self) {
        self.commit = self.commit.filter(|commit| !commit);
        self.priority = self.priority.filter(|priority| *priority != 0);
        // However the moment was written.
        if let Some(moment) = self.not_before.as_deref().and_then(from_rfc3339) {
            self.not_before = Some(rfc3339(moment));
        }
        self.retries = self.retries.filter(|retries| *retries != 0);
        self.on_crash = self.on_crash.filter(|word| !matches!(word, OnCrashWord::Rerun));
        // With both there the request is refused.
        if let (Some(stdin), None) | (None, Some(stdin)) = (&self.stdin, &self.stdin_base64)
            && stdin.is_empty()
        {
            (self.stdin, self.stdin_base64) = (None, None);
        }
    }

    fn order_with(self, fingerprint: Digest, shown: Option<ShownKey>) -> Result<JobOrder, Problem> {
        let id: Option<JobId> = self.id.map(|id| id.parse()).transpose().map_err(|error| field("id", error))?;
        let session: Option<SessionId> =
            self.session.map(|id| id.parse()).transpose().map_err(|error| field("session", error))?;
        Ok(JobOrder {
            id,
            module: self.module.parse().map_err(|error| field("module", error))?,
            session,
            queue: self.queue.map(Into::into),
            inputs: Inputs {
                args: checked_args(self.args)?,
                env: checked_env(self.env)?,
                stdin: stdin(self.stdin, self.stdin_base64)?,
                params_in_env: self.params_in_env,
            },
            limits: self.limits.within_bounds()?,
            schedule: Schedule {
                priority: priority(self.priority)?,
                not_before: self.not_before.as_deref().map(|text| moment("not_before", text)).transpose()?,
                retries: retries(self.retries)?,
            },
            on_crash: match self.on_crash {
                None | Some(OnCrashWord::Rerun) => OnCrash::Rerun,
                Some(OnCrashWord::Fail) => OnCrash::Fail,
            },
            delivery: Delivery::Stored,
            dry_run: self.commit == Some(false),
            labels: checked_labels(self.labels)?,
            session_key: shown,
            fingerprint,
        })
    }
}

impl LimitsForm {
    /// What is asked for, within the bounds of the server.
    fn within_bounds(&self) -> Result<AskedLimits, Problem> {
        let within = |name, asked: Option<u64>, least, most| asked.map(|_| bounded(name, asked, least, most, most));
        let (memory_min, memory_max) = (limits::MEMORY_BYTES_MIN, limits::MEMORY_BYTES_MAX);
        let output_max = limits::OUTPUT_BYTES_MAX;
        Ok(AskedLimits {
            wall_ms: within("limits.wall_ms", self.wall_ms, 1, millis(limits::WALL_MAX)).transpose()?,
            cpu_ms: within("limits.cpu_ms", self.cpu_ms, 1, millis(limits::CPU_MAX)).transpose()?,
            memory_bytes: within("limits.memory_bytes", self.memory_bytes, memory_min, memory_max).transpose()?,
            output_bytes: within("limits.output_bytes", self.output_bytes, 0, output_max).transpose()?,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn bounded(name: &str, asked: Option<u64>, least: u64, most: u64, default: u64) -> Result<u64, Problem> {
    match asked {
        None => Ok(default),
        Some(value) if (least..=most).contains(&value) => Ok(value),
        Some(value) => Err(Problem::invalid(format!("`{name}` is {value}, and must be from {least} to {most}"))),
    }
}

fn priority(asked: Option<i64>) -> Result<Priority, Problem> {
    let asked = asked.unwrap_or_default();
    let most = limits::PRIORITY_MAX;
    match i8::try_from(asked) {
        Ok(priority) if (-most..=most).contains(&priority) => Ok(Priority(priority)),
        _ => Err(Problem::invalid(format!("`priority` is {asked}, and must be from -{most} to {most}"))),
    }
}

fn retries(asked: Option<i64>) -> Result<u32, Problem> {
    let asked = asked.unwrap_or_default();
    match u32::try_from(asked) {
        Ok(retries) if retries <= limits::RETRIES_MAX => Ok(retries),
        _ => Err(Problem::invalid(format!("`retries` is {asked}, and must be from 0 to {}", limits::RETRIES_MAX))),
    }
}

fn moment(name: &str, text: &str) -> Result<Timestamp, Problem> {
    from_rfc3339(text).ok_or_else(|| {
        let detail = format!("`{name}` is {text:?}, and must be a time in RFC 3339, like `2026-12-31T23:59:59Z`");
        Problem::invalid(detail)
    })
}

fn checked_args(args: Vec<String>) -> Result<Vec<String>, Problem> {
    if args.len() > limits::ARGS_MAX {
        let detail = format!("`args` has {} entries, and at most {} are allowed", args.len(), limits::ARGS_MAX);
        return Err(Problem::invalid(detail));
    }
    match args.iter().find(|arg| arg.contains('\0')) {
        Some(arg) => {
            Err(Problem::invalid(format!("`args` holds {arg:?}, and a guest cannot be given a NUL character")))
        }
        None => Ok(args),
    }
}

fn checked_env(env: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    if env.len() > limits::ENV_MAX {
        let detail = format!("`env` has {} entries, and at most {} are allowed", env.len(), limits::ENV_MAX);
        return Err(Problem::invalid(detail));
    }
    for (name, value) in &env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let detail = format!("`env` holds {name:?}, and a name is not empty, has no `=`, and nothing has a NUL");
            return Err(Problem::invalid(detail));
        }
        if name.starts_with("SESSILE_") {
            let detail = format!("`env` holds `{name}`, and names that begin with `SESSILE_` are the server's");
            return Err(Problem::invalid(detail));
        }
    }
    Ok(env)
}

fn checked_labels(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    if labels.len() > limits::LABELS_MAX {
        let detail = format!("`labels` has {} entries, and at most {} are allowed", labels.len(), limits::LABELS_MAX);
        return Err(Problem::invalid(detail));
    }
    let fits = |text: &str| text.len() <= limits::LABEL_BYTES_MAX && !text.chars().any(char::is_control);
    for (name, value) in &labels {
        if name.is_empty() || name.contains('=') || !fits(name) || !fits(value) {
            let detail = format!(
                "`labels` holds {name:?}; a name is not empty and has no `=`, and names and values have at most {} bytes and no control characters",
                limits::LABEL_BYTES_MAX
            );
            return Err(Problem::invalid(detail));
        }
    }
    Ok(labels)
}

fn stdin(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, Problem> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(Problem::invalid("`stdin` and `stdin_base64` are both there; send one of them")),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(base64)) => {
            STANDARD.decode(base64).map_err(|error| Problem::invalid(format!("`stdin_base64` is not base64: {error}")))
        }
        (None, None) => Ok(Vec::new()),
    }
}

fn field(name: &str, error: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("`{name}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str, header: Option<&str>) -> Result<JobOrder, String> {
        let form: JobForm = serde_json::from_str(json).map_err(|error| error.to_string())?;
        form.order(header, None).map_err(|problem| format!("{problem:?}"))
    }

    #[track_caller]
    fn check_refused(json: &str, part: &str) {
        let refusal = order(json, None).expect_err("it must be refused");
        assert!(refusal.contains(part), "{refusal}");
    }

    #[test]
    fn a_refusal_names_the_field_and_the_value() {
        check_refused(r#"{"module": "Bad Name"}"#, "`module`: `Bad Name`");
        check_refused(r#"{"module": "m", "sesion": "s"}"#, "unknown field `sesion`");
        check_refused(r#"{"module": "m", "session": "a/b"}"#, "`session`: `a/b`");
        check_refused(r#"{"module": "m", "limits": {"wall_ms": 0}}"#, "`limits.wall_ms` is 0");
        check_refused(r#"{"module": "m", "limits": {"memory_bytes": 1}}"#, "`limits.memory_bytes` is 1");
        check_refused(r#"{"module": "m", "stdin": "a", "stdin_base64": "YQ=="}"#, "send one of them");
        check_refused(r#"{"module": "m", "stdin_base64": "?"}"#, "not base64");
        check_refused(r#"{"module": "m", "env": {"SESSILE_JOB_ID": "x"}}"#, "`SESSILE_JOB_ID`");
        check_refused(r#"{"module": "m", "args": ["a\u0000"]}"#, "NUL");
        check_refused(r#"{"module": "m", "priority": 101}"#, "`priority` is 101, and must be from -100 to 100");
        check_refused(r#"{"module": "m", "priority": -1000}"#, "`priority` is -1000");
        check_refused(r#"{"module": "m", "retries": 21}"#, "`retries` is 21, and must be from 0 to 20");
        check_refused(r#"{"module": "m", "not_before": "tomorrow"}"#, r#"`not_before` is \"tomorrow\""#);
        check_refused(r#"{"module": "m", "not_before": "2026-11-27T12:00:00"}"#, "RFC 3339");
    }

    #[test]
    fn a_schedule_is_read_with_any_offset_from_utc() {
        let json = r#"{"module": "m", "priority": -100, "retries": 20, "not_before": "2026-11-18T13:06:40.5+02:00"}"#;
        let asked = order(json, None).unwrap().schedule;
        let not_before = Some(Timestamp::from_micros(1_795_000_000_500_000));
        assert_eq!(asked, Schedule { priority: Priority(-100), not_before, retries: 20 });
        assert_eq!(order(r#"{"module": "m"}"#, None).unwrap().schedule, Schedule::default());
    }

    #[test]
    fn r2_the_same_request_has_the_same_fingerprint_however_it_is_written() {
        let plain = order(r#"{"module": "m", "session": "s", "id": "j"}"#, None).unwrap();
        let other_way = order(r#"{"id": "j",  "module": "m", "args": []}"#, Some("s")).unwrap();
        assert_eq!(plain.fingerprint, other_way.fingerprint);
        let keyed = order(r#"{"module": "m", "session": "s", "id": "j", "session_key": "k"}"#, None).unwrap();
        assert_eq!(plain.fingerprint, keyed.fingerprint);
        let later = |text: &str| order(&format!(r#"{{"module": "m", "not_before": "{text}"}}"#), None).unwrap();
        let same =
            [later("2026-12-01T00:00:00Z"), later("2026-12-01T01:00:00.000+01:00")].map(|order| order.fingerprint);
        assert_eq!(same[0], same[1]);
        let another = order(r#"{"module": "m", "session": "s", "id": "j", "args": ["x"]}"#, None).unwrap();
        assert_ne!(plain.fingerprint, another.fingerprint);
    }

    #[test]
    fn header_and_body_must_name_the_same_session() {
        assert!(order(r#"{"module": "m", "session": "s"}"#, Some("s")).is_ok());
        assert!(order(r#"{"module": "m", "session": "s"}"#, Some("t")).is_err());
    }
}
