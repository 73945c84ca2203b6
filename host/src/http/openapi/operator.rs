//! `/v1/admin`, and the server itself, described.

use axum::http::Method;

use super::api::Api;
use super::api::Body;
use super::content::CONDITIONS;
use super::headers as h;
use super::headers::Header;
use crate::http::admin::KeyOrder;
use crate::http::admin::KeyView;
use crate::http::admin::TenantOrder;
use crate::http::admin::TenantView;
use crate::http::problem::Code;
use crate::http::quotas::QuotaForm;
use crate::http::quotas::QuotaView;
use crate::http::wire::ListView;
use crate::http::wire::PageQuery;
use crate::model::caller::Scope;

/// All tenants.
const ROOT: &[Scope] = &[Scope::Root];
/// One's own tenant.
const ADMIN: &[Scope] = &[Scope::Admin];

const TENANTS: &str = "/v1/admin/tenants";
const TENANT: &str = "/v1/admin/tenants/{tenant}";
const QUOTA: &str = "/v1/admin/tenants/{tenant}/quota";
const KEYS: &str = "/v1/admin/tenants/{tenant}/keys";

pub(super) fn describe(api: &mut Api) {
    tenants(api);
    quotas(api);
    keys(api);
    server(api);
    dashboard(api);
}

fn tenants(api: &mut Api) {
    api.on(Method::GET, TENANTS, "listTenants", "List all tenants.")
        .needs(ROOT)
        .asked::<PageQuery>()
        .answers(200, "One page of the list.", &[], &[])
        .json::<ListView<TenantView>>()
        .refuses(&[]);
    api.on(Method::POST, TENANTS, "createTenant", "Make a tenant.")
        .needs(ROOT)
        .json_body::<TenantOrder>(Body::Required)
        .answers(201, "The tenant.", &[], &[])
        .json::<TenantView>()
        .refuses(&[Code::Conflict, Code::StorageFull]);
    api.on(Method::GET, TENANT, "getTenant", "Look at a tenant.")
        .needs(ADMIN)
        .answers(200, "The tenant.", &[], &[])
        .json::<TenantView>()
        .refuses(&[Code::NotFound]);
    api.on(Method::DELETE, TENANT, "deleteTenant", "Delete a tenant with everything that is its.")
        .needs(ROOT)
        .answers(204, "It is gone.", &[], &[])
        .refuses(&[Code::NotFound, Code::Conflict]);
}

fn quotas(api: &mut Api) {
    api.on(Method::GET, QUOTA, "getQuota", "Look at what a tenant may have, and what it has.")
        .needs(ADMIN)
        .answers(200, "The quota in force.", &[], &[])
        .json::<QuotaView>()
        .refuses(&[Code::NotFound]);
    let changes = [
        (Method::PUT, "replaceQuota", "Set these numbers of a tenant's quota, and no others."),
        (Method::PATCH, "changeQuota", "Change some numbers of a tenant's quota."),
    ];
    for (method, id, summary) in changes {
        api.on(method, QUOTA, id, summary)
            .needs(ROOT)
            .json_body::<QuotaForm>(Body::Required)
            .answers(200, "The quota in force.", &[], &[])
            .json::<QuotaView>()
            .refuses(&[Code::NotFound, Code::StorageFull]);
    }
    api.on(Method::DELETE, QUOTA, "resetQuota", "Let a tenant have what all tenants have.")
        .needs(ROOT)
        .answers(204, "It has that.", &[], &[])
        .refuses(&[Code::NotFound]);
}

