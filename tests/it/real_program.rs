//! A real program that knows nothing of us runs as a job: `grass`, a Sass
//! compiler from the registry, as its author published it.

use sessile_kit::TestServer;
use sessile_kit::guests;

const STYLE: &str = r#"
@import "colours";
$width: 12px * 2;
.letter {
    width: $width;
    .stamp { color: darken($accent, 10%); }
}
"#;

#[tokio::test]
async fn an_unmodified_program_reads_and_writes_the_session_s_directory() {
    let server = TestServer::start().await;
    let session = server.new_session().await;
    session.put_file("style.scss", STYLE).await;
    session.put_file("_colours.scss", "$accent: #336699;").await;

    let job = session.new_job(guests::GRASS).args(["style.scss", "style.css"]).run().await.succeeded();

    let css = session.text("style.css").await;
    assert!(css.contains("width: 24px") && css.contains(".letter .stamp"), "{css}");
    assert!(css.contains("color: #264d73"), "{css}");
    assert_eq!(job.json["session"]["active"], true);
}

#[tokio::test]
async fn an_unmodified_program_that_fails_leaves_nothing() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("style.scss", ".a { color: $missing; }").await;
    let before = session.snapshot().await;

    let job = session.new_job(guests::GRASS).args(["style.scss", "style.css"]).run().await;

    assert_eq!(job.state(), "failed", "{:#}", job.json);
    assert!(job.stderr().await.contains("Undefined variable"), "{}", job.stderr().await);
    assert_eq!(session.snapshot().await, before);
}
