//! The shapes that all nouns of the API share: JSON bodies, query strings,
//! lists, times.
//!
//! Promise: whatever a client sends, a refusal has the one shape of
//! [`Problem`]; axum's own plain-text answers never get out.

use axum::body::Body;
use axum::extract::FromRequest;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use http_body::Body as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;
use crate::http::content::next_piece;
use crate::http::openapi::words;
use crate::http::places::Share;
use crate::http::problem::Code;
use crate::http::problem::Problem;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::nesting;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::Spool;
use crate::store::SpoolWriter;

/// A JSON body: `application/json`, bounded, without unknown fields.
pub(super) struct Json<T>(pub(super) T);

/// The same where there is nothing that a request has to say: no body is as good as
/// an empty object.
pub(super) struct MaybeJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        Json::read(&whole_body(request.into_body(), limits::JSON_BYTES_MAX).await?)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = whole_body(request.into_body(), limits::JSON_BYTES_MAX).await?;
        match (bytes.is_empty(), is_json) {
            (true, false) => Ok(MaybeJson(T::default())),
            (_, true) => Json::read(&bytes).map(|Json(read)| MaybeJson(read)),
            (false, false) => Err(not_json()),
        }
    }
}

/// A form of another site can send any body but not that type (B33).
fn not_json() -> Problem {
    Problem::new(Code::UnsupportedMediaType, "a JSON body is sent with `Content-Type: application/json`")
}

impl<T: DeserializeOwned> Json<T> {
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        // First, so that no parser of ours ever recurses deeper.
        let depth = nesting::depth(bytes);
        if depth > limits::JSON_DEPTH_MAX {
            let most = limits::JSON_DEPTH_MAX;
            let detail = format!("the JSON body nests {depth} levels deep, and at most {most} are allowed");
            return Err(Problem::invalid(detail));
        }
        if !bytes.trim_ascii_start().starts_with(b"{") {
            // Serde would read an array as the fields in their order.
            return Err(Problem::invalid("the JSON body is wrong: it must be an object"));
        }
        serde_json::from_slice(bytes)
            .map(Json)
            .map_err(|error| Problem::invalid(format!("the JSON body is wrong: {error}")))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                Problem::new(Code::Internal, "the server failed to write the answer; its log says why").into_response()
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads a body of at most `bytes_max` into memory.
pub(super) async fn whole_body(mut body: Body, bytes_max: usize) -> Result<bytes::Bytes, Problem> {
    let mut whole = bytes::BytesMut::new();
    fits(body.size_hint().lower(), bytes_max as u64)?;
    while let Some(piece) = next_piece(&mut body).await? {
        fits(whole.len() as u64 + piece.len() as u64, bytes_max as u64)?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Reads a body of at most `bytes_max` into a spool: a slow client costs no memory.
/// One that does not fit into memory is counted as the tenant's.
pub(super) async fn spooled_body(
    mut body: Body,
    mut spool: SpoolWriter,
    bytes_max: u64,
    room: impl Fn() -> Result<Share, Problem>,
) -> Result<(Spool, Option<Share>), Problem> {
    let (mut bytes, mut share) = (body.size_hint().lower(), None);
    fits(bytes, bytes_max)?;
    if bytes > limits::SPOOL_MEMORY_BYTES as u64 {
        share = Some(room()?);
    }
    bytes = 0;
    while let Some(piece) = next_piece(&mut body).await? {
        bytes += piece.len() as u64;
        fits(bytes, bytes_max)?;
        if bytes > limits::SPOOL_MEMORY_BYTES as u64 && share.is_none() {
            share = Some(room()?);
        }
        spool.write(&piece).map_err(Refusal::from)?;
    }
    Ok((spool.finish(), share))
}

fn fits(bytes: u64, bytes_max: u64) -> Result<(), Problem> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let detail = format!("the body has more than {bytes_max} bytes, the most that is taken here");
    Err(Problem::new(Code::PayloadTooLarge, detail))
}

/// Turns away a request that asks something of an address that is asked nothing:
/// what is ignored here would be believed to be in force. Only who has a key is told so.
pub(super) async fn no_query(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(problem) = query_refused(&request) else { return Ok(next.run(request).await) };
    Caller::from_request_parts(&mut request.into_parts().0, &service).await?;
    Err(problem)
}

/// The same where no key is needed.
pub(super) async fn no_query_of_anybody(request: Request, next: Next) -> Result<Response, Problem> {
    match query_refused(&request) {
        Some(problem) => Err(problem),
        None => Ok(next.run(request).await),
    }
}

fn query_refused(request: &Request) -> Option<Problem> {
    let query = request.uri().query().filter(|query| !query.is_empty())?;
    let names: Vec<&str> = query.split('&').map(|part| part.split('=').next().unwrap_or_default()).collect();
    let names: String = names.join("`, `").chars().take(REPEATED_CHARS_MAX).collect();
    let method = request.method();
    Some(Problem::invalid(format!("this address takes no query with {method}, and `{names}` is there")))
}

/// A refused query may be huge; the answer repeats only its beginning.
const REPEATED_CHARS_MAX: usize = 200;

/// A query string without unknown names.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Query(query.0)).map_err(|error| {
            let query: String = parts.uri.query().unwrap_or("").chars().take(REPEATED_CHARS_MAX).collect();
            Problem::invalid(format!("the query string `{query}` is wrong: {}", deepest(&error)))
        })
    }
}

