//! B30, B35: who has no key learns nothing, who has one learns nothing of others,
//! and nobody learns anything of the host.

use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// An address of each kind, with `S` for a session's id, `J` for a job's, `M` for a module's, `T` for a tenant's.
const ADDRESSES: &[(&str, &str)] = &[
    ("GET", "/v1/modules"),
    ("PUT", "/v1/modules/M"),
    ("GET", "/v1/modules/M"),
    ("DELETE", "/v1/modules/M"),
    ("GET", "/v1/modules/M/versions"),
    ("DELETE", "/v1/modules/M/versions/1"),
    ("GET", "/v1/modules/M/content"),
    ("POST", "/v1/sessions"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/S"),
    ("PATCH", "/v1/sessions/S"),
    ("DELETE", "/v1/sessions/S"),
    ("GET", "/v1/sessions/S/params"),
    ("PATCH", "/v1/sessions/S/params"),
    ("GET", "/v1/sessions/S/params/p"),
    ("PUT", "/v1/sessions/S/params/p"),
    ("DELETE", "/v1/sessions/S/params/p"),
    ("GET", "/v1/sessions/S/files"),
    ("GET", "/v1/sessions/S/files/f"),
    ("PUT", "/v1/sessions/S/files/f"),
    ("DELETE", "/v1/sessions/S/files/f"),
    ("GET", "/v1/sessions/S/archive"),
    ("PUT", "/v1/sessions/S/archive"),
    ("GET", "/v1/sessions/S/commits"),
    ("GET", "/v1/sessions/S/commits/1"),
    ("GET", "/v1/sessions/S/commits/1/files/f"),
    ("POST", "/v1/sessions/S/revert"),
    ("POST", "/v1/sessions/S/commit"),
    ("POST", "/v1/sessions/S/rollback"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/J"),
    ("GET", "/v1/jobs/J/stdout"),
    ("GET", "/v1/jobs/J/stderr?follow=true"),
    ("POST", "/v1/jobs/J/cancel"),
    ("POST", "/v1/run/M"),
    ("GET", "/v1/admin/tenants"),
    ("POST", "/v1/admin/tenants"),
    ("GET", "/v1/admin/tenants/T"),
    ("DELETE", "/v1/admin/tenants/T"),
    ("GET", "/v1/admin/tenants/T/keys"),
    ("POST", "/v1/admin/tenants/T/keys"),
    ("DELETE", "/v1/admin/tenants/T/keys/k"),
];

/// What of an answer a client can tell apart, without what differs by nature.
fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let differing = ["request-id", "date", "session-id"];
    let headers = answer.headers.iter().filter(|(name, _)| !differing.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status, headers.collect(), answer.text())
}

#[tokio::test]
async fn b30_every_bad_key_gets_the_same_answer_everywhere() {
    let server = TestServer::start().await;
    let gone = server.post("/v1/admin/tenants/dev/keys", &json!({"principal": "p", "scopes": ["root"]})).await.json();
    let path = format!("/v1/admin/tenants/dev/keys/{}", gone["id"].as_str().unwrap());
    let _ = server.delete(&path).await.expect(204);
    let nobody = server.with_key(None);
    let right = format!("Bearer {}", server.dev_key());
    let (almost, doubled) = (right[..right.len() - 1].to_owned(), format!("{right}{right}"));
    let deleted = format!("Bearer {}", gone["key"].as_str().unwrap());
    let basic = right.replace("Bearer", "Basic");
    let headers = ["", "Bearer", "Bearer ", "Bearer x", "x", &almost, &doubled, &deleted, &basic, &right[7..]];
    let expected = shape(&nobody.get("/v1/sessions").await);
    assert_eq!(expected.0, 401);
    for (method, path) in ADDRESSES {
        for header in headers {
            let request = nobody.request(method.parse().unwrap(), path).header(AUTHORIZATION, header);
            assert_eq!(shape(&nobody.send(request).await), expected, "{method} {path} with `{header}`");
        }
        let twice = nobody.request(method.parse().unwrap(), path);
        let twice = twice.header(AUTHORIZATION, &right).header(AUTHORIZATION, &right);
        assert_eq!(shape(&nobody.send(twice).await), expected, "{method} {path} with two keys");
    }
    let log = server.log();
    assert!(!log.contains(server.dev_key()) && !log.contains(gone["key"].as_str().unwrap()), "a key is in the log");
}

#[tokio::test]
async fn b30_what_belongs_to_another_tenant_is_answered_like_nothing() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("theirs-session").with_file("f", "1").with_param("p", "1").await;
    let _ = session.new_job(guests::HELLO).id("theirs-job").run().await.succeeded();
    let _ = server.upload("theirs-module", guests::HELLO.dresses()[0].bytes()).await.expect(201);
    let _ = server.post("/v1/admin/tenants", &json!({"id": "other"})).await.expect(201);
    let other = server.principal_of("other", "ann", &["admin", "submit", "modules"]).await;

    let ask = async |method: &str, path: &str, whose: &str| {
        let [session, job, module] = ["session", "job", "module"].map(|noun| format!("{whose}-{noun}"));
        let tenant = if whose == "theirs" { "dev" } else { "tenant-of-nobody" };
        let named = path.replace("/S", &format!("/{session}")).replace("/J", &format!("/{job}"));
        let named = named.replace("/M", &format!("/{module}")).replace("/T", &format!("/{tenant}"));
        let body = match (method, path) {
            (_, "/v1/sessions/S/revert") => json!({"to": 1}),
            (_, "/v1/jobs") => json!({"module": module}),
            (_, "/v1/sessions") => json!({"from": {"session": session}}),
            (_, "/v1/admin/tenants/T/keys") => json!({"principal": "p", "scopes": ["submit"]}),
            _ => json!({}),
        };
        let (status, headers, text) =
            shape(&other.send(other.request(method.parse().unwrap(), &named).json(&body)).await);
        let headers: Vec<_> = headers.into_iter().filter(|(name, _)| name != "content-length").collect();
        let names = [(session, "S"), (job, "J"), (module, "M"), (tenant.to_owned(), "T")];
        (status, headers, names.iter().fold(text, |text, (name, letter)| text.replace(name.as_str(), letter)))
    };
    let mut seen = 0;
    for (method, path) in ADDRESSES {
        let made = (*method, *path) == ("PUT", "/v1/modules/M");
        let lists = *method == "GET" && !path.contains(['S', 'J', 'M', 'T']);
        if made || lists {
            continue;
        }
        let (theirs, nobodys) = (ask(method, path, "theirs").await, ask(method, path, "nobodys").await);
        assert_eq!(theirs, nobodys, "{method} {path}");
        assert!((400..500).contains(&theirs.0), "{method} {path}: {theirs:?}");
        seen += 1;
    }
    assert!(seen > 30, "only {seen} addresses were asked");
    assert_eq!(session.text("f").await, "1");
}

