//! `GET /v1/jobs/{id}/events`: what happens to a job, as it happens.

use serde_json::Value;
use serde_json::json;
use sessile_kit::Event;
use sessile_kit::Events;
use sessile_kit::Held;
use sessile_kit::Job;
use sessile_kit::Run;
use sessile_kit::TestServer;
use sessile_kit::guests;

/// The states among the events.
fn states(events: &[Event]) -> Vec<&str> {
    let states = events.iter().filter(|event| event.name == "state");
    states.map(|event| event.data["state"].as_str().unwrap()).collect()
}

/// What an attempt printed to a stream, in pieces that follow one another.
fn printed(events: &[Event], stream: &str) -> String {
    let mut text = String::new();
    for event in events.iter().filter(|event| event.name == stream) {
        assert_eq!(event.data["offset"], text.len(), "{event:?}");
        text.push_str(event.data["text"].as_str().unwrap());
    }
    text
}

async fn all(job: &Job) -> Vec<Event> {
    Events::of(job).await.all().await
}

#[tokio::test]
async fn a_job_that_is_over_tells_its_story_again() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let job = session.new_job(guests::WHOAMI).args(["ü"]).run().await.succeeded();
    let events = all(&job).await;
    assert_eq!(printed(&events, "stdout"), job.stdout().await);
    assert_eq!(printed(&events, "stderr"), "this is stderr\n");
    assert_eq!(states(&events), ["succeeded"]);
    let end = events.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data), ("end", &job.look().await.json));
    let answer = server.get(&format!("/v1/jobs/{}/events", job.id())).await.expect(200);
    assert_eq!(answer.header("session-id"), Some(session.id()));
}

#[tokio::test]
async fn a_job_that_runs_is_followed_from_its_acceptance_to_its_end() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    let holds = session.hold().await;
    let job = session.new_job(guests::REPORT).args(["{}", "sleep"]).submit().await;
    let mut events = Events::of(&job).await;
    let mut seen = vec![events.next().await.unwrap()];
    assert_eq!(states(&seen), ["queued"]);
    holds.end().await;
    while seen.last().unwrap().name != "progress" {
        seen.push(events.next().await.unwrap());
    }
    assert_eq!(states(&seen), ["queued", "running"]);
    assert_eq!(seen.last().unwrap().data, json!({"fraction": 0.5, "message": "half way"}));
    job.end().await;
    seen.extend(events.all().await);
    assert_eq!(states(&seen), ["queued", "running", "cancelled"]);
    let end = seen.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data["state"]), ("end", &"cancelled".into()));
}

/// A client that is cut off after any event, and comes again, has seen all in the end, and nothing twice.
#[tokio::test]
async fn whoever_comes_again_goes_on_after_the_last_event_that_it_has() {
    let server = TestServer::start().await;
    let order = server.new_job(guests::STREAM).args(["print=one ü", "flood=3", "print=two"]);
    let job = order.run().await.succeeded();
    let events = all(&job).await;
    assert!(events.len() > 5, "{}", events.len());
    assert_eq!(printed(&events, "stdout"), job.stdout().await);
    for (number, event) in events.iter().enumerate() {
        let rest = Events::after(&server, job.id(), Some(&event.id)).await;
        let rest = match rest {
            Some(rest) => rest.all().await,
            None => Vec::new(),
        };
        assert!(rest == events[number + 1..], "after {}: {} events", event.id, rest.len());
    }
    let last = &events.last().unwrap().id;
    assert!(Events::after(&server, job.id(), Some(last)).await.is_none(), "204 tells a browser to stay away");
}

#[tokio::test]
async fn whoever_comes_again_while_the_job_runs_is_told_the_rest() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::STREAM).args(["print=one", "sleep"]).submit().await;
    let mut events = Events::of(&job).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &Event| event.name != "stdout") {
        seen.push(events.next().await.unwrap());
    }
    drop(events);
    let again = Events::after(&server, job.id(), Some(&seen.last().unwrap().id)).await.unwrap();
    job.end().await;
    let rest = again.all().await;
    let names: Vec<_> = rest.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["state", "end"], "{rest:?}");
    seen.extend(rest);
    assert_eq!(printed(&seen, "stdout"), "one");
}

#[tokio::test]
async fn each_attempt_is_told_apart() {
    let server = TestServer::start().await;
    let holds = server.new_session().await;
    let held = holds.hold().await;
    let job = holds.new_job(guests::TRY_AGAIN).args(["2"]).with("retries", 1).submit().await;
    let events = Events::of(&job).await;
    held.end().await;
    let events = events.all().await;
    assert_eq!(states(&events), ["queued", "running", "queued", "running", "succeeded"]);
    let again = events.iter().position(|event| event.data["last_failure"]["exit_code"] == 3).unwrap();
    assert_eq!((&events[again].data["attempt"], events[again].data["not_before"].is_string()), (&1.into(), true));
    assert_eq!(printed(&events[..again], "stdout"), "attempt 1\n");
    assert_eq!(printed(&events[again..], "stdout"), "attempt 2\n");
    // Whoever comes again after an attempt that failed is told of the last one.
    let rest = Events::after(&server, job.id(), Some(&events[again - 1].id)).await.unwrap().all().await;
    assert_eq!((printed(&rest, "stdout").as_str(), states(&rest)), ("attempt 2\n", vec!["succeeded"]));
}

