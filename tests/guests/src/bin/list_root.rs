//! Prints what its directory holds, by an absolute and by a relative path.

use std::fs;
use std::path::Path;

fn main() {
    walk(Path::new("/"));
    let relative = fs::read_dir(".").expect("`.` is the same directory").count();
    println!("{relative} entries in .");
}

fn walk(folder: &Path) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("a folder can be listed").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        println!("{}", path.display());
        if path.is_dir() {
            walk(&path);
        }
    }
}
