//! A connection of its own to the server, byte by byte.
//!
//! Promise: nothing is sent but what the test says, and nothing is put right on
//! the way, so a test can be as wrong, as slow or as greedy as it likes. A server
//! that says nothing fails the test.
//!
//! Not here: what well-behaved clients do. Ordinary requests are those of
//! [`Client`].

use std::collections::HashMap;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::Client;

/// Long beyond doubt on a slow machine under load.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// One connection.
pub struct Wire {
    socket: BufReader<TcpStream>,
}

/// One answer, as it came.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Wire {
    pub fn open(client: &Client) -> Wire {
        let socket = TcpStream::connect(client.url().trim_start_matches("http://"));
        let socket = socket.expect("the server takes a connection");
        socket.set_read_timeout(Some(SILENCE_MAX)).expect("a socket takes a timeout");
        Wire { socket: BufReader::new(socket) }
    }

    /// The header line that carries the client's key.
    pub fn key_of(client: &Client) -> String {
        let request = client.request(Method::GET, "/").build().expect("the request is whole");
        let key = request.headers()["authorization"].to_str().expect("a key is plain text").to_owned();
        format!("Authorization: {key}\r\n")
    }

    /// Sends bytes; an error says that the server does not take them any more.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.get_mut().write_all(bytes.as_ref())
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the server reads what it is sent");
        self
    }

    /// Asks for `path` with the client's key.
    pub fn get(&mut self, client: &Client, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{}\r\n", Self::key_of(client)))
    }

    /// The next answer; `None` if the connection is over.
    pub fn try_hear(&mut self) -> Option<Heard> {
        let (status, headers) = self.head()?;
        let mut body = Vec::new();
        match headers.get("content-length") {
            Some(length) => {
                body.resize(length.parse().expect("a length is a number"), 0);
                self.socket.read_exact(&mut body).ok()?;
            }
            None if headers.contains_key("transfer-encoding") => {
                while let Some(chunk) = self.chunk().filter(|chunk| !chunk.is_empty()) {
                    body.extend(chunk);
                }
                self.line()?;
            }
            None => {}
        }
        Some(Heard { status, headers, body })
    }

    #[track_caller]
    pub fn hear(&mut self) -> Heard {
        self.try_hear().expect("the server answers before it closes the connection")
    }

    /// Status and headers of the next answer, when they come.
    pub fn head(&mut self) -> Option<(u16, HashMap<String, String>)> {
        let status = self.line()?.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut headers = HashMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        Some((status.expect("a status line has a status"), headers))
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line()?, 16).expect("a chunk begins with its length");
        let mut chunk = vec![0; length];
        self.socket.read_exact(&mut chunk).ok()?;
        if length > 0 {
            self.line()?;
        }
        Some(chunk)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.socket.read_line(&mut line).ok().filter(|count| *count > 0)?;
        Some(line.trim_end().to_owned())
    }

    /// Waits until the server closes the connection, and tells what it said before.
    #[track_caller]
    pub fn closed(&mut self) -> String {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection stays open"),
            // The server may also cut it, with bytes of ours that it has not read.
            Ok(_) | Err(_) => String::from_utf8_lossy(&rest).into_owned(),
        }
    }
}

impl Heard {
    /// Demands a refusal with that code, and gives its detail.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"));
        assert_eq!(problem["code"], code, "{body}");
        problem["detail"].as_str().expect("a problem has a detail").to_owned()
    }

    /// Whether the server said that it closes the connection.
    pub fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }
}
