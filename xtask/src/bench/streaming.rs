//! Streaming runs of a guest that does nothing, outside any session, compared
//! with the thinnest server that runs the same guest for each request: what
//! sessions, records, limits and keys cost those who do not use them.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::bench::baseline::Baseline;
use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::MODULE;
use crate::bench::http::Connection;
use crate::bench::http::Door;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::measure::Samples;
use crate::bench::report::Row;
use crate::tell;

const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_secs(1);
const CLIENTS: usize = 64;
/// The request for such a run.
pub(super) const RUN: &str = "POST /v1/run/small_changes?arg=nothing";

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("streaming runs of a guest that does nothing, and the thinnest server that runs it");
    let names = ["thinnest server", "streaming run"];
    let alone = compare(1)?;
    let crowd = compare(CLIENTS)?;
    Ok(vec![
        Row::of_times("guest that does nothing, 1 client", names, &alone),
        Row::of_rates("guest that does nothing, 64 clients", names, &crowd),
    ])
}

fn compare(clients: usize) -> anyhow::Result<[Samples; 2]> {
    let (thin, ready) = Baseline::start("thin_server", &[ground::guest(MODULE).as_os_str()])?;
    let thin_door = Door { address: address_in(&ready)?, key: String::new() };
    let house = House::open()?;
    measure::alternate(
        ROUNDS,
        [
            contestant(thin.process(), &thin_door, "POST /", clients, ROUND)?,
            contestant(house.server.process(), &house.door, RUN, clients, ROUND)?,
        ],
    )
}

/// Clients that send the same request without a body again and again.
pub(super) fn contestant(
    process: u32,
    door: &Door,
    what: &'static str,
    clients: usize,
    round: Duration,
) -> anyhow::Result<Contestant<'static>> {
    let connections: anyhow::Result<Vec<Connection>> = (0..clients).map(|_| door.open()).collect();
    let mut connections = connections?;
    Ok(Contestant::new(process, move || {
        measure::at_once(&mut connections, round, |connection| connection.send(what, "", b"")?.good(what).map(|_| ()))
    }))
}

fn address_in(ready: &str) -> anyhow::Result<String> {
    let ready: Value = serde_json::from_str(ready).context("the thin server did not say that it is ready")?;
    let url = ready["url"].as_str().context("the thin server has no url")?;
    Ok(url.trim_start_matches("http://").to_owned())
}
