//! Where one request on a connection ends and the next begins (RFC 9112).
//!
//! Comes in: the bytes of a connection, from [`gate`](super::gate), before
//! hyper sees them.
//! Goes out: how long the body of a request is, or a [`Fault`].
//!
//! Promise: pure, and stricter than hyper. What two readers could take for two
//! different requests is a fault here, also where hyper would choose one way and
//! leave no trace of the other: two lengths, a length beside chunks, a line that
//! ends without CR.
//!
//! Not here: what a request means.

use axum::http::Uri;

use crate::limits::HEAD_BYTES_MAX;
use crate::limits::HEADERS_MAX;
use crate::limits::TARGET_BYTES_MAX;

/// What is wrong with the framing of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The head is larger than it may be.
    TooLarge(String),
    /// It is not formed as it must be, or could be read in two ways.
    Malformed(String),
}

/// How much of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Bytes(u64),
    Chunks(Chunks),
}

/// Where in a chunked body the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    Size { size: u64, digits: u32 },
    Extension { size: u64, bytes: usize },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { bytes: usize, line_is_empty: bool },
    TrailerLf { bytes: usize, line_is_empty: bool },
    Over,
}

fn malformed<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Malformed(text.into()))
}

/// Where the head ends that `bytes` begin with, if it is whole. Generous, so
/// that a head with wrong line ends is refused and not waited for. `seen` bytes
/// were looked at before.
pub(super) fn head_end(bytes: &[u8], seen: usize) -> Option<usize> {
    let ends = |at: usize| {
        let line = bytes.get(..at).unwrap_or_default();
        line.ends_with(b"\n") || line.ends_with(b"\n\r")
    };
    (seen..bytes.len()).find(|&at| bytes[at] == b'\n' && ends(at)).map(|at| at + 1)
}

/// Reads a whole head: what follows it on the connection.
pub(super) fn read_head(head: &[u8]) -> Result<Rest, Fault> {
    let Some(lines) = head.strip_suffix(b"\r\n\r\n") else {
        return malformed("a line of the head does not end with CR LF");
    };
    let mut lines = split_lines(lines);
    let first = lines.next().unwrap_or_default();
    let (version, authority) = request_line(first)?;
    let mut found = Found::default();
    for (count, line) in lines.enumerate() {
        if count >= HEADERS_MAX {
            return Err(Fault::TooLarge(format!("the request has more than {HEADERS_MAX} headers")));
        }
        found.header(line)?;
    }
    found.body(version, authority)
}

/// The lines between CR LF.
fn split_lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let end = text.windows(2).position(|pair| pair == b"\r\n");
        let line = &text[..end.unwrap_or(text.len())];
        match end {
            Some(end) => text = &text[end + 2..],
            None => over = true,
        }
        Some(line)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// The version, and the authority of a target that names one.
fn request_line(line: &[u8]) -> Result<(Version, Option<&[u8]>), Fault> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return malformed("the first line must be a method, a target and a version with one space between each");
    };
    if method.is_empty() || !method.iter().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(byte)) {
        return malformed("the method is not a word");
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return malformed("the version must be HTTP/1.1 or HTTP/1.0"),
    };
    if target.len() > TARGET_BYTES_MAX {
        let bytes = target.len();
        return malformed(format!("the target has {bytes} bytes, and at most {TARGET_BYTES_MAX} are allowed"));
    }
    if !target.iter().all(|byte| byte.is_ascii_graphic() && !b"#<>`".contains(byte)) {
        return malformed("the target holds a byte that must be percent-encoded");
    }
    // What the server behind would refuse without a word.
    if Uri::try_from(target).is_err() {
        return malformed("the target is no address; percent-encode what is no letter, digit or mark of a URL");
    }
    if target.starts_with(b"/") {
        return Ok((version, None));
    }
    // A proxy may write the whole address (RFC 9112, 3.2.2).
    let Some(rest) = target.strip_prefix(b"http://") else { return malformed("the target must begin with `/`") };
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    Ok((version, Some(&rest[..end])))
}

