//! R27: a session belongs to the principal that made it; to anyone else it does
//! not exist. And what keys may do.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Client;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// Every way to a session and its jobs, as requests that `caller` tries.
async fn try_everything(caller: &Client, session: &Session, job: &str) -> Vec<(String, u16, Value)> {
    let mut seen = Vec::new();
    let paths = ["", "/params", "/params/secret", "/files", "/files/secret.txt"];
    for path in paths {
        let answer = caller.get(&session.path(path)).await;
        seen.push((format!("GET {path}"), answer.status, answer.json()));
    }
    for path in ["/params/secret", "/files/secret.txt"] {
        let answer = caller.put(&session.path(path), "stolen").await;
        seen.push((format!("PUT {path}"), answer.status, answer.json()));
    }
    for path in ["/params/secret", "/files/secret.txt", ""] {
        let answer = caller.delete(&session.path(path)).await;
        seen.push((format!("DELETE {path}"), answer.status, answer.json()));
    }
    for path in ["", "/stdout", "/stderr"] {
        let answer = caller.get(&format!("/v1/jobs/{job}{path}")).await;
        seen.push((format!("GET job {path}"), answer.status, answer.json()));
    }
    let answer = caller.post(&format!("/v1/jobs/{job}/cancel"), &json!({})).await;
    seen.push(("cancel the job".to_owned(), answer.status, answer.json()));
    seen
}

async fn check_sees_nothing(server: &TestServer, stranger: &Client) {
    let session =
        server.new_session().with_id("mine").with_param("secret", "s3cret").with_file("secret.txt", "s3cret").await;
    let job = session.run(guests::WHOAMI).await.succeeded();
    let before = session.snapshot().await;

    let none = stranger.session("none");
    let nothing = try_everything(stranger, &none, "no-such-job").await;
    let mine = try_everything(stranger, &session, job.id()).await;

    for ((what, status, problem), (_, none_status, none_problem)) in mine.iter().zip(&nothing) {
        assert_eq!((*status, &problem["code"]), (404, &json!("not-found")), "{what}: {problem}");
        // What belongs to somebody else is answered in the very words for nothing at all.
        let hidden = problem.to_string().replace("mine", "none").replace(job.id(), "no-such-job");
        assert_eq!((none_status, &none_problem.to_string()), (status, &hidden), "{what}");
    }
    assert_eq!(session.snapshot().await, before);
    assert_eq!(stranger.list("/v1/sessions").await.len(), 0);
    assert_eq!(stranger.list("/v1/jobs").await.len(), 0);
}

#[tokio::test]
async fn r27_a_session_does_not_exist_for_another_principal() {
    let server = TestServer::start().await;
    let bob = server.principal("bob", &["submit", "modules"]).await;
    check_sees_nothing(&server, &bob).await;
}

#[tokio::test]
async fn r27_a_session_does_not_exist_for_another_tenant() {
    let server = TestServer::start().await;
    let _ = server.post("/v1/admin/tenants", &json!({"id": "acme"})).await.expect(201);
    let stranger = server.principal_of("acme", "dev", &["submit", "modules", "admin"]).await;
    check_sees_nothing(&server, &stranger).await;
    let module = stranger.get("/v1/modules/whoami").await.refused(404, "not-found");
    assert!(module.contains("whoami"), "{module}");
    assert_eq!(stranger.list("/v1/modules").await.len(), 0);
}

#[tokio::test]
async fn r27_two_principals_can_have_the_same_id() {
    let server = TestServer::start().await;
    let bob = server.principal("bob", &["submit", "modules"]).await;
    let mine = server.new_session().with_id("same").with_param("whose", "mine").await;
    let his = bob.new_session().with_id("same").with_param("whose", "his").await;
    // A job id is a namespace of its own in the same way.
    let _ = mine.new_job(guests::COUNTER_FILE).id("one").run().await.succeeded();
    let _ = his.new_job(guests::COUNTER_FILE).id("one").run().await.succeeded();

    assert_eq!(mine.param("whose").await.as_deref(), Some("mine"));
    assert_eq!(his.param("whose").await.as_deref(), Some("his"));
    assert_eq!(mine.text("counter").await, "1");
    assert_eq!(his.text("counter").await, "1");
    let _ = server.delete(&mine.path("")).await.good();
    assert_eq!(his.param("whose").await.as_deref(), Some("his"));
}

#[tokio::test]
async fn r9_nobody_holds_up_another_s_session_by_naming_it() {
    let server = TestServer::start().await;
    let bob = server.principal("bob", &["submit", "modules"]).await;
    let mine = server.new_session().with_id("mine").await;
    let gate = bob.session("mine").hold().await;
    assert_eq!(gate.json["session"], json!({"id": "mine", "active": false}));

    let _ = mine.run(guests::HELLO).await.succeeded();
    gate.end().await;
}

