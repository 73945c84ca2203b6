//! The server's program in an operator's hands: its other verbs.
//!
//! Promise: what is called here ends by itself; its words are read to their end.

use std::ffi::OsStr;
use std::process::Command;
use std::process::Stdio;

use crate::server_binary;

/// What a call of the program came to.
#[derive(Debug)]
#[must_use = "a call that nobody looks at proves nothing"]
pub struct Called {
    pub code: Option<i32>,
    /// The lines on stdout.
    pub lines: Vec<String>,
    pub stderr: String,
}

/// Calls the program with these arguments and waits for its end.
pub fn sessile<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Called {
    let output = Command::new(server_binary()).args(args).stdin(Stdio::null()).output();
    let output = output.expect("the program can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = text(&output.stdout).lines().map(str::to_owned).collect();
    Called { code: output.status.code(), lines, stderr: text(&output.stderr) }
}

impl Called {
    /// Demands an exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Demands that it said on stderr why it could not do what it was asked for.
    #[track_caller]
    pub fn refused(self, words: &str) {
        let called = self.expect(2);
        assert!(called.stderr.contains(words), "not `{words}`: {called:#?}");
        assert_eq!(called.lines, Vec::<String>::new());
    }
}
