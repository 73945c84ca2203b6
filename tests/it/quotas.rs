//! R34: what one tenant may have, and what it is told when it has it. One
//! tenant's use is nothing to another.

mod setting;
mod holding;
mod passing;

use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::TestServer;

/// A principal of a new tenant with that quota.
async fn tenant(server: &TestServer, name: &str, quota: &Value) -> Client {
    let _ = server.post("/v1/admin/tenants", &json!({"id": name})).await.expect(201);
    set(server, name, quota).await;
    server.principal_of(name, "ann", &["submit", "modules", "admin"]).await
}

/// Sets these numbers of a tenant's quota, beside those that are set.
async fn set(server: &TestServer, tenant: &str, quota: &Value) {
    let _ = server.patch(&quota_of(tenant), quota).await.expect(200);
}

async fn usage(server: &TestServer, tenant: &str, name: &str) -> u64 {
    let quota = server.get(&quota_of(tenant)).await.expect(200).json();
    quota["usage"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {quota}"))
}

fn quota_of(tenant: &str) -> String {
    format!("/v1/admin/tenants/{tenant}/quota")
}

/// Demands a refusal that names the number of the quota, and its limit; and when to come back, if that helps.
#[track_caller]
fn check_refused(answer: Answer, status: u16, code: &str, name: &str, limit: u64) {
    let wait: Option<u64> = answer.header("retry-after").map(|wait| wait.parse().expect("a number of seconds"));
    assert_eq!(wait.is_some_and(|wait| wait >= 1), status == 429, "{answer:?}");
    let detail = answer.refused(status, code);
    assert!(detail.contains(&format!("`{name}` of the tenant's quota is {limit}, ")), "{detail}");
}