fn keys(api: &mut Api) {
    api.on(Method::GET, KEYS, "listKeys", "List a tenant's API keys.")
        .needs(ADMIN)
        .asked::<PageQuery>()
        .answers(200, "One page of the list.", &[], &[])
        .json::<ListView<KeyView>>()
        .refuses(&[Code::NotFound]);
    api.on(Method::POST, KEYS, "createKey", "Make an API key; the answer shows it, once.")
        .needs(ADMIN)
        .json_body::<KeyOrder>(Body::Required)
        .answers(201, "The key.", &[], &[])
        .json::<KeyView>()
        .refuses(&[Code::NotFound, Code::Conflict, Code::StorageFull]);
    api.on(Method::DELETE, "/v1/admin/tenants/{tenant}/keys/{id}", "deleteKey", "Delete an API key.")
        .more("It is refused from that moment on.")
        .needs(ADMIN)
        .answers(204, "It is gone.", &[], &[])
        .refuses(&[Code::NotFound]);
}

fn server(api: &mut Api) {
    api.on(Method::GET, "/healthz", "getHealth", "Ask whether the process answers.")
        .answers(200, "It does.", &[], &[])
        .text("text/plain; charset=utf-8")
        .refuses(&[]);
    api.on(Method::GET, "/readyz", "getReadiness", "Ask whether the server can take jobs.")
        .answers(200, "It can.", &[], &[])
        .text("text/plain; charset=utf-8")
        .refuses(&[Code::Unavailable]);
    api.on(Method::GET, "/metrics", "getMetrics", "Read the operator's page of numbers, for Prometheus.")
        .more("A key is needed unless the server's settings say that anybody may read it.")
        .may_need(Scope::Root)
        .answers(200, "The page.", &[], &[])
        .text("text/plain; version=0.0.4; charset=utf-8")
        .text("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .refuses(&[]);
    api.on(
        Method::GET,
        "/problems/{code}",
        "getProblem",
        "Read what a code of a problem means and what to do about it.",
    )
    .answers(200, "The page.", &[], &[])
    .text("text/plain; charset=utf-8")
    .refuses(&[Code::NotFound]);
    let document = api.on(Method::GET, "/openapi.json", "getOpenapi", "Read this document.").takes(CONDITIONS);
    document
        .answers(200, "The document.", FILE, &[])
        .json::<serde_json::Map<String, serde_json::Value>>()
        .answers(206, "The range that was asked for.", PART, &[])
        .bytes("application/json")
        .answers(304, "The document is one of `If-None-Match`.", FILE, &[])
        .refuses(&[Code::PreconditionFailed, Code::RangeNotSatisfiable]);
}

/// What the answer with a file of the server's own has, and with a part of one.
const FILE: &[&Header] = &[&h::ETAG, &h::ACCEPT_RANGES];
const PART: &[&Header] = &[&h::ETAG, &h::ACCEPT_RANGES, &h::CONTENT_RANGE];

fn dashboard(api: &mut Api) {
    const HTML: &str = "text/html; charset=utf-8";
    const OTHERS: [&str; 2] = ["text/css; charset=utf-8", "text/javascript; charset=utf-8"];
    api.on(Method::GET, "/ui", "getDashboard", "Open the dashboard in a browser.")
        .takes(CONDITIONS)
        .answers(200, "The page.", FILE, &[])
        .text(HTML)
        .answers(206, "The range that was asked for.", PART, &[])
        .bytes(HTML)
        .answers(304, "The page is one of `If-None-Match`.", FILE, &[])
        .refuses(&[Code::PreconditionFailed, Code::RangeNotSatisfiable]);
    api.on(Method::GET, "/ui/", "findDashboard", "Find the dashboard.")
        .answers(308, "It is at `/ui`.", &[&h::LOCATION], &[])
        .refuses(&[]);
    let file = api.on(Method::GET, "/ui/{file}", "getDashboardFile", "Read a file of the dashboard.");
    let file = file.takes(CONDITIONS).answers(200, "The file.", FILE, &[]);
    let file = OTHERS.iter().fold(file, |file, kind| file.text(kind));
    let file = file.answers(206, "The range that was asked for.", PART, &[]);
    let file = OTHERS.iter().fold(file, |file, kind| file.bytes(kind));
    file.answers(304, "The file is one of `If-None-Match`.", FILE, &[]).refuses(&[
        Code::NotFound,
        Code::PreconditionFailed,
        Code::RangeNotSatisfiable,
    ]);
}
