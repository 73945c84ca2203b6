//! The headers of the API, each with what it says and its schema.

use serde_json::Value;
use serde_json::json;

/// A header of requests, of answers, or of both.
pub(super) struct Header {
    pub(super) name: &'static str,
    says: &'static str,
    schema: fn() -> Value,
}

const fn header(name: &'static str, says: &'static str, schema: fn() -> Value) -> Header {
    Header { name, says, schema }
}

impl Header {
    /// As a parameter of a request.
    pub(super) fn parameter(&self) -> Value {
        json!({ "name": self.name, "in": "header", "description": self.says, "schema": (self.schema)() })
    }

    /// As a part of an answer.
    pub(super) fn answered(&self, required: bool) -> Value {
        json!({ "description": self.says, "required": required, "schema": (self.schema)() })
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn id() -> Value {
    schemars::schema_for!(super::words::Id)
        .get("pattern")
        .map_or_else(text, |pattern| json!({ "type": "string", "pattern": pattern }))
}

fn truth() -> Value {
    json!({ "type": "string", "enum": ["true", "false"] })
}

// --- requests ---

pub(super) const PREFER_WAIT: Header = header(
    "Prefer",
    "`wait=N`: answer when the job has ended, at most N seconds later (RFC 7240).",
    || json!({ "type": "string", "examples": ["wait=10"] }),
);
pub(super) const PREFER_ASYNC: Header = header(
    "Prefer",
    "`respond-async`: answer before the module is compiled (RFC 7240).",
    || json!({ "type": "string", "examples": ["respond-async"] }),
);
pub(super) const IF_MATCH: Header = header("If-Match", "Only if the present `ETag` is one of these; `*` is any.", text);
pub(super) const IF_NONE_MATCH: Header =
    header("If-None-Match", "Only if the present `ETag` is none of these; `*` is any.", text);
pub(super) const RANGE: Header =
    header("Range", "One range of bytes (RFC 9110).", || json!({ "type": "string", "examples": ["bytes=0-1023"] }));
pub(super) const IF_RANGE: Header =
    header("If-Range", "The range only if this is the present `ETag`, else the whole.", text);
pub(super) const ACCEPT_ENCODING: Header = header("Accept-Encoding", "`gzip` for an answer that is compressed.", text);
pub(super) const CONTENT_ENCODING: Header = header(
    "Content-Encoding",
    "`gzip` if the body is compressed.",
    || json!({ "enum": ["gzip", "x-gzip", "identity"] }),
);
pub(super) const LAST_EVENT_ID: Header = header(
    "Last-Event-ID",
    "The id of the last event that the client has; the stream goes on after it.",
    || json!({ "type": "string", "pattern": "^[0-9]+-[a-z]+-[0-9]+-[0-9]+$" }),
);
pub(super) const TE: Header =
    header("TE", "`trailers` if the client reads the trailer `Job-Outcome` (RFC 9110).", text);

// --- both ---

pub(super) const REQUEST_ID: Header = header(
    "Request-Id",
    "Names the request in the answer and in the server's log; the server makes one if the request has none.",
    || json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" }),
);
pub(super) const SESSION_ID: Header = header("Session-Id", "The session.", id);
pub(super) const SESSION_KEY: Header = header(
    "Session-Key",
    "Only with a session that demands keys: a request shows the newest one, and the answer to one that was accepted carries the next.",
    text,
);

// --- answers ---

pub(super) const LOCATION: Header =
    header("Location", "The address of what was made.", || json!({ "type": "string", "format": "uri-reference" }));
pub(super) const ETAG: Header = header("ETag", "Names this content.", text);
pub(super) const LAST_MODIFIED: Header = header("Last-Modified", "When it was changed.", text);
pub(super) const ACCEPT_RANGES: Header =
    header("Accept-Ranges", "Whether a range may be asked for.", || json!({ "enum": ["bytes", "none"] }));
pub(super) const CONTENT_RANGE: Header =
    header("Content-Range", "Which bytes these are, and how many there are.", text);
pub(super) const CODED: Header =
    header("Content-Encoding", "`gzip` if the body is compressed.", || json!({ "const": "gzip" }));
pub(super) const VARY: Header = header("Vary", "What of the request the answer depends on.", text);
pub(super) const SESSION_COMMIT: Header =
    header("Session-Commit", "The commit that the answer was read from, or that the request made.", number);
pub(super) const JOB_ID: Header = header("Job-Id", "The job, as `/v1/jobs/{id}` knows it.", id);
pub(super) const JOB_SESSION_ACTIVE: Header = header("Job-Session-Active", "Whether the job runs in a session.", truth);
pub(super) const TRAILER: Header =
    header("Trailer", "That the trailer `Job-Outcome` follows, which says how the job ended.", text);
pub(super) const RETRY_AFTER: Header = header("Retry-After", "How many seconds to wait.", number);
pub(super) const WWW_AUTHENTICATE: Header = header("WWW-Authenticate", "`Bearer`.", text);
