//! A session's history: its commits, how long they are kept, and what each changed.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::limits::HISTORY_DEFAULT;
use crate::model::entry::EntryKind;
use crate::model::path::SessionPath;
use crate::model::session::Usage;

/// What one transaction of a session is (R22, R23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransactionMode {
    /// Each job that ends well, and each write from outside.
    #[default]
    Job,
    /// All of them up to a `commit`.
    Explicit,
}

impl TransactionMode {
    /// Both of them.
    pub const ALL: [TransactionMode; 2] = [TransactionMode::Job, TransactionMode::Explicit];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            TransactionMode::Job => "job",
            TransactionMode::Explicit => "explicit",
        }
    }
}

/// How long a session keeps its commits. The last one always stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many, the last one among them.
    pub commits: u32,
    /// How old they get; `None` for any age.
    pub age: Option<Duration>,
}

/// What may be changed about it; what is not given stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRetention {
    pub commits: Option<u32>,
    pub age: Option<Option<Duration>>,
}

impl Retention {
    /// With what is given in the place of what was.
    pub fn with(self, new: NewRetention) -> Retention {
        Retention { commits: new.commits.unwrap_or(self.commits), age: new.age.unwrap_or(self.age) }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention { commits: HISTORY_DEFAULT, age: None }
    }
}

/// What made a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The session was made.
    Created,
    /// The session was made out of another one's commit.
    Forked,
    /// A job that ended well.
    Job,
    /// A file was written or deleted over HTTP.
    Files,
    /// Parameters were written over HTTP.
    Params,
    /// An explicit transaction was committed.
    Commit,
    /// The session went back to an earlier commit.
    Revert,
    /// The session comes from a server that kept no history.
    Upgraded,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 8] = [
        Cause::Created,
        Cause::Forked,
        Cause::Job,
        Cause::Files,
        Cause::Params,
        Cause::Commit,
        Cause::Revert,
        Cause::Upgraded,
    ];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Created => "created",
            Cause::Forked => "forked",
            Cause::Job => "job",
            Cause::Files => "files",
            Cause::Params => "params",
            Cause::Commit => "commit",
            Cause::Revert => "revert",
            Cause::Upgraded => "upgraded",
        }
    }
}

/// One commit of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// 0 for the session as it was made; consecutive.
    pub number: u64,
    pub at: Timestamp,
    pub cause: Cause,
    /// The job that made it, if one did.
    pub job: Option<JobId>,
    /// What the session holds as of it.
    pub usage: Usage,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Created,
    Modified,
    Deleted,
}

impl Change {
    /// All of them.
    pub const ALL: [Change; 3] = [Change::Created, Change::Modified, Change::Deleted];

    /// From what there was before to what there is after; `None` if there is
    /// nothing at both times.
    pub fn between(before: bool, after: bool) -> Option<Change> {
        match (before, after) {
            (false, true) => Some(Change::Created),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
            (false, false) => None,
        }
    }

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Modified => "modified",
            Change::Deleted => "deleted",
        }
    }
}

/// What is different after a transaction, or would be. Both lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeList {
    pub files: Vec<FileChange>,
    pub params: Vec<ParamChange>,
}

/// A file, directory or link that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    pub path: SessionPath,
    /// Of what was deleted, what it was.
    pub kind: EntryKind,
    pub change: Change,
    /// A file's bytes; of a deleted one, those that it had.
    pub size: u64,
}

/// A parameter that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamChange {
    pub name: String,
    pub change: Change,
}
