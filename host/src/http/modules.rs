//! `/v1/modules`: upload, look, delete.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::auth::require;
use crate::http::content;
use crate::http::line::Line;
use crate::http::no_content;
use crate::http::openapi::words;
use crate::http::places::Kind;
use crate::http::problem::Problem;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::PageQuery;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::header_text;
use crate::http::wire::page_request;
use crate::http::wire::rfc3339;
use crate::http::wire::spooled_body;
use crate::ids::ModuleName;
use crate::limits;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::module::ModuleKind;
use crate::model::module::ModuleRef;
use crate::model::module::ModuleState;
use crate::model::module::ModuleVersion;
use crate::service::Service;
use crate::service::modules::Answer;
use crate::service::modules::Uploaded;

/// One version of a module.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Module")]
pub(super) struct ModuleView {
    #[schemars(with = "words::Name")]
    name: String,
    /// 1 for the first upload under the name, and so on; never used twice.
    version: u32,
    #[schemars(with = "words::Digest")]
    digest: String,
    /// How many bytes were uploaded.
    size: u64,
    state: StateWord,
    /// Why the version was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    kind: KindWord,
    /// What it asks of the host.
    imports: Vec<String>,
    #[schemars(with = "words::Moment")]
    created_at: String,
    /// The principal who uploaded it.
    #[schemars(with = "words::Id")]
    created_by: String,
}

/// Whether jobs can run a version of a module.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum StateWord {
    Compiling,
    Ready,
    Rejected,
}

/// A core module of WASI p1, or a component of WASI p2.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum KindWord {
    Core,
    Component,
}

impl From<ModuleVersion> for ModuleView {
    fn from(version: ModuleVersion) -> Self {
        let (state, reason) = match version.state {
            ModuleState::Compiling => (StateWord::Compiling, None),
            ModuleState::Ready => (StateWord::Ready, None),
            ModuleState::Rejected { reason } => (StateWord::Rejected, Some(reason)),
        };
        Self {
            name: version.name.to_string(),
            version: version.version,
            digest: version.digest.to_string(),
            size: version.size_bytes,
            state,
            reason,
            kind: match version.kind {
                ModuleKind::Core => KindWord::Core,
                ModuleKind::Component => KindWord::Component,
            },
            imports: version.imports.to_vec(),
            created_at: rfc3339(version.created_at),
            created_by: version.created_by.to_string(),
        }
    }
}

/// `PUT /v1/modules/{name}`: the raw bytes become a new version, compiled
/// before the answer unless the client asks not to wait for that.
pub(super) async fn upload(
    State(service): State<Service>,
    caller: Caller,
    line: Line,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&caller, Scope::Modules)?;
    let name = module_name(&name)?;
    let room = || line.share(&caller.owner.tenant, Kind::Large);
    // From here on it has a place in the tenant's line before the compiler, which is shorter.
    let (upload, _) = spooled_body(body, service.spool(), limits::MODULE_BYTES_MAX as u64, room).await?;
    let at_once =
        header_text(&headers, &content::PREFER)?.is_some_and(|prefer| content::prefers(prefer, "respond-async"));
    let answer = if at_once { Answer::AtOnce } else { Answer::WhenReady };
    let (status, version) = match service.upload(&caller.owner, name, upload, answer).await? {
        Uploaded::New(version) => (StatusCode::CREATED, version),
        Uploaded::Compiling(version) => (StatusCode::ACCEPTED, version),
        Uploaded::Same(version) => (StatusCode::OK, version),
    };
    let location = content::location(&["v1", "modules", version.name.as_str()]);
    Ok((status, [(header::LOCATION, location)], Json(ModuleView::from(version))).into_response())
}

/// `GET /v1/modules`: the latest version of each.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    require_reading(&caller)?;
    let modules = service.modules(&caller.owner.tenant, page_request(page.limit, page.cursor)?).await?;
    Ok(Json(ListView::of(modules, ModuleView::from)).into_response())
}

/// `GET /v1/modules/{name}`: the latest version, or `name@3`, `name@sha256:…`.
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    require_reading(&caller)?;
    let version = service.module(&caller.owner.tenant, &module_ref(&name)?).await?;
    Ok(Json(ModuleView::from(version)).into_response())
}

/// `GET /v1/modules/{name}/versions`: newest first.
pub(super) async fn versions(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    require_reading(&caller)?;
    let page = page_request(page.limit, page.cursor)?;
    let versions = service.versions(&caller.owner.tenant, &module_name(&name)?, page).await?;
    Ok(Json(ListView::of(versions, ModuleView::from)).into_response())
}

/// `GET /v1/modules/{name}/content`: the bytes as they were uploaded.
pub(super) async fn content(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    require_reading(&caller)?;
    let version = service.module(&caller.owner.tenant, &module_ref(&name)?).await?;
    let bytes = service.module_content(&version).await?;
    let meta = content::Meta {
        size: version.size_bytes,
        etag: Some(version.digest.hex()),
        modified_at: None,
        kind: HeaderValue::from_static("application/wasm"),
    };
    content::answer(&headers, meta, content::Bytes::File(bytes))
}

/// `DELETE /v1/modules/{name}`: all versions. Accepted jobs still run.
pub(super) async fn delete(
    State(service): State<Service>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Modules)?;
    service.delete_module(&caller.owner.tenant, &module_name(&name)?).await?;
    Ok(no_content())
}

/// `DELETE /v1/modules/{name}/versions/{number}`. Accepted jobs still run.
pub(super) async fn delete_version(
    State(service): State<Service>,
    caller: Caller,
    Path((name, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Modules)?;
    let number = number.parse().map_err(|_| Problem::invalid(format!("`{number}` is not the number of a version")))?;
    service.delete_version(&caller.owner.tenant, &module_name(&name)?, number).await?;
    Ok(no_content())
}

/// Whoever may run a module or upload one may look at it.
fn require_reading(caller: &Caller) -> Result<(), Problem> {
    if caller.may(Scope::Modules) {
        return Ok(());
    }
    require(caller, Scope::Submit)
}

fn module_name(text: &str) -> Result<ModuleName, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("{error}")))
}

fn module_ref(text: &str) -> Result<ModuleRef, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("{error}")))
}
