//! Bytes in and out: entity tags, ranges, conditions, and streams.
//!
//! Promise: RFC 9110 for one representation: `ETag`, `If-Match`,
//! `If-None-Match`, `If-Range` and single byte ranges; a request for several
//! ranges gets the whole, as the RFC allows.

use std::error::Error;
use std::fs::File;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::ops::Range;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use http_body_util::BodyExt as _;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::http::pace::Stalled;
use crate::http::places::Share;
use crate::http::problem::Code;
use crate::http::problem::Problem;
use crate::http::wire::header_text;
use crate::store::Precondition;
use crate::store::Tags;

/// RFC 7240: how the client would like to be answered.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What is said about some bytes.
pub(super) struct Meta {
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: Option<String>,
    pub(super) modified_at: Option<SystemTime>,
    pub(super) kind: HeaderValue,
}

/// Where the bytes are.
pub(super) enum Bytes {
    Memory(Vec<u8>),
    /// The same for everybody.
    Static(&'static [u8]),
    /// From its beginning.
    File(File),
}

/// Keeps `share` until the body is over.
pub(super) fn holding(share: Option<Share>, response: Response) -> Response {
    let Some(share) = share else { return response };
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &share;
            frame
        }))
    })
}

/// Answers a `GET` or `HEAD` with the bytes, a part of them, or the news that
/// the client has them already.
pub(super) fn answer(request: &HeaderMap, meta: Meta, bytes: Bytes) -> Result<Response, Problem> {
    if let Some(settled) = settled(request, &meta)? {
        return Ok(settled);
    }
    let mut headers = described(&meta)?;
    headers.insert(header::CONTENT_TYPE, meta.kind.clone());
    let (status, part) = match wanted_part(request, &meta)? {
        None => (StatusCode::OK, 0..meta.size),
        Some(Ok(part)) => {
            let range = format!("bytes {}-{}/{}", part.start, part.end - 1, meta.size);
            headers.insert(header::CONTENT_RANGE, ascii(&range)?);
            (StatusCode::PARTIAL_CONTENT, part)
        }
        Some(Err(Unsatisfiable)) => {
            let detail = format!("the range begins behind the end of the content, which has {} bytes", meta.size);
            let whole = ascii(&format!("bytes */{}", meta.size))?;
            let problem = Problem::new(Code::RangeNotSatisfiable, detail);
            return Ok(([(header::CONTENT_RANGE, whole)], problem).into_response());
        }
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    Ok((status, headers, body(bytes, part)?).into_response())
}

/// The answer that needs no bytes, if there is one.
pub(super) fn settled(request: &HeaderMap, meta: &Meta) -> Result<Option<Response>, Problem> {
    let condition = precondition(request)?;
    if condition.if_match.is_some_and(|tags| !holds(&tags, meta.etag.as_deref())) {
        return Err(Problem::new(Code::PreconditionFailed, "the content is not the one that `If-Match` names"));
    }
    if condition.if_none_match.is_some_and(|tags| holds(&tags, meta.etag.as_deref())) {
        return Ok(Some((StatusCode::NOT_MODIFIED, described(meta)?).into_response()));
    }
    Ok(None)
}

/// What is said of bytes that may not be sent.
fn described(meta: &Meta) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(etag) = &meta.etag {
        headers.insert(header::ETAG, quoted(etag)?);
    }
    if let Some(date) = meta.modified_at.and_then(http_date) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    Ok(headers)
}

/// An entity tag as a header.
pub(super) fn quoted(etag: &str) -> Result<HeaderValue, Problem> {
    let quoted = HeaderValue::from_str(&format!("\"{etag}\""));
    quoted.map_err(|_| Problem::new(Code::Internal, "the entity tag is no header"))
}

fn body(bytes: Bytes, part: Range<u64>) -> Result<Body, Problem> {
    match bytes {
        Bytes::Memory(bytes) => {
            let part = part.start as usize..part.end as usize;
            let part = bytes.get(part).unwrap_or_default().to_vec();
            Ok(Body::from(part))
        }
        Bytes::Static(bytes) => {
            let part = part.start as usize..part.end as usize;
            Ok(Body::from(bytes.get(part).unwrap_or_default()))
        }
        Bytes::File(mut file) => {
            file.seek(SeekFrom::Start(part.start)).map_err(|error| {
                tracing::error!(%error, "content could not be read");
                Problem::new(Code::Internal, "the server failed to read the content; its log says why")
            })?;
            let reader = tokio::fs::File::from_std(file).take(part.end - part.start);
            Ok(Body::from_stream(ReaderStream::with_capacity(reader, 64 << 10)))
        }
    }
}

struct Unsatisfiable;

/// The part that a `Range` asks for; `None` for the whole.
fn wanted_part(request: &HeaderMap, meta: &Meta) -> Result<Option<Result<Range<u64>, Unsatisfiable>>, Problem> {
    let Some(range) = header_text(request, &header::RANGE)? else { return Ok(None) };
    if let Some(only_if) = header_text(request, &header::IF_RANGE)? {
        let current = meta.etag.as_ref().map(|etag| format!("\"{etag}\""));
        if current.as_deref() != Some(only_if.trim()) {
            return Ok(None);
        }
    }
    Ok(parse_range(range, meta.size))
}

