//! B32: where a request begins and ends is never a matter of taste. What two
//! readers could take for two different requests is refused, and nothing that came
//! behind it on the connection is read.

use sessile_kit::TestServer;
use sessile_kit::Wire;

/// Sends `bytes` with a second request behind them. They are refused, the connection
/// is closed, and the second one is not answered.
#[track_caller]
fn check(server: &TestServer, bytes: &str) {
    let mut wire = Wire::open(server);
    // It may be closed before all of this is sent, which is as good.
    let _ = wire.try_send(format!("{bytes}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    let heard = wire.hear();
    let _ = heard.refused(400, "invalid-request");
    assert!(heard.closes(), "{bytes:?} was answered without a close: {heard:?}");
    assert_eq!(wire.closed(), "", "{bytes:?}: something came after the refusal");
    assert!(heard.headers.contains_key("request-id"), "{heard:?}");
    let mut wire = Wire::open(server);
    assert_eq!(wire.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").hear().status, 200);
}

#[tokio::test]
async fn b32_a_body_with_two_lengths_is_refused() {
    let server = TestServer::start().await;
    let key = Wire::key_of(&server);
    let post = |headers: &str, body: &str| format!("POST /v1/sessions HTTP/1.1\r\nHost: x\r\n{key}{headers}\r\n{body}");
    check(&server, &post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
    check(&server, &post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"));
    check(&server, &post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"));
    check(&server, &post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"));
    check(&server, &post("Content-Length: 5, 5\r\n", "hello"));
    check(&server, &post("Content-Length: +5\r\n", "hello"));
    check(&server, &post("Content-Length: -1\r\n", ""));
    check(&server, &post("Content-Length: 99999999999999999999999\r\n", ""));
    check(&server, &post("Content-Length: 18446744073709551615\r\n", ""));
    check(&server, &post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"));
    check(&server, &post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"));
    check(&server, &post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"));
    check(&server, &post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
    check(&server, &format!("POST /v1/sessions HTTP/1.0\r\n{key}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn b32_a_head_that_is_not_formed_as_it_must_be_is_refused() {
    let server = TestServer::start().await;
    let get = |headers: &str| format!("GET /v1/sessions HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    check(&server, &get("A: b\nC: d\r\n"));
    check(&server, &get("A: b\rC: d\r\n"));
    check(&server, &get("A: b\r\n c\r\n"));
    check(&server, &get("A : b\r\n"));
    check(&server, &get(" A: b\r\n"));
    check(&server, &get(": b\r\n"));
    check(&server, &get("no colon\r\n"));
    check(&server, &get("A: \0\r\n"));
    check(&server, &get("A\0: b\r\n"));
    check(&server, &get("Host: y\r\n"));
    check(&server, "GET /v1/sessions HTTP/1.1\r\n\r\n");
    check(&server, "GET /v1/sessions HTTP/1.1\r\nHost: a b\r\n\r\n");
    check(&server, "GET /v1/sessions HTTP/1.1\nHost: x\n\n");
}

#[tokio::test]
async fn b32_a_first_line_is_three_plain_words() {
    let server = TestServer::start().await;
    for line in [
        "GET /healthz",
        "GET  /healthz HTTP/1.1",
        "GET /healthz HTTP/1.1 ",
        "GET /healthz HTTP/1.2",
        "GET /healthz http/1.1",
        "PRI * HTTP/2.0",
        "G\0T /healthz HTTP/1.1",
        "! / HTTP/1.1",
        "GET healthz HTTP/1.1",
        "GET /health\0z HTTP/1.1",
        "GET /health\u{e9} HTTP/1.1",
        "GET /healthz#there HTTP/1.1",
        "GET http://elsewhere/healthz HTTP/1.1",
        "GET http://user@x/healthz HTTP/1.1",
        "GET ftp://x/healthz HTTP/1.1",
        "GET /healthz?\"x\" HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://[x/healthz HTTP/1.1",
        "CONNECT x:80 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
    ] {
        check(&server, &format!("{line}\r\nHost: x\r\n\r\n"));
    }
}

#[tokio::test]
async fn b32_chunks_that_are_not_formed_as_they_must_be_are_refused() {
    let server = TestServer::start().await;
    let key = Wire::key_of(&server);
    let head = format!(
        "POST /v1/sessions HTTP/1.1\r\nHost: x\r\n{key}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for chunks in [
        "\r\n",
        "x\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2;a\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{} \r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nA: b\n\r\n",
    ] {
        check(&server, &format!("{head}{chunks}"));
    }
    let mut wire = Wire::open(&server);
    let whole = format!("{head}1;note=\"a\"\r\n{{\r\n01\r\n}}\r\n0\r\nA: b\r\n\r\n");
    assert_eq!(wire.send(&whole).hear().status, 201, "what is formed as it must be is taken");
    assert_eq!(wire.send(&whole).hear().status, 201, "and the connection goes on behind it");
}

#[tokio::test]
async fn b32_what_rfc_9112_allows_is_served() {
    let server = TestServer::start().await;
    let mut wire = Wire::open(&server);
    wire.send("\r\nGET /healthz HTTP/1.1\r\nhOST: x\r\nA:\r\n\r\nGET http://x:1/healthz HTTP/1.1\r\nHost: X:1\r\n\r\n");
    assert_eq!(wire.hear().status, 200, "an empty line before a request means nothing");
    assert_eq!(wire.hear().status, 200, "a whole address that agrees with `Host` is what proxies send");
    let mut wire = Wire::open(&server);
    assert_eq!(wire.send("GET /healthz HTTP/1.0\r\n\r\n").hear().status, 200);
    assert_eq!(wire.closed(), "");
}

#[tokio::test]
async fn b32_a_refusal_before_the_end_of_a_body_says_that_the_connection_ends() {
    let server = TestServer::start().await;
    let put = |bytes: usize, body: &str| {
        let mut wire = Wire::open(&server);
        wire.send(format!("PUT /v1/modules/m HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n{body}"));
        let heard = wire.hear();
        let _ = heard.refused(401, "unauthorized");
        (wire, heard)
    };
    let (mut wire, heard) = put(1_000_000, "begun");
    assert!(heard.closes(), "{heard:?}");
    let _ = wire.try_send("x".repeat(900_000));
    assert_eq!(wire.closed(), "");
    let (mut wire, heard) = put(5, "whole");
    assert!(!heard.closes(), "{heard:?}");
    assert_eq!(wire.get(&server, "/v1/sessions").hear().status, 200);
}

#[tokio::test]
async fn b32_requests_in_one_breath_are_answered_in_order() {
    let server = TestServer::start().await;
    let key = Wire::key_of(&server);
    let mut wire = Wire::open(&server);
    let head = |id: usize, framing: &str| {
        let kind = "Content-Type: application/json\r\n";
        format!("POST /v1/sessions HTTP/1.1\r\nHost: x\r\n{key}{kind}Request-Id: {id}\r\n{framing}\r\n\r\n")
    };
    let mut all = String::new();
    for id in (0..40).step_by(2) {
        all += &format!("{}{{}}", head(id, "Content-Length: 2"));
        all += &format!("{}2\r\n{{}}\r\n0\r\n\r\n", head(id + 1, "Transfer-Encoding: chunked"));
    }
    wire.send(&all);
    for id in 0..40 {
        let heard = wire.hear();
        assert_eq!((heard.status, &heard.headers["request-id"]), (201, &id.to_string()));
    }
}
