//! `/v1/sessions/{id}/archive`: a session's whole directory as one tar, there and
//! back.

use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use tar::EntryType;
use tar::Header;

/// A tar of files, as programs make it.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A good file, then an entry of that kind, then another good file.
fn tar_with(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(tar_of(&[("good", b"1")])[..1_024].to_vec());
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_link_name_literal(target).unwrap();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mtime(0);
    header.set_cksum();
    tar.append(&header, std::io::empty()).unwrap();
    tar.append_data(&mut Header::new_gnu(), "later", std::io::empty()).unwrap();
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// What lies in a tar: paths with kinds, and bytes or a target.
fn told(tar: &[u8]) -> Vec<(String, EntryType, Vec<u8>)> {
    let mut tar = tar::Archive::new(tar);
    let told = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = entry.link_name_bytes().map(|target| target.to_vec()).unwrap_or_default();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().entry_type(), bytes)
    });
    told.collect()
}

async fn ask(client: &Client, method: Method, session: &Session, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let request = client.request(method, &session.path("/archive"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    client.send(request.body(body)).await
}

async fn get(client: &Client, session: &Session) -> Answer {
    client.get(&session.path("/archive")).await.expect(200)
}

async fn put(client: &Client, session: &Session, tar: Vec<u8>) -> Answer {
    client.put(&session.path("/archive"), tar).await
}

async fn changes(server: &TestServer, session: &Session, number: u64) -> Vec<String> {
    let commit = server.get(&session.path(&format!("/commits/{number}"))).await.expect(200).json();
    let word = |file: &Value, name: &str| file[name].as_str().unwrap().to_owned();
    let files = commit["changes"]["files"].as_array().unwrap().iter();
    files.map(|file| format!("{} {}", word(file, "change"), word(file, "path"))).collect()
}

#[tokio::test]
async fn a_session_is_fetched_as_a_tar_and_put_into_another() {
    let server = TestServer::start().await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let deep = ["x".repeat(200), "ü".repeat(100)].join("/");
    let session = server.new_session().with_file("a/b.txt", "12").with_file("large", &large).with_file(&deep, "3");
    let session = session.await;
    let fetched = get(&server, &session).await;
    assert_eq!(fetched.header("content-type"), Some("application/x-tar"));
    assert_eq!(fetched.header("session-commit"), Some("3"));
    assert_eq!(fetched.header("session-id"), Some(session.id()));
    let found = told(&fetched.body);
    let names: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
    let (above, below) = (format!("{}/", "x".repeat(200)), deep.as_str());
    assert_eq!(names, ["a/", "a/b.txt", "large", &above, below]);
    assert_eq!((&found[2].2, &found[4].2[..]), (&large, &b"3"[..]));

    let other = server.new_session().with_file("gone", "x").await;
    let answer = put(&server, &other, fetched.body.clone()).await.expect(204);
    assert_eq!((answer.header("session-commit"), answer.header("session-id")), (Some("2"), Some(other.id())));
    assert_eq!(other.snapshot().await, session.snapshot().await);
    let again = get(&server, &other).await;
    assert!(again.body == fetched.body, "times and all");
    assert_eq!(again.header("etag"), answer.header("etag"));
    assert_eq!(other.show().await["files"], 5);
    let listed = other.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert!(listed.contains("/a/b.txt") && !listed.contains("/gone"), "{listed}");
}

#[tokio::test]
async fn links_and_empty_directories_travel_too() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    for (name, kind, target) in [
        ("./", EntryType::Directory, ""),
        ("./empty", EntryType::Directory, ""),
        ("./d/to", EntryType::Symlink, "../empty"),
    ] {
        header.set_entry_type(kind);
        header.set_path(name).unwrap();
        header.set_link_name_literal(target).unwrap();
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
    }
    let _ = put(&server, &session, tar.into_inner().unwrap()).await.expect(204);
    let kinds = [("d", "directory"), ("d/to", "link"), ("empty", "directory")];
    assert_eq!(session.entries().await, kinds.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
    let found = told(&get(&server, &session).await.body);
    assert_eq!(found[1], ("d/to".to_owned(), EntryType::Symlink, b"../empty".to_vec()));
    // The system's own tar reads it, too, where there is one.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.tar"), &get(&server, &session).await.body).unwrap();
    let unpacked = std::process::Command::new("tar").args(["-xf", "s.tar"]).current_dir(folder.path()).status();
    if unpacked.is_ok_and(|status| status.success()) {
        assert_eq!(std::fs::read_link(folder.path().join("d/to")).unwrap(), Path::new("../empty"));
    }
}

#[tokio::test]
async fn gzip_is_taken_and_given_to_who_asks_for_it() {
    let server = TestServer::start().await;
    let tar = tar_of(&[("a", &[7; 200_000]), ("d/b", b"2")]);
    for (header, value) in
        [("content-encoding", "gzip"), ("content-encoding", "X-GZIP"), ("content-type", "application/gzip")]
    {
        let session = server.new_session().await;
        let _ = ask(&server, Method::PUT, &session, &[(header, value)], gzip(&tar)).await.expect(204);
        assert_eq!(session.file("a").await, Some(vec![7; 200_000]), "{header}: {value}");
    }
    let session = server.new_session().await;
    let _ = ask(&server, Method::PUT, &session, &[("content-encoding", "identity")], tar.clone()).await.expect(204);
    let detail = ask(&server, Method::PUT, &session, &[("content-encoding", "br")], tar.clone()).await;
    let detail = detail.refused(415, "unsupported-media-type");
    assert!(detail.contains("`Content-Encoding: br`") && detail.contains("gzip"), "{detail}");
    let detail = put(&server, &session, gzip(&tar)).await.refused(400, "invalid-request");
    assert!(detail.contains("`Content-Encoding: gzip`"), "{detail}");

    let plain = get(&server, &session).await;
    assert_eq!((plain.header("vary"), plain.header("content-encoding")), (Some("accept-encoding"), None));
    let wanted = [("accept-encoding", "br;q=1, gzip;q=0.8")];
    let packed = ask(&server, Method::GET, &session, &wanted, Vec::new()).await.expect(200);
    assert_eq!((packed.header("vary"), packed.header("content-encoding")), (Some("accept-encoding"), Some("gzip")));
    assert_ne!(packed.header("etag"), plain.header("etag"));
    assert!(packed.body.len() < 2_000);
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain.body);
    let again = ask(&server, Method::GET, &session, &wanted, Vec::new()).await.expect(200);
    assert!(again.body == packed.body);
    let unwanted = [("accept-encoding", "gzip;q=0")];
    assert_eq!(ask(&server, Method::GET, &session, &unwanted, Vec::new()).await.header("content-encoding"), None);
}

#[tokio::test]
async fn the_same_commit_is_the_same_bytes_under_one_etag() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a", "1").await;
    let first = get(&server, &session).await;
    let etag = first.header("etag").unwrap().to_owned();
    session.put_file("a", "22").await;
    let second = get(&server, &session).await;
    assert_ne!(second.header("etag"), Some(etag.as_str()));
    let then = server.get(&session.path("/archive?commit=1")).await.expect(200);
    assert!(then.body == first.body);
    assert_eq!((then.header("etag"), then.header("session-commit")), (Some(etag.as_str()), Some("1")));
    let gone = server.get(&session.path("/archive?commit=9")).await.refused(404, "not-found");
    assert!(gone.contains("commit 9"), "{gone}");

    let known = [("if-none-match", second.header("etag").unwrap())];
    let unchanged = ask(&server, Method::GET, &session, &known, Vec::new()).await.expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header("etag"), second.header("etag"));
    let stale = [("if-none-match", etag.as_str())];
    let _ = ask(&server, Method::GET, &session, &stale, Vec::new()).await.expect(200);
    let _ = ask(&server, Method::GET, &session, &[("if-match", &etag)], Vec::new()).await.expect(412);

    let head = ask(&server, Method::HEAD, &session, &[], Vec::new()).await.expect(200);
    assert!(head.body.is_empty());
    for name in ["etag", "content-type", "content-length", "session-commit", "vary"] {
        assert_eq!(head.header(name), second.header(name), "{name}");
    }
    let head = ask(&server, Method::HEAD, &session, &[("accept-encoding", "gzip")], Vec::new()).await.expect(200);
    assert_eq!((head.header("content-encoding"), head.header("content-length")), (Some("gzip"), None));
    let part = ask(&server, Method::GET, &session, &[("range", "bytes=257-261")], Vec::new()).await.expect(206);
    assert_eq!(part.body, b"ustar");
}

