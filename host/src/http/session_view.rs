//! A session as the client sees it (R21).

use serde::Serialize;

use crate::http::wire::rfc3339;
use crate::model::rolling_key::RollingKey;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionState;
use crate::service::sessions::Activity;

#[derive(Serialize)]
pub(super) struct SessionView {
    id: String,
    owner: String,
    state: &'static str,
    transaction: &'static str,
    queue: &'static str,
    keyed: bool,
    /// Only in the answer to a request that was accepted (R28).
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    created_at: String,
    last_used_at: String,
    /// `null`: never.
    expires_at: Option<String>,
    idle_timeout_s: Option<u64>,
    lifetime_s: Option<u64>,
    limits: LimitsView,
    bytes: u64,
    files: u64,
    queued: usize,
    running_job: Option<String>,
    /// What its files take on the server's disk, those of earlier commits too.
    stored_bytes: u64,
    uncommitted: bool,
    commit: u64,
    history: HistoryView,
}

#[derive(Serialize)]
struct HistoryView {
    commits: u32,
    /// `null`: of any age.
    age_s: Option<u64>,
    oldest_commit: u64,
}

#[derive(Serialize)]
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
                QueueMode::Wait => "wait",
                QueueMode::Reject => "reject",
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
