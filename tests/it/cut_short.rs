//! R25 with R13, R15 and R18: a `kill -9` in the middle of what a job does to its
//! session. The session is as it was, the job runs again, and those who wait run
//! once, in their order.

use sessile_kit::Guest;
use sessile_kit::Job;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::until;

const OPS: Guest = guests::SESSION_OPS;

/// What a job finds that was released.
const OUTSIDE: [&str; 2] = ["id None", "get None"];

/// Those who wait on one id.
const WAITERS: usize = 4;

async fn session_with_things(server: &TestServer, id: &str) -> Session {
    server.new_session().with_id(id).with_param("k", "v").with_file("f", "1").await
}

/// Jobs that say where they are and what they find there.
async fn wait_on(session: &Session) -> Vec<Job> {
    let mut waiters = Vec::new();
    for _ in 0..WAITERS {
        waiters.push(session.new_job(OPS).args(["id", "get", "k"]).submit().await);
    }
    waiters
}

fn cut(server: &mut TestServer) {
    server.kill9();
    server.restart();
}

/// Each ran once, found `lines`, and none before the one that was accepted before it.
async fn check_ran(waiters: &[Job], lines: [&str; 2]) {
    let mut started = Vec::new();
    for waiter in waiters {
        let waiter = waiter.wait().await.succeeded();
        assert_eq!(waiter.lines().await, lines, "{:#}", waiter.json);
        assert_eq!(waiter.json["attempt"], 1, "{:#}", waiter.json);
        assert_eq!(waiter.json["session"]["active"], lines[0] != "id None", "{:#}", waiter.json);
        let time = |field: &str| micros(waiter.json[field].as_str().unwrap());
        started.extend([time("started_at"), time("ended_at")]);
    }
    assert!(started.is_sorted(), "{started:?}");
}

/// A time with all six digits of its fraction, which sorts as text.
fn micros(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<6}")
}

/// The same of those who waited on an id that was unknown for a while: some ran
/// without a session meanwhile, and all after them ran in it.
async fn check_released_then_inside(waiters: &[Job], inside: [&str; 2]) {
    let mut released = 0;
    while released < waiters.len() && waiters[released].wait().await.lines().await == OUTSIDE {
        released += 1;
    }
    check_ran(&waiters[..released], OUTSIDE).await;
    check_ran(&waiters[released..], inside).await;
}

async fn until_only_one_runs(server: &TestServer) {
    until("the others have ended or wait", || async {
        (server.list("/v1/jobs?state=running").await.len() == 1).then_some(())
    })
    .await;
}

async fn check_all_wait(waiters: &[Job]) {
    for waiter in waiters {
        assert_eq!(waiter.look().await.state(), "queued");
    }
}

/// The job has come to `word` in that attempt, and stays there.
async fn until_attempt(job: &Job, attempt: u32, word: &str) {
    job.until_says(word).await;
    assert_eq!(job.look().await.json["attempt"], attempt);
}

const RENAME: &str = "write f 2 set k w rename new progress renamed stay-before 3";

#[tokio::test]
async fn r15_r25_a_rename_cut_short_twice_happens_once_and_who_waits_runs_once() {
    let mut server = TestServer::with("slots", 4).start().await;
    let old = session_with_things(&server, "old").await;
    let before = old.snapshot().await;
    let renames = old.new_job(OPS).args(RENAME.split(' ')).submit().await;
    until_attempt(&renames, 1, "renamed").await;
    let (on_old, on_new) = (wait_on(&old).await, wait_on(&server.session("new")).await);
    check_all_wait(&on_new).await;

    cut(&mut server);
    until_attempt(&renames, 2, "renamed").await;
    assert_eq!(old.snapshot().await, before);
    check_all_wait(&on_old).await;
    until_only_one_runs(&server).await;
    // Nobody knew of the new id until the job had renamed again (decision 002), so
    // the first was released; from then on it is pending again.
    check_ran(&on_new[..1], OUTSIDE).await;
    let late = server.session("new").new_job(OPS).args(["id"]).submit().await;
    check_all_wait(std::slice::from_ref(&late)).await;
    late.end().await;

    cut(&mut server);
    assert_eq!(renames.wait().await.succeeded().json["attempt"], 3);
    check_ran(&on_old, OUTSIDE).await;
    check_released_then_inside(&on_new, ["id Some(\"new\")", "get Some(\"w\")"]).await;
    let _ = server.get("/v1/sessions/old").await.refused(404, "not-found");
    let new = server.session("new");
    assert_eq!((new.text("f").await.as_str(), new.param("k").await.as_deref()), ("2", Some("w")));
    check_ran(&wait_on(&new).await, ["id Some(\"new\")", "get Some(\"w\")"]).await;
}

