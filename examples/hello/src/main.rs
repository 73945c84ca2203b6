//! The smallest job: greets, and says where it is.
//!
//! Comes in: argument 1, whom to greet (`world` if there is none).
//! Goes out: two lines on stdout.
//!
//! Not here: anything that could fail, or change a session.
#![allow(clippy::print_stdout, reason = "stdout is what a job answers with")]

use std::env;

use sessile_guest::session;

fn main() {
    let name = env::args().nth(1);
    println!("{}", greeting(name.as_deref(), session::id().as_deref()));
}

/// What the job says to `name` in `session`.
fn greeting(name: Option<&str>, session: Option<&str>) -> String {
    let name = name.unwrap_or("world");
    match session {
        Some(id) => format!("Hello, {name}!\nThis is session {id}."),
        None => format!("Hello, {name}!\nThis job is in no session."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_whom_it_is_told_and_names_the_session() {
        assert_eq!(greeting(Some("Zoë"), Some("s-1")), "Hello, Zoë!\nThis is session s-1.");
    }

    #[test]
    fn it_greets_the_world_outside_any_session() {
        assert_eq!(greeting(None, None), "Hello, world!\nThis job is in no session.");
    }
}
