//! The data directory: whose it is, and what a crash leaves in it.

use super::*;
use crate::model::job::JobState;
use crate::model::job::NamedSession;
use crate::model::outcome::Reason;
use crate::store::QueuedJob;

/// Copies the data directory of a running store, as a power cut would find it.
pub(super) fn power_cut(kit: &Kit) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    copy_dir(&kit.home.path().join("data"), &image.path().join("data"));
    image
}

pub(super) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn after(image: TempDir) -> Kit {
    let store = open(image.path(), limits::WORK_BYTES_DEFAULT).unwrap();
    Kit { home: image, store }
}

/// R25: three jobs, of which one had ended, one was running and one waited.
#[tokio::test]
async fn r25_after_a_crash_accepted_jobs_are_queued_in_their_order() {
    let kit = Kit::new().await;
    let session = kit.session("s").await;
    kit.job(session.key, "done", &["f"], |dir| dir.write("f", "committed").unwrap()).await;
    let (running, _) = kit.running("running").await;
    let draft = kit.begin(session.key).await;
    draft.root().dir().write("f", "not committed").unwrap();
    let named = NamedSession { id: session.id.clone(), key: Some(session.key) };
    let waiting = NewJob { session: Some(named), ..kit.new_job("waiting") };
    let Accepted::New(second) = kit.store.accept(waiting.clone()).await.unwrap() else { panic!("it is new") };

    let kit = after(power_cut(&kit));
    let found = kit.store.recover(now()).await.unwrap();
    let first = QueuedJob {
        seq: running,
        job: kit.new_job("running"),
        attempts: 1,
        failures: 0,
        created: None,
        inputs_on_record: false,
    };
    assert_eq!(
        found.queued,
        [
            first,
            QueuedJob {
                seq: second.seq,
                job: waiting,
                attempts: 0,
                failures: 0,
                created: None,
                inputs_on_record: false
            }
        ]
    );
    assert_eq!((found.lost, found.compiling.len()), (0, 1));
    assert_eq!(kit.read(session.key, "f").await.unwrap(), b"committed");
    assert_eq!(kit.begin(session.key).await.root().dir().read("f").unwrap(), b"committed");
    assert_eq!(kit.store.claim(running, true, now()).await.unwrap(), 2);
}

#[tokio::test]
async fn r25_a_job_that_is_cut_short_too_often_is_lost() {
    let mut kit = Kit::new().await;
    let stubborn = kit.accept("stubborn").await;
    let once = NewJob { on_crash: OnCrash::Fail, ..kit.new_job("once") };
    let Accepted::New(once) = kit.store.accept(once).await.unwrap() else { panic!("it is new") };
    kit.store.claim(once.seq, false, now()).await.unwrap();
    for attempt in 1..=limits::ATTEMPTS_MAX {
        assert_eq!(kit.store.claim(stubborn, false, now()).await.unwrap(), attempt);
        kit = after(power_cut(&kit));
        kit.store.recover(now()).await.unwrap();
    }
    for (seq, word) in [(stubborn, "3 times"), (once.seq, "not to be run again")] {
        let job = kit.store.job_by_seq(seq).await.unwrap().unwrap();
        assert_eq!(job.state, JobState::Failed);
        let Some(Outcome::Failed { reason: Reason::Lost, detail, .. }) = job.outcome else { panic!("{job:?}") };
        assert!(detail.contains(word), "{detail}");
    }
    assert_eq!(kit.store.recover(now()).await.unwrap().queued, []);
}

/// Attempts that came to an end of their own are not held against the server.
#[tokio::test]
async fn r25_failed_attempts_do_not_count_as_cut_short() {
    let mut kit = Kit::new().await;
    let schedule = Schedule { retries: 5, ..Schedule::default() };
    let job = NewJob { schedule, ..kit.new_job("stubborn") };
    let Accepted::New(job) = kit.store.accept(job).await.unwrap() else { panic!("it is new") };
    let failure = Outcome::failed(Reason::Trap, "it trapped");
    for attempt in 1..=2 {
        assert_eq!(kit.store.claim(job.seq, false, now()).await.unwrap(), attempt);
        let later = now().plus(Duration::from_secs(u64::from(attempt)));
        kit.store.put_back(job.seq, attempt, failure.clone(), later).await.unwrap();
        let again = kit.store.put_back(job.seq, attempt, failure.clone(), later).await;
        assert!(matches!(again, Err(StoreError::Refused(Refused::NotTheJob))), "{again:?}");
        let found = kit.store.job_by_seq(job.seq).await.unwrap().unwrap();
        assert_eq!((found.state, found.started_at, found.outcome), (JobState::Queued, None, None));
        assert_eq!((found.last_failure, found.schedule.not_before), (Some(failure.clone()), Some(later)));
    }
    for attempt in 3..3 + limits::ATTEMPTS_MAX {
        let queued = kit.store.recover(now()).await.unwrap().queued;
        assert_eq!((queued[0].attempts, queued[0].failures), (attempt - 1, 2));
        assert_eq!(kit.store.claim(job.seq, false, now()).await.unwrap(), attempt);
        kit = after(power_cut(&kit));
    }
    assert_eq!(kit.store.recover(now()).await.unwrap().lost, 1);
    let lost = kit.store.job_by_seq(job.seq).await.unwrap().unwrap();
    assert_eq!((lost.state, lost.attempt, &lost.last_failure), (JobState::Failed, 5, &None));
    let Some(Outcome::Failed { reason: Reason::Lost, detail, .. }) = lost.outcome else { panic!("{lost:?}") };
    assert!(detail.contains("3 times"), "{detail}");
}

