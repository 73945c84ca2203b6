//! What the store opens in its data directory: plain files and directories, each
//! beneath the one it lies in.
//!
//! Promise: no link is followed and no pipe waited for, whatever was put in the
//! place of a file of ours, before the start or after it.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::store::tree;

/// What users other than the owner need to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why something is no plain file that one user alone writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Kind(FileType),
    Owner(u32),
    /// It can be reached, and changed, where we do not look. SQLite would keep another
    /// log for each of the names.
    Names,
    Mode(u32),
}

impl Flaw {
    /// Of something that should be a file of the user `owner`.
    pub(super) fn of(stat: &Stat, owner: u32) -> Option<Flaw> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            Some(Flaw::Kind(kind))
        } else if stat.st_uid != owner {
            Some(Flaw::Owner(stat.st_uid))
        } else if stat.st_nlink > 1 {
            Some(Flaw::Names)
        } else if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
            Some(Flaw::Mode(stat.st_mode & 0o7777))
        } else {
            None
        }
    }

    /// Of something that should be a directory of the user `owner`. Its mode is
    /// put right, and what is in it looked at for itself.
    pub(super) fn of_directory(stat: &Stat, owner: u32) -> Option<Flaw> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if stat.st_uid == owner => None,
            FileType::Directory => Some(Flaw::Owner(stat.st_uid)),
            kind => Some(Flaw::Kind(kind)),
        }
    }
}

/// Fits after the name of what has it.
impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Kind(FileType::Symlink) => f.write_str("is a link"),
            Flaw::Kind(FileType::Directory) => f.write_str("is a directory"),
            Flaw::Kind(FileType::RegularFile) => f.write_str("is a file"),
            Flaw::Kind(FileType::Fifo) => f.write_str("is a pipe"),
            Flaw::Kind(FileType::Socket) => f.write_str("is a socket"),
            Flaw::Kind(FileType::BlockDevice | FileType::CharacterDevice) => f.write_str("is a device"),
            Flaw::Kind(_) => f.write_str("is neither a file nor a directory"),
            Flaw::Owner(user) => write!(f, "belongs to another user ({user})"),
            Flaw::Names => f.write_str("has another name somewhere, under which it can be changed"),
            Flaw::Mode(mode) => write!(f, "can be written by others than its owner (mode {mode:o})"),
        }
    }
}

/// A directory that is open, and its path, for messages.
#[derive(Clone, Debug)]
pub(super) struct OpenDir {
    pub(super) path: PathBuf,
    pub(super) handle: Arc<OwnedFd>,
}

impl OpenDir {
    /// Opens a directory whose path is canonical.
    pub(super) fn open(path: &Path) -> io::Result<OpenDir> {
        let handle = Arc::new(tree::open_dir(CWD, path)?);
        Ok(OpenDir { path: path.to_owned(), handle })
    }

    /// Opens a directory that lies in this one.
    pub(super) fn beneath(&self, name: &CStr) -> io::Result<OpenDir> {
        let handle = Arc::new(tree::open_dir(&*self.handle, name)?);
        Ok(OpenDir { path: self.path_of(name), handle })
    }

    pub(super) fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// What lies there under that name, itself.
    pub(super) fn look_at(&self, name: &CStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&*self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All names in it, in order.
    pub(super) fn names(&self) -> io::Result<Vec<CString>> {
        // A handle of its own, since reading moves a mark in it.
        let mut names = tree::names(&tree::open_dir(&*self.handle, c".")?)?;
        names.sort();
        Ok(names)
    }
}

/// Opens a file of ours for reading.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::RDONLY)
}

/// Opens a file of ours, which only its owner can read if it is made.
pub(super) fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = tree::open_dir(CWD, above)?;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = match rustix::fs::openat(above, name, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::LOOP) => return Err(io::Error::other("a link lies in the place of the file, and is not followed")),
        opened => opened?.into(),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("what lies there is not a file")) }
}

/// Whether a file of ours lies there. A link is none.
pub(super) fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b36_only_plain_files_are_opened_and_nothing_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::write(at("file"), "bytes").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        std::os::unix::fs::symlink("dir", at("way")).unwrap();
        fs::write(at("dir/file"), "bytes").unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        for name in ["file", "dir/file"] {
            assert!(open(&at(name)).is_ok() && is_file(&at(name)), "{name}");
        }
        // The directory that a file lies in is not reached by a link either.
        assert!(open(&at("way/file")).is_err());
        for name in ["link", "dir", "pipe", "socket", "none"] {
            assert!(open(&at(name)).is_err() && !is_file(&at(name)), "{name}");
            assert!(open_with(&at(name), OFlags::RDWR).is_err(), "{name}");
        }
        let kind = open(&at("none")).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::NotFound);
    }
}
