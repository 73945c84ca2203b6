//! Files from outside: whole, with their parents, and seen by the next job.

use super::*;
use crate::store::Tags;

#[tokio::test]
async fn a_file_is_read_as_it_was_written() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    for size in [0, 1, limits::FILE_LOOK_BYTES as usize, limits::CHUNK_BYTES, limits::SPOOL_MEMORY_BYTES + 1, 3 << 20] {
        let bytes: Vec<u8> = (0..size).map(|at| (at / 5) as u8).collect();
        let put = kit.put(key, "dir/sub/f", &bytes).await.unwrap();
        assert_eq!(kit.read(key, "dir/sub/f").await.as_deref(), Some(bytes.as_slice()), "{size}");
        let entry = kit.entry(key, "dir/sub/f").await;
        let small = kit.store.small_file(key, None, &path("dir/sub/f")).unwrap();
        assert_eq!(small.is_some(), size as u64 <= limits::FILE_LOOK_BYTES);
        assert_eq!((entry.size, entry.etag), (size as u64, put.etag));
    }
    assert_eq!(kit.tree(key).await, ["directory dir 0", "directory dir/sub 0", "file dir/sub/f 3145728"]);
    assert_eq!(kit.store.session_by_key(key).await.unwrap().unwrap().usage.bytes, 3 << 20);
}

/// R10: a write from outside is there for the next job, in a copy that was kept.
#[tokio::test]
async fn r10_the_next_job_sees_what_was_written_and_deleted() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j", &["keep", "old"], |dir| {
        dir.write("keep", "k").unwrap();
        dir.create_dir_all("old/sub").unwrap();
        dir.write("old/sub/f", "x").unwrap();
    })
    .await;
    kit.put(key, "new/sub/f", b"1").await.unwrap();
    kit.put(key, "new/sub/g", b"22").await.unwrap();
    kit.put(key, "keep", b"changed").await.unwrap();
    kit.store.delete_file(key, path("old"), Recursive::Yes, Precondition::default(), now()).await.unwrap();
    let draft = kit.begin(key).await;
    let expected = ["file keep 7", "directory new 0", "directory new/sub 0", "file new/sub/f 1", "file new/sub/g 2"];
    assert_eq!(tree_of(draft.root().dir()), expected);
    assert_eq!(kit.tree(key).await, expected);
    assert_eq!(draft.session().unwrap().commit, 5);
    assert_eq!(draft.usage().files, 5);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let kit = Kit::new().await;
    let key = kit.limited_session("s", SessionLimits { bytes: 100, files: 3 }).await.key;
    kit.put(key, "d/f", &[1; 60]).await.unwrap();
    let before = kit.store.session_by_key(key).await.unwrap();
    let put = async |at: &str, bytes: &[u8]| refused(kit.put(key, at, bytes).await);
    assert_eq!(put("d", b"x").await, Refused::IsDirectory(path("d")));
    assert_eq!(put("d/f/g", b"x").await, Refused::NotADirectory(path("d/f")));
    assert_eq!(put("e", &[1; 41]).await, Refused::SessionBytes { bytes: 101, limit: 100 });
    assert_eq!(put("e/f", b"x").await, Refused::SessionFiles { files: 4, limit: 3 });
    let delete = async |at: &str| {
        refused(kit.store.delete_file(key, path(at), Recursive::No, Precondition::default(), now()).await)
    };
    assert_eq!(delete("d").await, Refused::DirectoryNotEmpty(path("d")));
    assert_eq!(delete("none").await, Refused::NoFile(path("none")));
    assert_eq!(kit.store.session_by_key(key).await.unwrap(), before);
    assert_eq!(kit.tree(key).await, ["directory d 0", "file d/f 60"]);
    // Replacing counts only the difference.
    kit.put(key, "d/f", &[1; 100]).await.unwrap();
}

#[tokio::test]
async fn preconditions_hold_or_nothing_happens() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let only_if = |matching: Option<Tags>, none: Option<Tags>| Precondition { if_match: matching, if_none_match: none };
    let put = async |bytes: &[u8], only_if| kit.store.put_file(key, path("f"), kit.spool(bytes), only_if, now()).await;
    let lost = Refused::Precondition(path("f"));
    assert_eq!(refused(put(b"1", only_if(Some(Tags::Any), None)).await), lost);
    let first = put(b"1", only_if(None, Some(Tags::Any))).await.unwrap();
    assert!(first.created);
    assert_eq!(refused(put(b"2", only_if(None, Some(Tags::Any))).await), lost);
    assert_eq!(refused(put(b"2", only_if(Some(Tags::Of(vec!["other".to_owned()])), None)).await), lost);
    let second = put(b"2", only_if(Some(Tags::Of(vec![first.etag.clone()])), None)).await.unwrap();
    assert!(!second.created && second.etag != first.etag);
    let delete =
        kit.store.delete_file(key, path("f"), Recursive::No, only_if(Some(Tags::Of(vec![first.etag])), None), now());
    assert_eq!(refused(delete.await), lost);
}

#[tokio::test]
async fn a_listing_has_pages_and_levels() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    for name in ["a", "d/1", "d/2/x", "d-e", "\u{10FFFF}"] {
        kit.put(key, name, b"").await.unwrap();
    }
    let list = async |prefix: Option<&str>, recursive, limit| {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = PageOf { limit, cursor };
            let (page, _) = kit.store.files(key, None, prefix.map(path), recursive, page).await.unwrap();
            assert!(page.items.len() <= limit);
            found.extend(page.items.into_iter().map(|entry| entry.path.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    };
    for limit in [1, 2, 100] {
        assert_eq!(list(None, Recursive::No, limit).await, ["a", "d", "d-e", "\u{10FFFF}"]);
        assert_eq!(list(None, Recursive::Yes, limit).await, ["a", "d", "d-e", "d/1", "d/2", "d/2/x", "\u{10FFFF}"]);
        assert_eq!(list(Some("d"), Recursive::No, limit).await, ["d/1", "d/2"]);
        assert_eq!(list(Some("d"), Recursive::Yes, limit).await, ["d/1", "d/2", "d/2/x"]);
        assert_eq!(list(Some("none"), Recursive::Yes, limit).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn parameters_have_limits_and_a_commit_each() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let write = |name: &str, value: Option<&str>| {
        let changes = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
        kit.store.write_params(key, changes, now())
    };
    assert_eq!(write("a", Some("1")).await.unwrap(), 1);
    assert_eq!(write("count", None).await.unwrap(), 2);
    assert!(matches!(refused(write("", Some("x")).await), Refused::Param(_)));
    let params: Vec<_> = kit.store.params(key, None).await.unwrap().0.into_iter().collect();
    assert_eq!(params, [("a".to_owned(), "1".to_owned())]);
    // Parameters leave the working copy as it is.
    kit.job(key, "j", &["f"], |dir| dir.write("f", "x").unwrap()).await;
    write("a", Some("2")).await.unwrap();
    let copy = kit.store.shared().copies.take(key).unwrap();
    assert_eq!((copy.tree_version, copy.mends.len()), (3, 0));
}