/// What the headers say that decides where the request ends and for whom it is.
#[derive(Default)]
struct Found<'h> {
    hosts: Vec<&'h [u8]>,
    lengths: Vec<&'h [u8]>,
    codings: Vec<&'h [u8]>,
}

impl<'h> Found<'h> {
    fn header(&mut self, line: &'h [u8]) -> Result<(), Fault> {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
        let (name, value) = line.split_at(colon);
        // Neither a line that goes on from the last one nor a space before the colon passes here.
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if name.is_empty() || !name.iter().all(token) {
            return malformed("a header must be a name, a colon and a value in one line, without a space in the name");
        }
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return malformed("a header's value holds a control character");
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts.push(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings.push(value);
        }
        Ok(())
    }

    fn body(self, version: Version, authority: Option<&[u8]>) -> Result<Rest, Fault> {
        let hosts = self.hosts.len();
        if hosts > 1 || (hosts == 0 && version == Version::Http11) {
            return malformed(format!("the header `Host` is there {hosts} times, and must be there once"));
        }
        let host = self.hosts.first().copied().unwrap_or_default();
        if !host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".:-_~%[]".contains(byte)) {
            return malformed("the header `Host` is not a name or an address");
        }
        if authority.is_some_and(|authority| hosts == 1 && !authority.eq_ignore_ascii_case(host)) {
            return malformed("the target and the header `Host` name different hosts");
        }
        match (&self.lengths[..], &self.codings[..]) {
            ([], []) => Ok(Rest::Bytes(0)),
            ([length], []) => content_length(length).map(Rest::Bytes),
            ([], [coding]) if version == Version::Http11 && coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Rest::Chunks(Chunks::Size { size: 0, digits: 0 }))
            }
            ([], [_]) if version == Version::Http10 => malformed("HTTP/1.0 has no `Transfer-Encoding`"),
            ([], [_]) => malformed("`Transfer-Encoding` must be `chunked`"),
            ([], _) => malformed("`Transfer-Encoding` is there twice"),
            (_, []) => malformed("`Content-Length` is there twice"),
            _ => malformed("`Content-Length` and `Transfer-Encoding` are both there; send one of them"),
        }
    }
}

fn content_length(value: &[u8]) -> Result<u64, Fault> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    // The server behind keeps the highest for itself.
    let number = number.filter(|number| *number <= u64::MAX - 2);
    number.map_or_else(|| malformed("`Content-Length` is no number of bytes"), Ok)
}

impl Rest {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Rest::Bytes(0) | Rest::Chunks(Chunks::Over))
    }

    /// How many of `bytes` belong to the body; behind them the next head begins.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match self {
            Rest::Bytes(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Ok(taken)
            }
            Rest::Chunks(chunks) => chunks.take(bytes),
        }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken) {
            if *self == Chunks::Over {
                break;
            }
            if let Chunks::Data { left } = self {
                let some = (bytes.len() - taken).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= some as u64;
                taken += some;
                if *left == 0 {
                    *self = Chunks::DataCr;
                }
                continue;
            }
            *self = self.after(byte)?;
            taken += 1;
        }
        Ok(taken)
    }

    /// The state after one byte that is no data.
    fn after(self, byte: u8) -> Result<Chunks, Fault> {
        use Chunks::*;
        // Every line of a chunked body ends with CR LF: a bare one of either is the trick by which
        // two readers see two different chunks.
        let next = match (self, byte) {
            (Size { size, digits: 1.. }, b'\r') => SizeLf { size },
            (Size { size, digits: 1.. }, b';') => Extension { size, bytes: 0 },
            (Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Extension { size, .. }, b'\r') => SizeLf { size },
            (Extension { size, bytes }, _) if is_text(byte) && bytes < HEAD_BYTES_MAX => {
                Extension { size, bytes: bytes + 1 }
            }
            (SizeLf { size: 0 }, b'\n') => Trailer { bytes: 0, line_is_empty: true },
            (SizeLf { size }, b'\n') => Data { left: size },
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size { size: 0, digits: 0 },
            (Trailer { bytes, line_is_empty }, b'\r') => TrailerLf { bytes, line_is_empty },
            (Trailer { bytes, .. }, _) if is_text(byte) && bytes < HEAD_BYTES_MAX => {
                Trailer { bytes: bytes + 1, line_is_empty: false }
            }
            (TrailerLf { line_is_empty: true, .. }, b'\n') => Over,
            (TrailerLf { bytes, .. }, b'\n') => Trailer { bytes, line_is_empty: true },
            _ => return malformed("the chunks of the body are not formed as they must be"),
        };
        Ok(next)
    }
}

