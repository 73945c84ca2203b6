//! Committed jobs: each reads and rewrites a file of 1 KiB and sets a parameter,
//! and is acknowledged when that is durable. Such a job is three commits in a row
//! (accepted, begun, done) and a guest in between; it is compared with one row
//! of SQLite. So is a durable job outside any session, whose guest does nothing.

use std::time::Duration;

use serde_json::Value;

use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::run_job;
use crate::bench::http::Connection;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::raw::Raw;
use crate::bench::report::Row;
use crate::tell;

const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_secs(1);
const CLIENTS: usize = 64;

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("committed jobs in 64 sessions, and rows of SQLite from 64 clients");
    let many = against_raw("committed job, 64 sessions", ["SQLite row, 64 clients", "job"], 64)?;
    tell::step("1,000 committed jobs in a second in 64 sessions, and rows of SQLite from 64 clients");
    let paced = at_a_pace()?;
    tell::step("committed jobs in one session, and rows of SQLite from one client");
    let one = against_raw("committed job, 1 session", ["SQLite row, 1 client", "job"], 1)?;
    tell::step("durable jobs that do nothing, and rows of SQLite from 64 clients");
    Ok(vec![many, paced, one, that_do_nothing()?])
}

fn that_do_nothing() -> anyhow::Result<Row> {
    let mut raw = Raw::start(CLIENTS)?;
    let house = House::open()?;
    let connections: anyhow::Result<Vec<Connection>> = (0..CLIENTS).map(|_| house.door.open()).collect();
    let mut connections = connections?;
    let order = ground::job_outside(&["nothing"]);
    let run = |connection: &mut Connection| run_job(connection, &order);
    let ours = Contestant::new(house.server.process(), || measure::at_once(&mut connections, ROUND, run));
    let samples = measure::alternate(ROUNDS, [raw.contestant(ROUND), ours])?;
    Ok(Row::of_rates("durable job that does nothing, 64 clients", ["SQLite row, 64 clients", "job"], &samples))
}

fn against_raw(what: &'static str, names: [&'static str; 2], sessions: usize) -> anyhow::Result<Row> {
    let mut raw = Raw::start(sessions)?;
    let house = House::open()?;
    let mut writers = Writer::in_sessions(&house, sessions)?;
    let ours = Contestant::new(house.server.process(), || measure::at_once(&mut writers, ROUND, Writer::write));
    let samples = measure::alternate(ROUNDS, [raw.contestant(ROUND), ours])?;
    Ok(Row::of_rates(what, names, &samples))
}

/// What a job takes where the machine has time to spare: clients that never pause
/// take all of it, and then a job's time says only how many of them there are.
fn at_a_pace() -> anyhow::Result<Row> {
    let mut raw = Raw::start(CLIENTS)?;
    let house = House::open()?;
    let mut writers = Writer::in_sessions(&house, CLIENTS)?;
    let ours = Contestant::new(house.server.process(), || measure::at_a_pace(&mut writers, ROUND, Writer::write));
    let samples = measure::alternate(ROUNDS, [raw.contestant(ROUND), ours])?;
    let names = ["SQLite row, 64 clients", "job"];
    Ok(Row::of_times("committed job, 64 sessions, 1,000 in a second", names, &samples))
}

/// A client with a session of its own.
pub(super) struct Writer {
    connection: Connection,
    order: Value,
}

impl Writer {
    /// So many of them, each in a session with a file of 1 KiB.
    pub(super) fn in_sessions(house: &House, count: usize) -> anyhow::Result<Vec<Writer>> {
        let writer = |number| {
            let session = format!("writer-{number}");
            house.make_session(&session)?;
            let mut connection = house.door.open()?;
            let put = format!("PUT /v1/sessions/{session}/files/small");
            connection.send(&put, "", &[b'0'; 1_024])?.good(&put)?;
            Ok(Writer { connection, order: ground::job(&session, &["rewrite", "/small"]) })
        };
        (0..count).map(writer).collect()
    }

    /// One job, from its submission to its end.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        run_job(&mut self.connection, &self.order)
    }
}
