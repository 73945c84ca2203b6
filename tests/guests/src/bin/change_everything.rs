//! Changes a session in every way that a file system knows, and traps after
//! that if it is told `trap`.
//!
//! It expects the files that the test `every_kind_of_change` puts there.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;

fn main() {
    contents().expect("contents change");
    names().expect("names change");
    if guests::arg(0).as_deref() == Some("trap") {
        guests::trap();
    }
}

/// Every way in which the bytes of a file change.
fn contents() -> std::io::Result<()> {
    fs::write("/created.txt", "new")?;
    fs::write("/replaced.txt", "replaced")?;
    OpenOptions::new().append(true).open("/appended.txt")?.write_all(b", and more")?;
    File::options().write(true).open("/cut.txt")?.set_len(4)?;
    File::options().write(true).open("/grown.txt")?.set_len(8)?;

    let mut patched = File::options().read(true).write(true).open("/patched.txt")?;
    patched.seek(SeekFrom::Start(3))?;
    patched.write_all(b"XYZ")?;
    patched.seek(SeekFrom::End(2))?;
    patched.write_all(b"!")?;
    patched.seek(SeekFrom::Start(0))?;
    let mut all = Vec::new();
    patched.read_to_end(&mut all)?;
    assert_eq!(all, b"abcXYZghij\0\0!", "a job sees its own writes");

    // A file that is open while its name goes away still takes bytes, which nobody sees.
    let mut gone = File::create("/gone.txt")?;
    fs::remove_file("/gone.txt")?;
    gone.write_all(b"nobody sees this")?;
    // And one that is renamed while open keeps what is written after.
    let mut moved = File::create("/before.txt")?;
    fs::rename("/before.txt", "/after.txt")?;
    moved.write_all(b"written after the rename")
}

/// Every way in which the tree itself changes.
fn names() -> std::io::Result<()> {
    fs::create_dir_all("/made/of/folders")?;
    fs::write("/made/of/folders/leaf.txt", "leaf")?;
    fs::create_dir("/empty")?;
    fs::rename("/old-name.txt", "/new-name.txt")?;
    fs::rename("/over.txt", "/under.txt")?;
    fs::rename("/tree", "/moved")?;
    fs::remove_file("/removed.txt")?;
    fs::remove_file("/doomed/inside.txt")?;
    fs::remove_dir("/doomed")?;
    fs::remove_dir_all("/forest")?;
    // Away and back again is no change of the name, only of the content.
    fs::remove_file("/again.txt")?;
    fs::write("/again.txt", "back")
}
