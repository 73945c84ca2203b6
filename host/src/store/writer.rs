//! The one writer: a line of units of work, gathered into commits.
//!
//! Comes in: a closure over the connection, from any thread. It may be called twice,
//! so what it does beside the connection must bear that.
//! Goes out: its answer, through a [`Receipt`], once the commit is on disk.
//!
//! Promise: units happen in the order in which they came in, each whole or not
//! at all, and no answer is given before the sync that makes it true. Whatever
//! waits is taken into one commit, so the disk is waited for once for all of it;
//! nobody waits for others to come, but for records that are written behind an
//! answer.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;

use crate::limits::WRITE_BEHIND;
use crate::limits::WRITES_PER_COMMIT_MAX;
use crate::limits::WRITES_WAITING_MAX;
use crate::store::checkpoint::Nudge;
use crate::store::error::StoreError;
use crate::store::figures::Meters;
use crate::store::line::Line;
use crate::store::line::Patience;
use crate::store::receipt::Receipt;
use crate::store::receipt::Reply;

/// Of the database and of its log; what SQLite takes by itself.
const PAGE_BYTES: u64 = 4_096;

/// The way into the line. Dropping it finishes what is in the line and stops.
pub(super) struct Writer {
    line: Arc<Line<Box<dyn Unit>>>,
    poisoned: Arc<AtomicBool>,
    log_pages: Arc<AtomicU32>,
    meters: Arc<Meters>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the writer's thread.
    pub(super) fn start(mut db: Connection, nudge: Nudge) -> Result<Writer, StoreError> {
        let line = Arc::new(Line::new(WRITES_PER_COMMIT_MAX, WRITE_BEHIND));
        let poisoned = nudge.poisoned();
        let log_pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&log_pages);
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let meters = Arc::new(Meters::default());
        let desk = Desk {
            db,
            line: Arc::clone(&line),
            poisoned: Arc::clone(&poisoned),
            log_pages: Arc::clone(&log_pages),
            meters: Arc::clone(&meters),
            nudge,
        };
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || desk.work());
        let thread = thread.map_err(StoreError::io("start the writer"))?;
        Ok(Writer { line, poisoned, log_pages, meters, thread: Some(thread) })
    }

    /// Whether the disk has failed a commit, or a sync that nobody waited for.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// How many units wait.
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// How long the log was after the last commit.
    pub(super) fn log_bytes(&self) -> u64 {
        u64::from(self.log_pages.load(Ordering::Relaxed)) * PAGE_BYTES
    }

    /// Puts a request's `work` into the line, unless the line is full.
    pub(super) fn enqueue<T, W>(&self, work: W) -> Receipt<T>
    where
        T: Send + 'static,
        W: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.enqueue_then(work, |result| result)
    }

    /// The same. `then` makes the answer out of what became of it, on the writer's
    /// thread and after the commit, so it must be short.
    pub(super) fn enqueue_then<A, T, W, F>(&self, work: W, then: F) -> Receipt<T>
    where
        A: Send + 'static,
        T: Send + 'static,
        W: Fn(&Connection) -> Result<A, StoreError> + Send + 'static,
        F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send + 'static,
    {
        if self.line.len() >= WRITES_WAITING_MAX {
            return Receipt::refused(StoreError::Busy);
        }
        self.enqueue_step(work, then)
    }

    /// The same for the next step of a job that was accepted: it is never turned
    /// away, or requests could make a job lose its work. A job has one step in the
    /// line at most, so the number of accepted jobs bounds these.
    pub(super) fn enqueue_step<A, T, W, F>(&self, work: W, then: F) -> Receipt<T>
    where
        A: Send + 'static,
        T: Send + 'static,
        W: Fn(&Connection) -> Result<A, StoreError> + Send + 'static,
        F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send + 'static,
    {
        self.put(work, then, Patience::None)
    }

    /// The same for a record that nobody waits for: it is written together with
    /// whatever else comes in the next moment, so that many of them cost few syncs.
    pub(super) fn enqueue_behind<A, T, W, F>(&self, work: W, then: F) -> Receipt<T>
    where
        A: Send + 'static,
        T: Send + 'static,
        W: Fn(&Connection) -> Result<A, StoreError> + Send + 'static,
        F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send + 'static,
    {
        self.put(work, then, Patience::UntilOthersCome)
    }

    fn put<A, T, W, F>(&self, work: W, then: F, patience: Patience) -> Receipt<T>
    where
        A: Send + 'static,
        T: Send + 'static,
        W: Fn(&Connection) -> Result<A, StoreError> + Send + 'static,
        F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send + 'static,
    {
        if self.is_poisoned() {
            return Receipt::refused(StoreError::Poisoned);
        }
        let (reply, receipt) = Receipt::new();
        let unit = Work { work, then, result: None, reply };
        match self.line.put(Box::new(unit), patience) {
            Ok(()) => receipt,
            // The writer's thread is gone.
            Err(_) => Receipt::refused(StoreError::Poisoned),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.line.end();
        if let Some(thread) = self.thread.take() {
            // A panic there was told to whoever waited, as receipts without answers.
            let _ = thread.join();
        }
    }
}

