//! The data directory: what lies where in it.
//!
//! Promise: every path name of the store is spelled here and nowhere else. The
//! directory is ours alone: mode 0700, and locked while a server uses it.
//!
//! ```text
//!   lock               held with flock(2) by the server that uses the directory
//!   secret             32 random bytes, made at the first start
//!   truth.sqlite3      the database, with its -wal and -shm beside it
//!   modules/           <digest>.wasm, as uploaded
//!   artefacts/         <digest>-<fingerprint>.cwasm, compiled
//!   tmp/               files on their way in or out; emptied at start
//!   work/              working copies that have no room in memory; emptied at start
//! ```

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::fs::flock;

use crate::ids::Digest;
use crate::store::durable;
use crate::store::error::StoreError;

/// Memory-backed storage that Linux offers to everybody.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// What the name of every place for working copies begins with.
pub(super) const PLACE_PREFIX: &str = "sessile-";

/// The file in such a place that its server holds locked for as long as it lives.
pub(super) const PLACE_LOCK: &str = "lock";

/// The paths of one data directory.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    data: PathBuf,
}

impl Layout {
    /// Makes or checks the data directory, and locks it for as long as the file
    /// that comes back is open.
    pub(super) fn prepare(data: &Path) -> Result<(Layout, File), StoreError> {
        make_private_dir(data, Parents::Make).map_err(StoreError::io("make the data directory"))?;
        // A relative path would mean another directory after somebody's chdir.
        let data = fs::canonicalize(data).map_err(StoreError::io("find the data directory"))?;
        let layout = Layout { data };
        layout.refuse_foreign()?;
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&layout.data, private).map_err(StoreError::io("make the data directory private"))?;
        let lock = layout.lock()?;
        // First of all names, since `refuse_foreign` knows the directory by it.
        durable::sync_dir(&layout.data).map_err(StoreError::io("make the lock durable"))?;
        layout.keep_names().map_err(StoreError::io("make the data directory durable"))?;
        for dir in [layout.modules(), layout.artefacts(), layout.tmp(), layout.work()] {
            make_private_dir(&dir, Parents::Expect)
                .map_err(StoreError::io("make a directory in the data directory"))?;
        }
        Ok((layout, lock))
    }

    /// The paths of a data directory that is there already; nothing is made or
    /// locked.
    pub(super) fn of(data: &Path) -> Result<Layout, StoreError> {
        match fs::canonicalize(data) {
            Ok(data) if data.is_dir() => Ok(Layout { data }),
            Ok(_) => Err(StoreError::Unusable(format!("{} is not a directory", data.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::Unusable(format!("there is no data directory {}", data.display())))
            }
            Err(error) => Err(StoreError::io("find the data directory")(error)),
        }
    }

    /// Keeps servers away from a data directory that one has used. Where none
    /// has, there is no lock, and none is made.
    pub(super) fn lock_if_there(&self) -> Result<Option<File>, StoreError> {
        match File::open(self.data.join("lock")) {
            Ok(file) => self.hold(file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open the lock of the data directory")(error)),
        }
    }

    /// A typing mistake such as `--data /home` must not make that directory
    /// ours: one that is not empty has to look like what we leave behind.
    fn refuse_foreign(&self) -> Result<(), StoreError> {
        let io = || StoreError::io("look at the data directory");
        let owner = fs::metadata(&self.data).map_err(io())?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(StoreError::Unusable(format!(
                "the data directory {} belongs to another user",
                self.data.display()
            )));
        }
        let mut entries = fs::read_dir(&self.data).map_err(io())?;
        if self.data.join("lock").exists() || self.database().exists() || entries.next().is_none() {
            return Ok(());
        }
        Err(StoreError::Unusable(format!(
            "{} is not empty and not a data directory of Sessile; name a new or empty directory",
            self.data.display()
        )))
    }

    fn lock(&self) -> Result<File, StoreError> {
        let file = durable::open_or_make(&self.data.join("lock"));
        let file = file.map_err(StoreError::io("open the lock of the data directory"))?;
        self.hold(file)
    }

    fn hold(&self, file: File) -> Result<File, StoreError> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Unusable(format!(
                "another server is using the data directory {}; stop it, or name another directory",
                self.data.display()
            ))),
            Err(errno) => Err(StoreError::io("lock the data directory")(errno.into())),
        }
    }

    /// At a first start, which may be a second one after a crash: the name of the
    /// data directory outlasts a power cut, or all that is said to be done would
    /// be lost with it.
    fn keep_names(&self) -> std::io::Result<()> {
        let Some(above) = self.data.parent().filter(|_| !self.database().exists()) else { return Ok(()) };
        match durable::sync_dir(above) {
            // Whoever may not look there did not make the directory either.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn database(&self) -> PathBuf {
        self.data.join("truth.sqlite3")
    }

    /// The database's log, where a commit lies first.
    pub(super) fn log(&self) -> PathBuf {
        self.data.join("truth.sqlite3-wal")
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.data.join("secret")
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.data.join("modules")
    }

    pub(super) fn artefacts(&self) -> PathBuf {
        self.data.join("artefacts")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.data.join("tmp")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.data.join("work")
    }

    /// Where the bytes of a module lie.
    pub(super) fn wasm(&self, digest: &Digest) -> PathBuf {
        self.modules().join(format!("{}.wasm", digest.hex()))
    }

    /// Which module's bytes a file in `modules/` holds, going by its name.
    pub(super) fn wasm_named(&self, name: &str) -> Option<Digest> {
        format!("sha256:{}", name.strip_suffix(".wasm")?).parse().ok()
    }

    /// Where compiled code lies. The fingerprint is checked by whoever made it.
    pub(super) fn artefact(&self, digest: &Digest, fingerprint: &str) -> PathBuf {
        self.artefacts().join(format!("{}-{fingerprint}.cwasm", digest.hex()))
    }

    /// The name of this data directory's own place among other people's files:
    /// stable over restarts, and different for every data directory.
    pub(super) fn work_name(&self) -> Result<String, StoreError> {
        let meta = fs::metadata(&self.data).map_err(StoreError::io("look at the data directory"))?;
        let identity = Digest::of(format!("{}:{}", meta.dev(), meta.ino()).as_bytes());
        Ok(format!("{PLACE_PREFIX}{}", &identity.hex()[..16]))
    }
}

/// Whether the directories above a new one may be made too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parents {
    Make,
    Expect,
}

/// Makes a directory that only its owner can enter, unless it is there.
pub(super) fn make_private_dir(path: &Path, parents: Parents) -> std::io::Result<()> {
    if parents == Parents::Make
        && let Some(above) = path.parent()
        && !(above.as_os_str().is_empty() || above.exists())
    {
        make_private_dir(above, parents)?;
        let above = fs::canonicalize(above)?;
        durable::sync_dir(above.parent().unwrap_or(&above))?;
    }
    match durable::make_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A file without a name: gone when it is closed, whatever happens.
pub(super) fn nameless_file(dir: &Path) -> std::io::Result<File> {
    let path = dir.join(uuid::Uuid::new_v4().to_string());
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
