//! R26: the cost of a job grows with what it touched, not with what its session
//! holds. One client, durable jobs, one after the other; two sessions of one
//! server take turns.

use anyhow::Context as _;
use serde_json::Value;

use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::run_job;
use crate::bench::http::Connection;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::measure::Samples;
use crate::bench::report::Row;
use crate::tell;

const ROUNDS: usize = 80;
const JOBS_PER_ROUND: usize = 10;

const SMALL_BYTES: u64 = 64 << 10;
const LARGE_BYTES: u64 = 1 << 30;
const PATCH_BYTES: u64 = 4 << 10;
const UPLOAD_PIECE_BYTES: usize = 64 << 10;

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    Ok(vec![append()?, patch()?])
}

/// A session may hold 10,000 names: the guest makes 9,890 files in 99 folders
/// of one, and there is the log.
fn append() -> anyhow::Result<Row> {
    tell::step("append 4 KiB in a session with 10 files, and in one with 10,000");
    let house = House::open()?;
    let mut connection = house.door.open()?;
    for (session, files) in [("few", "10"), ("many", "9890")] {
        house.make_session(session)?;
        run_job(&mut connection, &ground::with_module(ground::FILLER, session, &[files]))?;
    }
    let order = |session: &'static str| move || ground::job(session, &["append", "/log"]);
    let samples = compare(&house, [Box::new(order("few")), Box::new(order("many"))])?;
    Ok(Row::of_times("append 4 KiB to a file", ["10 files", "10,000 files"], &samples))
}

fn patch() -> anyhow::Result<Row> {
    tell::step("patch 4 KiB of a file of 64 KiB, and of one of 1 GiB");
    let house = House::open()?;
    let mut connection = house.door.open()?;
    for (session, bytes) in [("small", SMALL_BYTES), ("large", LARGE_BYTES)] {
        house.make_session(session)?;
        upload(&mut connection, session, bytes).with_context(|| format!("cannot upload {bytes} bytes"))?;
    }
    let order = |session: &'static str, bytes: u64| {
        let mut number = 0_u64;
        move || {
            number += 1;
            // A walk over all of the file that looks like chance and is the same in each run.
            let place = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            let offset = place % (bytes / PATCH_BYTES) * PATCH_BYTES;
            ground::job(session, &["patch", "/f", &offset.to_string(), &number.to_string()])
        }
    };
    let samples = compare(&house, [Box::new(order("small", SMALL_BYTES)), Box::new(order("large", LARGE_BYTES))])?;
    Ok(Row::of_times("patch 4 KiB of a file", ["64 KiB", "1 GiB"], &samples))
}

/// No piece of the file is like another, and none is of zeros.
fn upload(connection: &mut Connection, session: &str, bytes: u64) -> anyhow::Result<()> {
    let put = format!("PUT /v1/sessions/{session}/files/f");
    let pieces = bytes / UPLOAD_PIECE_BYTES as u64;
    let sent = connection.send_pieces(&put, (pieces, UPLOAD_PIECE_BYTES), |number, piece| {
        piece.fill(b'f');
        piece[..8].copy_from_slice(&number.to_le_bytes());
    });
    sent?.good(&put).map(|_| ())
}

type Orders = Box<dyn FnMut() -> Value>;

fn compare(house: &House, orders: [Orders; 2]) -> anyhow::Result<[Samples; 2]> {
    let process = house.server.process();
    let [first, second] = orders.map(|mut order| -> anyhow::Result<_> {
        let mut connection = house.door.open()?;
        let round = move || measure::one_by_one(JOBS_PER_ROUND, || run_job(&mut connection, &order()));
        Ok(Contestant::new(process, round))
    });
    measure::alternate(ROUNDS, [first?, second?])
}
