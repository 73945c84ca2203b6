//! Reading over HTTP: a committed file of 1 KiB, by one client, while nobody
//! writes and while 64 others run committed jobs without pause. Reads wait for
//! no writer (R10), so what is left is what the processor and the disk cost.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use crate::bench::committed::Writer;
use crate::bench::ground::House;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::report::Row;
use crate::tell;

const ROUNDS: usize = 10;
const READS_PER_ROUND: usize = 300;
const WRITERS: usize = 64;
const READ: &str = "GET /v1/sessions/read/files/small";

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("read a file of 1 KiB over HTTP, alone and beside 64 writers");
    let house = House::open()?;
    house.make_session("read")?;
    let put = "PUT /v1/sessions/read/files/small";
    house.door.open()?.send(put, "", &[b'r'; 1_024])?.good(put)?;
    let (mut alone, mut beside) = (house.door.open()?, house.door.open()?);
    let mut writers = Writer::in_sessions(&house, WRITERS)?;

    let process = house.server.process();
    let idle = Contestant::new(process, || {
        measure::one_by_one(READS_PER_ROUND, || alone.send(READ, "", b"")?.good(READ).map(|_| ()))
    });
    let busy = Contestant::new(process, || {
        while_they_write(&mut writers, || {
            measure::one_by_one(READS_PER_ROUND, || beside.send(READ, "", b"")?.good(READ).map(|_| ()))
        })
    });
    let samples = measure::alternate(ROUNDS, [idle, busy])?;
    Ok(vec![Row::of_times("file of 1 KiB read, 1 client", ["nobody writes", "64 writers"], &samples).without_cpu()])
}

/// Does something while all writers write, and stops them.
fn while_they_write<T>(writers: &mut [Writer], work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let stop = AtomicBool::new(false);
    let stop = &stop;
    thread::scope(|scope| {
        let write = |writer: &mut Writer| -> anyhow::Result<()> {
            while !stop.load(Ordering::Relaxed) {
                writer.write()?;
            }
            Ok(())
        };
        let threads: Vec<_> = writers.iter_mut().map(|writer| scope.spawn(move || write(writer))).collect();
        let done = work();
        stop.store(true, Ordering::Relaxed);
        for writer in threads {
            writer.join().expect("a writer does not panic")?;
        }
        done
    })
}
