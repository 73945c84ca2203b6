//! B31, B33: what one request may hold, and what it must say of itself.

use reqwest::Method;
use serde_json::json;
use sessile_kit::TestServer;
use sessile_kit::Wire;
use sessile_kit::guests;

#[tokio::test]
async fn b31_a_head_over_16_kib_is_refused_and_the_connection_closed() {
    let server = TestServer::start().await;
    let mut wire = Wire::open(&server);
    let line = format!("A: {}\r\n", "x".repeat(1_000));
    let fits = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", line.repeat(15));
    assert_eq!(wire.send(&fits).hear().status, 200);
    let _ = wire.try_send(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", line.repeat(40)));
    let heard = wire.hear();
    assert!(heard.refused(431, "head-too-large").contains("16384"));
    assert!(heard.closes());
    assert_eq!(wire.closed(), "");
    let mut wire = Wire::open(&server);
    let _ = wire.try_send(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(101)));
    let _ = wire.hear().refused(431, "head-too-large");
}

#[tokio::test]
async fn b31_a_target_over_8_kib_is_refused() {
    let server = TestServer::start().await;
    let ask = |bytes: usize| {
        let mut wire = Wire::open(&server);
        wire.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(bytes - 1))).hear()
    };
    let _ = ask(8_192).refused(404, "not-found");
    assert!(ask(8_193).refused(400, "invalid-request").contains("8193"));
}

#[tokio::test]
async fn b31_json_is_refused_beyond_1_mib_and_64_levels() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    let large = json!({"module": "hello", "stdin": "x".repeat(1 << 20)});
    let _ = server.post("/v1/jobs", &large).await.refused(413, "payload-too-large");
    let nested = |levels: usize| {
        let text = format!(r#"{{"module": "hello", "labels": {}1{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
        server.request(Method::POST, "/v1/jobs").header("content-type", "application/json").body(text)
    };
    let _ = server.send(nested(1)).await.refused(400, "invalid-request");
    for path in ["/v1/jobs", "/v1/sessions", "/v1/admin/tenants"] {
        for deep in [r#"{"a":"#.repeat(65) + "1" + &"}".repeat(65), "[".repeat(500_000)] {
            let text = format!(r#"{{"module": "hello", "id": "x", "params": {deep}}}"#);
            let request = server.request(Method::POST, path).header("content-type", "application/json").body(text);
            let detail = server.send(request).await.refused(400, "invalid-request");
            assert!(detail.contains("levels deep") && detail.contains("64"), "{path}: {detail}");
        }
    }
    let brackets = json!({"id": "brackets", "params": {"a": "[".repeat(1_000)}});
    let _ = server.post("/v1/sessions", &brackets).await.expect(201);
}

/// Sends a head and less than it promises, and demands the refusal without the rest.
#[track_caller]
fn refused_early(server: &TestServer, request: &str, begun: &[u8]) {
    let mut wire = Wire::open(server);
    wire.send(format!("{request} HTTP/1.1\r\nHost: x\r\n{}", Wire::key_of(server))).send(begun);
    let _ = wire.hear().refused(413, "payload-too-large");
    let _ = wire.closed();
}

#[tokio::test]
async fn b31_an_upload_that_is_too_large_is_refused_before_it_has_come() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    refused_early(&server, "PUT /v1/modules/big", b"Content-Length: 67108865\r\n\r\n\0asm");
    refused_early(&server, &format!("PUT {}", session.path("/files/big")), b"Content-Length: 1073741825\r\n\r\n");
    let json = b"Content-Type: application/json\r\nContent-Length: 1048577\r\n\r\n{";
    refused_early(&server, "POST /v1/jobs", json);
    // Without a length it is noticed with the byte that is too many; the last chunk never comes.
    let mut chunked = b"Transfer-Encoding: chunked\r\n\r\n4000001\r\n".to_vec();
    chunked.resize(chunked.len() + (64 << 20) + 1, 0);
    refused_early(&server, "PUT /v1/modules/big", &chunked);
    let _ = server.get("/v1/modules/big").await.refused(404, "not-found");
    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn b33_json_is_taken_as_application_json_only() {
    let server = TestServer::start().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        for path in ["/v1/sessions", "/v1/jobs", "/v1/admin/tenants"] {
            let request = server.request(Method::POST, path).body(r#"{"id": "forged", "module": "m"}"#);
            let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
            let _ = server.send(request).await.refused(415, "unsupported-media-type");
        }
    }
    let _ = server.get("/v1/sessions/forged").await.refused(404, "not-found");
}

#[tokio::test]
async fn b33_no_page_of_another_site_may_read_an_answer() {
    let server = TestServer::start().await;
    for (method, path) in [
        (Method::OPTIONS, "/v1/sessions"),
        (Method::OPTIONS, "/healthz"),
        (Method::GET, "/v1/sessions"),
        (Method::GET, "/v1/none"),
        (Method::GET, "/healthz"),
        (Method::GET, "/problems/not-found"),
    ] {
        let request = server.request(method.clone(), path).header("origin", "https://elsewhere.example");
        let request = request.header("access-control-request-method", "POST");
        let answer = server.send(request.header("access-control-request-headers", "authorization")).await;
        let allowed = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(allowed, None, "{method} {path}");
        assert_eq!(answer.status == 405, method == Method::OPTIONS, "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_query_where_none_is_taken_is_refused_by_name() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("f", "1").await;
    let s = |rest: &str| session.path(rest);
    for (method, path) in [
        (Method::PUT, s("/files/f?commit=1")),
        (Method::GET, s("/commits/1?commit=1")),
        (Method::GET, s("/commits/1/files/f?commit=2")),
        (Method::GET, s("/files/f?comit=2")),
        (Method::PUT, s("/params/p?commit=1")),
        (Method::DELETE, s("/params/p?commit=1")),
        (Method::PATCH, s("?commit=1")),
        (Method::POST, s("/commit?commit=1")),
        (Method::POST, s("/rollback?commit=1")),
        (Method::POST, s("/revert?commit=1")),
        (Method::POST, "/v1/sessions?commit=1".to_owned()),
        (Method::POST, "/v1/jobs?commit=1".to_owned()),
        (Method::GET, "/v1/jobs/none?commit=1".to_owned()),
        (Method::POST, "/v1/jobs/none/cancel?commit=1".to_owned()),
        (Method::PUT, "/v1/modules/m?commit=1".to_owned()),
        (Method::GET, "/v1/modules/m/content?commit=1".to_owned()),
        (Method::GET, "/v1/admin/tenants/dev?commit=1".to_owned()),
        (Method::POST, "/v1/admin/tenants/dev/keys?commit=1".to_owned()),
    ] {
        let answer = server.send(server.request(method.clone(), &path).json(&json!({}))).await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
        let detail = answer.refused(400, "invalid-request");
        assert!(detail.contains("`commit`") || detail.contains("comit"), "{method} {path}: {detail}");
        let stranger = server.with_key(Some("none"));
        let _ = stranger.send(stranger.request(method, &path)).await.refused(401, "unauthorized");
    }
    let _ = server.get("/healthz?commit=1").await.refused(400, "invalid-request");
    assert_eq!(session.text("f").await, "1");
    let _ = server.get(&s("/commits/1?")).await.expect(200);
}
