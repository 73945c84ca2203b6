//! Writes a file of as many bytes as it is told, in pieces, and reads it back.

use std::fs;
use std::fs::File;
use std::io::Write;

fn main() {
    let bytes = guests::number(0).expect("a number of bytes");
    let piece: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let mut file = File::create("/big.bin").expect("the session takes a file");
    let mut left = usize::try_from(bytes).expect("it fits a guest");
    while left > 0 {
        let now = left.min(piece.len());
        file.write_all(&piece[..now]).expect("the session takes the bytes");
        left -= now;
    }
    drop(file);
    let read = fs::read("/big.bin").expect("what was written can be read");
    assert!(read.len() as u64 == bytes && read.iter().enumerate().all(|(n, byte)| *byte == n.to_le_bytes()[0]));
}
