//! A server of our own: the real binary, on an empty directory and a free port.
//!
//! Promise: dropping it stops the process and removes its directory.

use std::fs;
use std::fs::File;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;
use tempfile::TempDir;

use crate::run;

/// A running server and the way in.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) key: String,
    child: Child,
    // Declared last, so that it is removed after the process has ended.
    ground: Option<TempDir>,
}

impl Server {
    /// Starts one, and comes back when it can take jobs. Its data lies in `ground`.
    pub(crate) fn start(binary: &Path, ground: TempDir) -> anyhow::Result<Self> {
        if !binary.is_file() {
            bail!("{} is not there, although it was just built", binary.display());
        }
        let log = ground.path().join("server.log");
        let mut command = run::program(binary);
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"]).arg(ground.path().join("data"));
        // What is measured is the server, and not the quota of its one tenant.
        command.env("SESSILE_QUOTA_REQUESTS_PER_S", "1000000");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log).context("cannot write the server's log")?);
        let mut child = command.spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().expect("stdout is a pipe");
        // From here on a failure stops the process by dropping this.
        let mut server = Self { url: String::new(), key: String::new(), child, ground: Some(ground) };

        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("cannot read what the server says")?;
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            bail!("the server did not say that it is ready; its log:\n{}", read(&log));
        };
        server.url = ready["url"].as_str().context("the ready line has no url")?.to_owned();
        server.key = ready["dev_key"].as_str().context("the ready line has no dev_key")?.to_owned();
        Ok(server)
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process as a power cut would, and gives what it leaves.
    pub(crate) fn kill(mut self) -> anyhow::Result<TempDir> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the server's end")?;
        self.ground.take().context("a server has one directory")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only if the process has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}
