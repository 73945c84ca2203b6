//! `/v1/jobs/{id}/events`: what happens to a job, as server-sent events.
//!
//! The names of the events are the API's: `state`, `progress`, `stdout`, `stderr`, `end`.
//! Their data is one JSON object each, so that nothing a guest prints can end a line of
//! the stream. The id of an event says how far it leads:
//! `<attempt>-<state>-<bytes of stdout>-<bytes of stderr>`.

use std::time::Duration;

use axum::BoxError;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse;
use axum::response::sse::KeepAlive;
use axum::response::sse::Sse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::auth::require;
use crate::http::job_view::JobView;
use crate::http::job_view::OutcomeView;
use crate::http::job_view::ProgressView;
use crate::http::jobs::job_id;
use crate::http::jobs::with_its_session;
use crate::http::line::Line;
use crate::http::no_content;
use crate::http::openapi::words;
use crate::http::places::Kind;
use crate::http::places::Share;
use crate::http::problem::Problem;
use crate::http::wire::Path;
use crate::http::wire::header_text;
use crate::http::wire::rfc3339;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::job::Job;
use crate::model::job::JobState;
use crate::service::Service;
use crate::service::follow::Event;
use crate::service::follow::Follower;
use crate::service::follow::Seen;
use crate::store::Stream;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A line that means nothing goes out this often while nothing happens, so that neither
/// side nor a proxy takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The state in an id after which nothing comes.
const END: &str = "end";

/// Before the first state.
const NONE: &str = "none";

/// The data of the event `state`: the state that the job is in from now on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StateEvent")]
pub(super) struct StateView {
    #[schemars(with = "words::JobStateWord")]
    state: &'static str,
    /// How often the job was started.
    attempt: u32,
    /// Of a job that waits for its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<words::Moment>")]
    not_before: Option<String>,
    /// How the last attempt failed, if the job is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<OutcomeView>,
}

/// The data of the events `stdout` and `stderr`: what was printed, as `text`, or if it is none, as `base64`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PrintedEvent")]
pub(super) struct PrintedView {
    /// How many bytes the stream had before.
    offset: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("contentEncoding" = "base64"))]
    base64: Option<String>,
}

/// `GET …/events`: what happens from now on, after what there was to tell; with
/// `Last-Event-ID` from there on. 204 when nothing comes any more.
pub(super) async fn events(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let seen = header_text(&headers, &LAST_EVENT_ID)?.map(seen).transpose()?.unwrap_or_default();
    let follower = service.follow(&caller.owner, &job_id(&id)?, seen).await?;
    let job = follower.job().clone();
    if seen.end {
        // By this a browser knows that it need not come again.
        return Ok(with_its_session(&job, no_content()));
    }
    let share = |kind| line.share(&caller.owner.tenant, kind);
    let shares = (share(Kind::Stream)?, follower.is_large().then(|| share(Kind::Large)).transpose()?);
    let events = stream::unfold((follower, shares), next);
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(with_its_session(&job, Sse::new(events).keep_alive(keep_alive).into_response()))
}

type Shares = (Share, Option<Share>);

/// The next event. An error ends the connection, and the client comes again.
async fn next(
    (mut follower, shares): (Follower, Shares),
) -> Option<(Result<sse::Event, BoxError>, (Follower, Shares))> {
    let event = match follower.next().await {
        Ok(event) => event.map(|(event, seen)| written(event, &seen))?,
        Err(refusal) => Err(refusal.into()),
    };
    Some((event, (follower, shares)))
}

fn written(event: Event, seen: &Seen) -> Result<sse::Event, BoxError> {
    let (name, data) = match event {
        Event::State(job) => ("state", serde_json::to_string(&StateView::of(&job))?),
        Event::Progress(progress) => ("progress", serde_json::to_string(&ProgressView::from(progress))?),
        Event::Printed { stream, offset, bytes } => {
            let name = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            let text = std::str::from_utf8(&bytes).ok().map(str::to_owned);
            let base64 = text.is_none().then(|| STANDARD.encode(&bytes));
            (name, serde_json::to_string(&PrintedView { offset, text, base64 })?)
        }
        Event::End(job) => (END, serde_json::to_string(&JobView::of(&job, None))?),
    };
    Ok(sse::Event::default().id(id(seen)).event(name).data(data))
}

impl StateView {
    fn of(job: &Job) -> Self {
        let waits = job.state == JobState::Queued;
        Self {
            state: job.state.word(),
            attempt: job.attempt,
            not_before: job.schedule.not_before.filter(|_| waits).map(rfc3339),
            last_failure: job.last_failure.as_ref().map(OutcomeView::of),
        }
    }
}

fn id(seen: &Seen) -> String {
    let state = if seen.end { END } else { seen.state.map_or(NONE, JobState::word) };
    format!("{}-{state}-{}-{}", seen.attempt, seen.stdout, seen.stderr)
}

/// How far the client has come, by the id of the last event that it has.
fn seen(text: &str) -> Result<Seen, Problem> {
    read(text).ok_or_else(|| {
        let detail = format!(
            "the header `Last-Event-ID` is {text:?}, and must be the id of an event of this job; leave it out to begin \
             at the beginning"
        );
        Problem::invalid(detail)
    })
}

fn read(text: &str) -> Option<Seen> {
    let mut parts = text.split('-');
    let attempt = parts.next()?.parse().ok()?;
    let (state, end) = match parts.next()? {
        NONE => (None, false),
        END => (None, true),
        word => (Some(JobState::ALL.into_iter().find(|state| state.word() == word)?), false),
    };
    let mut bytes = || parts.next()?.parse().ok();
    let seen = Seen { attempt, state, stdout: bytes()?, stderr: bytes()?, end };
    parts.next().is_none().then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let begun = Seen { attempt: 2, state: Some(JobState::Running), stdout: 70_000, stderr: 1, end: false };
        for seen in [Seen::default(), begun, Seen { state: None, end: true, ..begun }] {
            assert_eq!(read(&id(&seen)), Some(seen), "{}", id(&seen));
        }
        for bad in ["", "1", "1-running-1", "1-gone-1-1", "1-running-1-1-1", "x-running-1-1", "1-running--1-1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
