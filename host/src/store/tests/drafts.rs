//! Drafts: everything of a job that ended well, nothing of any other.

use super::*;
use crate::limits::COPIES_OPEN_MAX;

/// A file that is too large to be held in memory for a commit.
fn big() -> Vec<u8> {
    (0..(3 << 20) + 17_u32).map(|at| (at / 7) as u8).collect()
}

fn make_much(dir: &Dir) {
    dir.create_dir_all("a/b/empty").unwrap();
    dir.write("a/one.txt", "one").unwrap();
    dir.write("a/b/big.bin", big()).unwrap();
    dir.write("empty", "").unwrap();
    dir.symlink("a/one.txt", "link").unwrap();
}

const MUCH: [&str; 7] = [
    "directory a 0",
    "directory a/b 0",
    "file a/b/big.bin 3145745",
    "directory a/b/empty 0",
    "file a/one.txt 3",
    "file empty 0",
    "link link 9",
];

#[tokio::test]
async fn r22_what_a_job_wrote_is_kept_with_its_outcome() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.begin(key).await;
    assert_eq!(draft.params().get("count").map(String::as_str), Some("1"));
    make_much(draft.root().dir());
    let params = BTreeMap::from([("count".to_owned(), Some("2".to_owned())), ("gone".to_owned(), None)]);
    let changed = paths(&["a", "a/b/big.bin", "empty", "link"]);
    draft.commit(seq, attempt, ending(Outcome::Succeeded), changed, params, Fate::Stays).await.unwrap();

    assert_eq!(kit.tree(key).await, MUCH);
    assert_eq!(kit.read(key, "a/b/big.bin").await, Some(big()));
    assert_eq!(kit.store.params(key, None).await.unwrap().0["count"], "2");
    let session = kit.store.session_by_key(key).await.unwrap().unwrap();
    assert_eq!((session.commit, session.usage.files, session.usage.bytes), (1, 7, 3_145_748));
    let job = kit.store.job_by_seq(seq).await.unwrap().unwrap();
    assert_eq!((job.outcome, job.result.as_deref()), (Some(Outcome::Succeeded), Some("{\"pages\":3}")));

    // The same after a restart, and in a working copy that is made anew.
    let kit = kit.reopened();
    assert_eq!(kit.tree(key).await, MUCH);
    let draft = kit.begin(key).await;
    let dir = draft.root().dir().try_clone().unwrap();
    assert_eq!(tree_of(&dir), MUCH);
    assert_eq!(dir.read("a/b/big.bin").unwrap(), big());
    assert_eq!(dir.read_link("link").unwrap().to_str(), Some("a/one.txt"));
}

#[tokio::test]
async fn copies_that_were_put_back_last_stay_open_and_others_are_opened_again() {
    let kit = Kit::new().await;
    let mut keys = Vec::new();
    for n in 0..COPIES_OPEN_MAX + 2 {
        let key = kit.session(&format!("s{n}")).await.key;
        kit.job(key, &format!("j{n}"), &["f"], |dir| dir.write("f", n.to_string()).unwrap()).await;
        keys.push(key);
    }
    let copies = &kit.store.inner.shared.copies;
    assert_eq!(copies.open_count(), COPIES_OPEN_MAX);
    for (n, key) in keys.iter().enumerate().rev() {
        let draft = kit.begin(*key).await;
        assert_eq!(draft.root().dir().read("f").unwrap(), n.to_string().as_bytes());
    }
    assert_eq!(copies.open_count(), 0, "each is lent, and was dropped");
}

#[tokio::test]
async fn renames_deletions_and_changes_of_kind_are_kept() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["a", "empty", "link"], make_much).await;
    kit.job(key, "j2", &["a", "z", "empty", "link"], |dir| {
        dir.rename("a", dir, "z").unwrap();
        dir.remove_file("empty").unwrap();
        dir.create_dir("empty").unwrap();
        dir.write("empty/now-not", "x").unwrap();
        dir.remove_file("link").unwrap();
        dir.write("link", "a file").unwrap();
    })
    .await;
    let expected = [
        "directory empty 0",
        "file empty/now-not 1",
        "file link 6",
        "directory z 0",
        "directory z/b 0",
        "file z/b/big.bin 3145745",
        "directory z/b/empty 0",
        "file z/one.txt 3",
    ];
    assert_eq!(kit.tree(key).await, expected);
    let usage = kit.store.session_by_key(key).await.unwrap().unwrap().usage;
    assert_eq!((usage.files, usage.bytes), (8, 3_145_755));
    // A directory becomes a file, noted only for what lay in it.
    kit.job(key, "j3", &["z/b/big.bin", "z/b/empty"], |dir| {
        dir.remove_dir_all("z/b").unwrap();
        dir.write("z/b", "flat").unwrap();
    })
    .await;
    assert_eq!(kit.read(key, "z/b").await.as_deref(), Some(b"flat".as_slice()));
    let kit = kit.reopened();
    let draft = kit.begin(key).await;
    assert_eq!(tree_of(draft.root().dir()), kit.tree(key).await);
    assert_eq!(kit.store.session_by_key(key).await.unwrap().unwrap().usage.files, 6);
}

