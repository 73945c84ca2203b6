//! Adds up a column of a large CSV file, group by group.
//!
//! Comes in: argument 1, the file in the session's directory (`input.csv` if
//! there is none), argument 2, the column to group by (`region`), and argument
//! 3, the column to add up (`amount`).
//! Goes out: `summary.json`, a table on stdout, and a short JSON result.
//!
//! Promise: memory does not grow with the file, only with the number of groups.
//!
//! Not here: the adding up itself ([`summary`]).
#![allow(clippy::print_stdout, reason = "stdout is what a job answers with")]

mod summary;

use std::env;
use std::error::Error;
use std::fs::File;
use std::process::ExitCode;

use sessile_guest::job;
use sessile_guest::session;

use crate::summary::Columns;
use crate::summary::Summary;

const SUMMARY: &str = "summary.json";

fn main() -> ExitCode {
    match aggregate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn aggregate() -> Result<(), Box<dyn Error>> {
    if !session::active() {
        return Err("This job needs a session with a CSV file in it: name one when you submit it.".into());
    }
    let mut args = env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or_else(|| default.to_owned());
    let (input, group, value) = (arg("input.csv"), arg("region"), arg("amount"));

    let file = File::open(&input).map_err(|error| format!("{input} cannot be opened: {error}"))?;
    let bytes = file.metadata().map_err(|error| format!("{input} cannot be read: {error}"))?.len();
    let columns = Columns { group: &group, value: &value };
    let tell = |position: u64, rows: u64| job::progress(share(position, bytes), &format!("{rows} rows"));
    let summary = Summary::of(file, &columns, tell).map_err(|fault| format!("{input}, {fault}"))?;

    let json = serde_json::to_vec_pretty(&summary)?;
    std::fs::write(SUMMARY, json).map_err(|error| format!("{SUMMARY} cannot be written: {error}"))?;
    let (rows, groups) = (summary.rows, summary.groups.len());
    job::set_result(&format!(r#"{{"summary":"{SUMMARY}","rows":{rows},"groups":{groups}}}"#))?;
    job::progress(1.0, &format!("{rows} rows"));
    print!("{summary}");
    Ok(())
}

/// How much of the file has been read. An empty file is read at once.
fn share(position: u64, bytes: u64) -> f64 {
    match bytes {
        0 => 1.0,
        _ => (position as f64 / bytes as f64).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_session_it_says_what_it_needs() {
        let why = aggregate().unwrap_err().to_string();
        assert!(why.starts_with("This job needs a session"), "{why}");
    }

    #[test]
    fn progress_ends_at_one() {
        assert_eq!([share(0, 200), share(50, 200), share(200, 200)], [0.0, 0.25, 1.0]);
        assert_eq!([share(0, 0), share(9, 3)], [1.0, 1.0]);
    }
}
