//! B15, B16, B18: what a job leaves behind is hostile. It is counted, shown, copied
//! and deleted, and nothing of ours follows it, waits for it or gives up on it.

use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

/// Waits until nothing is known of the session any more.
async fn until_gone(server: &TestServer, session: &Session) {
    let _ = server.delete(&session.path("")).await.good();
    let what = format!("session {} is gone", session.id());
    until(&what, || async { (server.get(&session.path("")).await.status == 404).then_some(()) }).await;
}

/// How many directories the server works in for its jobs.
fn working_copies(server: &TestServer) -> usize {
    let log = server.log();
    let place = log.split("path=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    std::fs::read_dir(place).unwrap().count()
}

#[tokio::test]
async fn b15_an_odd_tree_is_kept_and_shown_and_copied_as_it_is() {
    let server = TestServer::start().await;
    for dress in guests::ODD_TREE.dresses() {
        let session = server.new_session().await;
        let told = session.run(dress.clone()).await.succeeded().stdout().await;
        let left: usize = told.trim().parse().unwrap();
        let entries = session.entries().await;
        assert_eq!(entries.len(), left, "{}", dress.name);
        // A look over HTTP shows no more of a link than that it is one.
        for (path, kind) in entries.iter().filter(|(_, kind)| kind == "link").take(20) {
            let answer = server.get(&session.path(&format!("/files/{path}"))).await;
            assert!(answer.status < 500, "{path}, a {kind}: {answer:?}");
            assert_ne!(answer.text(), "end", "{path} was followed");
        }
        assert_eq!(session.file("hole").await.unwrap().len(), (20 << 20) + 9);
        // The same in a fork, and for a job in a copy that is made anew.
        let fork = server.new_session().with("from", serde_json::json!({"session": session.id()})).await;
        assert_eq!(fork.entries().await, entries);
        let seen = fork.run(guests::LIST_ROOT).await;
        // It stops at a loop of links, which is its own affair.
        assert!(seen.has_ended());
        assert_eq!(fork.entries().await, entries);
    }
}

#[tokio::test]
async fn b18_a_session_is_deleted_whatever_tree_is_in_it() {
    let server = TestServer::start().await;
    for dress in guests::ODD_TREE.dresses() {
        let before = working_copies(&server);
        let session = server.new_session().await;
        let _ = session.run(dress.clone()).await.succeeded();
        until_gone(&server, &session).await;
        // One whose job has built it and failed, and one whose job still runs in it.
        let session = server.new_session().with_file("a", "a").await;
        let _ = session.new_job(dress).args(["trap"]).run().await.failed("trap");
        assert_eq!(session.files().await, ["a"]);
        let _ = session.hold().await;
        until_gone(&server, &session).await;
        until("the working copies are gone", || async { (working_copies(&server) <= before + 1).then_some(()) }).await;
    }
    assert!(!server.log().contains("could not be deleted"), "{}", server.log());
}

/// Runs a script in a session of 1,000,000 bytes and 20 entries, and demands its answers.
async fn check_script(script: &[(&str, &str)]) {
    let server = TestServer::start().await;
    let lines: Vec<&str> = script.iter().map(|(line, _)| *line).collect();
    for dress in guests::FS_SCRIPT.dresses() {
        let limits = serde_json::json!({"bytes": 1_000_000, "files": 20});
        let session = server.new_session().with("limits", limits).await;
        let job = session.new_job(dress.clone()).stdin(&lines.join("\n")).run().await.succeeded();
        let told = job.lines().await;
        for ((line, expected), answer) in script.iter().zip(&told) {
            // The library of a component has one word for every failed write.
            let answer = if answer.contains("I/O error") { "ENOSPC" } else { answer };
            assert_eq!(answer, *expected, "{}: {line}", dress.name);
        }
        assert_eq!(told.len(), script.len());
        let shown = session.show().await;
        assert!(shown["bytes"].as_u64().unwrap() <= 1_000_000, "{shown:#}");
    }
}

#[tokio::test]
async fn b16_removed_files_count_while_they_are_open() {
    check_script(&[
        ("open 0 /a rwc", "ok"),
        ("write 0 0 600000 1", "ok"),
        ("unlink /a", "ok"),
        ("open 1 /b rwc", "ok"),
        ("write 1 0 600000 1", "ENOSPC"),
        ("close 0", "ok"),
        ("write 1 0 600000 1", "ok"),
    ])
    .await;
}

#[tokio::test]
async fn b16_holes_count_by_what_they_seem_to_hold() {
    check_script(&[
        ("open 0 /a rwc", "ok"),
        ("resize 0 1000001", "ENOSPC"),
        ("write 0 1000000 1 1", "ENOSPC"),
        ("write 0 999999 1 1", "ok"),
        ("put /b 1 1", "ENOSPC"),
    ])
    .await;
}

#[tokio::test]
async fn b16_a_rename_over_a_file_frees_it_and_a_second_name_is_not_to_be_had() {
    check_script(&[
        ("put /a 500000 1", "ok"),
        ("put /b 500000 2", "ok"),
        ("link /a /c", "ENOTSUP"),
        ("rename /a /b", "ok"),
        ("put /a 500001 1", "ENOSPC"),
        ("put /a 500000 1", "ok"),
        ("rename /a /b", "ok"),
        ("put /a 500000 1", "ok"),
    ])
    .await;
}

#[tokio::test]
async fn b16_empty_files_folders_and_links_count_by_their_number() {
    let names: Vec<String> =
        (0..6).flat_map(|n| [format!("put /f{n} 0 1"), format!("mkdir /d{n}"), format!("symlink f0 /l{n}")]).collect();
    let mut script: Vec<(&str, &str)> = names.iter().map(|line| (line.as_str(), "ok")).collect();
    script.extend([("mkdir /x", "ok"), ("mkdir /y", "ok"), ("mkdir /z", "ENOSPC"), ("put /z 0 1", "ENOSPC")]);
    script.extend([("symlink f0 /z", "ENOSPC"), ("rmdir /y", "ok"), ("mkdir /z", "ok")]);
    check_script(&script).await;
}
