//! `/v1/sessions/{id}/files`: a session's directory, over HTTP.

use reqwest::Method;
use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;

async fn with_header(server: &Client, method: Method, session: &Session, path: &str, header: (&str, &str)) -> Answer {
    let request = server.request(method, &session.path(&format!("/files/{path}"))).header(header.0, header.1);
    server.send(request.body("changed")).await
}

#[tokio::test]
async fn what_is_put_is_what_is_got_byte_for_byte() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    for (path, content) in [
        ("empty", Vec::new()),
        ("bytes.bin", all_bytes.clone()),
        ("a/b/c/deep.bin", all_bytes.repeat(2_000)),
        ("large.bin", all_bytes.repeat(12_000)),
    ] {
        let put = server.put(&session.path(&format!("/files/{path}")), content.clone()).await;
        assert!(matches!(put.status, 200 | 201 | 204), "{put:?}");
        assert_eq!(session.file(path).await.as_ref(), Some(&content), "{path}");
    }
    let bytes = session.show().await["bytes"].as_u64().unwrap();
    assert_eq!(bytes, 256 + 256 * 2_000 + 256 * 12_000);
}

#[tokio::test]
async fn a_put_makes_parents_and_replaces_as_one() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a/b/c.txt", "old").await;
    session.put_file("a/b/c.txt", "new").await;
    assert_eq!(session.text("a/b/c.txt").await, "new");
    assert_eq!(session.files().await, ["a", "a/b", "a/b/c.txt"]);
    // A job finds what was put, in the working copy that it may have had before.
    let told = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert_eq!(told, "/a\n/a/b\n/a/b/c.txt\n1 entries in .\n");
    session.put_file("a/d.txt", "later").await;
    let told = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert!(told.contains("/a/d.txt"), "{told}");
}

#[tokio::test]
async fn a_list_shows_path_kind_and_size_by_prefix_and_depth() {
    let server = TestServer::start().await;
    let session =
        server.new_session().with_file("a/b/c.txt", "123").with_file("a/d.txt", "12").with_file("e.txt", "1").await;
    let listed = async |query: &str| {
        let items = server.list(&session.path(&format!("/files?{query}"))).await;
        items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ["a", "e.txt"]);
    assert_eq!(listed("recursive=true").await, ["a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"]);
    assert_eq!(listed("prefix=a/&recursive=true").await, ["a/b", "a/b/c.txt", "a/d.txt"]);

    let items = server.list(&session.path("/files?recursive=true")).await;
    let file = items.iter().find(|item| item["path"] == "a/b/c.txt").unwrap();
    assert_eq!((&file["kind"], &file["size"]), (&"file".into(), &3.into()));
    assert!(file["modified_at"].as_str().unwrap().ends_with('Z'), "{file}");
    let folder = items.iter().find(|item| item["path"] == "a/b").unwrap();
    assert_eq!(folder["kind"], "directory");
}

#[tokio::test]
async fn an_etag_guards_a_write_and_spares_a_read() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a.txt", "old").await;
    let first = server.get(&session.path("/files/a.txt")).await.expect(200);
    let etag = first.header("etag").expect("a file has an ETag").to_owned();

    let unchanged = with_header(&server, Method::GET, &session, "a.txt", ("if-none-match", &etag)).await.expect(304);
    assert_eq!(unchanged.body, b"");
    let stale = with_header(&server, Method::PUT, &session, "a.txt", ("if-match", "\"other\"")).await;
    let _ = stale.expect(412);
    assert_eq!(session.text("a.txt").await, "old");
    let not_new = with_header(&server, Method::PUT, &session, "a.txt", ("if-none-match", "*")).await;
    let _ = not_new.expect(412);
    let _ = with_header(&server, Method::PUT, &session, "a.txt", ("if-match", &etag)).await.good();
    assert_eq!(session.text("a.txt").await, "changed");
    let again = server.get(&session.path("/files/a.txt")).await.expect(200);
    assert_ne!(again.header("etag"), Some(etag.as_str()));
    let _ = with_header(&server, Method::PUT, &session, "new.txt", ("if-none-match", "*")).await.good();
    let _ = with_header(&server, Method::DELETE, &session, "new.txt", ("if-match", "\"other\"")).await.expect(412);
    assert_eq!(session.text("new.txt").await, "changed");
}

#[tokio::test]
async fn a_range_is_a_part_of_the_file() {
    let server = TestServer::start().await;
    let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let session = server.new_session().with_file("a.bin", &content).await;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=65530-65545", 65_530, 65_546),
        ("bytes=199990-", 199_990, 200_000),
        ("bytes=-5", 199_995, 200_000),
        ("bytes=199999-300000", 199_999, 200_000),
    ] {
        let part = with_header(&server, Method::GET, &session, "a.bin", ("range", range)).await.expect(206);
        assert_eq!(part.body, content[from..to], "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {from}-{}/200000", to - 1).as_str()));
    }
    let outside = with_header(&server, Method::GET, &session, "a.bin", ("range", "bytes=200000-")).await.expect(416);
    assert_eq!(outside.header("content-range"), Some("bytes */200000"));
}

