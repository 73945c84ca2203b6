//! What is read, with its digest.

use std::io;
use std::io::Read;

use sha2::Digest as _;
use sha2::Sha256;

use crate::ids::Digest;

/// Passes on what it reads, and knows afterwards what that was.
pub(super) struct Hashed<R> {
    from: R,
    hash: Sha256,
    length: u64,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(from: R) -> Hashed<R> {
        Hashed { from, hash: Sha256::new(), length: 0 }
    }

    /// The digest and the length of all that was read.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.length)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.hash.update(&into[..count]);
        self.length += count as u64;
        Ok(count)
    }
}
