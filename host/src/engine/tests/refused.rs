//! What is refused at upload, each with a sentence that names its fault.

use std::path::Path;

use super::*;

#[test]
fn b05_what_cannot_run_is_refused_with_its_fault() {
    let engine = engine();
    let artefact = module::compile(engine.inner.cache.shelf(), &guest(""), ModuleKind::Core).unwrap();
    let check = |bytes: &[u8], fault: &str| {
        let refusal = engine.inspect(bytes).unwrap_err().to_string();
        assert!(refusal.contains(fault), "{refusal}");
        assert!(!refusal.contains(Path::new(env!("CARGO_MANIFEST_DIR")).to_str().unwrap()));
    };
    let check_wat = |wat: &str, fault: &str| check(&wat::parse_str(wat).unwrap(), fault);
    check(b"", "not a WebAssembly binary");
    check(b"#!/bin/sh", "not a WebAssembly binary");
    check(b" ;; a comment\n (module)", "text format");
    check(&artefact, "compiled artefact");
    check(&guest("")[..50], "broken");
    check(b"\0asm\x01\0\0\0\x0a\xff", "broken");
    check_wat("(module)", "library");
    check_wat("(module (func (export \"_initialize\")))", "reactor");
    check_wat("(module (func (export \"_start\")))", "does not export its memory");
    check_wat("(module (import \"env\" \"foo\" (func)))", "`env.foo` is not offered");
    check_wat("(module (import \"sessile_v0\" \"fly\" (func)))", "`sessile_v0.fly` is not offered");
    check_wat(&format!("(module {PRELUDE} (memory 1) (func (export \"_start\")))"), "off on this server");
    check_wat("(component)", "wasi:cli/run");
    check_wat("(component (import \"wasi:http/types@0.2.0\" (instance)))", "`wasi:http/types@0.2.0` is not offered");
}

#[test]
fn b05_an_import_with_a_wrong_signature_is_refused_at_upload() {
    let engine = engine();
    let wat = "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)) (memory (export \"memory\") 1) (func (export \"_start\")))";
    let refusal =
        module::compile(engine.inner.cache.shelf(), &wat::parse_str(wat).unwrap(), ModuleKind::Core).unwrap_err();
    assert!(matches!(&refusal, BadModule::Unsupported(sentence) if sentence.contains("fd_write")), "{refusal}");
}
