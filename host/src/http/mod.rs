//! The front door: words in, words out.
//!
//! Comes in: HTTP requests from anybody.
//! Goes out: to `service`, with a known caller and parsed words.
//!
//! Promise: inside this room nothing that means something stays a raw string;
//! behind it nothing is parsed again. A handler only hands in and looks: what
//! must finish belongs to the service, because a handler ends when its client
//! hangs up.
//!
//! Files follow the nouns of the API, one each.

pub mod server;
mod places;
mod gate;
mod framing;
mod pace;
mod line;
mod problem;
mod wire;
mod auth;
mod modules;
mod sessions;
mod session_form;
mod session_view;
mod session_keys;
mod params;
mod files;
mod archive;
mod history;
mod content;
mod jobs;
mod job_form;
mod job_view;
mod output;
mod events;
mod run;
mod run_form;
mod admin;
mod quotas;
mod metrics;
mod ui;
mod openapi;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;

pub use self::metrics::Readers;
pub use self::pace::Patience;
pub use self::wire::rfc3339;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::patch;
use axum::routing::post;
use axum::routing::put;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::ids::SessionId;
use crate::model::caller::Caller;
use crate::service::Service;

use self::line::Line;
use self::metrics::Desk;
use self::metrics::Meters;
use self::metrics::Route;
use self::problem::Code;
use self::problem::Problem;

/// Every address of the server; the table of contents of the API. `readers` may read its
/// page of numbers.
pub fn router(service: Service, readers: Readers) -> Router {
    let no_query = middleware::from_fn_with_state(service.clone(), wire::no_query);
    let no_query_of_anybody = middleware::from_fn(wire::no_query_of_anybody);
    let v1 = asked().merge(plain().layer(no_query.clone())).layer(middleware::from_fn(pace::keep_sending));
    // Its body is a job's stdin, which may be silent for as long as the job runs.
    let v1 = v1.route("/v1/run/{module}", post(run::run));
    let for_anybody = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/problems/{code}", get(problem::page))
        .route("/ui", get(ui::page))
        .route("/ui/", get(ui::page_below))
        .route("/ui/{file}", get(ui::asset))
        .route("/openapi.json", get(openapi::page))
        .layer(no_query_of_anybody.clone());
    let meters: Arc<Meters> = Arc::default();
    let numbers = Router::new().route("/metrics", get(metrics::page));
    let numbers = match readers {
        Readers::Root => numbers.layer(no_query),
        Readers::Anybody => numbers.layer(no_query_of_anybody),
    };
    let numbers = numbers.layer(Extension(Desk { meters: meters.clone(), readers }));
    Router::new()
        .merge(v1)
        .merge(for_anybody)
        .merge(numbers)
        .fallback(unknown_address)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(meters, around))
        .with_state(service)
}

/// What can be asked something in its query string.
fn asked() -> Router<Service> {
    Router::new()
        .route("/v1/modules", get(modules::list))
        .route("/v1/modules/{name}/versions", get(modules::versions))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}", get(sessions::show).delete(sessions::drop))
        .route("/v1/sessions/{id}/params", get(params::list))
        .route("/v1/sessions/{id}/params/{name}", get(params::show))
        .route("/v1/sessions/{id}/files", get(files::list))
        .route("/v1/sessions/{id}/files/{*path}", get(files::read).delete(files::delete))
        .route("/v1/sessions/{id}/archive", get(archive::read))
        .route("/v1/sessions/{id}/commits", get(history::list))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}/stdout", get(output::stdout))
        .route("/v1/jobs/{id}/stderr", get(output::stderr))
        .route("/v1/admin/tenants", get(admin::tenants))
        .route("/v1/admin/tenants/{tenant}/keys", get(admin::keys))
}

