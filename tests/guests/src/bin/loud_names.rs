//! Uses its argument as a name of every kind: a file, a parameter, a line of its log, its output.

use std::io::Write as _;

use sessile_guest::job;
use sessile_guest::job::Level;
use sessile_guest::session;

fn main() {
    let name = guests::arg(0).expect("a name");
    std::fs::write(format!("/{name}"), &name).expect("a file can have any name");
    // Names of parameters are without control characters.
    let taken = session::set_param(&name, &name).is_ok();
    assert_eq!(taken, !name.chars().any(char::is_control), "{name:?}");
    job::log(Level::Warn, &name);
    std::io::stdout().write_all(name.as_bytes()).expect("stdout takes bytes");
    std::io::stderr().write_all(&[0xff, 0x00, 0x1b]).expect("stderr takes bytes");
}
