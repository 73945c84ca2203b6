//! `sessile assemble`: the command line converts what the server refuses, the text format.

use std::fs;

use sessile_kit::TestServer;
use sessile_kit::sessile;

const TEXT: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

#[tokio::test]
async fn a_module_in_the_text_format_is_refused_with_the_way_out_and_taken_after_that() {
    let server = TestServer::start().await;
    let refusal = server.upload("small", TEXT).await.refused(422, "unsupported-module");
    assert!(refusal.contains("`sessile assemble"), "{refusal}");

    let ground = tempfile::tempdir().unwrap();
    let (text, binary) = (ground.path().join("small.wat"), ground.path().join("small.wasm"));
    fs::write(&text, TEXT).unwrap();
    let words = ["assemble".as_ref(), "--from".as_ref(), text.as_os_str(), "--to".as_ref(), binary.as_os_str()];
    // Twice: what is there is replaced.
    for _ in 0..2 {
        let called = sessile(words).expect(0);
        let bytes = fs::read(&binary).unwrap();
        assert_eq!(called.lines, [format!("{} bytes in {}", bytes.len(), binary.display())]);
        assert!(bytes.starts_with(b"\0asm"));
    }
    let _ = server.upload("small", fs::read(&binary).unwrap()).await.expect(201);
    let job = server.post("/v1/jobs", &serde_json::json!({"module": "small"})).await.expect(202).json();
    let _ = server.job(job["id"].as_str().unwrap()).await.wait().await.succeeded();
}

#[test]
fn a_mistake_in_the_text_is_shown_where_it_is_and_nothing_is_written() {
    let ground = tempfile::tempdir().unwrap();
    let (text, binary) = (ground.path().join("bad.wat"), ground.path().join("bad.wasm"));
    fs::write(&text, "(module\n  (func (export \"_start\") i32.cosnt 1))").unwrap();
    let convert = |from: &std::path::Path| {
        sessile(["assemble".as_ref(), "--from".as_ref(), from.as_os_str(), "--to".as_ref(), binary.as_os_str()])
    };
    convert(&text).refused("bad.wat:2:");
    convert(&ground.path().join("none.wat")).refused("none.wat: No such file");
    assert!(!binary.exists());
}
