//! What can go wrong with the store, as far as a caller can act on it.
//!
//! Promise: a [`Refused`] changed nothing and is the caller's to put right;
//! its sentence may be shown to a client. Every other error is ours, may name
//! paths of the host, and belongs in the log.

use std::io;

use crate::ids::ModuleName;
use crate::ids::SessionId;
use crate::ids::TenantId;
use crate::model::params::BadParam;
use crate::model::path::BadPath;
use crate::model::path::SessionPath;
use crate::model::quota::OverQuota;
use crate::store::unpack::BadArchive;

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The line of waiting writes is full; nothing was done.
    #[error("too much is waiting to be written; try again in a moment")]
    Busy,
    /// A commit failed on its way to the disk, or a sync did. What is there is
    /// only known after a restart, so nothing more is written until then.
    #[error("the store takes no more writes until the server is restarted, since the disk failed")]
    Poisoned,
    /// The disk has no room left; nothing was done.
    #[error("the disk of the server is full")]
    Full,
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The data directory cannot be used at all; the sentence is for the operator.
    #[error("{0}")]
    Unusable(String),
    /// A record does not read back as what was written: a mistake of ours, or
    /// somebody else wrote into the data directory.
    #[error("the store holds something that it cannot read: {0}")]
    Broken(String),
    #[error("the store failed to {context}")]
    Io {
        context: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the database failed")]
    Sql(#[source] rusqlite::Error),
}

/// What a caller asked for and cannot have. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("a tenant named `{0}` exists already")]
    TenantExists(TenantId),
    #[error("no tenant is named `{0}`")]
    NoTenant(TenantId),
    #[error("the tenant still has {live} jobs that have not ended; cancel them first")]
    TenantInUse { live: u64 },
    #[error("the tenant has a key with the id `{id}` already, or the same key under another id")]
    KeyExists { id: String },
    /// The version was deleted between the caller's look at it and this call.
    #[error("version {version} of module `{name}` exists no more")]
    ModuleGone { name: ModuleName, version: u32 },
    /// The bytes of a module were collected between their upload and this
    /// call; uploading them again helps.
    #[error("the bytes of this module are not on disk; upload them again")]
    NoBytes,
    #[error("there is a session named `{0}` already; choose another id")]
    SessionExists(SessionId),
    #[error("the session exists no more")]
    SessionGone,
    /// Another request with the same key was accepted first (R28).
    #[error("the session key is missing or is not the newest one")]
    SessionKey,
    #[error("the job is in no session")]
    NoSession,
    #[error("commit {number} of the session is not kept; {first} to {last} are")]
    NoCommit { number: u64, first: u64, last: u64 },
    #[error(
        "each job and each write is a transaction of its own in this session; \
         only one made with `\"transaction\": \"explicit\"` can be committed or rolled back"
    )]
    NotExplicit,
    #[error("the session has changes that are not committed; commit them or roll them back first")]
    Uncommitted,
    #[error("there is no file `{0}` in the session")]
    NoFile(SessionPath),
    #[error("the session has no parameter `{0}`")]
    NoParam(String),
    #[error("`{0}` is not a directory, so nothing can lie beneath it")]
    NotADirectory(SessionPath),
    #[error("`{0}` is a directory")]
    IsDirectory(SessionPath),
    #[error("`{0}` is a directory with something in it; ask for it to be deleted recursively")]
    DirectoryNotEmpty(SessionPath),
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("`{0}` is not in the state that the request expected")]
    Precondition(SessionPath),
    #[error("the session would hold {bytes} bytes, and at most {limit} are allowed")]
    SessionBytes { bytes: u64, limit: u64 },
    #[error("the session would hold {files} files, directories and links, and at most {limit} are allowed")]
    SessionFiles { files: u64, limit: u64 },
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    #[error("the body has more than {limit} bytes, the most that is taken here")]
    TooLarge { limit: u64 },
    /// `If-Match` or `If-None-Match` of a session's archive does not hold.
    #[error(
        "the session is not in the state that the request expected; fetch its archive again, and commit or \
         roll back first what is not committed"
    )]
    ArchivePrecondition,
    #[error("the archive cannot be taken, and nothing was changed: {0}")]
    Archive(#[from] BadArchive),
    #[error(transparent)]
    Param(#[from] BadParam),
    #[error(transparent)]
    Path(#[from] BadPath),
    #[error("the cursor is not one that this list handed out")]
    Cursor,
    /// The job is over already, or another attempt of it is under way.
    #[error("the job is not running in this attempt any more")]
    NotTheJob,
}

impl StoreError {
    /// Puts an I/O error into words: what could not be done.
    pub(in crate::store) fn io(context: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            _ => StoreError::Io { context, source },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
            _ if is_failed_sync(&error) => StoreError::Poisoned,
            _ => StoreError::Sql(error),
        }
    }
}

fn is_failed_sync(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC)
}
