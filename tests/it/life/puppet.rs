//! A streaming run that does what the test says, line by line.

use std::collections::HashMap;

use sessile_kit::Client;
use sessile_kit::Run;
use sessile_kit::Session;

/// Longer than any play.
const LIMITS: &str = "wall_ms=100000";

/// A puppet, which may still wait for its turn.
pub(super) struct Puppet {
    run: Run,
    heard: String,
    /// The job's id, as soon as it is known.
    pub(super) id: Option<String>,
}

impl Puppet {
    pub(super) fn send_out(client: &Client, module: &str, session: Option<&Session>) -> Self {
        let run = Run::begin(client, module, LIMITS, session, "TE: trailers\r\n");
        Self { run, heard: String::new(), id: None }
    }

    /// Waits until it begins, and gives its first line.
    pub(super) fn hello(&mut self) -> String {
        let (status, headers) = self.run.head();
        assert_eq!(status, 200, "{headers:?}");
        let id = headers["job-id"].clone();
        assert!(self.id.as_ref().is_none_or(|known| *known == id), "two jobs for one run");
        self.id = Some(id);
        self.line()
    }

    /// Gives an order, and what it answers.
    pub(super) fn obey(&mut self, order: &str) -> String {
        self.run.send(format!("{order}\n").as_bytes());
        self.line()
    }

    /// Gives its last order, and how the job ended.
    pub(super) fn obey_and_end(mut self, order: &str) -> String {
        self.run.send(format!("{order}\n").as_bytes());
        self.end()
    }

    /// Reads to the end, and gives how the job ended.
    pub(super) fn end(mut self) -> String {
        while !self.run.chunk().expect("the body ends whole").is_empty() {}
        let trailers: HashMap<_, _> = self.run.fields().expect("the trailers are whole");
        trailers["job-outcome"].clone()
    }

    /// Whether it has said nothing yet.
    pub(super) fn is_silent(&self) -> bool {
        self.run.is_silent()
    }

    fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.heard.split_once('\n') {
                let line = line.to_owned();
                self.heard = rest.to_owned();
                return line;
            }
            let chunk = self.run.chunk().filter(|chunk| !chunk.is_empty());
            let chunk = chunk.unwrap_or_else(|| panic!("the puppet ended in the middle: {:?}", self.run.fields()));
            self.heard.push_str(&String::from_utf8(chunk).unwrap());
        }
    }
}