fn parse_range(text: &str, size: u64) -> Option<Result<Range<u64>, Unsatisfiable>> {
    // What is not understood is ignored, as RFC 9110 asks for.
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let part = match (first.trim(), last.trim()) {
        ("", suffix) => size.saturating_sub(number(suffix)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if part.start < part.end { Ok(part) } else { Err(Unsatisfiable) })
}

/// One of the things that a client would take, and how much it likes that.
pub(super) struct Choice<'h> {
    pub(super) name: &'h str,
    parameters: Vec<(&'h str, &'h str)>,
    /// From 0, which is not at all, to [`WEIGHT_MAX`]: weights have three digits behind the point.
    pub(super) weight: u32,
}

const WEIGHT_MAX: u32 = 1_000;

impl Choice<'_> {
    pub(super) fn parameter(&self, wanted: &str) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
    }
}

/// What a header such as `Accept` lists (RFC 9110, 12.4.2). What is not understood is passed over.
pub(super) fn choices<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Choice<'h>> {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|choice| {
        let mut words = choice.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let parameters = words.filter_map(|word| word.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        let mut choice = Choice { name, parameters: parameters.collect(), weight: WEIGHT_MAX };
        if let Some(weight) = choice.parameter("q") {
            let weight: f32 = weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
            choice.weight = (weight * WEIGHT_MAX as f32) as u32;
        }
        Some(choice)
    })
}

/// What must hold for a request to go on.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let tags = |name| header_text(headers, name)?.map(parse_tags).transpose();
    Ok(Precondition { if_match: tags(&header::IF_MATCH)?, if_none_match: tags(&header::IF_NONE_MATCH)? })
}

fn parse_tags(text: &str) -> Result<Tags, Problem> {
    if text.trim() == "*" {
        return Ok(Tags::Any);
    }
    let tag = |tag: &str| {
        let tag = tag.trim().strip_prefix("W/").unwrap_or(tag.trim());
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        tag.map(str::to_owned).ok_or_else(|| Problem::invalid(format!("`{text}` is no list of entity tags in quotes")))
    };
    text.split(',').map(tag).collect::<Result<_, _>>().map(Tags::Of)
}

fn holds(tags: &Tags, etag: Option<&str>) -> bool {
    match tags {
        Tags::Any => true,
        Tags::Of(tags) => etag.is_some_and(|etag| tags.iter().any(|tag| tag == etag)),
    }
}

/// Whether a `Prefer` header holds `wish`, as a word or with a value.
pub(super) fn prefers(header: &str, wish: &str) -> bool {
    preference(header, wish).is_some()
}

/// The value of `wish` in a `Prefer` header; empty for a bare word.
pub(super) fn preference<'h>(header: &'h str, wish: &str) -> Option<&'h str> {
    header.split([',', ';']).find_map(|part| {
        let (word, value) = part.split_once('=').unwrap_or((part, ""));
        word.trim().eq_ignore_ascii_case(wish).then(|| value.trim().trim_matches('"'))
    })
}

/// The next piece of a body.
pub(super) async fn next_piece(body: &mut Body) -> Result<Option<bytes::Bytes>, Problem> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(broken_off(error)),
            Some(Ok(frame)) => {
                // Trailers mean nothing to us.
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

fn broken_off(error: axum::Error) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut stalled = None;
    while let Some(error) = cause {
        stalled = stalled.or(error.downcast_ref::<Stalled>());
        cause = error.source();
    }
    let problem = match stalled {
        Some(stalled) => Problem::new(Code::RequestTimeout, stalled.to_string()),
        None => Problem::invalid("the body ended before it was complete, or is not framed as it must be"),
    };
    // Where the next request would begin, nobody knows.
    problem.closing()
}

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A `Location` from its path segments.
pub(super) fn location(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, SEGMENT))).collect()
}

fn http_date(moment: SystemTime) -> Option<HeaderValue> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = OffsetDateTime::from(moment).format(&format).ok()?;
    HeaderValue::from_str(&text).ok()
}

fn ascii(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|_| Problem::new(Code::Internal, "an answer could not be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_range(text: &str, size: u64, expected: Option<Option<Range<u64>>>) {
        let parsed = parse_range(text, size).map(Result::ok);
        assert_eq!(parsed, expected, "{text} of {size}");
    }

    #[test]
    fn a_range_is_cut_to_the_content() {
        check_range("bytes=0-3", 10, Some(Some(0..4)));
        check_range("bytes=5-", 10, Some(Some(5..10)));
        check_range("bytes=-3", 10, Some(Some(7..10)));
        check_range("bytes=-30", 10, Some(Some(0..10)));
        check_range("bytes=8-30", 10, Some(Some(8..10)));
        check_range("bytes=10-", 10, Some(None));
        check_range("bytes=0-", 0, Some(None));
        check_range("bytes=3-1", 10, None);
        check_range("bytes=a-b", 10, None);
        check_range("bytes=0-1,3-4", 10, None);
        check_range("lines=0-1", 10, None);
    }

    #[test]
    fn entity_tags_are_read_with_and_without_w() {
        assert_eq!(parse_tags("*").unwrap(), Tags::Any);
        assert_eq!(parse_tags("\"a\", W/\"b\"").unwrap(), Tags::Of(vec!["a".into(), "b".into()]));
        assert!(parse_tags("a").is_err());
    }

    #[test]
    fn a_wish_is_found_among_others() {
        assert_eq!(preference("respond-async, wait=10", "wait"), Some("10"));
        assert_eq!(preference("Wait=\"5\"", "wait"), Some("5"));
        assert!(prefers("respond-async", "respond-async"));
        assert!(!prefers("waiting=1", "wait"));
    }

    #[test]
    fn a_location_is_percent_encoded() {
        assert_eq!(location(&["v1", "a b/ü"]), "/v1/a%20b%2F%C3%BC");
    }
}
