//! Errors as the client sees them: `application/problem+json` (RFC 9457), and
//! the page that explains each code.
//!
//! Promise: every refusal of this server has this shape, says what was wrong
//! with the value, and shows no path or cause from inside the host.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::limits::RETRY_AFTER;
use crate::queue::admission;
use crate::service::refusal::Refusal;

/// The word a client program may match on. New words may be added; an old one
/// never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    SessionBusy,
    SessionKeyMismatch,
    PreconditionFailed,
    JobFailed,
    RequestTimeout,
    HeadTooLarge,
    PayloadTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    UnsupportedModule,
    InvalidModule,
    QuotaExceeded,
    QueueFull,
    RateLimited,
    StorageFull,
    Internal,
    Unavailable,
}

/// What a code looks like from outside.
struct Sheet {
    word: &'static str,
    status: StatusCode,
    title: &'static str,
    /// What the client can do about it.
    advice: &'static str,
}

impl Code {
    const ALL: [Code; 23] = [
        Code::InvalidRequest,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::Conflict,
        Code::SessionBusy,
        Code::SessionKeyMismatch,
        Code::PreconditionFailed,
        Code::JobFailed,
        Code::RequestTimeout,
        Code::HeadTooLarge,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::RangeNotSatisfiable,
        Code::UnsupportedModule,
        Code::InvalidModule,
        Code::QuotaExceeded,
        Code::QueueFull,
        Code::RateLimited,
        Code::StorageFull,
        Code::Internal,
        Code::Unavailable,
    ];

    fn sheet(self) -> Sheet {
        let sheet = |word, status, title, advice| Sheet { word, status, title, advice };
        match self {
            Code::InvalidRequest => sheet(
                "invalid-request",
                StatusCode::BAD_REQUEST,
                "The request is not valid",
                "Change the request as `detail` says. Sending it again unchanged gets the same answer.",
            ),
            Code::Unauthorized => sheet(
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                "A valid API key is needed",
                "Send the header `Authorization: Bearer <api key>` with a key that was not deleted.",
            ),
            Code::Forbidden => sheet(
                "forbidden",
                StatusCode::FORBIDDEN,
                "This key may not do that",
                "Use a key that has the scope which `detail` names.",
            ),
            Code::NotFound => sheet(
                "not-found",
                StatusCode::NOT_FOUND,
                "There is no such thing",
                "Check the name. What belongs to somebody else is answered like what does not exist.",
            ),
            Code::MethodNotAllowed => sheet(
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This address does not take that method",
                "The header `Allow` lists the methods that it takes.",
            ),
            Code::Conflict => sheet(
                "conflict",
                StatusCode::CONFLICT,
                "The request does not fit the present state",
                "Look at the thing that `detail` names, and decide anew.",
            ),
            Code::SessionBusy => sheet(
                "session-busy",
                StatusCode::CONFLICT,
                "The session is busy",
                "Send the request again later, or ask for a place in the queue with `\"queue\": \"wait\"`.",
            ),
            Code::SessionKeyMismatch => sheet(
                "session-key-mismatch",
                StatusCode::CONFLICT,
                "The session key is not the newest one",
                "Send the header `Session-Key` with the value that came with the answer to the last accepted request. If that answer was lost and the request was a job with an id, send it again unchanged: it is answered with the same key.",
            ),
            Code::PreconditionFailed => sheet(
                "precondition-failed",
                StatusCode::PRECONDITION_FAILED,
                "The thing is not as the request expects",
                "Read it again, and send the request with the new `ETag`.",
            ),
            Code::JobFailed => sheet(
                "job-failed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The job did not succeed, and had printed nothing",
                "`detail` says how it ended, `reason` and `exit_code` say it to programs. Nothing that it did was kept. Its record has its stderr: `GET /v1/jobs/{job_id}/stderr`.",
            ),
            Code::RequestTimeout => sheet(
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "The request did not come in time",
                "Send the request again, and go on sending; `detail` says how long the server waits.",
            ),
            Code::HeadTooLarge => sheet(
                "head-too-large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request's head is too large",
                "Send fewer or shorter headers; `detail` names the limit.",
            ),
            Code::PayloadTooLarge => sheet(
                "payload-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too large",
                "Send less; `detail` names the limit.",
            ),
            Code::UnsupportedMediaType => sheet(
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body has the wrong content type",
                "Send the content type that `detail` names.",
            ),
            Code::RangeNotSatisfiable => sheet(
                "range-not-satisfiable",
                StatusCode::RANGE_NOT_SATISFIABLE,
                "The range lies outside the content",
                "The header `Content-Range` says how long the content is.",
            ),
            Code::UnsupportedModule => sheet(
                "unsupported-module",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The module needs something that this server does not offer",
                "Build the module without the import or feature that `detail` names, or with less in it if it takes too much to compile. A job is a WASI command: p1 core module or p2 component.",
            ),
            Code::InvalidModule => sheet(
                "invalid-module",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The bytes are not a valid module",
                "Upload the binary that the compiler wrote, unchanged.",
            ),
            Code::QuotaExceeded => sheet(
                "quota-exceeded",
                StatusCode::TOO_MANY_REQUESTS,
                "That would be more than is allowed",
                "Delete what is no longer needed, or ask the operator for more.",
            ),
            Code::QueueFull => sheet(
                "queue-full",
                StatusCode::TOO_MANY_REQUESTS,
                "The queue is full",
                "Wait as long as `Retry-After` says, then send the request again.",
            ),
            Code::RateLimited => sheet(
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "That is more at once than is allowed",
                "Wait as long as `Retry-After` says, then send the request again; do less at once.",
            ),
            Code::StorageFull => sheet(
                "storage-full",
                StatusCode::INSUFFICIENT_STORAGE,
                "There is no room to store that",
                "Delete what is no longer needed; if the server's disk is full, tell the operator.",
            ),
            Code::Internal => sheet(
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server failed",
                "Tell the operator the `Request-Id` of the answer: the cause is in the log under it.",
            ),
            Code::Unavailable => sheet(
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot take this now",
                "Send the request again later.",
            ),
        }
    }
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    job: Option<Box<EndedJob>>,
    closes: bool,
}

