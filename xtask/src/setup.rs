//! The toolchain's wasm targets, which jobs are built for.

use std::path::Path;

use anyhow::Context as _;

use crate::run;
use crate::tell;

const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

/// Adds what is missing; does nothing on a machine that has it all.
pub(crate) fn setup() -> anyhow::Result<()> {
    for target in TARGETS {
        if is_there(target)? {
            tell::say(&format!("{target} is there."));
        } else {
            // In the root, so that rustup adds it to the toolchain that the house pins.
            run::run(run::program("rustup").args(["target", "add", target]))?;
        }
    }
    Ok(())
}

fn is_there(target: &str) -> anyhow::Result<bool> {
    let mut rustc = run::program("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    let answer = rustc.output().context("cannot start rustc; install Rust with rustup first")?;
    let folder = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    Ok(answer.status.success() && Path::new(&folder).is_dir())
}
