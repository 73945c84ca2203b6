//! A program that the server is compared with: an example of `host`, built in
//! release, that takes orders on stdin and answers with lines.
//!
//! Promise: it ends when this is dropped.

use std::ffi::OsStr;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::ensure;

use crate::bench::ground;
use crate::run;

/// A running one.
pub(super) struct Baseline {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Baseline {
    /// Starts an example, and gives the line by which it says that it is ready.
    pub(super) fn start(name: &str, args: &[&OsStr]) -> anyhow::Result<(Self, String)> {
        let mut command = run::program(ground::built("examples").join(name));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut started = Self { child, stdin, stdout };
        let ready = started.next_line()?;
        Ok((started, ready))
    }

    /// Gives an order, and waits for the line that answers it.
    pub(super) fn ask(&mut self, order: &str) -> anyhow::Result<String> {
        writeln!(self.stdin, "{order}").context("a program of the bench takes no orders any more")?;
        self.next_line()
    }

    /// The number of its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    fn next_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).context("cannot read what a program of the bench says")?;
        ensure!(read > 0, "a program of the bench has ended");
        Ok(line)
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        // Either fails only if the process has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