/// What takes no query string.
fn plain() -> Router<Service> {
    Router::new()
        .route("/v1/modules/{name}", put(modules::upload).get(modules::show).delete(modules::delete))
        .route("/v1/modules/{name}/versions/{number}", delete(modules::delete_version))
        .route("/v1/modules/{name}/content", get(modules::content))
        .route("/v1/sessions", post(sessions::create))
        .route("/v1/sessions/{id}", patch(sessions::change))
        .route("/v1/sessions/{id}/params", patch(params::merge))
        .route("/v1/sessions/{id}/params/{name}", put(params::set).delete(params::remove))
        .route("/v1/sessions/{id}/files/{*path}", put(files::write))
        .route("/v1/sessions/{id}/archive", put(archive::write))
        .route("/v1/sessions/{id}/commits/{number}", get(history::show))
        .route("/v1/sessions/{id}/commits/{number}/files/{*path}", get(history::file))
        .route("/v1/sessions/{id}/revert", post(history::revert))
        .route("/v1/sessions/{id}/commit", post(history::commit))
        .route("/v1/sessions/{id}/rollback", post(history::roll_back))
        .route("/v1/jobs", post(jobs::submit))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/events", get(events::events))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/admin/tenants", post(admin::create_tenant))
        .route("/v1/admin/tenants/{tenant}", get(admin::tenant).delete(admin::delete_tenant))
        .route(
            "/v1/admin/tenants/{tenant}/quota",
            get(quotas::show).put(quotas::replace).patch(quotas::change).delete(quotas::reset),
        )
        .route("/v1/admin/tenants/{tenant}/keys", post(admin::create_key))
        .route("/v1/admin/tenants/{tenant}/keys/{id}", delete(admin::delete_key))
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The server can take jobs.
async fn readyz(State(service): State<Service>) -> Result<&'static str, Problem> {
    if service.is_draining() {
        return Err(Problem::new(Code::Unavailable, "the server is stopping"));
    }
    if !service.takes_writes() {
        return Err(Problem::new(Code::Unavailable, "the server's disk has failed; the operator must restart it"));
    }
    Ok("ok\n")
}

async fn unknown_address(uri: Uri, caller: Result<Caller, Problem>) -> Problem {
    let problem = Problem::not_found("nothing is at this address; the API begins at /v1");
    unless_a_stranger(&uri, caller, problem)
}

async fn unknown_method(method: Method, uri: Uri, caller: Result<Caller, Problem>) -> Problem {
    let problem = Problem::new(Code::MethodNotAllowed, format!("this address does not take {method}"));
    unless_a_stranger(&uri, caller, problem)
}

/// Who has no key is told that first, whatever there is in the API.
fn unless_a_stranger(uri: &Uri, caller: Result<Caller, Problem>, problem: Problem) -> Problem {
    match caller {
        Err(stranger) if uri.path().split('/').nth(1) == Some("v1") => stranger,
        Ok(_) | Err(_) => problem,
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What every request gets: an id, a log line, a place in the counts, and headers
/// that keep browsers from making anything of an answer.
async fn around(State(meters): State<Arc<Meters>>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let session = named_in_path(request.uri().path());
    let refusal = refused_at_the_gate(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", request_id = %id);
    let started = std::time::Instant::now();
    let mut response = match refusal {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).instrument(span.clone()).await,
    };
    let (status, took) = (response.status(), started.elapsed());
    meters.answered(Route::of(&path), &method, status, response.extensions().get().copied(), took);
    let ms = took.as_millis() as u64;
    // `?` writes the path as a Rust string, so no byte of it can forge a line.
    span.in_scope(|| tracing::info!(%method, ?path, status = status.as_u16(), ms, "answered"));

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(session) = session {
        headers.entry(sessions::SESSION_ID).or_insert(session);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The dashboard is the one thing here that is for browsers, and brings its own.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The refusal of a head that did not get as far as this.
fn refused_at_the_gate(request: &Request) -> Option<Problem> {
    let is_one = request.method().as_str() == gate::REFUSED;
    request.extensions().get::<Line>().filter(|_| is_one)?.refusal()
}

/// The session that an address is about, so that every answer about it names it,
/// refusals too (R29).
fn named_in_path(path: &str) -> Option<HeaderValue> {
    let id = path.strip_prefix("/v1/sessions/")?.split('/').next()?;
    id.parse::<SessionId>().ok()?.as_str().parse().ok()
}

/// The client's id for this request if it is a short plain word, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |text: &&str| {
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    given.filter(plain).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// An answer without a body.
fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