/// R26: what did not change is not written. The first piece is falsified behind
/// the store's back; a commit that wrote it again would put it right.
#[tokio::test]
async fn r26_only_the_pieces_that_changed_are_written() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["big"], |dir| dir.write("big", big()).unwrap()).await;
    let falsify = "UPDATE blob SET bytes = zeroblob(length(bytes)) WHERE id IN (SELECT blob FROM chunk WHERE idx = 0)";
    let falsify = kit.store.writer().enqueue(|db| Ok(db.execute(falsify, [])?));
    assert_eq!(falsify.await.unwrap(), 1);
    kit.job(key, "j2", &["big"], |dir| {
        use std::os::unix::fs::FileExt as _;
        let file = dir.open_with("big", cap_std::fs::OpenOptions::new().write(true)).unwrap().into_std();
        file.write_all_at(b"changed", 1 << 20).unwrap();
        file.set_len(2 << 20).unwrap();
    })
    .await;
    let bytes = kit.read(key, "big").await.unwrap();
    let (piece, whole) = (limits::CHUNK_BYTES, big());
    assert_eq!(bytes.len(), 2 << 20);
    assert_eq!(bytes[..piece], vec![0; piece]);
    assert_eq!(&bytes[1 << 20..][..7], b"changed");
    assert_eq!(bytes[piece..1 << 20], whole[piece..1 << 20]);
}

#[tokio::test]
async fn r22_nothing_of_a_job_that_failed_stays() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["a", "empty", "link"], make_much).await;
    let draft = kit.begin(key).await;
    let dir = draft.root().dir().try_clone().unwrap();
    dir.write("a/one.txt", "spoilt").unwrap();
    dir.remove_dir_all("a/b").unwrap();
    dir.write("a/b", "not a directory").unwrap();
    dir.create_dir_all("new/deep").unwrap();
    dir.remove_file("link").unwrap();
    draft.roll_back(paths(&["a/one.txt", "a/b", "new", "link"]));
    // Mended, not made anew: what was not touched is still the same file.
    let draft = kit.begin(key).await;
    assert_eq!(tree_of(draft.root().dir()), MUCH);
    assert_eq!(draft.root().dir().read("a/one.txt").unwrap(), b"one");
    assert_eq!(draft.root().dir().read("a/b/big.bin").unwrap(), big());

    // Merely dropped: made anew.
    draft.root().dir().write("a/one.txt", "spoilt").unwrap();
    drop(draft);
    assert_eq!(kit.begin(key).await.root().dir().read("a/one.txt").unwrap(), b"one");
    assert_eq!(kit.tree(key).await, MUCH);
}

#[tokio::test]
async fn b20_a_commit_that_is_refused_leaves_everything_as_it_was() {
    let kit = Kit::new().await;
    let key = kit.limited_session("s", SessionLimits { bytes: 10, files: 2 }).await.key;
    kit.job(key, "j1", &["f"], |dir| dir.write("f", "1234567890").unwrap()).await;
    let (seq, attempt) = kit.running("j2").await;
    // Too much for the session.
    let draft = kit.begin(key).await;
    draft.root().dir().write("f", "12345678901").unwrap();
    let result = kit.commit(draft, seq, attempt, &["f"]).await;
    assert!(matches!(
        result,
        Err(CommitError::Store(StoreError::Refused(Refused::SessionBytes { bytes: 11, limit: 10 })))
    ));
    // Another attempt.
    let draft = kit.begin(key).await;
    draft.root().dir().write("f", "other").unwrap();
    let result = kit.commit(draft, seq, attempt + 1, &["f"]).await;
    assert!(matches!(result, Err(CommitError::Store(StoreError::Refused(Refused::NotTheJob)))));
    assert_eq!(kit.begin(key).await.root().dir().read("f").unwrap(), b"1234567890");
    assert_eq!(kit.read(key, "f").await.unwrap(), b"1234567890");
    // The session was dropped meanwhile.
    let draft = kit.begin(key).await;
    draft.root().dir().write("f", "late").unwrap();
    assert!(kit.store.mark_session(key).await.unwrap());
    assert!(matches!(kit.commit(draft, seq, attempt, &["f"]).await, Err(CommitError::SessionGone)));
    assert!(kit.store.job_by_seq(seq).await.unwrap().unwrap().outcome.is_none());
    assert_eq!(refused(kit.store.begin(Some(key)).await.map(|_| ())), Refused::SessionGone);
}

