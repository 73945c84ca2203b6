//! The quarantine: where that goes which lies in the data directory and is not ours.
//!
//! Promise: things are moved as they are, by rename beneath open directories; no
//! link is followed, no file opened (but one that has a module's name, which is
//! read), and nothing deleted. A crash leaves each thing where it was or in
//! quarantine. What is there is never looked at again, and is the operator's.
//!
//! A module whose file somebody else could change is not lost with it: its name is
//! the digest of its bytes, so if they are right a copy takes the file's place.

use std::ffi::CStr;
use std::ffi::CString;
use std::io;
use std::io::Read as _;

use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::ids::Digest;
use crate::limits::MODULE_BYTES_MAX;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::foreign;
use crate::store::foreign::Foreign;
use crate::store::foreign::Place;
use crate::store::inspection;
use crate::store::layout;
use crate::store::layout::FOLDERS;
use crate::store::layout::Layout;
use crate::store::layout::Purpose;
use crate::store::layout::QUARANTINE;
use crate::store::plain;
use crate::store::plain::OpenDir;
use crate::store::tree;

/// Numbers of wards from here on are not ours.
const NUMBER_MAX: u64 = 1 << 40;

/// The quarantine of one start.
pub(super) struct Quarantine<'a> {
    layout: &'a Layout,
    top: &'a OpenDir,
    /// Whether the database is known to be of no newer server, which may have more
    /// names than we know: until then nothing is moved.
    is_known: bool,
}

/// A new directory for what lay in one of ours.
struct Ward {
    all: OpenDir,
    name: CString,
    dir: OpenDir,
    moved: usize,
}

impl<'a> Quarantine<'a> {
    /// For a data directory that is locked.
    pub(super) fn new(layout: &'a Layout, top: &'a OpenDir) -> Quarantine<'a> {
        Quarantine { layout, top, is_known: false }
    }

    /// Clears the data directory itself, so that our directories can be made or are
    /// really there.
    pub(super) fn clear_top(&mut self) -> Result<(), StoreError> {
        self.clear_own_place()?;
        let top = self.top;
        self.clear(top, "data", &foreign::at_top(top)?)?;
        // Whatever their modes have become: we can enter them, and nobody else.
        for name in top.names().map_err(context())? {
            if layout::purpose(&name) == Some(Purpose::Directory) {
                let made = rustix::fs::chmodat(&*top.handle, &name, Mode::RWXU, AtFlags::empty());
                made.map_err(|errno| StoreError::io("make a directory private")(errno.into()))?;
            }
        }
        Ok(())
    }

    /// Clears the directories of modules and of compiled code, which are there now.
    pub(super) fn clear_folders(&mut self) -> Result<(), StoreError> {
        for folder in FOLDERS {
            let dir = self.top.beneath(folder).map_err(context())?;
            self.clear(&dir, &folder.to_string_lossy(), &foreign::in_folder(&dir, folder)?)?;
        }
        Ok(())
    }

    /// Something in the place of the quarantine gets another name, and goes there too.
    fn clear_own_place(&self) -> Result<(), StoreError> {
        let flaw = foreign::flaw_of_directory(self.top, QUARANTINE)?;
        let Some(flaw) = flaw else { return Ok(()) };
        let aside = format!("{}-{}", QUARANTINE.to_string_lossy(), uuid::Uuid::new_v4().simple());
        let aside = CString::new(aside).map_err(io::Error::other).map_err(context())?;
        let moved = durable::move_between(self.top, QUARANTINE, self.top, &aside);
        moved.map_err(|error| in_the_way(self.top, QUARANTINE, &flaw, &error))
    }

    /// Moves what was found in one directory into a ward of its own.
    fn clear(&mut self, dir: &OpenDir, label: &str, found: &[Foreign]) -> Result<(), StoreError> {
        let mut ward = None;
        for thing in found {
            self.must_be_known(thing)?;
            match thing.place {
                Place::OfModule(digest) if self.replace_by_copy(dir, thing, digest)? => {}
                _ => {
                    let ward = match &mut ward {
                        Some(ward) => ward,
                        none => none.insert(self.make_ward(label)?),
                    };
                    take(dir, thing, ward)?;
                }
            }
        }
        match ward {
            None => Ok(()),
            Some(ward) if ward.moved == 0 => {
                tree::remove_one(&ward.all.handle, &ward.name).map_err(context())?;
                Ok(())
            }
            Some(ward) => durable::sync_dir(&ward.dir.path)
                .and_then(|()| durable::sync_dir(&dir.path))
                .map_err(StoreError::io("make the quarantine durable")),
        }
    }

    /// Without the index of its log a database can be looked into, and with a false
    /// one it cannot.
    fn must_be_known(&mut self, thing: &Foreign) -> Result<(), StoreError> {
        if !self.is_known && thing.place != Place::OfIndex {
            inspection::must_not_be_newer(&self.layout.database())?;
            self.is_known = true;
        }
        Ok(())
    }

    /// Makes `quarantine/<number>-<label>`, with a number that is higher than all others.
    fn make_ward(&self, label: &str) -> Result<Ward, StoreError> {
        let make = || {
            durable::make_dir_in(self.top, QUARANTINE)?;
            // Or a power cut could take the directory away, and with it what is in it.
            durable::sync_dir(&self.top.path)?;
            let all = self.top.beneath(QUARANTINE)?;
            let names = all.names()?;
            let last = names.iter().filter_map(|name| number(name)).filter(|number| *number < NUMBER_MAX).max();
            let name = CString::new(format!("{}-{label}", last.unwrap_or(0) + 1))?;
            durable::make_dir_in(&all, &name)?;
            durable::sync_dir(&all.path)?;
            let dir = all.beneath(&name)?;
            Ok(Ward { all, name, dir, moved: 0 })
        };
        make().map_err(StoreError::io("make a place in quarantine"))
    }

    /// Puts a file of our own in the place of a module's, if that has the module's
    /// bytes; says whether it had.
    fn replace_by_copy(&self, dir: &OpenDir, thing: &Foreign, digest: Digest) -> Result<bool, StoreError> {
        let path = dir.path_of(&thing.name);
        let mut bytes = Vec::new();
        match plain::open(&path).and_then(|file| file.take(MODULE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            read => read.map_err(StoreError::io("read a module"))?,
        };
        if Digest::of(&bytes) != digest {
            return Ok(false);
        }
        durable::write_whole(&self.layout.tmp(), &path, &bytes).map_err(StoreError::io("save a module"))?;
        tracing::warn!(module = ?path, why = thing.why, "a copy with the same bytes is in this file's place now");
        Ok(true)
    }
}

