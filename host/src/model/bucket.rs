//! A bucket that fills with time: how much may be taken, and when again.
//!
//! Promise: over any stretch no more is taken than fits into the bucket and
//! flows in meanwhile, but for what one taker overdraws. Exact: nothing is lost
//! by rounding, however often somebody looks.

use std::time::Duration;

use crate::clock::Timestamp;

/// How large a bucket is, and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What fits in, which is also what flows in during `per_s`.
    pub most: u64,
    /// Seconds in which an empty bucket is full again.
    pub per_s: u32,
}

/// A bucket of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What is missing to a full one, in millionths, times `per_s`: then what flows
    /// in during a microsecond is a whole number. More than fits in is a debt.
    missing: u128,
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub fn full(now: Timestamp) -> Bucket {
        Bucket { missing: 0, at: now }
    }

    /// Takes so many millionths, or says how long until they are there.
    pub fn take(&mut self, millionths: u64, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        self.fill(rate, now);
        let wanted = rate.scaled(millionths);
        match self.wait_for(wanted, rate) {
            None => self.missing += wanted,
            Some(wait) => return Err(wait),
        }
        Ok(())
    }

    /// Takes so many millionths whether or not they are there.
    pub fn overdraw(&mut self, millionths: u64, rate: Rate, now: Timestamp) {
        self.fill(rate, now);
        self.missing = self.missing.saturating_add(rate.scaled(millionths));
    }

    /// How long until there is anything in it; `None` if there is.
    pub fn empty_for(&mut self, rate: Rate, now: Timestamp) -> Option<Duration> {
        self.fill(rate, now);
        self.wait_for(1, rate)
    }

    /// What is missing to a full one, in whole units, rounded up.
    pub fn used(&self, rate: Rate) -> u64 {
        u64::try_from(self.missing.div_ceil(rate.scaled(1_000_000).max(1))).unwrap_or(u64::MAX)
    }

    fn fill(&mut self, rate: Rate, now: Timestamp) {
        let inflow = now.since(self.at).as_micros() * u128::from(rate.most);
        self.missing = self.missing.saturating_sub(inflow);
        // Also where the clock was set back: or nothing would flow in until it is there again.
        self.at = now;
    }

    /// How long until so much is in it; `None` if it is.
    fn wait_for(&self, wanted: u128, rate: Rate) -> Option<Duration> {
        let lacking = (self.missing + wanted).saturating_sub(rate.scaled(1_000_000) * u128::from(rate.most));
        if lacking == 0 {
            return None;
        }
        let micros = lacking.div_ceil(u128::from(rate.most.max(1)));
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

impl Rate {
    fn scaled(self, millionths: u64) -> u128 {
        u128::from(millionths) * u128::from(self.per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u64 = 1_000_000;
    const REQUESTS: Rate = Rate { most: 5, per_s: 1 };
    const CPU: Rate = Rate { most: 60, per_s: 60 };

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn r34_a_burst_takes_what_is_there_and_the_next_is_told_when_there_is_more() {
        let mut bucket = Bucket::full(at(0));
        for _ in 0..5 {
            bucket.take(ONE, REQUESTS, at(0)).unwrap();
        }
        assert_eq!(bucket.take(ONE, REQUESTS, at(0)), Err(Duration::from_millis(200)));
        assert_eq!(bucket.take(ONE, REQUESTS, at(199_999)), Err(Duration::from_micros(1)));
        assert_eq!(bucket.take(ONE, REQUESTS, at(200_000)), Ok(()));
        assert_eq!(bucket.used(REQUESTS), 5);
    }

    #[test]
    fn r34_looking_often_loses_nothing() {
        let slow = Rate { most: 1, per_s: 60 };
        let mut bucket = Bucket::full(at(0));
        bucket.take(ONE, slow, at(0)).unwrap();
        for micros in 1..1_000 {
            assert!(bucket.take(ONE, slow, at(micros * 60_000)).is_err());
        }
        assert_eq!(bucket.take(ONE, slow, at(60_000_000)), Ok(()));
    }

    #[test]
    fn r34_a_debt_is_paid_before_anything_is_taken() {
        let mut bucket = Bucket::full(at(0));
        assert_eq!(bucket.empty_for(CPU, at(0)), None);
        bucket.overdraw(90 * ONE, CPU, at(0));
        assert_eq!(bucket.used(CPU), 90);
        assert_eq!(bucket.empty_for(CPU, at(0)), Some(Duration::from_micros(30 * ONE + 1)));
        assert_eq!(bucket.empty_for(CPU, at(30_000_001)), None);
    }

    #[test]
    fn a_full_bucket_holds_no_more_and_a_clock_that_is_set_back_starves_nobody() {
        let mut bucket = Bucket::full(at(3_600_000_000));
        assert_eq!(bucket.take(6 * ONE, REQUESTS, at(7_200_000_000)), Err(Duration::from_millis(200)));
        bucket.take(5 * ONE, REQUESTS, at(7_200_000_000)).unwrap();
        assert!(bucket.take(ONE, REQUESTS, at(0)).is_err());
        assert_eq!(bucket.take(ONE, REQUESTS, at(200_000)), Ok(()));
    }

    #[test]
    fn r34_another_rate_is_in_force_at_once() {
        let mut bucket = Bucket::full(at(0));
        bucket.take(5 * ONE, REQUESTS, at(0)).unwrap();
        let more = Rate { most: 10, per_s: 1 };
        assert_eq!(bucket.take(5 * ONE, more, at(0)), Ok(()));
        assert!(bucket.take(ONE, REQUESTS, at(0)).is_err());
    }
}
