//! The one writer: a line of units of work, gathered into commits.
//!
//! Comes in: a closure over the connection, from any thread.
//! Goes out: its answer, through a [`Receipt`], once the commit is on disk.
//!
//! Promise: units happen in the order in which they came in, each whole or not
//! at all, and no answer is given before the sync that makes it true. Whatever
//! waits is taken into one commit, so the disk is waited for once for all of it;
//! nobody waits for others to come.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::limits::WRITES_PER_COMMIT_MAX;
use crate::limits::WRITES_WAITING_MAX;
use crate::store::checkpoint::Nudge;
use crate::store::error::StoreError;
use crate::store::receipt::Receipt;
use crate::store::receipt::Reply;

/// The way into the line. Dropping it finishes what is in the line and stops.
pub(super) struct Writer {
    line: Option<Sender<Box<dyn Unit>>>,
    /// How many units are in the line.
    waiting: Arc<AtomicUsize>,
    poisoned: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the writer's thread.
    pub(super) fn start(mut db: Connection, nudge: Nudge) -> Result<Writer, StoreError> {
        let (line, units) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let poisoned = nudge.poisoned();
        let log_pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&log_pages);
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let desk = Desk { db, waiting: Arc::clone(&waiting), poisoned: Arc::clone(&poisoned), log_pages, nudge };
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || desk.work(&units));
        let thread = thread.map_err(StoreError::io("start the writer"))?;
        Ok(Writer { line: Some(line), waiting, poisoned, thread: Some(thread) })
    }

    /// Whether the disk has failed a commit, or a sync that nobody waited for.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Puts a request's `work` into the line, unless the line is full.
    pub(super) fn enqueue<T, W>(&self, work: W) -> Receipt<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.enqueue_then(work, |result| result)
    }

    /// The same. `then` makes the answer out of what became of it, on the writer's
    /// thread and after the commit, so it must be short.
    pub(super) fn enqueue_then<A, T, W, F>(&self, work: W, then: F) -> Receipt<T>
    where
        A: Send + 'static,
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<A, StoreError> + Send + 'static,
        F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send + 'static,
    {
        if self.waiting.load(Ordering::Relaxed) >= WRITES_WAITING_MAX {
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
        W: FnOnce(&Connection) -> Result<A, StoreError> + Send + 'static,
        F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send + 'static,
    {
        if self.is_poisoned() {
            return Receipt::refused(StoreError::Poisoned);
        }
        let Some(line) = &self.line else { return Receipt::refused(StoreError::Poisoned) };
        let (reply, receipt) = Receipt::new();
        let unit = Work { work: Some(work), then, result: None, reply };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        match line.send(Box::new(unit)) {
            Ok(()) => receipt,
            // The writer's thread is gone, and with it the line.
            Err(_) => Receipt::refused(StoreError::Poisoned),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.line = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told to whoever waited, as receipts without answers.
            let _ = thread.join();
        }
    }
}

/// One piece of work, its type forgotten.
trait Unit: Send {
    /// Does the work inside the open transaction. Says what the whole transaction
    /// died of, should it be gone now.
    fn run(&mut self, db: &Connection) -> Lost;
    /// Tells the result; `lost` if the transaction is not there.
    fn settle(self: Box<Self>, lost: Option<Lost>);
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
    work: Option<W>,
    then: F,
    result: Option<Result<A, StoreError>>,
    reply: Reply<T>,
}

impl<A, T, W, F> Unit for Work<A, T, W, F>
where
    A: Send,
    T: Send,
    W: FnOnce(&Connection) -> Result<A, StoreError> + Send,
    F: FnOnce(Result<A, StoreError>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> Lost {
        self.result = self.work.take().map(|work| run_in_savepoint(db, work));
        match &self.result {
            Some(Err(StoreError::Full)) => Lost::Full,
            _ => Lost::Poisoned,
        }
    }

    fn settle(self: Box<Self>, lost: Option<Lost>) {
        let Work { work, then, result, reply } = *self;
        // Work that was not done goes first, with all it holds.
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
fn run_in_savepoint<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    db.prepare_cached("SAVEPOINT unit")?.execute([])?;
    // A mistake of ours in one unit must not end the thread that all others need.
    let result = catch_unwind(AssertUnwindSafe(|| work(db)));
    let result = result.unwrap_or_else(|_| Err(StoreError::Broken("a write panicked".to_owned())));
    // A full disk may have ended the whole transaction; then there is no savepoint.
    if result.is_err() && !db.is_autocommit() {
        db.prepare_cached("ROLLBACK TO unit")?.execute([])?;
    }
    if !db.is_autocommit() {
        db.prepare_cached("RELEASE unit")?.execute([])?;
    }
    result
}

/// What the writer's thread works with.
struct Desk {
    db: Connection,
    waiting: Arc<AtomicUsize>,
    poisoned: Arc<AtomicBool>,
    /// The length of the log after the last commit.
    log_pages: Arc<AtomicU32>,
    nudge: Nudge,
}

impl Desk {
    fn work(self, units: &Receiver<Box<dyn Unit>>) {
        while let Ok(first) = units.recv() {
            let mut batch = vec![first];
            batch.extend(units.try_iter().take(WRITES_PER_COMMIT_MAX - 1));
            self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
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

    /// Runs the batch in one transaction; says why if it is not there.
    fn commit(&self, batch: &mut [Box<dyn Unit>]) -> Option<Lost> {
        if self.poisoned.load(Ordering::Acquire) {
            return Some(Lost::Poisoned);
        }
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Some(self.fail("begin", &error));
        }
        for unit in batch {
            let lost = unit.run(&self.db);
            if self.db.is_autocommit() {
                // It rolls back by itself when the disk is full or broken.
                tracing::error!("the database gave up a transaction");
                return Some(lost);
            }
        }
        match self.execute("COMMIT") {
            Ok(()) => None,
            Err(error) => {
                let lost = self.fail("commit", &error);
                if !self.db.is_autocommit() && self.execute("ROLLBACK").is_err() {
                    return Some(Lost::Poisoned);
                }
                Some(lost)
            }
        }
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn fail(&self, what: &str, error: &rusqlite::Error) -> Lost {
        tracing::error!(%error, "the database could not {what}");
        Lost::from(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_PAGES_MAX;
    use crate::store::checkpoint::Checkpointer;
    use crate::store::schema;

    /// A database with one table, and a writer for it.
    fn writer(prepare: impl FnOnce(&mut Connection)) -> (tempfile::TempDir, Checkpointer, Writer) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("test.sqlite3");
        let mut db = schema::open_for_writing(&path).unwrap();
        db.execute_batch("CREATE TABLE line (number INTEGER)").unwrap();
        prepare(&mut db);
        let (checkpointer, nudge) = Checkpointer::start(&path).unwrap();
        let writer = Writer::start(db, nudge).unwrap();
        (home, checkpointer, writer)
    }

    fn insert(number: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static {
        move |db| Ok(db.execute("INSERT INTO line VALUES (?1)", [number]).map(|_| ())?)
    }

    fn numbers(db: &Connection) -> Result<Vec<i64>, StoreError> {
        crate::store::rows::all(db, "SELECT number FROM line ORDER BY rowid", [], |row| Ok(row.get(0)?))
    }

    #[test]
    fn units_happen_in_the_order_of_the_calls_also_if_nobody_waits() {
        let (_home, _checkpointer, writer) = writer(|_| ());
        for number in 0..2_000 {
            drop(writer.enqueue(insert(number)));
        }
        assert_eq!(writer.enqueue(numbers).wait().unwrap(), (0..2_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_unit_that_fails_or_panics_leaves_nothing_and_spares_its_neighbours() {
        let (_home, _checkpointer, writer) = writer(|_| ());
        let gate = Arc::new(std::sync::Barrier::new(2));
        let closed = Arc::clone(&gate);
        // Holds the line, so that all that follows is one commit.
        drop(writer.enqueue(move |_| {
            closed.wait();
            Ok(())
        }));
        let first = writer.enqueue(insert(1));
        let failing = writer.enqueue::<(), _>(|db| {
            insert(2)(db)?;
            Err(StoreError::Broken("on purpose".to_owned()))
        });
        let panicking = writer.enqueue::<(), _>(|db| {
            insert(3)(db)?;
            panic!("on purpose");
        });
        let last = writer.enqueue(insert(4));
        gate.wait();
        assert!(first.wait().is_ok());
        assert!(matches!(failing.wait(), Err(StoreError::Broken(_))));
        assert!(matches!(panicking.wait(), Err(StoreError::Broken(_))));
        assert!(last.wait().is_ok());
        assert_eq!(writer.enqueue(numbers).wait().unwrap(), [1, 4]);
    }

    #[test]
    fn a_full_line_says_so_at_once() {
        let (_home, _checkpointer, writer) = writer(|_| ());
        let gate = Arc::new(std::sync::Barrier::new(2));
        let closed = Arc::clone(&gate);
        let held = writer.enqueue(move |_| {
            closed.wait();
            Ok(())
        });
        let waiting: Vec<_> =
            (0..=WRITES_WAITING_MAX + WRITES_PER_COMMIT_MAX).map(|_| writer.enqueue(|_| Ok(()))).collect();
        // The next step of a job is let in all the same.
        let step = writer.enqueue_step(|_| Ok(()), |done| done);
        gate.wait();
        held.wait().unwrap();
        step.wait().unwrap();
        let refused = waiting.into_iter().filter_map(|receipt| receipt.wait().err()).collect::<Vec<_>>();
        assert!(!refused.is_empty() && refused.iter().all(|error| matches!(error, StoreError::Busy)));
    }

    /// 100 MiB, faster than the checkpointer finds a pause to end the log in.
    #[test]
    fn the_log_has_a_bound() {
        let (home, _checkpointer, writer) = writer(|_| ());
        for _ in 0..25 {
            let write = |db: &Connection| Ok(db.execute("INSERT INTO line VALUES (zeroblob(4194304))", [])?);
            writer.enqueue(write).wait().unwrap();
        }
        let log = std::fs::metadata(home.path().join("test.sqlite3-wal")).unwrap().len();
        assert!(log < (u64::from(LOG_PAGES_MAX) + 2_000) * 4_096, "{log}");
    }

    /// B23: the disk fails at the sync of a commit.
    #[test]
    fn after_a_failed_commit_nothing_is_written_any_more() {
        let (_home, _checkpointer, writer) = writer(|db| db.commit_hook(Some(|| true)).unwrap());
        assert!(matches!(writer.enqueue(insert(1)).wait(), Err(StoreError::Poisoned)));
        assert!(matches!(writer.enqueue(insert(2)).wait(), Err(StoreError::Poisoned)));
        assert!(writer.is_poisoned());
    }

    /// B23: no room is no reason to stop.
    #[test]
    fn a_full_disk_is_told_and_the_store_goes_on() {
        let (_home, _checkpointer, writer) = writer(|db| {
            let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            db.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 8)).unwrap();
        });
        let huge =
            writer.enqueue(|db| Ok(db.execute("INSERT INTO line VALUES (zeroblob(1000000))", []).map(|_| ())?));
        assert!(matches!(huge.wait(), Err(StoreError::Full)));
        writer.enqueue(insert(1)).wait().unwrap();
        assert_eq!(writer.enqueue(numbers).wait().unwrap(), [1]);
    }
}
