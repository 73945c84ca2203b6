//! R30, R31, R26b: a streaming run feeds a job and reads it as it goes; however
//! its client behaves, the session is free again and as R22 says.

use std::thread;
use std::time::Duration;

use sessile_kit::Job;
use sessile_kit::Run;
use sessile_kit::Session;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::run::send;
use sessile_kit::until;

/// More than pipes and sockets hold between a guest and a client that does not read.
const FLOOD: &str = "arg=flood=600";

/// The newest job of the session, when it has ended.
async fn ended(session: &Session, server: &TestServer) -> Job {
    let jobs = server.list(&format!("/v1/jobs?session={}", session.id())).await;
    server.job(jobs[0]["id"].as_str().unwrap()).await.wait().await
}

/// Waits until the guest has begun.
async fn begun(session: &Session, server: &TestServer) {
    let path = format!("/v1/jobs?session={}&state=running", session.id());
    until("the run begins", || async { (!server.list(&path).await.is_empty()).then_some(()) }).await;
}

/// Loses a client in the way that `lose` does, and checks that the job is
/// cancelled, nothing of it stays, and the session takes the next job.
async fn check_lost(query: &str, lose: impl Fn(Run) -> Option<Run>) {
    let server = TestServer::with("reply_timeout_ms", 500).start().await;
    for dress in guests::STREAM.dresses() {
        let guest = server.ready(dress).await;
        let session = server.new_session().with_file("kept.txt", "as it was").with_param("kept", "as it was").await;
        let before = session.snapshot().await;
        let run = Run::start(&server, &guest, &format!("arg=marks&{query}"), Some(&session));
        begun(&session, &server).await;
        let _still_there = lose(run);
        let _ = ended(&session, &server).await.cancelled();
        assert_eq!(session.snapshot().await, before, "{guest}");
        let _ = session.run(guests::HELLO).await.succeeded();
    }
}

#[tokio::test]
async fn r31_a_client_that_goes_away_before_the_first_byte_cancels() {
    check_lost("arg=sleep", |run| {
        drop(run);
        None
    })
    .await;
}

#[tokio::test]
async fn r31_a_client_that_goes_away_while_the_guest_computes_cancels() {
    check_lost("arg=print=x&arg=spin", |mut run| {
        assert_eq!(run.head().0, 200);
        None
    })
    .await;
}

#[tokio::test]
async fn r31_a_client_that_goes_away_in_the_middle_of_its_input_cancels() {
    let server = TestServer::start().await;
    for dress in guests::STREAM.dresses() {
        let guest = server.ready(dress).await;
        let session = server.new_session().await;
        let mut run = Run::begin(&server, &guest, "arg=marks&arg=echo", Some(&session), "");
        run.send(b"half");
        begun(&session, &server).await;
        drop(run);
        let _ = ended(&session, &server).await.cancelled();
        assert_eq!(session.files().await, Vec::<String>::new(), "{guest}");
    }
}

#[tokio::test]
async fn r30_a_client_that_does_not_read_cancels_after_the_reply_timeout() {
    check_lost(FLOOD, Some).await;
}

/// It was cut while it read megabytes that the kernel held for it, which took longer than the timeout.
#[tokio::test]
async fn r30_a_client_that_reads_slowly_reads() {
    let server = TestServer::with("reply_timeout_ms", 2_000).start().await;
    let guest = server.ready(guests::STREAM).await;
    let session = server.new_session().await;
    let mut run = Run::start(&server, &guest, FLOOD, Some(&session));
    begun_or_over(&mut run);
    // As many chunks as fill two timeouts at that pace.
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..45 {
        pace.tick().await;
        run = tokio::task::spawn_blocking(move || {
            assert!(!run.chunk().expect("the body goes on").is_empty());
            run
        })
        .await
        .unwrap();
    }
    begun(&session, &server).await;
    assert!(server.list(&format!("/v1/jobs?session={}&state=cancelled", session.id())).await.is_empty());
}

#[tokio::test]
async fn r30_a_client_that_goes_away_after_the_guests_end_cancels_nothing() {
    let server = TestServer::start().await;
    let guest = server.ready(guests::STREAM).await;
    let session = server.new_session().await;
    let mut run = Run::start(&server, &guest, "arg=marks&arg=print=x", Some(&session));
    begun_or_over(&mut run);
    let _ = ended(&session, &server).await.succeeded();
    drop(run);
    assert!(session.file("mark.txt").await.is_some());
    let _ = session.run(guests::HELLO).await.succeeded();
}

/// The head is there, so the guest has printed.
fn begun_or_over(run: &mut Run) {
    assert_eq!(run.head().0, 200);
}

#[tokio::test]
async fn r30_an_answer_read_to_its_end_frees_the_session_and_keeps_the_changes() {
    let server = TestServer::start().await;
    for dress in guests::STREAM.dresses() {
        let guest = server.ready(dress).await;
        let session = server.new_session().await;
        let read = Run::start(&server, &guest, "arg=marks&arg=print=done", Some(&session)).read();
        assert_eq!((read.outcome(), read.body.as_slice()), ("succeeded", b"done".as_slice()));
        assert_eq!(read.headers["job-session-active"], "true");
        assert_eq!(read.headers["session-id"], session.id());
        // R26b: the end of the answer came after the commit, so this is not waited for.
        assert!(session.file("mark.txt").await.is_some());
        let job = server.job(&read.headers["job-id"]).await.succeeded();
        assert_eq!(job.json["stdout_bytes"], 4);
        let _ = server.get(&format!("/v1/jobs/{}/stdout", job.id())).await.refused(404, "not-found");
    }
}

