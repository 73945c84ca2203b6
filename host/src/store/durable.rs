//! Files that must survive a power cut. The only place that syncs and renames.
//!
//! Promise: after [`write_whole`] has returned, the file is there with all its
//! bytes, whatever happens next; before that, it is not there at all, or as it
//! was.

use std::ffi::CStr;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Puts `bytes` into the file `path`, through a temporary file in `tmp`, which
/// must lie on the same file system.
pub(super) fn write_whole(tmp: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = tmp.join(uuid::Uuid::new_v4().to_string());
    let written = write_and_move(&draft, path, bytes);
    if written.is_err() {
        // Nothing is lost if this fails too: `tmp` is emptied at the next start.
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_dir(parent)
}

/// The bytes are synced before the rename: otherwise a power cut could leave the
/// name on an empty file. The directory is synced after it, for the name.
fn write_and_move(draft: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(draft, path)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Moves something from one directory to another, for the moment only: a power
/// cut may undo it.
pub(super) fn move_loosely(from: &OwnedFd, name: &CStr, to: &OwnedFd, new_name: &CStr) -> io::Result<()> {
    Ok(rustix::fs::renameat(from, name, to, new_name)?)
}
