//! `/v1/sessions/{id}/params`: a session's small named strings.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::Response;

use crate::http::auth::require;
use crate::http::no_content;
use crate::http::problem::Problem;
use crate::http::session_keys::accepted;
use crate::http::session_keys::visit;
use crate::http::sessions::named_session;
use crate::http::sessions::with_session_id;
use crate::http::wire::Json;
use crate::http::wire::Path;
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
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let params = service.params(&session).await?;
    Ok(with_session_id(&session, Json(params)))
}

/// `GET …/params/{name}`: one value, as plain text.
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = named_session(&service, &caller, &id).await?;
    let mut params = service.params(&session).await?;
    let value = params.remove(&name).ok_or(Refusal::NoParam(name))?;
    Ok(with_session_id(&session, ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], value)))
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
    service.write_params(&visit, ParamChanges::from([(name, Some(value))])).await?;
    Ok(accepted(&service, &visit, no_content()))
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
    if !service.params(&visit.session).await?.contains_key(&name) {
        return Err(Refusal::NoParam(name).into());
    }
    service.write_params(&visit, ParamChanges::from([(name, None)])).await?;
    Ok(accepted(&service, &visit, no_content()))
}

/// `PATCH …/params`: merges an object; `null` deletes. Answers all of them.
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
    let params = service.params(&visit.session).await?;
    Ok(accepted(&service, &visit, Json(params)))
}
