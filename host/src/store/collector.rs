//! The collector: module bytes and compiled code that nobody needs any more.
//!
//! Promise: a file goes only after the commit that made it superfluous is
//! durable, and not if a commit of the same moment needs it again.
//!
//! Everything here happens on the writer's thread, so "needs it" has one
//! meaning at a time: [`Collector::look_at`] and [`Collector::pardon`] inside a
//! unit of work, [`Collector::collect`] after its commit.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rusqlite::Connection;

use crate::ids::Digest;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::layout::Layout;
use crate::store::rows;

/// See the module's promise.
pub(super) struct Collector {
    layout: Layout,
    fates: Mutex<Fates>,
}

#[derive(Default)]
struct Fates {
    /// No version has these bytes any more, but a job that has not ended does.
    lingering: HashSet<Digest>,
    /// Superfluous as soon as the commit under way is durable.
    condemned: HashSet<Digest>,
}

/// A module whose files go once the commit under way is durable.
pub(super) struct Condemned {
    digest: Digest,
    files: Vec<PathBuf>,
}

impl Collector {
    pub(super) fn new(layout: Layout) -> Collector {
        Collector { layout, fates: Mutex::default() }
    }

    /// Decides about modules of which something was just deleted.
    pub(super) fn look_at_all(&self, db: &Connection, digests: Vec<Digest>) -> Result<Vec<Condemned>, StoreError> {
        let decided = digests.into_iter().map(|digest| self.look_at(db, digest));
        decided.filter_map(Result::transpose).collect()
    }

    fn look_at(&self, db: &Connection, digest: Digest) -> Result<Option<Condemned>, StoreError> {
        let key = [digest.as_bytes()];
        if rows::exists(db, "SELECT 1 FROM module_version WHERE digest = ?1", key)? {
            return Ok(None);
        }
        if rows::exists(db, "SELECT 1 FROM job WHERE digest = ?1 AND ended_at IS NULL", key)? {
            self.fates().lingering.insert(digest);
            return Ok(None);
        }
        let delete = "DELETE FROM artefact WHERE digest = ?1 RETURNING fingerprint";
        let fingerprints: Vec<String> = rows::all(db, delete, key, |row| row.get("fingerprint"))?;
        let artefacts = fingerprints.iter().map(|fingerprint| self.layout.artefact(&digest, fingerprint));
        let files = artefacts.chain([self.layout.wasm(&digest)]).collect();
        let mut fates = self.fates();
        fates.lingering.remove(&digest);
        fates.condemned.insert(digest);
        Ok(Some(Condemned { digest, files }))
    }

    /// Decides about the module of a job that is just over.
    pub(super) fn job_is_over(&self, db: &Connection, digest: Digest) -> Result<Option<Condemned>, StoreError> {
        // Nearly always empty, so that the end of a job costs nothing more. It was decided
        // before if the transaction that did so is not there, and this one comes in its place.
        let fates = self.fates();
        if !fates.lingering.contains(&digest) && !fates.condemned.contains(&digest) {
            return Ok(None);
        }
        drop(fates);
        self.look_at(db, digest)
    }

    /// Keeps a module that is being uploaded again.
    pub(super) fn pardon(&self, digest: &Digest) {
        let mut fates = self.fates();
        fates.condemned.remove(digest);
        fates.lingering.remove(digest);
    }

    /// Deletes the files of modules whose end is durable.
    pub(super) fn collect(&self, condemned: impl IntoIterator<Item = Condemned>) {
        for module in condemned {
            if self.fates().condemned.remove(&module.digest) {
                module.files.iter().for_each(|file| remove(file));
            }
        }
    }

    /// Deletes the files that an earlier server did not come round to. For the
    /// start, when nothing is being uploaded yet.
    pub(super) fn sweep(&self, db: &Connection) -> Result<(), StoreError> {
        let context = || StoreError::io("look through the modules on disk");
        for entry in fs::read_dir(self.layout.modules()).map_err(context())? {
            let name = entry.map_err(context())?.file_name();
            let Some(digest) = name.to_str().and_then(|name| self.layout.wasm_named(name)) else { continue };
            let condemned = self.look_at(db, digest)?;
            self.collect(condemned);
        }
        Ok(())
    }

    fn fates(&self) -> MutexGuard<'_, Fates> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that stays only takes room until the next start.
pub(super) fn remove(file: &Path) {
    match durable::remove_loosely(file) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => tracing::warn!(file = %file.display(), %error, "a superfluous file could not be deleted"),
    }
}
