//! R5: what a guest cannot reach. The host's files, its environment, the
//! network, and what another job left in memory.

use std::net::TcpListener;

use sessile_kit::TestServer;
use sessile_kit::guests;

#[tokio::test]
async fn r5_no_path_link_or_trick_leads_out_of_the_directory() {
    let server = TestServer::start().await;
    for dress in guests::ESCAPE.dresses() {
        let outside = server.new_job(dress.clone()).run().await.succeeded();
        assert_eq!(outside.stdout().await, "", "{}", dress.name);
        let session = server.new_session().await;
        let inside = session.run(dress.clone()).await.succeeded();
        assert_eq!(inside.stdout().await, "", "{}", dress.name);
    }
    assert!(!server.data().with_file_name("sessile-escape").exists());
}

#[tokio::test]
async fn r5_a_link_to_the_host_shows_nothing_to_guest_or_reader() {
    let server = TestServer::start().await;
    for dress in guests::SYMLINK.dresses() {
        for target in ["/etc/passwd", "../../../../../../../../../etc/passwd", "../../sessile.db"] {
            let session = server.new_session().await;
            let job = session.new_job(dress.clone()).args([target]).run().await;
            let told = job.stdout().await;
            assert!(told == "linked\n" || told == "refused\n", "{}: {target}: {told}", dress.name);
            // Whatever became of the link, nobody sees through it over HTTP.
            let answer = server.get(&session.path("/files/link")).await;
            assert!(!answer.text().contains("root:"), "{answer:?}");
            assert!(answer.status != 500, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn r5_a_link_inside_the_directory_works_or_is_refused_and_never_half() {
    let server = TestServer::start().await;
    for dress in guests::SYMLINK.dresses() {
        let session = server.new_session().with_file("one.txt", "one").await;
        let job = session.new_job(dress.clone()).args(["one.txt"]).run().await.succeeded();
        let told = job.stdout().await;
        if told == "refused\n" {
            assert_eq!(session.files().await, ["one.txt"]);
        } else {
            assert_eq!(told, "linked\none\n", "{}", dress.name);
            assert_eq!(session.files().await, ["link", "one.txt"]);
            // The next job, in a working copy that was made anew, finds the same.
            let again = session.run(guests::LIST_ROOT).await.succeeded().stdout().await;
            assert!(again.contains("/link"), "{again}");
        }
    }
}

#[tokio::test]
async fn r22_a_second_name_for_a_file_is_refused_or_kept_exactly() {
    let server = TestServer::start().await;
    for dress in guests::HARD_LINK.dresses() {
        let session = server.new_session().await;
        let told = session.run(dress).await.succeeded().stdout().await;
        if told == "refused\n" {
            assert_eq!(session.text("one.txt").await, "one");
            assert_eq!(session.files().await, ["one.txt"]);
        } else {
            assert_eq!(session.text("one.txt").await, "both");
            assert_eq!(session.text("two.txt").await, "both");
        }
    }
}

#[tokio::test]
async fn b13_a_guest_has_no_network() {
    let server = TestServer::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for dress in guests::CONNECT.dresses() {
        let job = server.new_job(dress.clone()).args([&address]).run().await.succeeded();
        assert_eq!(job.stdout().await, "", "{}", dress.name);
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a guest got through to the host");
}

#[tokio::test]
async fn b13_a_guest_sees_the_environment_that_the_caller_gave_and_nothing_of_the_host_s() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("env").await;
    for dress in guests::WHOAMI.dresses() {
        let order = session.new_job(dress.clone()).id(&format!("job-{}", dress.name)).env("CITY", "Utrecht");
        let told = order.env("EMPTY", "").run().await.succeeded().stdout().await;
        let vars: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("env ")).collect();
        let job_id = format!("SESSILE_JOB_ID=job-{}", dress.name);
        assert_eq!(vars, ["CITY=Utrecht", "EMPTY=", &job_id, "SESSILE_SESSION_ID=env"]);
    }
}

#[tokio::test]
async fn b11_no_state_of_an_earlier_instance_is_visible() {
    let server = TestServer::with("slots", 1).start().await;
    for dress in guests::REMEMBER.dresses() {
        for _ in 0..5 {
            let told = server.new_job(dress.clone()).run().await.succeeded().stdout().await;
            assert_eq!(told, "0\n0\n", "{}", dress.name);
        }
    }
}
