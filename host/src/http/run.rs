//! `POST /v1/run/{module}`: the request body is a job's stdin, the response
//! body is its stdout, both as they come.
//!
//! Promise: the status goes out with the first byte of stdout, or with the
//! job's end if it printed nothing. The body ends whole only after the job has
//! succeeded and that is durable (R26b), or with a trailer that says how it
//! failed. A client that hangs up drops what is made here, and that is how the
//! service learns of it (R31).

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Version;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::response::Response;
use futures_util::stream;
use http_body::Body as _;
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::StreamBody;

use crate::http::auth::require;
use crate::http::content::next_piece;
use crate::http::line::Line;
use crate::http::line::Watched;
use crate::http::pace::Unhurried;
use crate::http::pace::fed;
use crate::http::places::Kind;
use crate::http::places::Share;
use crate::http::problem::Code;
use crate::http::problem::EndedJob;
use crate::http::problem::Problem;
use crate::http::run_form;
use crate::http::session_keys::shown_key;
use crate::http::session_keys::with_key;
use crate::http::sessions::SESSION_ID;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::header_text;
use crate::ids::JobId;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::job::JobState;
use crate::model::outcome::Outcome;
use crate::service::Service;
use crate::service::run::StreamingRun;
use crate::service::stream::Answer;
use crate::service::stream::Part;
use crate::service::stream::StdinWriter;

const JOB_ID: HeaderName = HeaderName::from_static("job-id");
const JOB_SESSION_ACTIVE: HeaderName = HeaderName::from_static("job-session-active");
/// The trailer that says how the job ended.
const JOB_OUTCOME: HeaderName = HeaderName::from_static("job-outcome");

/// `POST /v1/run/{module}`
pub(super) async fn run(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path(module): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Problem> {
    require(&caller, Scope::Submit)?;
    let (Parts { version, headers, .. }, body) = request.into_parts();
    if headers.contains_key(JOB_ID) {
        let detail = "the server chooses the id of a streaming run, since its input cannot be compared with an earlier request's; send no `Job-Id`";
        return Err(Problem::invalid(detail));
    }
    let mut order = run_form::order(module, query, header_text(&headers, &SESSION_ID)?)?;
    order.session_key = shown_key(&headers, None)?;
    let held = Held { _share: line.share(&caller.owner.tenant, Kind::Stream)?, _unhurried: line.pace().unhurried() };
    // A request that has come in whole needs no watching: the connection reads on then, and
    // sees the client go.
    let watched = if body.is_end_stream() { None } else { Some(watch(&line)?) };
    let session = order.session.clone();
    let run = service.run(&caller.owner, order).await;
    let run = run.map_err(|refusal| Problem::from(refusal).about(session))?;
    let StreamingRun { id, session, next_key, stdin, mut answer } = run;
    match watched {
        Some(watched) => {
            tokio::spawn(send_stdin(body, stdin, watched, line.pace().patience().body));
        }
        None => stdin.finish(),
    }
    let first = answer.next().await;
    let session_active = answer.session_active();
    let mut response = match first {
        Part::End(Some(Outcome::Succeeded)) | Part::Stdout(_) => {
            begun(first, answer, takes_trailers(version, &headers), held)
        }
        Part::End(ended) => failed(&id, ended).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(JOB_ID, plain(id.as_str())?);
    headers.insert(JOB_SESSION_ACTIVE, HeaderValue::from_static(if session_active { "true" } else { "false" }));
    if let Some(session) = session {
        headers.insert(SESSION_ID, plain(session.as_str())?);
    }
    // With a failure too: the request was accepted, and has used up its key.
    Ok(with_key(next_key.as_ref(), response))
}

fn watch(line: &Line) -> Result<Watched, Problem> {
    line.watch().map_err(|error| {
        tracing::warn!(%error, "a connection cannot be watched");
        no_line()
    })
}

/// What a streaming run holds as long as its answer goes on.
struct Held {
    _share: Share,
    /// Whether the client reads is decided by the run (R30), not by the connection.
    _unhurried: Unhurried,
}

/// A streaming run whose client cannot be watched might outlive it.
fn no_line() -> Problem {
    Problem::new(Code::Unavailable, "the server has no room for another streaming run now")
}

/// Hands the request body on to the guest, as fast as the guest reads.
async fn send_stdin(mut body: Body, stdin: StdinWriter, line: Watched, patience: Duration) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = stdin.unwanted() => break,
        };
        let piece = match frame {
            // Trailers of a request mean nothing here.
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            // Dropped unfinished, stdin says that the client went away.
            Some(Err(_)) => return,
            None => return stdin.finish(),
        };
        let written = tokio::select! {
            biased;
            written = stdin.write(piece) => written,
            // Dropped unfinished again.
            () = line.closed() => return,
        };
        if written.is_err() {
            break;
        }
    }
    stdin.finish();
    discard(fed(body, patience)).await;
}