/// B15: what a guest left is never followed by the host.
#[tokio::test]
async fn b15_links_out_of_the_session_and_special_files_are_not_taken_over() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let secret = kit.home.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "a secret of the host").unwrap();
    kit.job(key, "j", &["out/key", "abs", "up", "pipe", "ok"], |dir| {
        dir.symlink_contents(&secret, "out").unwrap();
        dir.symlink_contents("/etc/passwd", "abs").unwrap();
        dir.symlink_contents("../../../etc/passwd", "up").unwrap();
        rustix::fs::mknodat(dir, "pipe", rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        dir.write("ok", "ok").unwrap();
    })
    .await;
    assert_eq!(kit.tree(key).await, ["file ok 2", "link up 19"]);
    assert_eq!(kit.read(key, "out/key").await, None);
    // A link that leads out is data; mending beneath it does not follow it.
    let draft = kit.begin(key).await;
    draft.root().dir().symlink_contents(&secret, "d").unwrap();
    draft.roll_back(paths(&["d/key", "d"]));
    drop(kit.begin(key).await);
    assert!(secret.join("key").exists());
}

#[tokio::test]
async fn times_of_files_are_kept() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let then = std::time::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    kit.job(key, "j", &["f"], |dir| {
        dir.write("f", "x").unwrap();
        dir.open_with("f", cap_std::fs::OpenOptions::new().write(true)).unwrap().into_std().set_modified(then).unwrap();
    })
    .await;
    let kit = kit.reopened();
    assert_eq!(kit.entry(key, "f").await.modified_at, then);
    let draft = kit.begin(key).await;
    assert_eq!(draft.root().dir().metadata("f").unwrap().modified().unwrap().into_std(), then);
}

#[tokio::test]
async fn times_of_links_are_kept() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let modified = |dir: &Dir| dir.symlink_metadata("l").unwrap().modified().unwrap().into_std();
    let mut then = None;
    kit.job(key, "j", &["l"], |dir| {
        dir.symlink("f", "l").unwrap();
        then = Some(modified(dir));
    })
    .await;
    let kit = kit.reopened();
    assert_eq!(Some(modified(kit.begin(key).await.root().dir())), then);
}

#[tokio::test]
async fn a_job_outside_a_session_has_a_directory_that_goes() {
    let kit = Kit::new().await;
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.store.begin(None).await.unwrap();
    assert!(draft.session().is_none());
    let other = kit.store.begin(None).await.unwrap();
    draft.root().dir().write("f", "x").unwrap();
    assert_eq!(tree_of(other.root().dir()), Vec::<String>::new());
    kit.commit(draft, seq, attempt, &["f"]).await.unwrap();
    assert_eq!(kit.store.job_by_seq(seq).await.unwrap().unwrap().outcome, Some(Outcome::Succeeded));
    let fast = kit.home.path().join("fast");
    drop((other, kit.store));
    assert_eq!(std::fs::read_dir(fast).unwrap().count(), 0);
}

/// Two sessions of 40 KiB each, and memory for one and a half.
#[tokio::test]
async fn copies_that_have_no_room_in_memory_lie_on_disk() {
    let kit = Kit::with_budget(70_000).await;
    let (a, b) = (kit.session("a").await.key, kit.session("b").await.key);
    for key in [a, b] {
        kit.put(key, "f", &[7; 40_000]).await.unwrap();
    }
    let on_disk = || std::fs::read_dir(kit.home.path().join("data/work")).unwrap().count();
    let first = kit.begin(a).await;
    assert_eq!(on_disk(), 0);
    let second = kit.begin(b).await;
    assert_eq!(on_disk(), 1);
    for draft in [&first, &second] {
        assert_eq!(draft.root().dir().read("f").unwrap(), [7; 40_000]);
    }
    // An idle copy makes room instead.
    drop(second);
    first.roll_back(Touched::nowhere());
    let second = kit.begin(b).await;
    assert!(kit.store.shared().copies.take(a).is_none());
    assert_eq!(second.root().dir().read("f").unwrap(), [7; 40_000]);
}

