//! Moves descriptors onto one another and writes through them, and traps after that if it is told `trap`.
//!
//! Only preview 1 has `fd_renumber`: a host that remembers a path for each
//! descriptor must not be told a wrong one by it.

use std::ffi::c_int;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::IntoRawFd;

unsafe extern "C" {
    fn __wasilibc_fd_renumber(from: c_int, to: c_int) -> c_int;
}

fn main() {
    write_through_the_other_number();
    make_a_folder_an_other_one();
    if guests::arg(0).as_deref() == Some("trap") {
        guests::trap();
    }
}

/// The descriptor of `first.txt` becomes that of `second.txt`; what is then
/// written through it must count as a change of `second.txt`.
fn write_through_the_other_number() {
    let first = File::options().write(true).open("/first.txt").expect("it is there");
    let second = File::options().write(true).open("/second.txt").expect("it is there");
    let first = first.into_raw_fd();
    // SAFETY: both are open, and `second` is given up here: its number is gone after the call.
    let moved = unsafe { __wasilibc_fd_renumber(second.into_raw_fd(), first) };
    assert_eq!(moved, 0, "the host moves a descriptor");
    // SAFETY: the number is open, and nobody else owns it.
    let mut file = unsafe { File::from_raw_fd(first) };
    file.write_all(b"through").expect("the moved descriptor takes bytes");
}

/// The same for folders: a path that is opened beneath the moved number is in the folder that moved.
fn make_a_folder_an_other_one() {
    fs::create_dir_all("/left").expect("the session takes a folder");
    fs::create_dir_all("/right").expect("the session takes a folder");
    let left = ManuallyDrop::new(File::open("/left").expect("it is there"));
    let right = ManuallyDrop::new(File::open("/right").expect("it is there"));
    // SAFETY: both are open, and neither closes its number afterwards.
    let moved = unsafe { __wasilibc_fd_renumber(right.as_raw_fd(), left.as_raw_fd()) };
    assert_eq!(moved, 0, "the host moves a folder's descriptor");
    let created = create_beneath(left.as_raw_fd(), "moved.txt");
    assert_eq!(created, 0, "the moved folder takes a file");
}

/// Creates a file by a path relative to an open folder, and gives the errno.
fn create_beneath(folder: c_int, name: &str) -> u16 {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn path_open(
            fd: i32,
            look: i32,
            path: *const u8,
            len: usize,
            create: i32,
            base: i64,
            inherit: i64,
            flags: i32,
            out: *mut i32,
        ) -> i32;
    }
    const CREATE: i32 = 1;
    const MAY_WRITE: i64 = 1 << 6;
    let mut opened = -1;
    // SAFETY: the path is a live string of the length given, and `opened` outlives the call.
    let errno = unsafe { path_open(folder, 0, name.as_ptr(), name.len(), CREATE, MAY_WRITE, 0, 0, &raw mut opened) };
    u16::try_from(errno).expect("an errno is small")
}
