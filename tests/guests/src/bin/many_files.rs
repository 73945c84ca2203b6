//! Writes as many small files as it is told, a thousand unless told, in folders of a hundred.

use std::fs;

fn main() {
    let count = guests::number(0).unwrap_or(1_000);
    for n in 0..count {
        let folder = format!("/many/{:03}", n / 100);
        fs::create_dir_all(&folder).expect("the session takes a folder");
        fs::write(format!("{folder}/{n}.txt"), n.to_string()).expect("the session takes a file");
    }
}
