//! The connection under a request, as a handler sees it.
//!
//! Comes in: a handler that must know more than the request: whether its client
//! has gone, how long it may take, whose the connection is.
//! Goes out: to [`places`](super::places) and [`pace`](super::pace), which keep the
//! counts and the clocks.
//!
//! Why a handler must ask whether its client has gone: a connection whose body
//! nobody reads is not read at all, so its end is noticed by nobody. A streaming
//! run whose guest leaves its stdin alone would go on without its client (R31).

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::http::framing::Fault;
use crate::http::pace::Pace;
use crate::http::places::Full;
use crate::http::places::Kind;
use crate::http::places::Place;
use crate::http::places::Share;
use crate::http::places::Usage;
use crate::http::problem::Code;
use crate::http::problem::Problem;
use crate::ids::TenantId;

/// How often a connection with unread bytes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Names the connection that a request came by. Of use only inside a handler.
#[derive(Clone, Debug)]
pub(super) struct Line {
    socket: RawFd,
    pace: Arc<Pace>,
    place: Arc<Mutex<Place>>,
    fault: Arc<Mutex<Option<Fault>>>,
}

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watched(TcpStream);

impl Line {
    pub(super) fn of(stream: &TcpStream, pace: Pace, place: Place) -> Self {
        Self {
            socket: stream.as_raw_fd(),
            pace: Arc::new(pace),
            place: Arc::new(Mutex::new(place)),
            fault: Arc::default(),
        }
    }

    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// What was wrong with the last request on this connection.
    pub(super) fn refuse(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// The refusal of it, if there is one; nothing is read after it.
    pub(super) fn refusal(&self) -> Option<Problem> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let problem = match fault {
            Fault::TooLarge(sentence) => Problem::new(Code::HeadTooLarge, sentence),
            Fault::Malformed(sentence) => Problem::invalid(sentence),
        };
        Some(problem.closing())
    }

    /// A request with the tenant's key came by this connection.
    pub(super) fn belongs_to(&self, tenant: &TenantId) -> Result<(), Problem> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.belongs_to(tenant).map_err(|full| Problem::from(full).closing())
    }

    /// Room for one more of what a tenant may have only so many of.
    pub(super) fn share(&self, tenant: &TenantId, kind: Kind) -> Result<Share, Problem> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(place.places().share(tenant, kind)?)
    }

    /// How all places for connections are used now.
    pub(super) fn usage(&self) -> Usage {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.places().usage()
    }

    /// Watches the connection. Call in the handler's own future.
    pub(super) fn watch(&self) -> io::Result<Watched> {
        // SAFETY: the connection owns the handler's future and the socket, and drops the future
        // first or with it, so while a handler runs the number is that of the open socket.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) }.try_clone_to_owned()?;
        Ok(Watched(TcpStream::from_std(socket.into())?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Line {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let missing = || Problem::new(Code::Internal, "the server has lost the connection of the request");
        parts.extensions.get().cloned().ok_or_else(missing)
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        let code = match full {
            Full::Server(_) => Code::Unavailable,
            Full::Connections(_) | Full::Streams(_) | Full::Large(_) => Code::RateLimited,
        };
        Problem::new(code, full.to_string())
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
