//! A streaming run on a socket of its own, byte by byte.
//!
//! Promise: nothing is sent or read but what the test says, so a test decides
//! how its client behaves. A server that says nothing fails the test.
//!
//! Not here: what the bytes mean. Ordinary requests are those of [`Client`].

use std::collections::HashMap;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;

use crate::Client;
use crate::Session;

/// Long beyond doubt on a slow machine under load.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// One streaming run.
pub struct Run {
    socket: BufReader<TcpStream>,
}

/// The whole answer; `trailers` are `None` if the body was cut.
#[derive(Debug)]
pub struct Read {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    pub trailers: Option<HashMap<String, String>>,
}

impl Run {
    /// Sends the head of a request whose body is chunked.
    pub fn begin(client: &Client, guest: &str, query: &str, session: Option<&Session>, wish: &str) -> Run {
        let request = client.request(Method::POST, "/").build().expect("the request is whole");
        let key = request.headers()["authorization"].to_str().expect("a key is plain text").to_owned();
        let session = session.map(|session| format!("Session-Id: {}\r\n", session.id())).unwrap_or_default();
        let socket = TcpStream::connect(client.url().trim_start_matches("http://"));
        let mut socket = socket.expect("the server takes a connection");
        socket.set_read_timeout(Some(SILENCE_MAX)).expect("a socket takes a timeout");
        let head = format!(
            "POST /v1/run/{guest}?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n{session}{wish}Transfer-Encoding: chunked\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("the server reads the head");
        Run { socket: BufReader::new(socket) }
    }

    /// Sends the whole request, with nothing in its body.
    pub fn start(client: &Client, guest: &str, query: &str, session: Option<&Session>) -> Run {
        let mut run = Run::begin(client, guest, query, session, "TE: trailers\r\n");
        run.send(b"");
        run
    }

    /// Sends a chunk; an empty one is the end.
    pub fn send(&mut self, bytes: &[u8]) {
        send(self.socket.get_mut(), bytes);
    }

    /// The way to the server, to send while another thread reads.
    pub fn socket(&self) -> TcpStream {
        self.socket.get_ref().try_clone().expect("a socket can have two handles")
    }

    /// Whether nothing of the answer has come yet that was not read.
    pub fn is_silent(&self) -> bool {
        let socket = self.socket.get_ref();
        socket.set_nonblocking(true).expect("a socket can be looked at");
        let looked = socket.peek(&mut [0]);
        socket.set_nonblocking(false).expect("a socket can be waited for");
        let nothing = looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        nothing && self.socket.buffer().is_empty()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.socket.read_line(&mut line).ok().filter(|count| *count > 0)?;
        Some(line.trim_end().to_owned())
    }

    /// Header fields or trailers, to the empty line; `None` if the answer was cut.
    pub fn fields(&mut self) -> Option<HashMap<String, String>> {
        let mut fields = HashMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { return Some(fields) };
            fields.insert(name.to_lowercase(), value.to_owned());
        }
    }

    /// The status and the header, when they come.
    pub fn head(&mut self) -> (u16, HashMap<String, String>) {
        let status = self.line().expect("the server answers");
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line has a status");
        (status, self.fields().expect("the head is whole"))
    }

    /// The next chunk; empty at the end, `None` if the body was cut.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let len = usize::from_str_radix(&self.line()?, 16).expect("a chunk begins with its length");
        let mut chunk = vec![0; len];
        self.socket.read_exact(&mut chunk).ok()?;
        if len > 0 {
            self.line()?;
        }
        Some(chunk)
    }

    /// Reads all of the answer.
    pub fn read(mut self) -> Read {
        let (status, headers) = self.head();
        let mut body = Vec::new();
        if let Some(len) = headers.get("content-length") {
            body.resize(len.parse().expect("a length is a number"), 0);
            self.socket.read_exact(&mut body).expect("the body is whole");
            return Read { status, headers, body, trailers: None };
        }
        let trailers = loop {
            match self.chunk() {
                Some(chunk) if chunk.is_empty() => break self.fields(),
                Some(chunk) => body.extend(chunk),
                None => break None,
            }
        };
        Read { status, headers, body, trailers }
    }
}

/// Sends a chunk; an empty one is the end.
pub fn send(socket: &mut TcpStream, bytes: &[u8]) {
    let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    socket.write_all(&framed).expect("the server reads what it is sent");
}

impl Read {
    /// How the job ended, as the trailer of a whole answer says.
    #[track_caller]
    pub fn outcome(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        &self.trailers.as_ref().expect("the body ended whole")["job-outcome"]
    }
}
