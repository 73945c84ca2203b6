//! Adds to a number that the session remembers.
//!
//! Comes in: argument 1, what to add (1 if there is none), and the session's
//! parameter `count` (0 if there is none).
//! Goes out: the sum, as parameter `count`, on stdout, and as the job's result.
//!
//! Promise: jobs of one session take turns, so no addition is ever lost,
//! although nothing here locks anything.
#![allow(clippy::print_stdout, reason = "stdout is what a job answers with")]

use std::env;
use std::error::Error;
use std::process::ExitCode;

use sessile_guest::job;
use sessile_guest::session;

const COUNT: &str = "count";

fn main() -> ExitCode {
    match count() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn count() -> Result<(), Box<dyn Error>> {
    if !session::active() {
        return Err("This job needs a session, which remembers the count: name one when you submit it.".into());
    }
    let sum = added(session::param(COUNT).as_deref(), env::args().nth(1).as_deref())?;
    session::set_param(COUNT, &sum.to_string())?;
    job::set_result(&format!(r#"{{"count":{sum}}}"#))?;
    println!("{sum}");
    Ok(())
}

/// The sum of what was remembered and what is to be added.
fn added(so_far: Option<&str>, more: Option<&str>) -> Result<i64, String> {
    let so_far = whole_number("The parameter `count`", so_far.unwrap_or("0"))?;
    let more = whole_number("Argument 1", more.unwrap_or("1"))?;
    so_far.checked_add(more).ok_or_else(|| format!("{so_far} + {more} is more than a count can hold."))
}

fn whole_number(what: &str, text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("{what} is `{text}`, which is not a whole number."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(so_far: Option<&str>, more: Option<&str>, expected: Result<i64, &str>) {
        assert_eq!(added(so_far, more), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_new_session_counts_from_zero_in_steps_of_one() {
        check(None, None, Ok(1));
        check(Some("1"), None, Ok(2));
    }

    #[test]
    fn it_adds_what_it_is_told() {
        check(Some("40"), Some("2"), Ok(42));
        check(Some("40"), Some("-50"), Ok(-10));
    }

    #[test]
    fn what_is_no_number_is_named() {
        check(Some("many"), None, Err("The parameter `count` is `many`, which is not a whole number."));
        check(None, Some("1.5"), Err("Argument 1 is `1.5`, which is not a whole number."));
    }

    #[test]
    fn it_never_wraps_around() {
        let most = i64::MAX.to_string();
        check(Some(&most), Some("1"), Err("9223372036854775807 + 1 is more than a count can hold."));
    }

    #[test]
    fn outside_a_session_it_refuses_to_count() {
        let why = count().unwrap_err().to_string();
        assert!(why.starts_with("This job needs a session"), "{why}");
    }
}
