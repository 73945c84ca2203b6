//! A data directory into which somebody has put things: the server starts, touches
//! nothing that they lead to, and puts them where the operator finds them.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;

use crate::operators::store::check;
use crate::operators::store::everything;
use crate::operators::store::names;

/// A directory elsewhere, which nobody may touch.
fn elsewhere() -> tempfile::TempDir {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("witness"), "untouched").unwrap();
    fs::create_dir(elsewhere.path().join("modules")).unwrap();
    fs::write(elsewhere.path().join("modules/witness"), "untouched").unwrap();
    elsewhere
}

/// One of each, in the data directory and deeper, in place of ours where we can do without.
fn plant(data: &Path, elsewhere: &Path) {
    for name in ["tmp", "work"] {
        fs::remove_dir_all(data.join(name)).unwrap();
        symlink(elsewhere, data.join(name)).unwrap();
    }
    let index = data.join("truth.sqlite3-shm");
    if index.exists() {
        fs::remove_file(&index).unwrap();
    }
    symlink(elsewhere.join("witness"), index).unwrap();
    symlink("/", data.join("root")).unwrap();
    symlink(elsewhere.join("witness"), data.join("modules/link.wasm")).unwrap();
    fs::hard_link(elsewhere.join("witness"), data.join("artefacts/witness")).unwrap();
    for pipe in ["pipe", "modules/pipe", "artefacts/pipe"] {
        rustix::fs::mknodat(CWD, data.join(pipe), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    fs::write(data.join("notes\u{1b}[2J.txt"), "an operator's").unwrap();
    fs::create_dir(data.join("folder")).unwrap();
    fs::write(data.join("folder/inner"), "an operator's").unwrap();
}

#[tokio::test]
async fn b36_what_is_not_ours_is_quarantined_and_all_that_is_ours_is_there() {
    let mut server = TestServer::start().await;
    let session = server.new_session().with_file("kept", "committed").with_param("a", "1").await;
    let _ = session.new_job(guests::APPEND).args(["one"]).run().await.succeeded();
    let (mut before, elsewhere) = (session.snapshot().await, elsewhere());
    let untouched = everything(elsewhere.path());
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    plant(&server.data(), elsewhere.path());

    server.restart();
    let after = session.snapshot().await;
    assert_eq!((after.files, after.params), (before.files, before.params));
    let _ = session.new_job(guests::APPEND).args(["two"]).run().await.succeeded();
    before = session.snapshot().await;
    assert_eq!(everything(elsewhere.path()), untouched);
    let quarantine = server.data().join("quarantine");
    assert_eq!(names(&quarantine), ["1-data", "2-modules", "3-artefacts"]);
    let moved = ["folder", "notes\u{1b}[2J.txt", "pipe", "root", "tmp", "truth.sqlite3-shm", "work"];
    assert_eq!(names(&quarantine.join("1-data")), moved);
    assert_eq!(names(&quarantine.join("2-modules")), ["link.wasm", "pipe"]);
    assert_eq!(names(&quarantine.join("3-artefacts")), ["pipe", "witness"]);
    assert_eq!(fs::read(quarantine.join("1-data/folder/inner")).unwrap(), b"an operator's");
    assert!(quarantine.join("1-data/root").is_symlink());
    assert!(quarantine.join("2-modules/pipe").symlink_metadata().unwrap().file_type().is_fifo());
    let log = server.log();
    assert_eq!(log.matches("was put into quarantine").count(), moved.len() + 4, "{log}");
    assert!(log.contains("quarantine/1-data/root") && !log.contains("\u{1b}[2J"), "{log}");

    // The next start finds nothing, and the quarantine is nobody's business.
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let checked = check(&server.data()).expect(0);
    assert!(checked.lines[0].starts_with("sound: "), "{checked:?}");
    server.restart();
    assert!(!server.log().contains("quarantine"), "{}", server.log());
    assert_eq!(names(&quarantine), ["1-data", "2-modules", "3-artefacts"]);
    assert_eq!(session.snapshot().await.files, before.files);
    assert_eq!(everything(elsewhere.path()), untouched);
}

/// The operator is told what to do, and what leads elsewhere is not written to.
#[tokio::test]
async fn b36_a_start_on_a_database_that_leads_elsewhere_is_refused() {
    let mut server = TestServer::start().await;
    let session = server.new_session().with_file("kept", "committed").await;
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let (data, elsewhere) = (server.data(), elsewhere());
    for name in ["truth.sqlite3", "secret"] {
        let moved = elsewhere.path().join(name);
        fs::rename(data.join(name), &moved).unwrap();
        symlink(&moved, data.join(name)).unwrap();
        let before = everything(elsewhere.path());
        let called = sessile(["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]).expect(1);
        let told =
            format!("data/{name} is a link, so it cannot be trusted and is left as it is; put the file itself there");
        assert!(called.stderr.contains(&told), "{called:?}");
        check(&data).refused(&told);
        assert_eq!(everything(elsewhere.path()), before);
        fs::remove_file(data.join(name)).unwrap();
        fs::rename(moved, data.join(name)).unwrap();
    }
    server.restart();
    assert_eq!(session.text("kept").await, "committed");
}

/// Other verbs start the store too, and say on stderr what they have moved.
#[test]
fn b36_a_verb_that_moves_something_says_so() {
    let ground = tempfile::tempdir().unwrap();
    let data = ground.path().join("data");
    let of = ["--data".as_ref(), data.as_os_str()];
    let quiet = sessile(["tenant".as_ref(), "create".as_ref(), "acme".as_ref()].into_iter().chain(of)).expect(0);
    assert_eq!(quiet.stderr, "");
    fs::write(data.join("notes"), "an operator's").unwrap();
    let list = sessile(["tenant".as_ref(), "list".as_ref()].into_iter().chain(of)).expect(0);
    assert!(list.stderr.contains("/data/quarantine/1-data/notes"), "{list:?}");
    assert_eq!(fs::read(data.join("quarantine/1-data/notes")).unwrap(), b"an operator's");
}
