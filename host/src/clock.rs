//! The one place that reads the clock.
//!
//! Promise: everybody else gets the time handed in, so rules can be tested
//! without waiting.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in microseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many microseconds after 1970 began.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970 began; what the store keeps.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if the clock was set back in between.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    /// To the microsecond; times beyond what fits are the nearest that does.
    fn from(time: SystemTime) -> Self {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Self(micros)
    }
}

/// The present moment by the machine's clock.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}
