//! What a developer does with one word: `cargo xtask <word>`.
//!
//! Comes in: a word. Goes out: to cargo, to rustup, and for demo and bench
//! to a server over HTTP.
//!
//! Not here: anything that a test wants to call. That is in the library or in
//! the tests' kit.
#![allow(clippy::print_stdout, reason = "a developer reads it on the terminal")]

mod tell;
mod run;
mod setup;
mod test;
mod lint;
mod crash;
mod fuzz;
mod server;
mod demo;
mod bench;

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;

use crate::bench::soak;

const USAGE: &str = "\
cargo xtask <word>

  demo               walk a real document job through a real server
  test               run everything: unit tests, doc tests, one test per promise
  lint               formatting, clippy and cargo deny
  crash [--rounds N] kill the server under load N times (100 unless told)
  fuzz [--minutes N] [TARGET]
                     look for bytes that break a promise, on nightly, with cargo-fuzz; see docs/fuzzing.md
  bench [--wasmtime PATH] [GROUP…]
                     compare what things cost, in release builds on this machine; see BENCH.md
  soak [--minutes N] load a server for N minutes (10 unless told) and say what grows; see BENCH.md
  setup              add the wasm targets to the toolchain; demo and test do it themselves
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match obey(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(words: &[&str]) -> anyhow::Result<()> {
    match words {
        ["setup"] => setup::setup(),
        ["test"] => test::test(),
        ["lint"] => lint::lint(),
        ["crash"] => crash::crash(crash::ROUNDS),
        ["crash", "--rounds", rounds] => crash::crash(crash::parse(rounds)?),
        ["fuzz"] => fuzz::fuzz(fuzz::MINUTES, None),
        ["fuzz", "--minutes", minutes] => fuzz::fuzz(fuzz::parse(minutes)?, None),
        ["fuzz", "--minutes", minutes, target] => fuzz::fuzz(fuzz::parse(minutes)?, Some(target)),
        ["fuzz", target] => fuzz::fuzz(fuzz::MINUTES, Some(target)),
        ["demo"] => demo::demo(),
        ["soak"] => soak::soak(soak::MINUTES),
        ["soak", "--minutes", minutes] => soak::soak(soak::parse(minutes)?),
        ["bench", "--wasmtime", wasmtime, groups @ ..] => bench::bench(Some(Path::new(wasmtime)), groups),
        ["bench", groups @ ..] => bench::bench(None, groups),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is not a word of xtask\n\n{USAGE}", words.join(" ")),
    }
}
