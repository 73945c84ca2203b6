//! Leaves its marks, then writes to stdout (or stderr, if told) without end.

use std::io;
use std::io::Write;

fn main() {
    guests::leave_marks();
    let line = [b'x'; 4096];
    let to_stderr = guests::arg(0).as_deref() == Some("stderr");
    loop {
        let written = if to_stderr { io::stderr().write_all(&line) } else { io::stdout().write_all(&line) };
        // A guest that minds a failed write would end by itself; this one does not mind.
        drop(written);
    }
}
