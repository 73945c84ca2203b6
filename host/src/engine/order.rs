//! What a run is given, and what it gives back.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::engine::Live;
use crate::engine::Program;
use crate::engine::Purse;
use crate::engine::Stdin;
use crate::engine::Stdout;
use crate::ids::JobId;
use crate::ids::SessionId;
use crate::model::job::Inputs;
use crate::model::job::JobLimits;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::params::ParamChanges;
use crate::model::params::ParamMap;
use crate::model::params::Params;
use crate::model::session::Usage;
use crate::model::touched::Touched;
use crate::root::Root;

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
    /// What all guests of the job's tenant hold together.
    pub tenant_memory: Arc<Purse>,
    pub job: JobId,
    /// 1 for the first run of the job.
    pub attempt: u32,
    /// The session that the job runs in; `None` for a job outside any.
    pub session: Option<SessionId>,
    /// The parameters of that session; not used outside one.
    pub params: Params,
    /// The working copy, which the guest sees as `/`. Nobody else may change it
    /// during the run.
    pub root: Arc<Root>,
    /// Whether the working copy may hold symbolic links. Without any, paths are
    /// found out without asking the disk.
    pub has_links: bool,
    /// Whether the working copy lies in memory and holds so little that no call
    /// on it takes long.
    pub is_light: bool,
    pub disk: DiskAllowance,
    /// Where the run can be watched; made with the job's `output_bytes`.
    pub live: Arc<Live>,
    /// Where the guest's wishes about sessions are decided.
    pub desk: Arc<dyn SessionDesk>,
    /// Cancelled when somebody wants the job stopped.
    pub stop: CancellationToken,
}

/// The right to compute, which a guest gives up for a while when others wait. It
/// is dropped when the guest is gone.
#[async_trait]
pub trait RightToCompute: Send + Sync {
    /// Waits until the guest has had its slice and others want theirs.
    async fn wanted(&self);

    /// Lets the others compute, and waits for the right to go on.
    async fn give_way(&mut self);
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

    /// Commits the session's explicit transaction, with what the job did so far
    /// (R23).
    async fn commit(&self, so_far: SoFar) -> Result<Stand, DeskRefusal>;

    /// Undoes the session's explicit transaction, with what the job did so far
    /// (R23). The guest has nothing open in its directory.
    async fn roll_back(&self, so_far: SoFar) -> Result<Stand, DeskRefusal>;
}

/// What a job did until it asked for a commit or a rollback.
#[derive(Clone, Debug)]
pub struct SoFar {
    pub touched: Touched,
    pub params: ParamChanges,
}

/// What the job has before it after that.
#[derive(Clone, Debug)]
pub struct Stand {
    pub params: Arc<ParamMap>,
    /// What its directory holds.
    pub held: Usage,
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
