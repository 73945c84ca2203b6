//! `/v1/modules`, described.

use axum::http::Method;

use super::api::Api;
use super::content::CONDITIONS;
use super::content::at_most;
use super::headers as h;
use super::words;
use crate::http::modules::ModuleView;
use crate::http::problem::Code;
use crate::http::wire::ListView;
use crate::http::wire::PageQuery;
use crate::limits;
use crate::model::caller::Scope;

/// Whoever may run a module or upload one may look at it.
const READ: &[Scope] = &[Scope::Submit, Scope::Modules];
const WRITE: &[Scope] = &[Scope::Modules];

const WHICH: &str = "The module: `name` for its latest version, `name@3` or `name@sha256:…`.";

pub(super) fn describe(api: &mut Api) {
    uploading(api);
    looking(api);
    deleting(api);
}

fn uploading(api: &mut Api) {
    let no_module = &[
        Code::NotFound,
        Code::Conflict,
        Code::PayloadTooLarge,
        Code::UnsupportedModule,
        Code::InvalidModule,
        Code::QuotaExceeded,
        Code::QueueFull,
        Code::StorageFull,
    ];
    api.on(Method::PUT, "/v1/modules/{name}", "uploadModule", "Upload the bytes of a module as a new version.")
        .more("It is compiled before the answer, unless `Prefer: respond-async` says not to wait for that.")
        .needs(WRITE)
        .takes(&[&h::PREFER_ASYNC])
        .bytes_body(
            &at_most("The binary that the compiler wrote", limits::MODULE_BYTES_MAX as u64),
            &["application/wasm"],
        )
        .answers(200, "The latest version has the same bytes; this is it.", &[&h::LOCATION], &[])
        .json::<ModuleView>()
        .answers(201, "The new version.", &[&h::LOCATION], &[])
        .json::<ModuleView>()
        .answers(202, "The new version, which is being compiled.", &[&h::LOCATION], &[])
        .json::<ModuleView>()
        .refuses(no_module);
}

fn looking(api: &mut Api) {
    api.on(Method::GET, "/v1/modules", "listModules", "List the latest version of each module.")
        .needs(READ)
        .asked::<PageQuery>()
        .answers(200, "One page of the list.", &[], &[])
        .json::<ListView<ModuleView>>()
        .refuses(&[]);
    api.on(Method::GET, "/v1/modules/{name}", "getModule", "Look at a module's latest version, or at another.")
        .needs(READ)
        .named::<words::ModuleReference>("name", WHICH)
        .answers(200, "The version.", &[], &[])
        .json::<ModuleView>()
        .refuses(&[Code::NotFound]);
    api.on(Method::GET, "/v1/modules/{name}/versions", "listVersions", "List a module's versions, newest first.")
        .needs(READ)
        .asked::<PageQuery>()
        .answers(200, "One page of the list.", &[], &[])
        .json::<ListView<ModuleView>>()
        .refuses(&[Code::NotFound]);
    let said = &[&h::ETAG, &h::ACCEPT_RANGES];
    api.on(
        Method::GET,
        "/v1/modules/{name}/content",
        "getModuleContent",
        "Read a module's bytes as they were uploaded.",
    )
    .needs(READ)
    .named::<words::ModuleReference>("name", WHICH)
    .takes(CONDITIONS)
    .answers(200, "The bytes.", said, &[])
    .bytes("application/wasm")
    .answers(206, "The range that was asked for.", &[&h::ETAG, &h::ACCEPT_RANGES, &h::CONTENT_RANGE], &[])
    .bytes("application/wasm")
    .answers(304, "The module is one of `If-None-Match`.", said, &[])
    .and_head()
    .refuses(&[Code::NotFound, Code::PreconditionFailed, Code::RangeNotSatisfiable]);
}

fn deleting(api: &mut Api) {
    api.on(Method::DELETE, "/v1/modules/{name}", "deleteModule", "Delete all versions of a module.")
        .more("Accepted jobs still run.")
        .needs(WRITE)
        .answers(204, "They are gone.", &[], &[])
        .refuses(&[Code::NotFound]);
    api.on(Method::DELETE, "/v1/modules/{name}/versions/{number}", "deleteVersion", "Delete a version of a module.")
        .more("Accepted jobs still run.")
        .needs(WRITE)
        .answers(204, "It is gone.", &[], &[])
        .refuses(&[Code::NotFound]);
}