#[tokio::test]
async fn an_etag_guards_a_put() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a", "1").await;
    let etag = get(&server, &session).await.header("etag").unwrap().to_owned();
    let tar = tar_of(&[("b", b"2")]);
    for lost in [("if-match", "\"other\""), ("if-none-match", &etag), ("if-none-match", "*")] {
        let _ = ask(&server, Method::PUT, &session, &[lost], tar.clone()).await.refused(412, "precondition-failed");
    }
    let _ = ask(&server, Method::PUT, &session, &[("if-match", &etag)], tar.clone()).await.expect(204);
    let _ = ask(&server, Method::PUT, &session, &[("if-match", &etag)], tar.clone()).await.expect(412);
    assert_eq!(session.files().await, ["b"]);
    let _ = ask(&server, Method::PUT, &session, &[("content-range", "bytes 0-9/20")], tar).await.expect(400);
}

#[tokio::test]
async fn b15_a_bad_archive_names_the_entry_and_changes_nothing() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("old", "1").await;
    let before = (session.snapshot().await, session.show().await["commit"].clone());
    let good = tar_of(&[("a", &[1; 3_000]), ("b", &[2; 3_000])]);
    for (tar, words) in [
        (tar_with(EntryType::Regular, "../out", ""), "`../out`"),
        (tar_with(EntryType::Regular, "/etc/passwd", ""), "`/etc/passwd`"),
        (tar_with(EntryType::Symlink, "l", "/etc/passwd"), "`/etc/passwd`"),
        (tar_with(EntryType::Symlink, "l", "../../x"), "`../../x`"),
        (tar_with(EntryType::Link, "hard", "good"), "`hard` is a hard link"),
        (tar_with(EntryType::Block, "disk", ""), "`disk`"),
        (tar_with(EntryType::Fifo, "pipe", ""), "`pipe`"),
        (tar_with(EntryType::GNUSparse, "holes", ""), "`holes`"),
        (tar_with(EntryType::Regular, "good", ""), "`good` is there twice"),
        (tar_with(EntryType::Regular, "good/below", ""), "`good/below`"),
        (tar_with(EntryType::Regular, "", ""), "no name"),
        (good[..1_000].to_vec(), "`a`"),
        (good[..good.len() - 1_024].to_vec(), "cut off"),
        ([good.clone(), good.clone()].concat(), "behind its end"),
        (Vec::new(), "cut off"),
        (b"{\"not\": \"a tar\"}".repeat(100), "its beginning"),
    ] {
        let detail = put(&server, &session, tar).await.refused(400, "invalid-request");
        assert!(detail.contains(words), "no {words} in: {detail}");
        assert!(detail.len() < 1_000, "{detail}");
    }
    let gzip_header = [("content-encoding", "gzip")];
    for bytes in [good.clone(), gzip(&good)[..50].to_vec(), Vec::new()] {
        let _ = ask(&server, Method::PUT, &session, &gzip_header, bytes).await.refused(400, "invalid-request");
    }
    assert_eq!((session.snapshot().await, session.show().await["commit"].clone()), before);
}

