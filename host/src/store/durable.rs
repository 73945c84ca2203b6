//! Files that must survive a power cut. The only place that syncs and renames.
//!
//! Promise: after [`write_whole`] has returned, the file is there with all its
//! bytes, whatever happens next; before that, it is not there at all, or as it
//! was.
//!
//! Every step towards the disk is announced by [`tell`] first, so that tests can
//! cut the power between any two and let any one fail.

use std::ffi::CStr;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::CWD;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::store::plain;
use crate::store::plain::OpenDir;
#[cfg(test)]
use crate::store::tests::power::tell;

/// Of a file that is copied, this much is in memory at once.
const PIECE_BYTES: usize = 1 << 20;

/// What is about to be asked of the disk.
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look at it"))]
pub(super) enum Step<'a> {
    MakeDir(&'a Path),
    Create(&'a Path),
    /// From that byte on.
    Write(&'a Path, u64, &'a [u8]),
    Sync(&'a Path),
    Rename(&'a Path, &'a Path),
    Remove(&'a Path),
    SyncDir(&'a Path),
}

/// Outside tests nobody listens, and nothing fails here.
#[cfg(not(test))]
fn tell(_: &Step<'_>) -> io::Result<()> {
    Ok(())
}

/// Puts `bytes` into the file `path`, through a temporary file in `tmp`, which
/// must lie on the same file system.
pub(super) fn write_whole(tmp: &Path, path: &Path, mut bytes: &[u8]) -> io::Result<()> {
    copy_whole(tmp, path, &mut bytes, |_| ())
}

/// Does the same with what comes out of `from`, and shows each part of it to `look`.
pub(super) fn copy_whole(tmp: &Path, path: &Path, from: &mut impl Read, look: impl FnMut(&[u8])) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = tmp.join(uuid::Uuid::new_v4().to_string());
    let written = write_and_move(&draft, path, from, look);
    if written.is_err() {
        // Nothing is lost if this fails too: `tmp` is emptied at the next start.
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_dir(parent)
}

/// The bytes are synced before the rename: otherwise a power cut could leave the
/// name on an empty file. The directory is synced after it, for the name.
fn write_and_move(draft: &Path, path: &Path, from: &mut impl Read, mut look: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = create(draft)?;
    let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            break;
        }
        let part = &piece[..count];
        look(part);
        tell(&Step::Write(draft, at, part))?;
        file.write_all(part)?;
        at += count as u64;
    }
    tell(&Step::Sync(draft))?;
    file.sync_all()?;
    drop(file);
    tell(&Step::Rename(draft, path))?;
    fs::rename(draft, path)
}

/// Makes what a file seems to hold durable, if there is one. An earlier process
/// may have been told that a sync failed; the kernel shows what was written then,
/// and counts it as written. So it is written once more: the same bytes at the
/// same places, which a power cut in the middle does not harm.
pub(super) fn write_again(path: &Path) -> io::Result<()> {
    let file = match plain::open_with(path, OFlags::RDWR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
    loop {
        let count = file.read_at(&mut piece, at)?;
        if count == 0 {
            break;
        }
        tell(&Step::Write(path, at, &piece[..count]))?;
        file.write_all_at(&piece[..count], at)?;
        at += count as u64;
    }
    tell(&Step::Sync(path))?;
    file.sync_all()
}

/// A new file that only its owner can read.
fn create(path: &Path) -> io::Result<File> {
    tell(&Step::Create(path))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file that only its owner can read, and makes it if it is not there.
/// Its name is not durable yet.
pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    tell(&Step::Create(path))?;
    plain::open_with(path, OFlags::RDWR | OFlags::CREATE)
}

/// Makes a file at `path`, where there is none, of all that can be read.
pub(super) fn write_new(path: &Path, from: &mut impl Read) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(from, &mut file)?;
    file.sync_all()
}

/// Gives a file that is whole its name, on the same file system. Fails if somebody
/// has that name, also if it was taken a moment ago.
pub(super) fn place_new(draft: &Path, path: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    let moved = rustix::fs::renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE);
    match moved {
        // Some file systems, above all those of a network, cannot do that, and can do this.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(draft, path)?;
            fs::remove_file(draft)?;
        }
        moved => moved?,
    }
    sync_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// Gives a directory whose files are durable its name, in the same directory.
/// Fails unless nothing or an empty directory has that name.
pub(super) fn place_dir(draft: &Path, path: &Path) -> io::Result<()> {
    sync_dir(draft)?;
    fs::rename(draft, path)?;
    sync_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    tell(&Step::SyncDir(dir))?;
    File::open(dir)?.sync_all()
}

/// Makes a directory that only its owner can enter, in one that is there. Its
/// name is not durable yet.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    tell(&Step::MakeDir(path))?;
    DirBuilder::new().mode(0o700).create(path)
}

/// The same in one that is open, unless it is there. Never through a link.
pub(super) fn make_dir_in(parent: &OpenDir, name: &CStr) -> io::Result<()> {
    tell(&Step::MakeDir(&parent.path_of(name)))?;
    match rustix::fs::mkdirat(&*parent.handle, name, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        made => Ok(made?),
    }
}

/// Moves something, whatever it is, from one open directory to another, where
/// nothing has its name. That it is in one of them and not in both is as good as
/// the file system; where, is durable with the names of both.
pub(super) fn move_between(from: &OpenDir, name: &CStr, to: &OpenDir, new_name: &CStr) -> io::Result<()> {
    tell(&Step::Rename(&from.path_of(name), &to.path_of(new_name)))?;
    match rustix::fs::renameat_with(&*from.handle, name, &*to.handle, new_name, RenameFlags::NOREPLACE) {
        // Some file systems do not know the flag; nobody but us makes names there.
        Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(&*from.handle, name, &*to.handle, new_name)?),
        moved => Ok(moved?),
    }
}

/// Deletes a file that nothing refers to any more. A power cut may bring it back.
pub(super) fn remove_loosely(file: &Path) -> io::Result<()> {
    tell(&Step::Remove(file))?;
    fs::remove_file(file)
}

/// Moves something from one directory to another, for the moment only: a power
/// cut may undo it.
pub(super) fn move_loosely(from: &OwnedFd, name: &CStr, to: &OwnedFd, new_name: &CStr) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, name, to, new_name)?)
}
