//! The gate on a connection: hyper reads and writes through it.
//!
//! Comes in: a socket. Goes out: the same bytes, head by head.
//!
//! Promise: hyper gets a head only when it is whole, within its bounds and
//! without a [`Fault`](super::framing::Fault). In the place of one that is not it gets
//! a request that nobody else can make ([`REFUSED`]), so that the refusal goes out
//! in its turn and in the shape of all others, and after that nothing more.
//!
//! Not here: how long anything may take ([`pace`](super::pace) has the clocks).

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::http::framing;
use crate::http::framing::Fault;
use crate::http::framing::Rest;
use crate::http::line::Line;
use crate::http::pace::Pace;
use crate::limits::HEAD_BYTES_MAX;

/// The method of the request that stands for a refused one; no method that a client
/// sends passes the gate if it holds this mark.
pub(super) const REFUSED: &str = "!";

const REFUSED_HEAD: &[u8] = b"! / HTTP/1.1\r\nHost: -\r\nConnection: close\r\n\r\n";

/// What is read from the socket at once while a head is awaited.
const PIECE_BYTES: usize = 4 << 10;

/// A connection with a watch on what comes in.
pub(super) struct Gate {
    socket: TcpStream,
    line: Line,
    pace: Arc<Pace>,
    /// What has come and was not handed on.
    held: Vec<u8>,
    stage: Stage,
    /// Whether the client takes no byte now.
    blocked: bool,
}

enum Stage {
    /// A head is awaited; so many bytes of it were looked at.
    Head {
        seen: usize,
    },
    /// So many held bytes are a good head, and this follows.
    HandOn {
        left: usize,
        then: Next,
    },
    Body(Rest),
    /// The refusal was handed on.
    Over,
}

#[derive(Clone, Copy)]
enum Next {
    Body(Rest),
    Over,
}

impl Gate {
    pub(super) fn new(socket: TcpStream, line: Line) -> Self {
        let pace = line.pace().clone();
        Self { socket, line, pace, held: Vec::new(), stage: Stage::Head { seen: 0 }, blocked: false }
    }

    /// Looks for a whole head in what is held; `None` if there is none yet.
    fn look(&mut self, seen: usize) -> Option<Stage> {
        // An empty line or two before a head mean nothing (RFC 9112, 2.2).
        let empty = self.held.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count();
        self.held.drain(..2 * empty);
        let Some(end) = framing::head_end(&self.held, seen.min(self.held.len())) else {
            if self.held.len() < HEAD_BYTES_MAX {
                return None;
            }
            let sentence = format!("the request's head has more than {HEAD_BYTES_MAX} bytes, the most that are taken");
            return Some(self.refuse(Fault::TooLarge(sentence)));
        };
        match framing::read_head(self.held.get(..end).unwrap_or_default()) {
            Ok(rest) => {
                self.pace.request_begins();
                Some(Stage::HandOn { left: end, then: Next::Body(rest) })
            }
            Err(fault) => Some(self.refuse(fault)),
        }
    }

    fn refuse(&mut self, fault: Fault) -> Stage {
        self.line.refuse(fault);
        self.held = REFUSED_HEAD.to_vec();
        self.pace.request_begins();
        Stage::HandOn { left: REFUSED_HEAD.len(), then: Next::Over }
    }

    /// Reads on while a head is awaited; how much came.
    fn read_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE_BYTES];
        let room = PIECE_BYTES.min(HEAD_BYTES_MAX.saturating_sub(self.held.len()));
        let mut buffer = ReadBuf::new(&mut piece[..room]);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
        if !buffer.filled().is_empty() {
            self.pace.head_begins();
        }
        self.held.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Moves held bytes to hyper.
    fn hand_on(&mut self, most: usize, buffer: &mut ReadBuf<'_>) -> usize {
        let count = most.min(buffer.remaining()).min(self.held.len());
        buffer.put_slice(&self.held[..count]);
        self.held.drain(..count);
        count
    }

    /// Hands on a piece of the body, and keeps what comes behind its end.
    fn body(&mut self, mut rest: Rest, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.held.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        } else {
            self.hand_on(usize::MAX, buffer);
        }
        let came = buffer.filled().get(before..).unwrap_or_default();
        let ours = rest.take(came).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, format!("{fault:?}")))?;
        if ours < came.len() {
            // In front of what is still held: it came earlier.
            self.held.splice(..0, came[ours..].iter().copied());
            buffer.set_filled(before + ours);
            self.pace.head_begins();
        }
        if rest.is_over() {
            self.pace.amid_body(false);
            self.stage = Stage::Head { seen: 0 };
        } else {
            self.stage = Stage::Body(rest);
        }
        Poll::Ready(Ok(()))
    }

    /// Notes whether the client takes what is written.
    fn noted<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() != self.blocked {
            self.blocked = written.is_pending();
            self.pace.blocked(self.blocked);
        }
        written
    }

    /// Whether the client may be sending what nobody will read.
    fn is_amid(&self) -> bool {
        !matches!(self.stage, Stage::Head { .. }) || !self.held.is_empty()
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.stage {
                Stage::Head { seen } => {
                    if let Some(stage) = self.look(seen) {
                        self.stage = stage;
                        continue;
                    }
                    self.stage = Stage::Head { seen: self.held.len() };
                    if ready!(self.read_more(context))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::HandOn { left: 0, then: Next::Over } => self.stage = Stage::Over,
                Stage::HandOn { left: 0, then: Next::Body(rest) } if rest.is_over() => {
                    self.stage = Stage::Head { seen: 0 };
                    if !self.held.is_empty() {
                        self.pace.head_begins();
                    }
                }
                Stage::HandOn { left: 0, then: Next::Body(rest) } => {
                    let is_here = matches!(rest, Rest::Bytes(left) if left <= self.held.len() as u64);
                    self.pace.amid_body(!is_here);
                    self.stage = Stage::Body(rest);
                }
                Stage::HandOn { left, then } => {
                    let count = self.hand_on(left, buffer);
                    self.stage = Stage::HandOn { left: left - count, then };
                    return Poll::Ready(Ok(()));
                }
                Stage::Body(rest) => return self.body(rest, context, buffer),
                // Nothing comes any more; hyper closes the connection when the refusal is written.
                Stage::Over => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    /// Closes the connection. If the client is still sending, what it sends is read
    /// for a moment longer: closed at once, the system would throw away the answer with it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
        if !self.is_amid() {
            return Poll::Ready(Ok(()));
        }
        self.pace.lingers();
        let mut piece = [0; PIECE_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
