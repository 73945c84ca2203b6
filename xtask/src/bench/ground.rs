//! What the bench stands on: release builds of the server and of those whom it is
//! compared with, the guests that they run, and a server with the guests uploaded.
//!
//! Promise: the data lies under `target/`, since `/tmp` is memory on many
//! machines, and a sync to memory costs nothing.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::bench::http::Connection;
use crate::bench::http::Door;
use crate::run;
use crate::server::Server;

/// The guest that makes small changes; see `tests/guests`.
pub(super) const MODULE: &str = "small_changes";
/// The one that fills a session with files.
pub(super) const FILLER: &str = "many_files";
/// The one that computes until it is stopped.
pub(super) const SPINNER: &str = "spin";

/// Builds all that is compared.
pub(super) fn build() -> anyhow::Result<()> {
    // One after the other: the dependencies of tests, which examples may use too, are none of the server's.
    for what in ["--bins", "--examples"] {
        run::run(run::cargo().args(["build", "--release", "--package", "sessile", what]))?;
    }
    let mut guest = run::cargo();
    guest.args(["build", "--manifest-path", "tests/guests/Cargo.toml"]);
    guest.args([MODULE, FILLER, SPINNER].iter().flat_map(|bin| ["--bin", bin]));
    run::run(guest.args(["--profile", "guest", "--target", "wasm32-wasip1", "--target-dir", "target/guests"]))
}

/// A program that was built in release; those for comparison are examples.
pub(super) fn built(name: &str) -> PathBuf {
    run::root().join("target/release").join(name)
}

/// A guest's file.
pub(super) fn guest(name: &str) -> PathBuf {
    run::root().join("target/guests/wasm32-wasip1/guest").join(name).with_extension("wasm")
}

/// A directory on the disk that the sources lie on, gone when it is dropped.
pub(super) fn directory() -> anyhow::Result<TempDir> {
    let below = results()?;
    TempDir::with_prefix_in("data-", &below).with_context(|| format!("cannot make a directory in {}", below.display()))
}

/// Where results go.
pub(super) fn results() -> anyhow::Result<PathBuf> {
    let path = run::root().join("target/bench");
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// A server that knows the guests.
pub(super) struct House {
    pub(super) server: Server,
    pub(super) door: Door,
}

impl House {
    pub(super) fn open() -> anyhow::Result<House> {
        let server = Server::start(&built("sessile"), directory()?)?;
        let address = server.url.trim_start_matches("http://").to_owned();
        let door = Door { address, key: server.key.clone() };
        [MODULE, FILLER, SPINNER].iter().try_for_each(|name| upload(&door, name))?;
        Ok(House { server, door })
    }

    /// Makes a session.
    pub(super) fn make_session(&self, id: &str) -> anyhow::Result<()> {
        self.door.open()?.json("POST /v1/sessions", "", &json!({"id": id})).map(|_| ())
    }
}

/// Uploads a guest.
pub(super) fn upload(door: &Door, name: &str) -> anyhow::Result<()> {
    let wasm = fs::read(guest(name)).context("cannot read a guest that was just built")?;
    let put = format!("PUT /v1/modules/{name}");
    door.open()?.send(&put, "Content-Type: application/wasm\r\n", &wasm)?.good(&put).map(|_| ())
}

/// The order of a job in a session.
pub(super) fn job(session: &str, args: &[&str]) -> Value {
    with_module(MODULE, session, args)
}

/// The same with another guest.
pub(super) fn with_module(module: &str, session: &str, args: &[&str]) -> Value {
    json!({"module": module, "session": session, "args": args})
}

/// The order of a job outside any session.
pub(super) fn job_outside(args: &[&str]) -> Value {
    json!({"module": MODULE, "args": args})
}

/// Submits a durable job, and waits for its good end.
pub(super) fn run_job(connection: &mut Connection, order: &Value) -> anyhow::Result<()> {
    let ended = connection.json("POST /v1/jobs", "Prefer: wait=120\r\n", order)?;
    anyhow::ensure!(ended["state"] == "succeeded", "a job of the bench did not succeed: {ended:#}");
    Ok(())
}
