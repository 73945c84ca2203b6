//! `/v1/sessions/{id}/commits` and what is done with them; explicit transactions.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use schemars::Schema;
use serde::Deserialize;
use serde::Serialize;

use crate::http::auth::require;
use crate::http::files;
use crate::http::line::Line;
use crate::http::openapi::words;
use crate::http::problem::Problem;
use crate::http::session_keys::accepted;
use crate::http::session_keys::shown_key;
use crate::http::session_view::SessionView;
use crate::http::sessions::named_session;
use crate::http::sessions::session_id;
use crate::http::sessions::with_session_id;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::MaybeJson;
use crate::http::wire::PageQuery;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::page_request;
use crate::http::wire::rfc3339;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::history::ChangeList;
use crate::model::history::Commit;
use crate::model::history::FileChange;
use crate::model::history::ParamChange;
use crate::model::session::Session;
use crate::service::Service;
use crate::service::session_keys::Visit;

/// The commit that an answer was read from; `?commit=` asks for the same again.
const SESSION_COMMIT: HeaderName = HeaderName::from_static("session-commit");

/// A commit of a session.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Commit")]
pub(super) struct CommitView {
    /// Its number; 0 is the session as it was made.
    commit: u64,
    #[schemars(with = "words::Moment")]
    at: String,
    /// What made it.
    #[schemars(with = "words::CauseWord")]
    cause: &'static str,
    /// The job that made it, if one did.
    #[schemars(with = "Option<words::Id>")]
    job: Option<String>,
    /// What the session's files held after it.
    bytes: u64,
    /// Files, directories and links after it.
    files: u64,
    /// What it changed; not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<ChangesView>,
}

/// What a transaction changed, or would have changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Changes")]
pub(super) struct ChangesView {
    files: Vec<FileChangeView>,
    params: Vec<ParamChangeView>,
}

/// What became of a file, a directory or a link.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FileChange")]
struct FileChangeView {
    #[schemars(with = "words::FilePath")]
    path: String,
    #[schemars(with = "words::EntryKindWord")]
    kind: &'static str,
    #[schemars(with = "words::ChangeWord")]
    change: &'static str,
    size: u64,
}

/// What became of a parameter.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ParamChange")]
struct ParamChangeView {
    #[schemars(with = "words::ParamName")]
    name: String,
    #[schemars(with = "words::ChangeWord")]
    change: &'static str,
}

impl CommitView {
    fn of(commit: Commit, changes: Option<ChangeList>) -> Self {
        Self {
            commit: commit.number,
            at: rfc3339(commit.at),
            cause: commit.cause.word(),
            job: commit.job.map(|job| job.to_string()),
            bytes: commit.usage.bytes,
            files: commit.usage.files,
            changes: changes.map(ChangesView::from),
        }
    }
}

impl From<ChangeList> for ChangesView {
    fn from(list: ChangeList) -> Self {
        Self {
            files: list.files.into_iter().map(FileChangeView::from).collect(),
            params: list.params.into_iter().map(ParamChangeView::from).collect(),
        }
    }
}

impl From<FileChange> for FileChangeView {
    fn from(file: FileChange) -> Self {
        Self { path: file.path.to_string(), kind: file.kind.word(), change: file.change.word(), size: file.size }
    }
}

impl From<ParamChange> for ParamChangeView {
    fn from(param: ParamChange) -> Self {
        Self { name: param.name, change: param.change.word() }
    }
}

/// `GET …/commits`: those that are kept, newest first.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let commits = service.commits(&session, page_request(query.limit, query.cursor)?).await?;
    Ok(with_session_id(&session, Json(ListView::of(commits, |commit| CommitView::of(commit, None)))))
}

/// `GET …/commits/{n}`: one of them, and what it changed.
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path((id, number)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let (commit, changes) = service.commit_changes(&session, number).await?;
    Ok(with_session_id(&session, Json(CommitView::of(commit, Some(changes)))))
}

/// `GET …/commits/{n}/files/{path}`: a file as of it.
pub(super) async fn file(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path((id, number, path)): Path<(String, u64, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    files::answer(&service, &caller, &line, (&id, &path), Some(number), &headers).await
}

/// The commit to which a session goes back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Revert", transform = named_either_way)]
pub(super) struct RevertForm {
    /// The commit's number; or as `commit`, as a fork's `from` names it.
    #[serde(alias = "commit")]
    to: u64,
    /// The newest key of a session that demands keys; the header `Session-Key` says the same.
    session_key: Option<String>,
}

/// A schema knows no second name of a field, so it gets a second field.
fn named_either_way(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) else { return };
    if let Some(to) = properties.get("to").cloned() {
        properties.insert("commit".to_owned(), to);
        schema.remove("required");
        schema.insert("oneOf".to_owned(), serde_json::json!([{ "required": ["to"] }, { "required": ["commit"] }]));
    }
}

/// `POST …/revert`: the session is what it was at a commit, as a new one.
pub(super) async fn revert(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(form): Json<RevertForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let shown = shown_key(&headers, form.session_key.as_deref())?;
    let visit = service.visit(&caller.owner, &session_id(&id)?, shown.as_ref()).await?;
    let session = service.revert(&visit, form.to).await?;
    Ok(changed(&service, &visit, &session))
}

/// What the request for a commit or a rollback may hold.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SessionKey")]
pub(super) struct KeyForm {
    /// The newest key of a session that demands keys; the header `Session-Key` says the same.
    session_key: Option<String>,
}

/// `POST …/commit`: what is uncommitted is kept (R23).
pub(super) async fn commit(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    MaybeJson(form): MaybeJson<KeyForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let shown = shown_key(&headers, form.session_key.as_deref())?;
    let visit = service.visit(&caller.owner, &session_id(&id)?, shown.as_ref()).await?;
    let session = service.commit_transaction(&visit).await?;
    Ok(changed(&service, &visit, &session))
}

/// `POST …/rollback`: what is uncommitted is undone (R23).
pub(super) async fn roll_back(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    MaybeJson(form): MaybeJson<KeyForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let shown = shown_key(&headers, form.session_key.as_deref())?;
    let visit = service.visit(&caller.owner, &session_id(&id)?, shown.as_ref()).await?;
    let session = service.roll_back_transaction(&visit).await?;
    Ok(changed(&service, &visit, &session))
}

fn changed(service: &Service, visit: &Visit, session: &Session) -> Response {
    let key = service.next_key(visit);
    let view = SessionView::of(session, service.activity(session)).with_key(key.as_ref());
    accepted(service, visit, with_commit(session.commit, Json(view)))
}

/// An answer names the commit that it comes from.
pub(super) fn with_commit(number: u64, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(SESSION_COMMIT, HeaderValue::from(number));
    response
}
