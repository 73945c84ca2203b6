//! Modules that this server does not run are refused at upload, with a sentence
//! that names the fault, and nothing of them is kept.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use sessile_kit::TestServer;
use sessile_kit::guests;

/// Uploads each, in the text format, and demands a refusal that names `said`.
async fn check(cases: &[(&str, &str)]) {
    let server = TestServer::start().await;
    for (wat, said) in cases {
        let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
        let answer = server.upload("refused", wasm).await;
        assert_eq!(answer.status, 422, "{wat} was answered {}: {}", answer.status, answer.text());
        let detail = answer.refused(422, "unsupported-module");
        assert!(detail.to_lowercase().contains(said), "`{said}` is not in: {detail}");
    }
    let _ = server.get("/v1/modules/refused").await.refused(404, "not-found");
    assert_eq!(server.list("/v1/modules").await.len(), 0);
}

/// A refused upload leaves nothing.
async fn check_nothing_is_kept(server: &TestServer) {
    let _ = server.get("/v1/modules/refused").await.refused(404, "not-found");
    assert_eq!(server.list("/v1/modules").await.len(), 0);
    assert_eq!(files_below(&server.data().join("modules")), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn b01_what_is_no_webassembly_binary_is_refused_at_once() {
    let server = TestServer::start().await;
    let mut cut = fs_guest();
    cut.truncate(cut.len() / 2);
    let mut broken = fs_guest();
    broken[200..240].fill(0xff);
    let zeros = vec![0; 8 << 20];
    for bytes in [b"hello".to_vec(), Vec::new(), b"\0asm".to_vec(), b"\x7fELF\x02\x01".to_vec(), cut, broken, zeros] {
        let asked = Instant::now();
        let detail = server.upload("refused", bytes).await.refused(422, "invalid-module");
        assert!(!detail.is_empty());
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    check_nothing_is_kept(&server).await;
}

#[tokio::test]
async fn b01_what_is_no_webassembly_binary_takes_no_memory_however_large_it_is() {
    const MORE: u64 = 32 << 20;
    const LARGE: usize = 64 << 20;
    let server = TestServer::start().await;
    let text = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";
    let begins = |bytes: &[u8]| {
        let mut all = vec![b' '; LARGE];
        all[..bytes.len()].copy_from_slice(bytes);
        all
    };
    let _ = server.upload("refused", b"warm".to_vec()).await.refused(422, "invalid-module");
    server.forget_peak();
    let before = server.peak_bytes();
    for (bytes, code) in [
        (vec![0; LARGE], "invalid-module"),
        (begins(b"\x1f\x8b\x08"), "invalid-module"),
        (begins(b"\x7fELF\x02\x01\x01\x00"), "invalid-module"),
        // As Wasmtime marks its artefacts.
        (begins(b"\x7fELF\x02\x01\x01\xc8"), "unsupported-module"),
        (begins(text.as_bytes()), "unsupported-module"),
    ] {
        let _ = server.upload("refused", bytes).await.refused(422, code);
    }
    let peak = server.peak_bytes();
    assert!(peak < before + MORE, "{peak} bytes were resident, and {before} before");
    check_nothing_is_kept(&server).await;
}

#[tokio::test]
async fn b02_the_text_format_is_refused_with_the_way_out() {
    let server = TestServer::start().await;
    // It would be a module, and is told apart from garbage: the sentence says how to convert it.
    for before in ["", " \n\t", ";; a comment\n", "(; another ;)"] {
        let text = format!("{before}(module (memory (export \"memory\") 1) (func (export \"_start\")))");
        let detail = server.upload("refused", text).await.refused(422, "unsupported-module");
        assert!(detail.contains("text format") && detail.contains("convert"), "{detail}");
    }
    check_nothing_is_kept(&server).await;
}

fn fs_guest() -> Vec<u8> {
    guests::APPEND.dresses()[0].bytes()
}

#[tokio::test]
async fn b05_a_reactor_or_a_library_is_refused() {
    check(&[
        (r#"(module (memory (export "memory") 1) (func (export "_initialize")))"#, "_start"),
        (r#"(module (memory (export "memory") 1) (func (export "add")))"#, "_start"),
        (r#"(module (memory (export "memory") 1) (func (export "_start") (param i32)))"#, "_start"),
        (r#"(module (memory (export "memory") 1) (global (export "_start") i32 (i32.const 0)))"#, "_start"),
        (r#"(module (func (export "_start")))"#, "memory"),
        ("(component)", "wasi:cli/run"),
    ])
    .await;
}

#[tokio::test]
async fn b05_an_import_that_the_host_lacks_is_refused_by_name() {
    const COMMAND: &str = r#"(memory (export "memory") 1) (func (export "_start"))"#;
    let core = |import: &str| format!("(module {import} {COMMAND})");
    let component = r#"(component
        (import "acme:shop/stock@1.0.0" (instance (export "count" (func (result u32)))))
        (core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $r (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $r)))"#;
    check(&[
        (&core(r#"(import "env" "abort" (func))"#), "abort"),
        (&core(r#"(import "sessile_v0" "param_steal" (func))"#), "param_steal"),
        (&core(r#"(import "wasi_snapshot_preview1" "path_steal" (func))"#), "path_steal"),
        (&core(r#"(import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#), "wasi_unstable"),
        (&core(r#"(import "env" "memory" (memory 1))"#), "memory"),
        // The right name with the wrong type is as good as no function at all.
        (&core(r#"(import "sessile_v0" "session_active" (func (param i64)))"#), "session_active"),
        (component, "acme:shop/stock"),
    ])
    .await;
}

#[tokio::test]
async fn b06_a_proposal_that_is_off_is_refused_by_its_name() {
    const START: &str = r#"(memory (export "memory") 1) (func (export "_start"))"#;
    let core = |part: &str| format!("(module {START} {part})");
    let of_memory = |memory: &str| format!(r#"(module (memory (export "memory") {memory}) (func (export "_start")))"#);
    let component = |part: &str, options: &str| {
        format!(
            r#"(component
                (core module $m (func (export "run") (result i32) (i32.const 0)))
                (core instance $i (instantiate $m))
                {part}
                (func $run (result (result)) (canon lift (core func $i "run") {options}))
                (instance $r (export "run" (func $run)))
                (export "wasi:cli/run@0.2.0" (instance $r)))"#
        )
    };
    let inner = |part: &str| component(&format!("(core module $x {part})"), "");
    check(&[
        (&of_memory("1 2 shared"), "threads"),
        (&core("(func (drop (i32.atomic.load (i32.const 0))))"), "threads"),
        (&of_memory("i64 1"), "memory64"),
        (&core("(table i64 1 funcref)"), "memory64"),
        (&core("(memory 1)"), "multi-memory"),
        (&core("(type (struct (field i32)))"), "gc"),
        (&core("(type (array i8))"), "gc"),
        (&core("(tag $t) (func (throw $t))"), "exceptions"),
        (&of_memory("1 (pagesize 1)"), "custom page size"),
        (&component("(type (stream u8))", ""), "async"),
        (&component("(type (future u8))", ""), "async"),
        (&component("(core func (canon backpressure.inc))", ""), "async"),
        // The same inside a component.
        (&inner("(memory 1 2 shared)"), "threads"),
        (&inner("(memory i64 1)"), "memory64"),
        (&inner("(memory 1) (memory 1)"), "multi-memory"),
        (&inner("(type (struct (field i32)))"), "gc"),
        (&inner("(tag $t) (func (throw $t))"), "exceptions"),
    ])
    .await;
}

#[tokio::test]
async fn b05_a_module_that_can_never_get_its_memory_is_refused() {
    let server = TestServer::start().await;
    let wat = r#"(module (memory (export "memory") 65536) (func (export "_start")))"#;
    let answer = server.upload("refused", wat::parse_str(wat).unwrap()).await;
    let detail = answer.refused(422, "unsupported-module");
    assert!(detail.contains("memory") || detail.contains("memories"), "{detail}");
}

#[tokio::test]
async fn b03_the_server_s_own_artefact_is_never_taken_back_from_a_user() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    let found = files_below(&server.data().join("artefacts"));
    assert!(!found.is_empty(), "an upload leaves an artefact");
    for artefact in found {
        let _ = server.upload("refused", fs::read(artefact).unwrap()).await.refused(422, "unsupported-module");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
