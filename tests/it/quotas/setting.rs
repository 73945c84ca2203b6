//! How a quota is set and looked at: by the configuration for all, over HTTP and
//! from the command line for one.

use serde_json::json;
use sessile_kit::TestServer;
use sessile_kit::sessile;

use super::quota_of;
use super::set;
use super::tenant;

#[tokio::test]
async fn r34_a_quota_is_what_all_have_until_it_is_set_and_again_when_that_is_taken_away() {
    let server = TestServer::with("quota_sessions", 7).with("slots", 3).start().await;
    let _ = tenant(&server, "acme", &json!({"weight": 5, "modules": 9})).await;
    let shown = async || {
        let quota = server.get(&quota_of("acme")).await.expect(200).json();
        ["sessions", "weight", "modules", "running_jobs"].map(|name| quota[name].as_u64().unwrap())
    };
    assert_eq!(shown().await, [7, 5, 9, 3]);
    set(&server, "acme", &json!({"weight": null, "sessions": 8})).await;
    assert_eq!(shown().await, [8, 1, 9, 3]);
    let put = server.request(reqwest::Method::PUT, &quota_of("acme")).json(&json!({"weight": 2}));
    let put = server.send(put).await.expect(200).json();
    assert_eq!((&put["weight"], &put["usage"]["sessions"]), (&json!(2), &json!(0)));
    assert_eq!(shown().await, [7, 2, 1_000, 3]);
    let _ = server.delete(&quota_of("acme")).await.expect(204);
    assert_eq!(shown().await, [7, 1, 1_000, 3]);
}

#[tokio::test]
async fn r34_a_number_that_no_quota_can_have_is_refused_with_its_name_and_range_and_nothing_is_set() {
    let server = TestServer::start().await;
    let _ = tenant(&server, "acme", &json!({})).await;
    for (form, words) in [
        (json!({"sessions": 1, "weight": 0}), ["`weight`", "is 0,", "from 1 to 1000"]),
        (json!({"sessions": 1, "weight": -1}), ["`weight`", "is -1,", "from 1 to 1000"]),
        (json!({"sessions": 1, "weight": "2"}), ["`weight`", "is \"2\",", "from 1 to 1000"]),
        (json!({"sessions": 1, "wall_ms": 3_600_001}), ["`wall_ms`", "is 3600001,", "to 3600000"]),
        (json!({"sessions": 1, "wight": 1}), ["`wight`", "has no", "`weight`"]),
    ] {
        let detail = server.patch(&quota_of("acme"), &form).await.refused(400, "invalid-request");
        assert!(words.iter().all(|word| detail.contains(word)), "{form}: {detail}");
    }
    assert_eq!(server.get(&quota_of("acme")).await.json()["sessions"], 100_000);
    let _ = server.patch(&quota_of("nobody"), &json!({"sessions": 1})).await.refused(404, "not-found");
    let _ = server.get(&quota_of("nobody")).await.refused(404, "not-found");
}

#[tokio::test]
async fn r34_a_tenant_s_admin_sees_its_quota_and_only_root_changes_it() {
    let server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"sessions": 3})).await;
    let _ = tenant(&server, "other", &json!({})).await;
    assert_eq!(ann.get(&quota_of("acme")).await.expect(200).json()["sessions"], 3);
    let _ = ann.get(&quota_of("other")).await.refused(404, "not-found");
    let _ = ann.patch(&quota_of("acme"), &json!({"sessions": 4})).await.refused(403, "forbidden");
    let _ = ann.delete(&quota_of("acme")).await.refused(403, "forbidden");
    let bob = server.principal_of("acme", "bob", &["submit"]).await;
    let _ = bob.get(&quota_of("acme")).await.refused(403, "forbidden");
}

#[tokio::test]
async fn r34_a_quota_and_what_counts_against_it_outlive_a_restart_and_end_with_the_tenant() {
    let mut server = TestServer::start().await;
    let ann = tenant(&server, "acme", &json!({"sessions": 1})).await;
    let session = ann.new_session().await;
    server.kill9();
    server.restart();
    super::check_refused(ann.new_session().answer().await, 429, "quota-exceeded", "sessions", 1);
    let _ = ann.delete(&session.path("")).await.good();
    let _ = ann.new_session().await;
    let _ = server.delete("/v1/admin/tenants/acme").await.good();
    let _ = tenant(&server, "acme", &json!({})).await;
    let quota = server.get(&quota_of("acme")).await.json();
    assert_eq!((&quota["sessions"], &quota["usage"]["sessions"]), (&json!(100_000), &json!(0)));
}

#[tokio::test]
async fn r34_the_command_line_sets_a_quota_while_no_server_runs() {
    let mut server = TestServer::start().await;
    let _ = tenant(&server, "acme", &json!({"weight": 5})).await;
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let data = server.data();
    let call = |words: &[&str]| {
        let words = [&["tenant", "quota"], words, &["--data"]].concat();
        sessile(words.iter().map(|word| std::ffi::OsStr::new(*word)).chain([data.as_os_str()]))
    };
    assert_eq!(call(&["acme"]).expect(0).lines, [r#"{"id":"acme","quota":{"weight":5}}"#]);
    let changed = call(&["acme", "--set", "sessions=2", "--set", "weight=default"]).expect(0);
    assert_eq!(changed.lines, [r#"{"id":"acme","quota":{"sessions":2}}"#]);
    call(&["acme", "--set", "weight=0"]).refused("from 1 to 1000");
    call(&["acme", "--set", "wight=1"]).refused("`wight`");
    call(&["nobody"]).refused("no tenant is named `nobody`");
    server.restart();
    assert_eq!(server.get(&quota_of("acme")).await.json()["sessions"], 2);
}

#[tokio::test]
async fn r34_a_job_or_session_asks_for_no_more_than_the_quota_and_the_default_is_lowered_to_it() {
    let server = TestServer::start().await;
    let quota = json!({"wall_ms": 5_000, "cpu_ms": 4_000, "memory_bytes": 64 << 20, "output_bytes": 10_000,
        "session_bytes": 1_000, "session_files": 3});
    let ann = tenant(&server, "acme", &quota).await;
    let hello = || ann.new_job(sessile_kit::guests::HELLO);
    let job = hello().run().await.succeeded();
    for name in ["wall_ms", "cpu_ms", "memory_bytes", "output_bytes"] {
        assert_eq!(job.json["limits"][name], quota[name], "{name}");
        let most = quota[name].as_u64().unwrap();
        let _ = hello().limit(name, most).run().await.succeeded();
        let detail = hello().limit(name, most + 1).answer().await.refused(400, "invalid-request");
        let said = format!("`limits.{name}` is {}, and the tenant's quota allows at most {most}", most + 1);
        assert!(detail.contains(&said), "{detail}");
    }
    let session = ann.new_session().await;
    assert_eq!(session.show().await["limits"], json!({"bytes": 1_000, "files": 3}));
    let detail = ann.new_session().with("limits", json!({"bytes": 1_001})).answer().await;
    let detail = detail.refused(400, "invalid-request");
    assert!(detail.contains("`limits.bytes` is 1001") && detail.contains("at most 1000"), "{detail}");
    // What a streaming run prints is not kept.
    let run = sessile_kit::Run::start(&ann, "hello", "output_bytes=20000", None);
    assert_eq!(run.read().outcome(), "succeeded");
    // A retry is answered as before, whatever has changed since.
    let first = hello().id("j").limit("wall_ms", 5_000).run().await;
    set(&server, "acme", &json!({"wall_ms": 1_000})).await;
    assert_eq!(hello().id("j").limit("wall_ms", 5_000).run().await.json, first.json);
}
