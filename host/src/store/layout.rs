//! The data directory: what lies where in it.
//!
//! Promise: every path name of the store is spelled here and nowhere else. The
//! directory is ours alone: mode 0700, and locked while a server uses it. What
//! cannot be ours is moved away before anything else in it is opened.
//!
//! ```text
//!   lock               held with flock(2) by the server that uses the directory
//!   secret             32 random bytes, made at the first start
//!   truth.sqlite3      the database, with its -wal and -shm beside it, and -journal until it has a log
//!   modules/           <digest>.wasm, as uploaded
//!   artefacts/         <digest>-<fingerprint>.cwasm, compiled
//!   tmp/               files on their way in or out; emptied at start
//!   work/              working copies that have no room in memory; emptied at start
//!   quarantine/        <number>/…, what lay here and was not ours; never read again
//! ```

use std::ffi::CStr;
use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::flock;

use crate::ids::Digest;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::foreign;
use crate::store::plain;
use crate::store::plain::OpenDir;
use crate::store::quarantine::Quarantine;

/// Memory-backed storage that Linux offers to everybody.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// What the name of every place for working copies begins with.
pub(super) const PLACE_PREFIX: &str = "sessile-";

/// The file in such a place that its server holds locked for as long as it lives.
pub(super) const PLACE_LOCK: &str = "lock";

const LOCK: &CStr = c"lock";
const SECRET: &CStr = c"secret";
const DATABASE: &CStr = c"truth.sqlite3";
const LOG: &CStr = c"truth.sqlite3-wal";
const JOURNAL: &CStr = c"truth.sqlite3-journal";
const MODULES: &CStr = c"modules";
const ARTEFACTS: &CStr = c"artefacts";
pub(super) const QUARANTINE: &CStr = c"quarantine";

/// The index of the log, which is made anew if it is missing.
pub(super) const INDEX: &CStr = c"truth.sqlite3-shm";

/// Files without which all is lost, or not what it was.
pub(super) const NEEDED: [&CStr; 5] = [DATABASE, LOG, JOURNAL, SECRET, LOCK];

/// Directories that hold files of ours and nothing else.
pub(super) const FOLDERS: [&CStr; 2] = [MODULES, ARTEFACTS];

/// Directories whose content is thrown away.
const EMPTIED: [&CStr; 2] = [c"tmp", c"work"];

/// What a name in the data directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A file of [`NEEDED`].
    Needed,
    /// A file that is made anew.
    Spare,
    Directory,
    /// Where a disk that is mounted here puts what its own check has found.
    LostAndFound,
}

