//! R15 and R16: a job that began inside a session renames it. Until it ends well
//! the session is pending under the new id.

use sessile_kit::Guest;
use sessile_kit::Job;
use sessile_kit::TestServer;
use sessile_kit::guests;

const OPS: Guest = guests::SESSION_OPS;

/// A server with the session `old`, and a job in it that has renamed it to `new`
/// and stays.
async fn renaming() -> (TestServer, Job) {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("old").with_param("k", "v").with_file("f", "1").await;
    let args = ["rename", "new", "write", "f", "2", "progress", "renamed", "stay"];
    let job = session.new_job(OPS).args(args).submit().await;
    job.until_says("renamed").await;
    (server, job)
}

#[tokio::test]
async fn r15_a_rename_that_ends_well_moves_directory_and_parameters_along() {
    let server = TestServer::start().await;
    for (number, dress) in OPS.dresses().into_iter().enumerate() {
        let (old, new) = (format!("old{number}"), format!("new{number}"));
        let session = server.new_session().with_id(&old).with_param("k", "v").with_file("f", "1").await;
        let args = format!("rename {new} id get k write g 2");
        let job = session.new_job(dress).args(args.split(' ')).run().await.succeeded();
        // Until it ends, it is where it began.
        assert_eq!(
            job.lines().await,
            ["rename Ok(())".to_owned(), format!("id Some({old:?})"), "get Some(\"v\")".to_owned()]
        );

        let _ = server.get(&session.path("")).await.refused(404, "not-found");
        let moved = server.session(&new);
        assert_eq!(moved.files().await, ["f", "g"]);
        assert_eq!(moved.param("k").await.as_deref(), Some("v"));
        assert_eq!(moved.show().await["state"], "active");
    }
}

#[tokio::test]
async fn r15_others_may_queue_on_the_new_id_and_none_starts() {
    let (server, job) = renaming().await;
    let shown = server.session("new").show().await;
    assert_eq!(shown["state"], "pending");
    let waiter = server.session("new").new_job(OPS).args(["id"]).submit().await;
    // A slot is free, and the job still waits.
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    assert_eq!(waiter.look().await.state(), "queued");
    let _ = server.new_session().with_id("new").answer().await.refused(409, "conflict");
    let _ = server.delete("/v1/sessions/new").await.refused(409, "conflict");
    // No half of the job is to be seen under either id.
    assert_eq!(server.session("old").text("f").await, "1");
    assert_eq!(server.session("new").text("f").await, "1");
    job.end().await;
    let _ = waiter.wait().await.succeeded();
}

#[tokio::test]
async fn r16_a_rename_that_does_not_end_well_leaves_the_original_as_it_was() {
    let (server, job) = renaming().await;
    let old = server.session("old").new_job(OPS).args(["id"]).submit().await;
    let new = server.session("new").new_job(OPS).args(["id"]).submit().await;
    job.end().await;

    let old = old.wait().await.succeeded();
    assert_eq!(old.lines().await, ["id Some(\"old\")"]);
    // The pending session is deleted, so who waited there is released (R17).
    let new = new.wait().await.succeeded();
    assert_eq!((new.lines().await, &new.json["session"]["active"]), (vec!["id None".to_owned()], &false.into()));
    assert_eq!(server.session("old").text("f").await, "1");
    let _ = server.get("/v1/sessions/new").await.refused(404, "not-found");
    let _ = server.new_session().with_id("new").answer().await.expect(201);
}

#[tokio::test]
async fn r16_a_trap_a_timeout_and_an_exit_code_undo_a_rename() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("old").await;
    let trap = session.new_job(OPS).args(["rename", "new", "trap"]).run().await;
    let _ = trap.failed("trap");
    let order = session.new_job(OPS).args(["rename", "new", "stay"]).limit("wall_ms", 300);
    let _ = order.run().await.failed("wall-timeout");
    assert_eq!(session.show().await["state"], "active");
    let _ = server.get("/v1/sessions/new").await.refused(404, "not-found");
}

#[tokio::test]
async fn r15_who_named_the_new_id_before_it_was_one_runs_in_it_and_who_waits_on_the_old_does_not() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("old").with_param("k", "v").await;
    let gate = session.hold().await;
    let named_early = server.session("new").hold().await;
    let renames = session.new_job(OPS).args(["rename", "new"]).submit().await;
    let on_old = session.new_job(OPS).args(["id"]).submit().await;
    let on_new = server.session("new").new_job(OPS).args(["id", "get", "k"]).submit().await;

    gate.end().await;
    let _ = renames.wait().await.succeeded();
    let on_old = on_old.wait().await.succeeded();
    assert_eq!((on_old.lines().await, &on_old.json["session"]["active"]), (vec!["id None".to_owned()], &false.into()));
    assert_eq!(on_new.look().await.state(), "queued");
    named_early.end().await;
    assert_eq!(on_new.wait().await.succeeded().lines().await, ["id Some(\"new\")", "get Some(\"v\")"]);
}

#[tokio::test]
async fn r15_the_last_rename_counts_and_back_again_is_none() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("taken").await;
    for (number, dress) in OPS.dresses().into_iter().enumerate() {
        let old = format!("old{number}");
        let session = server.new_session().with_id(&old).await;
        let args = format!("rename taken rename a rename b rename {old} rename {old}");
        let job = session.new_job(dress.clone()).args(args.split(' ')).run().await.succeeded();
        let heard = ["rename Err(SessionExists)", "rename Ok(())", "rename Ok(())", "rename Ok(())", "rename Ok(())"];
        assert_eq!(job.lines().await, heard);
        assert_eq!(session.show().await["state"], "active");

        let args = format!("rename a rename b{number}");
        let _ = session.new_job(dress).args(args.split(' ')).run().await.succeeded();
        let _ = server.get("/v1/sessions/a").await.refused(404, "not-found");
        assert_eq!(server.session(&format!("b{number}")).show().await["state"], "active");
    }
}

#[tokio::test]
async fn r15_r25_a_rename_that_the_server_s_death_cut_short_has_not_happened() {
    let (mut server, job) = renaming().await;
    server.kill9();
    server.restart();
    // The job runs again and renames again; nothing of its first attempt is left.
    let job = server.job(job.id()).await;
    job.until_says("renamed").await;
    assert_eq!(server.session("old").text("f").await, "1");
    job.end().await;
    assert_eq!(server.session("old").show().await["state"], "active");
}
