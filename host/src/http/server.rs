//! The listening socket: accepts connections, bounds what a slow or greedy
//! client can hold, and ends gracefully.
//!
//! Promise: a client that never finishes its request head is gone after a
//! while, and a head is never larger than a bound. Nothing that must finish
//! lives in a connection: jobs belong to the service.

use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::http::line::Line;

/// A client that has not sent its head by then will not.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Request line and headers together.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long connections may take to end once the server stops.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// A failed accept (no file handles left) is tried again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until `stop`, then lets open requests finish
/// for a short while.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let http = rules();
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
        let line = Line::of(&stream);
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(line);
            request
        });
        let service = TowerToHyperService::new(service);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GOODBYE_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::info!("some connections were still open at the end");
    }
}

/// What holds for each connection.
pub(super) fn rules() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    http
}
