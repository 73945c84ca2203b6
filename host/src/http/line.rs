//! The connection under a request, for the one question that hyper cannot
//! answer: whether the client has gone while nobody reads its request body.
//!
//! Why: a connection whose body nobody reads is not read at all, so its end is
//! noticed by nobody. A streaming run whose guest leaves its stdin alone would
//! go on without its client (R31).

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

/// How often a connection with unread bytes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Names the connection that a request came by. Of use only inside a handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line(RawFd);

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched(TcpStream);

impl Line {
    pub(super) fn of(stream: &TcpStream) -> Self {
        Self(stream.as_raw_fd())
    }

    /// Watches the connection. Call in the handler's own future.
    pub(super) fn watch(self) -> io::Result<Watched> {
        // SAFETY: the connection owns the handler's future and the socket, and drops the future
        // first or with it, so while a handler runs the number is that of the open socket.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) }.try_clone_to_owned()?;
        Ok(Watched(TcpStream::from_std(socket.into())?))
    }
}

impl Watched {
    /// Waits until the client has closed the connection, or its half of it.
    pub(super) async fn closed(&self) {
        loop {
            match self.0.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK_EVERY).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}
