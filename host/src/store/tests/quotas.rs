//! What counts against a tenant's quota: each way to grow is refused at the end of
//! it, none to shrink is, and the counts are right after each step.

use super::*;
use crate::model::quota::Measure;
use crate::model::quota::OverQuota;
use crate::model::quota::QuotaChange;
use crate::store::check;

async fn set(kit: &Kit, measure: Measure, value: u64) {
    let change = QuotaChange::Merge(vec![(measure, Some(value))]);
    kit.store.change_quota("acme".parse().unwrap(), change).await.unwrap();
}

/// Holds the counts to the truth, and gives the stored bytes.
async fn stored(kit: &Kit) -> u64 {
    assert_eq!(kit.store.read(check::open_database).await.unwrap(), Vec::<String>::new());
    kit.store.holding(&"acme".parse().unwrap()).await.unwrap().stored_bytes
}

#[track_caller]
fn check_over<T: std::fmt::Debug>(result: Result<T, StoreError>, used: u64, more: u64) {
    match refused(result) {
        Refused::OverQuota(OverQuota { measure: Measure::StoredBytes, used: told, more: asked, .. }) => {
            assert_eq!((told, asked), (used, more));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r34_whatever_grows_is_refused_past_the_quota_and_what_shrinks_is_not() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let first = kit.put(key, "f", b"0123456789").await.unwrap().commit;
    kit.put(key, "f", b"abc").await.unwrap();
    assert_eq!(stored(&kit).await, 13);
    set(&kit, Measure::StoredBytes, 15).await;
    check_over(kit.put(key, "g", b"xyz").await, 13, 3);
    // The bytes are shared, and count for both: so one who forks pays for what it sees.
    check_over(kit.store.revert(key, first, now()).await, 13, 10);
    kit.put(key, "g", b"xy").await.unwrap();
    assert_eq!(stored(&kit).await, 15);

    // A quota may be lowered below what is there; nothing is deleted for that.
    set(&kit, Measure::StoredBytes, 5).await;
    check_over(kit.put(key, "h", b"x").await, 15, 1);
    kit.store.delete_file(key, path("f"), Recursive::No, Precondition::default(), now()).await.unwrap();
    kit.store.write_params(key, ParamChanges::from([("p".to_owned(), Some("v".to_owned()))]), now()).await.unwrap();
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.begin(key).await;
    assert_eq!(draft.room(), 0);
    draft.root().dir().write("new", b"x").unwrap();
    match kit.commit(draft, seq, attempt, &["new"]).await {
        Err(CommitError::Store(error)) => check_over(Err::<(), _>(error), 15, 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(stored(&kit).await, 15);
    kit.store.remove_session(key).await.unwrap();
    assert_eq!(stored(&kit).await, 0);
}

#[tokio::test]
async fn r34_what_is_rolled_back_or_forgotten_counts_no_more() {
    let kit = Kit::new().await;
    let retention = Retention { commits: 1, age: None };
    let explicit = NewSession {
        id: "e".parse().unwrap(),
        owner: owner("ann"),
        queue: QueueMode::Wait,
        limits: SessionLimits::default(),
        terms: Terms::default(),
        params: BTreeMap::new(),
        creator: None,
        keyed: false,
        transaction: TransactionMode::Explicit,
        retention,
        from: None,
        now: now(),
    };
    let Created::New(session) = kit.store.create_session(explicit).await.unwrap() else { panic!("it exists") };
    kit.put(session.key, "f", b"0123456789").await.unwrap();
    assert_eq!(stored(&kit).await, 10);
    kit.store.roll_back_transaction(session.key, now()).await.unwrap();
    assert_eq!(stored(&kit).await, 0);
    kit.put(session.key, "f", b"0123456789").await.unwrap();
    kit.store.commit_transaction(session.key, now()).await.unwrap();
    kit.put(session.key, "f", b"abc").await.unwrap();
    assert_eq!(stored(&kit).await, 13);
    kit.store.commit_transaction(session.key, now()).await.unwrap();
    assert_eq!(stored(&kit).await, 3);
    // What is open when the server stops is undone at the next start.
    kit.put(session.key, "g", b"later").await.unwrap();
    let kit = kit.reopened();
    assert_eq!(stored(&kit).await, 8);
    kit.store.recover(now()).await.unwrap();
    assert_eq!(stored(&kit).await, 3);
}

#[tokio::test]
async fn r34_a_quota_is_on_record_and_goes_with_its_tenant() {
    let kit = Kit::new().await;
    let acme = "acme".parse().unwrap();
    set(&kit, Measure::Sessions, 0).await;
    assert_eq!(kit.store.quota_of(&acme).sessions, 0);
    let kit = kit.reopened();
    assert_eq!(kit.store.quota_of(&acme).sessions, 0);
    kit.store.change_quota(acme.clone(), QuotaChange::Merge(vec![(Measure::Sessions, None)])).await.unwrap();
    assert_eq!(kit.store.quota_of(&acme).sessions, 100_000);
    set(&kit, Measure::Sessions, 0).await;
    kit.store.delete_tenant(acme.clone()).await.unwrap();
    assert_eq!(kit.store.quota_of(&acme).sessions, 100_000);
    assert_eq!(kit.store.read(check::open_database).await.unwrap(), Vec::<String>::new());
    let change = QuotaChange::Merge(vec![(Measure::Sessions, Some(1))]);
    assert!(matches!(refused(kit.store.change_quota(acme, change).await), Refused::NoTenant(_)));
}
