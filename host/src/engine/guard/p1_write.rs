//! Writing to files and streams, for core modules.
//!
//! Promise: a write that would pass the session's limit is refused before any
//! byte of it is written.

use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::types::Error;
use wasmtime_wasi::p1::types::Fd;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::GuestMemory;

use super::p1::Held;
use super::p1::P1Guard;
use super::p1_length::Shortened;
use crate::limits::HOSTCALL_BYTES_MAX;

impl P1Guard {
    /// A write of as much as is moved at once.
    pub(super) async fn guarded_write(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        buffers: types::CiovecArray,
        offset: Option<u64>,
    ) -> Result<types::Size, Error> {
        let shortened = Shortened::first_of(memory, buffers.offset())?;
        let written = self.write_first(memory, fd, buffers, offset).await;
        shortened.put_back(memory)?;
        written
    }

    /// The write that WASI will carry out: it takes the first buffer with
    /// anything in it, and the guest comes again for the rest.
    async fn write_first(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        buffers: types::CiovecArray,
        offset: Option<u64>,
    ) -> Result<types::Size, Error> {
        let Held::File { handle, append } = self.held(fd)? else {
            return hand_on(self.wasi(), memory, fd, buffers, offset).await;
        };
        let len = first_len(memory, buffers)?;
        let at = match (append, offset) {
            // Appending ignores the offset, as on Linux.
            (true, _) => None,
            (false, Some(offset)) => Some(offset),
            (false, None) => Some(self.wasi().fd_tell(memory, fd)?),
        };
        let size = self.size(memory, fd).await?;
        let growth = self.journal().before_write(handle, size, at, len.into())?;
        let written = hand_on(self.wasi(), memory, fd, buffers, offset).await?;
        self.journal().wrote(growth, written.into());
        Ok(written)
    }
}

async fn hand_on(
    wasi: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    buffers: types::CiovecArray,
    offset: Option<u64>,
) -> Result<types::Size, Error> {
    match offset {
        Some(offset) => wasi.fd_pwrite(memory, fd, buffers, offset).await,
        None => wasi.fd_write(memory, fd, buffers).await,
    }
}

/// The length of the first buffer that is not empty.
fn first_len(memory: &GuestMemory<'_>, buffers: types::CiovecArray) -> Result<u32, Error> {
    let table_bytes = u64::from(buffers.len()) * 8;
    if table_bytes > HOSTCALL_BYTES_MAX as u64 {
        return Err(Errno::Nomem.into());
    }
    for buffer in buffers.iter() {
        let buffer = memory.read(buffer?)?;
        if buffer.buf_len > 0 {
            return Ok(buffer.buf_len);
        }
    }
    Ok(0)
}
