//! What a reader should not have to say in a review.

use std::process::Stdio;

use crate::run;
use crate::setup;
use crate::tell;

const GUESTS: &str = "tests/guests/Cargo.toml";
const FUZZ: &str = "fuzz/Cargo.toml";

/// Formatting and clippy for the house and its hostile guests, and the rules
/// about dependencies.
pub(crate) fn lint() -> anyhow::Result<()> {
    setup::setup()?;
    run::run(run::cargo().args(["fmt", "--all", "--check"]))?;
    for apart in [GUESTS, FUZZ] {
        run::run(run::cargo().args(["fmt", "--manifest-path", apart, "--check"]))?;
    }
    run::run(run::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    for target in ["wasm32-wasip1", "wasm32-wasip2"] {
        let mut clippy = run::cargo();
        clippy.args(["clippy", "--manifest-path", GUESTS, "--target", target, "--target-dir", "target/guests"]);
        run::run(clippy.args(["--", "-D", "warnings"]))?;
    }
    dependencies()
}

fn dependencies() -> anyhow::Result<()> {
    if !succeeds(&["deny", "--version"]) {
        tell::step("cargo deny check");
        tell::say("Skipped: cargo-deny is not installed. `cargo install cargo-deny --locked` gets it.");
        return Ok(());
    }
    run::run(run::cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
    // By itself, since it alone needs the network: without it the rest is worth as much.
    if succeeds(&["deny", "fetch", "db"]) {
        return run::run(run::cargo().args(["deny", "check", "advisories"]));
    }
    tell::step("cargo deny check advisories");
    tell::say("Skipped: the database of advisories cannot be fetched. Try again where github.com can be reached.");
    Ok(())
}

fn succeeds(words: &[&str]) -> bool {
    let mut look = run::cargo();
    look.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    look.status().is_ok_and(|status| status.success())
}
