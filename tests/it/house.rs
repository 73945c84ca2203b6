//! What every file of the house keeps to: it says what it is for, it is not
//! too long, and no guest is without a promise.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use sessile_kit::guests;

/// Longer than this, and a reader loses the thread.
const LINES_MAX: usize = 400;

/// Longer than this, and a function is more than one story.
const FUNCTION_LINES_MAX: usize = 60;

/// Files that may be longer, each with the reason.
const LONGER_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer, each with the reason.
const LONGER_FUNCTIONS: &[(&str, &str, &str)] =
    &[("host/src/http/problem/codes.rs", "sheet", "one table with a line for each code, as rustfmt breaks it")];

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of ours, by its path from the root on.
pub(super) fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["host", "guest-sdk", "examples", "tests", "xtask", "fuzz"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    for (file, source) in sources() {
        assert!(source.starts_with("//!"), "{file}: say what this file is for in a //! header");
        let header = source.lines().next().unwrap().trim_start_matches("//!").trim();
        assert!(header.len() > 10, "{file}: its header says nothing");
    }
}

#[test]
fn no_file_is_too_long_without_a_reason() {
    let excused = |file: &str| LONGER_FILES.iter().any(|(name, reason)| *name == file && !reason.is_empty());
    let long = sources().into_iter().map(|(file, source)| (source.lines().count(), file));
    let long: Vec<_> = long.filter(|(lines, file)| *lines > LINES_MAX && !excused(file)).collect();
    assert!(long.is_empty(), "split these, or say in LONGER_FILES why not: {long:#?}");
}

#[test]
fn no_function_is_too_long_without_a_reason() {
    let excused = |file: &str, function: &str| {
        LONGER_FUNCTIONS.iter().any(|(name, of, reason)| *name == file && *of == function && !reason.is_empty())
    };
    let mut long = Vec::new();
    for (file, source) in sources() {
        for (function, lines) in functions(&source) {
            if lines > FUNCTION_LINES_MAX && !excused(&file, &function) {
                long.push(format!("{file}: `{function}`, {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "split these, or say in LONGER_FUNCTIONS why not: {long:#?}");
}

/// Each function with the number of its lines. Reads rustfmt's indentation: a
/// function ends at the first `}` as far left as its `fn`.
fn functions(source: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        let Some(name) = words.strip_prefix("fn ").or_else(|| words.split_once(" fn ").map(|(_, name)| name)) else {
            continue;
        };
        if words.starts_with("//") || line.ends_with(['}', ';']) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[at..].iter().position(|line| line.trim_end() == close) else { continue };
        let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        found.push((name.to_owned(), length + 1));
    }
    found
}

#[test]
fn the_length_of_a_function_is_read_right() {
    let source = "impl A {\n    pub fn one(&self) {\n        loop {\n        }\n    }\n}\n\nasync fn two()\n{\n}\nfn short() {}\n";
    assert_eq!(functions(source), [("one".to_owned(), 4), ("two".to_owned(), 3)]);
}

#[test]
fn every_guest_has_a_test() {
    let promises: String = sources()
        .into_iter()
        .filter(|(file, _)| file.starts_with("tests/it/") || file.starts_with("tests/kit/"))
        .map(|(_, source)| source)
        .collect();
    for name in guests::NAMES {
        let constant = format!("guests::{}", name.to_uppercase().replace('-', "_"));
        let used = promises.match_indices(&constant).any(|(at, _)| {
            let after = promises[at + constant.len()..].chars().next();
            !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        });
        assert!(used, "the guest `{name}` has no test: nothing says {constant}");
    }
}

#[test]
fn no_test_is_skipped_or_expects_a_panic() {
    for (file, source) in sources() {
        for forbidden in ["#[ignore", "#[should_panic"] {
            let used = source.lines().any(|line| line.trim_start().starts_with(forbidden));
            assert!(!used, "{file}: {forbidden}] hides what a test says");
        }
    }
}