/// Moves one thing. What cannot be moved and is in nobody's way stays: such as a
/// directory of root, or one that a disk is mounted on.
fn take(dir: &OpenDir, thing: &Foreign, ward: &mut Ward) -> Result<(), StoreError> {
    let from = dir.path_of(&thing.name);
    match durable::move_between(dir, &thing.name, &ward.dir, &thing.name) {
        Ok(()) => {
            ward.moved += 1;
            let to = ward.dir.path_of(&thing.name);
            tracing::warn!(?from, ?to, why = thing.why, "this is not ours, and was put into quarantine");
            Ok(())
        }
        Err(error) if thing.place == Place::Nowhere && is_immovable(&error) => {
            tracing::warn!(?from, why = thing.why, %error, "this is not ours, cannot be moved, and is left alone");
            Ok(())
        }
        Err(error) if is_immovable(&error) => Err(in_the_way(dir, &thing.name, &thing.why, &error)),
        Err(error) => Err(StoreError::io("put into quarantine what is not ours")(error)),
    }
}

fn is_immovable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::XDEV))
}

fn in_the_way(dir: &OpenDir, name: &CStr, why: &impl std::fmt::Display, error: &io::Error) -> StoreError {
    let path = dir.path_of(name);
    StoreError::Unusable(format!("{} {why}, and cannot be moved ({error}); take it away", path.display()))
}

/// The number that a ward's name begins with.
fn number(name: &CStr) -> Option<u64> {
    name.to_str().ok()?.split('-').next()?.parse().ok()
}

fn context() -> impl FnOnce(io::Error) -> StoreError {
    StoreError::io("look through the data directory")
}
