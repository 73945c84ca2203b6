//! `GET /metrics`: the operator's page of numbers, for Prometheus.
//!
//! Comes in: a scrape. Goes out: to `service` for all figures of the rooms below, and
//! to the front door's own counts.
//!
//! Promise: no number is one tenant's, and no name of a tenant, principal, session,
//! module or job is on the page. But sums tell of others too, so only the operator
//! may read it unless the configuration says otherwise.
//!
//! Not here: what is counted, which each room knows for itself.

mod meters;
mod page;
mod route;

pub(super) use self::meters::Meters;
pub(super) use self::route::Route;

use std::sync::Arc;

use axum::Extension;
use axum::extract::FromRequestParts as _;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde::Deserialize;

use crate::http::auth::require;
use crate::http::content;
use crate::http::line::Line;
use crate::http::problem::Problem;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::service::Service;

use self::page::Page;

/// Who may read the page of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readers {
    /// Whoever has a key with the scope `root`.
    Root,
    /// Whoever can connect.
    Anybody,
}

/// What the page is made of beside the service's figures.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) meters: Arc<Meters>,
    pub(super) readers: Readers,
}

/// A form of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// What everybody reads.
    Text,
    OpenMetrics,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// `GET /metrics`
pub(super) async fn page(
    State(service): State<Service>,
    Extension(desk): Extension<Desk>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    if desk.readers == Readers::Root {
        let caller = Caller::from_request_parts(&mut parts, &service).await?;
        require(&caller, Scope::Root)?;
    }
    let connections = Line::from_request_parts(&mut parts, &service).await?.usage();
    let page = Page { figures: service.figures().await?, meters: desk.meters, connections };
    let form = wanted(&parts.headers);
    Ok(([(header::CONTENT_TYPE, form.content_type())], page.write(form)).into_response())
}

/// The form that the client likes best; the plain one unless it says so.
fn wanted(headers: &HeaderMap) -> Form {
    let (mut text, mut open) = (0, 0);
    for choice in content::choices(headers, &header::ACCEPT) {
        match (choice.name.to_ascii_lowercase().as_str(), choice.parameter("version")) {
            ("application/openmetrics-text", None | Some("1.0.0")) => open = choice.weight.max(open),
            ("text/plain", None | Some("0.0.4")) => text = choice.weight.max(text),
            _ => {}
        }
    }
    if open > 0 && open >= text { Form::OpenMetrics } else { Form::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, form: Form) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        assert_eq!(wanted(&headers), form, "{accept}");
    }

    #[test]
    fn the_page_is_plain_unless_its_reader_likes_the_other_form_better() {
        assert_eq!(wanted(&HeaderMap::new()), Form::Text);
        for accept in ["*/*", "text/plain", "text/html, */*;q=0.1", "application/openmetrics-text;q=0", ";q=x,,="] {
            check(accept, Form::Text);
        }
        check("text/plain;version=0.0.4;q=0.9, application/openmetrics-text; q=0.5", Form::Text);
        check("application/openmetrics-text;version=7", Form::Text);
        check("application/openmetrics-text", Form::OpenMetrics);
        // Prometheus 2 and 3.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Form::OpenMetrics,
        );
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Form::OpenMetrics,
        );
    }
}
