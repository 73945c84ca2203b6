//! The codes of problems, and the page of each.

use axum::http::StatusCode;

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
pub(super) struct Sheet {
    pub(super) word: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// What the client can do about it.
    pub(super) advice: &'static str,
}

impl Code {
    pub(in crate::http) const ALL: [Code; 23] = [
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

    pub(in crate::http) fn word(self) -> &'static str {
        self.sheet().word
    }

    pub(in crate::http) fn status(self) -> StatusCode {
        self.sheet().status
    }

    pub(in crate::http) fn title(self) -> &'static str {
        self.sheet().title
    }

    pub(super) fn sheet(self) -> Sheet {
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
                "Delete what is no longer needed, or wait as long as `Retry-After` says, as `detail` tells; or ask the operator for more. A tenant's quota is at `/v1/admin/tenants/{tenant}/quota`.",
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
                "Wait as long as `Retry-After` says, then send the request again; do less at once. The operator can allow more.",
            ),
            Code::StorageFull => sheet(
                "storage-full",
                StatusCode::INSUFFICIENT_STORAGE,
                "There is no room to store that",
                "Delete what is no longer needed: sessions, files with the earlier commits that still hold them, or modules, as `detail` tells. If the server's disk is full, tell the operator.",
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
