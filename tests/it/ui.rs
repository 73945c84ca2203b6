//! `/ui`: the dashboard is a handful of plain files that need nothing from elsewhere. What a
//! browser would have to be trusted with (B19, B29, B33) is not in them, and its headers say so.

use std::collections::BTreeSet;
use std::fs;

use reqwest::Method;
use sessile_kit::TestServer;
use sessile_kit::guests;

use super::house::root;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Longer than this, and a reader loses the thread.
const LINES_MAX: usize = 400;

/// What makes more of a text than text, or asks for something elsewhere.
const FORBIDDEN: &[&str] = &[
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "setHTML",
    "createContextualFragment",
    "DOMParser",
    "srcdoc",
    "document.write",
    "eval(",
    "Function(",
    "import(",
    "javascript:",
    "://",
    "'//",
    "`//",
    "\"//",
    ".style",
    "cssText",
    "cookie =",
    "document.cookie",
    "localStorage",
    "sessionStorage",
    "indexedDB",
    "window.open",
    "postMessage",
    "EventSource",
    "serviceWorker",
    "setAttribute('on",
];

/// Each file of the dashboard with its text, by name.
fn files() -> Vec<(String, String)> {
    let folder = fs::read_dir(root().join("host/src/http/ui")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    };
    let mut files: Vec<_> = folder.map(read).collect();
    files.sort();
    assert!(files.len() > 10, "only {} files", files.len());
    files
}

fn scripts() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|(name, _)| name.ends_with(".js"))
}

fn file(name: &str) -> String {
    files().into_iter().find(|(file, _)| file == name).unwrap().1
}

/// The texts that stand between two marks.
fn between<'t>(text: &'t str, before: &'t str, after: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).map(move |rest| rest.split(after).next().unwrap())
}

/// Where a file is served.
fn address(name: &str) -> String {
    if name == "index.html" { "/ui".to_owned() } else { format!("/ui/{name}") }
}

#[tokio::test]
async fn b33_every_file_of_the_dashboard_is_served_with_its_type_and_a_strict_policy() {
    let server = TestServer::start().await;
    let stranger = server.with_key(None);
    for (name, text) in files() {
        let path = address(&name);
        let answer = stranger.get(&path).await.expect(200);
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            _ => panic!("{name} is of a kind that no browser is told"),
        };
        let tag = answer.header("etag").unwrap_or_else(|| panic!("{name} has no tag")).to_owned();
        let head = stranger.send(stranger.request(Method::HEAD, &path)).await.expect(200);
        let again = stranger.request(Method::GET, &path).header("if-none-match", &tag);
        let again = stranger.send(again).await.expect(304);
        for answer in [&answer, &head, &again] {
            for (header, value) in [
                ("content-security-policy", POLICY),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "no-cache"),
                ("etag", &*tag),
            ] {
                assert_eq!(answer.header(header), Some(value), "{name}: {header}");
            }
            assert_eq!(answer.header("set-cookie"), None, "{name}");
        }
        assert_eq!((answer.header("content-type"), answer.text()), (Some(kind), text), "{name}");
        assert!(head.body.is_empty() && again.body.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_file_of_the_dashboard_is_not_there() {
    let server = TestServer::start().await;
    let stranger = server.with_key(None);
    for path in ["/ui/none.js", "/ui/index.html", "/ui/a/b", "/ui/..%2fui.rs", "/ui/%00", "/ui/ui", "/uix"] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"), "{path}");
        let _ = answer.refused(404, "not-found");
    }
    let _ = stranger.get("/ui?key=x").await.refused(400, "invalid-request");
    let _ = stranger.get("/ui/app.js?v=1").await.refused(400, "invalid-request");
    let _ = stranger.send(stranger.request(Method::POST, "/ui")).await.refused(405, "method-not-allowed");
    // With a slash behind it the names of its files would mean others.
    assert_eq!(stranger.get("/ui/").await.expect(308).header("location"), Some("../ui"));
}

