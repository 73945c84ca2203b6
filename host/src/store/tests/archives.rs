//! Archives: the same bytes for the same commit, and edits that write what differs.

use super::*;
use crate::store::Coding;
use crate::store::Packed;
use crate::store::Replaced;
use crate::store::Tags;
use crate::store::Unpacked;

impl Kit {
    async fn packed(&self, key: SessionKey, commit: Option<u64>) -> (Vec<u8>, String) {
        let packed = self.store.archive(key, commit, Coding::Identity).await.unwrap();
        let size = self.store.archive_size(key, commit).await.unwrap();
        let Packed { state, body, .. } = packed;
        let bytes = match body {
            Body::Memory(bytes) => bytes,
            Body::Spooled(mut file) => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
                bytes
            }
        };
        assert_eq!((bytes.len() as u64, packed.size), (size, size), "what is told beforehand is true");
        assert_eq!(self.store.archive_state(key, commit, Coding::Identity).unwrap(), state);
        (bytes, state.tag)
    }

    async fn unpacked(&self, bytes: &[u8]) -> Unpacked {
        self.store.unpack(self.spool(bytes), Coding::Identity, SessionLimits::default()).await.unwrap()
    }

    async fn replace(&self, key: SessionKey, bytes: &[u8]) -> Result<Replaced, StoreError> {
        self.replace_if(key, bytes, Precondition::default()).await
    }

    async fn replace_if(&self, key: SessionKey, bytes: &[u8], only_if: Precondition) -> Result<Replaced, StoreError> {
        self.store.replace_files(key.into(), self.unpacked(bytes).await, only_if, later()).await
    }

    /// What a commit changed, in short.
    async fn changed(&self, key: SessionKey, commit: u64) -> Vec<String> {
        let (_, changes) = self.store.commit_changes(key, commit).await.unwrap();
        changes.files.iter().map(|file| format!("{} {}", file.change.word(), file.path)).collect()
    }

    fn must_be_sound(self) {
        let Kit { home, store } = self;
        drop(store);
        assert_eq!(crate::store::check(&home.path().join("data")).unwrap().faults, Vec::<String>::new());
    }
}

fn later() -> Timestamp {
    Timestamp::from_micros(NOW + 60_000_000)
}

/// A session with all that there can be in one.
async fn full(kit: &Kit) -> SessionKey {
    let key = kit.session("full").await.key;
    let long = ["x".repeat(200), "y\nä\\".repeat(30), "z".repeat(101)].join("/");
    kit.put(key, &long, b"deep").await.unwrap();
    for size in [0, 1, 511, 512, 513, limits::CHUNK_BYTES, 200_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        kit.put(key, &format!("sizes/{size}"), &bytes).await.unwrap();
    }
    kit.put(key, "sizes/zeros", &[0; 100_000]).await.unwrap();
    kit.job(key, "j", &["empty", "link", "sizes/far", "old"], |dir| {
        dir.create_dir("empty").unwrap();
        dir.symlink("sizes/513", "link").unwrap();
        dir.symlink("../".to_owned() + &"t/".repeat(90) + "ü", "sizes/far").unwrap();
        dir.write("old", "1969").unwrap();
        let file = dir.open_with("old", cap_std::fs::OpenOptions::new().write(true)).unwrap();
        file.into_std().set_modified(std::time::UNIX_EPOCH - Duration::from_millis(1_500)).unwrap();
    })
    .await;
    key
}

#[tokio::test]
async fn an_archive_put_back_is_the_same_and_makes_no_commit() {
    let kit = Kit::new().await;
    let key = full(&kit).await;
    let (bytes, tag) = kit.packed(key, None).await;
    let (again, _) = kit.packed(key, None).await;
    assert!(bytes == again, "the same commit is the same bytes");
    let commit = kit.store.session_by_key(key).await.unwrap().unwrap().commit;
    assert_eq!(kit.replace(key, &bytes).await.unwrap(), Replaced { commit, tag: Some(tag) });

    // In another session it becomes the same, times and all.
    let other = kit.session("other").await.key;
    let put = kit.replace(other, &bytes).await.unwrap();
    assert_eq!(put.commit, 1);
    let (copy, tag) = kit.packed(other, None).await;
    assert!(copy == bytes);
    assert_eq!(put.tag, Some(tag));
    assert_eq!(kit.tree(other).await, kit.tree(key).await);
    let draft = kit.begin(other).await;
    assert_eq!(tree_of(draft.root().dir()).len(), kit.tree(key).await.len());
    drop(draft);
    kit.must_be_sound();
}