/// Reads what the guest left of a request body, within bounds: many clients
/// look at the answer only when they have sent everything.
async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Ok(Some(piece)) = next_piece(&mut body).await {
        discarded += piece.len();
        if discarded > limits::LEFTOVER_BYTES_MAX {
            return;
        }
    }
}

/// Room for all headers of an answer, whose map would grow under them otherwise.
const ANSWER_HEADERS: usize = 12;

/// The answer of a job that has printed something, or succeeded in silence.
fn begun(first: Part, answer: Answer, takes_trailers: bool, held: Held) -> Response {
    let parts = stream::unfold(Some((Some(first), answer, held)), move |state| async move {
        let (first, mut answer, held) = state?;
        let part = match first {
            Some(part) => part,
            None => answer.next().await,
        };
        let outcome = match part {
            Part::Stdout(bytes) => return Some((Ok(Frame::data(bytes)), Some((None, answer, held)))),
            Part::End(outcome) => outcome,
        };
        if !takes_trailers && outcome != Some(Outcome::Succeeded) {
            // Lets the connection send what it holds before it is cut.
            tokio::task::yield_now().await;
            return Some((Err(CutShort), None));
        }
        Some((Ok(Frame::trailers(trailer(outcome.as_ref()))), None))
    });
    let body = Body::new(StreamBody::new(parts));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(ANSWER_HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::TRAILER, HeaderValue::from_static("Job-Outcome"));
    response
}

/// Cuts the connection, so that the client does not take the body for whole.
#[derive(Debug, thiserror::Error)]
#[error("the job did not succeed after it had begun to print")]
struct CutShort;

fn trailer(outcome: Option<&Outcome>) -> HeaderMap {
    let text = match outcome {
        None => "unknown".to_owned(),
        Some(Outcome::Failed { reason, exit_code: Some(code), .. }) => {
            format!("failed; reason={reason}; exit_code={code}")
        }
        Some(Outcome::Failed { reason, exit_code: None, .. }) => format!("failed; reason={reason}"),
        Some(outcome) => JobState::from(outcome).word().to_owned(),
    };
    let value = HeaderValue::from_str(&text).expect("words, numbers and marks make a header");
    HeaderMap::from_iter([(JOB_OUTCOME, value)])
}

/// The answer of a job that printed nothing and did not succeed.
fn failed(id: &JobId, outcome: Option<Outcome>) -> Problem {
    let Some(outcome) = outcome else {
        return Problem::new(Code::Internal, "how the job ended could not be recorded; the server's log says why");
    };
    let mut job =
        EndedJob { job_id: id.to_string(), state: JobState::from(&outcome).word(), reason: None, exit_code: None };
    let detail = match outcome {
        Outcome::Succeeded => "the job succeeded".to_owned(),
        Outcome::Cancelled { detail } => format!("the job was cancelled: {detail}"),
        Outcome::Failed { reason, exit_code, detail } => {
            (job.reason, job.exit_code) = (Some(reason.word()), exit_code);
            detail
        }
    };
    Problem::new(Code::JobFailed, detail).of_job(job)
}

/// Whether the client said that it reads trailers (RFC 9110, 10.1.4); only then
/// does the connection below send them.
fn takes_trailers(version: Version, headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::TE).into_iter().filter_map(|value| value.to_str().ok());
    let mut words = lists.flat_map(|list| list.split(','));
    version >= Version::HTTP_11 && words.any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

fn plain(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|_| Problem::invalid("the id makes no header"))
}
