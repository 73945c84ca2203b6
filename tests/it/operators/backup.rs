//! A backup of a running server is one moment of it, and a server starts from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use serde_json::Value;
use sessile_kit::Client;
use sessile_kit::Settings;
use sessile_kit::Snapshot;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

use super::store;
use super::store::back_up;
use super::store::check;
use super::store::restore;

/// Clients that count in sessions of their own, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn start(server: &TestServer) -> Load {
        server.ready(guests::COUNTER_FILE).await;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for s in 0..4 {
            let session = server.another().new_session().with_id(&format!("load-{s}")).await;
            let (stop, answered) = (stop.clone(), answered.clone());
            clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let _ = session.run(guests::COUNTER_FILE).await.succeeded();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let load = Load { stop, answered, clients };
        load.goes_on().await;
        load
    }

    /// Waits until twenty more jobs have ended.
    async fn goes_on(&self) {
        let enough = self.answered.load(Ordering::Relaxed) + 20;
        until("the load goes on", || async { (self.answered.load(Ordering::Relaxed) >= enough).then_some(()) }).await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// All that was there before the load, and does not change with it.
async fn fixed(client: &Client) -> (Vec<Value>, Vec<Snapshot>) {
    let mut all = vec![client.list("/v1/modules").await.into()];
    let mut snapshots = Vec::new();
    for id in ["letters", "fork"] {
        let session = client.session(id);
        snapshots.push(session.snapshot().await);
        all.push(client.list(&session.path("/commits")).await.into());
        all.push(session.show().await);
    }
    all.push(client.get("/v1/jobs/report").await.expect(200).json());
    all.push(client.get("/v1/jobs/report/stdout").await.expect(200).text().into());
    (all, snapshots)
}

async fn restored_from(backup: &Path) -> TestServer {
    Settings::default()
        .start_on(|data| {
            let called = restore(backup, data).expect(0);
            assert!(called.lines[0].contains("; sound: looked at "), "{called:?}");
            let _ = check(data).expect(0);
        })
        .await
}

#[tokio::test]
async fn a_backup_of_a_running_server_restores_to_one_moment_of_it() {
    let server = TestServer::start().await;
    store::fill(&server).await;
    let alice = server.principal("alice", &["submit"]).await;
    let _ = alice.new_session().with_id("hers").with_param("a", "b").await;
    let busy = server.new_session().with_id("busy").await;
    let running = busy.hold().await;
    let queued = busy.new_job(guests::APPEND).args(["after"]).submit().await;
    server.ready(guests::COUNTER_FILE).await;
    let (shown, held) = fixed(&server).await;
    let load = Load::start(&server).await;

    let ground = tempfile::tempdir().unwrap();
    let file = ground.path().join("sessile.tar");
    let called = back_up(&server.data(), &file).expect(0);
    assert!(called.lines[0].starts_with(&format!("saved in {}; sound: looked at ", file.display())), "{called:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds a secret");
    assert_eq!(store::names(ground.path()), ["sessile.tar"]);
    load.goes_on().await;
    load.stop().await;

    let copy = restored_from(&file).await;
    assert_eq!(copy.dev_key(), server.dev_key());
    let (shown_now, held_now) = fixed(&copy).await;
    assert_eq!(shown_now, shown);
    assert!(held_now == held, "a file or a parameter differs");
    for s in 0..4 {
        let session = copy.session(&format!("load-{s}"));
        // A job that was under way in that moment runs again here, and this one comes after it.
        let _ = session.run(guests::COUNTER_FILE).await.succeeded();
        let count = session.text("counter").await;
        assert_eq!(session.param("counter").await, Some(count.clone()), "session {s} is of one moment");
        let original: u64 = server.session(session.id()).text("counter").await.parse().unwrap();
        assert!(count.parse::<u64>().unwrap() <= original + 1);
    }
    // The open transaction was undone, as a restart undoes it (R23).
    let draft = copy.session("draft");
    assert_eq!((draft.files().await, draft.text("kept").await), (vec!["kept".to_owned()], "committed".to_owned()));
    // What ran then is run again, and what waited for it still waits (R25).
    let again = copy.job(running.id()).await.until_running().await;
    assert_eq!(again.json["attempt"], 2);
    assert_eq!(copy.job(queued.id()).await.state(), "queued");
    again.end().await;
    let _ = copy.job(queued.id()).await.wait().await.succeeded();
    assert_eq!(copy.session("busy").text("log").await, "after\n");
    // The key of another principal is good at the copy too.
    let key = alice.request(reqwest::Method::GET, "/").build().unwrap();
    let key = key.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    assert_eq!(copy.with_key(Some(&key)).session("hers").param("a").await.as_deref(), Some("b"));
    running.end().await;
}

/// The newest key of a session is derived from the secret, which is in the backup.
#[tokio::test]
async fn r28_the_newest_session_key_is_good_after_a_restore() {
    let mut server = TestServer::start().await;
    let made = server.new_session().with_id("keyed").with("keyed", true).answer().await.expect(201).json();
    let key = made["session_key"].as_str().unwrap();
    server.kill9();
    let ground = tempfile::tempdir().unwrap();
    let _ = back_up(&server.data(), &ground.path().join("b")).expect(0);
    let copy = restored_from(&ground.path().join("b")).await;
    let put = |key: &str| {
        copy.request(reqwest::Method::PUT, "/v1/sessions/keyed/params/a").header("session-key", key).body("b")
    };
    let _ = copy.send(put("wrong")).await.refused(409, "session-key-mismatch");
    let _ = copy.send(put(key)).await.good();
}

/// A module's bytes may go between the snapshot and the copy of its bytes.
#[tokio::test]
async fn a_backup_is_complete_while_modules_come_and_go() {
    let server = TestServer::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (client, told) = (server.another(), stop.clone());
    let churn = tokio::spawn(async move {
        while !told.load(Ordering::Relaxed) {
            for n in 0..8 {
                let wasm =
                    format!("(module (func (export \"_start\") i32.const {n} drop) (memory (export \"memory\") 1))");
                let _ = client.upload(&format!("m{n}"), wat::parse_str(wasm).unwrap()).await.good();
            }
            for n in 0..8 {
                let _ = client.delete(&format!("/v1/modules/m{n}")).await.good();
            }
        }
    });
    let ground = tempfile::tempdir().unwrap();
    for n in 0..10 {
        let (file, data) = (ground.path().join(format!("b{n}")), ground.path().join(format!("d{n}")));
        let _ = back_up(&server.data(), &file).expect(0);
        let _ = restore(&file, &data).expect(0);
    }
    stop.store(true, Ordering::Relaxed);
    churn.await.unwrap();
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_leaves_nothing() {
    let mut server = TestServer::start().await;
    store::fill(&server).await;
    server.kill9();
    let data = server.data();
    let ground = tempfile::tempdir().unwrap();
    let file = ground.path().join("b");

    fs::write(&file, "precious").unwrap();
    back_up(&data, &file).refused("is there already, and nothing is overwritten");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    fs::remove_file(&file).unwrap();

    back_up(&ground.path().join("nowhere"), &file).refused("there is no data directory");
    back_up(ground.path(), &file).refused("there is no database in");
    back_up(&data, &ground.path().join("no/b")).refused("find the directory in which the result is to be");

    let module = store::a_file(&data.join("modules"));
    fs::rename(&module, data.join("aside")).unwrap();
    back_up(&data, &file).refused("are missing; see what `sessile check` says");
    fs::rename(data.join("aside"), &module).unwrap();

    let db = Connection::open(store::database(&data)).unwrap();
    db.execute("UPDATE session SET used_files = 77 WHERE id = 'letters'", []).unwrap();
    let called = back_up(&data, &file).expect(1);
    assert!(called.lines[0].contains("session letters of dev/dev"), "{called:?}");
    assert_eq!(store::names(ground.path()), Vec::<String>::new());
}
