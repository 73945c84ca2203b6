//! `docs/behaviours.md` says what is tested; the sources say whether that is so.

use std::collections::BTreeSet;
use std::fs;

use crate::house::root;
use crate::house::sources;

/// How many behaviours there are.
const BEHAVIOURS: usize = 39;

/// One line of the page: the prefixes that it names, and whether it admits that something is not tested.
struct Line {
    prefixes: Vec<String>,
    text: String,
}

fn page() -> Vec<Line> {
    let page = fs::read_to_string(root().join("docs/behaviours.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| B")).collect();
    let mut lines = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!((cells.len(), cells[0]), (3, &*format!("B{}", n + 1)), "{row}");
        assert_eq!(cells[1].split(' ').count(), cells[1].split(' ').count().clamp(3, 6), "say it in five words: {row}");
        let quoted = cells[2].split('`').skip(1).step_by(2);
        let prefixes = quoted.filter(|word| word.ends_with('_')).map(str::to_owned).collect();
        lines.push(Line { prefixes, text: cells[2].to_owned() });
    }
    assert_eq!(lines.len(), BEHAVIOURS);
    lines
}

/// The names of all test functions.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, source) in sources() {
        let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) else { continue };
            let attributes = &lines[at.saturating_sub(3)..at];
            let is_test =
                attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
            if is_test {
                found.insert(rest.split('(').next().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn what_the_page_calls_tested_has_a_test() {
    let tests = tests();
    for (n, Line { prefixes, text }) in page().iter().enumerate() {
        for prefix in prefixes {
            assert!(tests.iter().any(|name| name.starts_with(prefix)), "B{}: no test begins with {prefix}", n + 1);
        }
        assert!(!prefixes.is_empty() || text.contains("Not tested"), "B{} says nothing: {text}", n + 1);
    }
}

#[test]
fn what_has_a_test_is_called_tested() {
    let page = page();
    for name in tests() {
        let Some((number, _)) = name.strip_prefix('b').and_then(|rest| rest.split_once('_')) else { continue };
        let Ok(behaviour) = number.parse::<usize>() else { continue };
        assert!((1..=BEHAVIOURS).contains(&behaviour) && number.len() == 2, "{name} is named after no behaviour");
        let prefix = format!("b{number}_");
        assert!(page[behaviour - 1].prefixes.contains(&prefix), "docs/behaviours.md does not know of {name}");
    }
}
