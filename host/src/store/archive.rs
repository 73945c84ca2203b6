//! The form of a backup: one tar file, with names that only it knows.
//!
//! ```text
//!   modules/<digest>.wasm   as they lie in the data directory; perhaps some that nobody needs
//!   truth.sqlite3           a snapshot of the database, without a log
//!   secret                  as it lies in the data directory
//!   backup.json             the form's version, and the digests of those two; always last
//! ```
//!
//! Promise: a backup that was cut off lacks its last entry, and one in which a byte
//! has changed has another digest somewhere, so neither is taken for whole.
//!
//! Not here: compiled code and working copies, which a server makes anew.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::store::error::StoreError;
use crate::store::layout;
use crate::store::layout::Parents;

/// The version of the form. One more for every change that an older program
/// would misread.
pub(super) const FORM: u32 = 1;

pub(super) const MODULES: &str = "modules/";
pub(super) const DATABASE: &str = "truth.sqlite3";
pub(super) const SECRET: &str = "secret";
pub(super) const MANIFEST: &str = "backup.json";

/// The last entry. Nothing larger is read as one.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 10;

/// What the last entry says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) form: u32,
    pub(super) database: String,
    pub(super) secret: String,
}

/// A private directory in which something is made beside the place where it is to
/// be. Whatever is left in it goes when this is dropped.
pub(super) struct Workshop {
    pub(super) dir: PathBuf,
    /// Where the thing is to be, in the same directory.
    pub(super) goal: PathBuf,
}

impl Workshop {
    /// Makes one; the directory above `goal` must be there.
    pub(super) fn beside(goal: &Path) -> Result<Workshop, StoreError> {
        let unusable = || StoreError::Unusable(format!("{} cannot be the name of anything new", goal.display()));
        let name = goal.file_name().ok_or_else(unusable)?;
        let parent = goal.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let above = || StoreError::io("find the directory in which the result is to be");
        let parent = parent.canonicalize().map_err(above())?;
        let dir = parent.join(format!(".sessile-{}", uuid::Uuid::new_v4().simple()));
        let goal = parent.join(name);
        layout::make_private_dir(&dir, Parents::Expect)
            .map_err(StoreError::io("make a directory beside the result"))?;
        Ok(Workshop { dir, goal })
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // It may have become the result; otherwise whoever reads the message sees where it lies.
        if let Err(error) = std::fs::remove_dir_all(&self.dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.dir.display(), %error, "a temporary directory could not be deleted");
        }
    }
}
