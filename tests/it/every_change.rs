//! R22, kind by kind: every way in which a file system can change is kept when
//! the job succeeds and undone when it does not, on both surfaces.

use std::collections::BTreeMap;

use sessile_kit::Session;
use sessile_kit::Snapshot;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// What the guest `change_everything` expects to find.
const BEFORE: &[(&str, &str)] = &[
    ("replaced.txt", "a longer text than the one that replaces it"),
    ("appended.txt", "some"),
    ("cut.txt", "0123456789"),
    ("grown.txt", "0123"),
    ("patched.txt", "abcdefghij"),
    ("old-name.txt", "renamed"),
    ("over.txt", "over"),
    ("under.txt", "under"),
    ("tree/leaf.txt", "leaf"),
    ("tree/branch/leaf.txt", "leaf of a branch"),
    ("removed.txt", "removed"),
    ("doomed/inside.txt", "doomed"),
    ("forest/a/b/c.txt", "c"),
    ("forest/d.txt", "d"),
    ("again.txt", "there"),
    ("untouched.txt", "untouched"),
];

/// What it leaves.
const AFTER: &[(&str, &str)] = &[
    ("created.txt", "new"),
    ("replaced.txt", "replaced"),
    ("appended.txt", "some, and more"),
    ("cut.txt", "0123"),
    ("grown.txt", "0123\0\0\0\0"),
    ("patched.txt", "abcXYZghij\0\0!"),
    ("after.txt", "written after the rename"),
    ("made/of/folders/leaf.txt", "leaf"),
    ("new-name.txt", "renamed"),
    ("under.txt", "over"),
    ("moved/leaf.txt", "leaf"),
    ("moved/branch/leaf.txt", "leaf of a branch"),
    ("again.txt", "back"),
    ("untouched.txt", "untouched"),
];

const FOLDERS_AFTER: &[&str] = &["empty", "made", "made/of", "made/of/folders", "moved", "moved/branch"];

fn contents(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

async fn prepared(server: &TestServer, files: &[(&str, &str)]) -> Session {
    let session = files.iter().fold(server.new_session(), |session, (path, content)| session.with_file(path, content));
    session.await
}

#[tokio::test]
async fn r22_every_kind_of_change_is_kept() {
    let server = TestServer::start().await;
    for dress in guests::CHANGE_EVERYTHING.dresses() {
        let session = prepared(&server, BEFORE).await;
        let _ = session.run(dress.clone()).await.succeeded();

        let Snapshot { files, folders, .. } = session.snapshot().await;
        assert_eq!(files, contents(AFTER), "{}", dress.name);
        assert_eq!(folders, FOLDERS_AFTER, "{}", dress.name);
    }
}

#[tokio::test]
async fn r22_every_kind_of_change_is_undone() {
    let server = TestServer::start().await;
    for dress in guests::CHANGE_EVERYTHING.dresses() {
        let session = prepared(&server, BEFORE).await;
        let before = session.snapshot().await;
        let _ = session.new_job(dress.clone()).args(["trap"]).run().await.failed("trap");
        assert_eq!(session.snapshot().await, before, "{}", dress.name);

        // The working copy was put back too, not only what is shown: the same job finds what it needs.
        let _ = session.run(dress.clone()).await.succeeded();
        assert_eq!(session.snapshot().await.files, contents(AFTER), "{}", dress.name);
    }
}

#[tokio::test]
async fn r22_every_kind_of_change_outlives_a_kill() {
    let mut server = TestServer::start().await;
    let mut sessions = Vec::new();
    for dress in guests::CHANGE_EVERYTHING.dresses() {
        let session = prepared(&server, BEFORE).await;
        let _ = session.run(dress.clone()).await.succeeded();
        sessions.push(session);
    }

    server.kill9();
    server.restart();

    for session in sessions {
        assert_eq!(session.snapshot().await.files, contents(AFTER));
        // A job sees the same as a reader: the working copy was made anew from the truth.
        let told = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
        let listed = told.lines().filter(|line| line.starts_with('/')).count();
        assert_eq!(listed, AFTER.len() + FOLDERS_AFTER.len(), "{told}");
    }
}

#[tokio::test]
async fn r22_moved_descriptors_do_not_hide_a_change() {
    let server = TestServer::start().await;
    let files = [("first.txt", "first file"), ("second.txt", "second file")];
    let session = prepared(&server, &files).await;
    let before = session.snapshot().await;

    let _ = session.new_job(guests::P1_DESCRIPTORS).args(["trap"]).run().await.failed("trap");
    assert_eq!(session.snapshot().await, before);

    let _ = session.run(guests::P1_DESCRIPTORS).await.succeeded();
    let after = [("first.txt", "first file"), ("second.txt", "throughfile"), ("right/moved.txt", "")];
    assert_eq!(session.snapshot().await.files, contents(&after));
}
