//! Who is asking: the API key becomes a [`Caller`].
//!
//! Promise: a handler that takes a [`Caller`] runs only for a valid key, and
//! all who lack one get the same answer (B30). Here, before anything of a body is
//! read, a request counts against its tenant's quota (R34).

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::http::line::Line;
use crate::http::problem::Code;
use crate::http::problem::Problem;
use crate::http::wire::header_text;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::service::Service;

impl FromRequestParts<Service> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let header = header_text(&parts.headers, &header::AUTHORIZATION).ok().flatten();
        let key = header.and_then(bearer);
        let caller = key.and_then(|key| service.caller_of(key)).ok_or_else(|| {
            let detail = "send the header `Authorization: Bearer <api key>` with a valid key";
            Problem::new(Code::Unauthorized, detail)
        })?;
        service.count_request(&caller.owner.tenant)?;
        Line::from_request_parts(parts, service).await?.belongs_to(&caller.owner.tenant)?;
        Ok(caller)
    }
}

/// The token of a `Bearer` header; the word is taken in any case (RFC 9110).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets the caller on only if the key has `scope`.
pub(super) fn require(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.may(scope) {
        return Ok(());
    }
    let detail = format!("this needs a key with the scope `{scope}`, which this key does not have");
    Err(Problem::new(Code::Forbidden, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_header_is_a_scheme_and_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