/// How long the fingerprint of an engine may be, which is a part of names.
pub(super) const FINGERPRINT_BYTES_MAX: usize = 64;

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
        let dir = layout.open_dir()?;
        layout.refuse_foreign(&dir)?;
        make_private(&dir).map_err(StoreError::io("make the data directory private"))?;
        // Only now, when nobody else can put anything there any more.
        foreign::refuse_needed(&dir)?;
        let lock = layout.lock()?;
        // First of all names, since `refuse_foreign` knows the directory by it.
        durable::sync_dir(&layout.data).map_err(StoreError::io("make the lock durable"))?;
        layout.keep_names().map_err(StoreError::io("make the data directory durable"))?;
        let mut quarantine = Quarantine::new(&layout, &dir);
        quarantine.clear_top()?;
        for name in FOLDERS.into_iter().chain(EMPTIED) {
            durable::make_dir_in(&dir, name).map_err(StoreError::io("make a directory in the data directory"))?;
        }
        quarantine.clear_folders()?;
        Ok((layout, lock))
    }

    /// The data directory itself.
    pub(super) fn open_dir(&self) -> Result<OpenDir, StoreError> {
        OpenDir::open(&self.data).map_err(StoreError::io("open the data directory"))
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
        match plain::open(&self.at(LOCK)) {
            Ok(file) => self.hold(file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open the lock of the data directory")(error)),
        }
    }

    /// A typing mistake such as `--data /home` must not make that directory
    /// ours: one that is not empty has to look like what we leave behind. Since what
    /// is not ours is moved away afterwards, a lock alone is not enough for that:
    /// other programs have files of that name too.
    fn refuse_foreign(&self, dir: &OpenDir) -> Result<(), StoreError> {
        let io = || StoreError::io("look at the data directory");
        let owner = rustix::fs::fstat(&*dir.handle).map_err(|errno| io()(errno.into()))?.st_uid;
        if owner != rustix::process::geteuid().as_raw() {
            return Err(StoreError::Unusable(format!(
                "the data directory {} belongs to another user",
                self.data.display()
            )));
        }
        let names = dir.names().map_err(io())?;
        let is_there = |name: &CStr| names.iter().any(|there| there.as_c_str() == name);
        if names.is_empty() || is_there(DATABASE) {
            return Ok(());
        }
        // What a first start leaves that was cut short. Modules come only after the database.
        if is_there(LOCK) && names.iter().all(|name| purpose(name).is_some()) {
            let modules = foreign::enter(dir, MODULES)?;
            let modules = modules.map_or(Ok(Vec::new()), |modules| modules.names()).map_err(io())?;
            if modules.is_empty() && !is_there(LOG) {
                return Ok(());
            }
            return Err(StoreError::Unusable(format!(
                "the database {} is missing, though there are modules or a log of it; bring it back, from a backup \
                 if need be, or name another directory",
                self.database().display()
            )));
        }
        Err(StoreError::Unusable(format!(
            "{} is not empty and not a data directory of Sessile; name a new or empty directory",
            self.data.display()
        )))
    }

    fn lock(&self) -> Result<File, StoreError> {
        let file = durable::open_or_make(&self.at(LOCK));
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
        let Some(above) = self.data.parent().filter(|_| !plain::is_file(&self.database())) else { return Ok(()) };
        match durable::sync_dir(above) {
            // Whoever may not look there did not make the directory either.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn at(&self, name: &CStr) -> PathBuf {
        self.data.join(OsStr::from_bytes(name.to_bytes()))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.at(DATABASE)
    }

    /// The database's log, where a commit lies first.
    pub(super) fn log(&self) -> PathBuf {
        self.at(LOG)
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.at(SECRET)
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.at(MODULES)
    }

    pub(super) fn artefacts(&self) -> PathBuf {
        self.at(ARTEFACTS)
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.at(EMPTIED[0])
    }

    pub(super) fn work(&self) -> PathBuf {
        self.at(EMPTIED[1])
    }

    /// Where the bytes of a module lie.
    pub(super) fn wasm(&self, digest: &Digest) -> PathBuf {
        self.modules().join(format!("{}.wasm", digest.hex()))
    }

    /// Which module's bytes a file in `modules/` holds, going by its name.
    pub(super) fn wasm_named(&self, name: &str) -> Option<Digest> {
        wasm_named(name)
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

/// What a name in the data directory is for; `None` if it is none of ours.
pub(super) fn purpose(name: &CStr) -> Option<Purpose> {
    if NEEDED.contains(&name) {
        Some(Purpose::Needed)
    } else if name == INDEX {
        Some(Purpose::Spare)
    } else if name == QUARANTINE || FOLDERS.contains(&name) || EMPTIED.contains(&name) {
        Some(Purpose::Directory)
    } else if name == c"lost+found" {
        Some(Purpose::LostAndFound)
    } else {
        None
    }
}

/// What a file in one of [`FOLDERS`] is, going by its name.
pub(super) enum Named {
    Module(Digest),
    Artefact,
    /// None of ours.
    Nothing,
}

/// What a file with that name is in that folder.
pub(super) fn named(folder: &CStr, name: &CStr) -> Named {
    let name = name.to_str().unwrap_or_default();
    match wasm_named(name) {
        Some(digest) if folder == MODULES => Named::Module(digest),
        None if folder == ARTEFACTS && is_artefact(name) => Named::Artefact,
        _ => Named::Nothing,
    }
}

fn wasm_named(name: &str) -> Option<Digest> {
    format!("sha256:{}", name.strip_suffix(".wasm")?).parse().ok()
}

fn is_artefact(name: &str) -> bool {
    let parts = name.strip_suffix(".cwasm").and_then(|name| name.split_once('-'));
    parts.is_some_and(|(digest, fingerprint)| {
        format!("sha256:{digest}").parse::<Digest>().is_ok()
            && (1..=FINGERPRINT_BYTES_MAX).contains(&fingerprint.len())
            && fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Shuts everybody else out of a directory of ours.
fn make_private(dir: &OpenDir) -> io::Result<()> {
    let stat = rustix::fs::fstat(&*dir.handle)?;
    if stat.st_mode & 0o022 != 0 {
        let mode = format!("{:o}", stat.st_mode & 0o7777);
        tracing::warn!(dir = ?dir.path, mode, "others than its owner could write to the data directory until now");
    }
    Ok(rustix::fs::fchmod(&*dir.handle, Mode::RWXU)?)
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
