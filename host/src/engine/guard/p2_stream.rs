//! The streams of a component's files: in place, and under the guard.
//!
//! Why not those of wasmtime-wasi: they write from another thread, where a
//! write may still be under way after the job was rolled back.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime_wasi::p2::InputStream;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::StreamError;

use super::SharedJournal;
use super::journal::Handle;
use super::refusal::Refusal;

/// What one read or write may carry.
const PART_BYTES_MAX: usize = 64 << 10;

/// A file that is being read.
pub(super) struct Reader {
    held: HeldFile,
    position: u64,
}

/// A file that is being written.
pub(super) struct Writer {
    held: HeldFile,
    /// `None` to append.
    position: Option<u64>,
    is_closed: bool,
}

/// A file that a stream keeps open, on record in the journal.
pub(super) struct HeldFile {
    file: Arc<File>,
    journal: SharedJournal,
    handle: Handle,
}

impl HeldFile {
    pub(super) fn new(file: Arc<File>, journal: SharedJournal, handle: Handle) -> Self {
        Self { file, journal, handle }
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        let bytes = self.file.metadata().map_or(0, |found| found.len());
        self.journal.get().close(self.handle, bytes);
    }
}

impl Reader {
    pub(super) fn new(held: HeldFile, position: u64) -> Self {
        Self { held, position }
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut part = vec![0; size.min(PART_BYTES_MAX)];
        let count = self.held.file.read_at(&mut part, self.position).map_err(failed)?;
        if count == 0 {
            return Err(StreamError::Closed);
        }
        part.truncate(count);
        self.position += count as u64;
        Ok(part.into())
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

impl Writer {
    pub(super) fn new(held: HeldFile, position: Option<u64>) -> Self {
        Self { held, position, is_closed: false }
    }

    fn write_in_place(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let HeldFile { file, journal, handle } = &self.held;
        let size = file.metadata().map_err(failed)?.len();
        let at = self.position.unwrap_or(size);
        let growth = journal.get().before_write(*handle, size, Some(at), bytes.len() as u64).map_err(refused)?;
        file.write_all_at(bytes, at).map_err(failed)?;
        journal.get().wrote(growth, bytes.len() as u64);
        if let Some(position) = &mut self.position {
            *position = at + bytes.len() as u64;
        }
        Ok(())
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if self.is_closed {
            return Err(StreamError::Closed);
        }
        let written = self.write_in_place(&bytes);
        // As the stream's description wants it: after an error there is nothing more to come.
        self.is_closed = written.is_err();
        written
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        if self.is_closed { Err(StreamError::Closed) } else { Ok(PART_BYTES_MAX) }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

/// The guest can ask for the file system's code of such an error.
fn failed(error: std::io::Error) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}

fn refused(refusal: Refusal) -> StreamError {
    let code = match refusal {
        Refusal::NoSpace => rustix::io::Errno::NOSPC,
        Refusal::NameTooLong
        | Refusal::BadName
        | Refusal::Outside
        | Refusal::Root
        | Refusal::Exists
        | Refusal::NoEntry
        | Refusal::NotDirectory
        | Refusal::Loop
        | Refusal::NotSupported
        | Refusal::TooManyOpen
        | Refusal::BadDescriptor
        | Refusal::Io => rustix::io::Errno::IO,
    };
    failed(code.into())
}
