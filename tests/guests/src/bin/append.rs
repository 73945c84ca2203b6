//! Appends its arguments, a line each, to the file `log`.

use std::fs::OpenOptions;
use std::io::Write;

fn main() {
    let mut log = OpenOptions::new().append(true).create(true).open("/log").expect("the session takes a file");
    for line in std::env::args().skip(1) {
        writeln!(log, "{line}").expect("the file takes a line");
    }
}