/// One piece of work, its type forgotten.
trait Unit: Send {
    /// Does the work inside the open transaction.
    fn run(&mut self, db: &Connection, apart: Apart) -> Ran;
    /// Tells the result; `lost` if the transaction is not there.
    fn settle(self: Box<Self>, lost: Option<Lost>);
}

/// How the units of a transaction are kept apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// Not at all: if one fails half-way, the whole transaction is begun again.
    Hoping,
    /// Each has a savepoint, to which a failure of it goes back.
    BySavepoints,
}

/// What a unit made of the transaction.
enum Ran {
    /// All of its work is in it, or nothing.
    Whole,
    /// A part of its work is.
    Torn,
    /// It is gone.
    Gone(Lost),
}

/// Why a whole commit is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// The disk was full. The database is as before and goes on.
    Full,
    /// The disk failed. What it holds is known after a restart.
    Poisoned,
}

impl Lost {
    fn from(error: &rusqlite::Error) -> Lost {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Lost::Full,
            _ => Lost::Poisoned,
        }
    }
}

struct Work<A, T, W, F> {
    work: W,
    then: F,
    result: Option<Result<A, StoreError>>,
    reply: Reply<T>,
}

impl<A, T, W, F> Unit for Work<A, T, W, F>
where
    A: Send,
    T: Send,
    W: Fn(&Connection) -> Result<A, StoreError> + Send,
    F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection, apart: Apart) -> Ran {
        let before = db.total_changes();
        let result = match apart {
            Apart::Hoping => caught(db, &self.work),
            Apart::BySavepoints => run_in_savepoint(db, &self.work),
        };
        let result = self.result.insert(result);
        if db.is_autocommit() {
            // It rolls back by itself when the disk is full or broken.
            let full = matches!(result, Err(StoreError::Full));
            return Ran::Gone(if full { Lost::Full } else { Lost::Poisoned });
        }
        let torn = apart == Apart::Hoping && result.is_err() && db.total_changes() != before;
        if torn { Ran::Torn } else { Ran::Whole }
    }

    fn settle(self: Box<Self>, lost: Option<Lost>) {
        let Work { work, then, result, reply } = *self;
        // What the work holds goes first.
        drop(work);
        let result = match (lost, result) {
            // Its own refusal is the better news: it holds in any case.
            (_, Some(Err(error))) => Err(error),
            (None, Some(done)) => done,
            (Some(Lost::Full), _) => Err(StoreError::Full),
            (Some(Lost::Poisoned), _) | (None, None) => Err(StoreError::Poisoned),
        };
        reply.tell(then(result));
    }
}

