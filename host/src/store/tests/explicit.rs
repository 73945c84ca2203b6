//! Explicit transactions (R23): of several jobs, and in the middle of one. After
//! each step the whole store is checked.

use super::history::PIECE;
use super::history::pieces;
use super::*;

impl Kit {
    async fn explicit(&self, id: &str) -> Session {
        self.made(id, TransactionMode::Explicit, None).await.unwrap()
    }
}

#[tokio::test]
async fn r23_jobs_of_an_explicit_transaction_are_kept_together_or_not_at_all() {
    let kit = Kit::new().await;
    let key = kit.explicit("s").await.key;
    kit.job(key, "j1", &["f", "d"], |dir| {
        dir.write("f", pieces(2, 1)).unwrap();
        dir.create_dir("d").unwrap();
    })
    .await;
    kit.set(key, "k", Some("1")).await;
    // Readers see the last commit; the next job sees what the one before it did.
    let session = kit.at(key).await;
    assert_eq!((session.commit, session.uncommitted, session.usage.files), (0, true, 0));
    assert_eq!(kit.tree(key).await, Vec::<String>::new());
    let draft = kit.begin(key).await;
    assert_eq!(draft.root().dir().read("f").unwrap(), pieces(2, 1));
    assert_eq!((draft.params()["k"].as_str(), draft.usage().files), ("1", 2));
    draft.roll_back(Touched::nowhere());
    kit.check().await;
    assert_eq!(kit.store.commit_transaction(key, now()).await.unwrap(), 1);
    let committed = kit.all_of(key, None).await;
    assert_eq!(committed.0.len(), 2);
    assert_eq!(kit.changes(key, 1).await, ["Created d 0", "Created f 131072", "Created param k"]);

    // The same pieces several times over, and what is made and removed in between.
    for (number, byte) in [(1, 9), (2, 10), (3, 11)] {
        kit.job(key, &format!("again{number}"), &["f", "d", "e"], |dir| {
            let mut bytes = pieces(2, 1);
            bytes[0] = byte;
            bytes.truncate(PIECE + usize::from(byte));
            dir.write("f", bytes).unwrap();
            if number == 1 {
                dir.create_dir("e").unwrap()
            } else {
                drop(dir.remove_dir("e"))
            }
            if number == 2 {
                dir.remove_dir("d").unwrap()
            }
        })
        .await;
        kit.set(key, "k", if number == 2 { None } else { Some("2") }).await;
        kit.check().await;
    }
    assert_eq!(kit.all_of(key, None).await, committed);
    assert_eq!(kit.store.roll_back_transaction(key, now()).await.unwrap(), 1);
    kit.check().await;
    let session = kit.at(key).await;
    assert_eq!((session.commit, session.uncommitted), (1, false));
    let draft = kit.begin(key).await;
    assert_eq!(tree_of(draft.root().dir()), ["directory d 0", "file f 131072"]);
    assert_eq!(draft.root().dir().read("f").unwrap(), pieces(2, 1));
    assert_eq!(draft.usage(), session.usage);
    draft.roll_back(Touched::nowhere());
    // Nothing to commit makes no commit.
    assert_eq!(kit.store.commit_transaction(key, now()).await.unwrap(), 1);
    let other = kit.session("job").await.key;
    assert_eq!(refused(kit.store.commit_transaction(other, now()).await), Refused::NotExplicit);
    assert_eq!(refused(kit.store.roll_back_transaction(other, now()).await), Refused::NotExplicit);
}

#[tokio::test]
async fn r23_a_restart_rolls_back_what_was_not_committed() {
    let kit = Kit::new().await;
    let key = kit.explicit("s").await.key;
    kit.put(key, "f", b"kept").await.unwrap();
    kit.store.commit_transaction(key, now()).await.unwrap();
    let tag = kit.entry(key, "f").await.etag;
    let lost = kit.put(key, "f", b"lost").await.unwrap();
    assert_ne!(lost.etag, tag);
    kit.put(key, "d/g", b"lost too").await.unwrap();
    assert_eq!(refused(kit.store.revert(key, 0, now()).await), Refused::Uncommitted);
    let kit = kit.reopened();
    assert_eq!(kit.store.recover(now()).await.unwrap().rolled_back, 1);
    kit.check().await;
    assert_eq!(kit.tree(key).await, ["file f 4"]);
    assert_eq!(kit.read(key, "f").await.unwrap(), b"kept");
    assert!(!kit.at(key).await.uncommitted);
    // A tag that stood for what was undone never stands for anything else.
    let again = kit.put(key, "f", b"more").await.unwrap();
    assert!(again.etag != lost.etag && again.etag != tag);
}

#[tokio::test]
async fn r23_a_commit_in_the_middle_of_a_job_stays_when_the_rest_goes() {
    let kit = Kit::new().await;
    let key = kit.explicit("s").await.key;
    kit.put(key, "early", b"by an earlier write").await.unwrap();
    let mut draft = kit.begin(key).await;
    let dir = draft.root().dir().try_clone().unwrap();
    dir.write("first", "1").unwrap();
    let params = BTreeMap::from([("k".to_owned(), Some("1".to_owned()))]);
    draft.commit_so_far("j".parse().unwrap(), paths(&["first"]), params, now()).await.unwrap();
    assert_eq!((draft.usage().files, draft.params()["k"].as_str()), (2, "1"));
    dir.write("first", "2").unwrap();
    dir.write("second", "2").unwrap();
    draft.roll_back(paths(&["first", "second"]));
    kit.check().await;
    assert_eq!(kit.tree(key).await, ["file early 19", "file first 1"]);
    assert_eq!(kit.read(key, "first").await.unwrap(), b"1");
    assert_eq!(tree_of(kit.begin(key).await.root().dir()), kit.tree(key).await);
}

#[tokio::test]
async fn r23_a_rollback_in_the_middle_of_a_job_puts_its_directory_back() {
    let kit = Kit::new().await;
    let key = kit.explicit("s").await.key;
    kit.put(key, "kept", b"kept").await.unwrap();
    kit.store.commit_transaction(key, now()).await.unwrap();
    kit.put(key, "early", b"by an earlier write").await.unwrap();
    let (seq, attempt) = kit.running("j").await;
    let mut draft = kit.begin(key).await;
    let dir = draft.root().dir().try_clone().unwrap();
    dir.remove_file("kept").unwrap();
    dir.create_dir("kept").unwrap();
    dir.write("kept/in", "x").unwrap();
    draft.roll_back_so_far(paths(&["kept"]), now()).await.unwrap();
    assert_eq!(tree_of(&dir), ["file kept 4"]);
    assert_eq!(draft.usage(), crate::model::session::Usage { bytes: 4, files: 1 });
    dir.write("after", "a").unwrap();
    kit.commit(draft, seq, attempt, &["after"]).await.unwrap();
    kit.check().await;
    kit.store.commit_transaction(key, now()).await.unwrap();
    assert_eq!(kit.tree(key).await, ["file after 1", "file kept 4"]);
}
