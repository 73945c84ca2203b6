//! The demo: a real document job, from upload to rollback, through a real server.
//!
//! Goes out: to a [`server`](crate::server), which runs for as long as the demo does, and to
//! [`client`], which speaks HTTP to it.
//!
//! Promise: the server is stopped and its data removed, whatever happens here.

mod client;
mod by_hand;

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::run;
use crate::server::Server;
use crate::setup;
use crate::tell;
use client::Client;

const SESSION: &str = "/v1/sessions/order-book";

/// Builds what is needed and tells the whole story.
pub(crate) fn demo() -> anyhow::Result<()> {
    setup::setup()?;
    run::run(run::cargo().args(["build", "--package", "sessile"]))?;
    let mut letter = run::cargo();
    letter.args(["build", "--package", "letter", "--profile", "guest"]);
    run::run(letter.args(["--target", "wasm32-wasip1", "--target-dir", "target/guests"]))?;

    tell::step("start a server on an empty directory");
    let ground = TempDir::new().context("cannot make a directory for the demo's data")?;
    let server = Server::start(&binary()?, ground)?;
    tell::say(&format!("It listens on {} and says so with one JSON line.", server.url));
    let client = Client::new(&server);
    prepare(&client)?;
    one_job(&client)?;
    two_jobs_at_once(&client)?;
    a_job_that_fails(&client)?;

    tell::step("the same by hand");
    by_hand::show();
    drop(server);
    tell::step("the demo's server is stopped and its data is gone");
    Ok(())
}

/// The server's binary, which cargo puts beside ours.
fn binary() -> anyhow::Result<PathBuf> {
    let xtask = std::env::current_exe().context("cannot tell where xtask lies")?;
    Ok(xtask.with_file_name("sessile"))
}

/// The module that the demo runs.
fn module() -> PathBuf {
    run::root().join("target/guests/wasm32-wasip1/guest/letter.wasm")
}

/// The document that it reads.
fn document() -> PathBuf {
    run::root().join("examples/letter/data.xml")
}

fn prepare(client: &Client) -> anyhow::Result<()> {
    tell::step("upload the module `letter`");
    let wasm = fs::read(module()).context("cannot read the module that was just built")?;
    let module = client.put("/v1/modules/letter", "application/wasm", &wasm)?;
    let word = |name: &str| module[name].as_str().unwrap_or("?").to_owned();
    tell::say(&format!("{} bytes, compiled and {}; {}", module["size"], word("state"), word("digest")));

    tell::step("make a session with two parameters, and put data.xml into its directory");
    let params = json!({"sender": "Molen De Hoop", "greeting": "Dear members"});
    let session = client.post("/v1/sessions", &json!({"id": "order-book", "params": params}))?;
    tell::say(&format!("session `{}`, owner `{}`", client::text(&session["id"]), client::text(&session["owner"])));
    let xml = fs::read(document()).context("cannot read the example's data.xml")?;
    client.put(&format!("{SESSION}/files/data.xml"), "application/xml", &xml)?;
    tell::say(&format!("data.xml, {} bytes", xml.len()));
    Ok(())
}

fn one_job(client: &Client) -> anyhow::Result<()> {
    tell::step("run the job in the session and wait for its end");
    let job = client.run(&json!({"module": "letter", "session": "order-book"}))?;
    ensure!(job["state"] == "succeeded", "the job should have succeeded: {job:#}");
    tell::say("its record:");
    for name in ["id", "state", "outcome", "result", "queue_ms", "wall_ms", "memory_peak_bytes"] {
        tell::say(&format!("  {name}: {}", job[name]));
    }
    let letter = client.get(&format!("{SESSION}/files/letter.html"))?;
    tell::say("the start of the letter, which it left as letter.html in the session's directory:");
    let (_style, body) = letter.split_once("<body>").context("the letter has no body")?;
    tell::show(&body.trim().lines().take(10).collect::<Vec<_>>().join("\n"));
    tell::say(&format!("and the parameter `letters_written` is now {}", letters_written(client)?));
    Ok(())
}

fn two_jobs_at_once(client: &Client) -> anyhow::Result<()> {
    tell::step("send two jobs at the same time: they take turns");
    let order = json!({"module": "letter", "session": "order-book"});
    let jobs = thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| client.run(&order)));
        both.map(|one| one.join().expect("the thread does not panic"))
    });
    let mut jobs: Vec<Value> = jobs.into_iter().collect::<anyhow::Result<_>>()?;
    // RFC 3339 in UTC sorts as text, once its fractions are equally long.
    jobs.sort_by_key(|job| client::text(&job["started_at"]).trim_end_matches('Z').to_owned());
    for job in &jobs {
        ensure!(job["state"] == "succeeded", "the job should have succeeded: {job:#}");
        let (from, to) = (client::text(&job["started_at"]), client::text(&job["ended_at"]));
        tell::say(&format!("from {from} to {to}  job {}", client::text(&job["id"])));
    }
    tell::say(&format!("no letter is lost: `letters_written` is {}", letters_written(client)?));
    Ok(())
}

fn a_job_that_fails(client: &Client) -> anyhow::Result<()> {
    tell::step("make a job fail after it has written everything: nothing of it stays");
    let before = (client.get(&format!("{SESSION}/files/letter.html"))?, letters_written(client)?);
    let order = json!({"module": "letter", "session": "order-book", "args": ["--fail-after-writing"]});
    let job = client.run(&order)?;
    tell::say(&format!("state: {}, outcome: {}", job["state"], job["outcome"]));
    tell::say("what it wrote to stderr:");
    tell::show(&client.get(&format!("/v1/jobs/{}/stderr", client::text(&job["id"])))?);
    let after = (client.get(&format!("{SESSION}/files/letter.html"))?, letters_written(client)?);
    ensure!(job["state"] == "failed", "the job should have failed: {job:#}");
    ensure!(before == after, "the failed job has left something behind");
    tell::say(&format!("letter.html is byte for byte what it was, and `letters_written` is still {}", after.1));
    Ok(())
}

fn letters_written(client: &Client) -> anyhow::Result<String> {
    client.get(&format!("{SESSION}/params/letters_written"))
}
