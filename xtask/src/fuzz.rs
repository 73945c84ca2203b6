//! The fuzz run: libFuzzer at each place where bytes from outside are read. The
//! tests do a second of the same without it.

use std::fs;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;

use crate::run;

/// For each target.
pub(crate) const MINUTES: u32 = 10;

/// `host/src/fuzzing.rs` has a function for each.
const TARGETS: [&str; 6] = ["imports", "paths", "backup", "archive", "store", "headers"];

/// An input that takes longer hangs.
const SECONDS_MAX: u32 = 60;
/// No input needs more for what it can say.
const BYTES_MAX: u32 = 4096;

/// The number of minutes as it is typed.
pub(crate) fn parse(text: &str) -> anyhow::Result<u32> {
    text.parse().ok().filter(|minutes| *minutes > 0).with_context(|| format!("`{text}` is not a number of minutes"))
}

/// Runs one target, or one after the other. What is found on the way is kept in
/// `target/fuzz`, for the next run; what breaks a promise is in `fuzz/artifacts`.
pub(crate) fn fuzz(minutes: u32, target: Option<&str>) -> anyhow::Result<()> {
    if let Some(target) = target.filter(|target| !TARGETS.contains(target)) {
        bail!("`{target}` is not a target; the targets are {}", TARGETS.join(", "));
    }
    must_be_there()?;
    for name in TARGETS.into_iter().filter(|name| target.is_none_or(|target| target == *name)) {
        let found = run::root().join("target/fuzz").join(name);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let mut fuzzer = fuzzer();
        // No sanitizer: we have nearly no unsafe code, and the build takes half as long.
        fuzzer.args(["run", "--sanitizer", "none", name]);
        fuzzer.arg(found).arg(run::root().join("fuzz/corpus").join(name));
        fuzzer.args(["--", &format!("-max_total_time={}", u64::from(minutes) * 60)]);
        fuzzer.args([format!("-timeout={SECONDS_MAX}"), format!("-max_len={BYTES_MAX}")]);
        run::run(fuzzer.args(["-print_final_stats=1", "-rss_limit_mb=4096"]))?;
    }
    Ok(())
}

/// Through rustup, since the house pins another toolchain.
fn fuzzer() -> std::process::Command {
    let mut fuzzer = run::program("rustup");
    fuzzer.args(["run", "nightly", "cargo", "fuzz"]);
    fuzzer
}

fn must_be_there() -> anyhow::Result<()> {
    let mut look = fuzzer();
    look.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if look.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!(
        "fuzzing needs nightly and cargo-fuzz: `rustup toolchain install nightly`, then \
         `cargo install cargo-fuzz --locked`; `cargo xtask test` does a second of it without"
    )
}
