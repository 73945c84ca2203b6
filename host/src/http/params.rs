//! `/v1/sessions/{id}/params`: a session's small named strings.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::Response;

use crate::http::auth::require;
use crate::http::files::CommitQuery;
use crate::http::history::with_commit;
use crate::http::no_content;
use crate::http::problem::Problem;
use crate::http::session_keys::accepted;
use crate::http::session_keys::visit;
use crate::http::sessions::named_session;
use crate::http::sessions::with_session_id;
use crate::http::wire::Json;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::whole_body;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::params::ParamChanges;
use crate::service::Service;
use crate::service::refusal::Refusal;

/// `GET …/params`: all of them, as one JSON object.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<CommitQuery>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let (params, commit) = service.params(&session, query.commit).await?;
    Ok(with_session_id(&session, with_commit(commit, Json(params))))
}

/// `GET …/params/{name}`: one value, as plain text.
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
    Query(query): Query<CommitQuery>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let (mut params, commit) = service.params(&session, query.commit).await?;
    let value = params.remove(&name).ok_or(Refusal::NoParam(name))?;
    let answer = ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], value);
    Ok(with_session_id(&session, with_commit(commit, answer)))
}

/// `PUT …/params/{name}`: the body is the new value.
pub(super) async fn set(
    State(service): State<Service>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let visit = visit(&service, &caller, &id, &headers).await?;
    let value = whole_body(body, limits::PARAM_VALUE_BYTES_MAX).await?;
    let value = String::from_utf8(value.into()).map_err(|_| {
        Problem::invalid(format!("the value of `{name}` is not UTF-8 text; put other bytes into a file"))
    })?;
    let commit = service.write_params(&visit, ParamChanges::from([(name, Some(value))])).await?;
    Ok(accepted(&service, &visit, with_commit(commit, no_content())))
}

/// `DELETE …/params/{name}`
pub(super) async fn remove(
    State(service): State<Service>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let visit = visit(&service, &caller, &id, &headers).await?;
    let commit = service.remove_param(&visit, name).await?;
    Ok(accepted(&service, &visit, with_commit(commit, no_content())))
}

/// `PATCH …/params`: merges an object; `null` deletes. Answers all of them, as of
/// the last commit.
pub(super) async fn merge(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(changes): Json<BTreeMap<String, Option<String>>>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let visit = visit(&service, &caller, &id, &headers).await?;
    service.write_params(&visit, changes).await?;
    let (params, commit) = service.params(&visit.session, None).await?;
    Ok(accepted(&service, &visit, with_commit(commit, Json(params))))
}
