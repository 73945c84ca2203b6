//! Makes a symbolic link with the target that it is told, and says what the
//! host answered and what the link then shows.

use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::fs;

unsafe extern "C" {
    fn symlink(target: *const c_char, link: *const c_char) -> c_int;
}

fn main() {
    let target = CString::new(guests::arg(0).expect("a target")).expect("no zero byte");
    let link = CString::new("/link").expect("no zero byte");
    // SAFETY: both are strings that end in a zero byte and outlive the call.
    let made = unsafe { symlink(target.as_ptr(), link.as_ptr()) == 0 };
    println!("{}", if made { "linked" } else { "refused" });
    if let Ok(content) = fs::read_to_string("/link") {
        println!("{content}");
    }
}
