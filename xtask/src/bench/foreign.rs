//! What people have today: a process for each job, by `wasmtime run`, and
//! `wasmtime serve`, which runs a component for each request. Both are measured
//! only if a `wasmtime` is given, since it takes minutes to build.

use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;

use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::MODULE;
use crate::bench::http::Door;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::report::Row;
use crate::bench::streaming;
use crate::run;
use crate::tell;

const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_secs(1);
const PROCESSES: usize = 16;
const CLIENTS: usize = 64;
/// A component that answers each request with a few words; see `tests/guests`.
const COMPONENT: &str = "answer_http";
/// What `wasmtime serve` is given to be as fast as it can.
const TUNED: &[&str] =
    &["-Opooling-allocator=y", "-Opooling-memory-keep-resident=2097152", "-Opooling-table-keep-resident=2097152"];

pub(super) fn rows(wasmtime: &Path) -> anyhow::Result<Vec<Row>> {
    tell::step("streaming runs, and a process for each");
    let processes = against_processes(wasmtime)?;
    tell::step("streaming runs, and `wasmtime serve`");
    let component = build_component()?;
    let names = ["wasmtime serve", "streaming run"];
    let serve = against_serve(wasmtime, &[], &component)?;
    let serve = Row::of_rates("guest that does nothing, 64 clients", names, &serve);
    let names = ["wasmtime serve, tuned", "streaming run"];
    let tuned = against_serve(wasmtime, TUNED, &component)?;
    let tuned = Row::of_rates("guest that does nothing, 64 clients", names, &tuned);
    Ok(vec![processes, serve, tuned])
}

fn against_processes(wasmtime: &Path) -> anyhow::Result<Row> {
    let place = ground::directory()?;
    let compiled = place.path().join("guest.cwasm");
    run::run(run::program(wasmtime).arg("compile").arg("-o").arg(&compiled).arg(ground::guest(MODULE)))?;
    let job = |_: &mut ()| {
        let mut command = Command::new(wasmtime);
        command.args(["run", "--allow-precompiled", "-Wunknown-imports-trap=y", "--dir"]);
        command.arg(format!("{}::/", place.path().display())).arg(&compiled).arg("nothing");
        let status = command.stdin(Stdio::null()).status().context("cannot start `wasmtime run`")?;
        ensure!(status.success(), "`wasmtime run` failed");
        Ok(())
    };
    let mut clients = [(); PROCESSES];
    let this = std::process::id();
    let base = Contestant::new(this, move || measure::at_once(&mut clients, ROUND, job));
    let house = House::open()?;
    let ours = streaming::contestant(house.server.process(), &house.door, streaming::RUN, PROCESSES, ROUND)?;
    let samples = measure::alternate(ROUNDS, [base, ours])?;
    Ok(Row::of_rates("guest that does nothing, 16 clients", ["wasmtime run", "streaming run"], &samples).without_cpu())
}

fn build_component() -> anyhow::Result<PathBuf> {
    let mut build = run::cargo();
    build.args(["build", "--manifest-path", "tests/guests/Cargo.toml", "--example", COMPONENT]);
    run::run(build.args(["--profile", "guest", "--target", "wasm32-wasip2", "--target-dir", "target/guests"]))?;
    Ok(run::root().join("target/guests/wasm32-wasip2/guest/examples").join(COMPONENT).with_extension("wasm"))
}

fn against_serve(wasmtime: &Path, tuning: &[&str], component: &Path) -> anyhow::Result<[measure::Samples; 2]> {
    let served = Served::start(wasmtime, tuning, component)?;
    let theirs = streaming::contestant(served.child.id(), &served.door, "GET /", CLIENTS, ROUND)?;
    let house = House::open()?;
    let ours = streaming::contestant(house.server.process(), &house.door, streaming::RUN, CLIENTS, ROUND)?;
    measure::alternate(ROUNDS, [theirs, ours])
}

/// A running `wasmtime serve`, which ends when this is dropped.
struct Served {
    child: Child,
    door: Door,
    /// Kept open: whoever cannot write to it may end.
    stderr: BufReader<ChildStderr>,
}

impl Served {
    fn start(wasmtime: &Path, tuning: &[&str], component: &Path) -> anyhow::Result<Served> {
        let mut command = run::program(wasmtime);
        command.args(["serve", "--addr", "127.0.0.1:0", "-Scli"]).args(tuning).arg(component);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start `wasmtime serve`")?;
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let door = Door { address: String::new(), key: String::new() };
        // From here on a failure ends the process by dropping this.
        let mut served = Served { child, door, stderr };
        let mut line = String::new();
        served.stderr.read_line(&mut line).context("cannot read what `wasmtime serve` says")?;
        let address = line.trim().trim_end_matches('/').split_once("http://").map(|(_, address)| address.to_owned());
        served.door.address = address.with_context(|| format!("`wasmtime serve` said: {line}"))?;
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Either fails only if the process has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
