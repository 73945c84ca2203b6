//! B31: whoever keeps a connection waiting loses it, after the time that is set for
//! each way to do so; and nobody else waits meanwhile.

use std::time::Duration;
use std::time::Instant;

use sessile_kit::Run;
use sessile_kit::TestServer;
use sessile_kit::Wire;
use sessile_kit::guests;

/// Longer than a test may take, so that it can tell which of the times ran out.
const NEVER: u32 = 3_600_000;

/// A server with little patience in one thing and much in all others.
async fn impatient_in(setting: &str) -> TestServer {
    let all = ["head_timeout_ms", "body_timeout_ms", "connection_idle_ms", "write_timeout_ms"];
    let patient = all.iter().fold(TestServer::with("reply_timeout_ms", NEVER), |with, name| with.with(name, NEVER));
    patient.with(setting, 600).start().await
}

#[tokio::test]
async fn b31_a_head_that_does_not_end_costs_the_connection() {
    let server = impatient_in("head_timeout_ms").await;
    let mut silent = Wire::open(&server);
    let mut slow = Wire::open(&server);
    slow.send("GET /healthz HTTP/1.1\r\nHost:");
    assert_eq!(slow.closed(), "");
    assert_eq!(silent.closed(), "", "whoever has asked nothing yet must begin");
    let mut second = Wire::open(&server);
    assert_eq!(second.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET").hear().status, 200);
    assert_eq!(second.closed(), "");
}

#[tokio::test]
async fn b31_a_connection_on_which_nothing_is_asked_is_closed() {
    let server = impatient_in("connection_idle_ms").await;
    let mut wire = Wire::open(&server);
    assert_eq!(wire.get(&server, "/v1/sessions").hear().status, 200);
    assert_eq!(wire.closed(), "");
    // A request that takes longer is not idleness.
    let order = server.new_job(guests::SLEEP).args(["1500"]).prefer("wait=60");
    let _ = order.answer().await.expect(200);
}

#[tokio::test]
async fn b31_a_body_that_stalls_is_answered_408_whatever_it_is() {
    let server = impatient_in("body_timeout_ms").await;
    let session = server.new_session().await;
    let key = Wire::key_of(&server);
    let json = "Content-Type: application/json\r\n";
    for (request, kind) in [
        ("POST /v1/sessions".to_owned(), json),
        ("POST /v1/jobs".to_owned(), json),
        ("PUT /v1/modules/slow".to_owned(), ""),
        (format!("PUT {}", session.path("/files/slow")), ""),
        (format!("PUT {}", session.path("/params/slow")), ""),
    ] {
        for body in ["Content-Length: 10\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n2\r\n{"] {
            let mut wire = Wire::open(&server);
            let heard = wire.send(format!("{request} HTTP/1.1\r\nHost: x\r\n{key}{kind}{body}")).hear();
            assert!(heard.refused(408, "request-timeout").contains("600 ms"), "{request}");
            assert!(heard.closes(), "{request}: {heard:?}");
            assert_eq!(wire.closed(), "", "{request}");
        }
    }
    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn b31_the_stdin_of_a_streaming_run_may_be_silent() {
    let server = impatient_in("body_timeout_ms").await;
    let guest = server.ready(guests::STREAM).await;
    let mut run = Run::begin(&server, &guest, "arg=echo", None, "TE: trailers\r\n");
    run.send(b"one");
    assert_eq!(run.head().0, 200);
    assert_eq!(run.chunk().unwrap(), b"one");
    // Another client's stall takes longer than the run's silence may not.
    let mut stalled = Wire::open(&server);
    let head = format!("PUT /v1/modules/m HTTP/1.1\r\nHost: x\r\n{}Content-Length: 9\r\n\r\n", Wire::key_of(&server));
    let _ = stalled.send(head).hear().refused(408, "request-timeout");
    run.send(b"two");
    assert_eq!(run.chunk().unwrap(), b"two");
    run.send(b"");
    assert_eq!(run.chunk().unwrap(), b"");
    assert_eq!(run.fields().unwrap()["job-outcome"], "succeeded");
}

#[tokio::test]
async fn b31_an_answer_that_is_not_read_costs_the_connection() {
    let server = impatient_in("write_timeout_ms").await;
    let session = server.new_session().with_file("large", vec![b'x'; 32 << 20]).await;
    let mut wire = Wire::open(&server);
    wire.get(&server, &session.path("/files/large"));
    // It is cut while it is not read, so what can be read then is not all of it.
    sessile_kit::until("the server has cut the download", || async {
        server.log().contains("did not read its answer").then_some(())
    })
    .await;
    assert!(wire.closed().len() < 32 << 20);
}

#[tokio::test]
async fn b31_a_followed_output_may_be_silent_but_must_be_read() {
    let server = impatient_in("write_timeout_ms").await;
    let quiet = server.new_job(guests::SLEEP).args(["2000"]).submit().await;
    let mut wire = Wire::open(&server);
    wire.get(&server, &format!("/v1/jobs/{}/stdout?follow=true", quiet.id()));
    assert_eq!(wire.hear().status, 200, "silence is the job's, not the client's");
    let _ = quiet.wait().await.succeeded();

    let loud = server.new_job(guests::FLOOD_STDOUT).limit("output_bytes", 16 << 20).limit("wall_ms", 600_000);
    let loud = loud.submit().await.until_running().await;
    let mut wire = Wire::open(&server);
    wire.get(&server, &format!("/v1/jobs/{}/stdout?follow=true", loud.id()));
    sessile_kit::until("the server has cut the stream", || async {
        server.log().contains("did not read its answer").then_some(())
    })
    .await;
    let _ = loud.cancel().await;
}

#[tokio::test]
async fn b31_a_streaming_run_decides_itself_how_long_its_client_may_not_read() {
    let server = impatient_in("write_timeout_ms").await;
    let guest = server.ready(guests::STREAM).await;
    let mut run = Run::start(&server, &guest, "arg=flood=600", None);
    assert_eq!(run.head().0, 200);
    // As long as it takes to lose a connection for the same.
    let session = server.new_session().with_file("large", vec![b'x'; 32 << 20]).await;
    let mut wire = Wire::open(&server);
    wire.get(&server, &session.path("/files/large"));
    sessile_kit::until("the server has cut the download", || async {
        server.log().contains("did not read its answer").then_some(())
    })
    .await;
    let mut bytes = 0;
    while let Some(chunk) = run.chunk().filter(|chunk| !chunk.is_empty()) {
        bytes += chunk.len();
    }
    assert_eq!(bytes, 600 * (64 << 10));
}

#[tokio::test]
async fn b31_slow_uploads_hold_up_no_others() {
    let server = TestServer::start().await;
    let wasm = guests::HELLO.dresses()[0].bytes();
    let head = format!("HTTP/1.1\r\nHost: x\r\n{}Content-Length: {}\r\n\r\n", Wire::key_of(&server), wasm.len());
    let mut slow: Vec<Wire> = (0..16).map(|_| Wire::open(&server)).collect();
    for (n, wire) in slow.iter_mut().enumerate() {
        wire.send(format!("PUT /v1/modules/slow{n} {head}")).send(&wasm[..wasm.len() - 1]);
    }
    let start = Instant::now();
    let _ = server.upload("quick", wasm.clone()).await.expect(201);
    assert!(start.elapsed() < Duration::from_secs(25), "it has waited for the slow ones: {:?}", start.elapsed());
    let last = slow.last_mut().unwrap();
    assert_eq!(last.send(&wasm[wasm.len() - 1..]).hear().status, 201, "and a slow one gets through");
}
