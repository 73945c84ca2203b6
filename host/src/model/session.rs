//! Sessions: a directory, parameters and a queue under one id.
//!
//! ```text
//!   created ──► Active ──drop, a job is running──► Marked ──that job ended──► Gone
//!                │  ▲ └───────────drop, none is running─────────────────────────▲
//!           rename  the job ended well: the old id is gone                      │
//!                ▼  │                                                           │
//!              Pending ──the job did not end well: the new id is gone───────────┘
//! ```
//!
//! A marked session takes no new job and no new write (R19). *Pending* is what
//! the new id of a session is while the job that renames it runs: requests may
//! wait under it and none may start (R15). How a running job brings that about is
//! [`association`](super::association).

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::limits::SESSION_BYTES_MAX;
use crate::limits::SESSION_FILES_MAX;
use crate::model::caller::Owner;
use crate::model::expiry::Life;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::rolling_key::KeyNumber;

/// Which incarnation of a session is meant: an id may be used again after its
/// session is gone, this number never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub i64);

/// The life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Jobs run in it.
    Active,
    /// Under this id the session will be when the job that renames it ends well.
    Pending,
    /// Dropped while a job ran in it: gone when that job has stopped.
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

/// What may happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStep {
    /// Dropped from outside, while no job ran in it.
    DropIdle,
    /// Dropped from outside, while a job ran in it.
    DropRunning,
    /// The last job that ran in it has ended.
    LastJobEnded,
    /// The job that renames it has ended well.
    Renamed,
    /// The job that renames it has ended in any other way.
    RenameFailed,
}

/// A step that a session in that state cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session that is {state:?} cannot take the step {step:?}")]
pub struct IllegalSessionStep {
    state: SessionState,
    step: SessionStep,
}

impl SessionState {
    /// The state after `step`, or why there is none.
    pub fn after(self, step: SessionStep) -> Result<SessionState, IllegalSessionStep> {
        use SessionState::*;
        use SessionStep::*;
        match (self, step) {
            (Active | Marked, DropIdle) => Ok(Gone),
            (Active | Marked, DropRunning) => Ok(Marked),
            // An active session outlives its jobs.
            (Active, LastJobEnded) => Ok(Active),
            (Marked, LastJobEnded) => Ok(Gone),
            (Pending, Renamed) => Ok(Active),
            // A session that is dropped takes its pending one with it.
            (Pending, RenameFailed | DropIdle | DropRunning) => Ok(Gone),
            (Pending, LastJobEnded) | (Active | Marked, Renamed | RenameFailed) | (Gone, _) => {
                Err(IllegalSessionStep { state: self, step })
            }
        }
    }

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
}

#[cfg(test)]
mod tests {
    use super::SessionState::*;
    use super::SessionStep::*;
    use super::*;

    #[track_caller]
    fn check(steps: &[SessionStep], expected: Option<SessionState>) {
        let end = steps.iter().try_fold(Active, |state, step| state.after(*step));
        assert_eq!(end.ok(), expected, "{steps:?}");
    }

    #[test]
    fn r19_a_dropped_session_is_gone_when_its_job_has_stopped() {
        check(&[DropIdle], Some(Gone));
        check(&[DropRunning], Some(Marked));
        check(&[DropRunning, LastJobEnded], Some(Gone));
        check(&[DropRunning, DropRunning, LastJobEnded], Some(Gone));
        check(&[LastJobEnded], Some(Active));
    }

    #[test]
    fn r15_r16_a_pending_session_becomes_active_or_goes() {
        assert_eq!(Pending.after(Renamed), Ok(Active));
        assert_eq!(Pending.after(RenameFailed), Ok(Gone));
        assert_eq!(Pending.after(DropRunning), Ok(Gone));
        assert!(Active.after(Renamed).is_err());
    }

    #[test]
    fn nothing_happens_to_a_session_that_is_gone() {
        check(&[DropIdle, DropIdle], None);
        check(&[DropIdle, LastJobEnded], None);
        check(&[DropRunning, LastJobEnded, DropRunning], None);
    }

    #[test]
    fn r19_a_marked_session_is_unusable_at_once() {
        assert!(Active.takes_requests());
        assert!(!Marked.takes_requests());
        assert!(!Pending.takes_requests());
        assert!(!Gone.takes_requests());
    }
}
