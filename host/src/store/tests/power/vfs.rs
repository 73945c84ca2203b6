//! SQLite's way to the disk, with a [`Disk`] in between.
//!
//! SQLite lets a program replace its file calls by a table of functions, a VFS.
//! This one hands every call to the one it found, and tells the disk of those
//! that matter. It becomes the default, so that the store opens its connections
//! as it always does; files on no [`Disk`] of ours are opened without us.
//!
//! Not recorded: the index of the log (`-shm`), which SQLite makes anew when
//! nobody has it open, and locks.

use std::cell::RefCell;
use std::ffi::CStr;
use std::ffi::OsStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;

use rusqlite::ffi;
use rusqlite::ffi::sqlite3_file;
use rusqlite::ffi::sqlite3_int64;
use rusqlite::ffi::sqlite3_io_methods;
use rusqlite::ffi::sqlite3_vfs;

use super::disk::Disk;
use super::disk::Handle;
use super::disk::Trouble;

/// The VFS that does the work.
struct Real(*mut sqlite3_vfs);

// SAFETY: SQLite's own VFS is a constant table that any thread may use.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

/// What SQLite takes for its open file; the real one's memory follows it.
#[repr(C)]
struct Shim {
    base: sqlite3_file,
    open: *mut Open,
}

struct Open {
    handle: Handle,
    /// The directory to be synced at the file's first sync, as SQLite does it for
    /// logs and journals that it has made.
    owed: RefCell<Option<PathBuf>>,
}

/// Puts the VFS in place, once.
pub(super) fn register() {
    REAL.get_or_init(|| {
        // SAFETY: with no name the default VFS is found; there always is one.
        let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        // SAFETY: a VFS that is registered stays where it is, and is plain data.
        let mut ours = unsafe { *real };
        // Functions that are not replaced work with our table too: of it they use
        // `pAppData` at most, which is the same.
        ours.zName = c"power".as_ptr();
        ours.szOsFile += size_of::<Shim>() as c_int;
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        // SAFETY: the table is leaked, so it stays valid for ever, as SQLite demands.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1) };
        assert_eq!(code, ffi::SQLITE_OK);
        Real(real)
    });
}

fn real_vfs() -> *mut sqlite3_vfs {
    REAL.get().unwrap().0
}

fn path_of(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite hands over names that end with a zero byte.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())).to_owned())
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let real = real_vfs();
    // SAFETY: the real VFS has an `xOpen`, and gets what it would have got from SQLite.
    let pass = |file| unsafe { (*real).xOpen.unwrap()(real, name, file, flags, out) };
    let watched = path_of(name).and_then(|path| Some((Disk::of(&path)?, path)));
    let Some((disk, path)) = watched else { return pass(file) };
    let shim = file.cast::<Shim>();
    // SAFETY: SQLite has set aside `szOsFile` bytes, which is a `Shim` and more.
    unsafe { (*shim).base.pMethods = ptr::null() };
    let Ok((handle, made)) = disk.open(&path, flags & ffi::SQLITE_OPEN_CREATE != 0) else {
        return ffi::SQLITE_CANTOPEN;
    };
    // SAFETY: behind the `Shim` is room for the real file.
    let code = pass(unsafe { real_file(file) });
    if code != ffi::SQLITE_OK {
        return code;
    }
    let is_log = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL) != 0;
    let owed = (made && is_log).then(|| path.parent().unwrap().to_owned());
    let open = Box::new(Open { handle, owed: RefCell::new(owed) });
    // SAFETY: as above; `close` takes the box back.
    unsafe {
        (*shim).open = Box::into_raw(open);
        (*shim).base.pMethods = &METHODS;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    let real = real_vfs();
    // SAFETY: the real VFS has an `xDelete`, and gets what SQLite gave us.
    let pass = || unsafe { (*real).xDelete.unwrap()(real, name, sync_dir) };
    let watched = path_of(name).and_then(|path| Some((Disk::of(&path)?, path)));
    let Some((disk, path)) = watched else { return pass() };
    let deleted = disk.remove(&path, pass);
    let code = code(deleted, ffi::SQLITE_IOERR_DELETE, ffi::SQLITE_IOERR_DELETE);
    if code == ffi::SQLITE_OK && sync_dir != 0 && disk.sync_dir(path.parent().unwrap()).is_err() {
        return ffi::SQLITE_IOERR_DIR_FSYNC;
    }
    code
}

