//! `/ui`: the dashboard, for people with a browser.
//!
//! Comes in: a browser that asks for a page or one of its files.
//! Goes out: nothing. The files are in the binary, and hold no data: the page asks the API
//! for that, with the key that its reader gives it.
//!
//! Promise: what is not on the list below is not there. A browser takes scripts and styles
//! from here only, runs none that stands in a page, sends nothing elsewhere, and shows the
//! page in no frame, so that what a job printed, or is called, stays text (A6, B33).

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::http::content;
use crate::http::problem::Problem;
use crate::http::wire::Path;
use crate::ids::Digest;

/// A file of the dashboard.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Makes the list of files that lie in `ui/`.
macro_rules! assets {
    ($($name:literal $kind:ident,)*) => {
        &[$(Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("ui/", $name)) },)*]
    };
}

/// The page comes first.
const ASSETS: &[Asset] = assets![
    "index.html" HTML,
    "style.css" CSS,
    "app.js" JS,
    "api.js" JS,
    "dom.js" JS,
    "files.js" JS,
    "follow.js" JS,
    "format.js" JS,
    "history.js" JS,
    "job.js" JS,
    "jobs.js" JS,
    "list.js" JS,
    "modules.js" JS,
    "numbers.js" JS,
    "output.js" JS,
    "poll.js" JS,
    "route.js" JS,
    "save.js" JS,
    "session.js" JS,
    "sessions.js" JS,
    "tenants.js" JS,
];

const PAGE: &Asset = &ASSETS[0];

/// The entity tag of each file: with it an upgrade shows at once, and the same is not sent twice.
static TAGS: LazyLock<HashMap<&str, String>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| (asset.name, Digest::of(asset.bytes).hex())).collect());

/// What a browser is told of each file. `trusted-types` has browsers refuse, too, what the
/// scripts never do: to make elements out of text.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// `GET /ui`
pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    answer(PAGE, &headers)
}

/// `GET /ui/`: the page names its files as they are called from `/ui`.
pub(super) async fn page_below() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "../ui")]).into_response()
}

/// `GET /ui/{file}`
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let named = ASSETS[1..].iter().find(|asset| asset.name == name);
    answer(named.ok_or_else(|| Problem::not_found("the dashboard has no such file; it begins at /ui"))?, &headers)
}

fn answer(asset: &Asset, headers: &HeaderMap) -> Result<Response, Problem> {
    let meta = content::Meta {
        size: asset.bytes.len() as u64,
        etag: TAGS.get(asset.name).cloned(),
        modified_at: None,
        kind: HeaderValue::from_static(asset.kind),
    };
    let mut response = content::answer(headers, meta, content::Bytes::Memory(asset.bytes.to_vec()))?;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
