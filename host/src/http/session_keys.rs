//! `Session-Key`: what a request shows, and what its answer hands out (R28).
//!
//! Promise: a key goes out with the answer to a request that was accepted, and
//! with no other; no refusal repeats what was shown.

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::http::problem::Problem;
use crate::http::sessions::session_id;
use crate::http::sessions::with_session_id;
use crate::http::wire::header_text;
use crate::model::caller::Caller;
use crate::model::rolling_key::RollingKey;
use crate::model::rolling_key::ShownKey;
use crate::service::Service;
use crate::service::session_keys::Visit;

const SESSION_KEY: HeaderName = HeaderName::from_static("session-key");

/// The key that a request shows in its body or its header, which must agree.
pub(super) fn shown_key(headers: &HeaderMap, body: Option<&str>) -> Result<Option<ShownKey>, Problem> {
    match (body, header_text(headers, &SESSION_KEY)?) {
        (Some(body), Some(header)) if body != header => {
            let detail = "the body's `session_key` and the header `Session-Key` differ; send one of them";
            Err(Problem::invalid(detail))
        }
        (body, header) => Ok(body.or(header).map(ShownKey::read)),
    }
}

/// The session that body and header name, if they agree.
pub(super) fn agreed(body: Option<String>, header: Option<&str>) -> Result<Option<String>, Problem> {
    match (body, header) {
        (Some(body), Some(header)) if body != header => Err(Problem::invalid(format!(
            "the body names the session `{body}` and the header `Session-Id` names `{header}`; send one of them"
        ))),
        (Some(body), _) => Ok(Some(body)),
        (None, header) => Ok(header.map(str::to_owned)),
    }
}

/// The caller's session of that id, for a request that changes it.
pub(super) async fn visit(service: &Service, caller: &Caller, id: &str, headers: &HeaderMap) -> Result<Visit, Problem> {
    let shown = shown_key(headers, None)?;
    Ok(service.visit(&caller.owner, &session_id(id)?, shown.as_ref()).await?)
}

/// The answer to a request that was accepted: it names the session, and carries
/// the key for the next request.
pub(super) fn accepted(service: &Service, visit: &Visit, answer: impl IntoResponse) -> Response {
    with_key(service.next_key(visit).as_ref(), with_session_id(&visit.session, answer))
}

/// The answer with a key in its header, if there is one.
pub(super) fn with_key(key: Option<&RollingKey>, mut response: Response) -> Response {
    // A key is letters, digits and an underscore, so it is always a header.
    if let Some(Ok(mut value)) = key.map(|key| HeaderValue::from_str(&key.reveal())) {
        value.set_sensitive(true);
        response.headers_mut().insert(SESSION_KEY, value);
    }
    response
}
