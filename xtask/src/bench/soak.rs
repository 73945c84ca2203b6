//! The soak: a mixed load for minutes, and whether anything grows meanwhile.
//!
//! Comes in: how long. Goes out: to a server in release over loopback, with jobs in
//! sessions, streaming runs, jobs that fail, and reads.
//!
//! Promise: what is told was measured from outside: memory, descriptors and threads
//! of the server's process, and how long its clients waited.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;

use crate::bench::committed::Writer;
use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::MODULE;
use crate::bench::idle::resident_bytes;
use crate::setup;
use crate::tell;

/// Ten, as long as it takes for what grows to show.
pub(crate) const MINUTES: u32 = 10;
/// Each session has one, and each run of a guest outside any.
const WRITERS: usize = 16;
const SAMPLE: Duration = Duration::from_secs(30);
/// Between two runs of the client that is timed.
const PAUSE: Duration = Duration::from_millis(20);

/// The number of minutes as it is typed.
pub(crate) fn parse(text: &str) -> anyhow::Result<u32> {
    text.parse().ok().filter(|minutes| *minutes > 0).with_context(|| format!("`{text}` is not a number of minutes"))
}

/// What the process holds, and how long a run took meanwhile.
struct Sample {
    minute: f64,
    resident: f64,
    descriptors: usize,
    threads: usize,
    p99: Duration,
}

/// Loads a server for so long, and says what became of it.
pub(crate) fn soak(minutes: u32) -> anyhow::Result<()> {
    setup::setup()?;
    ground::build()?;
    let house = House::open()?;
    tell::step(&format!("a mixed load for {minutes} minutes"));
    let mut writers = Writer::in_sessions(&house, WRITERS)?;
    let stop = AtomicBool::new(false);
    let (stop, house) = (&stop, &house);
    let samples = thread::scope(|scope| {
        let write = |writer: &'_ mut Writer| until(stop, || writer.write());
        let mut clients: Vec<_> = writers.iter_mut().map(|writer| scope.spawn(move || write(writer))).collect();
        clients.push(scope.spawn(move || fail(house, stop)));
        let samples = watch(house, Duration::from_secs(u64::from(minutes) * 60));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))?;
        samples
    })?;
    report(&samples);
    Ok(())
}

/// Runs jobs whose file is not there, so that the guest panics.
fn fail(house: &House, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut connection = house.door.open()?;
    let order = ground::job_outside(&["patch", "/not-there", "0", "1"]);
    until(stop, || connection.json("POST /v1/jobs", "Prefer: wait=60\r\n", &order).map(|_| ()))
}

fn until(stop: &AtomicBool, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        work()?;
    }
    Ok(())
}

/// Times streaming runs and reads, and looks at the process every now and then.
fn watch(house: &House, time: Duration) -> anyhow::Result<Vec<Sample>> {
    let (mut runs, mut reads) = (house.door.open()?, house.door.open()?);
    let run = format!("POST /v1/run/{MODULE}?arg=nothing");
    let begin = Instant::now();
    let (mut samples, mut times) = (Vec::new(), Vec::new());
    while begin.elapsed() < time {
        let sent = Instant::now();
        runs.send(&run, "", b"")?.good(&run)?;
        times.push(sent.elapsed());
        let read = "GET /v1/sessions/writer-0/files/small";
        reads.send(read, "", b"")?.good(read)?;
        thread::sleep(PAUSE);
        if begin.elapsed() >= SAMPLE * (samples.len() as u32 + 1) {
            samples.push(sample(house.server.process(), begin.elapsed(), &mut times)?);
        }
    }
    Ok(samples)
}

fn sample(process: u32, at: Duration, times: &mut Vec<Duration>) -> anyhow::Result<Sample> {
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    times.clear();
    let resident = resident_bytes(process)? as f64;
    let entries = |what: &str| fs::read_dir(format!("/proc/{process}/{what}")).map(Iterator::count);
    Ok(Sample {
        minute: at.as_secs_f64() / 60.0,
        resident: resident / f64::from(1 << 20),
        descriptors: entries("fd")?,
        threads: entries("task")?,
        p99,
    })
}

fn report(samples: &[Sample]) {
    println!("| minute | resident MB | descriptors | threads | p99 ms of a streaming run |");
    println!("| --: | --: | --: | --: | --: |");
    for Sample { minute, resident, descriptors, threads, p99 } in samples {
        let p99 = p99.as_secs_f64() * 1e3;
        println!("| {minute:.1} | {resident:.1} | {descriptors} | {threads} | {p99:.1} |");
    }
    // Caches fill at the beginning.
    let settled = &samples[samples.len() / 3..];
    let points: Vec<_> = settled.iter().map(|sample| (sample.minute, sample.resident)).collect();
    println!("\nBehind the first third, memory grows by {:.2} MB a minute.", slope(&points));
}

/// Of the straight line that lies nearest to the points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let one: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if one == 0.0 { 0.0 } else { both / one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_what_it_grows_by() {
        assert!((slope(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]) - 2.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 5.0)]), 0.0);
    }
}