/// A session that is larger than what all copies may take.
#[tokio::test]
async fn r26_the_copy_of_a_session_beyond_the_budget_is_kept_on_disk() {
    let kit = Kit::with_budget(70_000).await;
    let (large, small) = (kit.session("large").await.key, kit.session("small").await.key);
    kit.put(large, "f", &[7; 100_000]).await.unwrap();
    for n in 0..3 {
        kit.begin(large).await.roll_back(Touched::nowhere());
        // What lies in memory is nothing to it.
        kit.begin(small).await.roll_back(Touched::nowhere());
        let copies = std::fs::read_dir(kit.home.path().join("data/work")).unwrap();
        let numbers: Vec<_> = copies.map(|copy| copy.unwrap().file_name()).collect();
        assert!(numbers.len() == 1 && numbers[0].to_str().unwrap().ends_with("-0"), "after {n} jobs: {numbers:?}");
    }
}

#[tokio::test]
async fn a_commit_goes_through_when_nobody_waits_for_it() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.begin(key).await;
    draft.root().dir().write("f", big()).unwrap();
    let mut commit = Box::pin(kit.commit(draft, seq, attempt, &["f"]));
    assert!(
        std::future::Future::poll(commit.as_mut(), &mut std::task::Context::from_waker(std::task::Waker::noop()))
            .is_pending()
    );
    drop(commit);
    // The runtime waits for its blocking threads, and the store for its writer.
    let kit = tokio::task::spawn_blocking(move || {
        while kit
            .store
            .writer()
            .enqueue(move |db| {
                Ok(db.query_row("SELECT ended_at FROM job WHERE seq = ?1", [seq.0], |row| {
                    row.get::<_, Option<i64>>(0)
                })?)
            })
            .wait()
            .unwrap()
            .is_none()
        {
            std::thread::yield_now();
        }
        kit
    });
    assert_eq!(kit.await.unwrap().tree(key).await, ["file f 3145745"]);
}

/// R26: what is only moved is not written again, wherever its directory went.
#[tokio::test]
async fn r26_a_file_that_is_moved_stays_the_same_file() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["a", "empty", "link"], make_much).await;
    let blobs = async || {
        let all = kit.store.read(|db| {
            let mut query = db.prepare("SELECT id FROM blob ORDER BY id")?;
            Ok(query.query_map([], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?)
        });
        all.await.unwrap()
    };
    let before = blobs().await;
    let etag = kit.entry(key, "a/b/big.bin").await.etag;
    kit.job(key, "j2", &["a", "z"], |dir| {
        dir.create_dir("z").unwrap();
        dir.rename("a", dir, "z/y").unwrap();
        dir.rename("z/y/b/big.bin", dir, "z/big").unwrap();
        dir.copy("z/big", dir, "z/copy").unwrap();
    })
    .await;
    // Of two that are alike now, one is the old one; the other is new.
    assert_eq!(blobs().await.len(), 2 * before.len() - 1);
    let tags = [kit.entry(key, "z/big").await.etag, kit.entry(key, "z/copy").await.etag];
    assert_eq!(tags.into_iter().filter(|tag| *tag == etag).count(), 1);
    assert_eq!(kit.read(key, "z/big").await, Some(big()));
    assert_eq!(kit.read(key, "z/copy").await, Some(big()));
    let session = kit.store.session_by_key(key).await.unwrap().unwrap();
    assert_eq!((session.usage.files, session.usage.bytes), (9, 2 * 3_145_745 + 3));
    let faults = kit.store.read(crate::store::check::open_database).await.unwrap();
    assert_eq!(faults, Vec::<String>::new());
    let then = kit.store.file(key, Some(1), path("a/b/big.bin")).await.unwrap().unwrap();
    assert_eq!(then.entry.size, 3_145_745);
    let kit = kit.reopened();
    assert_eq!(tree_of(kit.begin(key).await.root().dir()), kit.tree(key).await);
}
