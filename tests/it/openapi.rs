//! `/openapi.json` says what the server does. The kit holds every answer of every test
//! against it; here is what else is promised of it.

use boon::Compiler;
use boon::Schemas;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderValue;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::contract::Asked;
use sessile_kit::contract::Contract;

/// What the OpenAPI Initiative publishes (Apache-2.0), as `openapi-spec-validator` carries it.
const OFFICIAL: &str = include_str!("openapi/schema-3.1.json");

#[tokio::test]
async fn the_document_is_for_anybody_and_may_be_kept() {
    let server = TestServer::start().await;
    let anybody = server.with_key(None);
    let answer = anybody.get("/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.json(), Contract::published().document);
    let tag = answer.header("etag").expect("it has a tag").to_owned();
    let again = anybody.request(Method::GET, "/openapi.json").header("if-none-match", &tag);
    let again = anybody.send(again).await.expect(304);
    assert!(again.body.is_empty());
    let head = anybody.send(anybody.request(Method::HEAD, "/openapi.json")).await.expect(200);
    assert_eq!((head.header("etag"), head.body.len()), (Some(tag.as_str()), 0));
    let _ = anybody.get("/openapi.json?x=1").await.refused(400, "invalid-request");
    let _ = anybody.delete("/openapi.json").await.refused(405, "method-not-allowed");
}

#[test]
fn the_document_is_openapi_3_1() {
    let document = &Contract::published().document;
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    let official = serde_json::from_str(OFFICIAL).expect("it is JSON");
    let name = "https://spec.openapis.org/oas/3.1/schema/2022-10-07";
    compiler.add_resource(name, official).expect("it is a resource");
    let schema = compiler.compile(name, &mut schemas).expect("it is a schema");
    if let Err(error) = schemas.validate(document, schema) {
        panic!("{error:#}");
    }
    assert!(schemas.validate(&json!({"openapi": "3.1.0"}), schema).is_err());
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// A request that gets as far as the question who may ask it.
fn sample(client: &Client, path: &str, method: &str, operation: &Value) -> RequestBuilder {
    let names = [("{tenant}", "dev"), ("{code}", "not-found"), ("{number}", "1")];
    let path = names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    let request = client.request(method.to_uppercase().parse().expect("a method"), &path.replace(['{', '}'], ""));
    if operation.pointer("/requestBody/content/application~1json").is_none() {
        return request;
    }
    request.json(&match operation["operationId"].as_str() {
        Some("submitJob") => json!({"module": "m"}),
        Some("revertSession") => json!({"to": 0}),
        Some("createTenant") => json!({"id": "x"}),
        Some("createKey") => json!({"principal": "p", "scopes": ["submit"]}),
        _ => json!({}),
    })
}

#[tokio::test]
async fn every_operation_takes_the_keys_that_the_document_says() {
    const SCOPES: [&str; 4] = ["submit", "modules", "admin", "root"];
    let server = TestServer::start().await;
    let stranger = server.with_key(None);
    for (path, item) in Contract::published().document["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has operations") {
            let alternatives = operation["security"].as_array().expect("every operation says who may ask");
            let enough: Vec<&str> =
                alternatives.iter().filter_map(|alternative| alternative["apiKey"][0].as_str()).collect();
            let is_for_anybody = alternatives.iter().all(|alternative| alternative["apiKey"].is_null());
            let to_a_stranger = server.send(sample(&stranger, path, method, operation)).await.status;
            if enough.len() < alternatives.len() || is_for_anybody {
                assert!(![401, 403].contains(&to_a_stranger), "{method} {path}: {to_a_stranger}");
                continue;
            }
            assert_eq!(to_a_stranger, 401, "{method} {path}");
            let others: Vec<&str> = SCOPES.into_iter().filter(|scope| !enough.contains(scope)).collect();
            let without = server.principal("without", &others).await;
            let answer = server.send(sample(&without, path, method, operation)).await;
            assert_eq!(answer.status, 403, "{method} {path} with {others:?}: {}", answer.text());
            let names_one = enough.iter().any(|scope| answer.text().contains(&format!("`{scope}`")));
            assert!(names_one || method == "head", "{method} {path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_path_may_come_with_its_slashes_encoded() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("s").await;
    let _ = server.put("/v1/sessions/s/files/a%2Fb%2Fc.txt", "x").await.expect(201);
    assert_eq!(server.get("/v1/sessions/s/files/a/b/c.txt").await.expect(200).text(), "x");
}

/// What the kit finds wrong with an answer that no server gave.
#[track_caller]
fn check(asked: (&str, &str), status: u16, headers: &[(&'static str, &'static str)], body: Value, expected: &[&str]) {
    let (method, path) = asked;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let queries = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let json = (method == "post").then(|| body.clone());
    let asked = Asked { method: method.to_owned(), path: path.to_owned(), queries, json };
    let mut map = HeaderMap::new();
    for (name, value) in [("request-id", "r")].iter().chain(headers) {
        map.insert(*name, HeaderValue::from_static(value));
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = Answer { asked: format!("{method} {path}"), status, headers: map, body };
    let wrong = Contract::published().wrong(&asked, &answer);
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (wrong, words) in wrong.iter().zip(expected) {
        assert!(wrong.contains(words), "`{words}` is not in {wrong}");
    }
}

#[test]
fn the_kit_sees_an_answer_that_is_not_as_the_document_says() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
    let tenant = json!({"id": "t", "created_at": "2026-11-18T11:06:40Z"});
    let get = ("get", "/v1/admin/tenants/t");
    check(get, 200, &[JSON], tenant.clone(), &[]);
    check(get, 200, &[JSON, ("server", "x")], tenant.clone(), &["`server` is not listed"]);
    check(get, 200, &[("content-type", "text/html")], tenant.clone(), &["text/html"]);
    check(get, 201, &[JSON], tenant.clone(), &["status"]);
    check(get, 200, &[JSON], json!({"id": "t", "created_at": "", "more": 1}), &["more"]);
    check(get, 200, &[JSON], json!({"id": "t"}), &["created_at"]);
    check(get, 200, &[JSON], json!({"id": "T!", "created_at": ""}), &["pattern"]);
    check(("get", "/v1/admin/tenants/t?x=1"), 200, &[JSON], tenant.clone(), &["`x=1` was accepted"]);
    check(("get", "/v1/nothing"), 200, &[JSON], tenant, &["no such operation"]);
    check(("get", "/v1/nothing"), 404, &[PROBLEM], Value::Null, &[]);
    let problem = |code: &str| json!({"type": "/", "title": "", "status": 404, "detail": "", "code": code});
    check(get, 404, &[PROBLEM], problem("not-found"), &[]);
    check(get, 404, &[PROBLEM], problem("conflict"), &["must be 'not-found'"]);
    check(get, 409, &[PROBLEM], problem("conflict"), &["must be one of"]);
    check(get, 500, &[PROBLEM], problem("internal"), &[]);
    check(("delete", "/v1/sessions/s"), 204, &[], Value::Null, &["`session-id` is not there"]);
    check(("get", "/v1/sessions/s/files/a/b"), 404, &[PROBLEM], problem("not-found"), &[]);
    let gone = [("session-id", "no id")];
    check(("delete", "/v1/sessions/s?owner=o"), 204, &gone, Value::Null, &["`session-id` is `no id`"]);
    check(
        ("get", "/v1/admin/tenants?limit=501"),
        200,
        &[JSON],
        json!({"items": [], "next_cursor": null}),
        &["limit=501"],
    );
    let made = [PROBLEM, ("session-id", "s")];
    check(("post", "/v1/sessions"), 400, &made, problem("invalid-request"), &[]);
}
