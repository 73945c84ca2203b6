//! What lies in a data directory and cannot be ours.
//!
//! Comes in: the layout at each start, for what must not be used as it is, and the
//! quarantine and `check`, for the rest.
//!
//! Promise: everything is looked at where it lies, by its name, kind, owner, names
//! and mode; nothing is opened but our own directories, and nothing changed.
//!
//! What holds everybody's data is refused if it is not a plain file of ours: to
//! follow a link there would be wrong, and to put it away and begin with nothing
//! would be worse. Everything else can be done without.

use std::ffi::CStr;
use std::ffi::CString;
use std::io;

use rustix::fs::Stat;

use crate::ids::Digest;
use crate::store::error::StoreError;
use crate::store::layout;
use crate::store::layout::FOLDERS;
use crate::store::layout::INDEX;
use crate::store::layout::NEEDED;
use crate::store::layout::Named;
use crate::store::layout::Purpose;
use crate::store::plain::Flaw;
use crate::store::plain::OpenDir;

/// Something that cannot be ours.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) name: CString,
    /// Fits after its name.
    pub(super) why: String,
    pub(super) place: Place,
}

/// What it would be in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Of nothing.
    Nowhere,
    /// Of something that the server must have there.
    OfOurs,
    /// Of the index of the database's log.
    OfIndex,
    /// Of a module's bytes, which may be the right ones.
    OfModule(Digest),
}

/// Refuses a data directory in which a needed file is not a plain file of ours.
pub(super) fn refuse_needed(dir: &OpenDir) -> Result<(), StoreError> {
    match flaws_of_needed(dir)?.first() {
        Some((name, flaw)) => Err(StoreError::Unusable(sentence(dir, name, *flaw))),
        None => Ok(()),
    }
}

/// The same for whoever only reads, and may be another user: what would have to be
/// followed or waited for.
pub(super) fn refuse_unreadable(dir: &OpenDir) -> Result<(), StoreError> {
    let owner = owner(dir)?;
    for name in NEEDED.into_iter().chain([INDEX]) {
        let flaw = look_at(dir, name)?.and_then(|stat| Flaw::of(&stat, owner));
        if let Some(flaw @ Flaw::Kind(_)) = flaw {
            return Err(StoreError::Unusable(sentence(dir, name, flaw)));
        }
    }
    Ok(())
}

/// A sentence for each thing because of which a start is refused, or which it would
/// put into quarantine.
pub(super) fn findings(dir: &OpenDir) -> Result<Vec<String>, StoreError> {
    let needed = flaws_of_needed(dir)?;
    let mut found: Vec<_> = needed.iter().map(|(name, flaw)| sentence(dir, name, *flaw)).collect();
    let mut tell = |dir: &OpenDir, foreign: Vec<Foreign>| {
        found.extend(foreign.iter().map(|thing| {
            format!("{:?} {}; the next start puts it into quarantine", dir.path_of(&thing.name), thing.why)
        }));
    };
    tell(dir, at_top(dir)?);
    for folder in FOLDERS {
        if let Some(open) = enter(dir, folder)? {
            tell(&open, in_folder(&open, folder)?);
        }
    }
    Ok(found)
}

/// What lies in the data directory itself and is not ours, but for needed files. The
/// index of the log comes first: nobody can look into the database before it is gone.
pub(super) fn at_top(dir: &OpenDir) -> Result<Vec<Foreign>, StoreError> {
    let owner = owner(dir)?;
    let mut found = Vec::new();
    for name in dir.names().map_err(context())? {
        let Some(stat) = look_at(dir, &name)? else { continue };
        let place = if name.as_c_str() == INDEX { Place::OfIndex } else { Place::OfOurs };
        let flaw = match layout::purpose(&name) {
            Some(Purpose::Needed) => None,
            Some(Purpose::Spare) => Flaw::of(&stat, owner),
            Some(Purpose::Directory) => Flaw::of_directory(&stat, owner),
            // Root's, on a disk of its own.
            Some(Purpose::LostAndFound) if matches!(Flaw::of_directory(&stat, 0), None | Some(Flaw::Owner(_))) => None,
            Some(Purpose::LostAndFound) | None => {
                let why = "has no name of ours".to_owned();
                found.push(Foreign { name, why, place: Place::Nowhere });
                continue;
            }
        };
        found.extend(flaw.map(|flaw| Foreign { name, why: flaw.to_string(), place }));
    }
    found.sort_by_key(|thing| thing.place != Place::OfIndex);
    Ok(found)
}

