//! The crash run: the kill test of the promises, with more rounds.

use anyhow::Context as _;

use crate::run;
use crate::setup;
use crate::test;

/// A few minutes.
pub(crate) const ROUNDS: u32 = 100;

/// The number of rounds as it is typed.
pub(crate) fn parse(text: &str) -> anyhow::Result<u32> {
    text.parse().ok().filter(|rounds| *rounds > 0).with_context(|| format!("`{text}` is not a number of rounds"))
}

/// Kills a server under a mixed load, again and again, and checks its history.
pub(crate) fn crash(rounds: u32) -> anyhow::Result<()> {
    setup::setup()?;
    test::build()?;
    let mut kills = run::cargo();
    kills.args(["test", "--package", "sessile-tests", "--test", "it", "--", "--nocapture", "crash::"]);
    run::run(kills.env("SESSILE_CRASH_ROUNDS", rounds.to_string()))
}
