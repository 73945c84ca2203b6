//! Every refusal that a client can see has one shape, a code, and a sentence
//! that names the value. And what this version does not have yet is refused
//! clearly, so that nobody believes it is in force.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// A request, and the refusal it gets: status, code, and words of the detail.
type Case<'a> = (Method, &'a str, Value, u16, &'a str, &'a [&'a str]);

async fn check(server: &TestServer, cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for (method, path, body, status, code, words) in cases {
        let request = server.request(method.clone(), path);
        let answer = server.send(if body.is_null() { request } else { request.json(body) }).await;
        assert!(answer.header("request-id").is_some(), "{method} {path}");
        let asked = format!("{method} {path} {body}");
        if answer.status != *status {
            wrong.push(format!("{asked} was answered {}: {}", answer.status, answer.text()));
            continue;
        }
        let detail = answer.refused(*status, code);
        let missing = words.iter().filter(|word| !detail.contains(**word));
        wrong.extend(missing.map(|word| format!("{asked}: `{word}` is not in: {detail}")));
        if detail.contains("::") || detail.contains("sessile-test-") {
            wrong.push(format!("{asked} shows the inside of the host: {detail}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("here").await;
    server.ready(guests::HELLO).await;
    let get = |path| (Method::GET, path, Value::Null, 404, "not-found");
    let cases = [
        (get("/v1/sessions/gone"), &["gone"][..]),
        (get("/v1/sessions/here/params/gone"), &["gone"]),
        (get("/v1/sessions/here/files/gone.txt"), &["gone.txt"]),
        (get("/v1/jobs/gone"), &["gone"]),
        (get("/v1/jobs/gone/stdout"), &["gone"]),
        (get("/v1/modules/gone"), &["gone", "PUT /v1/modules/gone"]),
        (get("/v1/modules/hello@9"), &["hello@9"]),
        (get("/v1/nothing"), &[]),
        (get("/nothing"), &[]),
    ];
    let cases: Vec<Case<'_>> = cases.into_iter().map(|((m, p, b, s, c), words)| (m, p, b, s, c, words)).collect();
    check(&server, &cases).await;
    let submit = json!({"module": "gone"});
    check(&server, &[(Method::POST, "/v1/jobs", submit, 404, "not-found", &["gone"])]).await;
}

#[tokio::test]
async fn a_wrong_request_is_told_the_field_and_the_value() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    let post = |path, body| (Method::POST, path, body, 400, "invalid-request");
    let cases = [
        (post("/v1/sessions", json!({"idle": 5})), &["idle"][..]),
        (post("/v1/sessions", json!({"queue": "maybe"})), &["maybe"]),
        (post("/v1/sessions", json!({"transaction": "never"})), &["never", "transaction"]),
        (post("/v1/sessions", json!({"id": "a b"})), &["a b"]),
        (post("/v1/sessions", json!({"from": {"session": "a b"}})), &["from.session", "a b"]),
        (post("/v1/sessions", json!({"from": {"session": "a", "comit": 1}})), &["comit"]),
        (post("/v1/sessions", json!({"history": {"commits": 0}})), &["history.commits", "0"]),
        (post("/v1/sessions", json!({"history": {"age_s": 0}})), &["history.age_s", "0"]),
        (post("/v1/sessions", json!({"params": {"a": 1}})), &[]),
        (post("/v1/sessions", json!([])), &[]),
        (post("/v1/sessions", json!({"limits": [5, 6]})), &["expected a map"]),
        (post("/v1/sessions", json!({"from": ["here", 0]})), &["expected a map"]),
        (post("/v1/jobs", json!({"module": "hello", "limits": [1_000, 1_000]})), &["expected a map"]),
        (post("/v1/jobs", json!({})), &["module"]),
        (post("/v1/jobs", json!({"module": "hello", "arg": []})), &["arg"]),
        (post("/v1/jobs", json!({"module": "Hello!"})), &["Hello!"]),
        (post("/v1/jobs", json!({"module": "hello", "id": "a/b"})), &["a/b"]),
        (post("/v1/jobs", json!({"module": "hello", "session": "../x"})), &["../x"]),
        (post("/v1/jobs", json!({"module": "hello", "args": "one"})), &[]),
        (post("/v1/jobs", json!({"module": "hello", "args": ["a\0b"]})), &["args"]),
        (post("/v1/jobs", json!({"module": "hello", "env": {"A=B": "x"}})), &["A=B"]),
        (post("/v1/jobs", json!({"module": "hello", "limits": {"wall_ms": 0}})), &["wall_ms"]),
        (post("/v1/jobs", json!({"module": "hello", "limits": {"wall": 1}})), &["wall"]),
        (post("/v1/jobs", json!({"module": "hello", "on_crash": "panic"})), &["panic"]),
        (post("/v1/admin/tenants/dev/keys", json!({"principal": "p", "scopes": ["all"]})), &["all"]),
        (post("/v1/admin/tenants/dev/keys", json!({"principal": "p", "scopes": []})), &["scopes"]),
    ];
    let cases: Vec<Case<'_>> = cases.into_iter().map(|((m, p, b, s, c), words)| (m, p, b, s, c, words)).collect();
    check(&server, &cases).await;
    let page = |path| (Method::GET, path, Value::Null, 400, "invalid-request");
    let cases = [
        (page("/v1/jobs?limit=many"), &["many"][..]),
        (page("/v1/jobs?stat=failed"), &["stat"]),
        (page("/v1/jobs?state=gone"), &["gone"]),
        (page("/v1/sessions?cursor=nonsense"), &[]),
    ];
    let cases: Vec<Case<'_>> = cases.into_iter().map(|((m, p, b, s, c), words)| (m, p, b, s, c, words)).collect();
    check(&server, &cases).await;
}

#[tokio::test]
async fn what_this_version_has_not_is_refused_by_name() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    let post = |path, body| (Method::POST, path, body, 400, "invalid-request");
    let cases = [
        (post("/v1/jobs", json!({"module": "hello", "retries": 2})), &["retries"][..]),
        (post("/v1/jobs", json!({"module": "hello", "not_before": "2030-01-01T00:00:00Z"})), &["not_before"]),
    ];
    let cases: Vec<Case<'_>> = cases.into_iter().map(|((m, p, b, s, c), words)| (m, p, b, s, c, words)).collect();
    check(&server, &cases).await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_in_our_shape() {
    let server = TestServer::start().await;
    let post = |kind: &str, body: &str| {
        let request = server.request(Method::POST, "/v1/sessions").header("content-type", kind.to_owned());
        server.send(request.body(body.to_owned()))
    };
    let _ = post("application/json", "{\"id\": ").await.refused(400, "invalid-request");
    let _ = post("application/json", "").await.refused(400, "invalid-request");
    let deep = format!("{{\"params\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let _ = post("application/json", &deep).await.refused(400, "invalid-request");
    // A form of another site can send this type without asking; JSON it cannot.
    let answer: Answer = post("text/plain", "{}").await;
    assert_eq!(answer.status, 415, "{answer:?}");
    let _ = post("application/json; charset=utf-8", "{}").await.expect(201);
    // Where nothing has to be said, nothing need be sent; but what is sent is read.
    let _ = server.send(server.request(Method::POST, "/v1/sessions")).await.expect(201);
    let detail = server.post("/v1/jobs/none/cancel", &json!({"foo": 1})).await.refused(400, "invalid-request");
    assert!(detail.contains("`foo`"), "{detail}");
    let _ = server.send(server.request(Method::POST, "/v1/jobs/none/cancel")).await.refused(404, "not-found");
    let large = json!({"params": {"a": "x".repeat(2 << 20)}});
    let _ = server.post("/v1/sessions", &large).await.refused(413, "payload-too-large");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = TestServer::start().await;
    let answer = server.delete("/v1/jobs").await.expect(405);
    let allowed = answer.header("allow").expect("a 405 says what is allowed");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    // Who has no key is told that, and not what there is.
    let stranger = server.with_key(None);
    let _ = stranger.delete("/v1/jobs").await.refused(401, "unauthorized");
    let _ = stranger.get("/v1/nothing").await.refused(401, "unauthorized");
    let _ = stranger.get("/nothing").await.refused(404, "not-found");
}

#[tokio::test]
async fn every_code_has_a_page_where_its_type_says() {
    let server = TestServer::start().await;
    let codes = [
        "invalid-request",
        "unauthorized",
        "forbidden",
        "not-found",
        "conflict",
        "session-busy",
        "session-key-mismatch",
        "payload-too-large",
        "request-timeout",
        "head-too-large",
        "rate-limited",
        "unsupported-module",
        "invalid-module",
        "quota-exceeded",
        "queue-full",
        "storage-full",
        "internal",
        "unavailable",
    ];
    for code in codes {
        let page = server.with_key(None).get(&format!("/problems/{code}")).await.expect(200);
        assert!(page.text().contains(code), "{}", page.text());
    }
    let _ = server.get("/problems/none").await.refused(404, "not-found");
}

#[tokio::test]
async fn a_request_id_is_taken_or_made() {
    let server = TestServer::start().await;
    let with = |id: &'static str| server.send(server.request(Method::GET, "/v1/sessions").header("request-id", id));
    assert_eq!(with("order-66").await.header("request-id"), Some("order-66"));
    let made = server.get("/v1/sessions").await;
    assert!(made.header("request-id").is_some_and(|id| !id.is_empty()));
    assert!(server.log().contains("order-66"), "{}", server.log());
    assert_ne!(with("<script>").await.header("request-id"), Some("<script>"));
}

#[tokio::test]
async fn a_header_that_is_there_twice_is_taken_neither_way() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("a").await;
    let module = server.ready(guests::HELLO).await;
    let order = json!({"module": module});
    let twice =
        server.request(Method::POST, "/v1/jobs").json(&order).header("session-id", "a").header("session-id", "b");
    let detail = server.send(twice).await.refused(400, "invalid-request");
    assert!(detail.contains("session-id"), "{detail}");
    let twice = server.request(Method::GET, "/v1/sessions").header("authorization", "Bearer x");
    let _ = server.send(twice).await.refused(401, "unauthorized");
    let long = format!("/healthz?{}", "x".repeat(9_000));
    let _ = server.get(&long).await.refused(400, "invalid-request");
}

#[tokio::test]
async fn r29_refusals_about_a_session_name_it_too() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("here").with_file("f", "1").await;
    for path in ["/v1/sessions/here/files/none", "/v1/sessions/here/params/none", "/v1/sessions/gone"] {
        let answer = server.get(path).await.expect(404);
        assert_eq!(answer.header("session-id"), path.split('/').nth(3), "{path}");
    }
    let put = server.request(Method::PUT, "/v1/sessions/here/files/f").header("if-match", "\"other\"").body("2");
    let answer = server.send(put).await.expect(412);
    assert_eq!(answer.header("session-id"), Some("here"));

    // Where the address does not name it, but the request.
    let body = json!({"id": "here"});
    let answer = server.send(server.request(Method::POST, "/v1/sessions").json(&body)).await.expect(409);
    assert_eq!(answer.header("session-id"), Some("here"));
    let holding = server.session("here").hold().await;
    let order = json!({"module": "hello", "session": "here", "queue": "reject"});
    let job = server.request(Method::POST, "/v1/jobs").json(&order);
    let run = server.request(Method::POST, "/v1/run/hello?queue=reject").header("session-id", "here");
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    for request in [job, run] {
        let answer = server.send(request).await.expect(409);
        assert_eq!((answer.json()["code"].as_str(), answer.header("session-id")), (Some("session-busy"), Some("here")));
    }
    holding.end().await;
}
