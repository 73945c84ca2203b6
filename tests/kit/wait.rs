//! Waiting without guessing how long: look again until it is so, with a deadline.
//!
//! Not here: waiting for a job's end, which the server offers by itself
//! (`Prefer: wait`); use that first.

use std::time::Duration;
use std::time::Instant;

/// Long beyond doubt on a slow machine under load; a test that gets here has failed.
const DEADLINE: Duration = Duration::from_secs(120);

/// Looks until `look` has an answer, and gives it. Panics with `what` when it never does.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {} s in vain: {what}", DEADLINE.as_secs());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