#[tokio::test]
async fn r27_an_admin_lists_and_drops_but_does_not_use() {
    let server = TestServer::start().await;
    let bob = server.principal("bob", &["submit", "modules"]).await;
    let his = bob.new_session().with_id("his").with_file("secret.txt", "s3cret").await;
    let admin = server.principal("boss", &["submit", "admin"]).await;

    let listed = admin.list("/v1/sessions?owner=bob").await;
    assert_eq!((listed.len(), &listed[0]["owner"]), (1, &json!("bob")));
    let _ = admin.get("/v1/sessions/his/files/secret.txt").await.refused(404, "not-found");
    let _ = bob.get("/v1/sessions?owner=dev").await.refused(403, "forbidden");

    let _ = admin.delete("/v1/sessions/his?owner=bob").await.good();
    sessile_kit::until("the session is gone", || async { (bob.get(&his.path("")).await.status == 404).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_missing_or_bad_key_is_401_and_says_the_same_for_all() {
    let server = TestServer::start().await;
    let mut said = Vec::new();
    for key in [None, Some("nonsense"), Some(""), Some("ssk_0000000000000000000000000000000000000000000")] {
        let caller = server.with_key(key);
        for path in ["/v1/sessions", "/v1/modules", "/v1/jobs", "/v1/sessions/none", "/v1/admin/tenants"] {
            let answer = caller.get(path).await;
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{key:?} {path}");
            said.push(answer.refused(401, "unauthorized"));
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    for path in ["/healthz", "/readyz"] {
        let _ = server.with_key(None).get(path).await.expect(200);
    }
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_no_more() {
    let server = TestServer::start().await;
    let submitter = server.principal("submitter", &["submit"]).await;
    let uploader = server.principal("uploader", &["modules"]).await;
    let wasm = guests::HELLO.dresses()[0].bytes();

    let _ = submitter.upload("hello", wasm.clone()).await.refused(403, "forbidden");
    let _ = uploader.upload("hello", wasm).await.expect(201);
    let _ = uploader.post("/v1/jobs", &json!({"module": "hello"})).await.refused(403, "forbidden");
    let _ = uploader.post("/v1/sessions", &json!({})).await.refused(403, "forbidden");
    let _ = submitter.post("/v1/jobs", &json!({"module": "hello"})).await.expect(202);
    let _ = submitter.delete("/v1/modules/hello").await.refused(403, "forbidden");
    let _ = submitter.get("/v1/modules/hello").await.expect(200);
    for caller in [&submitter, &uploader] {
        let _ = caller.get("/v1/admin/tenants/dev/keys").await.refused(403, "forbidden");
    }
    let admin = server.principal("boss", &["admin"]).await;
    let _ = admin.get("/v1/admin/tenants").await.refused(403, "forbidden");
    let grab = json!({"principal": "boss", "scopes": ["root"]});
    let _ = admin.post("/v1/admin/tenants/dev/keys", &grab).await.refused(403, "forbidden");
}

#[tokio::test]
async fn the_keys_of_a_tenant_are_on_one_page_each() {
    let server = TestServer::start().await;
    for number in 0..3 {
        let order = json!({"principal": format!("p{number}"), "scopes": ["submit"]});
        let _ = server.post("/v1/admin/tenants/dev/keys", &order).await.expect(201);
    }
    let id = |item: &serde_json::Value| item["id"].as_str().unwrap().to_owned();
    let all = server.get("/v1/admin/tenants/dev/keys").await.expect(200).json();
    let all: Vec<_> = all["items"].as_array().unwrap().iter().map(id).collect();
    // That of `--dev` too.
    assert_eq!(all.len(), 4);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/admin/tenants/dev/keys?limit=1{cursor}")).await.expect(200).json();
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page:#}");
        found.push(id(&page["items"][0]));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, all);
    let _ = server.get("/v1/admin/tenants/dev/keys?cursor=61").await.refused(400, "invalid-request");
}

#[tokio::test]
async fn a_key_is_shown_once_and_refused_when_deleted() {
    let server = TestServer::start().await;
    let order = json!({"principal": "alice", "scopes": ["submit"]});
    let made = server.post("/v1/admin/tenants/dev/keys", &order).await.expect(201).json();
    let key = made["key"].as_str().unwrap();
    let listed = server.get("/v1/admin/tenants/dev/keys").await.expect(200);
    assert!(!listed.text().contains(key));
    assert!(listed.text().contains(made["id"].as_str().unwrap()));
    let alice = server.with_key(Some(key));
    let _ = alice.get("/v1/sessions").await.expect(200);

    let _ = server.delete(&format!("/v1/admin/tenants/dev/keys/{}", made["id"].as_str().unwrap())).await.expect(204);
    let _ = alice.get("/v1/sessions").await.refused(401, "unauthorized");
    assert!(!server.log().contains(key), "a key is in the log");
    // Only a hash is kept, wherever in the data directory one looks.
    let database = std::fs::read_dir(server.data()).unwrap().map(|entry| entry.unwrap().path());
    for path in database.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(key.len()).any(|part| part == key.as_bytes()), "a key is in {}", path.display());
    }
}
