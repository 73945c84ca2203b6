//! The bytes of an archive as they come out of whatever they were sent in.

use std::io;
use std::io::Read;

use crate::limits::ARCHIVE_END_BYTES_MAX;
use crate::store::held;
use crate::store::unpack::bad::BadArchive;
use crate::store::unpack::bad::Fault;
use crate::store::unpack::bad::Unfit;

/// So many of them and no more, however little was sent.
pub(super) struct Flow<R> {
    from: R,
    left: u64,
    limit: u64,
    /// Whether somebody wanted more than there was.
    is_over: bool,
}

impl<R: Read> Flow<R> {
    pub(super) fn new(from: R, limit: u64) -> Flow<R> {
        Flow { from, left: limit, limit, is_over: false }
    }

    /// Demands that the mark at the end of a tar was found, and that nothing but zeros
    /// follows. Whatever the bytes were sent in is read to its end, where its checksum is.
    pub(super) fn must_end(&mut self) -> Result<(), Unfit> {
        // tar takes the end of the bytes for that of the archive.
        if self.is_over {
            return Err(BadArchive::CutOff.into());
        }
        let mut left = ARCHIVE_END_BYTES_MAX;
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => &buffer[..read],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            left = left.saturating_sub(read.len() as u64);
            if left == 0 || read.iter().any(|byte| *byte != 0) {
                return Err(BadArchive::Behind.into());
            }
        }
    }
}

impl<R: Read> Read for Flow<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.is_over |= read == 0 && !into.is_empty();
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Fault::TooLong { limit: self.limit })),
        }
        Ok(read)
    }
}

/// An upload that cannot be read is no fault of who sent it.
pub(super) struct Upload<'a>(pub(super) held::Reader<'a>);

impl Read for Upload<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(Fault::Disk(error)),
        })
    }
}
