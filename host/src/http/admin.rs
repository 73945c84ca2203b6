//! `/v1/admin`: tenants and the keys of their principals, for the operator.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::http::auth::require;
use crate::http::no_content;
use crate::http::openapi::words;
use crate::http::problem::Problem;
use crate::http::wire::Json;
use crate::http::wire::ListView;
use crate::http::wire::PageQuery;
use crate::http::wire::Path;
use crate::http::wire::Query;
use crate::http::wire::page_request;
use crate::http::wire::rfc3339;
use crate::ids::TenantId;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::service::Service;
use crate::store::Key;
use crate::store::Tenant;

/// A tenant: nothing of one is visible to another.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tenant")]
pub(super) struct TenantView {
    #[schemars(with = "words::Name")]
    id: String,
    #[schemars(with = "words::Moment")]
    created_at: String,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self { id: tenant.name.to_string(), created_at: rfc3339(tenant.created_at) }
    }
}

/// An API key. Only a hash of the key itself is stored.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub(super) struct KeyView {
    id: String,
    /// Who it speaks for.
    #[schemars(with = "words::Id")]
    principal: String,
    #[schemars(with = "Vec<words::ScopeWord>")]
    scopes: Vec<String>,
    #[schemars(with = "words::Moment")]
    created_at: String,
    /// To the minute or so; `null`: never.
    #[schemars(with = "Option<words::Moment>")]
    last_used_at: Option<String>,
    /// The key itself, only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeyView {
    fn of(key: Key, text: Option<String>) -> Self {
        Self {
            id: key.id,
            principal: key.owner.principal.to_string(),
            scopes: key.scopes.iter().map(Scope::to_string).collect(),
            created_at: rfc3339(key.created_at),
            last_used_at: key.last_used_at.map(rfc3339),
            key: text,
        }
    }
}

/// A tenant to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewTenant")]
pub(super) struct TenantOrder {
    #[schemars(with = "words::Name")]
    id: String,
}

/// An API key to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewApiKey")]
pub(super) struct KeyOrder {
    /// Who it is to speak for.
    #[schemars(with = "words::Id")]
    principal: String,
    /// What it is to allow; nothing that the caller may not.
    #[schemars(with = "Vec<words::ScopeWord>", length(min = 1))]
    scopes: Vec<String>,
}

/// `POST /v1/admin/tenants`
pub(super) async fn create_tenant(
    State(service): State<Service>,
    caller: Caller,
    Json(order): Json<TenantOrder>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Root)?;
    let tenant = service.create_tenant(tenant_id(&order.id)?).await?;
    Ok((StatusCode::CREATED, Json(TenantView::from(tenant))).into_response())
}

/// `GET /v1/admin/tenants`
pub(super) async fn tenants(
    State(service): State<Service>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Root)?;
    let tenants = service.tenants(page_request(page.limit, page.cursor)?).await?;
    Ok(Json(ListView::of(tenants, TenantView::from)).into_response())
}

/// `GET /v1/admin/tenants/{tenant}`
pub(super) async fn tenant(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Response, Problem> {
    let tenant = managed(&caller, &tenant)?;
    Ok(Json(TenantView::from(service.tenant(&tenant).await?)).into_response())
}

/// `DELETE /v1/admin/tenants/{tenant}`: with everything that is the tenant's.
pub(super) async fn delete_tenant(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Root)?;
    service.delete_tenant(&tenant_id(&tenant)?).await?;
    Ok(no_content())
}

/// `POST /v1/admin/tenants/{tenant}/keys`: the answer shows the key, once.
pub(super) async fn create_key(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
    Json(order): Json<KeyOrder>,
) -> Result<Response, Problem> {
    let tenant = managed(&caller, &tenant)?;
    let principal = order.principal.parse().map_err(|error| Problem::invalid(format!("`principal`: {error}")))?;
    let mut scopes = BTreeSet::new();
    for scope in &order.scopes {
        let scope: Scope = scope.parse().map_err(|error| Problem::invalid(format!("`scopes`: {error}")))?;
        // Nobody gives away more than they have.
        require(&caller, scope)?;
        scopes.insert(scope);
    }
    if scopes.is_empty() {
        return Err(Problem::invalid("`scopes` is empty, and such a key could do nothing; name at least one scope"));
    }
    let (key, text) = service.create_key(tenant, principal, scopes).await?;
    Ok((StatusCode::CREATED, Json(KeyView::of(key, Some(text)))).into_response())
}

/// `GET /v1/admin/tenants/{tenant}/keys`
pub(super) async fn keys(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let tenant = managed(&caller, &tenant)?;
    let page = page_request(query.limit, query.cursor)?;
    let keys = service.tenant_keys(&tenant, page).await?;
    Ok(Json(ListView::of(keys, |key| KeyView::of(key, None))).into_response())
}

/// `DELETE /v1/admin/tenants/{tenant}/keys/{id}`: refused from now on.
pub(super) async fn delete_key(
    State(service): State<Service>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let tenant = managed(&caller, &tenant)?;
    service.delete_key(&tenant, &id).await?;
    Ok(no_content())
}

/// The tenant, if the caller manages it: `root` all of them, `admin` its own.
/// Another's tenant is answered like none.
pub(super) fn managed(caller: &Caller, tenant: &str) -> Result<TenantId, Problem> {
    require(caller, Scope::Admin)?;
    let tenant = tenant_id(tenant)?;
    if caller.may(Scope::Root) || caller.owner.tenant == tenant {
        return Ok(tenant);
    }
    Err(Problem::not_found(format!("no tenant is named `{tenant}`")))
}

pub(super) fn tenant_id(text: &str) -> Result<TenantId, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("{error}")))
}
