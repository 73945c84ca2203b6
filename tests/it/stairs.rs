//! The house has one staircase: a room may use only the rooms below it, and
//! each outside thing is known to one room.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Bottom step first. Rooms on one step are strangers to each other; the porch
/// (the last step) wires the rooms and may use everything.
const STAIRS: &[&[&str]] = &[
    &["ids", "limits", "clock", "meter", "process", "root", "confinement", "feed", "sync"],
    &["model"],
    &["queue", "engine", "store"],
    &["service"],
    &["http"],
    PORCH,
];

/// `fuzzing` is another way into the house: it hands each room the bytes it reads.
const PORCH: &[&str] = &["config", "cli", "main", "lib", "fuzzing"];

/// What one room knows for all others, and the words by which code names it. Tests
/// may prepare what they like.
const OWNERS: &[(&str, &str)] = &[
    ("wasmtime::", "engine/"),
    ("wasmtime_wasi::", "engine/"),
    ("wiggle::", "engine/"),
    ("axum::", "http/"),
    ("hyper::", "http/"),
    ("prometheus_client::", "http/metrics"),
    ("schemars::", "http/"),
    ("rusqlite::", "store/"),
    ("tar::", "store/"),
    ("flate2::", "store/"),
    ("sessile_guest::", "engine/imports"),
    ("landlock::", "confinement/files.rs"),
    ("seccompiler::", "confinement/calls.rs"),
    (".sync_data()", "store/durable.rs"),
    (".sync_all()", "store/durable.rs"),
    ("fs::rename", "store/durable.rs"),
    ("SystemTime::now", "clock.rs"),
];

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

/// Every Rust file of the server, by its path from `src` on.
fn sources() -> Vec<(String, String)> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&host(), &mut found);
    let named = |path: PathBuf| {
        let name = path.strip_prefix(host()).unwrap().to_str().unwrap().replace('\\', "/");
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(named).collect()
}

/// The room that a file belongs to: its folder, or the file itself.
fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

fn step_of(room: &str) -> usize {
    let step = STAIRS.iter().position(|rooms| rooms.contains(&room));
    step.unwrap_or_else(|| panic!("room `{room}` has no step; give it one in STAIRS"))
}

/// The file's code: no comments, and not the tests at its end, which may
/// prepare what they like.
fn code(source: &str) -> impl Iterator<Item = &str> {
    let without_tests = source.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    without_tests.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The rooms that a line names as `crate::<room>`.
fn rooms_used(line: &str) -> impl Iterator<Item = &str> {
    let after = line.split("crate::").skip(1);
    after.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
}

#[test]
fn every_room_uses_only_the_rooms_below_it() {
    for (file, source) in sources() {
        let room = room_of(&file);
        for used in code(&source).flat_map(rooms_used) {
            assert!(!used.is_empty(), "{file}: write one `use crate::room::…` per line, so that this test can read it");
            let allowed = used == room || PORCH.contains(&room) || step_of(used) < step_of(room);
            assert!(allowed, "{file}: `{room}` may not use `{used}`, which is not below it");
        }
        let climbs = code(&source).find(|line| line.contains("super::super::"));
        assert_eq!(climbs, None, "{file}: say `crate::…`, so that this test can read it");
    }
}

#[test]
fn every_outside_thing_has_one_owner() {
    for (file, source) in sources() {
        for (word, owner) in OWNERS {
            let used = code(&source).find(|line| names(line, word));
            let may = file.starts_with(owner) || file.ends_with("/tests.rs");
            assert!(used.is_none() || may, "{file}: only {owner} may know {word}, but: {used:?}");
        }
    }
}

/// Whether the line has the word, and not merely as the end of a longer one.
fn names(line: &str, word: &str) -> bool {
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let begins_a_word = |at: usize| !word.starts_with(part_of_a_word) || !line[..at].ends_with(part_of_a_word);
    line.match_indices(word).any(|(at, _)| begins_a_word(at))
}

#[test]
fn the_rules_have_no_clock_no_files_and_no_tasks() {
    const FORBIDDEN: &[&str] =
        &["std::fs", "std::net", "tokio::", "Instant::now", "Timestamp::now", "thread::spawn", "async fn"];
    for (file, source) in sources() {
        if room_of(&file) != "model" && file != "queue/admission.rs" {
            continue;
        }
        for word in FORBIDDEN {
            let used = code(&source).find(|line| names(line, word));
            assert_eq!(used, None, "{file} is a rule and may not do {word}");
        }
    }
}

#[test]
fn the_staircase_test_sees_what_it_should() {
    let used: Vec<_> = rooms_used("use crate::store::Draft; crate::http::wire").collect();
    assert_eq!(used, ["store", "http"]);
    assert_eq!(room_of("engine/guard/journal.rs"), "engine");
    assert_eq!(room_of("clock.rs"), "clock");
    assert!(names("    wasmtime::Engine", "wasmtime::") && !names("my_wasmtime::Engine", "wasmtime::"));
    assert!(names("file.sync_all()?;", ".sync_all()"));
    assert!(step_of("model") < step_of("store") && step_of("store") == step_of("engine"));
    let commented = code("// use crate::http;\nlet a = 1;\n\n#[cfg(test)]\nmod tests {\n use crate::http;\n}");
    assert_eq!(commented.collect::<Vec<_>>(), ["let a = 1;"]);
}
