//! Tenants and keys from the command line: how a server gets its first key, and
//! what is known of keys later.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;
use serde_json::json;
use sessile_kit::Called;
use sessile_kit::Settings;
use sessile_kit::TestServer;
use sessile_kit::sessile;

fn call(data: &Path, words: &str) -> Called {
    let words = words.split(' ').map(OsStr::new);
    sessile(words.chain([OsStr::new("--data"), data.as_os_str()]))
}

/// The lines of a call that did what it was asked for.
fn done(data: &Path, words: &str) -> Vec<Value> {
    let called = call(data, words).expect(0);
    called.lines.iter().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

async fn stop(server: &mut TestServer) {
    server.ask_to_stop();
    assert!(server.stopped().await.success());
}

#[tokio::test]
async fn a_server_without_a_key_says_how_to_make_one_and_refuses_everybody_until_then() {
    let mut server = Settings::default().without_dev().start().await;
    let log = server.log();
    assert!(log.contains("sessile tenant create") && log.contains("sessile key create"), "{log}");
    let _ = server.get("/v1/sessions").await.refused(401, "unauthorized");
    let data = server.data();
    call(&data, "tenant create acme").refused("another server is using the data directory");
    stop(&mut server).await;

    let made = done(&data, "tenant create acme");
    assert_eq!((made.len(), &made[0]["id"]), (1, &json!("acme")));
    call(&data, "tenant create acme").refused("exists already");
    call(&data, "key create --tenant nobody --principal ann --scope submit").refused("no tenant is named `nobody`");
    let made = done(&data, "key create --tenant acme --principal ann --scope submit --scope admin");
    let (key, id) = (made[0]["key"].as_str().unwrap().to_owned(), made[0]["id"].as_str().unwrap().to_owned());
    assert_eq!((&made[0]["scopes"], &made[0]["last_used_at"]), (&json!(["submit", "admin"]), &Value::Null));

    server.restart();
    assert!(!server.log().contains("sessile key create"));
    let ann = server.with_key(Some(&key));
    let session = ann.new_session().await;
    assert_eq!(session.show().await["owner"], "ann");
    let keys = ann.get("/v1/admin/tenants/acme/keys").await.expect(200).json();
    assert!(keys["items"][0]["last_used_at"].is_string(), "{keys}");
    stop(&mut server).await;

    // Listed with its last use and without its text; and revoked.
    let listed = done(&data, "key list --tenant acme");
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(id)));
    assert!(listed[0]["last_used_at"].is_string() && listed[0].get("key").is_none(), "{listed:?}");
    call(&data, "key list --tenant nobody").refused("no tenant is named `nobody`");
    assert_eq!(done(&data, &format!("key delete --tenant acme --id {id}")), Vec::<Value>::new());
    call(&data, &format!("key delete --tenant acme --id {id}")).refused("no key with the id");
    server.restart();
    let _ = ann.get("/v1/sessions").await.refused(401, "unauthorized");
    stop(&mut server).await;

    assert_eq!(done(&data, "tenant list").len(), 1);
    done(&data, "tenant delete acme");
    assert_eq!(done(&data, "tenant list"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_wrong_word_on_the_command_line_is_named_and_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    for (words, named) in [
        ("tenant create A_B", "A_B"),
        ("key create --tenant acme --principal ann --scope all", "all"),
        ("key create --tenant acme --principal ann", "--scope"),
    ] {
        let called = call(&data, words).expect(2);
        assert!(called.stderr.contains(named), "{called:?}");
    }
    assert!(!data.exists());
}
