//! The requests that make and change a session, read and checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;

use crate::http::openapi::words;
use crate::http::problem::Problem;
use crate::http::session_keys::agreed;
use crate::http::wire::maybe_object;
use crate::http::wire::object;
use crate::ids::SessionId;
use crate::limits;
use crate::model::expiry::NewTerms;
use crate::model::expiry::Terms;
use crate::model::history::NewRetention;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::params::Params;
use crate::model::session::QueueMode;
use crate::model::session::SessionLimits;
use crate::service::sessions::ForkOrder;
use crate::service::sessions::NewLimits;
use crate::service::sessions::SessionOrder;
use crate::store::SessionChanges;

/// A session to be made. Nothing has to be said.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewSession")]
pub(super) struct SessionForm {
    /// Its id; a UUID if not said. The header `Session-Id` says the same.
    #[schemars(with = "Option<words::Id>")]
    id: Option<String>,
    /// The parameters with which it begins.
    #[schemars(with = "words::Params")]
    params: BTreeMap<String, String>,
    /// Whether each job is a transaction, or all until a commit; `job` if not said.
    #[schemars(with = "Option<words::TransactionWord>")]
    transaction: Option<String>,
    /// Whether requests wait while it is busy; `wait` if not said.
    queue: Option<QueueWord>,
    /// Whether it demands the newest of its rolling keys with each request.
    keyed: bool,
    /// It expires when nobody has used it for so many seconds.
    #[schemars(range(min = limits::TERM_MIN.as_secs(), max = limits::IDLE_TIMEOUT_MAX.as_secs()))]
    idle_timeout_s: Option<u64>,
    /// It expires so many seconds after it was made.
    #[schemars(range(min = limits::TERM_MIN.as_secs(), max = limits::LIFETIME_MAX.as_secs()))]
    lifetime_s: Option<u64>,
    /// What it may hold at most.
    #[serde(deserialize_with = "object")]
    limits: LimitsForm,
    /// How long its commits are kept.
    #[serde(deserialize_with = "object")]
    history: HistoryForm,
    /// The session of which it is a fork.
    #[serde(deserialize_with = "maybe_object")]
    from: Option<ForkForm>,
}

/// How long commits are kept. What is left out stays as it is; `null` takes the
/// age away.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewHistory")]
struct HistoryForm {
    /// How many, the last one among them.
    #[schemars(range(min = 1, max = limits::HISTORY_MAX))]
    commits: Option<u32>,
    /// Up to which age, in seconds.
    #[serde(deserialize_with = "given")]
    #[schemars(range(min = limits::TERM_MIN.as_secs(), max = limits::HISTORY_AGE_MAX.as_secs()))]
    age_s: Option<Option<u64>>,
}

/// The session of which another is a fork, and the commit; the last one if not said.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fork")]
struct ForkForm {
    #[schemars(with = "words::Id")]
    session: String,
    commit: Option<u64>,
}

/// What a session may hold at most.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewSessionLimits")]
struct LimitsForm {
    /// All its files together.
    #[schemars(range(min = 1, max = limits::SESSION_BYTES_MAX))]
    bytes: Option<u64>,
    /// Files, directories and links.
    #[schemars(range(min = 1, max = limits::SESSION_FILES_MAX))]
    files: Option<u64>,
}

/// Whether a request waits for a session that is busy, or is refused.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum QueueWord {
    Wait,
    Reject,
}

impl From<QueueWord> for QueueMode {
    fn from(word: QueueWord) -> Self {
        match word {
            QueueWord::Wait => QueueMode::Wait,
            QueueWord::Reject => QueueMode::Reject,
        }
    }
}

impl SessionForm {
    /// The same, with the id that the header `Session-Id` names, if it does.
    pub(super) fn named(self, header: Option<&str>) -> Result<SessionForm, Problem> {
        Ok(SessionForm { id: agreed(self.id, header)?, ..self })
    }
}

impl TryFrom<SessionForm> for SessionOrder {
    type Error = Problem;

    fn try_from(form: SessionForm) -> Result<Self, Problem> {
        let id =
            form.id.map(|id| id.parse()).transpose().map_err(|error| Problem::invalid(format!("`id`: {error}")))?;
        let most = SessionLimits::default();
        let limits = NewLimits {
            bytes: lowered("limits.bytes", form.limits.bytes, most.bytes)?,
            files: lowered("limits.files", form.limits.files, most.files)?,
        };
        let mut params = Params::new(Arc::default());
        for (name, value) in &form.params {
            params.set(name, value).map_err(|error| Problem::invalid(format!("`params`: {error}")))?;
        }
        let queue = form.queue.map_or(QueueMode::Wait, QueueMode::from);
        let terms = Terms { idle_timeout: idle_timeout(form.idle_timeout_s)?, lifetime: lifetime(form.lifetime_s)? };
        let from = form.from.map(ForkOrder::try_from).transpose()?;
        let transaction = form.transaction.as_deref().map(transaction).transpose()?.unwrap_or_default();
        let retention = Retention::default().with(form.history.try_into()?);
        let (params, keyed) = (form.params, form.keyed);
        Ok(SessionOrder { id, queue, limits, terms, params, keyed, transaction, retention, from })
    }
}

