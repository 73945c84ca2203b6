//! What a run is given, and what it gives back.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::engine::Live;
use crate::engine::Program;
use crate::engine::Stdin;
use crate::engine::Stdout;
use crate::ids::JobId;
use crate::ids::SessionId;
use crate::limits::TOUCHED_MAX;
use crate::model::job::Inputs;
use crate::model::job::JobLimits;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::params::ParamChanges;
use crate::model::params::Params;
use crate::model::path::SessionPath;

/// Everything that one run needs. Owned, so that nobody can change it meanwhile.
pub struct RunOrder {
    pub program: Program,
    /// The guest's argv\[0\].
    pub module_name: String,
    /// Arguments and environment; stdin is beside them.
    pub inputs: Inputs,
    pub stdin: Stdin,
    pub stdout: Stdout,
    pub limits: JobLimits,
    pub job: JobId,
    /// 1 for the first run of the job.
    pub attempt: u32,
    /// The session that the job runs in; `None` for a job outside any.
    pub session: Option<SessionId>,
    /// The parameters of that session; not used outside one.
    pub params: Params,
    /// The working copy, which the guest sees as `/`. Nobody else may change it
    /// during the run.
    pub dir: cap_std::fs::Dir,
    /// Whether the working copy may hold symbolic links. Without any, paths are
    /// found out without asking the disk.
    pub has_links: bool,
    pub disk: DiskAllowance,
    /// Where the run can be watched; made with the job's `output_bytes`.
    pub live: Arc<Live>,
    /// Where the guest's wishes about sessions are decided.
    pub desk: Arc<dyn SessionDesk>,
    /// Cancelled when somebody wants the job stopped.
    pub stop: CancellationToken,
}

/// Decides what a guest may do to sessions while it runs. The engine only asks.
///
/// Each answer is the session that the job is in from then on. A guest that is
/// stopped meanwhile drops the future.
#[async_trait]
pub trait SessionDesk: Send + Sync {
    /// Makes a session for a job that is in none (R13); `None` lets the desk
    /// choose the id.
    async fn create(&self, id: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal>;

    /// Gives the job's session another id (R14, R15).
    async fn rename(&self, to: SessionId) -> Result<Option<SessionId>, DeskRefusal>;

    /// Deletes the job's session (R14, R18).
    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal>;
}

/// Why a guest's wish about sessions is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskRefusal {
    NoSession,
    /// A session, or a pending one, has that id; or the job is in one already.
    Exists,
    NotFound,
    Invalid(String),
    Quota(String),
    /// The server could not do it, through no fault of the guest: the run ends.
    Failed,
}

/// What the working copy holds, and what it may hold. Only regular files count
/// as bytes; files, directories and links count as files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskAllowance {
    pub bytes_used: u64,
    pub bytes_max: u64,
    pub files_used: u64,
    pub files_max: u64,
}

/// What a run leaves behind.
#[derive(Debug)]
pub struct Ran {
    pub outcome: Outcome,
    /// The JSON text that the guest handed back.
    pub result: Option<String>,
    pub params: ParamChanges,
    pub touched: Touched,
    pub spent: Spent,
    pub stdout: Printed,
    pub stderr: Printed,
}

/// Where a guest may have changed its directory. A path stands for itself and
/// for everything beneath it, before the run and after it; what is not named
/// here is as it was. A path may also be named though nothing changed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// At these paths. None, if the guest changed nothing.
    Paths(BTreeSet<SessionPath>),
    /// In more than [`TOUCHED_MAX`] places, so look everywhere.
    Everywhere,
}

impl Touched {
    /// No place so far.
    pub fn nowhere() -> Self {
        Touched::Paths(BTreeSet::new())
    }

    /// Whether nothing was changed.
    pub fn is_nowhere(&self) -> bool {
        matches!(self, Touched::Paths(paths) if paths.is_empty())
    }

    /// Whether `path` may have been changed.
    pub fn covers(&self, path: &SessionPath) -> bool {
        match self {
            Touched::Paths(paths) => paths.contains(path) || path.ancestors().any(|above| paths.contains(&above)),
            Touched::Everywhere => true,
        }
    }

    /// Notes that `path`, or something beneath it, may be changed.
    pub fn note(&mut self, path: &SessionPath) {
        if self.covers(path) {
            return;
        }
        let Touched::Paths(paths) = self else { return };
        if paths.len() >= TOUCHED_MAX {
            // A guest that makes and removes names in a loop must not fill our memory.
            *self = Touched::Everywhere;
            return;
        }
        paths.insert(path.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SessionPath {
        SessionPath::parse(text).unwrap()
    }

    #[test]
    fn a_touched_path_stands_for_everything_beneath_it() {
        let mut touched = Touched::nowhere();
        assert!(touched.is_nowhere());
        touched.note(&path("a/b"));
        touched.note(&path("a/b/c"));
        assert_eq!(touched, Touched::Paths([path("a/b")].into()));
        assert!(touched.covers(&path("a/b/c/d")));
        assert!(!touched.covers(&path("a")));
        assert!(!touched.covers(&path("a/bc")));
    }

    #[test]
    fn more_places_than_we_list_are_everywhere() {
        let mut touched = Touched::nowhere();
        for number in 0..=TOUCHED_MAX {
            touched.note(&path(&format!("f{number}")));
        }
        assert_eq!(touched, Touched::Everywhere);
        assert!(touched.covers(&path("another")));
    }
}
