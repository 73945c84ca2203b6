//! `/v1/admin/tenants/{tenant}/quota`: what a tenant may have, and what it has.
//!
//! Whoever manages a tenant may look; only `root` may change it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::Response;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::http::admin::managed;
use crate::http::admin::tenant_id;
use crate::http::auth::require;
use crate::http::no_content;
use crate::http::problem::Problem;
use crate::http::wire::Json;
use crate::http::wire::Path;
use crate::model::caller::Caller;
use crate::model::caller::Scope;
use crate::model::quota::BadQuota;
use crate::model::quota::Measure;
use crate::model::quota::Overrides;
use crate::model::quota::QuotaChange;
use crate::service::Service;
use crate::service::quotas::QuotaInForce;

/// Every number in force, and under `usage` what is used.
#[derive(Serialize)]
pub(super) struct QuotaView {
    #[serde(flatten)]
    quota: BTreeMap<&'static str, u64>,
    usage: BTreeMap<&'static str, u64>,
}

type Count = fn(&QuotaInForce) -> u64;

/// What is counted, and how.
const USED: [(Measure, Count); 6] = [
    (Measure::Sessions, |of| of.held.sessions),
    (Measure::StoredBytes, |of| of.held.stored_bytes),
    (Measure::Modules, |of| of.held.modules),
    (Measure::ModuleBytes, |of| of.held.module_bytes),
    (Measure::QueuedJobs, |of| of.jobs.queued),
    (Measure::RunningJobs, |of| of.jobs.running),
];

impl JsonSchema for QuotaView {
    fn schema_name() -> Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = |measure: Measure| (measure.word().to_owned(), json!({ "type": "integer", "minimum": 0 }));
        let used = USED.map(|(measure, _)| measure);
        let usage = json!({
            "type": "object",
            "description": "What is used.",
            "properties": used.map(number).into_iter().collect::<Map<_, _>>(),
            "required": used.map(Measure::word),
        });
        let mut properties: Map<_, _> = Measure::ALL.map(number).into_iter().collect();
        properties.insert("usage".to_owned(), usage);
        json_schema!({
            "type": "object",
            "description": "Every number in force, and what is used.",
            "required": properties.keys().collect::<Vec<_>>(),
            "properties": properties,
        })
    }
}

impl From<QuotaInForce> for QuotaView {
    fn from(of: QuotaInForce) -> Self {
        let usage = USED.map(|(measure, used)| (measure, used(&of)));
        Self {
            quota: Measure::ALL.map(|measure| (measure.word(), of.quota.get(measure))).into(),
            usage: usage.map(|(measure, used)| (measure.word(), used)).into(),
        }
    }
}

/// Numbers by their names; `null` is what all tenants have.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct QuotaForm(BTreeMap<String, Value>);

impl JsonSchema for QuotaForm {
    fn schema_name() -> Cow<'static, str> {
        "QuotaChange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = |measure: Measure| {
            let (least, most) = measure.range().into_inner();
            let schema = json!({ "type": ["integer", "null"], "minimum": least, "maximum": most });
            (measure.word().to_owned(), schema)
        };
        json_schema!({
            "type": "object",
            "description": "Numbers of a quota; `null` is what all tenants have.",
            "properties": Measure::ALL.map(number).into_iter().collect::<Map<_, _>>(),
            "additionalProperties": false,
        })
    }
}

/// `GET …/quota`
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Response, Problem> {
    let tenant = managed(&caller, &tenant)?;
    Ok(Json(QuotaView::from(service.quota_in_force(&tenant).await?)).into_response())
}

/// `PUT …/quota`: that and nothing else is set from now on.
pub(super) async fn replace(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
    Json(form): Json<QuotaForm>,
) -> Result<Response, Problem> {
    let mut set = Overrides::default();
    require(&caller, Scope::Root)?;
    for (measure, value) in checked(form)? {
        if let Some(value) = value {
            set.set(measure, value).map_err(wrong)?;
        }
    }
    let changed = service.change_quota(&tenant_id(&tenant)?, QuotaChange::Replace(set)).await?;
    Ok(Json(QuotaView::from(changed)).into_response())
}

/// `PATCH …/quota`: what is left out stays as it is.
pub(super) async fn change(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
    Json(form): Json<QuotaForm>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Root)?;
    let changed = service.change_quota(&tenant_id(&tenant)?, QuotaChange::Merge(checked(form)?)).await?;
    Ok(Json(QuotaView::from(changed)).into_response())
}

/// `DELETE …/quota`: the tenant has what all have.
pub(super) async fn reset(
    State(service): State<Service>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Response, Problem> {
    require(&caller, Scope::Root)?;
    service.change_quota(&tenant_id(&tenant)?, QuotaChange::Replace(Overrides::default())).await?;
    Ok(no_content())
}

fn checked(form: QuotaForm) -> Result<Vec<(Measure, Option<u64>)>, Problem> {
    let number = |(name, value): (String, Value)| {
        let measure = Measure::named(&name)?;
        let value = match &value {
            Value::Null => None,
            value => Some(measure.check_text(&value.to_string())?),
        };
        Ok((measure, value))
    };
    form.0.into_iter().map(number).collect::<Result<_, _>>().map_err(wrong)
}

fn wrong(bad: BadQuota) -> Problem {
    Problem::invalid(bad.to_string())
}
