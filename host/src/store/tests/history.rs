//! Commits that can be read, gone back to and built upon; dry runs. After each
//! step the whole store is checked.

use super::*;
use crate::model::history::Change;
use crate::model::history::NewRetention;
use crate::store::Origin;
use crate::store::SessionChanges;
use crate::store::check;

pub(super) const PIECE: usize = limits::CHUNK_BYTES;

/// A file of so many pieces, no two of them alike.
pub(super) fn pieces(count: usize, seed: u8) -> Vec<u8> {
    (0..count * PIECE).map(|at| (at / 7 + at / PIECE) as u8 ^ seed).collect()
}

impl Kit {
    async fn fork(&self, id: &str, from: SessionKey, commit: Option<u64>) -> Result<Session, StoreError> {
        self.made(id, TransactionMode::Job, Some(Origin { session: from, commit })).await
    }

    pub(super) async fn made(
        &self,
        id: &str,
        transaction: TransactionMode,
        from: Option<Origin>,
    ) -> Result<Session, StoreError> {
        let new = NewSession {
            id: id.parse().unwrap(),
            owner: owner("ann"),
            queue: QueueMode::Wait,
            limits: SessionLimits::default(),
            terms: Terms::default(),
            params: BTreeMap::new(),
            creator: None,
            keyed: false,
            transaction,
            retention: Retention::default(),
            from,
            now: now(),
        };
        match self.store.create_session(new).await? {
            Created::New(session) => Ok(session),
            Created::Again(_) | Created::Exists => panic!("{id} exists"),
        }
    }

    pub(super) async fn set(&self, key: SessionKey, name: &str, value: Option<&str>) {
        let change = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
        self.store.write_params(key, change, now()).await.unwrap();
    }

    pub(super) async fn at(&self, key: SessionKey) -> Session {
        self.store.session_by_key(key).await.unwrap().unwrap()
    }

    /// Everything that can be read of a session as of a commit.
    pub(super) async fn all_of(
        &self,
        key: SessionKey,
        commit: Option<u64>,
    ) -> (Vec<(String, Vec<u8>)>, BTreeMap<String, String>) {
        let (page, _) = self.store.files(key, commit, None, Recursive::Yes, all()).await.unwrap();
        let mut files = Vec::new();
        for entry in page.items {
            let bytes = match self.store.file(key, commit, entry.path.clone()).await.unwrap() {
                Some(content) => bytes_of(content.body),
                None => Vec::new(),
            };
            files.push((format!("{} {}", entry.kind.word(), entry.path), bytes));
        }
        (files, self.store.params(key, commit).await.unwrap().0)
    }

    pub(super) async fn changes(&self, key: SessionKey, commit: u64) -> Vec<String> {
        let (_, changes) = self.store.commit_changes(key, commit).await.unwrap();
        let files = changes.files.iter().map(|file| format!("{:?} {} {}", file.change, file.path, file.size));
        let params = changes.params.iter().map(|param| format!("{:?} param {}", param.change, param.name));
        files.chain(params).collect()
    }

    async fn numbers(&self, key: SessionKey) -> Vec<u64> {
        let page = self.store.commits(key, all()).await.unwrap();
        page.items.iter().map(|commit| commit.number).collect()
    }

    /// Nothing is wrong anywhere in the store.
    pub(super) async fn check(&self) {
        let faults = self.store.read(check::open_database).await.unwrap();
        assert_eq!(faults, Vec::<String>::new());
    }
}

pub(super) fn bytes_of(body: Body) -> Vec<u8> {
    match body {
        Body::Memory(bytes) => bytes,
        Body::Spooled(mut file) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
            bytes
        }
    }
}

