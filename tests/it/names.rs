//! B19, B29, B35: names and output are data. Whatever a tenant calls a thing, and
//! whatever a job prints, is told back exactly and does nothing on the way: not in a
//! list, not in a header, not in the log.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::Url;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// Names that are something else to a terminal, a header, a log, a page or a path.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "line\nbreak",
        "a\r\nSet-Cookie: b=c",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "\u{202e}txt.exe\u{2066}",
        "\"quoted\" 'twice' `back`",
        "<script>alert(1)<!--",
        "%2e%2e%2f %0d%0a %",
        "back\\slash; a=b, c",
        "{\"json\": [",
        "umläut 漢字 \u{1f389} e\u{301}",
        "\u{7f}\u{85}\u{2028}\u{feff}",
        " INFO request{request_id=forged}: answered method=GET",
        "..a ?query=1#fragment",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(255));
    names
}

/// The address of a thing by its name, every byte of it percent-encoded.
fn address(session: &Session, kind: &str, name: &str) -> String {
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    session.path(&format!("/{kind}/{encoded}"))
}

fn is_steering(c: char) -> bool {
    let bidi = ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}', '\u{2028}'..='\u{2029}'];
    c.is_control() || bidi.iter().any(|range| range.contains(&c))
}

/// Each line is one event of the server's, and steers no terminal.
fn check_log(log: &str, is_json: bool) {
    for line in log.lines() {
        assert!(!line.chars().any(is_steering), "{line:?}");
        let begins = if is_json { "{\"timestamp\":\"20" } else { "20" };
        assert!(line.starts_with(begins), "no line of ours: {line:?}");
        if is_json {
            let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        }
    }
}

/// Gives everything that has a name the hostile ones, from inside and outside, and
/// reads them back; then reads the log.
async fn check(log_format: &str) {
    let server = TestServer::with("log", log_format).start().await;
    server.ready(guests::LOUD_NAMES).await;
    for name in hostile() {
        from_inside(&server, &name).await;
        from_outside(&server, &name).await;
    }
    let log = server.log();
    check_log(&log, log_format == "json");
    assert!(!log.contains(server.dev_key()), "the log holds a key");
    let guest_lines = log.lines().filter(|line| line.contains("guest")).count();
    assert_eq!(guest_lines, hostile().len(), "a line of a guest is one line");
}

fn fits_label(name: &str) -> bool {
    name.len() <= 128 && !name.contains('=') && !name.chars().any(char::is_control)
}

async fn from_inside(server: &TestServer, name: &str) {
    let session = server.new_session().await;
    let order = session.new_job(guests::LOUD_NAMES).args([name]).env("NAME", name);
    let labels = if fits_label(name) { json!({ name: name }) } else { json!({}) };
    let order = order.with("labels", labels.clone());
    let job = order.run().await.succeeded();
    assert_eq!(job.json["labels"], labels);
    assert_eq!(job.stdout().await, name);
    let stderr = server.get(&format!("/v1/jobs/{}/stderr", job.id())).await.expect(200);
    assert_eq!(stderr.body, [0xff, 0x00, 0x1b]);
    assert_eq!(stderr.header("content-type"), Some("application/octet-stream"), "a browser must not guess");
    assert_eq!(session.files().await, [name]);
    let file = server.get(&address(&session, "files", name)).await.expect(200);
    assert_eq!(file.text(), name);
    let expected = if name.chars().any(char::is_control) { None } else { Some((name.to_owned(), name.to_owned())) };
    assert_eq!(session.params().await, BTreeMap::from_iter(expected));
}

async fn from_outside(server: &TestServer, name: &str) {
    let session = server.new_session().await;
    let file = address(&session, "files", name);
    let missing = server.get(&file).await.refused(404, "not-found");
    assert!(missing.contains(name), "{missing}");
    let put = server.put(&file, name.to_owned()).await.expect(201);
    let location = put.header("location").expect("what was made has an address").to_owned();
    assert_eq!(server.get(&location).await.expect(200).text(), name, "{location}");
    assert_eq!(session.files().await, [name]);
    let commits = server.list(&session.path("/commits")).await;
    let last = server.get(&session.path(&format!("/commits/{}", commits[0]["commit"]))).await.expect(200).json();
    assert_eq!(last["changes"]["files"][0]["path"], name);

    let param = server.put(&address(&session, "params", name), name.to_owned()).await;
    if name.chars().any(char::is_control) {
        let _ = param.refused(400, "invalid-request");
    } else {
        let _ = param.expect(204);
        assert_eq!(session.params().await[name], name);
    }
    // What is refused is named, and nothing of it becomes a header.
    let plain: String = name.chars().filter(char::is_ascii_graphic).collect();
    let query = Url::parse_with_params("http://x/v1/sessions", [("limit", name)]).unwrap();
    let query = format!("{}?{}", query.path(), query.query().unwrap());
    let forged = server.request(Method::GET, &query).header("request-id", &plain);
    let answer = server.send(forged).await.expect(400);
    let id = answer.header("request-id").expect("every answer has an id");
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{id}");
}

#[tokio::test]
async fn b19_any_name_is_told_back_exactly_and_is_inert_in_the_log_for_people() {
    check("human").await;
}

#[tokio::test]
async fn b19_any_name_is_told_back_exactly_and_is_inert_in_the_log_for_programs() {
    check("json").await;
}

#[tokio::test]
async fn b29_what_a_job_prints_round_trips_byte_by_byte() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let guest = server.ready(guests::STREAM).await;
    let request = server.request(Method::POST, &format!("/v1/run/{guest}?arg=echo")).header("session-id", session.id());
    assert_eq!(server.send(request.body(bytes.clone())).await.expect(200).body, bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let job = session.new_job(guests::STREAM).args(["echo"]).stdin(&text).run().await.succeeded();
    assert_eq!(job.stdout().await, text);
    check_log(&server.log(), false);
}

#[tokio::test]
async fn b35_a_request_is_one_line_of_the_log() {
    let server = TestServer::with("log", "json").start().await;
    for (n, path) in
        ["/healthz", "/v1/sessions", "/v1/none%0aINFO", "/v1/jobs/none?x=%0a", "/v1/%1b%5b2J"].iter().enumerate()
    {
        let id = format!("request-{n}");
        drop(server.send(server.request(Method::GET, path).header("request-id", &id)).await);
        let log = server.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(line["fields"]["message"], "answered");
        assert_eq!(line["fields"]["method"], "GET");
    }
    check_log(&server.log(), true);
}
