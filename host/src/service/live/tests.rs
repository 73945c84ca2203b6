//! What is counted, told and refused of a job that has not ended.

use super::*;

fn key() -> JobKey {
    let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
    JobKey { owner, id: "j".parse().unwrap() }
}

#[test]
fn r32_a_cancel_in_the_commit_comes_too_late() {
    let job = LiveJob::new(key(), 10);
    job.step(Step::Start).unwrap();
    job.step(Step::Return).unwrap();
    assert!(!job.cancel("late"));
    assert!(!job.stop.is_cancelled());
    assert_eq!(job.cancelled(), None);
}

#[test]
fn r21_one_that_has_its_turn_and_waits_for_a_slot_waits_until_it_starts() {
    let jobs = LiveJobs::default();
    let lane = LaneKey { owner: key().owner, session: "s".parse().unwrap() };
    let job = Arc::new(LiveJob::new(key(), 10));
    let in_lane = jobs.take_lane(lane.clone(), &job);
    assert!(jobs.waits_at_head(&lane));
    for step in [Step::Start, Step::Return] {
        job.step(step).unwrap();
        assert!(!jobs.waits_at_head(&lane));
    }
    drop(in_lane);
    let queued = jobs.take_lane(lane.clone(), &Arc::new(LiveJob::new(key(), 10)));
    assert!(jobs.waits_at_head(&lane));
    drop(queued);
    assert!(!jobs.waits_at_head(&lane));
}

#[test]
fn a_guest_that_returns_after_its_cancel_does_not_commit() {
    let job = LiveJob::new(key(), 10);
    job.step(Step::Start).unwrap();
    assert!(job.cancel("asked"));
    assert!(job.step(Step::Return).is_err());
    assert_eq!(job.cancelled(), Some("asked"));
}

#[test]
fn r34_a_tenant_s_jobs_are_counted_by_how_far_they_are_until_they_are_off_the_list() {
    let jobs = Arc::new(LiveJobs::default());
    let tally = |queued, running| assert_eq!(jobs.tally(&key().owner.tenant), Tally { queued, running });
    tally(0, 0);
    let listed = jobs.enter(LiveJob::new(key(), 10)).unwrap();
    let other = JobKey { id: "k".parse().unwrap(), ..key() };
    let queued = jobs.enter(LiveJob::new(other, 10)).unwrap();
    tally(2, 0);
    listed.job.step(Step::Start).unwrap();
    tally(1, 1);
    listed.job.step(Step::Return).unwrap();
    tally(1, 1);
    listed.job.step(Step::Stored).unwrap();
    tally(1, 0);
    drop(listed);
    // One that stays queued when the server stops.
    drop(queued);
    tally(0, 0);
}

#[tokio::test]
async fn whoever_waits_is_told_of_the_end() {
    let jobs = Arc::new(LiveJobs::default());
    let listed = jobs.enter(LiveJob::new(key(), 10)).unwrap();
    assert!(jobs.enter(LiveJob::new(key(), 10)).is_none());
    let found = jobs.get(&key()).unwrap();
    let waiter = tokio::spawn(async move { found.ended().await });
    drop(listed);
    waiter.await.unwrap();
    assert!(jobs.get(&key()).is_none());
    assert!(jobs.enter(LiveJob::new(key(), 10)).is_some());
}
