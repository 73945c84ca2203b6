//! Starts: how long it takes from the call of the program to the line that says
//! it takes jobs, on a data directory that a killed server has left, compared with
//! one that holds nothing.

use std::ffi::OsStr;
use std::fs;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::MODULE;
use crate::bench::ground::SPINNER;
use crate::bench::http::Connection;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::report::Row;
use crate::run;
use crate::server::Server;
use crate::tell;

const ROUNDS: usize = 10;
const MODULES: usize = 200;
const SESSIONS: usize = 1_000_000;
const SESSIONS_AT_WORK: usize = 1_000;
/// How often it is asked whether modules are ready.
const POLL: Duration = Duration::from_millis(100);
const POLLS_MAX: usize = 6_000;

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("starts on 200 modules that are compiled");
    let modules = against_empty("start on 200 modules", "200 modules", with_modules()?)?;
    tell::step("starts after a kill, with a job in progress or queued in each of 1,000 sessions");
    let jobs = against_empty("start after a kill, 1,000 sessions", "a job in each", with_jobs()?)?;
    tell::step("starts on 1,000,000 sessions");
    let sessions = against_empty("start on 1,000,000 sessions", "1,000,000 sessions", with_sessions()?)?;
    Ok(vec![modules, jobs, sessions])
}

fn against_empty(what: &'static str, name: &'static str, full: TempDir) -> anyhow::Result<Row> {
    let (mut empty, mut full) = (Sleeper::on(House::open()?.server.kill()?), Sleeper::on(full));
    // What a server works before it is ready is in the time already.
    let this = std::process::id();
    let contestants =
        [Contestant::new(this, || Ok(vec![empty.start()?])), Contestant::new(this, || Ok(vec![full.start()?]))];
    let samples = measure::alternate(ROUNDS, contestants)?;
    Ok(Row::of_times(what, ["a few modules, no session", name], &samples).without_cpu())
}

/// A server that is started and killed again and again.
struct Sleeper {
    ground: Option<TempDir>,
}

impl Sleeper {
    fn on(ground: TempDir) -> Sleeper {
        Sleeper { ground: Some(ground) }
    }

    fn start(&mut self) -> anyhow::Result<Duration> {
        let ground = self.ground.take().context("a start of this server has failed before")?;
        let begin = Instant::now();
        let server = Server::start(&ground::built("sessile"), ground)?;
        let taken = begin.elapsed();
        self.ground = Some(server.kill()?);
        Ok(taken)
    }
}

/// The same guest under many digests: each has a custom section with a number.
fn with_modules() -> anyhow::Result<TempDir> {
    let house = House::open()?;
    let mut connection = house.door.open()?;
    let wasm = fs::read(ground::guest(MODULE)).context("cannot read a guest that was just built")?;
    for number in 0..MODULES {
        let number = u32::try_from(number)?.to_le_bytes();
        // A custom section: its kind, its size, and a name of one letter before the bytes.
        let section = [&[0, 6, 1, b'n'], number.as_slice()].concat();
        let put = format!("PUT /v1/modules/module-{}", u32::from_le_bytes(number));
        let wasm = [wasm.as_slice(), &section].concat();
        connection.send(&put, "Content-Type: application/wasm\r\n", &wasm)?.good(&put)?;
    }
    let all_ready = |connection: &mut Connection| -> anyhow::Result<bool> {
        let list = get(connection, &format!("GET /v1/modules?limit={}", MODULES + 10))?;
        let states = list["items"].as_array().context("a list without items")?;
        ensure!(states.len() >= MODULES, "the bench expected all modules on one page");
        Ok(states.iter().all(|module| module["state"] == "ready"))
    };
    for _ in 0..POLLS_MAX {
        if all_ready(&mut connection)? {
            return house.server.kill();
        }
        thread::sleep(POLL);
    }
    anyhow::bail!("the modules of the bench do not become ready")
}

fn get(connection: &mut Connection, what: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&connection.send(what, "", b"")?.good(what)?.body)?)
}

/// Most jobs wait for a slot; those that have one compute until they are stopped.
fn with_jobs() -> anyhow::Result<TempDir> {
    let house = House::open()?;
    let mut connection = house.door.open()?;
    for number in 0..SESSIONS_AT_WORK {
        let session = format!("session-{number}");
        connection.json("POST /v1/sessions", "", &json!({"id": session}))?;
        connection.json("POST /v1/jobs", "", &ground::with_module(SPINNER, &session, &[]))?;
    }
    house.server.kill()
}

fn with_sessions() -> anyhow::Result<TempDir> {
    let house = House::open()?;
    house.make_session("idle")?;
    let ground = house.server.kill()?;
    let database = ground.path().join("data/truth.sqlite3");
    let count = SESSIONS.to_string();
    let args = [database.as_os_str(), OsStr::new("idle"), OsStr::new(&count)];
    run::run(run::program(ground::built("examples").join("many_sessions")).args(args))?;
    Ok(ground)
}
