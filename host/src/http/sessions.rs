//! `/v1/sessions`: make, look, drop.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;

use crate::http::auth::require;
use crate::http::content;
use crate::http::no_content;
use crate::http::problem::Problem;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::page_request;
use crate::http::wire::rfc3339;
use crate::ids::PrincipalId;
use crate::ids::SessionId;
use crate::model::caller::Caller;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::model::params::Params;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionLimits;
use crate::model::session::SessionState;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::service::sessions::Activity;
use crate::service::sessions::Dropped;
use crate::service::sessions::SessionOrder;

/// Names the session of a request, and of every answer about one (R29).
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("session-id");

#[derive(Serialize)]
struct SessionView {
    id: String,
    owner: String,
    state: &'static str,
    transaction: &'static str,
    queue: &'static str,
    keyed: bool,
    created_at: String,
    last_used_at: String,
    /// No session expires yet.
    expires_at: Option<String>,
    idle_timeout_s: Option<u64>,
    limits: LimitsView,
    bytes: u64,
    files: u64,
    queued: usize,
    running_job: Option<String>,
    uncommitted: bool,
    commit: u64,
}

#[derive(Serialize)]
struct LimitsView {
    bytes: u64,
    files: u64,
}

impl SessionView {
    fn of(session: &Session, activity: Activity) -> Self {
        Self {
            id: session.id.to_string(),
            owner: session.owner.principal.to_string(),
            state: match session.state {
                SessionState::Active => "active",
                SessionState::Marked | SessionState::Gone => "marked",
            },
            transaction: "job",
            queue: match session.queue {
                QueueMode::Wait => "wait",
                QueueMode::Reject => "reject",
            },
            keyed: false,
            created_at: rfc3339(session.created_at),
            last_used_at: rfc3339(session.last_used_at),
            expires_at: None,
            idle_timeout_s: None,
            limits: LimitsView { bytes: session.limits.bytes, files: session.limits.files },
            bytes: session.usage.bytes,
            files: session.usage.files,
            queued: activity.queued,
            running_job: activity.running_job.map(|id| id.to_string()),
            uncommitted: false,
            commit: session.commit,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SessionForm {
    id: Option<String>,
    params: BTreeMap<String, String>,
    transaction: Option<String>,
    queue: Option<QueueWord>,
    keyed: bool,
    idle_timeout_s: Option<u64>,
    lifetime_s: Option<u64>,
    limits: LimitsForm,
    from: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LimitsForm {
    bytes: Option<u64>,
    files: Option<u64>,
}

/// `"queue"` in a request.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum QueueWord {
    Wait,
    Reject,
}

impl From<QueueWord> for QueueMode {
    fn from(word: QueueWord) -> Self {
        match word {
            QueueWord::Wait => QueueMode::Wait,
            QueueWord::Reject => QueueMode::Reject,
        }
    }
}

impl TryFrom<SessionForm> for SessionOrder {
    type Error = Problem;

    fn try_from(form: SessionForm) -> Result<Self, Problem> {
        match form.transaction.as_deref() {
            None | Some("job") => {}
            Some("explicit") => return Err(not_yet("transaction", "leave it out, or say \"job\"")),
            Some(other) => {
                return Err(Problem::invalid(format!(
                    "`transaction` is `{other}`, and must be \"job\" or \"explicit\""
                )));
            }
        }
        if form.keyed {
            return Err(not_yet("keyed", "leave it out"));
        }
        if form.idle_timeout_s.is_some() || form.lifetime_s.is_some() {
            return Err(not_yet(
                "idle_timeout_s` and `lifetime_s",
                "leave them out; a session stays until it is dropped",
            ));
        }
        if form.from.is_some() {
            return Err(not_yet("from", "leave it out"));
        }
        let id =
            form.id.map(|id| id.parse()).transpose().map_err(|error| Problem::invalid(format!("`id`: {error}")))?;
        let most = SessionLimits::default();
        let limits = SessionLimits {
            bytes: lowered("limits.bytes", form.limits.bytes, most.bytes)?,
            files: lowered("limits.files", form.limits.files, most.files)?,
        };
        let mut params = Params::new(Arc::default());
        for (name, value) in &form.params {
            params.set(name, value).map_err(|error| Problem::invalid(format!("`params`: {error}")))?;
        }
        let queue = form.queue.map_or(QueueMode::Wait, QueueMode::from);
        Ok(SessionOrder { id, queue, limits, params: form.params })
    }
}

/// What the contract has and this version has not: refused, so that nobody
/// believes it is in force.
pub(super) fn not_yet(field: &str, way_out: &str) -> Problem {
    Problem::invalid(format!("`{field}` is not offered by this version of the server yet; {way_out}"))
}

/// A limit that a request may lower and never raise.
fn lowered(name: &str, asked: Option<u64>, most: u64) -> Result<u64, Problem> {
    match asked {
        None => Ok(most),
        Some(0) => Err(Problem::invalid(format!("`{name}` is 0, and must be at least 1"))),
        Some(value) if value > most => {
            Err(Problem::invalid(format!("`{name}` is {value}, and this server allows at most {most}")))
        }
        Some(value) => Ok(value),
    }
}

/// `POST /v1/sessions`
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    Json(form): Json<SessionForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let session = service.create_session(&caller.owner, form.try_into()?).await?;
    let location = content::location(&["v1", "sessions", session.id.as_str()]);
    let view = SessionView::of(&session, Activity::default());
    Ok(with_session_id(&session, (StatusCode::CREATED, [(header::LOCATION, location)], Json(view))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    /// Whose sessions: a principal, for `admin` keys.
    owner: Option<String>,
}

/// `GET /v1/sessions`: the caller's own, or with `?owner=` another's, for an
/// `admin`.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<SessionQuery>,
) -> Result<Response, Problem> {
    let owner = whose(&caller, query.owner.as_deref())?;
    let page = page_request(query.limit, query.cursor)?;
    let sessions = service.sessions(&owner.tenant, Some(&owner.principal), page).await?;
    Ok(Json(ListView::of(sessions, |session| SessionView::of(&session, service.activity(&session)))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerQuery {
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

/// `DELETE /v1/sessions/{id}`: 204 when gone, 202 while a job is being stopped.
pub(super) async fn drop(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<OwnerQuery>,
) -> Result<Response, Problem> {
    let owner = whose(&caller, query.owner.as_deref())?;
    let session = service.session(&owner, &session_id(&id)?).await?;
    match service.drop_session(&session).await? {
        Dropped::Gone => Ok(with_session_id(&session, no_content())),
        Dropped::Stopping => Ok(with_session_id(&session, StatusCode::ACCEPTED)),
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
