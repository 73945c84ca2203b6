//! `sessile check` finds each kind of damage by name, and nothing in a sound store.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

use super::store;
use super::store::check;
use super::store::database;

/// Something that is wrong, and a part of the sentence about it.
type Damage = (&'static str, fn(&Path));

fn sql(data: &Path, statements: &str) {
    let db = Connection::open(database(data)).unwrap();
    db.execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
}

/// Changes one byte of a file, where `needle` is in it.
fn flip(file: &Path, needle: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap_or_else(|| panic!("not in {}", file.display()));
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

const DAMAGES: &[Damage] = &[
    ("of deep/er/lines.txt in session letters of dev/dev", |data| flip(&database(data), b"line 000050")),
    ("has other bytes than were written", |data| flip(&database(data), b"line 000050")),
    ("the database file is damaged", |data| {
        let file = fs::File::options().write(true).open(database(data)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }),
    ("the database file is damaged", |data| fs::write(database(data), [7; 10_000]).unwrap()),
    ("is missing", |data| sql(data, "DELETE FROM blob WHERE id = (SELECT max(id) FROM blob)")),
    ("no file needs it", |data| sql(data, "INSERT INTO blob (bytes) VALUES (x'00')")),
    ("times and counted", |data| sql(data, "DELETE FROM shared_blob")),
    ("its count of bytes or files is wrong", |data| sql(data, "DELETE FROM node WHERE path = 'holes'")),
    ("it is gone, and its pieces are not", |data| sql(data, "DELETE FROM node WHERE path = 'holes'")),
    ("it lies in no directory", |data| sql(data, "DELETE FROM node WHERE path = 'deep/er'")),
    ("its pieces do not make up", |data| sql(data, "UPDATE chunk SET idx = 7 WHERE idx = 1 AND until = 0")),
    ("its pieces do not make up", |data| sql(data, "DELETE FROM chunk WHERE until > 0")),
    ("its count of bytes or files is wrong", |data| sql(data, "UPDATE session SET used_bytes = used_bytes + 1")),
    ("its count of stored bytes is wrong", |data| sql(data, "UPDATE session SET stored_bytes = 1 WHERE id = 'fork'")),
    ("its count of sessions or of their stored bytes", |data| sql(data, "UPDATE tenant SET sessions = 9")),
    ("its count of sessions or of their stored bytes", |data| sql(data, "UPDATE tenant SET stored_bytes = 9")),
    ("its count of modules or of their bytes", |data| sql(data, "UPDATE tenant SET module_bytes = 9")),
    ("`weight` of a quota is 0, and must be", |data| {
        sql(data, "INSERT INTO tenant_quota (tenant, name, value) VALUES ('dev', 'weight', 0)");
    }),
    ("quota weight of gone: its tenant is gone", |data| {
        sql(data, "INSERT INTO tenant_quota (tenant, name, value) VALUES ('gone', 'weight', 2)");
    }),
    ("its count of bytes of earlier commits", |data| sql(data, "UPDATE session SET past_bytes = past_bytes + 1")),
    ("as of its last commit is wrong", |data| sql(data, "UPDATE session SET kept_files = kept_files + 1")),
    ("does not hold what is on record", |data| sql(data, "UPDATE session_commit SET files = 99 WHERE number = 2")),
    ("its commits are not all on record", |data| sql(data, "DELETE FROM session_commit WHERE number = 1")),
    ("something in it belongs to no commit", |data| sql(data, "UPDATE param SET since = 99")),
    ("is older than all commits", |data| sql(data, "UPDATE session SET oldest = version")),
    ("it is gone, and something of it is not", |data| sql(data, "DELETE FROM session WHERE id = 'fork'")),
    ("in session fork of dev/dev (2): its record contradicts", |data| {
        sql(data, "UPDATE session SET next_file = 1 WHERE id = 'fork'")
    }),
    ("its tenant is gone", |data| sql(data, "DELETE FROM tenant")),
    ("its number may be given again", |data| sql(data, "DELETE FROM sqlite_sequence")),
    ("the number of one of its versions", |data| sql(data, "UPDATE module SET next_version = 1")),
    ("job report of dev/dev: its record contradicts", |data| sql(data, "UPDATE job SET ended_at = NULL")),
    ("a row of table job_output", |data| sql(data, "DELETE FROM job WHERE id = 'report'")),
    ("a session key that its session has not", |data| {
        sql(
            data,
            "UPDATE session SET key_number = 0 WHERE id = 'keyed';
                   UPDATE job SET key_session = (SELECT key FROM session WHERE id = 'keyed'), key_handed = 9",
        );
    }),
    ("lacks index node_link", |data| sql(data, "DROP INDEX node_link")),
    ("has trigger t", |data| sql(data, "CREATE TRIGGER t AFTER INSERT ON job BEGIN DELETE FROM session; END")),
    ("cannot be read", |data| sql(data, "UPDATE chunk SET hash = x'00'")),
    ("the bytes of module sha256:", |data| fs::remove_file(store::a_file(&data.join("modules"))).unwrap()),
    ("are not those that were uploaded", |data| flip(&store::a_file(&data.join("modules")), b"asm")),
    ("another size", |data| sql(data, "UPDATE module_version SET size_bytes = size_bytes + 1")),
    ("is not what was written; delete", |data| flip(&store::a_file(&data.join("artefacts")), b"ELF")),
    ("the secret is missing", |data| fs::remove_file(data.join("secret")).unwrap()),
    ("the secret is not a file of 32 bytes", |data| fs::write(data.join("secret"), "short").unwrap()),
    ("can be read by others", |data| {
        fs::set_permissions(data.join("secret"), Permissions::from_mode(0o644)).unwrap();
    }),
    ("/tmp\" is a file; the next start puts it into quarantine", |data| {
        fs::remove_dir(data.join("tmp")).unwrap();
        fs::write(data.join("tmp"), "").unwrap();
    }),
];

#[tokio::test]
async fn a_server_that_stops_leaves_no_log_behind() {
    let mut server = TestServer::start().await;
    let _ = server.new_session().with_file("f", "x").await;
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let log = server.data().join("truth.sqlite3-wal");
    assert_eq!(std::fs::metadata(&log).map_or(0, |found| found.len()), 0);
}

#[tokio::test]
async fn each_kind_of_damage_has_a_name() {
    let mut server = TestServer::start().await;
    store::fill(&server).await;
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    // So that the pages are where a byte is flipped, and not in the log.
    sql(&server.data(), "PRAGMA wal_checkpoint(TRUNCATE)");
    let sound = check(&server.data()).expect(0);
    assert_eq!(sound.lines.len(), 1, "{sound:?}");
    assert!(sound.lines[0].starts_with("sound: looked at 1 tenants, 4 sessions with "), "{sound:?}");

    let ground = tempfile::tempdir().unwrap();
    let mut missed = Vec::new();
    for (n, (sentence, damage)) in DAMAGES.iter().enumerate() {
        let data = ground.path().join(n.to_string());
        store::copy(&server.data(), &data);
        damage(&data);
        let called = check(&data);
        let counted = called.lines.last().is_some_and(|line| line.contains(" fault"));
        let named = called.lines.iter().any(|line| line.contains(sentence));
        if called.code != Some(1) || !counted || !named {
            missed.push((sentence, called));
        }
        fs::remove_dir_all(data).unwrap();
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// What a start throws away or makes again is no fault.
#[tokio::test]
async fn what_can_be_spared_is_no_fault() {
    let mut server = TestServer::start().await;
    store::fill(&server).await;
    server.kill9();
    let data = server.data();
    fs::remove_dir_all(data.join("artefacts")).unwrap();
    fs::write(data.join("tmp/left-over"), "half of something").unwrap();
    fs::create_dir(data.join("work/copy")).unwrap();
    let _ = check(&data).expect(0);
    fs::remove_dir_all(data.join("work")).unwrap();
    fs::remove_dir_all(data.join("tmp")).unwrap();
    let _ = check(&data).expect(0);
    server.restart();
    let _ = server.session("letters").new_job(guests::APPEND).args(["two"]).run().await.succeeded();
}

#[tokio::test]
async fn a_store_is_sound_after_kills_and_a_check_changes_no_byte_of_it() {
    let mut server = TestServer::start().await;
    for s in 0..4 {
        let _ = server.new_session().with_id(&format!("s{s}")).await;
    }
    server.ready(guests::COUNTER_FILE).await;
    let answered = Arc::new(AtomicUsize::new(0));
    for round in 1..=3 {
        let load = (0..4).map(|s| {
            let (client, answered) = (server.another(), answered.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let session = client.session(&format!("s{s}"));
                    let trap = if n % 5 == 4 { &["trap"][..] } else { &[] };
                    let job = session.new_job(guests::COUNTER_FILE).args(trap).try_answer().await;
                    let file = session.path(&format!("/files/f{}", n % 7));
                    let file = client.request(reqwest::Method::PUT, &file).body(vec![n as u8; 70_000]);
                    if job.is_err() || client.try_send(file).await.is_err() {
                        return;
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let load: Vec<_> = load.collect();
        until("enough is answered", || async { (answered.load(Ordering::Relaxed) >= round * 40).then_some(()) }).await;
        server.kill9();
        for client in load {
            client.await.unwrap();
        }
        let log = database(&server.data()).with_extension("sqlite3-wal");
        assert!(fs::metadata(log).unwrap().len() > 0, "the last commits are in the log only");
        let before = store::everything(&server.data());
        let called = check(&server.data()).expect(0);
        assert!(called.lines[0].contains(" 4 sessions "), "{called:?}");
        assert!(store::everything(&server.data()) == before, "a check has changed something");
        server.restart();
    }
}

/// What is only in the log is looked at too.
#[tokio::test]
async fn damage_that_is_in_the_log_is_found() {
    let mut server = TestServer::start().await;
    store::fill(&server).await;
    server.kill9();
    let data = server.data();
    let name = |suffix: &str| data.join(format!("truth.sqlite3{suffix}"));
    // As a power cut leaves it: nobody closes this connection.
    let db = Connection::open(name("")).unwrap();
    db.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE session SET used_files = 77 WHERE id = 'letters'").unwrap();
    let called = check(&data).expect(1);
    assert!(called.lines[0].contains("session letters of dev/dev"), "{called:?}");
    assert!(called.lines[0].contains("its count of bytes or files is wrong"), "{called:?}");
    drop(db);
}

#[tokio::test]
async fn what_cannot_be_checked_is_said() {
    let server = TestServer::start().await;
    check(&server.data()).refused("another server is using the data directory");
    let ground = tempfile::tempdir().unwrap();
    check(&ground.path().join("nowhere")).refused("there is no data directory");
    check(ground.path()).refused("there is no database in ");
    assert_eq!(fs::read_dir(ground.path()).unwrap().count(), 0, "nothing is made");
}
