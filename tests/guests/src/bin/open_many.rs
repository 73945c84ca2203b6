//! Opens files without closing any until the host refuses, prints how many it got, and goes on.

use std::fs::File;

fn main() {
    let mut open = Vec::new();
    for n in 0..20_000 {
        match File::create(format!("/{}.txt", n % 10)) {
            Ok(file) => open.push(file),
            Err(_) => break,
        }
    }
    println!("{}", open.len());
}
