//! R26: of what a session holds, a job writes what it changed and no more. (What
//! that costs is compared by `cargo xtask bench`; here, that the rest stays.)

use sessile_kit::TestServer;
use sessile_kit::guests;

/// What the guest writes at once.
const CHANGE_BYTES: usize = 4 << 10;

/// Bytes that differ from piece to piece.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at / 1_000 % 251) as u8).collect()
}

#[tokio::test]
async fn r26_a_patch_changes_its_bytes_and_no_others() {
    let server = TestServer::start().await;
    let mut expected = pattern(1 << 20);
    let session = server.new_session().with_file("f", &expected).await;
    // In one piece, and across the end of one.
    for (offset, seed) in [(200_000_usize, 7_u64), ((64 << 10) - 100, 9)] {
        let (at, seed_text) = (offset.to_string(), seed.to_string());
        let job = session.new_job(guests::SMALL_CHANGES).args(["patch", "/f", &at, &seed_text]).run().await;
        let _ = job.succeeded();
        expected[offset..offset + CHANGE_BYTES].copy_from_slice(&seed.to_le_bytes().repeat(CHANGE_BYTES / 8));
        assert!(session.file("f").await.unwrap() == expected, "after the patch at {offset}");
    }
}

#[tokio::test]
async fn r26_what_is_appended_comes_after_what_was_there() {
    let server = TestServer::start().await;
    let mut expected = pattern(100_000);
    let session = server.new_session().with_file("log", &expected).with_file("other", b"stays").await;
    for _ in 0..3 {
        let _ = session.new_job(guests::SMALL_CHANGES).args(["append", "/log"]).run().await.succeeded();
        expected.extend([b'a'; CHANGE_BYTES]);
    }
    assert!(session.file("log").await.unwrap() == expected);
    assert_eq!(session.file("other").await.unwrap(), b"stays");
}

#[tokio::test]
async fn r26_a_small_file_is_rewritten_together_with_its_parameter() {
    let server = TestServer::start().await;
    let session = server.new_session().with_file("small", [b'0'; 1_024]).await;
    let _ = session.new_job(guests::SMALL_CHANGES).args(["rewrite", "/small"]).run().await.succeeded();
    let _ = session.new_job(guests::SMALL_CHANGES).args(["nothing"]).run().await.succeeded();
    assert_eq!(session.file("small").await.unwrap()[..2], *b"10");
    assert_eq!(session.param("first").await.as_deref(), Some("49"));
}
