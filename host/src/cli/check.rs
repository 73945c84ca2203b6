//! `sessile check`: says what is wrong in a data directory that no server uses.
//!
//! Promise: a line on stdout for each fault and a last one with counts. The exit
//! code is 0 if the store is sound, 1 if it is not, 2 if nobody can tell.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::say;
use crate::service::refusal::Chain;
use crate::store;
use crate::store::Report;

/// Something was looked at, and it is not as it should be.
const FAULTY: u8 = 1;

/// What was asked for could not be done.
const IMPOSSIBLE: u8 = 2;

pub(super) fn check(data: &Path) -> ExitCode {
    match store::check(data) {
        Ok(report) => tell(&report),
        Err(error) => impossible("check", &error),
    }
}

/// Prints what a look at a store found.
pub(super) fn tell(report: &Report) -> ExitCode {
    report.faults.iter().for_each(say);
    say(report);
    if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAULTY) }
}

/// Says on stderr why something could not be done.
pub(super) fn impossible(what: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("cannot {what}: {}", Chain(error));
    ExitCode::from(IMPOSSIBLE)
}
