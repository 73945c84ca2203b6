//! Reading over HTTP: a committed file of 1 KiB, by one client, while nobody
//! writes and while 64 others run committed jobs, at a pace and without pause. Reads wait for
//! no writer (R10), so what is left is what the processor and the disk cost.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::bench::committed::Writer;
use crate::bench::ground::House;
use crate::bench::http::Connection;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::measure::Pace;
use crate::bench::measure::Samples;
use crate::bench::report::Row;
use crate::tell;

const ROUNDS: usize = 10;
const READS_PER_ROUND: usize = 300;
const WRITERS: usize = 64;
const READ: &str = "GET /v1/sessions/read/files/small";

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("read a file of 1 KiB over HTTP, alone and beside 64 writers, with a pace and without");
    let house = House::open()?;
    house.make_session("read")?;
    let put = "PUT /v1/sessions/read/files/small";
    house.door.open()?.send(put, "", &[b'r'; 1_024])?.good(put)?;
    let mut writers = Writer::in_sessions(&house, WRITERS)?;
    let paced = beside(&house, |work| while_they_write(&mut writers, Writing::AtAPace, work))?;
    let busy = beside(&house, |work| while_they_write(&mut writers, Writing::WithoutPause, work))?;
    let what = "file of 1 KiB read, 1 client";
    let paced = Row::of_times(what, ["nobody writes", "64 writers, 1,000 jobs in a second"], &paced);
    let busy = Row::of_times(what, ["nobody writes", "64 writers without pause"], &busy);
    Ok(vec![paced.without_cpu(), busy.without_cpu()])
}

/// What a round of reads gives.
type Reads = anyhow::Result<Vec<Duration>>;

/// Reads while nobody writes, and reads beside others.
fn beside(house: &House, mut others: impl FnMut(&mut dyn FnMut() -> Reads) -> Reads) -> anyhow::Result<[Samples; 2]> {
    let process = house.server.process();
    let (mut one, mut other) = (house.door.open()?, house.door.open()?);
    let read = |door: &mut Connection| {
        measure::one_by_one(READS_PER_ROUND, || door.send(READ, "", b"")?.good(READ).map(|_| ()))
    };
    let idle = Contestant::new(process, || read(&mut one));
    let busy = Contestant::new(process, || others(&mut || read(&mut other)));
    measure::alternate(ROUNDS, [idle, busy])
}

/// How others write.
#[derive(Clone, Copy)]
enum Writing {
    AtAPace,
    WithoutPause,
}

/// Does something while all writers write, and stops them.
fn while_they_write(writers: &mut [Writer], how: Writing, work: &mut dyn FnMut() -> Reads) -> Reads {
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let paces = Pace::of(writers.len());
    thread::scope(|scope| {
        let write = |writer: &mut Writer, mut pace: Pace| -> anyhow::Result<()> {
            while !stop.load(Ordering::Relaxed) {
                if let Writing::AtAPace = how {
                    pace.wait();
                }
                writer.write()?;
            }
            Ok(())
        };
        let threads: Vec<_> =
            writers.iter_mut().zip(paces).map(|(writer, pace)| scope.spawn(move || write(writer, pace))).collect();
        let done = work();
        stop.store(true, Ordering::Relaxed);
        for writer in threads {
            writer.join().expect("a writer does not panic")?;
        }
        done
    })
}
