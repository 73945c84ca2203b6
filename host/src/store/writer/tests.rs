//! The writer, on a database with one table.

use std::sync::Mutex;
use std::sync::mpsc;

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

fn insert(number: i64) -> impl Fn(&Connection) -> Result<(), StoreError> + Send + 'static {
    move |db| Ok(db.execute("INSERT INTO line VALUES (?1)", [number]).map(|_| ())?)
}

/// Keeps the writer in a unit until what this gives is dropped; so all that comes
/// meanwhile is one commit.
fn hold(writer: &Writer) -> mpsc::Sender<()> {
    let (gate, closed) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let closed = Mutex::new(closed);
    drop(writer.enqueue(move |_| {
        begin.send(()).unwrap();
        // An error says that the gate was dropped.
        closed.lock().unwrap().recv().unwrap_err();
        Ok(())
    }));
    begun.recv().unwrap();
    gate
}

fn numbers(db: &Connection) -> Result<Vec<i64>, StoreError> {
    crate::store::rows::all(db, "SELECT number FROM line ORDER BY rowid", [], |row| row.get("number"))
}

/// Commits that are there, that found no room, and that failed.
fn commits(writer: &Writer) -> (u64, u64, u64) {
    let meters = writer.meters();
    let (units, times) = (meters.units.look(), meters.time.look());
    assert_eq!(units.count(), times.count());
    (units.count(), meters.full.get(), meters.failed.get())
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
    let gate = hold(&writer);
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
    drop(gate);
    assert!(first.wait().is_ok());
    assert!(matches!(failing.wait(), Err(StoreError::Broken(_))));
    assert!(matches!(panicking.wait(), Err(StoreError::Broken(_))));
    assert!(last.wait().is_ok());
    assert_eq!(writer.enqueue(numbers).wait().unwrap(), [1, 4]);
    // What held the writer, all four together, and the look.
    assert_eq!((commits(&writer), writer.meters().units.look().sum), ((3, 0, 0), 6.0));
}

#[test]
fn units_are_done_again_only_for_one_that_fails_half_way() {
    let (_home, _checkpointer, writer) = writer(|_| ());
    for (half_way, runs) in [(false, 1), (true, 2)] {
        let gate = hold(&writer);
        let counted = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&counted);
        let neighbour = writer.enqueue(move |db| {
            count.fetch_add(1, Ordering::Relaxed);
            insert(1)(db)
        });
        let failing = writer.enqueue::<(), _>(move |db| {
            if half_way {
                insert(2)(db)?;
            }
            Err(StoreError::Broken("on purpose".to_owned()))
        });
        drop(gate);
        assert!(failing.wait().is_err());
        neighbour.wait().unwrap();
        assert_eq!(counted.load(Ordering::Relaxed), runs, "{half_way}");
    }
    assert_eq!(writer.enqueue(numbers).wait().unwrap(), [1, 1]);
}

#[test]
fn what_is_written_behind_an_answer_is_taken_along_in_its_place() {
    let (_home, _checkpointer, writer) = writer(|_| ());
    let behind: Vec<_> = (0..3).map(|number| writer.enqueue_behind(insert(number), |done| done)).collect();
    assert_eq!(writer.enqueue(numbers).wait().unwrap(), [0, 1, 2]);
    behind.into_iter().for_each(|receipt| receipt.wait().unwrap());
    // Alone it is written too, and so is what is in the line at the end.
    writer.enqueue_behind(insert(3), |done| done).wait().unwrap();
    let last = writer.enqueue_behind(insert(4), |done| done);
    drop(writer);
    last.wait().unwrap();
}

#[test]
fn a_full_line_says_so_at_once() {
    let (_home, _checkpointer, writer) = writer(|_| ());
    let gate = hold(&writer);
    let waiting: Vec<_> =
        (0..=WRITES_WAITING_MAX + WRITES_PER_COMMIT_MAX).map(|_| writer.enqueue(|_| Ok(()))).collect();
    // The next step of a job is let in all the same.
    let step = writer.enqueue_step(|_| Ok(()), |done| done);
    drop(gate);
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
    // The second was not tried.
    assert_eq!(commits(&writer), (0, 0, 1));
}

/// B23: no room is no reason to stop.
#[test]
fn a_full_disk_is_told_and_the_store_goes_on() {
    let (_home, _checkpointer, writer) = writer(|db| {
        let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        db.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 8)).unwrap();
    });
    let huge = writer.enqueue(|db| Ok(db.execute("INSERT INTO line VALUES (zeroblob(1000000))", []).map(|_| ())?));
    assert!(matches!(huge.wait(), Err(StoreError::Full)));
    writer.enqueue(insert(1)).wait().unwrap();
    assert_eq!(writer.enqueue(numbers).wait().unwrap(), [1]);
    assert_eq!(commits(&writer), (2, 1, 0));
}