#[tokio::test]
async fn a_session_s_limits_hold_for_archives_and_what_unfolds() {
    let server = TestServer::start().await;
    let limits = json!({"bytes": 10_000, "files": 5});
    let session = server.new_session().with("limits", limits).with_file("old", "1").await;
    let _ = put(&server, &session, tar_of(&[("a", &[0; 10_001])])).await.refused(507, "storage-full");
    let many = ["a", "b", "c", "d", "e/f"].map(|name| (name, &b""[..]));
    let _ = put(&server, &session, tar_of(&many)).await.refused(507, "storage-full");
    let _ = put(&server, &session, vec![0; 2 << 20]).await.refused(413, "payload-too-large");
    let coding = [("content-encoding", "gzip")];
    let bomb = gzip(&tar_of(&[("a", &vec![0; 50 << 20])]));
    assert!(bomb.len() < 100_000);
    let _ = ask(&server, Method::PUT, &session, &coding, bomb).await.refused(507, "storage-full");
    let zeros = gzip(&vec![0; 50 << 20]);
    let _ = ask(&server, Method::PUT, &session, &coding, zeros).await.refused(400, "invalid-request");
    let roots = gzip(&tar_with(EntryType::Directory, "./", "")[1_024..1_536].repeat(50_000));
    let _ = ask(&server, Method::PUT, &session, &coding, roots).await.refused(413, "payload-too-large");
    assert_eq!(session.files().await, ["old"]);
    // What goes makes room for what comes.
    let _ = put(&server, &session, tar_of(&[("a", &[1; 10_000])])).await.expect(204);
    let _ = put(&server, &session, tar_of(&[("b", &[2; 10_000])])).await.expect(204);
    assert_eq!(session.files().await, ["b"]);

    let _ = server.post("/v1/admin/tenants", &json!({"id": "small"})).await.expect(201);
    let _ = server.patch("/v1/admin/tenants/small/quota", &json!({"stored_bytes": 100_000})).await.expect(200);
    let ann = server.principal_of("small", "ann", &["submit"]).await;
    let session = ann.new_session().await;
    let _ = put(&ann, &session, tar_of(&[("a", &[1; 100_001])])).await.refused(507, "storage-full");
    let _ = put(&ann, &session, tar_of(&[("a", &[1; 99_999])])).await.expect(204);
}

