//! `/v1/jobs/{id}/stdout` and `stderr`: what a job printed, or prints.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::engine::Output;
use crate::http::auth::require;
use crate::http::content;
use crate::http::jobs::job_id;
use crate::http::line::Line;
use crate::http::places::Kind;
use crate::http::places::Share;
use crate::http::problem::Problem;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::service::Service;
use crate::service::jobs::Printout;
use crate::service::refusal::Refusal;
use crate::store;
use crate::store::Stream;

/// One piece of a followed stream.
const PIECE_BYTES_MAX: usize = 64 << 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputQuery {
    /// Whether the answer goes on until the job has ended.
    #[serde(default)]
    follow: bool,
}

/// `GET …/stdout`: the bytes so far; with `?follow=true` until the end.
pub(super) async fn stdout(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path(id): Path<String>,
    Query(query): Query<OutputQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&service, &caller, &line, (&id, Stream::Stdout), query.follow, &headers).await
}

/// `GET …/stderr`: the bytes so far; with `?follow=true` until the end.
pub(super) async fn stderr(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path(id): Path<String>,
    Query(query): Query<OutputQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&service, &caller, &line, (&id, Stream::Stderr), query.follow, &headers).await
}

async fn answer(
    service: &Service,
    caller: &Caller,
    line: &Line,
    (id, stream): (&str, Stream),
    follow: bool,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    require(caller, Scope::Submit)?;
    let share = |kind| line.share(&caller.owner.tenant, kind);
    let body = match service.printout(&caller.owner, &job_id(id)?, stream).await? {
        Printout::Growing(output) if follow => {
            let body = followed(output, share(Kind::Stream)?);
            return Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response());
        }
        Printout::Growing(output) => store::Body::Memory(output.read_from(0, usize::MAX).into()),
        Printout::Whole(body) => body,
    };
    let size = body.size().map_err(|error| {
        tracing::error!(%error, "an output that was kept for a client could not be read");
        Problem::from(Refusal::Internal)
    })?;
    let share = (size > limits::FILE_MEMORY_BYTES).then(|| share(Kind::Large)).transpose()?;
    let bytes = match body {
        store::Body::Memory(bytes) => content::Bytes::Memory(bytes),
        store::Body::Spooled(file) => content::Bytes::File(file),
    };
    let meta = content::Meta {
        size,
        etag: None,
        modified_at: None,
        kind: HeaderValue::from_static("application/octet-stream"),
    };
    Ok(content::holding(share, content::answer(headers, meta, bytes)?))
}

/// The stream from its beginning, piece by piece, until nothing will come any
/// more. A slow reader holds up nobody: the bytes are kept for it anyway.
fn followed(output: Arc<Output>, share: Share) -> Body {
    Body::from_stream(stream::unfold((output, share, 0), |(output, share, read)| async move {
        output.changed(read).await;
        let piece: Bytes = output.read_from(read, PIECE_BYTES_MAX);
        if piece.is_empty() {
            return None;
        }
        let read = read + piece.len();
        Some((Ok::<_, std::convert::Infallible>(piece), (output, share, read)))
    }))
}
