//! What the guests share: arguments, marks, and the one way each may end.
//!
//! Not here: any sin. A sin is one file in `bin/`, with its name.

use std::env;
use std::fs;
use std::str::FromStr;

/// The `n`th argument after the module's name.
pub fn arg(n: usize) -> Option<String> {
    env::args().nth(n + 1)
}

/// The `n`th argument as a number.
pub fn number(n: usize) -> Option<u64> {
    let text = arg(n)?;
    Some(u64::from_str(&text).unwrap_or_else(|_| panic!("argument {n} is `{text}`, and a number was expected")))
}

/// Leaves a trace of each kind that a job can leave in its session: a new file,
/// a changed one, a folder, a parameter and a result. A guest that sins does
/// this first, so that a test sees whether anything of it stays.
pub fn leave_marks() {
    fs::write("/mark.txt", "left by a job that must leave nothing\n").expect("the directory takes a file");
    fs::write("/kept.txt", "overwritten by a job that must leave nothing\n").expect("the directory takes a file");
    fs::create_dir_all("/marks/deep").expect("the directory takes a folder");
    fs::write("/marks/deep/er.txt", "deep").expect("the folder takes a file");
    if sessile_guest::session::active() {
        sessile_guest::session::set_param("mark", "left").expect("a session takes a parameter");
        sessile_guest::session::set_param("kept", "overwritten").expect("a session takes a parameter");
    }
    sessile_guest::job::set_result("{\"mark\":true}").expect("a job takes a result");
}

/// Ends the guest as a fault of its program would.
pub fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}
