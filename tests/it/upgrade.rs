//! A store that an older server has written opens with everything in it.
//!
//! `format-1`, `format-2` and `format-3` are some, as the last server of each format left
//! them: tenant `dev`, module `remember`, session `letters`, and job `first`.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;

/// The key that the server of format 1 printed.
const KEY: &str = "ssk_dev_653b5ae9e077c7549430244d8ba148c51ce98696cdc80242bb53cd1586e437f2";

/// Puts the store of format 1 where the data directory is to be, as private as it was.
fn old_store(to: &Path) {
    store_of("it/format-1", to);
}

fn store_of(old: &str, to: &Path) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        fs::set_permissions(to, Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), &to).unwrap();
                fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(old), to);
}

/// Ids in `format-2`.
const CHOSEN_BY_SERVER: &str = "4722dbb8-4869-42a5-9a50-4bde3261645e";
const STREAMED: &str = "71ac8994-c0ac-43c2-987c-884d63575080";

fn lines() -> String {
    (0..10_000).map(|n| format!("line {n:08}\n")).collect()
}

/// Everything that the old server wrote into the session.
async fn holds_what_it_held(session: &Session) {
    let held = session.snapshot().await;
    assert_eq!(held.params, [("lang".to_owned(), "de".to_owned())].into());
    assert_eq!(held.folders, ["deep", "deep/er"]);
    let files: Vec<_> = held.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    assert_eq!(files, [("a.txt", &b"dear reader\n"[..]), ("deep/er/lines.txt", lines().as_bytes()), ("empty", b"")]);
}

#[tokio::test]
async fn a_store_of_format_1_opens_with_all_that_was_in_it() {
    let mut server = TestServer::with("sweep_interval_ms", 1_000).start_on(old_store).await;
    assert_eq!(server.dev_key(), KEY, "the key of an existing data directory is kept");
    let session = server.session("letters");
    holds_what_it_held(&session).await;
    let shown = session.show().await;
    assert_eq!((&shown["commit"], &shown["bytes"], &shown["files"]), (&4.into(), &140_012.into(), &5.into()));
    assert_eq!(shown["transaction"], "job");
    let commits = server.list(&session.path("/commits")).await;
    assert_eq!(commits.len(), 1, "the old server kept no history: {commits:#?}");
    assert_eq!((&commits[0]["commit"], &commits[0]["cause"]), (&4.into(), &"upgraded".into()));
    let first = server.job("first").await.succeeded();
    assert_eq!((&first.json["labels"]["a"], &first.json["stdout_bytes"]), (&"b".into(), &4.into()));
    assert_eq!(first.stdout().await, "0\n0\n");

    // Its module runs, and work goes on from commit 4.
    let old_module = session.new_job(guests::REMEMBER).prefer("wait=120").try_answer().await.unwrap();
    assert_eq!(old_module.expect(200).json()["state"], "succeeded");
    session.put_file("a.txt", "dear editor\n").await;
    let _ = session.new_job(guests::APPEND).args(["more"]).run().await.succeeded();
    assert_eq!(session.show().await["commit"], 6);

    server.kill9();
    server.restart();
    assert_eq!(session.text("a.txt").await, "dear editor\n");
    let _ = server.post(&session.path("/revert"), &serde_json::json!({"to": 4})).await.expect(200);
    holds_what_it_held(&session).await;
    assert_eq!(session.show().await["commit"], 7);

    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let _ = sessile(["check".as_ref(), "--data".as_ref(), server.data().as_os_str()]).expect(0);
}

#[tokio::test]
async fn a_store_of_format_2_opens_with_all_its_jobs_under_their_ids() {
    let mut server = TestServer::with("sweep_interval_ms", 1_000).start_on(|to| store_of("it/format-2", to)).await;
    let ids = [CHOSEN_BY_SERVER, "c0ffee00-1111-4222-8333-444444444444", "0A-not-a-uuid", "first", STREAMED];
    for id in ids {
        assert_eq!(server.job(id).await.succeeded().json["id"], id);
    }
    assert_eq!(server.list("/v1/jobs").await.len(), ids.len());
    let first = server.job("first").await.succeeded();
    assert_eq!((&first.json["labels"]["a"], first.stdout().await), (&"b".into(), "0\n0\n".to_owned()));

    // A retry is known, and another request under that id is not taken (R2).
    let session = server.session("letters");
    let retried =
        session.new_job(guests::REMEMBER).id("first").with("labels", serde_json::json!({"a": "b"})).prefer("wait=60");
    assert_eq!(retried.try_answer().await.unwrap().expect(200).json()["ended_at"], first.json["ended_at"]);
    let other = session.new_job(guests::REMEMBER).id("first").try_answer().await.unwrap();
    let _ = other.refused(409, "conflict");

    let next = session.new_job(guests::REMEMBER).run().await.succeeded();
    server.kill9();
    server.restart();
    assert_eq!(server.job(next.id()).await.succeeded().json["session"]["id"], "letters");
    assert_eq!(server.list("/v1/jobs").await[0]["id"], next.json["id"]);
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let _ = sessile(["check".as_ref(), "--data".as_ref(), server.data().as_os_str()]).expect(0);
}

/// That server was stopped while the job `waiting` waited.
#[tokio::test]
async fn a_store_of_format_3_opens_and_its_queue_goes_on() {
    let mut server = TestServer::with("sweep_interval_ms", 1_000).start_on(|to| store_of("it/format-3", to)).await;
    let waiting = server.job("waiting").await.wait().await.succeeded();
    assert_eq!((&waiting.json["attempt"], &waiting.json["session"]["id"]), (&1.into(), &"letters".into()));
    for job in [waiting, server.job("first").await.succeeded(), server.job("spun").await.cancelled()] {
        let schedule = ["priority", "not_before", "retries"].map(|name| &job.json[name]);
        assert_eq!(schedule, [&0.into(), &serde_json::Value::Null, &0.into()]);
    }
    let session = server.session("letters");
    let _ = session.new_job(guests::TRY_AGAIN).args(["2"]).with("retries", 1).run().await.succeeded();
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let _ = sessile(["check".as_ref(), "--data".as_ref(), server.data().as_os_str()]).expect(0);
}

#[tokio::test]
async fn an_old_format_is_reported_and_not_upgraded_by_a_check() {
    let ground = tempfile::tempdir().unwrap();
    let data = ground.path().join("data");
    old_store(&data);
    let before = fs::read(data.join("truth.sqlite3")).unwrap();
    let called = sessile(["check".as_ref(), "--data".as_ref(), data.as_os_str()]);
    called.refused("has format 1, and this program looks at format 4 only; start the server once, which upgrades it");
    assert!(fs::read(data.join("truth.sqlite3")).unwrap() == before);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 3, "nothing is left in the directory");
}

#[tokio::test]
async fn a_format_from_the_future_is_refused_with_a_clear_sentence() {
    let ground = tempfile::tempdir().unwrap();
    let data = ground.path().join("data");
    old_store(&data);
    let db = rusqlite::Connection::open(data.join("truth.sqlite3")).unwrap();
    db.execute("UPDATE schema_version SET version = 99", []).unwrap();
    drop(db);
    let sentence = "the data directory has format 99, and this server knows formats up to 4; use a newer server";
    sessile(["check".as_ref(), "--data".as_ref(), data.as_os_str()]).refused(sentence);
    let served =
        sessile(["serve".as_ref(), "--listen".as_ref(), "127.0.0.1:0".as_ref(), "--data".as_ref(), data.as_os_str()]);
    assert!(served.expect(1).stderr.contains(sentence));
}
