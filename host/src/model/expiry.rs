//! When a session's time is over (R20).
//!
//! Promise: an idle timeout is measured from the last use and stands still
//! while anything of the session runs or waits; a lifetime is measured from the
//! creation, and nothing prolongs it.
//!
//! Not here: who looks, and how often (`service::expiry`).

use std::time::Duration;

use crate::clock::Timestamp;

/// How long a session may live; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// After its last use.
    pub idle_timeout: Option<Duration>,
    /// After its creation, used or not.
    pub lifetime: Option<Duration>,
}

/// A change of [`Terms`]: what is not given stays, and `Some(None)` takes the
/// bound away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewTerms {
    pub idle_timeout: Option<Option<Duration>>,
    pub lifetime: Option<Option<Duration>>,
}

/// The two moments that a session's time is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
}

/// What a sweep does with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its time is not over, or it is in use.
    Keep,
    /// Its time is over and nobody is at work in it.
    Expire,
    /// Its lifetime is over while somebody is at work in it: it is dropped as
    /// if from outside (R19).
    Drop,
}

impl Terms {
    /// These terms with a change made.
    pub fn with(self, new: NewTerms) -> Terms {
        Terms {
            idle_timeout: new.idle_timeout.unwrap_or(self.idle_timeout),
            lifetime: new.lifetime.unwrap_or(self.lifetime),
        }
    }

    /// When a session expires if nobody uses it any more; `None` is never.
    pub fn expires_at(self, life: Life) -> Option<Timestamp> {
        let idle = self.idle_timeout.map(|idle| life.last_used_at.plus(idle));
        let whole = self.lifetime_ends_at(life);
        idle.into_iter().chain(whole).min()
    }

    /// What becomes of a session at `now`; `busy` says whether anything of it
    /// runs or waits.
    pub fn verdict(self, life: Life, now: Timestamp, busy: bool) -> Verdict {
        if self.expires_at(life).is_none_or(|end| end > now) {
            return Verdict::Keep;
        }
        if !busy {
            return Verdict::Expire;
        }
        match self.lifetime_ends_at(life) {
            Some(end) if end <= now => Verdict::Drop,
            _ => Verdict::Keep,
        }
    }

    fn lifetime_ends_at(self, life: Life) -> Option<Timestamp> {
        self.lifetime.map(|lifetime| life.created_at.plus(lifetime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn terms(idle: Option<u64>, lifetime: Option<u64>) -> Terms {
        Terms { idle_timeout: idle.map(Duration::from_secs), lifetime: lifetime.map(Duration::from_secs) }
    }

    /// A session made at second 0 and last used at second 10.
    #[track_caller]
    fn check(terms: Terms, now: i64, busy: bool, expected: Verdict) {
        let life = Life { created_at: at(0), last_used_at: at(10) };
        assert_eq!(terms.verdict(life, at(now), busy), expected, "{terms:?} at {now}, busy: {busy}");
    }

    #[test]
    fn r20_a_session_without_terms_never_expires() {
        check(terms(None, None), i64::MAX / 1_000_000, false, Verdict::Keep);
    }

    #[test]
    fn r20_an_idle_session_expires_after_its_idle_timeout() {
        check(terms(Some(5), None), 14, false, Verdict::Keep);
        check(terms(Some(5), None), 15, false, Verdict::Expire);
    }

    #[test]
    fn r20_running_and_queued_jobs_are_activity() {
        check(terms(Some(5), None), 1_000, true, Verdict::Keep);
    }

    #[test]
    fn r20_a_lifetime_bounds_it_altogether() {
        check(terms(Some(5), Some(12)), 12, false, Verdict::Expire);
        check(terms(Some(5), Some(12)), 12, true, Verdict::Drop);
        check(terms(None, Some(12)), 11, true, Verdict::Keep);
        check(terms(Some(5), Some(100)), 50, true, Verdict::Keep);
    }

    #[test]
    fn a_change_of_terms_changes_what_it_names() {
        let before = terms(Some(5), Some(12));
        let longer = NewTerms { idle_timeout: Some(Some(Duration::from_secs(9))), lifetime: None };
        assert_eq!(before.with(longer), terms(Some(9), Some(12)));
        let endless = NewTerms { idle_timeout: None, lifetime: Some(None) };
        assert_eq!(before.with(endless), terms(Some(5), None));
    }
}
