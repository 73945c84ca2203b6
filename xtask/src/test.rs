//! Everything that can be tested, with one word.

use crate::run;
use crate::setup;

/// Builds the server with what the tests run, then runs all of them.
pub(crate) fn test() -> anyhow::Result<()> {
    setup::setup()?;
    build()?;
    run::run(run::cargo().args(["test", "--workspace", "--no-fail-fast"]))
}

/// The tests start the server's binary, which `cargo test` alone does not
/// build. All targets at once, so that nothing is compiled a second time with
/// other features.
pub(crate) fn build() -> anyhow::Result<()> {
    run::run(run::cargo().args(["build", "--workspace", "--all-targets"]))
}