/// One in its own session, one that had made the session, one in a session that came
/// after it had been accepted, and one that only waits.
#[tokio::test]
async fn r19_jobs_that_were_being_stopped_with_their_session_are_not_run_again() {
    let kit = Kit::new().await;
    let dropped = kit.session("dropped").await;
    let (creator, _) = kit.running("creator").await;
    let made = NewSession { creator: Some(creator), ..kit.new_session("made") };
    let Created::New(made) = kit.store.create_session(made).await.unwrap() else { panic!("it is new") };
    let job = |id: &str, key: Option<SessionKey>| NewJob {
        session: Some(NamedSession { id: dropped.id.clone(), key }),
        ..kit.new_job(id)
    };
    let mut stopped = vec![creator];
    for (id, key) in [("inside", Some(dropped.key)), ("early", None)] {
        let Accepted::New(accepted) = kit.store.accept(job(id, key)).await.unwrap() else { panic!("it is new") };
        kit.store.claim(accepted.seq, true, now()).await.unwrap();
        stopped.push(accepted.seq);
    }
    let Accepted::New(outside) = kit.store.accept(job("outside", None)).await.unwrap() else { panic!("it is new") };
    kit.store.claim(outside.seq, false, now()).await.unwrap();
    let Accepted::New(waiting) = kit.store.accept(job("waiting", Some(dropped.key))).await.unwrap() else {
        panic!("it is new")
    };
    for key in [dropped.key, made.key] {
        kit.store.mark_session(key).await.unwrap();
    }

    let kit = after(power_cut(&kit));
    let found = kit.store.recover(now()).await.unwrap();
    assert_eq!((found.sessions_removed, found.lost), (2, 0));
    assert_eq!(found.queued.iter().map(|queued| queued.seq).collect::<Vec<_>>(), [outside.seq, waiting.seq]);
    for seq in stopped {
        let job = kit.store.job_by_seq(seq).await.unwrap().unwrap();
        assert_eq!((job.state, job.attempt), (JobState::Cancelled, 1));
    }
}

#[tokio::test]
async fn b22_what_was_half_done_is_put_away_at_the_start() {
    let kit = Kit::new().await;
    let dropped = kit.session("dropped").await.key;
    let kept = kit.session("kept").await.key;
    kit.put(kept, "f", b"x").await.unwrap();
    kit.store.mark_session(dropped).await.unwrap();
    // Uploaded, and the server died before the version was on record.
    kit.store.save_wasm(Digest::of(b"orphan"), b"orphan".to_vec()).await.unwrap();
    std::fs::write(kit.home.path().join("data/tmp/half"), "half an upload").unwrap();
    drop(kit.begin(kept).await);
    let image = power_cut(&kit);
    std::fs::create_dir_all(image.path().join("data/work/left/over")).unwrap();
    let kit = after(image);
    let found = kit.store.recover(now()).await.unwrap();
    assert_eq!(found.sessions_removed, 1);
    assert_eq!(kit.store.session_by_key(dropped).await.unwrap(), None);
    assert!(kit.store.wasm(Digest::of(b"orphan")).await.unwrap().is_none());
    assert!(kit.store.wasm(Digest::of(b"letter 1")).await.unwrap().is_some());
    assert_eq!(kit.tree(kept).await, ["file f 1"]);
    let data = kit.home.path().join("data");
    assert_eq!(std::fs::read_dir(data.join("tmp")).unwrap().count(), 0);
    let home = kit.home;
    drop(kit.store);
    assert_eq!(std::fs::read_dir(data.join("work")).unwrap().count(), 0);
    drop(home);
}

#[tokio::test]
async fn b36_one_server_at_a_time_uses_a_private_directory() {
    let kit = Kit::new().await;
    let data = kit.home.path().join("data");
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let second = open(kit.home.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(second.starts_with("another server is using the data directory"), "{second}");
    let kit = kit.reopened();
    assert!(kit.store.tenant(&"acme".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn b36_a_directory_that_is_not_ours_or_too_new_is_refused() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("data")).unwrap();
    std::fs::write(home.path().join("data/diary.txt"), "dear diary").unwrap();
    let foreign = open(home.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(foreign.contains("is not empty and not a data directory"), "{foreign}");

    let kit = Kit::new().await;
    let newer = kit.store.writer().enqueue(|db| Ok(db.execute("UPDATE schema_version SET version = 99", [])?));
    newer.await.unwrap();
    let Kit { home, store } = kit;
    drop(store);
    let newer = open(home.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(newer.contains("format 99"), "{newer}");
}

/// By default copies lie in memory, in a directory that nobody else can enter
/// and that is gone with the store.
#[test]
fn working_copies_lie_in_a_private_place_and_go_with_the_store() {
    let home = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        data: home.path().join("data"),
        work: None,
        work_bytes_max: 1 << 20,
        quota: Quota::of_machine(4, 1),
    };
    let store = Store::open(config).unwrap();
    let place = store.work_place().clone();
    assert_eq!(std::fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(place.bytes_max <= 1 << 20 && !place.why.is_empty());
    drop(store);
    assert!(!place.path.exists() || place.path.starts_with(home.path()));
}

#[tokio::test]
async fn params_are_written_in_the_order_of_the_calls() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let write = |number: u64| {
        let changes = ParamChanges::from([("n".to_owned(), Some(number.to_string()))]);
        kit.store.write_params(key, changes, now())
    };
    let receipts: Vec<_> = (1..=500).map(|number| (number, write(number))).collect();
    for (number, receipt) in receipts {
        assert_eq!(receipt.await.unwrap(), number);
    }
    assert_eq!(Arc::new(kit.store.params(key, None).await.unwrap().0)["n"], "500");
}