/// The job that a problem is about, for programs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EndedJob {
    pub(super) job_id: String,
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
}

impl Problem {
    /// A refusal with its own sentence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), job: None, closes: false }
    }

    /// The same, and the last answer on its connection.
    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The same, about a job.
    pub(super) fn of_job(self, job: EndedJob) -> Self {
        Self { job: Some(Box::new(job)), ..self }
    }

    /// Something about the request itself is wrong.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// Nothing of that name, or nothing that the caller may know of.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, detail)
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(flatten)]
    job: Option<&'a EndedJob>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let sheet = self.code.sheet();
        let body = ProblemBody {
            r#type: format!("/problems/{}", sheet.word),
            title: sheet.title,
            status: sheet.status.as_u16(),
            detail: &self.detail,
            code: sheet.word,
            job: self.job.as_deref(),
        };
        let body = serde_json::to_vec(&body).expect("strings and a number always make JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = sheet.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if sheet.status == StatusCode::TOO_MANY_REQUESTS || sheet.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// No wildcard arm: a new refusal does not compile until somebody has chosen
/// its code.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::Invalid(_) => Code::InvalidRequest,
            Refusal::NoSession(_)
            | Refusal::SessionGone
            | Refusal::NoJob(_)
            | Refusal::NotKept(_)
            | Refusal::NoModule(_)
            | Refusal::NoFile(_)
            | Refusal::NoCommit(_)
            | Refusal::NoParam(_)
            | Refusal::NoTenant(_)
            | Refusal::NoKey(_) => Code::NotFound,
            Refusal::Conflict(_) | Refusal::NotReady { .. } => Code::Conflict,
            Refusal::SessionKey => Code::SessionKeyMismatch,
            Refusal::Precondition(_) => Code::PreconditionFailed,
            Refusal::TooLarge { .. } => Code::PayloadTooLarge,
            Refusal::InvalidModule(_) => Code::InvalidModule,
            Refusal::UnsupportedModule(_) => Code::UnsupportedModule,
            Refusal::Quota(_) => Code::QuotaExceeded,
            Refusal::CompilerBusy(_) => Code::QueueFull,
            Refusal::SessionFull(_) | Refusal::StorageFull => Code::StorageFull,
            Refusal::Unavailable(_) => Code::Unavailable,
            Refusal::Internal => Code::Internal,
            Refusal::Admission(admission) => match admission {
                admission::Refusal::Draining => Code::Unavailable,
                admission::Refusal::ServerFull { .. } | admission::Refusal::LaneFull { .. } => Code::QueueFull,
                admission::Refusal::UnknownSession { .. } => Code::NotFound,
                admission::Refusal::SessionBusy { .. } => Code::SessionBusy,
            },
        };
        Problem::new(code, refusal.to_string())
    }
}

/// `GET /problems/{code}`: what a code means and what to do about it.
pub(super) async fn page(Path(word): Path<String>) -> Result<Response, Problem> {
    let known = Code::ALL.into_iter().map(Code::sheet).find(|sheet| sheet.word == word);
    let sheet = known.ok_or_else(|| Problem::not_found("no problem has that code"))?;
    let text = format!("{}\n\n{}\n\nStatus {}.\n\n{}\n", sheet.word, sheet.title, sheet.status, sheet.advice);
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_names_a_refusal() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.sheet().word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let sheet = code.sheet();
            assert!(sheet.status.is_client_error() || sheet.status.is_server_error(), "{}", sheet.word);
            assert!(sheet.advice.ends_with('.'), "{}", sheet.word);
        }
    }
}
