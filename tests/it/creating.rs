//! R13, R14 and R16: a job that runs outside a session makes one, and then it is
//! its own.

use serde_json::Value;
use sessile_kit::Guest;
use sessile_kit::TestServer;
use sessile_kit::guests;

const OPS: Guest = guests::SESSION_OPS;

#[tokio::test]
async fn r13_what_the_creator_wrote_before_and_after_is_its_session_s() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let id = format!("made-{}", dress.name.replace('_', "-"));
        let args = format!("id write before 1 create {id} id set k v get k write after 2");
        let job = server.new_job(dress).args(args.split(' ')).run().await.succeeded();
        let heard = [
            "id None".to_owned(),
            format!("create Ok({id:?})"),
            format!("id Some({id:?})"),
            "set Ok(())".to_owned(),
            "get Some(\"v\")".to_owned(),
        ];
        assert_eq!(job.lines().await, heard);

        let session = server.session(&id);
        assert_eq!(session.files().await, ["after", "before"]);
        assert_eq!(session.param("k").await.as_deref(), Some("v"));
        // The next job is in it, and finds the same.
        let next = session.new_job(OPS).args(["id", "get", "k"]).run().await.succeeded();
        assert_eq!(next.lines().await, [format!("id Some({id:?})"), "get Some(\"v\")".to_owned()]);
    }
}

#[tokio::test]
async fn r13_the_server_chooses_an_id_if_asked_to() {
    let server = TestServer::start().await;
    for dress in OPS.dresses() {
        let job = server.new_job(dress).args(["create", "-"]).run().await.succeeded();
        let told = job.lines().await.concat();
        let id = told.strip_prefix("create Ok(\"").and_then(|rest| rest.strip_suffix("\")")).expect(&told);
        assert_eq!(server.session(id).show().await["state"], "active");
    }
}

#[tokio::test]
async fn r13_the_session_exists_at_once_and_others_queue_behind_the_creator() {
    let server = TestServer::start().await;
    let creator = server.new_job(OPS).args(["create", "mine", "progress", "made", "stay"]).submit().await;
    creator.until_says("made").await;

    let session = server.session("mine");
    let shown = session.show().await;
    assert_eq!((shown["state"].as_str(), shown["running_job"].as_str()), (Some("active"), Some(creator.id())));
    let waiter = session.new_job(OPS).args(["id"]).submit().await;
    let taken = server.new_session().with_id("mine").answer().await;
    let _ = taken.refused(409, "conflict");
    assert_eq!(waiter.look().await.state(), "queued");
    assert_eq!(session.show().await["queued"], 1);

    creator.end().await;
    assert_eq!(waiter.wait().await.succeeded().lines().await, ["id Some(\"mine\")"]);
}

#[tokio::test]
async fn r13_those_who_named_the_id_before_come_after_the_creator() {
    let server = TestServer::start().await;
    // Two that name an id which is no session yet: one runs, one waits behind it.
    let first = server.session("later").hold().await;
    let waiter = server.session("later").new_job(OPS).args(["id", "get", "k"]).submit().await;

    let args = ["create", "later", "set", "k", "v"];
    let _ = server.new_job(OPS).args(args).run().await.succeeded();
    assert_eq!(waiter.look().await.state(), "queued");
    first.end().await;

    let waiter = waiter.wait().await.succeeded();
    assert_eq!(waiter.json["session"]["active"], true);
    assert_eq!(waiter.lines().await, ["id Some(\"later\")", "get Some(\"v\")"]);
}

#[tokio::test]
async fn r13_a_session_that_exists_or_holds_the_job_cannot_be_made() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("taken").await;
    for dress in OPS.dresses() {
        let job = server.new_job(dress.clone()).args(["create", "taken", "id"]).run().await.succeeded();
        assert_eq!(job.lines().await, ["create Err(SessionExists)", "id None"]);
        let job = session.new_job(dress.clone()).args(["create", "other"]).run().await.succeeded();
        assert_eq!(job.lines().await, ["create Err(SessionExists)"]);
        let job = server.new_job(dress).args(["create", "not an id"]).run().await.succeeded();
        assert!(job.lines().await.concat().starts_with("create Err(Invalid("), "{:?}", job.lines().await);
    }
    assert_eq!(server.list("/v1/sessions").await.len(), 1);
}

