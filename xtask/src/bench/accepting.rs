//! Acceptance of asynchronous jobs: how fast 202 comes, which says that a job is
//! durable, compared with one row of SQLite.
//!
//! Between two rounds the accepted jobs run to their ends, or those who come next
//! would be compared with a server that is busy. Within a round they run too.

use std::thread;
use std::time::Duration;

use anyhow::ensure;

use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::http::Connection;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::raw::Raw;
use crate::bench::report::Row;
use crate::tell;

const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_millis(500);
const CLIENTS: usize = 64;
/// How often it is asked whether the jobs of a round have ended.
const POLL: Duration = Duration::from_millis(50);
const POLLS_MAX: usize = 1_200;

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("accept asynchronous jobs of 64 clients");
    let mut raw = Raw::start(CLIENTS)?;
    let house = House::open()?;
    let connections: anyhow::Result<Vec<Connection>> = (0..CLIENTS).map(|_| house.door.open()).collect();
    let mut connections = connections?;
    let mut watcher = house.door.open()?;
    let order = ground::job_outside(&["nothing"]);
    let submit = |connection: &mut Connection| connection.json("POST /v1/jobs", "", &order).map(|_| ());
    let ours = Contestant::new(house.server.process(), || measure::at_once(&mut connections, ROUND, submit))
        .then(|| until_all_ended(&mut watcher));
    let samples = measure::alternate(ROUNDS, [raw.contestant(ROUND), ours])?;
    Ok(vec![Row::of_rates("asynchronous job accepted, 64 clients", ["SQLite row, 64 clients", "accepted"], &samples)])
}

fn until_all_ended(watcher: &mut Connection) -> anyhow::Result<()> {
    for _ in 0..POLLS_MAX {
        let mut is_idle = true;
        for state in ["queued", "running"] {
            let what = format!("GET /v1/jobs?limit=1&state={state}");
            let list: serde_json::Value = serde_json::from_slice(&watcher.send(&what, "", b"")?.good(&what)?.body)?;
            is_idle &= list["items"].as_array().is_some_and(Vec::is_empty);
        }
        if is_idle {
            return Ok(());
        }
        thread::sleep(POLL);
    }
    ensure!(false, "the jobs of a round do not end");
    Ok(())
}
