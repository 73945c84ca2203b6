//! How long a connection may keep the server waiting.
//!
//! Comes in: what [`gate`](super::gate) sees on the socket, and what becomes of
//! requests.
//! Goes out: the moment at which the connection is dropped.
//!
//! Promise: a client that does not finish a head, sends no byte of a body, has
//! nothing to ask, or does not read its answer is gone after the time for each.
//! None of these runs while the server itself is what takes time.
//!
//! Not here: streaming runs. Their stdin may be silent for as long as the job
//! runs, and who does not read their stdout is found by the run itself
//! (`reply_timeout_ms`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use http_body::SizeHint;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;
use tokio::time::sleep_until;

use crate::http::line::Line;

/// How long a client may take for each of these, as the operator has set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the first byte of a request's head to its last; the first head from the connection on.
    pub head: Duration,
    /// Between two bytes of a body.
    pub body: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Until it takes the next byte of an answer.
    pub write: Duration,
}

/// How long the server goes on reading after its last answer, so that a client
/// that is still sending gets to see it.
const LINGER: Duration = Duration::from_secs(1);

/// With what a client took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Late {
    Head,
    Asking,
    Reading,
    Leaving,
}

/// The clocks of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Patience,
    clocks: Mutex<Clocks>,
    /// Told of a clock that may run out before all that were looked at.
    hurry: Notify,
}