fn transaction(text: &str) -> Result<TransactionMode, Problem> {
    let known = TransactionMode::ALL.into_iter().find(|mode| mode.word() == text);
    known.ok_or_else(|| Problem::invalid(format!("`transaction` is `{text}`, and must be \"job\" or \"explicit\"")))
}

impl TryFrom<ForkForm> for ForkOrder {
    type Error = Problem;

    fn try_from(form: ForkForm) -> Result<Self, Problem> {
        let session = form.session.parse();
        let session = session.map_err(|error| Problem::invalid(format!("`from.session`: {error}")))?;
        Ok(ForkOrder { session, commit: form.commit })
    }
}

impl TryFrom<HistoryForm> for NewRetention {
    type Error = Problem;

    fn try_from(form: HistoryForm) -> Result<Self, Problem> {
        let most = limits::HISTORY_MAX;
        if let Some(commits) = form.commits.filter(|commits| !(1..=most).contains(commits)) {
            return Err(Problem::invalid(format!("`history.commits` is {commits}, and must be from 1 to {most}")));
        }
        let age = form.age_s.map(|age| term("history.age_s", age, limits::HISTORY_AGE_MAX)).transpose()?;
        Ok(NewRetention { commits: form.commits, age })
    }
}

/// What changes of a session. What is left out stays as it is; `null` takes a time away.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SessionChange")]
pub(super) struct ChangeForm {
    /// Its id from now on.
    #[schemars(with = "Option<words::Id>")]
    id: Option<String>,
    /// The newest key of a session that demands keys; the header `Session-Key` says the same.
    pub(super) session_key: Option<String>,
    /// It expires when nobody has used it for so many seconds.
    #[serde(deserialize_with = "given")]
    #[schemars(range(min = limits::TERM_MIN.as_secs(), max = limits::IDLE_TIMEOUT_MAX.as_secs()))]
    idle_timeout_s: Option<Option<u64>>,
    /// It expires so many seconds after it was made.
    #[serde(deserialize_with = "given")]
    #[schemars(range(min = limits::TERM_MIN.as_secs(), max = limits::LIFETIME_MAX.as_secs()))]
    lifetime_s: Option<Option<u64>>,
    queue: Option<QueueWord>,
    #[serde(deserialize_with = "object")]
    history: HistoryForm,
}

/// A field that is there, with a value or with `null`.
fn given<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(field).map(Some)
}

impl ChangeForm {
    /// The id that the session is to have from now on (R17).
    pub(super) fn new_id(&self) -> Result<Option<SessionId>, Problem> {
        let id = self.id.as_ref().map(|id| id.parse()).transpose();
        id.map_err(|error| Problem::invalid(format!("`id`: {error}")))
    }
}

impl TryFrom<ChangeForm> for SessionChanges {
    type Error = Problem;

    fn try_from(form: ChangeForm) -> Result<Self, Problem> {
        Ok(SessionChanges {
            terms: NewTerms {
                idle_timeout: form.idle_timeout_s.map(idle_timeout).transpose()?,
                lifetime: form.lifetime_s.map(lifetime).transpose()?,
            },
            queue: form.queue.map(QueueMode::from),
            retention: form.history.try_into()?,
        })
    }
}

fn idle_timeout(seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    term("idle_timeout_s", seconds, limits::IDLE_TIMEOUT_MAX)
}

fn lifetime(seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    term("lifetime_s", seconds, limits::LIFETIME_MAX)
}

fn term(name: &str, seconds: Option<u64>, most: Duration) -> Result<Option<Duration>, Problem> {
    let (least, most) = (limits::TERM_MIN.as_secs(), most.as_secs());
    match seconds {
        None => Ok(None),
        Some(seconds) if (least..=most).contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        Some(seconds) => {
            let detail =
                format!("`{name}` is {seconds}, and must be from {least} to {most}; leave it out for no bound");
            Err(Problem::invalid(detail))
        }
    }
}

/// A limit that a request may lower and never raise.
fn lowered(name: &str, asked: Option<u64>, most: u64) -> Result<Option<u64>, Problem> {
    match asked {
        None => Ok(None),
        Some(0) => Err(Problem::invalid(format!("`{name}` is 0, and must be at least 1"))),
        Some(value) if value > most => {
            Err(Problem::invalid(format!("`{name}` is {value}, and this server allows at most {most}")))
        }
        Some(value) => Ok(Some(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(json: &str) -> Result<SessionChanges, String> {
        let form: ChangeForm = serde_json::from_str(json).map_err(|error| error.to_string())?;
        SessionChanges::try_from(form).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn r20_a_change_tells_left_out_from_null() {
        assert_eq!(changes("{}").unwrap(), SessionChanges::default());
        let terms = changes(r#"{"idle_timeout_s": null, "lifetime_s": 60}"#).unwrap().terms;
        assert_eq!(terms, NewTerms { idle_timeout: Some(None), lifetime: Some(Some(Duration::from_secs(60))) });
    }

    #[test]
    fn r20_a_term_stays_within_its_bounds() {
        for bad in [r#"{"idle_timeout_s": 0}"#, r#"{"lifetime_s": 99999999999}"#, r#"{"idle_timeout_s": -1}"#] {
            assert!(changes(bad).is_err(), "{bad}");
        }
        assert!(changes(r#"{"idle_timeout_s": 0}"#).unwrap_err().contains("`idle_timeout_s` is 0"));
    }
}
