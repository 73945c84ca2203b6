//! `/v1/modules`: immutable versions under a name.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// A command that exits with `code`, so that its versions can be told apart.
fn exits_with(code: u8) -> Vec<u8> {
    let wat = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {code}))))"#
    );
    wat::parse_str(wat).unwrap()
}

/// Runs a module by a reference and gives the exit code.
async fn exit_code(server: &TestServer, reference: &str) -> Value {
    let request = server.request(reqwest::Method::POST, "/v1/jobs").header("prefer", "wait=60");
    let answer = server.send(request.json(&json!({"module": reference}))).await.expect(200);
    answer.json()["outcome"]["exit_code"].clone()
}

#[tokio::test]
async fn an_upload_is_a_new_version_and_the_same_bytes_again_are_not() {
    let server = TestServer::start().await;
    let first = server.upload("exits", exits_with(1)).await.expect(201);
    assert_eq!(first.header("location"), Some("/v1/modules/exits"));
    let first = first.json();
    assert_eq!((&first["name"], &first["version"]), (&json!("exits"), &json!(1)));
    assert_eq!(first["state"], "ready");
    assert_eq!(first["kind"], "core");
    assert_eq!(first["size"], exits_with(1).len());
    assert_eq!(first["created_by"], "dev");
    let digest = first["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    let imports = first["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import.as_str().unwrap().contains("proc_exit")), "{imports:?}");

    assert_eq!(server.upload("exits", exits_with(1)).await.expect(200).json(), first);
    assert_eq!(server.upload("exits", exits_with(2)).await.expect(201).json()["version"], 2);
    assert_eq!(server.get("/v1/modules/exits").await.expect(200).json()["version"], 2);
    assert_eq!(server.list("/v1/modules/exits/versions").await.len(), 2);
    assert_eq!(server.list("/v1/modules").await.len(), 1);
}

#[tokio::test]
async fn a_component_is_told_from_a_core_module() {
    let server = TestServer::start().await;
    let component = guests::HELLO.component();
    let shown = server.upload("component", component.bytes()).await.expect(201).json();
    assert_eq!(shown["kind"], "component");
    let imports = shown["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import.as_str().unwrap().starts_with("wasi:cli/")), "{imports:?}");
}

#[tokio::test]
async fn a_job_can_name_the_latest_a_version_or_a_digest() {
    let server = TestServer::start().await;
    let first = server.upload("exits", exits_with(1)).await.expect(201).json();
    let _ = server.upload("exits", exits_with(2)).await.expect(201);
    let by_digest = format!("exits@{}", first["digest"].as_str().unwrap());

    assert_eq!(exit_code(&server, "exits").await, 2);
    assert_eq!(exit_code(&server, "exits@1").await, 1);
    assert_eq!(exit_code(&server, "exits@2").await, 2);
    assert_eq!(exit_code(&server, &by_digest).await, 1);
}

#[tokio::test]
async fn the_bytes_come_back_as_they_were_uploaded() {
    let server = TestServer::start().await;
    let _ = server.upload("exits", exits_with(1)).await.expect(201);
    let content = server.get("/v1/modules/exits/content").await.expect(200);
    assert_eq!(content.body, exits_with(1));
    assert_eq!(content.header("content-type"), Some("application/wasm"));
    let etag = content.header("etag").expect("content has an ETag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");

    let request = server.request(reqwest::Method::GET, "/v1/modules/exits/content").header("if-none-match", &etag);
    let unchanged: Answer = server.send(request).await.expect(304);
    assert_eq!(unchanged.body, b"");
}

#[tokio::test]
async fn a_module_is_deleted_while_accepted_jobs_still_run() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let accepted = session.new_job(guests::APPEND).args(["kept"]).submit().await;

    let _ = server.delete("/v1/modules/append").await.expect(204);
    let _ = server.get("/v1/modules/append").await.refused(404, "not-found");
    let again = server.post("/v1/jobs", &json!({"module": "append"})).await;
    let _ = again.refused(404, "not-found");

    // Not even a restart loses the module of an accepted job.
    server.kill9();
    server.restart();
    gate.until_running().await.end().await;
    let _ = accepted.wait().await.succeeded();
    assert_eq!(session.text("log").await, "kept\n");
}

#[tokio::test]
async fn one_version_can_be_deleted_and_its_number_is_not_given_again() {
    let server = TestServer::start().await;
    let _ = server.upload("exits", exits_with(1)).await.expect(201);
    let _ = server.upload("exits", exits_with(2)).await.expect(201);
    let _ = server.delete("/v1/modules/exits/versions/2").await.expect(204);

    assert_eq!(exit_code(&server, "exits").await, 1);
    let gone = server.post("/v1/jobs", &json!({"module": "exits@2"})).await;
    let _ = gone.refused(404, "not-found");
    assert_eq!(server.upload("exits", exits_with(3)).await.expect(201).json()["version"], 3);
}

#[tokio::test]
async fn a_name_is_lower_case_and_bounded() {
    let server = TestServer::start().await;
    for name in ["Letter", "-x", ".x", "a%20b", &"a".repeat(129)] {
        let _ = server.upload(name, exits_with(1)).await.refused(400, "invalid-request");
    }
    let _ = server.upload(&"a".repeat(128), exits_with(1)).await.expect(201);
    let _ = server.upload("0.a_b-c", exits_with(1)).await.expect(201);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = TestServer::start().await;
    for n in 0..5 {
        let _ = server.upload(&format!("m{n}"), exits_with(n)).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..3 {
        let page = server.get(&format!("/v1/modules?limit=2{cursor}")).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["m0", "m1", "m2", "m3", "m4"]);
    let _ = server.get("/v1/modules?limit=501").await.refused(400, "invalid-request");
    let _ = server.get("/v1/modules?limit=0").await.refused(400, "invalid-request");
}

#[tokio::test]
async fn an_upload_that_is_not_waited_for_becomes_ready() {
    let server = TestServer::start().await;
    let request = server.request(reqwest::Method::PUT, "/v1/modules/later").header("prefer", "respond-async");
    let answer = server.send(request.body(guests::AGGREGATE.dresses()[0].bytes())).await;
    // A server that was ready sooner may say so.
    assert!(matches!(answer.status, 201 | 202), "{answer:?}");
    sessile_kit::until("the module is ready", || async {
        let shown = server.get("/v1/modules/later").await.expect(200).json();
        assert_ne!(shown["state"], "rejected", "{shown}");
        (shown["state"] == "ready").then_some(())
    })
    .await;
}
