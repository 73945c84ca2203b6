//! `GET /openapi.json`: the whole API as OpenAPI 3.1, for programs and for people.
//!
//! Comes in: the types that requests are read into and answers are written from, and
//! for each operation of the router a description in one of the files below.
//!
//! Promise: the document and the server say the same. Schemas come from the types
//! themselves; that there is an operation for each address and method is tested below,
//! and every answer in `tests/it` is held against the document by the kit.
//!
//! Not here: what the API is to be (that is the contract), and who is asking. The
//! document says nothing of any tenant, so anybody may read it.

mod api;
mod content;
mod headers;
mod jobs;
mod modules;
mod operator;
mod paths;
mod schemas;
mod sessions;
pub(in crate::http) mod words;

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;

use crate::http::content::Bytes;
use crate::http::content::Meta;
use crate::http::content::answer;
use crate::http::problem::Problem;
use crate::ids::Digest;

use self::api::API_KEY;
use self::api::Api;

struct Document {
    bytes: Vec<u8>,
    etag: String,
}

/// It is the same as long as the program is.
static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let bytes = serde_json::to_vec(&document()).expect("a JSON value is always written");
    let etag = Digest::of(&bytes).hex();
    Document { bytes, etag }
});

/// `GET /openapi.json`
pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    let document: &'static Document = &DOCUMENT;
    let meta = Meta {
        size: document.bytes.len() as u64,
        etag: Some(document.etag.clone()),
        modified_at: None,
        kind: HeaderValue::from_static("application/json"),
    };
    let mut answer = answer(&headers, meta, Bytes::Static(&document.bytes))?;
    // May be kept, and is asked for anew: the next version of the server has another.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(answer)
}

const DESCRIPTION: &str = "Runs WebAssembly jobs in sessions, one transaction per job. \
    Sizes are in bytes, times are RFC 3339 in UTC, and numbers of time have their unit in the name. Unknown fields and names in a query are \
    refused. Whoever lacks a key is told that before anything else; what belongs to somebody else is answered like what does not exist. \
    `HEAD` is taken wherever `GET` is.";

/// The document.
fn document() -> Value {
    let mut api = Api::new();
    modules::describe(&mut api);
    sessions::describe(&mut api);
    content::describe(&mut api);
    jobs::describe(&mut api);
    operator::describe(&mut api);
    let (paths, components) = api.finish();
    let tags = paths::TAGS.iter().map(|(name, says)| json!({ "name": name, "description": says }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sessile",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": DESCRIPTION,
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "tags": tags.collect::<Vec<_>>(),
        "security": [{ API_KEY: [] }],
        "paths": paths,
        "components": components,
    })
}

#[cfg(test)]
mod tests;
