//! The examples do what their descriptions say, through the real server, as a
//! core module and as a component.

use serde_json::json;
use sessile_kit::TestServer;
use sessile_kit::guests;

const DATA_XML: &str = include_str!("../../examples/letter/data.xml");
const INPUT_CSV: &str = include_str!("../../examples/aggregate/input.csv");
const PICTURE: &[u8] = include_bytes!("../../examples/thumbnail/picture.png");

#[tokio::test]
async fn hello_greets() {
    let server = TestServer::start().await;
    let session = server.new_session().with_id("s-1").await;
    for dress in guests::HELLO.dresses() {
        let alone = server.new_job(dress.clone()).run().await.succeeded().stdout().await;
        assert_eq!(alone, "Hello, world!\nThis job is in no session.\n");
        let told = session.new_job(dress).args(["Zoë"]).run().await.succeeded().stdout().await;
        assert_eq!(told, "Hello, Zoë!\nThis is session s-1.\n");
    }
}

#[tokio::test]
async fn counter_counts() {
    let server = TestServer::start().await;
    for dress in guests::COUNTER.dresses() {
        let session = server.new_session().await;
        let _ = session.run(dress.clone()).await.succeeded();
        let job = session.new_job(dress.clone()).args(["41"]).run().await.succeeded();
        assert_eq!(job.json["result"]["count"], 42);
        assert_eq!(session.param("count").await.as_deref(), Some("42"));
        let _ = session.new_job(dress).args(["much"]).run().await.failed("exit");
        assert_eq!(session.param("count").await.as_deref(), Some("42"));
    }
}

#[tokio::test]
async fn letter_writes_a_letter_about_every_order() {
    let server = TestServer::start().await;
    for dress in guests::LETTER.dresses() {
        let session = server.new_session().with_param("sender", "Zoë & Söhne").with_file("data.xml", DATA_XML).await;
        let job = session.run(dress.clone()).await.succeeded();

        let letter = session.text("letter.html").await;
        let records = DATA_XML.matches("<order ").count();
        assert!(records >= 20, "a letter is about tens of records");
        assert_eq!(job.json["result"]["records"], records);
        assert!(letter.contains("Zoë &amp; Söhne"), "the sender is a parameter, and is escaped: {letter}");
        for number in DATA_XML.split("number=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(letter.contains(number), "order {number} is not in the letter");
        }
        assert_eq!(session.param("letters_written").await.as_deref(), Some("1"));
        let _ = session.run(dress).await.succeeded();
        assert_eq!(session.param("letters_written").await.as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn letter_that_fails_after_writing_leaves_nothing() {
    let server = TestServer::start().await;
    for dress in guests::LETTER.dresses() {
        let session = server.new_session().with_file("data.xml", DATA_XML).await;
        let before = session.snapshot().await;
        let job = session.new_job(dress).args(["--fail-after-writing"]).run().await.failed("exit");
        assert!(job.stderr().await.contains("nothing of it will stay"));
        assert_eq!(session.snapshot().await, before);
    }
}

#[tokio::test]
async fn letter_outside_a_session_says_what_it_needs() {
    let server = TestServer::start().await;
    let job = server.new_job(guests::LETTER).run().await.failed("exit");
    assert!(job.stderr().await.contains("needs a session"), "{}", job.stderr().await);
}

#[tokio::test]
async fn aggregate_adds_up_a_large_file_in_little_memory() {
    let server = TestServer::start().await;
    let (header, rows) = INPUT_CSV.split_once('\n').unwrap();
    // A hundred thousand rows: more than the memory that the job is given here.
    let repeated = 100_000 / rows.lines().count();
    let large = format!("{header}\n{}", rows.repeat(repeated));
    for dress in guests::AGGREGATE.dresses() {
        let session = server.new_session().with_file("input.csv", &large).await;
        let job = session.new_job(dress).limit("memory_bytes", 3 << 20).run().await.succeeded();
        assert!(large.len() > 3 << 20);
        assert_eq!(job.json["result"]["rows"], large.lines().count() - 1);
        let summary: serde_json::Value = serde_json::from_str(&session.text("summary.json").await).unwrap();
        assert_eq!(summary["rows"], large.lines().count() - 1);
    }
}

#[tokio::test]
async fn thumbnail_makes_a_smaller_picture() {
    let server = TestServer::start().await;
    for dress in guests::THUMBNAIL.dresses() {
        let session = server.new_session().with_file("picture.png", PICTURE).await;
        let order = session.new_job(dress).args(["picture.png", "small.jpg", "160"]);
        let job = order.run().await.succeeded();
        assert_eq!(job.json["result"]["width"], json!(160));
        let small = session.file("small.jpg").await.unwrap();
        assert!(small.starts_with(&[0xff, 0xd8, 0xff]), "no JPEG");
        assert!(small.len() < PICTURE.len());
    }
}
