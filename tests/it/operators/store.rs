//! A store with something of everything in it, and words to handle its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use sessile_kit::Called;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;

/// Fills a server: files with pieces, holes and history, a fork, a session in an
/// explicit transaction, jobs that ended well and badly, a keyed session.
pub(super) async fn fill(server: &TestServer) {
    let letters = server.new_session().with_id("letters").with_param("lang", "de").await;
    letters.put_file("deep/er/lines.txt", lines()).await;
    letters.put_file("holes", vec![0; 200_000]).await;
    letters.put_file("deep/er/lines.txt", lines().replace("0001", "ABCD")).await;
    let _ = letters.new_job(guests::APPEND).args(["one"]).run().await.succeeded();
    let _ = letters.run(guests::WRITE_THEN_TRAP).await.failed("trap");
    let _ = letters.new_job(guests::REPORT).id("report").args(["[1, 2]"]).run().await.succeeded();
    let from = serde_json::json!({"session": "letters"});
    let _ = server.new_session().with_id("fork").with("from", from).await;
    let draft = server.new_session().with_id("draft").with("transaction", "explicit").await;
    draft.put_file("kept", "committed").await;
    let _ = server.post(&draft.path("/commit"), &serde_json::json!({})).await.expect(200);
    draft.put_file("kept", "not committed").await;
    draft.put_file("new", "not committed").await;
    let _ = server.new_session().with_id("keyed").with("keyed", true).answer().await.expect(201);
}

pub(super) fn lines() -> String {
    (0..10_000).map(|n| format!("line {n:08}\n")).collect()
}

pub(crate) fn check(data: &Path) -> Called {
    sessile(["check".as_ref(), "--data".as_ref(), data.as_os_str()])
}

pub(super) fn back_up(data: &Path, to: &Path) -> Called {
    sessile(["backup".as_ref(), "--data".as_ref(), data.as_os_str(), "--to".as_ref(), to.as_os_str()])
}

pub(super) fn restore(from: &Path, data: &Path) -> Called {
    sessile(["restore".as_ref(), "--from".as_ref(), from.as_os_str(), "--data".as_ref(), data.as_os_str()])
}

/// The names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn database(data: &Path) -> PathBuf {
    data.join("truth.sqlite3")
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Every file beneath a directory with its bytes.
pub(crate) fn everything(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
            found.insert(entry.path(), Vec::new());
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// The only file in a directory of the store.
pub(super) fn a_file(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.swap_remove(0)
}
