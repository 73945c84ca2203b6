//! For `cargo xtask bench`: how many commits of one row this disk takes, if
//! SQLite is asked the way the store asks it, and for nothing else.
//!
//! Comes in: the path of a new database and a number of clients as arguments;
//! then, on stdin, one line with a number of milliseconds for each round.
//! Goes out: `ready`, then a line for each round: the microseconds that each
//! commit took, with a space between.
//!
//! Each client is a thread that sends one row and waits until it is durable. One
//! writer takes whatever waits and makes it one commit, as the store's does.
#![allow(clippy::print_stdout, reason = "the bench reads it")]

use std::error::Error;
use std::io::stdin;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;

/// As many as the store takes at once.
const ROWS_PER_COMMIT_MAX: usize = 512;
/// About what the record of a small job takes.
const ROW_BYTES: usize = 400;

/// One client's row is on its way; the sender is told when it is durable.
type Row = Sender<()>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let path = words.next().ok_or("the first argument is the path of a database")?;
    let clients: usize = words.next().ok_or("the second argument is a number of clients")?.parse()?;
    let db = open(&path)?;
    let (line, rows) = mpsc::channel();
    let writer = thread::spawn(move || write(&db, &rows));
    println!("ready");
    for order in stdin().lines() {
        let time = Duration::from_millis(order?.trim().parse()?);
        let taken = round(&line, clients, time);
        let taken: Vec<String> = taken.iter().map(|one| one.as_micros().to_string()).collect();
        println!("{}", taken.join(" "));
    }
    drop(line);
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(())
}

fn open(path: &str) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE line (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);",
    )?;
    Ok(db)
}

fn write(db: &Connection, rows: &Receiver<Row>) -> rusqlite::Result<()> {
    let bytes = [7_u8; ROW_BYTES];
    while let Ok(first) = rows.recv() {
        let mut batch = vec![first];
        batch.extend(rows.try_iter().take(ROWS_PER_COMMIT_MAX - 1));
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in &batch {
            db.prepare_cached("INSERT INTO line (bytes) VALUES (?1)")?.execute([&bytes[..]])?;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        for client in batch {
            // A client that is gone has not waited.
            let _ = client.send(());
        }
    }
    Ok(())
}

fn round(line: &Sender<Row>, clients: usize, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let client = |line: Sender<Row>| {
        let (told, durable) = mpsc::channel();
        let mut taken = Vec::new();
        while Instant::now() < end {
            let begin = Instant::now();
            if line.send(told.clone()).is_err() || durable.recv().is_err() {
                break;
            }
            taken.push(begin.elapsed());
        }
        taken
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| client(line.clone()))).collect();
        threads.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect()
    })
}