/// The innermost cause: axum's own words around it name Rust types.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

/// Parts of the path, percent-decoded.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0)).map_err(|error| Problem::invalid(format!("the path is wrong: {error}")))
    }
}

/// `?limit=` and `?cursor=` of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// How many items at most.
    #[schemars(with = "Option<words::Limit>")]
    pub(super) limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// What part of a list is asked for, within the bounds.
pub(super) fn page_request(limit: Option<usize>, cursor: Option<String>) -> Result<PageOf, Problem> {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT);
    if !(1..=limits::PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("`limit` is {limit}, and must be from 1 to {}", limits::PAGE_MAX)));
    }
    Ok(PageOf { limit, cursor })
}

/// One page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{V}List")]
pub(super) struct ListView<V> {
    items: Vec<V>,
    /// What `?cursor=` says to get the next page; `null` if this is the last one.
    next_cursor: Option<String>,
}

impl<V> ListView<V> {
    /// The page with each item as the client sees it.
    pub(super) fn of<T>(page: Page<T>, view: impl Fn(T) -> V) -> Self {
        Self { items: page.items.into_iter().map(view).collect(), next_cursor: page.next }
    }
}

/// A moment as RFC 3339 in UTC, to the microsecond.
pub fn rfc3339(moment: Timestamp) -> String {
    let nanos = i128::from(moment.micros()) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        // Only a clock beyond the year 9999 gets here.
        .unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

/// The moment that a text in RFC 3339 means, or the first microsecond after it.
pub(super) fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from((nanos + 999).div_euclid(1_000)).ok().map(Timestamp::from_micros)
}

/// The text of a header, if it is there once; twice, or no text, is an error.
pub(super) fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Whichever of the two we took, somebody on the way may have taken the other.
    if values.next().is_some() {
        return Err(Problem::invalid(format!("the header `{name}` is there twice; send it once")));
    }
    let text = value.to_str().map_err(|_| Problem::invalid(format!("the header `{name}` is not plain text")))?;
    Ok(Some(text))
}

/// Reads a JSON object, and nothing else, as `T`: serde would read an array as
/// the fields in their order.
pub(super) fn object<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: DeserializeOwned,
{
    let object = serde_json::Map::deserialize(from)?;
    serde_json::from_value(serde_json::Value::Object(object)).map_err(serde::de::Error::custom)
}

/// The same where there may be `null` in its place.
pub(super) fn maybe_object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: DeserializeOwned,
{
    let object: Option<serde_json::Map<_, _>> = Option::deserialize(from)?;
    let read = object.map(|object| serde_json::from_value(serde_json::Value::Object(object)));
    read.transpose().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_in_rfc_3339() {
        assert_eq!(rfc3339(Timestamp::from_micros(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp::from_micros(1_795_000_000_123_456)), "2026-11-18T11:06:40.123456Z");
    }

    #[test]
    fn a_limit_stays_within_its_bounds() {
        assert_eq!(page_request(None, None).unwrap().limit, 50);
        assert!(page_request(Some(0), None).is_err());
        assert!(page_request(Some(501), None).is_err());
    }
}