#[tokio::test]
async fn r26a_a_commit_reads_as_it_was_made_for_as_long_as_it_is_kept() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let mut expected = vec![kit.all_of(key, None).await];
    for number in 1..=14_u8 {
        kit.job(key, &format!("j{number}"), &["big", "d", "gone"], |dir| {
            let mut big = pieces(4, 0);
            big[usize::from(number % 4) * PIECE] = number;
            big.truncate(PIECE * 3 + usize::from(number));
            dir.write("big", big).unwrap();
            dir.create_dir_all("d").unwrap();
            dir.write(format!("d/{number}"), [number]).unwrap();
            if number % 2 == 0 { dir.write("gone", "x").unwrap() } else { drop(dir.remove_file("gone")) }
        })
        .await;
        expected.push(kit.all_of(key, None).await);
        kit.check().await;
    }
    let session = kit.at(key).await;
    assert_eq!((session.oldest_commit, session.commit), (5, 14));
    assert_eq!(kit.numbers(key).await, Vec::from_iter((5..=14).rev()));
    let kit = kit.reopened();
    for number in 5..=14 {
        assert_eq!(kit.all_of(key, Some(number)).await, expected[number as usize], "commit {number}");
    }
    assert_eq!(kit.changes(key, 6).await, ["Modified big 196614", "Created d/6 1", "Created gone 1"]);
    assert_eq!(kit.changes(key, 5).await, ["Modified big 196613", "Created d/5 1", "Deleted gone 1"]);
    for number in [4, 15] {
        let refused = refused(kit.store.commit_changes(key, number).await);
        assert_eq!(refused, Refused::NoCommit { number, first: 5, last: 14 });
    }
    assert!(kit.store.remove_session(key).await.unwrap());
    kit.check().await;
    let left = kit.store.read(|db| Ok(db.query_row("SELECT count(*) FROM blob", [], |row| row.get::<_, i64>(0))?));
    assert_eq!(left.await.unwrap(), 0);
}

#[tokio::test]
async fn r26a_a_revert_is_a_new_commit_that_holds_what_the_old_one_held() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["a"], |dir| {
        dir.create_dir("a").unwrap();
        dir.write("a/big", pieces(3, 1)).unwrap();
        dir.write("a/small", "1").unwrap();
    })
    .await;
    kit.set(key, "k", Some("1")).await;
    let before = kit.all_of(key, None).await;
    let etag = kit.entry(key, "a/big").await.etag;
    kit.job(key, "j2", &["a/big", "a/small", "a/new"], |dir| {
        let mut big = pieces(3, 1);
        big[PIECE] = 77;
        dir.write("a/big", big).unwrap();
        dir.remove_file("a/small").unwrap();
        dir.create_dir("a/small").unwrap();
        dir.write("a/new", "new").unwrap();
    })
    .await;
    kit.set(key, "k", None).await;
    kit.set(key, "other", Some("x")).await;
    let after = kit.all_of(key, None).await;
    assert_eq!(kit.store.revert(key, 2, now()).await.unwrap(), 6);
    kit.check().await;
    assert_eq!(kit.all_of(key, None).await, before);
    assert_eq!(kit.all_of(key, Some(5)).await, after);
    assert_eq!(kit.entry(key, "a/big").await.etag, etag);
    // The working copy follows, and so do the counts.
    let draft = kit.begin(key).await;
    assert_eq!(draft.root().dir().read("a/big").unwrap(), pieces(3, 1));
    assert_eq!(tree_of(draft.root().dir()), kit.tree(key).await);
    assert_eq!(draft.usage(), kit.at(key).await.usage);
    draft.roll_back(Touched::nowhere());
    // And back again.
    assert_eq!(kit.store.revert(key, 5, now()).await.unwrap(), 7);
    assert_eq!(kit.all_of(key, None).await, after);
    kit.check().await;
    assert!(matches!(refused(kit.store.revert(key, 8, now()).await), Refused::NoCommit { number: 8, .. }));
}

#[tokio::test]
async fn r26_going_back_writes_no_neighbours_of_what_differs() {
    use cap_std::fs::MetadataExt as _;
    let kit = Kit::new().await;
    let key = kit.made("s", TransactionMode::Explicit, None).await.unwrap().key;
    let work = |name: &'static str| move |dir: &Dir| dir.write(name, "1").unwrap();
    kit.job(key, "j1", &["d"], |dir| {
        dir.create_dir("d").unwrap();
        dir.write("d/stays", "1").unwrap();
    })
    .await;
    kit.store.commit_transaction(key, now()).await.unwrap();
    let stays = async || {
        let draft = kit.begin(key).await;
        let dir = draft.root().dir().try_clone().unwrap();
        let found = (dir.metadata("d/stays").unwrap().ino(), tree_of(&dir));
        let times = draft.root().dir().metadata("d").unwrap().modified().unwrap();
        draft.roll_back(Touched::nowhere());
        (found, times)
    };
    let before = stays().await;
    kit.job(key, "j2", &["d/new"], work("d/new")).await;
    kit.store.roll_back_transaction(key, now()).await.unwrap();
    assert_eq!(stays().await, before);
    kit.job(key, "j3", &["d/new"], work("d/new")).await;
    kit.store.commit_transaction(key, now()).await.unwrap();
    kit.store.revert(key, 1, now()).await.unwrap();
    assert_eq!(stays().await, before);
    kit.check().await;
}

