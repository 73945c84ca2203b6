//! Tries every way out of its directory and prints each one that worked.
//! Prints nothing when the walls hold.

use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::fs;
use std::path::Path;

unsafe extern "C" {
    fn symlink(target: *const c_char, link: *const c_char) -> c_int;
}

fn main() {
    let up = "../".repeat(12);
    for outside in ["etc/passwd", "etc/hostname", "proc/self/environ", "proc/self/cmdline", "proc/version", "dev/null"]
    {
        look(&format!("/{outside}"));
        look(&format!("{up}{outside}"));
        look(&format!("/{up}{outside}"));
        look(&format!("./{up}{outside}"));
        look_through_link(&format!("/{outside}"));
        look_through_link(&format!("{up}{outside}"));
    }
    list("..");
    list("/..");
    list(&up);
    fs::create_dir_all("/inner/deep").expect("the directory takes a folder");
    list("/inner/deep/../../..");
    climb_by_link();
    write_outside(&up);
}

fn look(path: &str) {
    if fs::metadata(path).is_ok() || fs::File::open(path).is_ok() {
        println!("opened {path}");
    }
}

/// A listing that shows anything but what this job made is a way out.
fn list(path: &str) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "inner" && name != "link" && name != "up" {
            println!("listed {name} in {path}");
        }
    }
}

/// Makes a link to `target`, whatever the host says, and looks through it.
fn look_through_link(target: &str) {
    drop(fs::remove_file("/link"));
    if link(target, "/link") && fs::File::open("/link").is_ok() {
        println!("opened a link to {target}");
    }
}

fn climb_by_link() {
    if link("..", "/inner/up") || link("../..", "/up") {
        list("/inner/up/..");
        list("/up");
        list("/up/etc");
        look("/up/etc/passwd");
        look("/inner/up/../etc/passwd");
    }
}

fn write_outside(up: &str) {
    for path in [format!("{up}tmp/sessile-escape"), format!("/{up}tmp/sessile-escape"), "../sessile-escape".to_owned()]
    {
        if fs::write(&path, "out").is_ok() && !Path::new("/sessile-escape").exists() && !Path::new("/tmp").exists() {
            println!("wrote {path}");
        }
    }
    if fs::rename("/inner", format!("{up}sessile-escape")).is_ok() && !Path::new("/sessile-escape").exists() {
        println!("renamed a folder out");
    }
}

fn link(target: &str, link: &str) -> bool {
    let target = CString::new(target).expect("no zero byte");
    let link = CString::new(link).expect("no zero byte");
    // SAFETY: both are strings that end in a zero byte and outlive the call.
    unsafe { symlink(target.as_ptr(), link.as_ptr()) == 0 }
}
