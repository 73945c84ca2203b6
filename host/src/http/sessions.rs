//! `/v1/sessions`: make, look, drop.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::auth::require;
use crate::http::content;
use crate::http::no_content;
use crate::http::openapi::words;
use crate::http::problem::Problem;
use crate::http::session_form::ChangeForm;
use crate::http::session_form::SessionForm;
use crate::http::session_keys::shown_key;
use crate::http::session_keys::visit;
use crate::http::session_keys::with_key;
use crate::http::session_view::SessionView;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::MaybeJson;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::header_text;
use crate::http::wire::page_request;
use crate::ids::PrincipalId;
use crate::ids::SessionId;
use crate::model::caller::Caller;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::model::session::ListedState;
use crate::model::session::Session;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::service::sessions::Dropped;
use crate::service::sessions::SessionOrder;

/// Names the session of a request, and of every answer about one (R29).
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("session-id");

/// `POST /v1/sessions`
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    MaybeJson(form): MaybeJson<SessionForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let order: SessionOrder = form.named(header_text(&headers, &SESSION_ID)?)?.try_into()?;
    let id = order.id.clone();
    let made = service.create_session(&caller.owner, order).await;
    let session = made.map_err(|refusal| Problem::from(refusal).about(id))?;
    let location = content::location(&["v1", "sessions", session.id.as_str()]);
    let key = service.first_key(&session);
    let view = SessionView::of(&session, service.activity(&session)).with_key(key.as_ref());
    let answer = (StatusCode::CREATED, [(header::LOCATION, location)], Json(view));
    Ok(with_key(key.as_ref(), with_session_id(&session, answer)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionQuery {
    /// How many items at most.
    #[schemars(with = "Option<words::Limit>")]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only sessions in this state.
    #[schemars(with = "Option<words::SessionStateWord>")]
    state: Option<String>,
    /// Whose sessions: a principal of the tenant, for keys with the scope `admin`.
    #[schemars(with = "Option<words::Id>")]
    owner: Option<String>,
}

/// `GET /v1/sessions`: the caller's own, of one `?state=` if that is given, or with `?owner=` another's, for an
/// `admin`.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<SessionQuery>,
) -> Result<Response, Problem> {
    let owner = whose(&caller, query.owner.as_deref())?;
    let page = page_request(query.limit, query.cursor)?;
    let state = query.state.as_deref().map(listed_state).transpose()?;
    let sessions = service.sessions(&owner, state, page).await?;
    Ok(Json(ListView::of(sessions, |session| SessionView::of(&session, service.activity(&session)))).into_response())
}

fn listed_state(text: &str) -> Result<ListedState, Problem> {
    let known = ListedState::ALL.into_iter().find(|state| state.word() == text);
    known.ok_or_else(|| {
        let words = ListedState::ALL.map(ListedState::word).join(", ");
        Problem::invalid(format!("`state` is `{text}`, and must be one of {words}"))
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerQuery {
    /// Whose session: a principal of the tenant, for keys with the scope `admin`.
    #[schemars(with = "Option<words::Id>")]
    owner: Option<String>,
}

/// `GET /v1/sessions/{id}`
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<OwnerQuery>,
) -> Result<Response, Problem> {
    let owner = whose(&caller, query.owner.as_deref())?;
    let session = service.session(&owner, &session_id(&id)?).await?;
    let activity = service.activity(&session);
    Ok(with_session_id(&session, Json(SessionView::of(&session, activity))))
}

/// `PATCH /v1/sessions/{id}`: what is named changes at once, and it counts as a
/// use of the session. A new id is a rename, which waits for the session's turn;
/// if it is refused, nothing else changes either.
pub(super) async fn change(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(mut form): Json<ChangeForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let shown = shown_key(&headers, form.session_key.take().as_deref())?;
    let (new_id, changes) = (form.new_id()?, form.try_into()?);
    let visit = service.visit(&caller.owner, &session_id(&id)?, shown.as_ref()).await?;
    let session = service.change_session(&visit, new_id, changes).await?;
    let key = service.next_key(&visit);
    let view = SessionView::of(&session, service.activity(&session)).with_key(key.as_ref());
    Ok(with_key(key.as_ref(), with_session_id(&session, Json(view))))
}

/// `DELETE /v1/sessions/{id}`: 204 when gone, 202 while a job is being stopped.
/// An `admin`, who says whose it is, needs no session key.
pub(super) async fn drop(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<OwnerQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let owner = whose(&caller, query.owner.as_deref())?;
    let visit = match query.owner {
        Some(_) => service.visit_as_admin(&owner, &session_id(&id)?).await?,
        None => visit(&service, &caller, &id, &headers).await?,
    };
    match service.drop_session(&visit).await? {
        Dropped::Gone => Ok(with_session_id(&visit.session, no_content())),
        Dropped::Stopping => Ok(with_session_id(&visit.session, StatusCode::ACCEPTED)),
    }
}

/// The owner that a request is about: the caller, or for an `admin` whoever
/// `?owner=` names in the same tenant (R27).
fn whose(caller: &Caller, owner: Option<&str>) -> Result<Owner, Problem> {
    let Some(principal) = owner else {
        require(caller, Scope::Submit)?;
        return Ok(caller.owner.clone());
    };
    require(caller, Scope::Admin)?;
    let principal: PrincipalId = principal.parse().map_err(|error| Problem::invalid(format!("`owner`: {error}")))?;
    Ok(Owner { tenant: caller.owner.tenant.clone(), principal })
}

/// The caller's session of that id.
pub(super) async fn named_session(service: &Service, caller: &Caller, id: &str) -> Result<Session, Refusal> {
    let id = id.parse().map_err(|error| Refusal::Invalid(format!("{error}")))?;
    service.session(&caller.owner, &id).await
}

/// An answer about a session names it (R29).
pub(super) fn with_session_id(session: &Session, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    // An id is letters, digits and three marks, so it is always a header.
    if let Ok(id) = HeaderValue::from_str(session.id.as_str()) {
        response.headers_mut().insert(SESSION_ID, id);
    }
    response
}

/// A session's id as a client writes it.
pub(super) fn session_id(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("{error}")))
}
