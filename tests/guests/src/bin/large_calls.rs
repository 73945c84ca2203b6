//! Writes, reads and prints 9 MiB with one call each, as `std` makes them.

use std::fs;
use std::io;
use std::io::Write;

fn main() {
    let content: Vec<u8> = (0..9 << 20).map(|at: u32| b'a' + (at / 4_096 % 26) as u8).collect();
    fs::write("/large", &content).expect("the directory takes a file");
    assert!(fs::read("/large").expect("the file is there") == content, "what is read is what was written");
    io::stdout().write_all(&content).expect("all of it is taken");
}