#[tokio::test]
async fn r22_a_failure_is_a_problem_before_output_and_cuts_the_body_after() {
    let server = TestServer::start().await;
    let guest = server.ready(guests::STREAM).await;
    let session = server.new_session().await;

    let silent = Run::start(&server, &guest, "arg=marks&arg=exit=3", Some(&session)).read();
    assert_eq!(silent.status, 422, "{silent:?}");
    let problem: serde_json::Value = serde_json::from_slice(&silent.body).unwrap();
    assert_eq!((&problem["code"], &problem["reason"]), (&"job-failed".into(), &"exit".into()), "{problem}");
    assert_eq!((&problem["exit_code"], problem["job_id"].as_str()), (&3.into(), Some(&*silent.headers["job-id"])));

    let query = "arg=marks&arg=print=part&arg=exit=3";
    let told = Run::start(&server, &guest, query, Some(&session)).read();
    assert_eq!((told.outcome(), told.body.as_slice()), ("failed; reason=exit; exit_code=3", b"part".as_slice()));

    let mut run = Run::begin(&server, &guest, query, Some(&session), "");
    run.send(b"");
    let cut = run.read();
    assert_eq!((cut.status, cut.body.as_slice(), cut.trailers.is_none()), (200, b"part".as_slice(), true));

    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn r30_input_and_output_travel_while_the_guest_runs() {
    let server = TestServer::start().await;
    for dress in guests::STREAM.dresses() {
        let guest = server.ready(dress).await;
        let mut run = Run::begin(&server, &guest, "arg=echo", None, "TE: trailers\r\n");
        run.send(b"one");
        assert_eq!(run.head().0, 200);
        assert_eq!(run.chunk().unwrap(), b"one");
        run.send(b"two");
        assert_eq!(run.chunk().unwrap(), b"two");
        run.send(b"");
        assert_eq!(run.chunk().unwrap(), b"");
        assert_eq!(run.fields().unwrap()["job-outcome"], "succeeded");
    }
}

#[tokio::test]
async fn b29_fifty_megabytes_pass_through_without_being_held() {
    const BLOCKS: usize = 50;
    let server = TestServer::start().await;
    for dress in guests::STREAM.dresses() {
        let guest = server.ready(dress).await;
        let run = Run::begin(&server, &guest, "arg=echo&wall_ms=100000&cpu_ms=100000", None, "TE: trailers\r\n");
        let mut socket = run.socket();
        let block: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
        let sent = block.clone();
        let writer = thread::spawn(move || {
            (0..BLOCKS).for_each(|_| send(&mut socket, &sent));
            send(&mut socket, b"");
        });
        let read = run.read();
        writer.join().unwrap();
        assert_eq!(read.outcome(), "succeeded");
        assert_eq!(read.body.len(), BLOCKS << 20);
        assert!(read.body.chunks(1 << 20).all(|got| got == block));
    }
}

#[tokio::test]
async fn r25_a_streaming_run_is_not_run_again_after_a_crash() {
    let mut server = TestServer::start().await;
    let guest = server.ready(guests::STREAM).await;
    let session = server.new_session().await;
    let running = Run::start(&server, &guest, "arg=marks&arg=sleep", Some(&session));
    begun(&session, &server).await;
    let queued = Run::start(&server, &guest, "arg=marks", Some(&session));
    let path = format!("/v1/jobs?session={}", session.id());
    until("the second is queued", || async { (server.list(&path).await.len() == 2).then_some(()) }).await;
    server.kill9();
    drop((running, queued));
    server.restart();
    let jobs = server.list(&path).await;
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        let _ = server.job(job["id"].as_str().unwrap()).await.failed("lost");
    }
    assert_eq!(session.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn r26b_a_run_outside_a_session_is_found_before_and_after_it_is_on_record() {
    let server = TestServer::start().await;
    let guest = server.ready(guests::STREAM).await;
    let mut run = Run::begin(&server, &guest, "arg=print=x&arg=echo", None, "TE: trailers\r\n");
    let (status, headers) = run.head();
    assert_eq!((status, headers["job-session-active"].as_str()), (200, "false"));
    let job = server.job(&headers["job-id"]).await;
    assert_eq!(job.state(), "running");
    run.send(b"");
    while run.chunk().is_some_and(|chunk| !chunk.is_empty()) {}
    let _ = job.look().await.succeeded();
}

#[tokio::test]
async fn r2_the_id_of_a_run_that_is_not_on_record_yet_is_taken() {
    let server = TestServer::start().await;
    let guest = server.ready(guests::STREAM).await;
    let mut run = Run::begin(&server, &guest, "arg=print=x&arg=echo", None, "TE: trailers\r\n");
    let (_, headers) = run.head();
    let order = || server.new_job(guests::APPEND).id(&headers["job-id"]);
    let _ = order().answer().await.refused(409, "conflict");
    run.send(b"");
    while run.chunk().is_some_and(|chunk| !chunk.is_empty()) {}
    let _ = order().answer().await.refused(409, "conflict");
    let _ = server.job(&headers["job-id"]).await.succeeded();
}
