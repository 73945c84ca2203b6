//! Walking a directory that a guest has had in its hands.
//!
//! Promise: nothing here ever follows a link. Every step opens one name beneath
//! an open directory with `O_NOFOLLOW`, so a path that a guest bent aside leads
//! nowhere instead of out of the session. Opening never blocks, whatever lies
//! there.

use std::ffi::CStr;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

use rustix::fs::AtFlags;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RawDir;
use rustix::fs::SeekFrom;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::io::Errno;

use crate::model::path::SessionPath;

/// What lies at a path. Anything but these three (pipes, sockets, devices, links
/// that lead out by an absolute path) is never kept, so it counts as nothing.
pub(super) enum Seen {
    File(File),
    Directory,
    Link { target: String },
}

/// Something that lies in a working copy.
pub(super) struct Found {
    pub(super) seen: Seen,
    pub(super) modified_ns: i64,
}

/// Opens a directory in another.
pub(super) fn open_dir(parent: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Makes a directory in another, and opens it.
pub(super) fn make_dir(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
    open_dir(parent, name)
}

/// Makes a new file for writing.
pub(super) fn make_file(parent: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Opens the regular file at a path for writing; `None` if there is none.
pub(super) fn open_for_writing(root: &OwnedFd, path: &SessionPath) -> io::Result<Option<File>> {
    let Some(parent) = open_parent(root, path)? else { return Ok(None) };
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = match rustix::fs::openat(parent, name_of(path), flags, Mode::empty()) {
        Ok(file) => file.into(),
        Err(Errno::ISDIR) => return Ok(None),
        Err(error) if is_nothing(&error.into()) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_file = file.metadata()?.is_file();
    Ok(Some(file).filter(|_| is_file))
}

/// Gives a file the time at which it was last changed.
pub(super) fn set_modified(file: &File, modified_ns: i64) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &both_times(modified_ns))?)
}

/// The same by name; of a link itself, which cannot be opened.
pub(super) fn set_modified_at(parent: impl AsFd, name: &str, modified_ns: i64) -> io::Result<()> {
    Ok(rustix::fs::utimensat(parent, name, &both_times(modified_ns), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn both_times(ns: i64) -> Timestamps {
    let time = Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: time, last_modification: time }
}

/// Opens the directory that `path` lies in; `None` if there is no such directory.
pub(super) fn open_parent(root: &OwnedFd, path: &SessionPath) -> io::Result<Option<OwnedFd>> {
    let mut dir = root.try_clone()?;
    let Some(parent) = path.parent() else { return Ok(Some(dir)) };
    for name in parent.as_str().split('/') {
        match open_dir(&dir, name) {
            Ok(next) => dir = next,
            Err(error) if is_nothing(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(dir))
}

/// The last component of a path.
pub(super) fn name_of(path: &SessionPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or(path.as_str())
}

/// The size of the regular file at a path; `None` if there is none.
pub(super) fn size_of_file(root: &OwnedFd, path: &SessionPath) -> io::Result<Option<u64>> {
    let Some(parent) = open_parent(root, path)? else { return Ok(None) };
    match rustix::fs::statat(parent, name_of(path), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            Ok(u64::try_from(stat.st_size).ok())
        }
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What lies at a path beneath `root`, if anything of the kinds we keep.
pub(super) fn look(root: &OwnedFd, path: &SessionPath) -> io::Result<Option<Found>> {
    match open_parent(root, path)? {
        Some(parent) => look_in(&parent, name_of(path)),
        None => Ok(None),
    }
}

/// The same for a name in an open directory.
pub(super) fn look_in(parent: &OwnedFd, name: &str) -> io::Result<Option<Found>> {
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let seen = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Some(Seen::Directory),
        FileType::RegularFile => open_file(parent, name)?.map(Seen::File),
        FileType::Symlink => read_link(parent, name)?.map(|target| Seen::Link { target }),
        _ => None,
    };
    let seconds = i128::from(stat.st_mtime) * 1_000_000_000;
    // A guest can set any time; what i64 cannot hold is as far away as it gets.
    let modified_ns = i64::try_from(seconds + i128::from(stat.st_mtime_nsec)).unwrap_or(i64::MAX);
    Ok(seen.map(|seen| Found { seen, modified_ns }))
}

/// The same, and what is of no kind that we keep goes, so that nobody after us meets
/// it: a guest that opens a pipe would hold its thread for ever.
pub(super) fn look_or_remove(parent: &OwnedFd, name: &str) -> io::Result<Option<Found>> {
    let found = look_in(parent, name)?;
    if found.is_none() {
        remove_one(parent, &CString::new(name)?)?;
    }
    Ok(found)
}

fn open_file(parent: &OwnedFd, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(error) if is_nothing(&error.into()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A link's target, if it is one that we keep: relative, and text.
fn read_link(parent: &OwnedFd, name: &str) -> io::Result<Option<String>> {
    let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
    Ok(target.into_string().ok().filter(|target| !target.starts_with('/')))
}

/// The names in an open directory, in no order.
pub(super) fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Whether there is no name in a directory, which nobody else reads meanwhile.
pub(super) fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    rustix::fs::seek(dir, SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 1_024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a file, a link or an empty directory. `Ok(false)` is a directory that
/// is not empty; what is not there is removed already.
pub(super) fn remove_one(parent: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => (),
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error says that no directory or file is there (a link counts as
/// none).
fn is_nothing(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO))
}
