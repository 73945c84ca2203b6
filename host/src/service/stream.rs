//! A streaming run between its two ends: the client, who sends stdin and reads
//! stdout as they come, and the walk of the job.
//!
//! Promise: the walk learns when the client has gone or does not read (R30,
//! R31), and the client is told the outcome after it is durable, never before
//! (R26b). Neither end can make the other wait without a bound.
//!
//! Not here: HTTP, and what the job does to its session
//! ([`journey`](super::journey)).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::engine::NobodyReads;
use crate::engine::Piece;
use crate::engine::Pipe;
use crate::engine::Stdin;
use crate::engine::Stdout;
use crate::model::job::JobLimits;
use crate::model::outcome::Outcome;
use crate::service::live::LiveJob;

const GONE: &str = "its client went away";
const STALLED: &str = "its client did not read the answer in time";

/// Makes the two pipes and hands out their ends.
pub(super) fn open() -> (Client, StdinWriter, Answer) {
    let (stdin, stdout) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let (tell, told) = oneshot::channel();
    let session_active = Arc::new(AtomicBool::new(false));
    let client = Client {
        stdin: Arc::clone(&stdin),
        stdout: Arc::clone(&stdout),
        session_active: Arc::clone(&session_active),
        tell: Mutex::new(Some(tell)),
    };
    (client, StdinWriter(stdin), Answer { stdout, session_active, told })
}

/// The client of a streaming run, as its walk sees it.
pub(super) struct Client {
    stdin: Arc<Pipe>,
    stdout: Arc<Pipe>,
    session_active: Arc<AtomicBool>,
    /// Taken when the outcome was told.
    tell: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl Client {
    /// The guest's ends.
    pub(super) fn streams(&self, limits: &JobLimits) -> (Stdin, Stdout) {
        let stdout = Stdout::Stream { pipe: Arc::clone(&self.stdout), bytes_max: limits.output_bytes };
        (Stdin::Stream(Arc::clone(&self.stdin)), stdout)
    }

    /// The job starts, in its session or outside any.
    pub(super) fn begin(&self, session_active: bool) {
        self.session_active.store(session_active, Ordering::Release);
    }

    /// Cancels the job once the client is gone or does not read; ends never.
    pub(super) async fn watch(&self, live: &LiveJob, patience: Duration) -> Infallible {
        let why = self.lost(patience).await;
        if live.cancel(why) {
            tracing::debug!(job = %live.key.id, why, "a streaming run lost its client");
        }
        self.stdout.abandon();
        std::future::pending().await
    }

    /// The guest has ended: nothing more goes in or out. A client that had gone
    /// before cancels the job even now, however soon the guest was done.
    pub(super) fn guest_ended(&self, live: &LiveJob) {
        if self.stdin.is_broken() || self.stdout.is_abandoned() {
            live.cancel(GONE);
        }
        self.stdin.abandon();
        self.stdout.finish();
    }

    /// How many bytes of stdout went out.
    pub(super) fn passed_on(&self) -> u64 {
        self.stdout.written()
    }

    /// Tells the client how the job ended, when that is durable or nothing of it
    /// lasts; with `None`, that nobody knows.
    pub(super) fn tell(&self, outcome: Option<Outcome>) {
        let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(tell), Some(outcome)) = (tell, outcome) {
            // A client that has gone is not told.
            let _ = tell.send(outcome);
        }
        self.close();
    }

    /// Whether the client has read all that the guest printed, if not yet the end.
    pub(super) fn has_taken_all(&self) -> bool {
        self.stdout.is_empty()
    }

    /// Waits until the client has read the answer to its end, has gone, or has
    /// not read for as long as `patience`.
    pub(super) async fn has_read(&self, patience: Duration) {
        self.lost(patience).await;
        self.stdout.abandon();
    }

    fn close(&self) {
        self.stdin.abandon();
        self.stdout.finish();
    }

    /// Waits until the client has gone, or does not read; says which.
    async fn lost(&self, patience: Duration) -> &'static str {
        tokio::select! {
            () = self.stdout.abandoned() => GONE,
            () = self.stdin.broken() => GONE,
            () = self.stalled(patience) => STALLED,
        }
    }

    /// Waits until something was there to be read for `patience` and the client
    /// took nothing.
    async fn stalled(&self, patience: Duration) {
        loop {
            // Counted first: what is taken after that shows in the count.
            let taken = self.stdout.taken();
            self.stdout.readable().await;
            tokio::select! {
                () = self.stdout.taken_beyond(taken) => {}
                () = tokio::time::sleep(patience) => return,
            }
        }
    }
}

impl Drop for Client {
    /// However the walk ended, nobody waits for it any more. Without an outcome
    /// told the client learns that it is not known.
    fn drop(&mut self) {
        self.close();
    }
}

/// Where the client's request body goes. Dropped before
/// [`StdinWriter::finish`], it says that the client went away.
pub struct StdinWriter(Arc<Pipe>);

