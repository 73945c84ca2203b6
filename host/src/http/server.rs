//! The listening socket: accepts connections, bounds what a slow or greedy
//! client can hold, and ends gracefully.
//!
//! Promise: every accepted connection has a place ([`places`](super::places)), a
//! gate ([`gate`](super::gate)) and clocks ([`pace`](super::pace)), and is dropped
//! when its place is needed or its time is over. Nothing that must finish lives in
//! a connection: jobs belong to the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::Request;
use axum::http::Response;
use axum::http::header;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::http::gate::Gate;
use crate::http::line::Line;
use crate::http::pace::Answered;
use crate::http::pace::Late;
use crate::http::pace::Pace;
use crate::http::pace::Patience;
use crate::http::places::Places;
use crate::limits::HEAD_BYTES_MAX;

/// How long connections may take to end once the server stops.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// The kernel doubles it for its own book-keeping.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// A failed accept (no file handles left) is tried again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the operator has set about connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub patience: Patience,
    /// Connections of everybody at once.
    pub connections_max: usize,
}

/// Serves `router` on `listener` until `stop`, then lets open requests finish
/// for a short while.
pub async fn serve(listener: TcpListener, router: Router, settings: Settings, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let places = Places::new(settings.connections_max);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        // Answers are small and wanted at once. If this fails they are only later.
        let _ = stream.set_nodelay(true);
        // A larger one could hold more than a client reads in all the time that it has to read
        // something (R30): the kernel asks for more when a third of it is free. If this fails, a slow
        // client may be taken for one that does not read.
        let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
        connect(stream, &router, settings.patience, &places, &graceful);
    }
    drop(listener);
    if tokio::time::timeout(GOODBYE_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::info!("some connections were still open at the end");
    }
}

/// An answer on its way out. A refusal of a body that is still coming says that the
/// connection ends, which it does: the rest is not read, and a client that asked
/// again on it would find it closed.
fn answer(mut response: Response<Body>, pace: &Arc<Pace>) -> Response<Answered> {
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && pace.is_amid_body() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Answered::new(body, pace.clone()))
}

/// Serves one connection in a task of its own.
pub(super) fn connect(
    stream: TcpStream,
    router: &Router,
    patience: Patience,
    places: &Places,
    graceful: &GracefulShutdown,
) {
    let (place, needed) = places.enter();
    let line = Line::of(&stream, Pace::new(patience), place);
    let pace = line.pace().clone();
    let of_request = line.clone();
    let of_answer = pace.clone();
    let service = router
        .clone()
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(of_request.clone());
            request
        })
        .map_response(move |response| answer(response, &of_answer));
    let mut http = http1::Builder::new();
    http.max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(Gate::new(stream, line)), TowerToHyperService::new(service));
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            },
            late = pace.runs_out() => match late {
                // Of an answer that was begun, so it has a line of its own in the log.
                Late::Reading => tracing::info!("a client did not read its answer, and was dropped"),
                Late::Head | Late::Asking | Late::Leaving => tracing::debug!(?late, "a connection was dropped"),
            },
            () = needed.cancelled() => tracing::debug!("a connection without a key gave way to another"),
        }
    });
}
