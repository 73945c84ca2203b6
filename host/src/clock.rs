//! The one place that reads the clock.
//!
//! Promise: everybody else gets the time handed in, so rules can be tested
//! without waiting.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

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

    /// The moment that long after this one.
    pub fn plus(self, stretch: Duration) -> Timestamp {
        Self(self.0.saturating_add(i64::try_from(stretch.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(moment: Timestamp) -> Self {
        let micros = Duration::from_micros(moment.micros().unsigned_abs());
        if moment.micros() < 0 { UNIX_EPOCH - micros } else { UNIX_EPOCH + micros }
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

/// Whom to ask for the time. Cheap to clone; clones of one that is turned by
/// hand show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// The machine's clock.
    System,
    /// Microseconds since 1970 that stand still until somebody turns them.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::turn`] moves it.
    pub fn manual(start: Timestamp) -> Clock {
        Clock(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => SystemTime::now().into(),
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Turns a manual clock forward. The machine's clock goes its own way.
    pub fn turn(&self, by: Duration) {
        if let Source::Manual(micros) = &self.0 {
            micros.store(self.now().plus(by).0, Ordering::SeqCst);
        }
    }
}
