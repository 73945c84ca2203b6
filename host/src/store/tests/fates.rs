//! What a job does to its session itself: made, renamed, deleted, with or
//! without the job's good end.

use super::*;

fn id(text: &str) -> crate::ids::SessionId {
    text.parse().unwrap()
}

impl Kit {
    async fn created_by(&self, name: &str, job: JobSeq) -> Created {
        let new = NewSession {
            id: id(name),
            owner: owner("ann"),
            queue: QueueMode::Wait,
            limits: SessionLimits::default(),
            terms: crate::model::expiry::Terms::default(),
            params: BTreeMap::new(),
            creator: Some(job),
            keyed: false,
            transaction: TransactionMode::Job,
            retention: Retention::default(),
            from: None,
            now: now(),
        };
        self.store.create_session(new).await.unwrap()
    }

    async fn exists(&self, name: &str) -> bool {
        self.store.session(&owner("ann"), &id(name)).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn r13_what_a_creator_wrote_before_and_after_is_its_sessions() {
    let kit = Kit::new().await;
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.store.begin(None).await.unwrap();
    let dir = draft.root().dir().try_clone().unwrap();
    dir.write("before", "1").unwrap();
    let Created::New(session) = kit.created_by("mine", seq).await else { panic!("it is new") };
    dir.create_dir("d").unwrap();
    dir.write("d/after", "2").unwrap();

    let draft = draft.adopt(session.key).await.unwrap();
    let params = BTreeMap::from([("k".to_owned(), Some("v".to_owned()))]);
    draft.commit(seq, attempt, ending(Outcome::Succeeded), Touched::Everywhere, params, Fate::Stays).await.unwrap();

    assert_eq!(kit.tree(session.key).await, ["file before 1", "directory d 0", "file d/after 1"]);
    assert_eq!(kit.store.params(session.key, None).await.unwrap().0["k"], "v");
    // The next job finds the same directory.
    let next = kit.begin(session.key).await;
    assert_eq!(next.root().dir().read_to_string("d/after").unwrap(), "2");
}

#[tokio::test]
async fn r16_the_session_of_a_creator_that_was_cut_short_is_found_by_its_next_attempt() {
    let kit = Kit::new().await;
    let (seq, _) = kit.running("j").await;
    let Created::New(made) = kit.created_by("mine", seq).await else { panic!("it is new") };
    assert_eq!(kit.created_by("mine", seq).await, Created::Again(made.clone()));
    let (other, _) = kit.running("another").await;
    assert_eq!(kit.created_by("mine", other).await, Created::Exists);

    let kit = kit.reopened();
    let found = kit.store.recover(now()).await.unwrap().queued;
    assert_eq!(found[0].created, Some(id("mine")));
    assert_eq!(found[1].created, None);
    // Once somebody has changed it, it is not the creator's to begin anew.
    let set = BTreeMap::from([("k".to_owned(), Some("v".to_owned()))]);
    kit.store.write_params(made.key, set, now()).await.unwrap();
    assert_eq!(kit.created_by("mine", seq).await, Created::Exists);
}

#[tokio::test]
async fn r15_a_rename_is_part_of_the_commit_and_of_nothing_else() {
    let kit = Kit::new().await;
    let key = kit.session("old").await.key;
    let (seq, attempt) = kit.running("fails").await;
    drop(kit.begin(key).await);
    kit.store.end(seq, attempt, ending(Outcome::exited(1))).await.unwrap();
    assert!(kit.exists("old").await && !kit.exists("new").await);

    let (seq, attempt) = kit.running("renames").await;
    let draft = kit.begin(key).await;
    draft.root().dir().write("f", "1").unwrap();
    let fate = Fate::Renamed { to: id("new") };
    draft.commit(seq, attempt, ending(Outcome::Succeeded), paths(&["f"]), ParamChanges::new(), fate).await.unwrap();

    assert!(!kit.exists("old").await && kit.exists("new").await);
    assert_eq!(kit.tree(key).await, ["file f 1"]);
    assert_eq!(kit.store.params(key, None).await.unwrap().0["count"], "1");
}

#[tokio::test]
async fn r15_a_rename_onto_a_session_keeps_nothing_of_the_job() {
    let kit = Kit::new().await;
    let (key, _) = (kit.session("old").await.key, kit.session("taken").await);
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.begin(key).await;
    draft.root().dir().write("f", "1").unwrap();
    let fate = Fate::Renamed { to: id("taken") };
    let refused =
        draft.commit(seq, attempt, ending(Outcome::Succeeded), paths(&["f"]), ParamChanges::new(), fate).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Refused(Refused::SessionExists(_))))), "{refused:?}");
    assert!(kit.exists("old").await);
    assert_eq!(kit.tree(key).await, Vec::<String>::new());
}

#[tokio::test]
async fn r18_a_session_that_its_job_deletes_goes_with_the_jobs_end() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    kit.job(key, "first", &["f"], |dir| dir.write("f", "1").unwrap()).await;
    let (seq, attempt) = kit.running("deletes").await;
    let draft = kit.begin(key).await;
    draft.commit_and_remove(seq, attempt, ending(Outcome::Succeeded)).await.unwrap();

    assert!(!kit.exists("s").await);
    let job = kit.store.job_by_seq(seq).await.unwrap().unwrap();
    assert_eq!(job.outcome, Some(Outcome::Succeeded));
    assert!(matches!(kit.store.begin(Some(key)).await, Err(StoreError::Refused(Refused::SessionGone))));
}
