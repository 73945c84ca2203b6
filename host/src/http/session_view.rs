//! A session as the client sees it (R21).

use schemars::JsonSchema;
use serde::Serialize;

use crate::http::openapi::words;
use crate::http::session_form::QueueWord;
use crate::http::wire::rfc3339;
use crate::model::rolling_key::RollingKey;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionState;
use crate::service::sessions::Activity;

/// A directory, parameters and a queue under one id, as of the last commit.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(super) struct SessionView {
    #[schemars(with = "words::Id")]
    id: String,
    /// The principal whose it is.
    #[schemars(with = "words::Id")]
    owner: String,
    #[schemars(with = "words::SessionStateWord")]
    state: &'static str,
    #[schemars(with = "words::TransactionWord")]
    transaction: &'static str,
    queue: QueueWord,
    /// Whether it demands the newest of its rolling keys with each request.
    keyed: bool,
    /// The key for the next request. Only in the answer to a request that was accepted, if the session demands keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    #[schemars(with = "words::Moment")]
    created_at: String,
    #[schemars(with = "words::Moment")]
    last_used_at: String,
    /// `null`: never.
    #[schemars(with = "Option<words::Moment>")]
    expires_at: Option<String>,
    idle_timeout_s: Option<u64>,
    lifetime_s: Option<u64>,
    limits: LimitsView,
    /// What its files hold.
    bytes: u64,
    /// Files, directories and links.
    files: u64,
    /// Requests that wait for their turn.
    queued: usize,
    #[schemars(with = "Option<words::Id>")]
    running_job: Option<String>,
    /// What its files take on the server's disk, those of earlier commits too.
    stored_bytes: u64,
    /// Whether an open transaction holds changes.
    uncommitted: bool,
    /// The number of the last commit.
    commit: u64,
    history: HistoryView,
}

/// Which commits of a session are kept.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "History")]
struct HistoryView {
    /// How many at most, the last one among them.
    commits: u32,
    /// `null`: of any age.
    age_s: Option<u64>,
    oldest_commit: u64,
}

/// What a session may hold at most.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionLimits")]
struct LimitsView {
    bytes: u64,
    files: u64,
}

impl SessionView {
    /// The session as of its last commit, and what goes on in it now.
    pub(super) fn of(session: &Session, activity: Activity) -> Self {
        Self {
            id: session.id.to_string(),
            owner: session.owner.principal.to_string(),
            state: match session.state {
                SessionState::Active => "active",
                SessionState::Pending => "pending",
                SessionState::Marked | SessionState::Gone => "marked",
            },
            transaction: session.transaction.word(),
            queue: match session.queue {
                QueueMode::Wait => QueueWord::Wait,
                QueueMode::Reject => QueueWord::Reject,
            },
            keyed: session.newest_key.is_some(),
            session_key: None,
            created_at: rfc3339(session.created_at),
            last_used_at: rfc3339(session.last_used_at),
            expires_at: activity.expires_at.map(rfc3339),
            idle_timeout_s: session.terms.idle_timeout.map(|stretch| stretch.as_secs()),
            lifetime_s: session.terms.lifetime.map(|stretch| stretch.as_secs()),
            limits: LimitsView { bytes: session.limits.bytes, files: session.limits.files },
            bytes: session.usage.bytes,
            files: session.usage.files,
            queued: activity.queued,
            running_job: activity.running_job.map(|id| id.to_string()),
            stored_bytes: session.stored_bytes,
            uncommitted: session.uncommitted,
            commit: session.commit,
            history: HistoryView {
                commits: session.retention.commits,
                age_s: session.retention.age.map(|age| age.as_secs()),
                oldest_commit: session.oldest_commit,
            },
        }
    }

    /// With the key for the next request.
    pub(super) fn with_key(self, key: Option<&RollingKey>) -> Self {
        Self { session_key: key.map(RollingKey::reveal), ..self }
    }
}
