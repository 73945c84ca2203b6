//! What sessions take in which nothing happens: the memory of a server's process
//! with a few, for which its caches and threads are made, and with many more.

use std::fs;
use std::thread;

use anyhow::Context as _;

use crate::bench::ground::House;
use crate::bench::http::Connection;
use crate::bench::report::Row;
use crate::tell;

const SESSIONS: usize = 10_000;
const CLIENTS: usize = 16;

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("10,000 sessions in which nothing happens");
    let house = House::open()?;
    let process = house.server.process();
    // The connections that make the sessions take memory too, so they are there before.
    let connections: anyhow::Result<Vec<Connection>> = (0..CLIENTS).map(|_| house.door.open()).collect();
    let mut connections = connections?;
    let make = |connection: &mut Connection, client: usize, count: usize| -> anyhow::Result<()> {
        (0..count).try_for_each(|number| {
            let order = serde_json::json!({"id": format!("idle-{client}-{number}")});
            connection.json("POST /v1/sessions", "", &order).map(|_| ())
        })
    };
    let make_all = |connections: &mut [Connection], first: usize, count: usize| -> anyhow::Result<()> {
        thread::scope(|scope| {
            let clients = connections.iter_mut().enumerate();
            let threads: Vec<_> =
                clients.map(|(number, one)| scope.spawn(move || make(one, first + number, count / CLIENTS))).collect();
            threads.into_iter().try_for_each(|one| one.join().expect("a client does not panic"))
        })
    };
    // Those that are not counted.
    make_all(&mut connections, 0, SESSIONS / 10)?;
    let before = resident_bytes(process)?;
    make_all(&mut connections, CLIENTS, SESSIONS)?;
    let after = resident_bytes(process)?;
    Ok(vec![Row::of_memory("memory of the process, MB", ["1,000 idle sessions", "10,000 more"], [before, after])])
}

/// What a process holds in memory.
pub(super) fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the server has ended")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(resident.context("the system does not tell what is resident")?.parse::<u64>()? << 10)
}