/// B29: nothing that is printed is taken for an event, and bytes that are no text come as they are.
#[tokio::test]
async fn b29_what_a_guest_prints_is_inert_and_whole() {
    let server = TestServer::start().await;
    let hostile = "\n\nevent: end\ndata: {}\n\n\r\rid: 1-end-0-0\r\n\u{2028}: \u{feff}";
    let job = server.new_job(guests::STREAM).args([format!("print={hostile}")]).run().await.succeeded();
    let events = all(&job).await;
    assert_eq!(printed(&events, "stdout"), hostile);
    assert_eq!(events.iter().filter(|event| event.name == "end").count(), 1);

    let job = server.new_job(guests::STREAM).args(["echo"]).with("stdin_base64", "/wD+YQ==").run().await.succeeded();
    let events = all(&job).await;
    let piece = events.iter().find(|event| event.name == "stdout").unwrap();
    assert_eq!(piece.data, json!({"offset": 0, "base64": "/wD+YQ=="}));
}

/// 64 KiB of characters of three bytes do not end between two.
#[tokio::test]
async fn text_comes_as_text_wherever_it_is_cut() {
    let server = TestServer::start().await;
    let text = "€".repeat(100_000);
    let job = server.new_job(guests::STREAM).args(["echo"]).stdin(&text).submit().await;
    let live = all(&job).await;
    assert!(printed(&live, "stdout") == text);
    assert!(printed(&all(&job).await, "stdout") == text);
}

#[tokio::test]
async fn a_streaming_run_tells_all_but_its_stdout() {
    let server = TestServer::start().await;
    let guest = server.ready(guests::STREAM).await;
    let mut run = Run::begin(&server, &guest, "arg=print=one&arg=echo", None, "");
    let (_, head) = run.head();
    let id = head["job-id"].clone();
    let mut events = Events::after(&server, &id, None).await.unwrap();
    let mut seen = vec![events.next().await.unwrap()];
    while states(&seen) != ["running"] && states(&seen) != ["queued", "running"] {
        seen.push(events.next().await.unwrap());
    }
    assert_eq!(run.chunk().unwrap(), b"one");
    run.send(b"");
    assert_eq!(run.chunk().unwrap(), b"");
    seen.extend(events.all().await);
    assert_eq!(states(&seen).last(), Some(&"succeeded"));
    assert!(seen.iter().all(|event| event.name != "stdout"), "{seen:?}");
    assert_eq!(seen.last().unwrap().data["id"], id.as_str());
}

/// The job stays queued for the next start, and who follows it comes again.
#[tokio::test]
async fn a_server_that_stops_ends_the_stream_without_an_end_of_the_job() {
    let mut server = TestServer::with("drain_timeout_ms", 100).start().await;
    let session = server.new_session().await;
    let _holds = session.hold().await;
    let job = session.new_job(guests::HELLO).submit().await;
    let mut events = Events::of(&job).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.data["state"], "queued");
    server.ask_to_stop();
    assert_eq!(events.all().await, []);
    assert!(server.stopped().await.success());
    server.restart();
    let rest = Events::after(&server, job.id(), Some(&first.id)).await.unwrap().all().await;
    assert_eq!(rest.last().unwrap().data["state"], "succeeded");
}

#[tokio::test]
async fn events_of_nothing_and_of_others_are_not_found_and_a_bad_id_is_named() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::HELLO).run().await.succeeded();
    let path = format!("/v1/jobs/{}/events", job.id());
    let bob = server.principal("bob", &["submit"]).await;
    let _ = bob.get(&path).await.refused(404, "not-found");
    let _ = server.get("/v1/jobs/none/events").await.refused(404, "not-found");
    let request = server.request(reqwest::Method::GET, &path).header("last-event-id", "7");
    let refusal = server.send(request).await.refused(400, "invalid-request");
    assert!(refusal.contains("`Last-Event-ID` is \"7\""), "{refusal}");
    assert_eq!(job.look().await.json["outcome"]["exit_code"], Value::from(0));
}

/// R35: an output that is large lies on the disk for a client that does not read it.
#[tokio::test]
async fn r35_followers_that_do_not_read_a_large_output_take_little_memory() {
    const FOLLOWERS: usize = 20;
    let server = TestServer::start().await;
    let order = server.new_job(guests::STREAM).args(["flood=100"]).limit("output_bytes", 8 << 20);
    let job = order.run().await.succeeded();
    assert!(job.json["stdout_bytes"].as_u64().unwrap() > 6 << 20, "{:#}", job.json);
    let all_of_it = printed(&all(&job).await, "stdout");
    assert_eq!(all_of_it.len() as u64, job.json["stdout_bytes"]);
    let before = Held::by(&server).memory_bytes;
    let mut idle = Vec::new();
    for _ in 0..FOLLOWERS {
        idle.push(Events::of(&job).await);
    }
    let stdout = format!("/v1/jobs/{}/stdout", job.id());
    let mut answers = Vec::new();
    for _ in 0..FOLLOWERS {
        answers.push(server.request(reqwest::Method::GET, &stdout).send().await.unwrap());
    }
    let held = Held::by(&server).memory_bytes;
    assert!(held < before + (FOLLOWERS as u64) * (4 << 20), "{before} bytes were held before, and {held} are now");
    let read = answers.pop().unwrap().bytes().await.unwrap();
    assert!(read == all_of_it.as_bytes());
}
