//! `/v1/sessions/{id}/files`: what lies in a session's directory, as of its
//! last commit or an earlier one.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::http::auth::require;
use crate::http::content;
use crate::http::history::with_commit;
use crate::http::line::Line;
use crate::http::no_content;
use crate::http::openapi::words;
use crate::http::places::Kind;
use crate::http::problem::Code;
use crate::http::problem::Problem;
use crate::http::session_keys::accepted;
use crate::http::session_keys::visit;
use crate::http::sessions::named_session;
use crate::http::sessions::with_session_id;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::header_text;
use crate::http::wire::page_request;
use crate::http::wire::rfc3339;
use crate::http::wire::spooled_body;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::path::SessionPath;
use crate::service::Service;
use crate::store;
use crate::store::FileEntry;
use crate::store::Recursive;

/// What lies at a path in a session's directory.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "File")]
pub(super) struct FileView {
    #[schemars(with = "words::FilePath")]
    path: String,
    #[schemars(with = "words::EntryKindWord")]
    kind: &'static str,
    size: u64,
    #[schemars(with = "words::Moment")]
    modified_at: String,
}

impl From<FileEntry> for FileView {
    fn from(entry: FileEntry) -> Self {
        Self {
            path: entry.path.to_string(),
            kind: entry.kind.word(),
            size: entry.size,
            modified_at: rfc3339(Timestamp::from(entry.modified_at)),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The directory to list; the session's own if not said.
    #[serde(default)]
    prefix: String,
    /// Whether what lies in directories below is listed too.
    #[serde(default)]
    recursive: bool,
    /// How many items at most.
    #[schemars(with = "Option<words::Limit>")]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// The commit that is looked at; the last one if not said.
    commit: Option<u64>,
}

/// `GET …/files?prefix=&recursive=`: what lies in a directory, by path.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let prefix = if query.prefix.is_empty() { None } else { Some(session_path(&query.prefix)?) };
    let page = page_request(query.limit, query.cursor)?;
    let (files, commit) = service.files(&session, query.commit, prefix, recursive(query.recursive), page).await?;
    Ok(with_session_id(&session, with_commit(commit, Json(ListView::of(files, FileView::from)))))
}

/// `GET …/files/{path}`: the bytes; a range of them; or only about them.
pub(super) async fn read(
    State(service): State<Service>,
    caller: Caller,
    Path((id, path)): Path<(String, String)>,
    line: Line,
    Query(query): Query<CommitQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&service, &caller, &line, (&id, &path), query.commit, &headers).await
}

/// `?commit=` of a read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommitQuery {
    /// The commit that is looked at; the last one if not said.
    pub(super) commit: Option<u64>,
}

/// A file's bytes as of a commit.
pub(super) async fn answer(
    service: &Service,
    caller: &Caller,
    line: &Line,
    (id, path): (&str, &str),
    commit: Option<u64>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    require(caller, Scope::Submit)?;
    let session = named_session(service, caller, id).await?;
    let file = service.file(&session, commit, &session_path(path)?).await?;
    let commit = file.commit;
    let meta = content::Meta {
        size: file.entry.size,
        etag: Some(file.entry.etag),
        modified_at: Some(file.entry.modified_at),
        // What the bytes mean is known to who wrote them; a browser must not guess.
        kind: HeaderValue::from_static("application/octet-stream"),
    };
    let (bytes, share) = match file.body {
        store::Body::Memory(bytes) => (content::Bytes::Memory(bytes), None),
        store::Body::Spooled(file) => {
            (content::Bytes::File(file), Some(line.share(&caller.owner.tenant, Kind::Large)?))
        }
    };
    let answer = content::holding(share, content::answer(headers, meta, bytes)?);
    Ok(with_session_id(&session, with_commit(commit, answer)))
}

/// `PUT …/files/{path}`: the body becomes the whole content, at once or not at
/// all; directories above are made.
pub(super) async fn write(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path((id, path)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    must_be_the_whole_file(&headers)?;
    let visit = visit(&service, &caller, &id, &headers).await?;
    let path = session_path(&path)?;
    let only_if = content::precondition(&headers)?;
    let room = || line.share(&caller.owner.tenant, Kind::Large);
    let (spool, _share) = spooled_body(body, service.spool(), limits::FILE_BYTES_MAX, room).await?;
    let location = content::location(&["v1", "sessions", visit.session.id.as_str(), "files"]);
    let location = path.as_str().split('/').fold(location, |above, name| above + &content::location(&[name]));
    let put = service.put_file(&visit, path, spool, only_if).await?;
    let etag = format!("\"{}\"", put.etag);
    let answer = if put.created {
        (StatusCode::CREATED, [(header::ETAG, etag), (header::LOCATION, location)]).into_response()
    } else {
        (StatusCode::NO_CONTENT, [(header::ETAG, etag)]).into_response()
    };
    Ok(accepted(&service, &visit, with_commit(put.commit, answer)))
}

/// A part would become the file (RFC 9110, 14.5), and what a coding stands for be forgotten.
fn must_be_the_whole_file(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::invalid("a file is written as a whole; send all of its bytes, and no `Content-Range`"));
    }
    match header_text(headers, &header::CONTENT_ENCODING)? {
        None => Ok(()),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(coding) => {
            let detail = format!(
                "a file is kept as it comes, and `Content-Encoding: {coding}` would be forgotten; send it decoded, or \
                 without that header"
            );
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteQuery {
    /// Whether a directory is deleted with what is in it.
    #[serde(default)]
    recursive: bool,
}

/// `DELETE …/files/{path}`: a directory with something in it needs
/// `?recursive=true`.
pub(super) async fn delete(
    State(service): State<Service>,
    caller: Caller,
    Path((id, path)): Path<(String, String)>,
    Query(query): Query<DeleteQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let visit = visit(&service, &caller, &id, &headers).await?;
    let only_if = content::precondition(&headers)?;
    let commit = service.delete_file(&visit, session_path(&path)?, recursive(query.recursive), only_if).await?;
    Ok(accepted(&service, &visit, with_commit(commit, no_content())))
}

fn recursive(yes: bool) -> Recursive {
    if yes { Recursive::Yes } else { Recursive::No }
}

fn session_path(text: &str) -> Result<SessionPath, Problem> {
    SessionPath::parse(text).map_err(|error| Problem::invalid(format!("{error}")))
}