#[tokio::test]
async fn r26a_a_fork_shares_its_content_until_either_side_changes_it() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["f"], |dir| dir.write("f", pieces(3, 2)).unwrap()).await;
    kit.job(key, "j2", &["f"], |dir| dir.write("f", pieces(3, 3)).unwrap()).await;
    let blobs = async || {
        let count = kit.store.read(|db| Ok(db.query_row("SELECT count(*) FROM blob", [], |row| row.get::<_, i64>(0))?));
        count.await.unwrap()
    };
    assert_eq!(blobs().await, 6);
    let old = kit.fork("old", key, Some(1)).await.unwrap();
    let new = kit.fork("new", key, None).await.unwrap();
    assert_eq!((blobs().await, new.commit, new.stored_bytes), (6, 0, 3 * PIECE as u64));
    kit.check().await;
    assert_eq!(kit.read(old.key, "f").await.unwrap(), pieces(3, 2));
    assert_eq!(kit.store.params(old.key, None).await.unwrap().0["count"], "1");
    let tag = async |key| kit.entry(key, "f").await.etag;
    assert_ne!(tag(old.key).await, tag(new.key).await);
    kit.put(old.key, "f", b"changed").await.unwrap();
    kit.check().await;
    assert_eq!(kit.read(key, "f").await.unwrap(), pieces(3, 3));
    assert_eq!(kit.all_of(key, Some(1)).await.0[0].1, pieces(3, 2));
    // The source goes, and what others share stays.
    assert!(kit.store.remove_session(key).await.unwrap());
    kit.check().await;
    assert_eq!(kit.read(new.key, "f").await.unwrap(), pieces(3, 3));
    assert_eq!(kit.all_of(old.key, Some(0)).await.0[0].1, pieces(3, 2));
    let refused = refused(kit.fork("none", new.key, Some(9)).await);
    assert_eq!(refused, Refused::NoCommit { number: 9, first: 0, last: 0 });
}

#[tokio::test]
async fn r26a_a_dry_run_says_what_it_would_change_and_changes_nothing() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["a", "b", "d"], |dir| {
        dir.write("a", "1").unwrap();
        dir.write("b", "1").unwrap();
        dir.create_dir("d").unwrap();
    })
    .await;
    let before = kit.all_of(key, None).await;
    let draft = kit.begin(key).await;
    let dir = draft.root().dir().try_clone().unwrap();
    dir.write("a", "longer").unwrap();
    dir.remove_file("b").unwrap();
    dir.write("d/c", "new").unwrap();
    let params = BTreeMap::from([
        ("count".to_owned(), Some("1".to_owned())),
        ("none".to_owned(), None),
        ("new".to_owned(), Some("x".to_owned())),
    ]);
    let changes = draft.dry_run(paths(&["a", "b", "d/c"]), &params).await.unwrap();
    let files: Vec<_> = changes.files.iter().map(|file| (file.path.as_str(), file.change, file.size)).collect();
    assert_eq!(files, [("a", Change::Modified, 6), ("b", Change::Deleted, 1), ("d/c", Change::Created, 3)]);
    let params: Vec<_> = changes.params.iter().map(|param| (param.name.as_str(), param.change)).collect();
    assert_eq!(params, [("new", Change::Created)]);
    assert_eq!(kit.all_of(key, None).await, before);
    assert_eq!(tree_of(kit.begin(key).await.root().dir()), kit.tree(key).await);
    kit.check().await;
    // On record with its job.
    let (seq, attempt) = kit.running("j").await;
    let ending = Ending { changes: Some(changes.clone()), ..ending(Outcome::Succeeded) };
    kit.store.end(seq, attempt, ending).await.unwrap();
    let stored =
        kit.store.writer().enqueue(move |db| Ok(db.execute("UPDATE job SET dry_run = 1 WHERE seq = ?1", [seq.0])?));
    assert_eq!(stored.await.unwrap(), 1);
    assert_eq!(kit.store.job_by_seq(seq).await.unwrap().unwrap().changes, Some(changes));
}

