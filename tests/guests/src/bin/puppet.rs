//! Says where it is, then does what each line of stdin says and answers with a
//! line: `create ID`, `rename ID`, `delete`, `param VALUE`, `write TEXT`, `look`,
//! `trap`, `exit CODE`.

use std::fs;
use std::io;
use std::io::Write;

use sessile_guest::session;

const FILE: &str = "/f";
const PARAM: &str = "p";

fn main() {
    say(&look());
    for line in io::stdin().lines() {
        let line = line.expect("an order is text");
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        say(&match word {
            "create" => format!("{:?}", session::create(Some(rest))),
            "rename" => format!("{:?}", session::rename(rest)),
            "delete" => format!("{:?}", session::delete()),
            "param" => format!("{:?}", session::set_param(PARAM, rest)),
            "write" => format!("{:?}", fs::write(FILE, rest).map_err(|error| error.kind())),
            "look" => look(),
            "trap" => guests::trap(),
            "exit" => std::process::exit(rest.parse().expect("a code")),
            _ => panic!("`{line}` is no order"),
        });
    }
}

/// The session, the parameter and the file, as the job finds them.
fn look() -> String {
    assert_eq!(session::active(), session::id().is_some(), "what has an id is active");
    let word = |found: Option<String>| found.unwrap_or_else(|| "-".to_owned());
    let (id, param, file) = (session::id(), session::param(PARAM), fs::read_to_string(FILE).ok());
    format!("{} {} {}", word(id), word(param), word(file))
}

fn say(line: &str) {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("stdout takes a line");
}
