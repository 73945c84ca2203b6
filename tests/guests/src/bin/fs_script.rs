//! Does to its directory what a script on stdin says, one operation a line, and answers each line with `ok` or the
//! name of the errno. The last line says how it ends.
//!
//! Open files have numbers, so that a file can be removed or renamed while it is open. `tests/it/file_system` has a
//! model that reads the same lines.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_long;
use std::fs;
use std::fs::File;
use std::fs::FileTimes;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

type Open = BTreeMap<u32, File>;

fn main() {
    let script = io::read_to_string(io::stdin()).expect("the script is text");
    let mut open = Open::new();
    for line in script.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["dump"] => dump(Path::new("/")).expect("what is listed can be looked at"),
            ["exit", code] => std::process::exit(code.parse().expect("an exit code")),
            ["trap"] => guests::trap(),
            ["spin"] => loop {
                std::hint::spin_loop();
            },
            ["wait"] => wait(),
            _ => match perform(&mut open, &words) {
                Ok(told) if told.is_empty() => println!("ok"),
                Ok(told) => println!("ok {told}"),
                Err(error) => println!("{}", errno_name(&error)),
            },
        }
    }
}

/// One operation. What it has to tell is empty, but for those that look.
fn perform(open: &mut Open, words: &[&str]) -> io::Result<String> {
    match *words {
        ["open", handle, path, modes] => {
            let file = with_modes(modes).open(path)?;
            open.insert(number(handle), file);
        }
        ["create-in", handle, folder, name] => {
            let file = create_in(held(open, folder), name)?;
            open.insert(number(handle), file);
        }
        ["close", handle] => drop(open.remove(&number(handle))),
        ["write", handle, offset, len, seed] => {
            let mut file = held(open, handle);
            file.seek(SeekFrom::Start(number(offset).into()))?;
            file.write_all(&pattern(number(len), number(seed)))?;
        }
        ["resize", handle, size] => held(open, handle).set_len(number(size).into())?,
        ["set-times", handle, ns] => {
            let time = time(ns);
            held(open, handle).set_times(FileTimes::new().set_accessed(time).set_modified(time))?;
        }
        ["size", handle] => return Ok(held(open, handle).metadata()?.len().to_string()),
        ["read", handle] => {
            let (mut file, mut all) = (held(open, handle), Vec::new());
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut all)?;
            return Ok(format!("{} {}", all.len(), digest(&all)));
        }
        ["put", path, len, seed] => fs::write(path, pattern(number(len), number(seed)))?,
        ["mkdir", path] => fs::create_dir(path)?,
        ["rmdir", path] => fs::remove_dir(path)?,
        ["unlink", path] => fs::remove_file(path)?,
        ["remove-all", path] => fs::remove_dir_all(path)?,
        ["rename", from, to] => fs::rename(from, to)?,
        ["symlink", target, path] => symlink_to(target, path)?,
        ["link", from, to] => fs::hard_link(from, to)?,
        ["set-times-at", path, ns] => set_times_at(path, time(ns))?,
        _ => panic!("`{}` is no operation", words.join(" ")),
    }
    Ok(String::new())
}

/// `r`ead, `w`rite, `a`ppend, `c`reate, `t`runcate, e`x`clusively new.
fn with_modes(modes: &str) -> fs::OpenOptions {
    let has = |mode: char| modes.contains(mode);
    let mut options = File::options();
    options.read(has('r')).write(has('w')).append(has('a'));
    options.create(has('c')).truncate(has('t')).create_new(has('x'));
    options
}

/// Says that everything is done, and changes nothing until it is stopped.
fn wait() -> ! {
    sessile_guest::job::progress(1.0, "waiting");
    loop {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

/// Everything beneath a folder, one line each: kind, path, and what makes it what it is.
fn dump(folder: &Path) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let (found, shown) = (fs::symlink_metadata(&path)?, path.display());
        let modified = found.modified()?.duration_since(UNIX_EPOCH).expect("a time since 1970").as_nanos();
        if found.is_dir() {
            println!("directory {shown} {modified}");
            dump(&path)?;
        } else if found.is_symlink() {
            println!("link {shown} {} {modified}", fs::read_link(&path)?.display());
        } else {
            let content = fs::read(&path)?;
            assert_eq!(content.len() as u64, found.len(), "{shown} is as long as it says");
            println!("file {shown} {} {} {modified}", content.len(), digest(&content));
        }
    }
    Ok(())
}

fn held<'a>(open: &'a Open, handle: &str) -> &'a File {
    open.get(&number(handle)).unwrap_or_else(|| panic!("{handle} is not open"))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn time(ns: &str) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns.parse().expect("a number of nanoseconds"))
}

/// Bytes that are told from those of another seed, from their neighbours and from a hole.
fn pattern(len: u32, seed: u32) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(1 + (at + seed * 13) % 251).expect("at most 251")).collect()
}

/// FNV-1a, by which the test knows the content that we see.
fn digest(bytes: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// As wasi-libc lays it out.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

const CURRENT_FOLDER: c_int = -2;
const NO_FOLLOW: c_int = 1;
const CREATE_NEW: c_int = (1 | 4) << 12;
const READ_WRITE: c_int = 0x1400_0000;

unsafe extern "C" {
    fn symlink(target: *const c_char, link: *const c_char) -> c_int;
    fn openat(folder: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
    fn utimensat(folder: c_int, path: *const c_char, times: *const Timespec, flags: c_int) -> c_int;
}

fn symlink_to(target: &str, path: &str) -> io::Result<()> {
    let (target, path) = (c_string(target), c_string(path));
    // SAFETY: both are strings that end in a zero byte and outlive the call.
    told(unsafe { symlink(target.as_ptr(), path.as_ptr()) }).map(drop)
}

/// A new file in an open folder, wherever that is by now.
fn create_in(folder: &File, name: &str) -> io::Result<File> {
    let name = c_string(name);
    // SAFETY: the name ends in a zero byte and outlives the call.
    let fd = told(unsafe { openat(folder.as_raw_fd(), name.as_ptr(), CREATE_NEW | READ_WRITE) })?;
    // SAFETY: the descriptor was opened just now, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Sets the times of what has that name, also of a link.
fn set_times_at(path: &str, time: SystemTime) -> io::Result<()> {
    let path = c_string(path);
    let since = time.duration_since(UNIX_EPOCH).expect("it is since 1970");
    let spec = || Timespec { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos().cast_signed() };
    let times = [spec(), spec()];
    // SAFETY: the path ends in a zero byte; it and both times outlive the call.
    told(unsafe { utimensat(CURRENT_FOLDER, path.as_ptr(), times.as_ptr(), NO_FOLLOW) }).map(drop)
}

fn told(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("no zero byte")
}

/// The numbers are those of WASI, on both surfaces.
fn errno_name(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(8) => "EBADF",
        Some(10) => "EBUSY",
        Some(20) => "EEXIST",
        Some(28) => "EINVAL",
        Some(31) => "EISDIR",
        Some(32) => "ELOOP",
        Some(37) => "ENAMETOOLONG",
        Some(44) => "ENOENT",
        Some(51) => "ENOSPC",
        Some(54) => "ENOTDIR",
        Some(55) => "ENOTEMPTY",
        Some(58) => "ENOTSUP",
        Some(63) => "EPERM",
        _ => return format!("{error:?}"),
    };
    name.to_owned()
}
