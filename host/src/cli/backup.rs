//! `sessile backup` and `sessile restore`.
//!
//! Promise: the exit code is 0 if it was done, 1 if what was to be copied is not
//! sound, which is told line by line, and 2 if it could not be done. Only 0 leaves
//! something new.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::check;
use crate::cli::say;
use crate::store;

pub(super) fn back_up(data: &Path, to: &Path) -> ExitCode {
    match store::back_up(data, to) {
        Ok(report) if report.faults.is_empty() => {
            say(format_args!("saved in {}; {report}", to.display()));
            ExitCode::SUCCESS
        }
        Ok(report) => check::tell(&report),
        Err(error) => check::impossible("back up", &error),
    }
}

pub(super) fn restore(from: &Path, data: &Path) -> ExitCode {
    match store::restore(from, data) {
        Ok(report) if report.faults.is_empty() => {
            say(format_args!("restored in {}; {report}", data.display()));
            ExitCode::SUCCESS
        }
        Ok(report) => check::tell(&report),
        Err(error) => check::impossible("restore", &error),
    }
}
