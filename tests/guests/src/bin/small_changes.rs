//! Makes one small change to its session, or none:
//! `append FILE`, 4 KiB at the end of a file; `patch FILE OFFSET SEED`, 4 KiB in the place of others; `rewrite FILE`,
//! a small file read and written back with its first byte increased, and the new byte as the parameter `first`;
//! `nothing`.

use std::fs;
use std::fs::OpenOptions;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;

use sessile_guest::session;

const CHANGE_BYTES: usize = 4 << 10;

fn main() {
    let file = guests::arg(1).unwrap_or_default();
    match guests::arg(0).expect("a word").as_str() {
        "append" => {
            let mut file = OpenOptions::new().append(true).create(true).open(file).expect("the session takes a file");
            file.write_all(&[b'a'; CHANGE_BYTES]).expect("the session takes the bytes");
        }
        "patch" => {
            let (offset, seed) = (guests::number(2).expect("an offset"), guests::number(3).expect("a seed"));
            let mut file = OpenOptions::new().write(true).open(file).expect("the file is there");
            file.seek(SeekFrom::Start(offset)).expect("a file has places");
            file.write_all(&seed.to_le_bytes().repeat(CHANGE_BYTES / 8)).expect("the file takes the bytes");
        }
        "rewrite" => {
            let mut bytes = fs::read(&file).expect("the file is there");
            bytes[0] = bytes[0].wrapping_add(1);
            fs::write(&file, &bytes).expect("the session takes the file");
            session::set_param("first", &bytes[0].to_string()).expect("the session takes a parameter");
        }
        "nothing" => {}
        other => panic!("`{other}` is not a word of this guest"),
    }
}
