//! Why the guard says no, in the two languages of guests.

use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

/// Why an operation on the directory is not carried out. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Refusal {
    /// The session may hold no more.
    NoSpace,
    /// The path has too many levels or bytes, or a name in it has.
    NameTooLong,
    /// The path has a byte that no name can have.
    BadName,
    /// The path leads out of the session.
    Outside,
    /// What is to be changed is the session's directory itself.
    Root,
    /// What is to be made is the session's directory itself.
    Exists,
    /// The directory that the path starts in is gone, or the path is empty.
    NoEntry,
    /// A path with a slash at its end names something that is no directory.
    NotDirectory,
    /// Links lead to links, without end.
    Loop,
    /// A file would get a second name, or a link a target that we do not take.
    NotSupported,
    /// The guest holds as many files open as it may.
    TooManyOpen,
    /// The descriptor is none that the guest got from us.
    BadDescriptor,
    /// The disk did not answer.
    Io,
}

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSpace => Errno::Nospc,
            Refusal::NameTooLong => Errno::Nametoolong,
            Refusal::BadName => Errno::Inval,
            Refusal::Outside => Errno::Perm,
            Refusal::Root => Errno::Busy,
            Refusal::Exists => Errno::Exist,
            Refusal::NoEntry => Errno::Noent,
            Refusal::NotDirectory => Errno::Notdir,
            Refusal::Loop => Errno::Loop,
            Refusal::NotSupported => Errno::Notsup,
            Refusal::TooManyOpen => Errno::Mfile,
            Refusal::BadDescriptor => Errno::Badf,
            Refusal::Io => Errno::Io,
        }
    }
}

impl From<Refusal> for wasmtime_wasi::p1::types::Error {
    fn from(refusal: Refusal) -> Self {
        Errno::from(refusal).into()
    }
}

impl From<Refusal> for ErrorCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSpace => ErrorCode::InsufficientSpace,
            Refusal::NameTooLong => ErrorCode::NameTooLong,
            Refusal::BadName => ErrorCode::Invalid,
            Refusal::Outside => ErrorCode::NotPermitted,
            Refusal::Root => ErrorCode::Busy,
            Refusal::Exists => ErrorCode::Exist,
            Refusal::NoEntry => ErrorCode::NoEntry,
            Refusal::NotDirectory => ErrorCode::NotDirectory,
            Refusal::Loop => ErrorCode::Loop,
            Refusal::NotSupported => ErrorCode::Unsupported,
            // WASI 0.2 has no word for too many open files.
            Refusal::TooManyOpen => ErrorCode::Quota,
            Refusal::BadDescriptor => ErrorCode::BadDescriptor,
            Refusal::Io => ErrorCode::Io,
        }
    }
}

impl From<Refusal> for wasmtime_wasi::p2::FsError {
    fn from(refusal: Refusal) -> Self {
        ErrorCode::from(refusal).into()
    }
}
