//! Leaves an odd tree: as deep as can be, names as long as can be and of every byte that WASI lets through, chains and
//! loops of links, a file that is mostly hole, and files that were removed while they are open. Prints how many
//! entries it leaves. Traps at the end if it is told `trap`.

use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::fs;
use std::fs::File;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::fd::FromRawFd;

/// What a file that is mostly hole seems to hold.
const HOLE_BYTES: u64 = 20 << 20;

/// As wasi-libc lays it out.
const CREATE_NEW: c_int = (1 | 4) << 12;
const READ_WRITE: c_int = 0x1400_0000;

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn symlink(target: *const c_char, link: *const c_char) -> c_int;
}

fn main() {
    let mut left = deep() + names() + links();
    left += usize::from(hole());
    let removed = removed_while_open();
    println!("{left}");
    if guests::arg(0).as_deref() == Some("trap") {
        guests::trap();
    }
    drop(removed);
}

/// Folders in folders, until the host refuses one, with a file and a link in each.
fn deep() -> usize {
    let (mut folder, mut left) = (String::new(), 0);
    loop {
        folder.push_str("/d");
        if fs::create_dir(&folder).is_err() {
            return left;
        }
        let file = fs::write(format!("{folder}/f"), "deep").is_ok();
        let link = link("..", &format!("{folder}/l"));
        left += 1 + usize::from(file) + usize::from(link);
    }
}

/// A file for each byte and for some letters, beneath a folder of the longest name. What the host refuses, it refuses.
fn names() -> usize {
    let folder = format!("/{}", "n".repeat(255));
    fs::create_dir(&folder).expect("the longest name is taken");
    let bytes = (1..=255).map(|byte| vec![byte]);
    let letters = ["\u{202e}txt.exe", "\u{feff}", "e\u{301}", "🦀", "a\\b", "CON", "-rf", "..a", "%2e%2e", "\r\n x: y"];
    let names = bytes.chain(letters.map(|name| name.as_bytes().to_vec()));
    1 + names
        .filter(|name| name.as_slice() != b"/" && name.as_slice() != b".")
        .filter(|name| make_raw(&folder, name))
        .count()
}

/// A new file of that name, which need not be text.
fn make_raw(folder: &str, name: &[u8]) -> bool {
    let path = CString::new([folder.as_bytes(), b"/", name].concat()).expect("no zero byte");
    // SAFETY: the path ends in a zero byte and outlives the call.
    let fd = unsafe { open(path.as_ptr(), CREATE_NEW | READ_WRITE) };
    // SAFETY: the descriptor was opened just now, and nobody else knows it.
    fd >= 0 && unsafe { File::from_raw_fd(fd) }.write_all(b"named").is_ok()
}

/// A chain of a hundred links to a file, a loop of three, one to itself, and one to nowhere.
fn links() -> usize {
    fs::write("/end", "end").expect("the session takes a file");
    let chain =
        (0..100).filter(|n| link(&if *n == 0 { "end".to_owned() } else { format!("c{}", n - 1) }, &format!("/c{n}")));
    let chain = chain.count();
    let others = [("l1", "/l2"), ("l2", "/l3"), ("l3", "/l1"), ("self", "/self"), ("nowhere/at/all", "/lost")];
    1 + chain + others.iter().filter(|(target, path)| link(target, path)).count()
}

fn hole() -> bool {
    let Ok(mut file) = File::create("/hole") else { return false };
    file.seek(SeekFrom::Start(HOLE_BYTES)).expect("a file has places");
    file.write_all(b"behind it").is_ok()
}

fn removed_while_open() -> Vec<File> {
    let removed = |n: u32| {
        let path = format!("/removed{n}");
        let mut file = File::create(&path).expect("the session takes a file");
        fs::remove_file(&path).expect("the file goes");
        file.write_all(&[7; 4_096]).expect("it takes bytes all the same");
        file
    };
    (0..20).map(removed).collect()
}

fn link(target: &str, link: &str) -> bool {
    let target = CString::new(target).expect("no zero byte");
    let link = CString::new(link).expect("no zero byte");
    // SAFETY: both are strings that end in a zero byte and outlive the call.
    unsafe { symlink(target.as_ptr(), link.as_ptr()) == 0 }
}
