//! When a job may start, beside its turn, and whether it is tried again.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::limits;

/// Which of a tenant's jobs that wait for a slot begins first: the one of higher
/// priority. It changes no order in a session (R7), and no share of a tenant (R34).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub i8);

/// What a job's caller says about its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub priority: Priority,
    /// It does not start before this. In its session it keeps its place meanwhile (R7).
    pub not_before: Option<Timestamp>,
    /// How often it is run again when it has failed.
    pub retries: u32,
}

/// How long after that many failed attempts a job is run again.
pub fn back_off(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    limits::RETRY_FIRST.saturating_mul(doubled).min(limits::RETRY_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_retry_comes_after_twice_the_time_up_to_the_longest() {
        let seconds: Vec<_> = (1..=8).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(u32::MAX), limits::RETRY_LONGEST);
    }
}