#[tokio::test]
async fn a_head_is_a_get_without_the_bytes() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a.txt", "12345").await;
    let head = server.send(server.request(Method::HEAD, &session.path("/files/a.txt"))).await.expect(200);
    let get = server.get(&session.path("/files/a.txt")).await.expect(200);
    assert_eq!(head.body, b"");
    assert_eq!(head.header("content-length"), Some("5"));
    assert_eq!(head.header("etag"), get.header("etag"));
    let none = server.send(server.request(Method::HEAD, &session.path("/files/none"))).await;
    let _ = none.expect(404);
}

#[tokio::test]
async fn a_folder_is_deleted_only_with_all_it_holds_in_mind() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a/b.txt", "b").with_file("c.txt", "c").await;
    let _ = server.delete(&session.path("/files/c.txt")).await.expect(204);
    let refused = server.delete(&session.path("/files/a")).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert_eq!(session.files().await, ["a", "a/b.txt"]);
    let _ = server.delete(&session.path("/files/a?recursive=true")).await.expect(204);
    assert_eq!(session.files().await, Vec::<String>::new());
    let _ = server.delete(&session.path("/files/a")).await.refused(404, "not-found");
    let told = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert_eq!(told, "0 entries in .\n");
}

#[tokio::test]
async fn a_file_is_not_a_folder_and_a_folder_is_not_a_file() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("a.txt", "a").with_file("b/c.txt", "c").await;
    for (method, path) in [(Method::PUT, "a.txt/inside"), (Method::PUT, "b"), (Method::GET, "b")] {
        let answer = with_header(&server, method.clone(), &session, path, ("x-nothing", "0")).await;
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
    }
    assert_eq!(session.files().await, ["a.txt", "b", "b/c.txt"]);
}

#[tokio::test]
async fn what_cannot_be_read_or_written_as_a_file_is_said_to_be_so() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("d/f", "1").await;
    let detail = server.get(&session.path("/files/d")).await.refused(404, "not-found");
    assert!(detail.contains("`d`") && detail.contains("directory") && detail.contains("prefix"), "{detail}");
    let put = |header| with_header(&server, Method::PUT, &session, "d/f", header);
    let _ = put(("content-range", "bytes 0-0/2")).await.refused(400, "invalid-request");
    let detail = put(("content-encoding", "gzip")).await.refused(415, "unsupported-media-type");
    assert!(detail.contains("gzip"), "{detail}");
    assert_eq!(session.text("d/f").await, "1");
    let _ = put(("content-encoding", "identity")).await.good();
}

#[tokio::test]
async fn names_are_data_whatever_they_look_like() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let encoded = [
        ("näme with space.txt", "n%C3%A4me%20with%20space.txt"),
        ("<script>.html", "%3Cscript%3E.html"),
        ("new\nline", "new%0Aline"),
        ("100%", "100%25"),
        ("...", "..."),
        ("日本語/ファイル", "%E6%97%A5%E6%9C%AC%E8%AA%9E/%E3%83%95%E3%82%A1%E3%82%A4%E3%83%AB"),
    ];
    for (name, path) in encoded {
        session.put_file(path, name).await;
        assert_eq!(session.text(path).await, name);
    }
    let listed = session.files().await;
    for (name, _) in encoded {
        assert!(listed.iter().any(|path| path == name), "{name:?} is not in {listed:?}");
    }
    let told = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
    assert!(told.contains("/näme with space.txt\n"), "{told}");
}

#[tokio::test]
async fn a_path_that_leads_out_is_refused() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    // Encoded, so that no client tidies them away before they are sent.
    for path in ["%2e%2e/out.txt", "a/%2e%2e/%2e%2e/out.txt", "%2Fetc%2Fpasswd", "a%00b", "a//b"] {
        for method in [Method::PUT, Method::GET] {
            let answer = with_header(&server, method, &session, path, ("x-nothing", "0")).await;
            assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        }
    }
    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_session_has_a_bound_on_bytes_and_files() {
    let server = TestServer::start().await;
    let limits = serde_json::json!({"bytes": 10_000, "files": 5});
    let session = server.new_session().with("limits", limits).await;
    session.put_file("fits.bin", vec![0; 10_000]).await;
    let _ = server.put(&session.path("/files/more.bin"), "x").await.refused(507, "storage-full");
    session.put_file("fits.bin", "small").await;
    for n in 0..4 {
        session.put_file(&format!("{n}.txt"), "x").await;
    }
    let _ = server.put(&session.path("/files/one-more.txt"), "x").await.refused(507, "storage-full");
    assert_eq!(session.files().await.len(), 5);
}
