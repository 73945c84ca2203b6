//! Sessions: a directory, parameters and a queue under one id.
//!
//! Not here: what may happen to one, and what comes of it ([`life`](super::life)).

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::limits::ARCHIVE_END_BYTES_MAX;
use crate::limits::ARCHIVE_ENTRY_BYTES;
use crate::limits::SESSION_BYTES_MAX;
use crate::limits::SESSION_FILES_MAX;
use crate::model::caller::Owner;
use crate::model::expiry::Life;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::quota::Quota;
use crate::model::rolling_key::KeyNumber;

/// Which incarnation of a session is meant: an id may be used again after its
/// session is gone, this number never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub i64);

/// How a session looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Jobs run in it.
    Active,
    /// Under this id the session will be when the job that renames it ends well.
    Pending,
    /// It is about to go, and takes no new request.
    Marked,
    /// Its id, files and parameters exist no more.
    Gone,
}

/// What a list of sessions can be asked for (R21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedState {
    Active,
    /// Renamed by a job that still runs (R15).
    Pending,
    Marked,
}

impl ListedState {
    /// All of them, in the order of a session's life.
    pub const ALL: [ListedState; 3] = [ListedState::Active, ListedState::Pending, ListedState::Marked];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            ListedState::Active => "active",
            ListedState::Pending => "pending",
            ListedState::Marked => "marked",
        }
    }
}

impl SessionState {
    /// Whether new jobs and writes may enter.
    pub fn takes_requests(self) -> bool {
        matches!(self, SessionState::Active)
    }
}

/// What a request finds when its session's turn is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueMode {
    /// Wait for a place at the head of the line.
    Wait,
    /// Be turned away as `session-busy` (R11).
    Reject,
}

/// How much a session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// All files together, in bytes.
    pub bytes: u64,
    /// Files, directories and links together.
    pub files: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { bytes: SESSION_BYTES_MAX, files: SESSION_FILES_MAX }
    }
}

impl SessionLimits {
    /// These, or what a session holds already if that is more.
    pub fn at_least(self, holds: Usage) -> Self {
        Self { bytes: self.bytes.max(holds.bytes), files: self.files.max(holds.files) }
    }

    /// What the archive of a session within these may take.
    pub fn archive_bytes(self) -> u64 {
        let entries = self.files.saturating_mul(ARCHIVE_ENTRY_BYTES).saturating_add(ARCHIVE_END_BYTES_MAX);
        self.bytes.saturating_add(entries)
    }

    /// As much as a session may ask for under a quota.
    pub fn most(quota: &Quota) -> Self {
        Self { bytes: quota.session_bytes, files: quota.session_files }
    }
}

/// How much a session holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All files together, in bytes.
    pub bytes: u64,
    /// Files, directories and links together.
    pub files: u64,
}

/// A session as of its last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub key: SessionKey,
    pub id: SessionId,
    pub owner: Owner,
    pub state: SessionState,
    pub queue: QueueMode,
    pub limits: SessionLimits,
    /// What it holds.
    pub usage: Usage,
    pub terms: Terms,
    pub transaction: TransactionMode,
    /// Whether an explicit transaction is open in which something was changed (R23).
    pub uncommitted: bool,
    pub retention: Retention,
    /// The number of the oldest commit that is kept.
    pub oldest_commit: u64,
    /// What its files take in the store, those of earlier commits among them.
    pub stored_bytes: u64,
    /// The number of the key that the next request must carry; `None` for a
    /// session that demands none (R28).
    pub newest_key: Option<KeyNumber>,
    /// The number of the last commit; 0 for a session that nothing changed yet.
    pub commit: u64,
    pub created_at: Timestamp,
    /// When its last job or write ended, or it was made or changed.
    pub last_used_at: Timestamp,
}

impl Session {
    /// What its expiry is measured from.
    pub fn life(&self) -> Life {
        Life { created_at: self.created_at, last_used_at: self.last_used_at }
    }

    /// Where it stands in the lists of its tenant. Neither part can contain a space.
    pub fn place_in_list(&self) -> String {
        format!("{} {}", self.owner.principal, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::SessionState::*;

    #[test]
    fn r15_r19_only_an_active_session_takes_requests() {
        assert!(Active.takes_requests());
        assert!(!Marked.takes_requests());
        assert!(!Pending.takes_requests());
        assert!(!Gone.takes_requests());
    }
}
