//! Errors as the client sees them: `application/problem+json` (RFC 9457), and
//! the page that explains each code.
//!
//! Promise: every refusal of this server has this shape, says what was wrong
//! with the value, and shows no path or cause from inside the host.

mod codes;

pub(super) use self::codes::Code;

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::openapi::words;
use crate::http::sessions::SESSION_ID;
use crate::ids::SessionId;
use crate::limits::RETRY_AFTER;
use crate::model::quota::Measure;
use crate::model::quota::OverQuota;
use crate::model::quota::whole_seconds;
use crate::queue::admission;
use crate::service::refusal::Refusal;

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    job: Option<Box<EndedJob>>,
    /// How long the client should wait, where that is known.
    retry_after: Option<Duration>,
    closes: bool,
    /// The session that the request named, if its address does not (R29).
    session: Option<SessionId>,
}

/// The job that a problem is about, for programs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct EndedJob {
    /// With the code `job-failed`: the job.
    #[schemars(with = "words::Id")]
    pub(super) job_id: String,
    /// With the code `job-failed`: how the job ended.
    #[schemars(with = "words::JobStateWord")]
    pub(super) state: &'static str,
    /// With the code `job-failed`: why the job failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<words::ReasonWord>")]
    pub(super) reason: Option<&'static str>,
    /// With the code `job-failed`: what the job ended with, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
}

impl Problem {
    /// A refusal with its own sentence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), job: None, retry_after: None, closes: false, session: None }
    }

    /// The same, and the last answer on its connection.
    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The same, to a request that named a session.
    pub(super) fn about(self, session: Option<SessionId>) -> Self {
        Self { session, ..self }
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

/// Why a request was refused (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemBody<'a> {
    /// The address of a page about the code.
    #[schemars(extend("format" = "uri-reference"))]
    r#type: String,
    title: &'a str,
    status: u16,
    /// What was wrong, with the value, and what would be right.
    detail: &'a str,
    /// The word that a program may match on.
    #[schemars(with = "words::CodeWord")]
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
            let wait = self.retry_after.unwrap_or(RETRY_AFTER);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        // An id is letters, digits and three marks, so it is always a header.
        if let Some(Ok(id)) = self.session.map(|id| HeaderValue::from_str(id.as_str())) {
            headers.insert(SESSION_ID, id);
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For whoever counts answers.
        response.extensions_mut().insert(self.code);
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
            | Refusal::NotAFile(_)
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
            Refusal::OverQuota(over) => code_of(over),
            Refusal::SessionFull(_) | Refusal::StorageFull => Code::StorageFull,
            Refusal::Unavailable(_) => Code::Unavailable,
            Refusal::Internal => Code::Internal,
            Refusal::Admission(admission) => match admission {
                admission::Refusal::Draining => Code::Unavailable,
                admission::Refusal::ServerFull { .. } | admission::Refusal::LaneFull { .. } => Code::QueueFull,
                admission::Refusal::UnknownSession { .. } => Code::NotFound,
                admission::Refusal::SessionBusy { .. } => Code::SessionBusy,
                admission::Refusal::OverQuota(over) => code_of(over),
            },
        };
        let retry_after = match &refusal {
            Refusal::OverQuota(over) | Refusal::Admission(admission::Refusal::OverQuota(over)) => over.again,
            _ => None,
        };
        Problem { retry_after, ..Problem::new(code, refusal.to_string()) }
    }
}

fn code_of(over: &OverQuota) -> Code {
    match over.measure {
        Measure::StoredBytes | Measure::ModuleBytes => Code::StorageFull,
        Measure::RequestsPerS => Code::RateLimited,
        Measure::Sessions | Measure::Modules | Measure::QueuedJobs | Measure::CpuSPerMin => Code::QuotaExceeded,
        // What nobody is refused for, but bounds or delays.
        Measure::RunningJobs
        | Measure::RunningMemoryBytes
        | Measure::Weight
        | Measure::WallMs
        | Measure::CpuMs
        | Measure::MemoryBytes
        | Measure::OutputBytes
        | Measure::SessionBytes
        | Measure::SessionFiles => Code::QuotaExceeded,
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