impl StdinWriter {
    /// Hands on some bytes, when the guest has room for them.
    pub async fn write(&self, bytes: Bytes) -> Result<(), NobodyReads> {
        self.0.write(bytes).await
    }

    /// Waits until the guest will read no more.
    pub async fn unwanted(&self) {
        self.0.abandoned().await;
    }

    /// Everything was handed on, or is not wanted any more.
    pub fn finish(self) {
        self.0.finish();
    }
}

impl Drop for StdinWriter {
    fn drop(&mut self) {
        // Does nothing to a stream that was finished.
        self.0.break_off();
    }
}

/// The client's end of the answer. Dropping it says that the client has read it
/// to its end, or has gone.
pub struct Answer {
    stdout: Arc<Pipe>,
    session_active: Arc<AtomicBool>,
    told: oneshot::Receiver<Outcome>,
}

/// A part of the answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    Stdout(Bytes),
    /// How the job ended; `None` if nobody knows, because the server's store failed.
    End(Option<Outcome>),
}

impl Answer {
    /// The next part, when it is there. Nothing comes after the end.
    pub async fn next(&mut self) -> Part {
        loop {
            self.stdout.readable().await;
            match self.stdout.take() {
                Piece::Bytes(bytes) => return Part::Stdout(bytes),
                Piece::None => {}
                Piece::End => return Part::End((&mut self.told).await.ok()),
            }
        }
    }

    /// Whether the job runs, or ran, inside the session that it named; known
    /// with the first part.
    pub fn session_active(&self) -> bool {
        self.session_active.load(Ordering::Acquire)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stdout.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::Owner;
    use crate::model::stage::Step;
    use crate::service::live::JobKey;

    const PATIENCE: Duration = Duration::from_millis(10);

    fn running() -> LiveJob {
        let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
        let live = LiveJob::new(JobKey { owner, id: "j".parse().unwrap() }, 10);
        live.step(Step::Start).unwrap();
        live
    }

    /// Lets the watch of a client go on until it has decided, or `time` is over.
    async fn watch_for(client: &Client, live: &LiveJob, time: Duration) {
        let _ = tokio::time::timeout(time, client.watch(live, PATIENCE)).await;
    }

    fn stdout(client: &Client) -> Arc<Pipe> {
        Arc::clone(&client.stdout)
    }

    #[tokio::test]
    async fn r30_a_client_that_does_not_read_for_the_reply_timeout_cancels() {
        let (client, _stdin, mut answer) = open();
        let live = running();
        watch_for(&client, &live, PATIENCE * 3).await;
        assert_eq!(live.cancelled(), None, "there was nothing to read");
        stdout(&client).write(Bytes::from_static(b"one")).await.unwrap();
        assert_eq!(answer.next().await, Part::Stdout(Bytes::from_static(b"one")));
        watch_for(&client, &live, PATIENCE * 3).await;
        assert_eq!(live.cancelled(), None, "it had read everything");
        stdout(&client).write(Bytes::from_static(b"two")).await.unwrap();
        tokio::select! {
            never = client.watch(&live, PATIENCE) => match never {},
            () = live.stop.cancelled() => {}
        }
        assert_eq!(live.cancelled(), Some(STALLED));
    }

    #[tokio::test]
    async fn r31_a_client_that_goes_away_before_the_guests_end_cancels() {
        let (client, _stdin, answer) = open();
        let live = running();
        drop(answer);
        client.guest_ended(&live);
        assert_eq!(live.cancelled(), Some(GONE));

        let (client, stdin, _answer) = open();
        let live = running();
        drop(stdin);
        watch_for(&client, &live, PATIENCE).await;
        assert_eq!(live.cancelled(), Some(GONE));
    }

    #[tokio::test]
    async fn r30_a_client_that_goes_away_after_the_guests_end_cancels_nothing() {
        let (client, stdin, answer) = open();
        let live = running();
        stdin.finish();
        stdout(&client).write(Bytes::from_static(b"last")).await.unwrap();
        client.guest_ended(&live);
        live.step(Step::Return).unwrap();
        drop(answer);
        watch_for(&client, &live, PATIENCE).await;
        assert_eq!(live.cancelled(), None);
        client.has_read(PATIENCE).await;
    }

    #[tokio::test]
    async fn r26b_the_end_comes_only_when_the_outcome_is_told() {
        let (client, _stdin, mut answer) = open();
        stdout(&client).write(Bytes::from_static(b"all")).await.unwrap();
        client.guest_ended(&running());
        assert_eq!(answer.next().await, Part::Stdout(Bytes::from_static(b"all")));
        let mut end = Box::pin(answer.next());
        assert!(futures_util::poll!(&mut end).is_pending());
        client.tell(Some(Outcome::Succeeded));
        assert_eq!(end.await, Part::End(Some(Outcome::Succeeded)));
    }

    #[tokio::test]
    async fn a_walk_that_fails_leaves_no_client_waiting() {
        let (client, _stdin, mut answer) = open();
        drop(client);
        assert_eq!(answer.next().await, Part::End(None));
    }
}
