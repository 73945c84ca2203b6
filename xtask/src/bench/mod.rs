//! The bench: how much one thing costs over another, on this machine, now.
//!
//! Comes in: the names of groups of rows, or none for all of them, and the path of
//! a `wasmtime` if there is one.
//! Goes out: to release builds of the server and of what it is compared with,
//! over loopback.
//!
//! Promise: what is compared runs in the same minutes and takes turns, so its
//! ratio means something where its milliseconds mean nothing. Nothing here is a
//! test: no figure fails anything. `BENCH.md` says how to read it.

mod ground;
mod http;
mod baseline;
mod measure;
mod raw;
mod touched;
mod committed;
mod streaming;
mod accepting;
mod reading;
mod fairness;
mod starting;
mod idle;
mod foreign;
pub(crate) mod soak;
mod report;

use std::path::Path;

use anyhow::bail;

use crate::setup;
use crate::tell;
use report::Row;

/// A group of rows, by name.
type Group = (&'static str, fn() -> anyhow::Result<Vec<Row>>);

const GROUPS: &[Group] = &[
    ("touched", touched::rows),
    ("committed", committed::rows),
    ("streaming", streaming::rows),
    ("accepting", accepting::rows),
    ("reading", reading::rows),
    ("fairness", fairness::rows),
    ("starting", starting::rows),
    ("idle", idle::rows),
];

/// Measures the groups with these names, or all; and the server against that
/// `wasmtime`, if there is one.
pub(crate) fn bench(wasmtime: Option<&Path>, names: &[&str]) -> anyhow::Result<()> {
    let known = |name: &&str| GROUPS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
        bail!("the bench has no group `{unknown}`; it has {}", known.join(", "));
    }
    setup::setup()?;
    ground::build()?;
    let mut rows = Vec::new();
    for (name, measure) in GROUPS {
        if names.is_empty() || names.contains(name) {
            rows.extend(measure()?);
        }
    }
    match wasmtime {
        Some(wasmtime) => rows.extend(foreign::rows(wasmtime)?),
        None => tell::say("No rows against `wasmtime run` and `wasmtime serve`: they need `--wasmtime PATH`."),
    }
    tell::step("what came of it: the ratio is of a line to the one above it");
    println!("{}", report::table(&rows));
    let path = ground::results()?.join("bench.json");
    report::write_json(&rows, &path)?;
    tell::say(&format!("The same as JSON: {}", path.display()));
    Ok(())
}