#[tokio::test]
async fn r16_r25_a_rename_cut_short_and_then_cancelled_leaves_the_session_to_those_who_wait() {
    let mut server = TestServer::start().await;
    let old = session_with_things(&server, "old").await;
    let before = old.snapshot().await;
    let renames = old.new_job(OPS).args(RENAME.split(' ')).submit().await;
    until_attempt(&renames, 1, "renamed").await;
    let on_old = wait_on(&old).await;
    cut(&mut server);
    until_attempt(&renames, 2, "renamed").await;
    renames.end().await;
    check_ran(&on_old, ["id Some(\"old\")", "get Some(\"v\")"]).await;
    assert_eq!(old.snapshot().await, before);
    let _ = server.get("/v1/sessions/new").await.refused(404, "not-found");
    assert!(server.list("/v1/sessions?state=pending").await.is_empty());
}

#[tokio::test]
async fn r15_r25_a_rename_that_is_not_to_run_again_is_lost_and_frees_the_new_id() {
    let mut server = TestServer::start().await;
    let old = session_with_things(&server, "old").await;
    let before = old.snapshot().await;
    let order = old.new_job(OPS).args(RENAME.split(' ')).with("on_crash", "fail");
    let renames = order.submit().await;
    until_attempt(&renames, 1, "renamed").await;
    let (on_old, on_new) = (wait_on(&old).await, wait_on(&server.session("new")).await);
    cut(&mut server);
    let _ = renames.wait().await.failed("lost");
    check_ran(&on_old, ["id Some(\"old\")", "get Some(\"v\")"]).await;
    check_ran(&on_new, OUTSIDE).await;
    assert_eq!(old.snapshot().await, before);
    let _ = server.new_session().with_id("new").answer().await.expect(201);
}

/// A job that deletes the session `s`, with some who named it before it did so,
/// and some who named it after.
async fn deleting(server: &TestServer) -> (Session, Job, Vec<Job>) {
    let session = session_with_things(server, "s").await;
    let gate = session.hold().await;
    let args = "get k write f 2 set k w delete progress deleted stay-before 3";
    let deletes = session.new_job(OPS).args(args.split(' ')).submit().await;
    let mut waiters = wait_on(&session).await;
    gate.end().await;
    until_attempt(&deletes, 1, "deleted").await;
    waiters.extend(wait_on(&session).await);
    (session, deletes, waiters)
}

#[tokio::test]
async fn r18_r25_a_deletion_cut_short_twice_happens_once_and_who_waits_is_released_in_order() {
    let mut server = TestServer::start().await;
    let (_, deletes, waiters) = deleting(&server).await;
    cut(&mut server);
    until_attempt(&deletes, 2, "deleted").await;
    assert_eq!(deletes.lines().await, ["get Some(\"v\")", "set Ok(())", "delete Ok(())"]);
    let listed = server.list("/v1/sessions").await;
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &"marked".into()));
    check_all_wait(&waiters).await;

    cut(&mut server);
    assert_eq!(deletes.wait().await.succeeded().json["attempt"], 3);
    check_ran(&waiters, OUTSIDE).await;
    assert!(server.list("/v1/sessions").await.is_empty());
}

#[tokio::test]
async fn r16_r25_a_deletion_cut_short_and_then_cancelled_leaves_the_session_to_those_who_wait() {
    let mut server = TestServer::start().await;
    let (session, deletes, waiters) = deleting(&server).await;
    cut(&mut server);
    until_attempt(&deletes, 2, "deleted").await;
    deletes.end().await;
    check_ran(&waiters, ["id Some(\"s\")", "get Some(\"v\")"]).await;
    assert_eq!(session.text("f").await, "1");
}

const CREATE: &str = "write f 1 create mine set k v progress made stay-before 3";

#[tokio::test]
async fn r13_r25_a_creation_cut_short_twice_is_given_to_the_job_again_and_who_waits_runs_in_it() {
    let mut server = TestServer::start().await;
    let creator = server.new_job(OPS).args(CREATE.split(' ')).submit().await;
    until_attempt(&creator, 1, "made").await;
    let mine = server.session("mine");
    let waiters = wait_on(&mine).await;
    cut(&mut server);
    until_attempt(&creator, 2, "made").await;
    // The session is there from its creation on, and nothing that was written (R16).
    let shown = mine.show().await;
    assert_eq!((shown["commit"].as_u64(), shown["running_job"].as_str()), (Some(0), Some(creator.id())));
    assert_eq!((mine.files().await, mine.params().await.len()), (Vec::new(), 0));
    check_all_wait(&waiters).await;

    cut(&mut server);
    assert_eq!(creator.wait().await.succeeded().json["attempt"], 3);
    check_ran(&waiters, ["id Some(\"mine\")", "get Some(\"v\")"]).await;
    assert_eq!(mine.text("f").await, "1");
    assert_eq!(server.list("/v1/sessions").await.len(), 1);
}

