//! Places for working copies: in memory by default, on disk otherwise.
//!
//! Where they lie matters more than anything else for the speed of jobs that
//! write: rewriting a small file costs 40 µs in memory and 1,300 µs on ext4.
//!
//! Promise: a place is a directory of our own, mode 0700, that nobody else made
//! for us; what an earlier server left there is thrown away.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::limits::WORK_FREE_BYTES_MIN;
use crate::store::error::StoreError;
use crate::store::janitor::Bin;
use crate::store::janitor::Rubbish;
use crate::store::layout;
use crate::store::layout::Layout;
use crate::store::layout::Parents;
use crate::store::layout::SHARED_MEMORY;
use crate::store::tree;

/// Where working copies lie by default, and why there.
#[derive(Clone, Debug)]
pub struct WorkPlace {
    pub path: PathBuf,
    /// What copies may take there together; the others lie in the data directory.
    pub bytes_max: u64,
    /// A sentence for the operator.
    pub why: String,
}

/// An open place for working copies.
pub(super) struct Place {
    dir: Arc<OwnedFd>,
    pub(super) bytes_max: u64,
    /// What the copies there take together, at a guess.
    bytes: AtomicU64,
    made: AtomicU64,
    /// Makes names of this start differ from those of earlier ones.
    prefix: String,
    bin: Arc<Bin>,
}

/// One directory in a place. Dropping it throws it away.
pub(super) struct WorkDir {
    place: Arc<Place>,
    name: String,
    bytes: u64,
}

/// Decides where working copies lie by default.
pub(super) fn choose(layout: &Layout, wish: Option<&Path>, bytes_max: u64) -> Result<WorkPlace, StoreError> {
    let name = layout.work_name()?;
    if let Some(wish) = wish {
        let path = wish.join(name);
        layout::make_private_dir(&path, Parents::Make).map_err(StoreError::io("make the directory for working copies"))?;
        must_be_ours(&path).map_err(StoreError::Unusable)?;
        return Ok(WorkPlace { path, bytes_max, why: "as configured".to_owned() });
    }
    match in_memory(&name, bytes_max) {
        Ok(place) => Ok(place),
        Err(why) => Ok(WorkPlace { path: layout.work(), bytes_max, why: format!("on disk, since {why}") }),
    }
}

/// A place in memory-backed storage, or why there is none.
fn in_memory(name: &str, bytes_max: u64) -> Result<WorkPlace, String> {
    let memory = Path::new(SHARED_MEMORY);
    let space = rustix::fs::statvfs(memory).map_err(|error| format!("{SHARED_MEMORY} cannot be used: {error}"))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < WORK_FREE_BYTES_MIN {
        return Err(format!("{SHARED_MEMORY} has {free} bytes free, and {WORK_FREE_BYTES_MIN} are needed"));
    }
    let path = memory.join(name);
    layout::make_private_dir(&path, Parents::Expect)
        .map_err(|error| format!("no directory can be made in {SHARED_MEMORY}: {error}"))?;
    must_be_ours(&path)?;
    let why = format!("in memory, since {SHARED_MEMORY} has {free} bytes free");
    Ok(WorkPlace { path, bytes_max: bytes_max.min(free / 2), why })
}

/// Anybody may make names in `/dev/shm`, and might know ours.
fn must_be_ours(path: &Path) -> Result<(), String> {
    let meta = std::fs::symlink_metadata(path).map_err(|error| format!("{} cannot be used: {error}", path.display()))?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(format!("{} is not a private directory of this user", path.display())) }
}

impl Place {
    /// Opens a place; what lies there already goes to the bin.
    pub(super) fn open(path: &Path, bytes_max: u64, bin: &Arc<Bin>) -> Result<Place, StoreError> {
        let context = || StoreError::io("open the directory for working copies");
        let dir: Arc<OwnedFd> = Arc::new(File::open(path).map_err(context())?.into());
        for name in tree::names(&dir).map_err(context())? {
            bin.put(Rubbish { place: Arc::clone(&dir), name });
        }
        let prefix = uuid::Uuid::new_v4().simple().to_string();
        let (bytes, made) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Place { dir, bytes_max, bytes, made, prefix, bin: Arc::clone(bin) })
    }

    /// Makes an empty directory that is to hold about `bytes`.
    pub(super) fn make(self: &Arc<Self>, bytes: u64) -> std::io::Result<(WorkDir, OwnedFd)> {
        self.bin.help();
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.prefix);
        let open = tree::make_dir(&*self.dir, &name)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok((WorkDir { place: Arc::clone(self), name, bytes }, open))
    }

    /// Whether that many bytes more would be within the budget.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= self.bytes_max
    }
}

impl WorkDir {
    pub(super) fn open(&self) -> std::io::Result<OwnedFd> {
        tree::open_dir(&*self.place.dir, &*self.name)
    }

    pub(super) fn is_in(&self, place: &Arc<Place>) -> bool {
        Arc::ptr_eq(&self.place, place)
    }

    /// Says that it holds about `bytes` now.
    pub(super) fn holds(&mut self, bytes: u64) {
        self.place.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.place.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        self.place.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        // Our own names hold no NUL.
        if let Ok(name) = CString::new(std::mem::take(&mut self.name)) {
            self.place.bin.put(Rubbish { place: Arc::clone(&self.place.dir), name });
        }
    }
}
