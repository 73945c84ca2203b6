//! The bench's HTTP/1.1: one connection that stays open, and as little work
//! between the socket and the clock as can be, since it is paid by every
//! contestant and takes the processor from the server.
//!
//! Not here: anything that the servers of the bench do not send, such as
//! redirects, or bodies without a length.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use serde_json::Value;

/// No request of the bench takes longer, not even the upload of the large file.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The server ends a connection on which nothing comes for 10 seconds.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Where a server is and what opens it.
#[derive(Clone)]
pub(super) struct Door {
    /// Without `http://`.
    pub(super) address: String,
    pub(super) key: String,
}

/// An open connection.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    door: Door,
    used_at: Instant,
    line: String,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Door {
    pub(super) fn open(&self) -> anyhow::Result<Connection> {
        let stream = BufReader::new(self.connect()?);
        Ok(Connection { stream, door: self.clone(), used_at: Instant::now(), line: String::new() })
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).with_context(|| format!("cannot reach {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }
}

impl Connection {
    /// Sends a request, whose further header lines each end in CR LF, and reads
    /// the whole answer.
    pub(super) fn send(&mut self, what: &str, headers: &str, body: &[u8]) -> anyhow::Result<Answer> {
        self.wake()?;
        let mut request = self.head(what, headers, body.len() as u64);
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        self.answer()
    }

    /// Sends a body of that many pieces, all of one length, as `piece` makes them.
    pub(super) fn send_pieces(
        &mut self,
        what: &str,
        (pieces, bytes): (u64, usize),
        mut piece: impl FnMut(u64, &mut [u8]),
    ) -> anyhow::Result<Answer> {
        self.wake()?;
        let head = self.head(what, "", pieces * bytes as u64);
        self.stream.get_mut().write_all(&head)?;
        let mut buffer = vec![0; bytes];
        for number in 0..pieces {
            piece(number, &mut buffer);
            self.stream.get_mut().write_all(&buffer)?;
        }
        self.answer()
    }

    /// Sends JSON, and demands JSON with a good status.
    pub(super) fn json(&mut self, what: &str, headers: &str, body: &Value) -> anyhow::Result<Value> {
        let headers = format!("Content-Type: application/json\r\n{headers}");
        let answer = self.send(what, &headers, &serde_json::to_vec(body)?)?.good(what)?;
        serde_json::from_slice(&answer.body).with_context(|| format!("{what} was not answered with JSON"))
    }

    /// Makes sure that the server still listens, after a pause.
    fn wake(&mut self) -> anyhow::Result<()> {
        if self.used_at.elapsed() > IDLE_MAX {
            self.stream = BufReader::new(self.door.connect()?);
        }
        Ok(())
    }

    fn head(&self, what: &str, headers: &str, length: u64) -> Vec<u8> {
        let Door { address, key } = &self.door;
        format!(
            "{what} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\
             {headers}\r\n"
        )
        .into_bytes()
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let status = self.next_line()?.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.context("the server did not answer with HTTP")?;
        let (mut length, mut in_chunks) = (0, false);
        loop {
            let line = self.next_line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("a length that is no number")?;
            }
            in_chunks |= name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked";
        }
        let mut body = Vec::new();
        if in_chunks {
            self.read_chunks(&mut body)?;
        } else {
            self.read_bytes(&mut body, length)?;
        }
        self.used_at = Instant::now();
        Ok(Answer { status, body })
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            let line = self.next_line()?;
            let length = u64::from_str_radix(line, 16).context("a chunk without a length")?;
            if length == 0 {
                // Behind the last chunk come trailers, and an empty line.
                while !self.next_line()?.is_empty() {}
                return Ok(());
            }
            self.read_bytes(body, length)?;
            ensure!(self.next_line()?.is_empty(), "a chunk is longer than it said");
        }
    }

    fn read_bytes(&mut self, body: &mut Vec<u8>, length: u64) -> anyhow::Result<()> {
        let read = (&mut self.stream).take(length).read_to_end(body)?;
        ensure!(read as u64 == length, "the server ended the connection within an answer");
        Ok(())
    }

    fn next_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            bail!("the server ended the connection");
        }
        Ok(self.line.trim_end())
    }
}

impl Answer {
    /// Demands a good status.
    pub(super) fn good(self, what: &str) -> anyhow::Result<Self> {
        if !(200..300).contains(&self.status) {
            bail!("{what} was answered {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(self)
    }
}
