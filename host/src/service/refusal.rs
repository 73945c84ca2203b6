//! Why the service says no, in sentences for the client.

use std::fmt;

use crate::engine::BadModule;
use crate::engine::CompileError;
use crate::ids::JobId;
use crate::ids::ModuleName;
use crate::ids::SessionId;
use crate::model::module::ModuleRef;
use crate::model::module::ModuleState;
use crate::model::quota::AsksTooMuch;
use crate::model::quota::OverQuota;
use crate::queue::admission;
use crate::queue::compilers::LineFull;
use crate::store::Refused;
use crate::store::StoreError;

/// A request that was turned away. Nothing of it was kept, so the client may
/// change it and ask again.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Invalid(String),
    #[error("no session is named `{0}`; create it with POST /v1/sessions")]
    NoSession(SessionId),
    #[error("the session was dropped before its turn came")]
    SessionGone,
    /// It does not say which of the three it is, nor what would be right.
    #[error(
        "the session key is missing or is not the newest one; send the one that came with the answer to the last request that was accepted"
    )]
    SessionKey,
    #[error("no job is named `{0}`")]
    NoJob(JobId),
    #[error("the stdout of the streaming run `{0}` went to its client as it came, and was not kept")]
    NotKept(JobId),
    #[error("no module is named `{0}`; upload it first with PUT /v1/modules/{name}", name = .0.name)]
    NoModule(ModuleRef),
    #[error("the session has no file or directory `{0}`")]
    NoFile(String),
    #[error(
        "the session has no file `{0}` that could be read; if that is a directory or a link, `GET …/files` lists it, \
         and what is in it with `?prefix=`"
    )]
    NotAFile(String),
    #[error("{0}")]
    NoCommit(String),
    #[error("the session has no parameter `{0}`")]
    NoParam(String),
    #[error("no tenant is named `{0}`")]
    NoTenant(String),
    #[error("the tenant has no key with the id `{0}`")]
    NoKey(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{}", not_ready(.name, .version, .state))]
    NotReady { name: ModuleName, version: u32, state: ModuleState },
    #[error("{0}")]
    Precondition(String),
    #[error("the body has more than {limit_bytes} bytes, the most that is taken here")]
    TooLarge { limit_bytes: u64 },
    #[error("{0}")]
    InvalidModule(String),
    #[error("{0}")]
    UnsupportedModule(String),
    #[error(transparent)]
    CompilerBusy(#[from] LineFull),
    #[error("{0}")]
    Quota(String),
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    #[error("{0}")]
    SessionFull(String),
    #[error("the server's disk is full")]
    StorageFull,
    #[error("{0}")]
    Unavailable(&'static str),
    /// The cause was logged where it happened.
    #[error("the server failed to do this; its log says why")]
    Internal,
    #[error(transparent)]
    Admission(#[from] admission::Refusal),
}

impl Refusal {
    /// Of work that the next start takes up again.
    pub(super) const STOPPING: Refusal = Refusal::Unavailable("the server is stopping; try again when it is back");
}

fn not_ready(name: &ModuleName, version: &u32, state: &ModuleState) -> String {
    match state {
        ModuleState::Compiling => {
            format!("`{name}@{version}` is still being compiled; try again when its state is `ready`")
        }
        ModuleState::Rejected { reason } => format!("`{name}@{version}` was rejected and cannot run: {reason}"),
        ModuleState::Ready => format!("`{name}@{version}` became ready just now; try again"),
    }
}

/// What the store refused is the client's to know; what it failed at is logged
/// here, once, and the client learns only what to do.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Refusal::Unavailable("too much is waiting to be written; try again in a moment"),
            StoreError::Poisoned => Refusal::Unavailable("the server's disk has failed; the operator must restart it"),
            StoreError::Full => Refusal::StorageFull,
            StoreError::Refused(refused) => refused.into(),
            StoreError::Unusable(_) | StoreError::Broken(_) | StoreError::Io { .. } | StoreError::Sql(_) => {
                tracing::error!(error = %Chain(&error), "the store failed");
                Refusal::Internal
            }
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let sentence = refused.to_string();
        match refused {
            Refused::NoTenant(name) => Refusal::NoTenant(name.to_string()),
            Refused::NoParam(name) => Refusal::NoParam(name),
            Refused::NoFile(path) => Refusal::NoFile(path.to_string()),
            Refused::TenantExists(_)
            | Refused::SessionExists(_)
            | Refused::TenantInUse { .. }
            | Refused::KeyExists { .. }
            | Refused::NoBytes
            | Refused::ModuleGone { .. }
            | Refused::NotADirectory(_)
            | Refused::IsDirectory(_)
            | Refused::DirectoryNotEmpty(_)
            | Refused::NotExplicit
            | Refused::Uncommitted
            | Refused::NoSession
            | Refused::NotTheJob => Refusal::Conflict(sentence),
            Refused::NoCommit { .. } => Refusal::NoCommit(sentence),
            Refused::SessionGone => Refusal::SessionGone,
            Refused::SessionKey => Refusal::SessionKey,
            Refused::Precondition(_) | Refused::ArchivePrecondition => Refusal::Precondition(sentence),
            Refused::SessionBytes { .. } | Refused::SessionFiles { .. } => Refusal::SessionFull(sentence),
            Refused::OverQuota(over) => Refusal::OverQuota(over),
            Refused::TooLarge { limit } => Refusal::TooLarge { limit_bytes: limit },
            Refused::Param(bad) if bad.is_quota() => Refusal::Quota(sentence),
            Refused::Param(_) | Refused::Path(_) | Refused::Cursor | Refused::Archive(_) => Refusal::Invalid(sentence),
        }
    }
}

impl From<BadModule> for Refusal {
    fn from(bad: BadModule) -> Self {
        match bad {
            BadModule::Invalid(sentence) => Refusal::InvalidModule(sentence),
            BadModule::Unsupported(sentence) => Refusal::UnsupportedModule(sentence),
        }
    }
}

impl From<AsksTooMuch> for Refusal {
    fn from(asks: AsksTooMuch) -> Self {
        Refusal::Invalid(asks.to_string())
    }
}

/// What is the module's fault is the client's to know; what is ours is logged here.
impl From<CompileError> for Refusal {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Bad(bad) => bad.into(),
            CompileError::Stopped => Refusal::STOPPING,
            CompileError::NoRoom => Refusal::StorageFull,
            CompileError::Killed => {
                tracing::error!("a compilation was killed from outside; the machine may be short of memory");
                Refusal::Unavailable("the compilation was killed from outside; try again later")
            }
            CompileError::Run(_) | CompileError::Failed(_) => {
                tracing::error!(error = %Chain(&error), "a module could not be compiled");
                Refusal::Internal
            }
        }
    }
}

/// An error with all its causes in one line, for the log.
pub struct Chain<'e>(pub &'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(below) = cause {
            write!(f, ": {below}")?;
            cause = below.source();
        }
        Ok(())
    }
}
