//! Tenants, keys, modules, sessions and jobs on record.

use super::*;
use crate::model::caller::Scope;
use crate::model::job::Job;
use crate::model::job::JobState;
use crate::model::job::NamedSession;
use crate::model::module::ModuleState;
use crate::model::outcome::Reason;
use crate::store::Added;
use crate::store::Claim;
use crate::store::JobFilter;
use crate::store::Key;
use crate::store::SessionFilter;
use crate::store::Stream;
use crate::store::rows;

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

#[tokio::test]
async fn keys_are_found_again_and_belong_to_a_tenant() {
    let kit = Kit::new().await;
    let key = Key {
        id: "k1".to_owned(),
        hash: [7; 32],
        owner: owner("ann"),
        scopes: std::collections::BTreeSet::from([Scope::Submit, Scope::Admin]),
        created_at: now(),
        last_used_at: None,
    };
    kit.store.create_key(key.clone()).await.unwrap();
    assert_eq!(refused(kit.store.create_key(key.clone()).await), Refused::KeyExists { id: "k1".to_owned() });
    let stranger = Owner { tenant: "nobody".parse().unwrap(), ..owner("ann") };
    let foreign = Key { owner: stranger.clone(), ..key.clone() };
    assert_eq!(refused(kit.store.create_key(foreign).await), Refused::NoTenant(stranger.tenant));
    let kit = kit.reopened();
    assert_eq!(kit.store.all_keys().await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(kit.store.keys(&tenant(), all()).await.unwrap().items, [key]);
    assert!(kit.store.delete_key(tenant(), "k1".to_owned()).await.unwrap());
    assert!(!kit.store.delete_key(tenant(), "k1".to_owned()).await.unwrap());
}

#[tokio::test]
async fn a_tenant_goes_with_all_it_has_but_not_while_jobs_live() {
    let kit = Kit::new().await;
    assert_eq!(refused(kit.store.create_tenant(tenant(), now()).await), Refused::TenantExists(tenant()));
    kit.store.create_tenant("other".parse().unwrap(), now()).await.unwrap();
    let key = kit.session("s").await.key;
    kit.put(key, "f", b"x").await.unwrap();
    let seq = kit.accept("j").await;
    assert_eq!(refused(kit.store.delete_tenant(tenant()).await), Refused::TenantInUse { live: 1 });
    kit.store.end(seq, 0, ending(Outcome::Cancelled { detail: "no".to_owned() })).await.unwrap();
    kit.store.delete_tenant(tenant()).await.unwrap();
    assert_eq!(kit.store.session_by_key(key).await.unwrap(), None);
    assert_eq!(kit.store.job_by_seq(seq).await.unwrap(), None);
    assert!(kit.store.wasm(Digest::of(b"letter 1")).await.unwrap().is_none());
    let left = kit.store.tenants(all()).await.unwrap();
    assert_eq!(left.items.iter().map(|tenant| tenant.name.as_str()).collect::<Vec<_>>(), ["other"]);
    let rows = kit.store.read(|db| {
        Ok(db.query_row(
            "SELECT (SELECT count(*) FROM node) + (SELECT count(*) FROM chunk) + (SELECT count(*) FROM job_output)",
            [],
            |row| row.get::<_, i64>(0),
        )?)
    });
    assert_eq!(rows.await.unwrap(), 0);
}

#[tokio::test]
async fn versions_are_numbered_once_and_found_by_every_name() {
    let kit = Kit::new().await;
    assert!(matches!(kit.upload("letter", b"letter 1").await, Added::Same(version) if version.version == 1));
    assert!(matches!(kit.upload("letter", b"letter 2").await, Added::New(version) if version.version == 2));
    let rejected = ModuleState::Rejected { reason: "no".to_owned() };
    assert!(kit.store.set_module_state(tenant(), "letter".parse().unwrap(), 2, rejected).await.unwrap());
    assert!(kit.store.set_module_state(tenant(), "letter".parse().unwrap(), 1, ModuleState::Ready).await.unwrap());
    let find = async |text: &str| {
        let found = kit.store.module_version(&tenant(), &text.parse().unwrap()).await.unwrap();
        found.map(|version| version.version)
    };
    assert_eq!(find("letter").await, Some(1));
    assert_eq!(find("letter@2").await, Some(2));
    assert_eq!(find(&format!("letter@{}", Digest::of(b"letter 2"))).await, Some(2));
    assert_eq!(find("letter@3").await, None);
    // The same bytes again, after they were rejected, are a new version.
    assert!(matches!(kit.upload("letter", b"letter 2").await, Added::New(version) if version.version == 3));
    assert!(kit.store.delete_version(tenant(), "letter".parse().unwrap(), 3).await.unwrap());
    assert!(matches!(kit.upload("letter", b"letter 4").await, Added::New(version) if version.version == 4));
    kit.upload("aggregate", b"a").await;
    let names = kit.store.modules(&tenant(), PageOf { limit: 1, cursor: None }).await.unwrap();
    assert_eq!(names.items[0].name.as_str(), "aggregate");
    let next = kit.store.modules(&tenant(), PageOf { limit: 1, cursor: names.next }).await.unwrap();
    assert_eq!((next.items[0].name.as_str(), next.items[0].version, next.next), ("letter", 4, None));
    let versions = kit.store.versions(&tenant(), &"letter".parse().unwrap(), all()).await.unwrap();
    assert_eq!(versions.items.iter().map(|version| version.version).collect::<Vec<_>>(), [4, 2, 1]);
}

#[tokio::test]
async fn bytes_stay_for_jobs_that_were_accepted_and_go_after_them() {
    let kit = Kit::new().await;
    let digest = Digest::of(b"letter 1");
    let artefact = kit.store.save_artefact(digest, "f00", &b"code"[..]).await.unwrap();
    assert_eq!(kit.store.artefact(digest, "f00").await.unwrap(), Some(artefact.clone()));
    assert_eq!(artefact.digest, Digest::of(b"code"));
    let seq = kit.accept("j").await;
    assert!(kit.store.delete_module(tenant(), "letter".parse().unwrap()).await.unwrap());
    assert!(kit.store.wasm(digest).await.unwrap().is_some());
    let gone = Refused::ModuleGone { name: "letter".parse().unwrap(), version: 1 };
    assert_eq!(refused(kit.store.accept(kit.new_job("late")).await), gone);
    kit.store.end(seq, 0, ending(Outcome::failed(Reason::HostError, "x"))).await.unwrap();
    assert!(kit.store.wasm(digest).await.unwrap().is_none());
    assert!(!artefact.path.exists());
    assert_eq!(kit.store.artefact(digest, "f00").await.unwrap(), None);
    // Uploaded again, it is a version of its own.
    assert!(matches!(kit.upload("letter", b"letter 1").await, Added::New(version) if version.version == 2));
}

#[tokio::test]
async fn bytes_go_with_their_last_job_if_its_end_was_written_twice() {
    let kit = Kit::new().await;
    let digest = Digest::of(b"letter 1");
    kit.store.save_artefact(digest, "f00", &b"code"[..]).await.unwrap();
    let seq = kit.accept("j").await;
    assert!(kit.store.delete_module(tenant(), "letter".parse().unwrap()).await.unwrap());
    // What comes while this waits is one commit.
    let (gate, closed) = std::sync::mpsc::channel::<()>();
    let closed = std::sync::Mutex::new(closed);
    drop(kit.store.writer().enqueue(move |_| {
        // An error says that the gate was dropped.
        closed.lock().unwrap().recv().unwrap_err();
        Ok(())
    }));
    let ended = kit.store.end(seq, 0, ending(Outcome::failed(Reason::HostError, "x")));
    let torn = kit.store.writer().enqueue::<(), _>(|db| {
        rows::change(db, "UPDATE tenant SET created_at = 0", [])?;
        Err(StoreError::Broken("on purpose".to_owned()))
    });
    drop(gate);
    assert!(torn.await.is_err());
    ended.await.unwrap();
    assert!(kit.store.wasm(digest).await.unwrap().is_none());
    assert_eq!(kit.store.artefact(digest, "f00").await.unwrap(), None);
}

#[tokio::test]
async fn code_of_other_engines_is_collected() {
    let kit = Kit::new().await;
    let digest = Digest::of(b"letter 1");
    let old = kit.store.save_artefact(digest, "old", &b"1"[..]).await.unwrap();
    kit.store.save_artefact(digest, "new", &b"2"[..]).await.unwrap();
    assert_eq!(kit.store.collect_artefacts("new").await.unwrap(), 1);
    assert!(!old.path.exists());
    assert!(kit.store.artefact(digest, "new").await.unwrap().is_some());
    assert!(kit.store.save_artefact(digest, "../x", &b"2"[..]).await.is_err());
}

#[tokio::test]
async fn r2_a_job_id_is_one_request() {
    let kit = Kit::new().await;
    let seq = kit.accept("j").await;
    let again = kit.store.accept(kit.new_job("j")).await.unwrap();
    assert!(matches!(again, Accepted::Known(job) if job.seq == seq && job.state == JobState::Queued));
    let other = NewJob { fingerprint: Digest::of(b"other"), ..kit.new_job("j") };
    assert_eq!(kit.store.accept(other).await.unwrap(), Accepted::Conflict);
    // Another principal's ids are their own.
    let theirs = NewJob { owner: owner("bob"), ..kit.new_job("j") };
    assert!(matches!(kit.store.accept(theirs).await.unwrap(), Accepted::New(_)));
}

#[tokio::test]
async fn r26b_a_job_recorded_behind_its_answer_reads_like_one_that_was_accepted() {
    let kit = Kit::new().await;
    let ends = [Outcome::Succeeded, Outcome::exited(3), Outcome::Cancelled { detail: "enough".to_owned() }];
    for (n, outcome) in ends.into_iter().enumerate() {
        let [accepted, behind] = ["accepted", "behind"].map(|how| format!("{how}-{n}"));
        let ending = ending(outcome);
        let seq = kit.accept(&accepted).await;
        kit.store.claim(seq, false, now()).await.unwrap();
        kit.store.end(seq, 1, ending.clone()).await.unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = move |recorded: Result<(), &StoreError>| tell.send(recorded.is_ok()).unwrap();
        kit.store.record(kit.new_job(&behind), Some(now()), ending, tell);
        assert!(told.await.unwrap());

        let accepted = kit.store.job(&owner("ann"), &accepted.parse().unwrap()).await.unwrap().unwrap();
        let behind = kit.store.job(&owner("ann"), &behind.parse().unwrap()).await.unwrap().unwrap();
        let printed = kit.store.printed(behind.seq, Stream::Stdout).await.unwrap();
        assert_eq!(printed, kit.store.printed(accepted.seq, Stream::Stdout).await.unwrap());
        let alike = Job { seq: accepted.seq, id: accepted.id.clone(), labels: accepted.labels.clone(), ..behind };
        assert_eq!(alike, accepted);
    }
}

#[tokio::test]
async fn what_is_said_of_a_job_at_its_end_is_what_the_record_says() {
    let kit = Kit::new().await;
    let ends = [Outcome::Succeeded, Outcome::exited(3), Outcome::Cancelled { detail: "enough".to_owned() }];
    for (n, outcome) in ends.into_iter().enumerate() {
        for claimed in [false, true] {
            let id = format!("{n}-{claimed}");
            let seq = kit.accept(&id).await;
            let accepted = kit.store.job_by_seq(seq).await.unwrap().unwrap();
            let claim = claimed.then_some(Claim { attempt: 1, session_active: true, at: now() });
            if claimed {
                kit.store.claim(seq, true, now()).await.unwrap();
            }
            let spent = Spent { wall: Duration::from_nanos(1_999), ..ending(Outcome::Succeeded).spent };
            let result = claimed.then(|| "[1]".to_owned());
            let ending = Ending { spent, result, ..ending(outcome.clone()) };
            kit.store.end(seq, u32::from(claimed), ending.clone()).await.unwrap();
            assert_eq!(Some(ending.of(accepted, claim)), kit.store.job_by_seq(seq).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_job_is_claimed_once_and_ends_once() {
    let kit = Kit::new().await;
    let (seq, attempt) = kit.running("j").await;
    assert_eq!(attempt, 1);
    assert_eq!(refused(kit.store.claim(seq, true, now()).await), Refused::NotTheJob);
    let failed = Outcome::Failed { reason: Reason::Exit, exit_code: Some(3), detail: "code 3".to_owned() };
    assert_eq!(refused(kit.store.end(seq, 2, ending(failed.clone())).await), Refused::NotTheJob);
    kit.store.end(seq, 1, ending(failed.clone())).await.unwrap();
    assert_eq!(refused(kit.store.end(seq, 1, ending(Outcome::Succeeded)).await), Refused::NotTheJob);
    let kit = kit.reopened();
    let job = kit.store.job(&owner("ann"), &"j".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((job.state, job.outcome, job.attempt), (JobState::Failed, Some(failed), 1));
    assert_eq!(job.spent, ending(Outcome::Succeeded).spent);
    assert_eq!((job.stdout_bytes, job.stdout_truncated, job.stderr_bytes), (3, true, 0));
    assert_eq!(kit.store.printed(seq, Stream::Stdout).await.unwrap(), b"out");
    assert_eq!(kit.store.printed(seq, Stream::Stderr).await.unwrap(), b"");
    assert_eq!(kit.store.job(&owner("bob"), &"j".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_filtered() {
    let kit = Kit::new().await;
    for number in 0..5 {
        let session = NamedSession { id: "s".parse().unwrap(), key: None };
        let session = (number % 2 == 0).then_some(session);
        kit.store.accept(NewJob { session, ..kit.new_job(&format!("j{number}")) }).await.unwrap();
    }
    kit.store.end(JobSeq(1), 0, ending(Outcome::Succeeded)).await.unwrap();
    let list = async |filter: JobFilter| {
        let mut found = Vec::new();
        let mut page = PageOf { limit: 2, cursor: None };
        loop {
            let jobs = kit.store.jobs(&owner("ann"), filter.clone(), page).await.unwrap();
            found.extend(jobs.items.into_iter().map(|job| job.id.to_string()));
            match jobs.next {
                Some(next) => page = PageOf { limit: 2, cursor: Some(next) },
                None => return found,
            }
        }
    };
    let none = JobFilter::default;
    assert_eq!(list(none()).await, ["j4", "j3", "j2", "j1", "j0"]);
    assert_eq!(list(JobFilter { session: Some("s".parse().unwrap()), ..none() }).await, ["j4", "j2", "j0"]);
    assert_eq!(list(JobFilter { state: Some(JobState::Succeeded), ..none() }).await, ["j0"]);
    assert_eq!(list(JobFilter { module: Some("other".parse().unwrap()), ..none() }).await, Vec::<String>::new());
    let label = |value: Option<&str>| Some(("run".to_owned(), value.map(str::to_owned)));
    assert_eq!(list(JobFilter { label: label(Some("j3")), ..none() }).await, ["j3"]);
    let both = JobFilter { label: label(None), state: Some(JobState::Queued), ..none() };
    assert_eq!(list(both).await, ["j4", "j3", "j2", "j1"]);
}

#[tokio::test]
async fn a_session_is_its_owners_and_its_id_is_free_after_it() {
    let kit = Kit::new().await;
    let first = kit.session("s").await;
    let again = NewSession {
        id: "s".parse().unwrap(),
        owner: owner("ann"),
        queue: QueueMode::Reject,
        limits: SessionLimits::default(),
        terms: Terms::default(),
        params: BTreeMap::new(),
        creator: None,
        keyed: false,
        transaction: TransactionMode::Job,
        retention: Retention::default(),
        from: None,
        now: now(),
    };
    assert_eq!(kit.store.create_session(again.clone()).await.unwrap(), Created::Exists);
    let theirs = NewSession { owner: owner("bob"), ..again.clone() };
    assert!(matches!(kit.store.create_session(theirs).await.unwrap(), Created::New(_)));
    let list = async |principal: Option<&str>| {
        let principal = principal.map(|name| name.parse().unwrap());
        let filter = SessionFilter { owner: principal, state: None };
        let page = kit.store.sessions(&tenant(), filter, all()).await.unwrap();
        page.items.iter().map(|session| format!("{}/{}", session.owner.principal, session.id)).collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, ["ann/s", "bob/s"]);
    assert_eq!(list(Some("bob")).await, ["bob/s"]);
    assert_eq!(kit.store.session(&owner("ann"), &first.id).await.unwrap(), Some(first.clone()));
    assert!(kit.store.mark_session(first.key).await.unwrap());
    assert_eq!(kit.store.session(&owner("ann"), &first.id).await.unwrap(), None);
    assert!(!kit.store.mark_session(first.key).await.unwrap());
    assert_eq!(kit.store.create_session(again.clone()).await.unwrap(), Created::Exists);
    assert!(kit.store.remove_session(first.key).await.unwrap());
    assert!(!kit.store.remove_session(first.key).await.unwrap());
    let Created::New(second) = kit.store.create_session(again).await.unwrap() else { panic!("the id is free") };
    assert!(second.key != first.key);
}