#[tokio::test]
async fn r14_a_creator_renames_and_deletes_at_once() {
    let server = TestServer::start().await;
    for (number, dress) in OPS.dresses().into_iter().enumerate() {
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        let args = format!("create {a} set k v rename {b} id progress renamed stay");
        let job = server.new_job(dress.clone()).args(args.split(' ')).submit().await;
        job.until_says("renamed").await;
        let _ = server.get(&format!("/v1/sessions/{a}")).await.refused(404, "not-found");
        assert_eq!(server.session(&b).show().await["running_job"], job.id());
        job.end().await;

        let args = format!("create c{number} write f 1 delete id get k progress deleted stay");
        let job = server.new_job(dress).args(args.split(' ')).submit().await;
        job.until_says("deleted").await;
        let _ = server.get(&format!("/v1/sessions/c{number}")).await.refused(404, "not-found");
        job.end().await;
    }
}

#[tokio::test]
async fn r16_what_a_creator_did_to_its_session_stays_and_what_it_wrote_does_not() {
    let server = TestServer::start().await;
    for (number, dress) in OPS.dresses().into_iter().enumerate() {
        let args = format!("write f 1 create a{number} set k v rename b{number} write g 2 trap");
        let _ = server.new_job(dress).args(args.split(' ')).run().await.failed("trap");
        let session = server.session(&format!("b{number}"));
        assert_eq!(session.files().await, Vec::<String>::new());
        assert_eq!(session.param("k").await, None);
        assert_eq!(session.show().await["commit"], 0);
    }
}

#[tokio::test]
async fn r16_the_session_of_a_cancelled_creator_stays_and_is_empty() {
    let server = TestServer::start().await;
    let args = ["create", "mine", "write", "f", "1", "progress", "made", "stay"];
    let creator = server.new_job(OPS).args(args).submit().await;
    creator.until_says("made").await;
    creator.end().await;
    assert_eq!(server.session("mine").files().await, Vec::<String>::new());
    let shown = server.session("mine").show().await;
    assert_eq!((shown["state"].as_str(), &shown["running_job"]), (Some("active"), &Value::Null));
}

#[tokio::test]
async fn r13_r25_a_creator_that_the_server_s_death_cut_short_makes_its_session_again() {
    let mut server = TestServer::start().await;
    let args = ["create", "mine", "write", "f", "1", "progress", "made", "stay"];
    let creator = server.new_job(OPS).args(args).submit().await;
    creator.until_says("made").await;
    let waiter = server.session("mine").new_job(OPS).args(["id"]).submit().await;

    server.kill9();
    server.restart();

    // It runs again, finds the session that it made, and the other still waits for it.
    let creator = server.job(creator.id()).await;
    creator.until_says("made").await;
    assert_eq!(creator.stdout().await, "create Ok(\"mine\")\n");
    let waiter = server.job(waiter.id()).await;
    assert_eq!(waiter.state(), "queued");
    creator.end().await;
    assert_eq!(waiter.wait().await.succeeded().lines().await, ["id Some(\"mine\")"]);
}

#[tokio::test]
async fn r13_a_streaming_run_outside_any_session_makes_one_that_lasts() {
    let server = TestServer::start().await;
    for (number, dress) in OPS.dresses().into_iter().enumerate() {
        let module = server.ready(dress).await;
        let path = format!("/v1/run/{module}?arg=create&arg=s{number}&arg=write&arg=f&arg=1&arg=set&arg=k&arg=v");
        let answer = server.post(&path, &Value::Null).await.expect(200);
        assert_eq!(answer.text(), format!("create Ok(\"s{number}\")\nset Ok(())\n"));
        let session = server.session(&format!("s{number}"));
        assert_eq!((session.text("f").await.as_str(), session.param("k").await.as_deref()), ("1", Some("v")));
        // It lasts, so it is on record by now.
        let job = server.job(answer.header("job-id").unwrap()).await;
        let _ = job.succeeded();
    }
}