#[tokio::test]
async fn r26a_commits_go_when_they_are_too_many_too_old_or_too_large() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    for number in 0..6_u8 {
        kit.put(key, "f", &pieces(1, number)).await.unwrap();
    }
    let retain = async |commits, age, at| {
        let retention = NewRetention { commits, age };
        let changes = SessionChanges { retention, ..SessionChanges::default() };
        kit.store.change_session(key, changes, Timestamp::from_micros(at)).await.unwrap();
    };
    retain(Some(3), None, NOW).await;
    assert_eq!(kit.numbers(key).await, [6, 5, 4]);
    kit.check().await;
    retain(None, Some(Some(Duration::from_secs(60))), NOW).await;
    let (soon, late) = (Timestamp::from_micros(NOW + 59_000_000), Timestamp::from_micros(NOW + 60_000_000));
    assert_eq!(kit.store.forget_old_commits(soon, 10).await.unwrap(), 0);
    assert_eq!(kit.store.forget_old_commits(late, 10).await.unwrap(), 1);
    assert_eq!(kit.store.forget_old_commits(late, 10).await.unwrap(), 0);
    assert_eq!(kit.numbers(key).await, [6]);
    kit.check().await;
    assert_eq!(kit.read(key, "f").await.unwrap(), pieces(1, 5));

    // Together they take no more than the session itself may.
    let limits = SessionLimits { bytes: 3 * PIECE as u64, files: 10 };
    let key = kit.limited_session("small", limits).await.key;
    for number in 0..6_u8 {
        kit.put(key, "f", &pieces(2, number)).await.unwrap();
        kit.check().await;
        let stored = kit.at(key).await.stored_bytes;
        assert!(stored <= 2 * limits.bytes, "{stored} bytes");
    }
    assert_eq!(kit.numbers(key).await.len(), 2);
}

#[tokio::test]
async fn r26_a_hole_takes_no_bytes_and_reads_as_zeros() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "j1", &["sparse"], |dir| {
        let file = dir.create("sparse").unwrap().into_std();
        file.set_len(100 * PIECE as u64 + 5).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", 100 * PIECE as u64).unwrap();
    })
    .await;
    let session = kit.at(key).await;
    assert_eq!((session.usage.bytes, session.stored_bytes), (100 * PIECE as u64 + 5, 5));
    let mut expected = vec![0; 100 * PIECE + 5];
    expected[100 * PIECE..][..3].copy_from_slice(b"end");
    assert_eq!(kit.read(key, "sparse").await.unwrap(), expected);
    let kit = kit.reopened();
    assert_eq!(kit.begin(key).await.root().dir().read("sparse").unwrap(), expected);
    kit.check().await;
}

/// R33: names and parameters hold no bytes of files, and fill the disk all the same.
#[tokio::test]
async fn r33_what_is_past_is_bounded_also_if_it_is_no_content() {
    let kit = Kit::new().await;
    let key = kit.limited_session("s", SessionLimits { bytes: limits::HISTORY_BYTES_MIN, files: 100 }).await.key;
    for number in 0..9 {
        kit.set(key, "k", Some(&number.to_string().repeat(20_000))).await;
        kit.check().await;
    }
    assert_eq!(kit.numbers(key).await, [9, 8, 7]);
    for number in 10..19_u8 {
        let name = |number: u8| format!("{}-{number}", "n".repeat(200));
        kit.job(key, &format!("j{number}"), &[&name(number - 1), &name(number)], |dir| {
            dir.create_dir(name(number)).unwrap();
            drop(dir.remove_dir(name(number - 1)));
        })
        .await;
    }
    assert_eq!(kit.numbers(key).await.len(), 10);
    kit.check().await;
}
