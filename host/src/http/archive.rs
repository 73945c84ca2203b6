//! `/v1/sessions/{id}/archive`: a session's whole directory as one tar, also
//! compressed with gzip.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::header;
use axum::response::Response;

use crate::http::auth::require;
use crate::http::content;
use crate::http::content::Bytes;
use crate::http::content::Meta;
use crate::http::files::CommitQuery;
use crate::http::history::with_commit;
use crate::http::line::Line;
use crate::http::no_content;
use crate::http::places::Kind;
use crate::http::problem::Code;
use crate::http::problem::Problem;
use crate::http::session_keys::accepted;
use crate::http::session_keys::visit;
use crate::http::sessions::named_session;
use crate::http::sessions::with_session_id;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::header_text;
use crate::http::wire::spooled_body;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::session::Session;
use crate::service::Service;
use crate::store;
use crate::store::ArchiveState;
use crate::store::Coding;

/// `GET …/archive`: the directory as of a commit; or only about it.
pub(super) async fn read(
    State(service): State<Service>,
    caller: Caller,
    method: Method,
    line: Line,
    Path(id): Path<String>,
    Query(query): Query<CommitQuery>,
    mut headers: HeaderMap,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let coding = wanted_coding(&headers);
    if coding == Coding::Gzip {
        // What a program packs a second time may be another part of other bytes.
        headers.remove(header::RANGE);
    }
    // Whoever has it, or only asks about it, does not have it packed.
    let state = service.archive_state(&session, query.commit, coding)?;
    let settled = content::settled(&headers, &meta(&state, 0))?;
    let (commit, answer) = match settled {
        Some(settled) => (state.commit, settled),
        None if method == Method::HEAD => (state.commit, about(&service, &session, &state, coding, &headers).await?),
        None => {
            let packed = service.archive(&session, query.commit, coding).await?;
            let (bytes, share) = match packed.body {
                store::Body::Memory(bytes) => (Bytes::Memory(bytes), None),
                store::Body::Spooled(file) => (Bytes::File(file), Some(line.share(&caller.owner.tenant, Kind::Large)?)),
            };
            let answer = content::answer(&headers, meta(&packed.state, packed.size), bytes)?;
            (packed.state.commit, content::holding(share, answer))
        }
    };
    Ok(with_session_id(&session, with_commit(commit, coded(coding, answer))))
}

fn meta(state: &ArchiveState, size: u64) -> Meta {
    Meta {
        size,
        etag: Some(state.tag.clone()),
        modified_at: Some(state.made_at.into()),
        kind: HeaderValue::from_static("application/x-tar"),
    }
}

/// The answer to a `HEAD`. How long it is when it is compressed is not known before it is.
async fn about(
    service: &Service,
    session: &Session,
    state: &ArchiveState,
    coding: Coding,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let size = match coding {
        Coding::Identity => service.archive_size(session, Some(state.commit)).await?,
        Coding::Gzip => 0,
    };
    let mut answer = content::answer(headers, meta(state, size), Bytes::Memory(Vec::new()))?;
    if coding == Coding::Gzip {
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        let of_any_length = futures_util::stream::empty::<Result<bytes::Bytes, Infallible>>();
        *answer.body_mut() = Body::from_stream(of_any_length);
    }
    Ok(answer)
}

/// The answer says how its bytes are coded, and that others may get them otherwise.
fn coded(coding: Coding, mut answer: Response) -> Response {
    let has_bytes = answer.status().is_success();
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if coding == Coding::Gzip && has_bytes {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    }
    answer
}

/// `PUT …/archive`: the directory becomes what is in the body, at once or not at all.
pub(super) async fn write(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    if headers.contains_key(header::CONTENT_RANGE) {
        let detail = "an archive is put as a whole; send all of its bytes, and no `Content-Range`";
        return Err(Problem::invalid(detail));
    }
    let coding = sent_coding(&headers)?;
    let visit = visit(&service, &caller, &id, &headers).await?;
    let only_if = content::precondition(&headers)?;
    let room = || line.share(&caller.owner.tenant, Kind::Large);
    let (spool, bytes_max) = (service.archive_spool(&visit.session), service.archive_bytes_max(&visit.session));
    let (archive, mut share) = spooled_body(body, spool, bytes_max, room).await?;
    if coding == Coding::Gzip && share.is_none() {
        // It is large when it is unfolded, however small it came.
        share = Some(room()?);
    }
    let put = service.put_archive(&visit, archive, coding, only_if).await?;
    drop(share);
    let mut answer = no_content();
    if let Some(tag) = put.tag {
        answer.headers_mut().insert(header::ETAG, content::quoted(&tag)?);
    }
    Ok(accepted(&service, &visit, with_commit(put.commit, answer)))
}

