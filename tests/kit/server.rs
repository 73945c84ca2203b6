//! One server process, with a data directory of its own.
//!
//! Promise: however a test ends, its server is stopped by its process id and
//! its data is removed. `kill9` is as rude as the name says.
//!
//! Not here: words of the API ([`Client`]), to which a server lends itself.

use std::fs;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::ops::Deref;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::Client;
use crate::contract::Contract;

/// A server that is not ready by then has failed, however loaded the machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The same for one that is asked to stop; longer than any drain that a test sets.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is started: `SESSILE_…` settings, and a configuration file if a test has one.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    variables: Vec<(String, String)>,
    file: Option<PathBuf>,
    without_dev: bool,
}

impl Settings {
    /// Turns one setting, by its name in the configuration file.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((format!("SESSILE_{}", name.to_uppercase()), value.to_string()));
        self
    }

    /// Leaves `--dev` away, so that nobody has a key but who makes one.
    pub fn without_dev(self) -> Self {
        Self { without_dev: true, ..self }
    }

    /// Starts a server with these settings on an empty data directory.
    pub async fn start(self) -> TestServer {
        self.start_on(|_| ()).await
    }

    /// Starts one of whose answers nothing is known yet.
    pub(crate) fn start_unheld(self) -> TestServer {
        TestServer::launch(self, |_| ())
    }

    /// Starts one on the data directory that `prepare` makes where it is told.
    pub async fn start_on(self, prepare: impl FnOnce(&Path)) -> TestServer {
        // Before the test's own server, whose clients would wait for it.
        let _ = Contract::published();
        TestServer::launch(self, prepare)
    }
}

/// A running server. Asks as the key that `--dev` prints.
#[derive(Debug)]
pub struct TestServer {
    client: Client,
    url: Arc<RwLock<String>>,
    dev_key: String,
    child: Child,
    settings: Settings,
    ground: TempDir,
}

impl TestServer {
    /// A server as it comes.
    pub async fn start() -> Self {
        Settings::default().start().await
    }

    /// Turns one setting; `start` follows.
    pub fn with(name: &str, value: impl ToString) -> Settings {
        Settings::default().with(name, value)
    }

    /// A server that reads a configuration file; `start` follows.
    pub fn with_config(file: &Path) -> Settings {
        Settings { file: Some(file.to_owned()), ..Settings::default() }
    }

    fn launch(settings: Settings, prepare: impl FnOnce(&Path)) -> Self {
        let ground = tempfile::Builder::new().prefix("sessile-test-").tempdir();
        let ground = ground.expect("there is room for a data directory");
        prepare(&data(ground.path()));
        let (child, ready) = spawn(ground.path(), &settings);
        let url = Arc::new(RwLock::new(ready.url));
        let client = Client::new(url.clone(), Some(ready.dev_key.clone()));
        Self { client, url, dev_key: ready.dev_key, child, settings, ground }
    }

    /// The directory that the server was given with `--data`.
    pub fn data(&self) -> PathBuf {
        data(self.ground.path())
    }

    /// The key that `--dev` printed at the last start.
    pub fn dev_key(&self) -> &str {
        &self.dev_key
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(log(self.ground.path())).unwrap_or_default()
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be asked").is_none()
    }

    /// Ends the process as a power cut would, without asking it.
    pub fn kill9(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Starts the server again on the same data; it must have stopped.
    pub fn restart(&mut self) {
        assert!(!self.is_alive(), "the server still runs");
        let (child, ready) = spawn(self.ground.path(), &self.settings);
        self.child = child;
        self.dev_key = ready.dev_key;
        *self.url.write().expect("no thread panics while it writes a string") = ready.url;
    }

    /// Sends SIGTERM and goes on at once.
    pub fn ask_to_stop(&self) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM).expect("our own child takes a signal");
    }

    /// Waits until the process has ended.
    pub async fn stopped(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be asked") {
                return status;
            }
            assert!(start.elapsed() < STOP_TIMEOUT, "the server does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Deref for TestServer {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Either may fail because the process has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's log ---\n{}--- end of the server's log ---", self.log());
        }
    }
}

/// What the server says when it can take jobs.
struct Ready {
    url: String,
    dev_key: String,
}

fn spawn(ground: &Path, settings: &Settings) -> (Child, Ready) {
    let log_file = File::create(log(ground)).expect("the test may write its own directory");
    let mut command = Command::new(server_binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data(ground));
    if !settings.without_dev {
        command.arg("--dev");
    }
    // A developer's own settings must not change what a test sees.
    std::env::vars().filter(|(name, _)| name.starts_with("SESSILE_")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.envs(settings.variables.iter().map(|(name, value)| (name, value)));
    if let Some(file) = &settings.file {
        command.arg("--config").arg(file);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", server_binary().display()));
    match ready(&mut child) {
        Some(ready) => (child, ready),
        None => {
            let _ = child.kill();
            let log = fs::read_to_string(log(ground)).unwrap_or_default();
            panic!("the server did not say that it is ready; its log:\n{log}");
        }
    }
}

/// Reads the one line that the server prints on stdout, and keeps the pipe
/// empty after it.
fn ready(child: &mut Child) -> Option<Ready> {
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            let _ = tell.send(std::mem::take(&mut line));
        }
    });
    let line = told.recv_timeout(READY_TIMEOUT).ok()?;
    let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the ready line {line}"));
    assert_eq!(event["event"], "ready", "{line}");
    let word = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned();
    Some(Ready { url: word("url"), dev_key: event["dev_key"].as_str().unwrap_or_default().to_owned() })
}

/// The server's binary, which cargo puts above the folder of the tests.
pub fn server_binary() -> PathBuf {
    let test = std::env::current_exe().expect("the system knows which program this is");
    let profile = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let binary = profile.join("sessile");
    assert!(binary.is_file(), "{} is missing; run `cargo xtask test`, or first `cargo build`", binary.display());
    binary
}

fn data(ground: &Path) -> PathBuf {
    ground.join("data")
}

fn log(ground: &Path) -> PathBuf {
    ground.join("server.log")
}