/// One that was accepted before the creator has the first place in the lane by its age.
#[tokio::test]
async fn r13_r25_those_who_named_the_id_before_its_creator_was_accepted_come_after_it_again() {
    let mut server = TestServer::start().await;
    let mine = server.session("mine");
    let first = mine.hold().await;
    let waiters = wait_on(&mine).await;
    let args = CREATE.replace("stay-before 3", "stay-before 2");
    let creator = server.new_job(OPS).args(args.split(' ')).submit().await;
    until_attempt(&creator, 1, "made").await;
    cut(&mut server);
    assert_eq!(creator.wait().await.succeeded().json["attempt"], 2);
    // It ran outside, and runs again: now there is a session.
    until("the first runs again", || async {
        let first = first.look().await;
        (first.state() == "running").then_some(first.json["session"]["active"] == true)
    })
    .await
    .then_some(())
    .expect("it is in the session that it named");
    first.end().await;
    check_ran(&waiters, ["id Some(\"mine\")", "get Some(\"v\")"]).await;
    assert_eq!(mine.text("f").await, "1");
}

#[tokio::test]
async fn r14_r25_a_creator_that_had_named_the_id_begins_outside_it_again() {
    let mut server = TestServer::start().await;
    let args = "id create first rename second set k v progress renamed stay-before 2";
    let creator = server.session("first").new_job(OPS).args(args.split(' ')).submit().await;
    until_attempt(&creator, 1, "renamed").await;
    let before = creator.lines().await;
    cut(&mut server);
    let creator = creator.wait().await.succeeded();
    assert_eq!(creator.lines().await, before);
    assert_eq!(before, ["id None", "create Ok(\"first\")", "rename Ok(())", "set Ok(())"]);
    assert_eq!(server.session("second").param("k").await.as_deref(), Some("v"));
    assert_eq!(server.list("/v1/sessions").await.len(), 1);
}

/// Whether the job has ended before the server dies or not.
#[tokio::test]
async fn r19_r25_what_was_dropped_stays_dropped_and_its_job_is_not_run_again() {
    let mut server = TestServer::start().await;
    let session = session_with_things(&server, "s").await;
    let args = "create mine progress made stay";
    let creator = server.new_job(OPS).args(args.split(' ')).submit().await;
    until_attempt(&creator, 1, "made").await;
    let running = session.hold().await;
    for id in ["s", "mine"] {
        let _ = server.delete(&format!("/v1/sessions/{id}")).await.expect(202);
    }
    cut(&mut server);
    for job in [running, creator] {
        assert_eq!(job.wait().await.cancelled().json["attempt"], 1);
    }
    assert!(server.list("/v1/sessions").await.is_empty());
}

/// It made a second session, and could not give it the id that the first one had.
#[tokio::test]
async fn r14_r25_a_creator_that_had_renamed_its_session_is_given_the_same_and_renames_it_again() {
    let mut server = TestServer::start().await;
    let args = "create first rename second set k v progress renamed stay-before 2";
    let creator = server.new_job(OPS).args(args.split(' ')).submit().await;
    until_attempt(&creator, 1, "renamed").await;
    let second = server.session("second");
    let waiters = wait_on(&second).await;
    cut(&mut server);
    let creator = creator.wait().await.succeeded();
    assert_eq!(creator.lines().await, ["create Ok(\"first\")", "rename Ok(())", "set Ok(())"]);
    check_ran(&waiters, ["id Some(\"second\")", "get Some(\"v\")"]).await;
    assert_eq!(server.list("/v1/sessions").await.len(), 1);
}

/// It was given a second id, and the session with the first one was nobody's.
#[tokio::test]
async fn r13_r25_a_creator_that_lets_the_server_choose_is_given_the_same_id_again() {
    let mut server = TestServer::start().await;
    let args = "create - progress made stay-before 2";
    let creator = server.new_job(OPS).args(args.split(' ')).submit().await;
    until_attempt(&creator, 1, "made").await;
    let before = creator.lines().await;
    cut(&mut server);
    assert_eq!(creator.wait().await.succeeded().lines().await, before);
    assert_eq!(server.list("/v1/sessions").await.len(), 1);
}

#[tokio::test]
async fn r16_r25_the_session_of_a_creator_that_is_lost_stays_and_is_empty() {
    let mut server = TestServer::start().await;
    let creator = server.new_job(OPS).args(CREATE.split(' ')).with("on_crash", "fail").submit().await;
    until_attempt(&creator, 1, "made").await;
    let mine = server.session("mine");
    let waiters = wait_on(&mine).await;
    cut(&mut server);
    let _ = creator.wait().await.failed("lost");
    check_ran(&waiters, ["id Some(\"mine\")", "get None"]).await;
    assert_eq!(mine.files().await, Vec::<String>::new());
}
