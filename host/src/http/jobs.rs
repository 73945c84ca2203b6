//! `/v1/jobs`: hand in, look, wait, cancel.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::auth::require;
use crate::http::content;
use crate::http::job_form::JobForm;
use crate::http::job_view::JobView;
use crate::http::line::Line;
use crate::http::openapi::words;
use crate::http::places::Kind;
use crate::http::problem::Problem;
use crate::http::session_keys::shown_key;
use crate::http::session_keys::with_key;
use crate::http::sessions::SESSION_ID;
use crate::http::sessions::session_id;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::MaybeJson;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::header_text;
use crate::http::wire::page_request;
use crate::ids::JobId;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::job::Job;
use crate::model::job::JobState;
use crate::model::rolling_key::RollingKey;
use crate::service::Service;
use crate::store::JobFilter;

/// `POST /v1/jobs`: hand in a job. Answers 202 as soon as it is durable, or
/// with `Prefer: wait=N` when it has ended, at most N seconds later.
///
/// The client may hang up after that: the job belongs to the service, not to
/// this request.
pub(super) async fn submit(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    headers: HeaderMap,
    Json(form): Json<JobForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let wait = wanted_wait(&headers)?;
    let _share = wait.map(|_| line.share(&caller.owner.tenant, Kind::Stream)).transpose()?;
    let named = header_text(&headers, &SESSION_ID)?;
    let shown = shown_key(&headers, form.session_key())?;
    let order = form.order(named, shown)?;
    let session = order.session.clone();
    let submitted = service.submit(&caller.owner, order).await;
    let mut job = submitted.map_err(|refusal| Problem::from(refusal).about(session))?;
    if let Some(wait) = wait.filter(|_| !job.state.is_over()) {
        job = service.wait(job, wait).await?;
    }
    let status = match (wait.is_some(), job.state.is_over()) {
        (true, true) => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    let location = content::location(&["v1", "jobs", job.id.as_str()]);
    let key = service.key_handed(&job);
    let mut response = with_key(key.as_ref(), answer(&service, job, key.as_ref()));
    *response.status_mut() = status;
    let location = location.parse().map_err(|_| Problem::invalid("the job id makes no address"))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// How long the client wants to wait, within the bound.
fn wanted_wait(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(prefer) = header_text(headers, &content::PREFER)? else { return Ok(None) };
    let Some(seconds) = content::preference(prefer, "wait") else { return Ok(None) };
    let seconds: u64 = seconds
        .parse()
        .map_err(|_| Problem::invalid(format!("`Prefer: wait={seconds}` is no number of seconds; write `wait=10`")))?;
    Ok(Some(Duration::from_secs(seconds).min(limits::WAIT_MAX)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobQuery {
    /// Only jobs that named this session.
    #[schemars(with = "Option<words::Id>")]
    session: Option<String>,
    /// Only jobs in this state.
    #[schemars(with = "Option<words::JobStateWord>")]
    state: Option<String>,
    /// Only jobs of this module.
    #[schemars(with = "Option<words::Name>")]
    module: Option<String>,
    /// Only jobs with this label: `name` or `name=value`.
    label: Option<String>,
    /// How many items at most.
    #[schemars(with = "Option<words::Limit>")]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `GET /v1/jobs`: the caller's own, newest first.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<JobQuery>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let page = page_request(query.limit, query.cursor)?;
    let filter = JobFilter {
        session: query.session.as_deref().map(session_id).transpose()?,
        state: query.state.as_deref().map(state).transpose()?,
        module: query
            .module
            .map(|name| name.parse())
            .transpose()
            .map_err(|error| Problem::invalid(format!("{error}")))?,
        label: query.label.map(|label| match label.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (label, None),
        }),
    };
    let jobs = service.jobs(&caller.owner, filter, page).await?;
    Ok(Json(ListView::of(jobs, |job| JobView::of(&job, service.progress(&job)))).into_response())
}

fn state(text: &str) -> Result<JobState, Problem> {
    let known = JobState::ALL.into_iter().find(|state| state.word() == text);
    known.ok_or_else(|| {
        let words = JobState::ALL.map(JobState::word).join(", ");
        Problem::invalid(format!("`state` is `{text}`, and must be one of {words}"))
    })
}

/// `GET /v1/jobs/{id}`
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let job = service.job(&caller.owner, &job_id(&id)?).await?;
    Ok(answer(&service, job, None))
}

/// An object with nothing in it; nothing has to be said.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `POST /v1/jobs/{id}/cancel`: answers when the guest has stopped. A job that
/// is over stays as it is.
pub(super) async fn cancel(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    MaybeJson(Nothing {}): MaybeJson<Nothing>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let job = service.cancel(&caller.owner, &job_id(&id)?).await?;
    Ok(answer(&service, job, None))
}

/// The job, with a session key if that was handed out with this answer.
fn answer(service: &Service, job: Job, key: Option<&RollingKey>) -> Response {
    let view = JobView::of(&job, service.progress(&job)).with_key(key);
    with_its_session(&job, Json(view).into_response())
}

/// An answer about a job, with the session that it named in the header (R29).
pub(super) fn with_its_session(job: &Job, mut response: Response) -> Response {
    if let Some(id) = job.session.as_ref().and_then(|named| named.id.as_str().parse().ok()) {
        response.headers_mut().insert(SESSION_ID, id);
    }
    response
}

/// A job's id as a client writes it.
pub(super) fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("{error}")))
}