#[tokio::test]
async fn b33_the_policy_of_the_api_is_as_it_was() {
    let server = TestServer::start().await;
    for path in ["/v1/jobs", "/v1/none", "/healthz", "/metrics", "/problems/not-found"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[test]
fn b33_the_page_has_no_script_or_style_in_it_and_names_only_its_own_files() {
    let page = file("index.html");
    let known: BTreeSet<_> = files().into_iter().map(|(name, _)| format!("ui/{name}")).collect();
    let named: Vec<_> = between(&page, "src=\"", "\"").chain(between(&page, "href=\"", "\"")).collect();
    for name in &named {
        assert!(name.starts_with('#') || known.contains(*name), "{name} is none of its files");
    }
    assert!(named.contains(&"ui/app.js") && named.contains(&"ui/style.css"), "{named:?}");
    assert!(!page.contains("://") && !page.contains("\"//"), "it names something elsewhere");
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<base"), "a style or a base");
    for tag in between(&page, "<script", "</script>") {
        assert!(tag.ends_with('>') && tag.contains("src=\""), "a script stands in the page: {tag}");
    }
    for attribute in page.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, _)| name) {
        assert!(!attribute.starts_with("on") && attribute != "action", "{attribute} is an attribute that acts");
    }
}

#[test]
fn b19_b29_the_scripts_make_nothing_of_a_text_but_text() {
    for (name, source) in scripts() {
        for word in FORBIDDEN {
            let found = source.lines().find(|line| line.contains(word));
            assert_eq!(found, None, "{name} may not say {word}");
        }
        // What leads somewhere is made by the one function that looks at it.
        let links = source.lines().filter(|line| line.contains(".href =") || line.contains(".src ="));
        let wanted = usize::from(name == "save.js");
        assert_eq!(links.count(), wanted, "{name} sets an address by itself");
    }
    for (name, source) in files() {
        assert!(!source.contains("@import") && !source.contains("url("), "{name} loads something");
    }
}

#[test]
fn every_script_says_what_it_is_for_is_not_too_long_and_is_used() {
    let all: BTreeSet<_> = scripts().map(|(name, _)| name).collect();
    let mut used = BTreeSet::from(["app.js".to_owned()]);
    for (name, source) in scripts() {
        let header: Vec<_> = source.lines().take(2).collect();
        assert!(
            header.iter().all(|line| line.starts_with("// ") && line.len() > 10),
            "{name}: say in two lines what it is"
        );
        assert!(source.lines().count() <= LINES_MAX, "{name} is too long");
        let from =
            between(&source, " from '", "'").map(|from| from.strip_prefix("./").expect("a file beside it").to_owned());
        used.extend(from);
    }
    assert_eq!(used, all, "each script is imported, and each import is there");
}

#[tokio::test]
async fn every_address_that_the_dashboard_asks_is_one_of_the_router() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("zz").await;
    let api = file("api.js");
    let addresses: Vec<_> = between(&api, ": '", "'").filter_map(|text| text.split_once(" /")).collect();
    assert!(addresses.len() > 20, "{addresses:?}");
    for (method, path) in addresses {
        let filled = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        let path = format!("/{}", filled.collect::<Vec<_>>().join("/"));
        let answer = server.send(server.request(method.parse().unwrap(), &path)).await;
        assert_ne!(answer.status, 405, "{method} {path}");
        assert!(!answer.text().contains("nothing is at this address"), "{method} {path}");
    }
    for (name, source) in scripts().filter(|(name, _)| name != "api.js") {
        let asks = ["'/v1", "`/v1", "\"/v1", "fetch(", "XMLHttpRequest"].iter().any(|word| source.contains(word));
        assert!(!asks, "{name} asks the server by itself");
    }
}

#[tokio::test]
async fn the_numbers_that_the_dashboard_shows_are_on_the_page_of_numbers() {
    let server = TestServer::start().await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    let page = server.get("/metrics").await.expect(200).text();
    let source = file("numbers.js");
    let names: BTreeSet<_> = source
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("sessile_") || word.starts_with("process_"))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let is_there = page.lines().any(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']) || rest.starts_with("_bucket"))
        });
        assert!(is_there, "{name} is on no page");
    }
}