#[derive(Debug)]
struct Clocks {
    /// Requests whose head has come and whose answer is not over.
    under_way: usize,
    /// Whether a head has begun; the first one counts as begun.
    head_began: bool,
    /// Since when a head is awaited, or its end if it has begun.
    awaiting_since: Instant,
    /// Whether more of a body is to come than has come.
    amid_body: bool,
    /// Since when the client takes no byte.
    blocked_since: Option<Instant>,
    /// Answers whose reader is somebody else's concern.
    unhurried: usize,
    lingering_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(patience: Patience) -> Self {
        let clocks = Clocks {
            under_way: 0,
            head_began: true,
            awaiting_since: Instant::now(),
            amid_body: false,
            blocked_since: None,
            unhurried: 0,
            lingering_since: None,
        };
        Self { patience, clocks: Mutex::new(clocks), hurry: Notify::new() }
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    fn clocks(&self) -> MutexGuard<'_, Clocks> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first byte of a head has come.
    pub(super) fn head_begins(&self) {
        let mut clocks = self.clocks();
        if !clocks.head_began {
            (clocks.head_began, clocks.awaiting_since) = (true, Instant::now());
        }
    }

    /// A head is whole, and its request goes on to hyper.
    pub(super) fn request_begins(&self) {
        let mut clocks = self.clocks();
        clocks.under_way += 1;
        clocks.head_began = false;
    }

    fn request_ends(&self) {
        let mut clocks = self.clocks();
        clocks.under_way -= 1;
        clocks.awaiting_since = Instant::now();
    }

    /// More of a request's body is to come, or it is all here.
    pub(super) fn amid_body(&self, amid: bool) {
        self.clocks().amid_body = amid;
    }

    /// Whether a client that is answered now is still sending.
    pub(super) fn is_amid_body(&self) -> bool {
        self.clocks().amid_body
    }

    /// The client takes no byte now, or takes some again.
    pub(super) fn blocked(&self, blocked: bool) {
        self.clocks().blocked_since = blocked.then(Instant::now);
    }

    pub(super) fn lingers(&self) {
        self.clocks().lingering_since.get_or_insert_with(Instant::now);
        self.hurry.notify_one();
    }

    /// Until the result is dropped, nobody here minds a client that does not read.
    pub(super) fn unhurried(self: &Arc<Self>) -> Unhurried {
        self.clocks().unhurried += 1;
        Unhurried(self.clone())
    }

    /// Ends when the client has kept the server waiting for too long; says in what.
    pub(super) async fn runs_out(&self) -> Late {
        // What is not waited for now cannot run out before the shortest patience has passed.
        let patience = self.patience;
        let shortest = patience.head.min(patience.idle).min(patience.write);
        loop {
            let now = Instant::now();
            let next = match self.end() {
                Some((end, late)) if end <= now => return late,
                Some((end, _)) => end.min(now + shortest),
                None => now + shortest,
            };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// When the connection is to be dropped, as things stand, and for what.
    fn end(&self) -> Option<(Instant, Late)> {
        let clocks = self.clocks();
        let awaited = match clocks {
            _ if clocks.under_way > 0 => None,
            _ if clocks.head_began => Some((clocks.awaiting_since + self.patience.head, Late::Head)),
            _ => Some((clocks.awaiting_since + self.patience.idle, Late::Asking)),
        };
        let blocked = clocks.blocked_since.filter(|_| clocks.unhurried == 0);
        let blocked = blocked.map(|since| (since + self.patience.write, Late::Reading));
        let lingering = clocks.lingering_since.map(|since| (since + LINGER, Late::Leaving));
        [awaited, blocked, lingering].into_iter().flatten().min()
    }
}

/// See [`Pace::unhurried`].
#[derive(Debug)]
pub(super) struct Unhurried(Arc<Pace>);

impl Drop for Unhurried {
    fn drop(&mut self) {
        let mut clocks = self.0.clocks();
        clocks.unhurried -= 1;
        clocks.blocked_since = clocks.blocked_since.map(|_| Instant::now());
    }
}

/// The body of an answer; its request is under way until this is dropped.
pub(super) struct Answered {
    body: Body,
    pace: Arc<Pace>,
}

impl Answered {
    pub(super) fn new(body: Body, pace: Arc<Pace>) -> Self {
        Self { body, pace }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.pace.request_ends();
    }
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request, whose client must go on sending.
struct Fed {
    body: Body,
    patience: Duration,
    /// Runs while the next piece is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

/// Why a [`Fed`] body ended.
#[derive(Debug, thiserror::Error)]
#[error("no byte of the body came for {} ms", .0.as_millis())]
pub(super) struct Stalled(pub(super) Duration);

/// The same body, which ends as [`Stalled`] when nothing comes for too long.
pub(super) fn fed(body: Body, patience: Duration) -> Body {
    Body::new(Fed { body, patience, waiting: None })
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return Poll::Ready(frame);
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        waiting.as_mut().poll(context).map(|()| Some(Err(axum::Error::new(Stalled(patience)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Demands of a request that its body goes on coming.
pub(super) async fn keep_sending(line: Line, request: Request, next: Next) -> Response {
    let patience = line.pace().patience().body;
    next.run(request.map(|body| fed(body, patience))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn pace() -> Arc<Pace> {
        Arc::new(Pace::new(Patience { head: seconds(10), body: seconds(30), idle: seconds(60), write: seconds(20) }))
    }

    /// Demands what runs out, and after how long from now on.
    async fn check(pace: &Pace, late: Late, after: u64) {
        let start = Instant::now();
        assert_eq!((pace.runs_out().await, start.elapsed().as_secs()), (late, after));
    }

    /// Demands that nothing runs out for a long time.
    async fn check_patient(pace: &Pace) {
        let waited = tokio::time::timeout(seconds(3_600), pace.runs_out()).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn b31_heads_must_end_and_be_asked_for() {
        let pace = pace();
        check(&pace, Late::Head, 10).await;
        pace.request_begins();
        check_patient(&pace).await;
        pace.request_ends();
        check(&pace, Late::Asking, 60).await;
        pace.head_begins();
        check(&pace, Late::Head, 10).await;
    }

    #[tokio::test(start_paused = true)]
    async fn b31_a_head_behind_a_request_waits_for_its_turn() {
        let pace = pace();
        pace.request_begins();
        pace.head_begins();
        check_patient(&pace).await;
        pace.request_ends();
        check(&pace, Late::Head, 10).await;
    }

    #[tokio::test(start_paused = true)]
    async fn b31_an_answer_must_be_read_unless_somebody_else_minds() {
        let pace = pace();
        pace.request_begins();
        pace.blocked(true);
        let unhurried = pace.unhurried();
        check_patient(&pace).await;
        drop(unhurried);
        check(&pace, Late::Reading, 20).await;
        pace.blocked(false);
        check_patient(&pace).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_lingers_goes_soon_whatever_was_waited_for() {
        let pace = pace();
        pace.request_begins();
        let watching = tokio::spawn({
            let pace = pace.clone();
            async move { pace.runs_out().await }
        });
        tokio::task::yield_now().await;
        let start = Instant::now();
        pace.lingers();
        assert_eq!((watching.await.unwrap(), start.elapsed()), (Late::Leaving, LINGER));
    }
}
