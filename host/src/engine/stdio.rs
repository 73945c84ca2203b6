//! The guest's ends of stdin and stdout: bytes from memory, or a stream that
//! comes and goes as the client sends and reads.
//!
//! Promise: a guest that waits for its client waits in a future, never in the
//! thread, so it can be stopped at any time. A guest whose client has gone
//! waits for ever: it must not take the silence for an end.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::IsTerminal;
use wasmtime_wasi::cli::StdinStream;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::InputStream;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::StreamError;

use super::output::OverLimit;
use super::pipe::Piece;
use super::pipe::Pipe;
use crate::limits::PIPE_PIECE_BYTES_MAX;

/// Where a guest's stdin comes from.
#[derive(Clone, Debug)]
pub enum Stdin {
    Bytes(Vec<u8>),
    Stream(Arc<Pipe>),
}

/// Where a guest's stdout goes.
#[derive(Clone, Debug)]
pub enum Stdout {
    /// It is kept, in [`Live::stdout`](super::Live).
    Kept,
    /// It goes out as it comes, up to `bytes_max`, and nothing of it is kept.
    Stream { pipe: Arc<Pipe>, bytes_max: u64 },
}

/// Reads a pipe.
#[derive(Clone)]
pub(super) struct Inflow(pub(super) Arc<Pipe>);

#[async_trait]
impl InputStream for Inflow {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        match self.0.take_at_most(size.min(PIPE_PIECE_BYTES_MAX)) {
            Piece::Bytes(bytes) => Ok(bytes),
            Piece::None => Ok(Bytes::new()),
            Piece::End => Err(StreamError::Closed),
        }
    }
}

#[async_trait]
impl Pollable for Inflow {
    async fn ready(&mut self) {
        self.0.readable().await;
    }
}

impl IsTerminal for Inflow {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Inflow {
    /// Asked for by the trait, and used by WASI 0.3 only, which is off.
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

/// Writes to a pipe. A write past the limit ends the job.
#[derive(Clone)]
pub(super) struct Outflow {
    pub(super) pipe: Arc<Pipe>,
    pub(super) bytes_max: u64,
}

#[async_trait]
impl OutputStream for Outflow {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if bytes.len() > self.pipe.room() {
            return Err(StreamError::trap("a write was larger than the stream had said it may be"));
        }
        let left = self.bytes_max.saturating_sub(self.pipe.written());
        let fits = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.pipe.push(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(StreamError::Trap(OverLimit { bytes_max: self.bytes_max }.into()));
        }
        Ok(())
    }

    /// What was written goes out by itself; nobody waits for the client to read it.
    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(self.pipe.room().min(PIPE_PIECE_BYTES_MAX))
    }
}

#[async_trait]
impl Pollable for Outflow {
    async fn ready(&mut self) {
        self.pipe.writable().await;
    }
}

impl IsTerminal for Outflow {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Outflow {
    /// Asked for by the trait, and used by WASI 0.3 only, which is off.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}