/// R10: a put takes its turn, and a fetch sees the last commit meanwhile.
#[tokio::test]
async fn r10_a_put_waits_for_its_turn_and_jobs_see_all_or_nothing_of_it() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("old/f", "1").await;
    let held = session.hold().await;
    let (client, at) = (server.another(), session.clone());
    let waiting = tokio::spawn(async move { put(&client, &at, tar_of(&[("new/f", b"2"), ("new/g", b"3")])).await });
    sessile_kit::until("the put is in the line", async || (session.show().await["queued"] == 1).then_some(())).await;
    let after = session.new_job(guests::LIST_ROOT).submit().await;
    assert_eq!(told(&get(&server, &session).await.body).len(), 2);
    assert!(!waiting.is_finished());
    held.end().await;
    let _ = waiting.await.unwrap().expect(204);
    assert_eq!(after.wait().await.succeeded().stdout().await, "/new\n/new/f\n/new/g\n1 entries in .\n");

    let impatient = server.new_session().with("queue", "reject").await;
    let held = impatient.hold().await;
    let _ = put(&server, &impatient, tar_of(&[])).await.refused(409, "session-busy");
    held.end().await;
}

#[tokio::test]
async fn r26a_a_put_is_a_commit_of_what_differs() {
    let mut server = TestServer::start().await;
    let session = server.new_session().await;
    let tar = |b: &'static [u8]| tar_of(&[("d/a", b"1"), ("d/b", b), ("e", b"3")]);
    let _ = put(&server, &session, tar(b"2")).await.expect(204);
    assert_eq!(changes(&server, &session, 1).await, ["created d", "created d/a", "created d/b", "created e"]);
    let same = put(&server, &session, tar(b"2")).await.expect(204);
    assert_eq!(same.header("session-commit"), Some("1"), "nothing differs");
    let _ = put(&server, &session, tar(b"22")).await.expect(204);
    assert_eq!(changes(&server, &session, 2).await, ["modified d/b"]);
    let answer = put(&server, &session, tar_of(&[("d", b"now a file")])).await.expect(204);
    assert_eq!(answer.header("session-commit"), Some("3"));
    server.kill9();
    server.restart();
    assert_eq!(session.text("d").await, "now a file");
    let _ = server.post(&session.path("/revert"), &json!({"to": 2})).await.expect(200);
    assert_eq!(session.text("d/b").await, "22");
    let _ = put(&server, &session, tar_of(&[])).await.expect(204);
    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn r23_in_an_explicit_session_a_put_is_part_of_the_transaction() {
    let server = TestServer::start().await;
    let session = server.new_session().with("transaction", "explicit").await;
    let answer = put(&server, &session, tar_of(&[("a", b"1")])).await.expect(204);
    assert_eq!((answer.header("session-commit"), answer.header("etag")), (Some("0"), None));
    assert_eq!(told(&get(&server, &session).await.body), []);
    let listed = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert_eq!(listed, "/a\n1 entries in .\n");
    let _ = server.post(&session.path("/commit"), &json!({})).await.expect(200);
    let _ = put(&server, &session, tar_of(&[("b", b"2")])).await.expect(204);
    let _ = server.post(&session.path("/rollback"), &json!({})).await.expect(200);
    assert_eq!(told(&get(&server, &session).await.body).len(), 1);
    assert_eq!(session.files().await, ["a"]);
}

#[tokio::test]
async fn r28_a_put_shows_the_newest_key_and_hands_out_the_next() {
    let server = TestServer::start().await;
    let made = server.new_session().with_id("vault").with("keyed", true).answer().await.expect(201);
    let session = server.session("vault");
    let key = made.header("session-key").unwrap();
    let tar = tar_of(&[("a", b"1")]);
    let _ = put(&server, &session, tar.clone()).await.refused(409, "session-key-mismatch");
    // One that is refused uses up no key.
    let _ = ask(&server, Method::PUT, &session, &[("session-key", key)], b"bad".to_vec()).await.expect(400);
    let accepted = ask(&server, Method::PUT, &session, &[("session-key", key)], tar.clone()).await.expect(204);
    let next = accepted.header("session-key").unwrap();
    let _ =
        ask(&server, Method::PUT, &session, &[("session-key", key)], tar).await.refused(409, "session-key-mismatch");
    let _ = ask(&server, Method::PUT, &session, &[("session-key", next)], tar_of(&[])).await.expect(204);
    assert_eq!(get(&server, &session).await.header("session-key"), None);
}

/// R27
#[tokio::test]
async fn r27_another_s_archive_is_not_there() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("secret", "1").await;
    let other = server.principal("other", &["submit"]).await;
    for method in [Method::GET, Method::HEAD, Method::PUT] {
        let answer = ask(&other, method.clone(), &session, &[], tar_of(&[])).await;
        let none = ask(&other, method, &server.session("none"), &[], tar_of(&[])).await;
        assert_eq!((answer.status, none.status), (404, 404));
    }
    assert_eq!(session.files().await, ["secret"]);
}