#[tokio::test]
async fn a_commit_lists_what_an_archive_made_different() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let large: Vec<u8> = (0..3 * limits::CHUNK_BYTES).map(|at| (at / 300) as u8).collect();
    let mut patched = large.clone();
    patched[limits::CHUNK_BYTES] ^= 1;
    for (at, bytes) in [("a/same", &b"1"[..]), ("large", &large), ("a/gone", b"2"), ("b/c", b"3")] {
        kit.put(key, at, bytes).await.unwrap();
    }
    // The second archive is of another session, in which files have the times of the first.
    let before = kit.packed(key, None).await.0;
    let other = kit.session("other").await.key;
    kit.replace(other, &before).await.unwrap();
    for (at, bytes) in [("large", &patched[..]), ("a/new/f", b"4")] {
        kit.put(other, at, bytes).await.unwrap();
    }
    for gone in ["a/gone", "b"] {
        let deleted = kit.store.delete_file(other, path(gone), Recursive::Yes, Precondition::default(), now());
        deleted.await.unwrap();
    }
    kit.put(other, "b", b"a file now").await.unwrap();
    let stored = kit.store.session_by_key(key).await.unwrap().unwrap().stored_bytes;
    let after = kit.packed(other, None).await.0;
    assert_eq!(kit.replace(key, &after).await.unwrap().commit, 5);
    let changed = ["deleted a/gone", "created a/new", "created a/new/f", "modified b", "deleted b/c", "modified large"];
    assert_eq!(kit.changed(key, 5).await, changed);
    // One piece of the large file, and what else is new.
    let now_stored = kit.store.session_by_key(key).await.unwrap().unwrap().stored_bytes;
    assert_eq!(now_stored - stored, (limits::CHUNK_BYTES + 1 + 10) as u64);
    assert_eq!(kit.read(key, "large").await, Some(patched));
    assert!(kit.packed(key, None).await.0 == after);
    // What was before can still be fetched, and come back to.
    assert!(kit.packed(key, Some(4)).await.0 == before);
    kit.store.revert(key, 4, now()).await.unwrap();
    assert!(kit.packed(key, None).await.0 == before);
    kit.must_be_sound();
}

/// R10: a working copy that was kept is what was put, few changes or many.
#[tokio::test]
async fn r10_the_next_job_sees_what_was_put() {
    let kit = Kit::new().await;
    let (key, other) = (kit.session("s").await.key, kit.session("other").await.key);
    kit.job(key, "j", &["keep", "old"], |dir| {
        dir.write("keep", "k").unwrap();
        dir.create_dir_all("old/sub").unwrap();
        dir.write("old/sub/f", "x").unwrap();
    })
    .await;
    for count in [2, 100] {
        for number in 0..count {
            kit.put(other, &format!("d{number}/f"), &[1; 10]).await.unwrap();
        }
        let bytes = kit.packed(other, None).await.0;
        kit.replace(key, &bytes).await.unwrap();
        let draft = kit.begin(key).await;
        let mut expected = kit.tree(other).await;
        expected.sort_by(|a, b| a.split(' ').nth(1).cmp(&b.split(' ').nth(1)));
        assert_eq!(tree_of(draft.root().dir()), expected);
        assert_eq!(draft.usage().files, 2 * count);
    }
    kit.must_be_sound();
}

/// Other programs tell seconds, and leave directories out.
#[tokio::test]
async fn an_archive_that_says_less_denies_nothing() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j", &["d"], |dir| {
        dir.create_dir("d").unwrap();
        dir.write("d/f", "1").unwrap();
    })
    .await;
    let file = |bytes: &[u8], name: &str, mtime: u64| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mtime(mtime);
        tar.append_data(&mut header, name, bytes).unwrap();
        tar.into_inner().unwrap()
    };
    let at = kit.entry(key, "d/f").await.modified_at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(kit.replace(key, &file(b"1", "d/f", at)).await.unwrap().commit, 1);
    assert_eq!(kit.replace(key, &file(b"1", "d/f", at + 1)).await.unwrap().commit, 2);
    assert_eq!(kit.changed(key, 2).await, ["modified d/f"]);
    let etag = kit.entry(key, "d/f").await.etag;
    // Of a directory that is not named the time is that of the change.
    let modified = async |at: &str| {
        let (page, _) = kit.store.files(key, None, None, Recursive::Yes, all()).await.unwrap();
        Timestamp::from(page.items.into_iter().find(|entry| entry.path == path(at)).unwrap().modified_at)
    };
    assert!(modified("d").await != later());
    assert_eq!(kit.replace(key, &file(b"1", "d/g", 5)).await.unwrap().commit, 3);
    assert_eq!((modified("d").await, modified("d/g").await), (later(), Timestamp::from_micros(5_000_000)));
    assert!(kit.entry(key, "d/g").await.etag != etag);
    kit.must_be_sound();
}

