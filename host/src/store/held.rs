//! Bytes that are kept for a while: in memory while they are few, beyond that in a
//! file without a name, which is gone when this is dropped.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek as _;
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::store::files::Body;
use crate::store::layout;

/// See the room card. What is written comes after all that was written before.
pub(super) struct Held {
    tmp: PathBuf,
    memory_bytes_max: usize,
    length: u64,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    File(File),
}

impl Held {
    /// Nothing yet. More than `memory_bytes_max` goes to a file in `tmp`.
    pub(super) fn new(tmp: PathBuf, memory_bytes_max: usize) -> Held {
        Held { tmp, memory_bytes_max, length: 0, place: Place::Memory(Vec::new()) }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// So many bytes from `at` on; an error, if there are not so many.
    pub(super) fn part(&self, at: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        match &self.place {
            Place::Memory(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX);
                let part = bytes.get(from..from.saturating_add(length)).ok_or(io::ErrorKind::UnexpectedEof)?;
                Ok(Cow::Borrowed(part))
            }
            Place::File(file) => {
                let mut part = vec![0; length];
                file.read_exact_at(&mut part, at)?;
                Ok(Cow::Owned(part))
            }
        }
    }

    /// Reads all of it, from its beginning.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { held: self, at: 0 }
    }

    /// All of it, for a client.
    pub(super) fn into_body(self) -> io::Result<Body> {
        match self.place {
            Place::Memory(bytes) => Ok(Body::Memory(bytes)),
            Place::File(mut file) => {
                file.rewind()?;
                Ok(Body::Spooled(file))
            }
        }
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.place {
            Place::File(file) => file.write(bytes)?,
            Place::Memory(held) if held.len() + bytes.len() <= self.memory_bytes_max => {
                held.extend_from_slice(bytes);
                bytes.len()
            }
            Place::Memory(held) => {
                let mut file = layout::nameless_file(&self.tmp)?;
                file.write_all(held)?;
                file.write_all(bytes)?;
                self.place = Place::File(file);
                bytes.len()
            }
        };
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See [`Held::reader`].
pub(super) struct Reader<'a> {
    held: &'a Held,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &self.held.place {
            Place::Memory(bytes) => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[from..]).read(into)?
            }
            Place::File(file) => file.read_at(into, self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_wherever_they_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..50_000_u32).map(|at| (at % 251) as u8).collect();
        for most in [0, 10_000, 1 << 20] {
            let mut held = Held::new(home.path().to_owned(), most);
            bytes.chunks(7_000).for_each(|part| held.write_all(part).unwrap());
            assert_eq!(held.length(), 50_000);
            let mut read = Vec::new();
            held.reader().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            assert_eq!(&*held.part(40_000, 300).unwrap(), &bytes[40_000..40_300]);
            assert!(held.part(49_999, 2).is_err());
            assert_eq!(matches!(held.into_body().unwrap(), Body::Memory(_)), most == 1 << 20);
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
        }
    }
}
