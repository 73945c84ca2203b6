//! One stream that a guest prints to: kept in memory up to a limit, and
//! readable while it grows.
//!
//! Promise: no more bytes are kept than the limit says, and the bytes up to it
//! are kept exactly.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use wasmtime_wasi::cli::IsTerminal;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::StreamError;

use crate::model::job::Printed;

/// What a guest has printed to stdout or to stderr so far.
#[derive(Debug)]
pub struct Output {
    bytes_max: usize,
    kept: Mutex<Printed>,
    /// How many bytes are kept, and whether that is final.
    extent: watch::Sender<Extent>,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    len: usize,
    closed: bool,
}

/// The guest printed more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job printed more than its limit of {bytes_max} bytes")]
pub(super) struct OverLimit {
    pub(super) bytes_max: u64,
}

impl Output {
    /// An empty stream that keeps at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let extent = watch::Sender::new(Extent { len: 0, closed: false });
        Self { bytes_max, kept: Mutex::default(), extent }
    }

    /// How many bytes are there to be read.
    pub fn len(&self) -> usize {
        self.extent.borrow().len
    }

    /// Whether nothing was printed so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing will come any more.
    pub fn is_closed(&self) -> bool {
        self.extent.borrow().closed
    }

    /// Whether there is more than `seen` bytes, or may be later.
    pub fn may_have_more(&self, seen: usize) -> bool {
        let extent = self.extent.borrow();
        !extent.closed || extent.len > seen
    }

    /// The bytes from `offset` on, at most `bytes_max` of them; empty at the end.
    pub fn read_from(&self, offset: usize, bytes_max: usize) -> Bytes {
        let kept = self.kept();
        let rest = kept.bytes.get(offset..).unwrap_or_default();
        Bytes::copy_from_slice(&rest[..rest.len().min(bytes_max)])
    }

    /// Waits until there is more than `seen` bytes, or nothing will come any
    /// more. May be dropped at any time.
    pub async fn changed(&self, seen: usize) {
        let mut extent = self.extent.subscribe();
        // `wait_for` looks before it waits, so a change since `seen` was read is not missed.
        // It fails only without a sender, and the sender is ours.
        let _ = extent.wait_for(|extent| extent.len > seen || extent.closed).await;
    }

    /// All of it, as it goes on record.
    pub(super) fn printed(&self) -> Printed {
        self.kept().clone()
    }

    /// Appends what fits. The rest, if any, is lost, and the stream marked so.
    pub(super) fn push(&self, bytes: &[u8]) -> Result<(), OverLimit> {
        let (len, fits) = {
            let mut kept = self.kept();
            let room = self.bytes_max - kept.bytes.len();
            let fits = bytes.len() <= room;
            kept.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            kept.truncated |= !fits;
            (kept.bytes.len(), fits)
        };
        self.extent.send_if_modified(|extent| {
            let grew = extent.len != len;
            extent.len = len;
            grew
        });
        if fits { Ok(()) } else { Err(OverLimit { bytes_max: self.bytes_max as u64 }) }
    }

    /// Says that nothing will come any more.
    pub(super) fn close(&self) {
        self.extent.send_modify(|extent| extent.closed = true);
    }

    fn kept(&self) -> MutexGuard<'_, Printed> {
        // Nothing panics while it is held, and bytes are never half-written.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a guest may hand over in one call; larger writes come in parts.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// The guest's end of an [`Output`]. A write past the limit ends the job.
#[derive(Clone)]
pub(super) struct Printer(pub(super) Arc<Output>);

#[async_trait]
impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.0.push(&bytes).map_err(|over| StreamError::Trap(over.into()))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

/// Asked for by the trait, and used by WASI 0.3 only, which is off.
impl AsyncWrite for Printer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.push(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_bytes_are_exactly_the_limit() {
        let output = Output::new(5);
        assert_eq!(output.push(b"abc"), Ok(()));
        assert_eq!(output.push(b"defg"), Err(OverLimit { bytes_max: 5 }));
        assert_eq!(output.push(b"h"), Err(OverLimit { bytes_max: 5 }));
        assert_eq!(output.printed(), Printed { bytes: b"abcde".to_vec(), passed_on: 0, truncated: true });
    }

    #[test]
    fn a_stream_that_is_just_full_is_not_truncated() {
        let output = Output::new(3);
        assert_eq!(output.push(b"abc"), Ok(()));
        assert_eq!(output.push(b""), Ok(()));
        assert!(!output.printed().truncated);
    }

    #[test]
    fn any_part_can_be_read_again() {
        let output = Output::new(10);
        output.push(b"abcdef").unwrap();
        assert_eq!(output.read_from(0, 2), "ab");
        assert_eq!(output.read_from(2, 100), "cdef");
        assert_eq!(output.read_from(6, 100), "");
        assert_eq!(output.read_from(7, 100), "");
    }

    #[tokio::test]
    async fn a_follower_wakes_for_bytes_and_for_the_end() {
        let output = std::sync::Arc::new(Output::new(10));
        let follower = tokio::spawn({
            let output = output.clone();
            async move {
                let mut read = Vec::new();
                while !output.is_closed() || read.len() < output.len() {
                    output.changed(read.len()).await;
                    read.extend_from_slice(&output.read_from(read.len(), 3));
                }
                read
            }
        });
        for part in [b"ab", b"cd"] {
            output.push(part).unwrap();
            tokio::task::yield_now().await;
        }
        output.close();
        assert_eq!(follower.await.unwrap(), b"abcd");
    }
}