/// How a body is coded. A file that was compressed is so by its type, too.
fn sent_coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    const TYPES: [&str; 4] =
        ["application/gzip", "application/x-gzip", "application/x-tgz", "application/x-gtar-compressed"];
    match header_text(headers, &header::CONTENT_ENCODING)? {
        Some(coding) if is_gzip(coding.trim()) => Ok(Coding::Gzip),
        Some(coding) if !coding.trim().eq_ignore_ascii_case("identity") => {
            let detail =
                format!("an archive is taken as it is or with `gzip`, and `Content-Encoding: {coding}` is neither");
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
        Some(_) => Ok(Coding::Identity),
        None => {
            let kind = header_text(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            let is_gzip = TYPES.iter().any(|name| kind.eq_ignore_ascii_case(name));
            Ok(if is_gzip { Coding::Gzip } else { Coding::Identity })
        }
    }
}

fn is_gzip(coding: &str) -> bool {
    // The two are one (RFC 9110, 8.4.1.3).
    coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")
}

/// The coding that a client likes best (RFC 9110, 12.5.3): gzip, if it is named and
/// liked no less than none at all. What is not understood is passed over.
fn wanted_coding(headers: &HeaderMap) -> Coding {
    let (mut gzip, mut identity, mut other) = (None, None, None);
    for choice in content::choices(headers, &header::ACCEPT_ENCODING) {
        let weight = Some(choice.weight);
        match choice.name {
            name if is_gzip(name) => gzip = weight,
            name if name.eq_ignore_ascii_case("identity") => identity = weight,
            "*" => other = weight,
            _ => {}
        }
    }
    let gzip = gzip.or(other).unwrap_or(0);
    let identity = identity.unwrap_or(0);
    if gzip > 0 && gzip >= identity { Coding::Gzip } else { Coding::Identity }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accepted: &[&str], expected: Coding) {
        let mut headers = HeaderMap::new();
        for value in accepted {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(wanted_coding(&headers), expected, "{accepted:?}");
    }

    #[test]
    fn gzip_is_sent_to_whoever_wants_it() {
        check(&[], Coding::Identity);
        check(&[""], Coding::Identity);
        check(&["identity"], Coding::Identity);
        check(&["gzip"], Coding::Gzip);
        check(&["deflate, GZIP, br"], Coding::Gzip);
        check(&["deflate", "x-gzip"], Coding::Gzip);
        check(&["gzip;q=0"], Coding::Identity);
        check(&["gzip;q=0.000, *"], Coding::Identity);
        check(&["gzip;q=0.2"], Coding::Gzip);
        check(&["gzip; q=0.2, identity; Q=0.5"], Coding::Identity);
        check(&["gzip;q=0.5, identity;q=0.2"], Coding::Gzip);
        check(&["*"], Coding::Gzip);
        check(&["*;q=0"], Coding::Identity);
        check(&["br, identity;q=0, *;q=0.1"], Coding::Gzip);
        check(&["gzip;q=7, gzip;q=x"], Coding::Identity);
    }

    #[test]
    fn a_body_is_gzip_by_its_coding_or_else_by_its_type() {
        let sent = |coding: Option<&str>, kind: Option<&str>| {
            let mut headers = HeaderMap::new();
            let mut add = |name, value: Option<&str>| {
                value.map(|value| headers.insert(name, HeaderValue::from_str(value).unwrap()));
            };
            add(header::CONTENT_ENCODING, coding);
            add(header::CONTENT_TYPE, kind);
            sent_coding(&headers).ok()
        };
        assert_eq!(sent(None, None), Some(Coding::Identity));
        assert_eq!(sent(Some("identity"), Some("application/gzip")), Some(Coding::Identity));
        assert_eq!(sent(Some("GZIP"), Some("application/x-tar")), Some(Coding::Gzip));
        assert_eq!(sent(None, Some("application/GZIP; x=y")), Some(Coding::Gzip));
        assert_eq!(sent(None, Some("application/x-www-form-urlencoded")), Some(Coding::Identity));
        assert_eq!(sent(Some("br"), None), None);
        assert_eq!(sent(Some("gzip, gzip"), None), None);
    }
}