/// What lies in one of [`FOLDERS`] and is not ours.
pub(super) fn in_folder(dir: &OpenDir, folder: &CStr) -> Result<Vec<Foreign>, StoreError> {
    let owner = owner(dir)?;
    let mut found = Vec::new();
    for name in dir.names().map_err(context())? {
        let Some(stat) = look_at(dir, &name)? else { continue };
        let flaw = Flaw::of(&stat, owner);
        let (why, place) = match (layout::named(folder, &name), flaw) {
            (Named::Nothing, _) => ("has no name of ours".to_owned(), Place::Nowhere),
            (Named::Module(_) | Named::Artefact, None) => continue,
            (Named::Artefact, Some(flaw)) | (Named::Module(_), Some(flaw @ Flaw::Kind(_))) => {
                (flaw.to_string(), Place::OfOurs)
            }
            (Named::Module(digest), Some(flaw)) => (flaw.to_string(), Place::OfModule(digest)),
        };
        found.push(Foreign { name, why, place });
    }
    Ok(found)
}

/// What is wrong with something that is to be a directory of ours, if it is there.
pub(super) fn flaw_of_directory(dir: &OpenDir, name: &CStr) -> Result<Option<Flaw>, StoreError> {
    let owner = owner(dir)?;
    Ok(look_at(dir, name)?.and_then(|stat| Flaw::of_directory(&stat, owner)))
}

/// Opens a directory of ours, if one is there.
pub(super) fn enter(dir: &OpenDir, name: &CStr) -> Result<Option<OpenDir>, StoreError> {
    if look_at(dir, name)?.is_none() || flaw_of_directory(dir, name)?.is_some() {
        return Ok(None);
    }
    dir.beneath(name).map(Some).map_err(context())
}

fn flaws_of_needed(dir: &OpenDir) -> Result<Vec<(&'static CStr, Flaw)>, StoreError> {
    let owner = owner(dir)?;
    let mut found = Vec::new();
    for name in NEEDED {
        let flaw = look_at(dir, name)?.and_then(|stat| Flaw::of(&stat, owner));
        found.extend(flaw.map(|flaw| (name, flaw)));
    }
    Ok(found)
}

/// What is wrong with a needed file, and the way out.
fn sentence(dir: &OpenDir, name: &CStr, flaw: Flaw) -> String {
    let way_out = match flaw {
        Flaw::Kind(_) if layout::purpose(name) == Some(Purpose::Spare) => {
            "the next start of the server puts it into quarantine"
        }
        Flaw::Kind(_) => "put the file itself there, from a backup if need be, or name another directory",
        Flaw::Owner(_) => {
            "find out who put it there, and give it to the owner of the directory only if it is what it was"
        }
        Flaw::Names => "find out where, and put a copy of it in its place",
        Flaw::Mode(_) => "find out whether somebody did, and take the right away with `chmod go-w`",
    };
    format!("{} {flaw}, so it cannot be trusted and is left as it is; {way_out}", dir.path_of(name).display())
}

/// Whose the data directory is, and so all that is ours in it.
fn owner(dir: &OpenDir) -> Result<u32, StoreError> {
    Ok(rustix::fs::fstat(&*dir.handle).map_err(|errno| context()(errno.into()))?.st_uid)
}

fn look_at(dir: &OpenDir, name: &CStr) -> Result<Option<Stat>, StoreError> {
    dir.look_at(name).map_err(context())
}

fn context() -> impl FnOnce(io::Error) -> StoreError {
    StoreError::io("look through the data directory")
}