/// Does one unit's work so that a failure of it leaves nothing behind, while the
/// units around it stay.
fn run_in_savepoint<T>(db: &Connection, work: impl Fn(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    db.prepare_cached("SAVEPOINT unit")?.execute([])?;
    let result = caught(db, work);
    // A full disk may have ended the whole transaction; then there is no savepoint.
    if result.is_err() && !db.is_autocommit() {
        db.prepare_cached("ROLLBACK TO unit")?.execute([])?;
    }
    if !db.is_autocommit() {
        db.prepare_cached("RELEASE unit")?.execute([])?;
    }
    result
}

/// A mistake of ours in one unit must not end the thread that all others need.
fn caught<T>(db: &Connection, work: impl Fn(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let result = catch_unwind(AssertUnwindSafe(|| work(db)));
    result.unwrap_or_else(|_| Err(StoreError::Broken("a write panicked".to_owned())))
}

/// The line of a writer; closed when dropped.
struct Closing(Arc<Line<Box<dyn Unit>>>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the writer's thread works with.
struct Desk {
    db: Connection,
    line: Arc<Line<Box<dyn Unit>>>,
    poisoned: Arc<AtomicBool>,
    /// The length of the log after the last commit.
    log_pages: Arc<AtomicU32>,
    meters: Arc<Meters>,
    nudge: Nudge,
}

impl Desk {
    fn work(self) {
        // However this ends, nobody waits for a thread that is gone.
        let line = Closing(Arc::clone(&self.line));
        while let Some(mut batch) = line.0.take() {
            let lost = self.commit(&mut batch);
            if lost == Some(Lost::Poisoned) && !self.poisoned.swap(true, Ordering::AcqRel) {
                tracing::error!("a commit failed; nothing more is written until a restart");
            }
            for unit in batch {
                unit.settle(lost);
            }
            if !self.poisoned.load(Ordering::Acquire) {
                self.nudge.log_has(self.log_pages.load(Ordering::Relaxed));
            }
        }
    }

    /// Runs the batch in one transaction; says why if it is not there. Hardly ever does
    /// a unit fail when it has written something, so only then are all of them kept apart.
    fn commit(&self, batch: &mut [Box<dyn Unit>]) -> Option<Lost> {
        if self.poisoned.load(Ordering::Acquire) {
            return Some(Lost::Poisoned);
        }
        let begin = Instant::now();
        let mut ran = self.transact(batch, Apart::Hoping);
        if matches!(ran, Ran::Torn) {
            ran = self.transact(batch, Apart::BySavepoints);
        }
        let lost = match ran {
            Ran::Whole => None,
            Ran::Torn => unreachable!("a savepoint takes back what a unit did"),
            Ran::Gone(lost) => Some(lost),
        };
        match lost {
            None => {
                self.meters.time.note_time(begin.elapsed());
                self.meters.units.note(batch.len() as u64);
            }
            Some(Lost::Full) => self.meters.full.one(),
            Some(Lost::Poisoned) => self.meters.failed.one(),
        }
        lost
    }

    fn transact(&self, batch: &mut [Box<dyn Unit>], apart: Apart) -> Ran {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return self.fail("begin", &error);
        }
        for unit in batch {
            match unit.run(&self.db, apart) {
                Ran::Whole => (),
                Ran::Torn => {
                    return self
                        .execute("ROLLBACK")
                        .map_or_else(|error| self.fail("roll back", &error), |()| Ran::Torn);
                }
                Ran::Gone(lost) => {
                    tracing::error!("the database gave up a transaction");
                    return Ran::Gone(lost);
                }
            }
        }
        let Err(error) = self.execute("COMMIT") else { return Ran::Whole };
        let gone = self.fail("commit", &error);
        if !self.db.is_autocommit() && self.execute("ROLLBACK").is_err() {
            return Ran::Gone(Lost::Poisoned);
        }
        gone
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn fail(&self, what: &str, error: &rusqlite::Error) -> Ran {
        tracing::error!(%error, "the database could not {what}");
        Ran::Gone(Lost::from(error))
    }
}

#[cfg(test)]
mod tests;
