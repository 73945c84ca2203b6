//! Writes a letter from what a session holds: the document job.
//!
//! Comes in: `data.xml` in the session's directory, a template (ours, or the
//! file `template.html` if the session has one), and the session's parameters
//! `sender`, `city`, `greeting` and `letters_written`.
//! Goes out: `letter.html`, a JSON result, and one more `letters_written`.
//!
//! Promise: the letter, the result and the count are kept together or not at
//! all. With `--fail-after-writing` the job does everything and then exits
//! with 3, to show that nothing of it stays.
//!
//! Not here: how the data is read ([`orders`]) and the letter is made
//! ([`page`]). Both can be tested without a host.
#![allow(clippy::print_stdout, reason = "stdout is what a job answers with")]

mod orders;
mod page;

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::process::ExitCode;

use sessile_guest::job;
use sessile_guest::session;

use crate::page::Sender;

const DATA: &str = "data.xml";
const TEMPLATE: &str = "template.html";
const LETTER: &str = "letter.html";
const WRITTEN: &str = "letters_written";

/// What happens after the letter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Succeed,
    Fail,
}

fn main() -> ExitCode {
    let ending = ending(env::args().skip(1));
    match ending.and_then(|ending| write_letter().map(|()| ending)) {
        Ok(Ending::Succeed) => ExitCode::SUCCESS,
        Ok(Ending::Fail) => {
            eprintln!("{LETTER} was written. This job now fails, as it was told, so nothing of it will stay.");
            ExitCode::from(3)
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn ending(args: impl Iterator<Item = String>) -> Result<Ending, Box<dyn Error>> {
    let mut ending = Ending::Succeed;
    for arg in args {
        match arg.as_str() {
            "--fail-after-writing" => ending = Ending::Fail,
            _ => {
                return Err(format!("`{arg}` is unknown; the only argument is --fail-after-writing.").into());
            }
        }
    }
    Ok(ending)
}

fn write_letter() -> Result<(), Box<dyn Error>> {
    if !session::active() {
        return Err("This job needs a session with a data.xml in it: name one when you submit it.".into());
    }
    let written = letters_written(session::param(WRITTEN).as_deref())?;

    job::progress(0.0, "reading data.xml");
    let xml = fs::read_to_string(DATA)
        .map_err(|error| format!("{DATA} cannot be read: {error}; store it in the session first"))?;
    let orders = orders::read(&xml).map_err(|fault| format!("{DATA}, {fault}"))?;

    job::progress(0.4, &format!("writing a letter about {} orders", orders.list.len()));
    let template = template()?;
    let letter = page::render(template.as_deref(), &orders, &sender())?;

    job::progress(0.8, "storing the letter");
    fs::write(LETTER, letter).map_err(|error| format!("{LETTER} cannot be written: {error}"))?;
    let (records, total_cents) = (orders.list.len(), orders.total_cents());
    let result = format!(r#"{{"letter":"{LETTER}","records":{records},"total_cents":{total_cents}}}"#);
    job::set_result(&result)?;
    session::set_param(WRITTEN, &(written + 1).to_string())?;

    job::progress(1.0, "done");
    println!("{LETTER}: {records} orders, {} in all.", page::money(total_cents));
    Ok(())
}

/// The session's own template, if it has one.
fn template() -> Result<Option<String>, String> {
    match fs::read_to_string(TEMPLATE) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{TEMPLATE} cannot be read: {error}")),
    }
}

/// Who writes, as the session's parameters say.
fn sender() -> Sender {
    let param = |name: &str, default: &str| session::param(name).unwrap_or_else(|| default.to_owned());
    Sender {
        name: param("sender", "Molen De Hoop"),
        city: param("city", "Utrecht"),
        greeting: param("greeting", "Dear members"),
    }
}

fn letters_written(param: Option<&str>) -> Result<u32, String> {
    let Some(text) = param else { return Ok(0) };
    text.parse().map_err(|_| format!("The parameter `{WRITTEN}` is `{text}`, which is not a count."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], expected: Result<Ending, &str>) {
        let ending = ending(args.iter().map(|arg| arg.to_string())).map_err(|error| error.to_string());
        assert_eq!(ending, expected.map_err(str::to_owned));
    }

    #[test]
    fn it_fails_on_purpose_only_when_it_is_told() {
        check(&[], Ok(Ending::Succeed));
        check(&["--fail-after-writing"], Ok(Ending::Fail));
        check(&["--fail"], Err("`--fail` is unknown; the only argument is --fail-after-writing."));
    }

    #[test]
    fn outside_a_session_it_says_what_it_needs() {
        let why = write_letter().unwrap_err().to_string();
        assert!(why.starts_with("This job needs a session"), "{why}");
    }

    #[test]
    fn the_count_of_letters_starts_at_none() {
        assert_eq!(letters_written(None), Ok(0));
        assert_eq!(letters_written(Some("7")), Ok(7));
        let why = letters_written(Some("lots")).unwrap_err();
        assert_eq!(why, "The parameter `letters_written` is `lots`, which is not a count.");
    }
}