/// Words that only the inside of the host has.
fn check_reveals_nothing(server: &TestServer, said: &str) {
    let data = server.data();
    let ground = data.parent().unwrap();
    let inside = [data.to_str().unwrap(), ground.to_str().unwrap(), "/root", "/tmp", "/home", "/proc", "/dev/shm"];
    let words =
        ["panicked", ".rs:", "sqlite", "wasmtime", "hyper", "axum", "serde", "tokio", "errno", "os error", "Some("];
    for word in inside.into_iter().chain(words) {
        assert!(!said.to_lowercase().contains(&word.to_lowercase()), "`{word}` is in: {said}");
    }
}

/// Addresses that are wrong in many ways; a session `s` with a file `f` is there, and a module `hello`.
const WRONG_ADDRESSES: &[&str] = &[
    "/v1/none",
    "/v1/sessions/%00",
    "/v1/sessions/%ff",
    "/v1/sessions/..%2f..",
    "/v1/sessions?cursor=x",
    "/v1/sessions/s/files/..%2f..%2fetc%2fpasswd",
    "/v1/sessions/s/files/%ff",
    "/v1/sessions/s/files/a%00b",
    "/v1/sessions/s/files/f/g",
    "/v1/sessions/s/files/none",
    "/v1/sessions/s/files?prefix=/etc",
    "/v1/sessions/s/files?limit=x",
    "/v1/sessions/s/files?cursor=%00",
    "/v1/sessions/s/archive?commit=99",
    "/v1/sessions/s/archive?format=zip",
    "/v1/sessions/s/commits/99",
    "/v1/sessions/s/commits/x",
    "/v1/sessions/s/commits/-1",
    "/v1/sessions/s/params/none",
    "/v1/jobs?state=x",
    "/v1/jobs?cursor=x",
    "/v1/jobs?limit=99999999999999999999",
    "/v1/jobs/none",
    "/v1/jobs/%0a",
    "/v1/modules/none",
    "/v1/modules/hello@9",
    "/v1/modules/hello@sha256:00",
    "/v1/modules/HELLO!",
    "/v1/admin/tenants/none",
    "/v1/admin/tenants/none/keys",
];