#[tokio::test]
async fn preconditions_and_limits_hold_or_nothing_happens() {
    let kit = Kit::new().await;
    let key = full(&kit).await;
    let (bytes, tag) = kit.packed(key, None).await;
    let small = kit.limited_session("small", SessionLimits { bytes: 1_000, files: 100 }).await.key;
    kit.put(small, "f", b"1").await.unwrap();
    assert!(matches!(refused(kit.replace(small, &bytes).await), Refused::SessionBytes { limit: 1_000, .. }));
    let few = kit.limited_session("few", SessionLimits { bytes: 1 << 20, files: 3 }).await.key;
    assert!(matches!(refused(kit.replace(few, &bytes).await), Refused::SessionFiles { limit: 3, .. }));
    assert_eq!(kit.tree(small).await, ["file f 1"]);

    let only_if = |if_match: Option<Tags>, if_none_match: Option<Tags>| Precondition { if_match, if_none_match };
    let tags = |tag: &str| Some(Tags::Of(vec![tag.to_owned()]));
    let (empty, none) = (vec![0; 1_024], || None);
    for lost in [only_if(tags("other"), none()), only_if(none(), tags(&tag)), only_if(none(), Some(Tags::Any))] {
        assert_eq!(refused(kit.replace_if(key, &empty, lost).await), Refused::ArchivePrecondition);
    }
    assert!(kit.packed(key, None).await.0 == bytes);
    let packed = kit.store.archive_state(key, None, Coding::Gzip).unwrap().tag;
    kit.replace_if(key, &empty, only_if(tags(&packed), tags("other"))).await.unwrap();
    assert_eq!(kit.tree(key).await, Vec::<String>::new());
    let lost = only_if(tags(&tag), none());
    assert_eq!(refused(kit.replace_if(key, &bytes, lost).await), Refused::ArchivePrecondition);
    kit.replace_if(key, &bytes, only_if(Some(Tags::Any), none())).await.unwrap();
    assert!(kit.packed(key, None).await.0 == bytes);
    kit.must_be_sound();
}

/// R23: what is not committed has no tag, and goes with a rollback.
#[tokio::test]
async fn r23_an_archive_is_part_of_the_open_transaction() {
    let kit = Kit::new().await;
    let from = full(&kit).await;
    let bytes = kit.packed(from, None).await.0;
    let new = NewSession { transaction: TransactionMode::Explicit, ..kit.new_session("open") };
    let Created::New(session) = kit.store.create_session(new).await.unwrap() else { panic!("it exists") };
    let key = session.key;
    let (empty, tag) = kit.packed(key, None).await;
    let unchanged = kit.replace(key, &empty).await.unwrap();
    assert_eq!(unchanged, Replaced { commit: 0, tag: Some(tag.clone()) });
    assert_eq!(kit.replace(key, &bytes).await.unwrap(), Replaced { commit: 0, tag: None });
    assert!(kit.packed(key, None).await.0 == empty, "readers see the last commit");
    let lost = Precondition { if_match: Some(Tags::Of(vec![tag])), if_none_match: None };
    assert_eq!(refused(kit.replace_if(key, &empty, lost).await), Refused::ArchivePrecondition);
    // Twice in one transaction, with what was written in it replaced.
    kit.put(key, "sizes/513", b"other").await.unwrap();
    kit.replace(key, &bytes).await.unwrap();
    assert_eq!(kit.store.commit_transaction(key, now()).await.unwrap(), 1);
    assert!(kit.packed(key, None).await.0 == bytes);
    kit.replace(key, &empty).await.unwrap();
    kit.store.roll_back_transaction(key, now()).await.unwrap();
    assert_eq!(kit.begin(key).await.usage(), kit.begin(from).await.usage());
    assert!(kit.packed(key, None).await.0 == bytes);
    kit.must_be_sound();
}