/// What SQLite is told.
fn code(result: Result<c_int, Trouble>, full: c_int, broken: c_int) -> c_int {
    match result {
        Ok(code) => code,
        Err(Trouble::Full) => full,
        Err(Trouble::Broken | Trouble::Unsynced) => broken,
    }
}

/// The real file's memory.
///
/// # Safety
///
/// `file` must be one that SQLite set aside for our VFS.
unsafe fn real_file(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: the memory is `size_of::<Shim>()` longer than what the real VFS asks for.
    unsafe { file.cast::<Shim>().add(1).cast() }
}

/// Our part of an open file.
///
/// # Safety
///
/// `file` must have been opened by [`open`] and not closed.
unsafe fn ours<'a>(file: *mut sqlite3_file) -> &'a Open {
    // SAFETY: `open` put a box there, which lives until `close`.
    unsafe { &*(*file.cast::<Shim>()).open }
}

/// Calls a function of the real file with the same arguments.
macro_rules! real {
    ($file:ident . $name:ident ( $($argument:expr),* )) => {{
        // SAFETY: SQLite calls our methods with files that `open` has opened, so a
        // real file follows; its table has every method that ours has.
        unsafe {
            let real = real_file($file);
            (*(*real).pMethods).$name.unwrap()(real $(, $argument)*)
        }
    }};
}

/// A method that only hands on.
macro_rules! pass_on {
    ($name:ident ( $($argument:ident : $kind:ty),* ) $(-> $answer:ty)?) => {
        #[allow(non_snake_case, reason = "it is SQLite's name")]
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $kind)*) $(-> $answer)? {
            real!(file.$name($($argument),*))
        }
    };
}

pass_on!(xFileSize(size: *mut sqlite3_int64) -> c_int);
pass_on!(xLock(level: c_int) -> c_int);
pass_on!(xUnlock(level: c_int) -> c_int);
pass_on!(xCheckReservedLock(out: *mut c_int) -> c_int);
pass_on!(xFileControl(operation: c_int, argument: *mut c_void) -> c_int);
pass_on!(xSectorSize() -> c_int);
pass_on!(xDeviceCharacteristics() -> c_int);
pass_on!(xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int);
pass_on!(xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int);
pass_on!(xShmBarrier());
pass_on!(xShmUnmap(delete: c_int) -> c_int);

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: `open` put the box there, and SQLite closes a file once.
    drop(unsafe { Box::from_raw((*file.cast::<Shim>()).open) });
    real!(file.xClose())
}

unsafe extern "C" fn read(file: *mut sqlite3_file, to: *mut c_void, count: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: SQLite reads from open files only.
    let passed = unsafe { ours(file) }.handle.read();
    code(passed.map(|()| real!(file.xRead(to, count, at))), ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_READ)
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands over `count` bytes, and is here until we return.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), count as usize) };
    let real = |bytes: &[u8]| real!(file.xWrite(bytes.as_ptr().cast(), bytes.len() as c_int, at));
    // SAFETY: SQLite writes to open files only.
    let written = unsafe { ours(file) }.handle.write(at as u64, bytes, real);
    code(written, ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: SQLite truncates open files only.
    let cut = unsafe { ours(file) }.handle.truncate(size as u64, || real!(file.xTruncate(size)));
    code(cut, ffi::SQLITE_IOERR_TRUNCATE, ffi::SQLITE_IOERR_TRUNCATE)
}

/// The real sync is left out: what a power cut leaves is decided by the record.
unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite syncs open files only.
    let open = unsafe { ours(file) };
    if open.handle.sync().is_err() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    if let Some(dir) = open.owed.borrow_mut().take() {
        // SQLite's own VFS ignores it if this fails.
        let _ = open.handle.disk.sync_dir(&dir);
    }
    ffi::SQLITE_OK
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Without memory-mapped reads, which come with version 3.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(xFileSize),
    xLock: Some(xLock),
    xUnlock: Some(xUnlock),
    xCheckReservedLock: Some(xCheckReservedLock),
    xFileControl: Some(xFileControl),
    xSectorSize: Some(xSectorSize),
    xDeviceCharacteristics: Some(xDeviceCharacteristics),
    xShmMap: Some(xShmMap),
    xShmLock: Some(xShmLock),
    xShmBarrier: Some(xShmBarrier),
    xShmUnmap: Some(xShmUnmap),
    xFetch: None,
    xUnfetch: None,
};