/// JSON that is wrong for every noun.
fn wrong_bodies() -> Vec<String> {
    let wrong = [
        json!({}),
        json!([]),
        json!({"module": 1}),
        json!({"module": "hello", "args": 1}),
        json!({"module": "hello", "x": 1}),
        json!({"module": "hello", "limits": {"wall_ms": -1}}),
        json!({"module": "hello", "stdin_base64": "?"}),
        json!({"module": "hello", "env": {"A\u{0}": "b"}}),
        json!({"id": 1}),
        json!({"id": "a/b"}),
        json!({"from": {"session": "none"}}),
        json!({"params": {"a": [1]}}),
        json!({"to": "x"}),
        json!({"limits": {"bytes": 1.5}}),
        json!({"history": {"commits": 1e30}}),
    ];
    let broken = ["", "{", "{\"a\": \u{7}}", "nul", "{\"a\": 1e999}", r#"{"module": "\ud800"}"#];
    wrong.iter().map(Value::to_string).chain(broken.map(str::to_owned)).collect()
}

/// What is said to a caller who does everything wrong.
async fn said_to_the_wrong(server: &TestServer) -> Vec<Answer> {
    let mut said = Vec::new();
    for path in WRONG_ADDRESSES {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::POST, Method::PATCH, Method::OPTIONS] {
            said.push(server.send(server.request(method, path).body("{")).await);
        }
    }
    let nouns = ["/jobs", "/sessions", "/sessions/s/revert", "/admin/tenants", "/admin/tenants/dev/keys"];
    for (noun, body) in nouns.iter().flat_map(|noun| wrong_bodies().into_iter().map(move |body| (noun, body))) {
        let request = server.request(Method::POST, &format!("/v1{noun}")).header("content-type", "application/json");
        said.push(server.send(request.body(body)).await);
    }
    let garbage =
        [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\xff\xff", b"\0asm\x0d\0\x01\0\x07\xff", b"(module)", b"\x7fELF"];
    for module in garbage {
        said.push(server.upload("bad", module.to_vec()).await);
    }
    let file = |method, header, value: &'static str| {
        server.send(server.request(method, "/v1/sessions/s/files/f").header(header, value))
    };
    said.push(file(Method::GET, "range", "bytes=9-").await);
    said.push(file(Method::PUT, "if-match", "x").await);
    said.push(file(Method::GET, "if-match", "\"x\"").await);
    said
}

#[tokio::test]
async fn b35_no_refusal_shows_anything_of_the_host() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    let _ = server.new_session().with_id("s").with_file("f", "1").await;
    let said = said_to_the_wrong(&server).await;
    let refused: Vec<&Answer> = said.iter().filter(|answer| answer.status >= 400).collect();
    assert!(refused.len() > 200, "only {} were refused", refused.len());
    for answer in refused {
        assert!(answer.status != 500, "{answer:?}");
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in {answer:?}"));
        check_reveals_nothing(&server, told["detail"].as_str().expect("a refusal has a detail"));
    }
}

#[tokio::test]
async fn b35_no_end_of_a_job_shows_anything_of_the_host() {
    let server = TestServer::with("slots", 4).start().await;
    let session = server.new_session().await;
    let short = |order: sessile_kit::NewJob| {
        order.limit("wall_ms", 2_000).limit("cpu_ms", 1_000).limit("memory_bytes", 32 << 20)
    };
    for guest in [
        guests::WRITE_THEN_TRAP,
        guests::WRITE_THEN_EXIT,
        guests::STACK_OVERFLOW,
        guests::SPIN,
        guests::EAT_MEMORY,
        guests::STAY,
        guests::WRITE_BIG,
        guests::MANY_FILES,
        guests::OPEN_MANY,
        guests::FLOOD_STDOUT,
        guests::PANIC_WITH_NAMES,
    ] {
        for dress in guest.dresses() {
            let job = short(session.new_job(dress)).run().await;
            check_reveals_nothing(&server, job.detail());
        }
    }
}