/// More digits than any size needs, and fewer than a number holds.
const SIZE_DIGITS_MAX: u32 = 15;

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: Rest = Rest::Chunks(Chunks::Size { size: 0, digits: 0 });

    #[track_caller]
    fn check(head: &str, expected: Option<Rest>) {
        let head = head.as_bytes();
        assert_eq!(head_end(head, 0), Some(head.len()), "the end of {head:?}");
        assert_eq!(read_head(head).ok(), expected, "{:?}", String::from_utf8_lossy(head));
    }

    /// The same after a first line and a host that are right.
    #[track_caller]
    fn check_headers(headers: &str, expected: Option<Rest>) {
        check(&format!("PUT /a HTTP/1.1\r\nHost: x\r\n{headers}\r\n"), expected);
    }

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        check_headers("", Some(Rest::Bytes(0)));
        check_headers("content-length: 12\r\n", Some(Rest::Bytes(12)));
        check_headers("Transfer-Encoding: Chunked\r\n", Some(CHUNKED));
        check("GET / HTTP/1.0\r\n\r\n", Some(Rest::Bytes(0)));
        check("GET http://X:1/a HTTP/1.1\r\nHost: x:1\r\n\r\n", Some(Rest::Bytes(0)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_a_fault() {
        check_headers("Content-Length: 5\r\nContent-Length: 5\r\n", None);
        check_headers("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None);
        check_headers("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None);
        check_headers("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None);
        check_headers("Transfer-Encoding: gzip, chunked\r\n", None);
        check_headers("Content-Length: +5\r\n", None);
        check_headers("Content-Length: 5, 5\r\n", None);
        check_headers("Content-Length: 99999999999999999999\r\n", None);
        check_headers("Content-Length : 5\r\n", None);
        check_headers("A: b\r\n c\r\n", None);
        check_headers("A: b\nB: c\r\n", None);
        check_headers("A: b\rB: c\r\n", None);
        check_headers("A: b\0\r\n", None);
        check_headers("Host: y\r\n", None);
        check_headers("no colon\r\n", None);
        check("GET / HTTP/1.1\r\n\r\n", None);
        check("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", None);
        check("GET / HTTP/1.1\nHost: x\n\n", None);
        check("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", None);
    }

    #[test]
    fn a_first_line_is_three_plain_words() {
        for line in [
            "GET  / HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/2.0",
            "GET /",
            "! / HTTP/1.1",
            "GET a HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /a<b HTTP/1.1",
            "GET /\u{fc} HTTP/1.1",
            "CONNECT x:1 HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET http://y/a HTTP/1.1",
            "GET https://x/a HTTP/1.1",
        ] {
            check(&format!("{line}\r\nHost: x\r\n\r\n"), None);
        }
    }

    #[test]
    fn chunks_end_where_they_say_however_they_are_cut() {
        let body = b"5;a=b\r\nhello\r\n0A\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET";
        for cut in 1..body.len() {
            let mut rest = CHUNKED;
            let mut taken = 0;
            for piece in body.chunks(cut) {
                taken += rest.take(piece).unwrap();
            }
            assert_eq!((taken, rest.is_over()), (body.len() - 3, true), "in pieces of {cut}");
        }
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_a_fault() {
        let bodies = [
            "\r\n",
            "x\r\n",
            "5 \r\n",
            "-5\r\n",
            "0x5\r\n",
            "5\n",
            "5\r\r\n",
            ";a\r\n",
            "5;a\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rx",
            "0\r\nA: b\n",
            "0\r\n\rx",
            "0000000000000001\r\n",
            "fffffffffffffffff\r\n",
        ];
        for body in bodies {
            let mut rest = CHUNKED;
            assert!(rest.take(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
