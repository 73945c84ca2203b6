//! Guests that are done before anybody could be told of them: they run where they
//! are handed in, which spares two hand-overs between threads, each of which costs
//! more than such a guest.
//!
//! That thread serves others too, so only a guest whose module is known to be
//! brief begins there, on a leash: whatever could take long waits for the guest's
//! seat (time that passes, memory that is filled), and the first tick ends the stay.
//! Who has betrayed that trust has to earn more of it for the next time.
//!
//! Promise: what begins elsewhere and is not done at once goes on on its seat, as
//! if it had begun there.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

/// A run that took no more processor time than that was brief.
const BRIEF: Duration = Duration::from_micros(500);

/// A first stretch that took more than that has betrayed the trust in its module.
const BETRAYAL: Duration = Duration::from_millis(1);

/// How many brief runs more than others a module has to have had at first.
const TRUST_AT_FIRST: u32 = 64;

/// Whether a guest sits on its seat, where it may take its time.
#[derive(Debug, Default)]
pub(super) struct Seated(AtomicBool);

/// What is known of a module's runs.
#[derive(Debug)]
pub(super) struct Habits(Mutex<Trust>);

#[derive(Debug)]
struct Trust {
    /// Brief runs; each of the others takes half of them away.
    held: u32,
    /// So many are needed to be trusted.
    needed: u32,
}

/// How the first stretch of a run went, up to where it ended or waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) cpu: Duration,
    /// Whether the guest was done with it.
    pub(super) ended: bool,
    /// Whether it was the seat's thread that it took.
    pub(super) on_seat: bool,
}

impl Seated {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Waits until the guest is on its seat. Whoever seats it looks again by itself.
    pub(super) async fn wait(&self) {
        poll_fn(|_| if self.0.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Default for Habits {
    fn default() -> Self {
        Self(Mutex::new(Trust { held: 0, needed: TRUST_AT_FIRST }))
    }
}

impl Habits {
    /// Whether the next run may be expected to be brief.
    pub(super) fn are_brief(&self) -> bool {
        self.with(|trust| trust.held >= trust.needed)
    }

    pub(super) fn note(&self, stretch: Stretch) {
        self.with(|trust| match stretch {
            Stretch { cpu, ended: true, .. } if cpu <= BRIEF => trust.held = (trust.held + 1).min(trust.needed * 2),
            Stretch { cpu, on_seat: false, .. } if cpu > BETRAYAL => {
                *trust = Trust { held: 0, needed: trust.needed.saturating_mul(4).min(u32::MAX / 2) };
            }
            _ => trust.held /= 2,
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Trust) -> T) -> T {
        // Nothing panics with it half changed.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Stretch = Stretch { cpu: Duration::from_micros(20), ended: true, on_seat: true };

    fn trusted_after(habits: &Habits, runs: u32) -> bool {
        (0..runs).for_each(|_| habits.note(SHORT));
        habits.are_brief()
    }

    #[test]
    fn trust_is_earned_by_brief_runs() {
        let habits = Habits::default();
        assert!(!trusted_after(&habits, TRUST_AT_FIRST - 1));
        assert!(trusted_after(&habits, 1));
    }

    #[test]
    fn a_module_that_waits_or_computes_now_and_then_is_not_trusted_long() {
        for other in [Stretch { ended: false, ..SHORT }, Stretch { cpu: BRIEF * 2, ..SHORT }] {
            let habits = Habits::default();
            assert!(trusted_after(&habits, 10 * TRUST_AT_FIRST));
            habits.note(other);
            assert!(habits.are_brief(), "once");
            habits.note(other);
            assert!(!habits.are_brief(), "{other:?}");
            assert!(trusted_after(&habits, TRUST_AT_FIRST));
        }
    }

    #[test]
    fn each_betrayal_makes_trust_dearer() {
        let habits = Habits::default();
        let mut needed = TRUST_AT_FIRST;
        for _ in 0..3 {
            assert!(trusted_after(&habits, needed));
            habits.note(Stretch { cpu: BETRAYAL * 2, ended: false, on_seat: false });
            assert!(!trusted_after(&habits, needed));
            needed *= 4;
            habits.note(Stretch { ended: false, ..SHORT });
            (0..20).for_each(|_| habits.note(Stretch { ended: false, ..SHORT }));
        }
        // On its seat a guest may take what time it wants.
        let habits = Habits::default();
        habits.note(Stretch { cpu: BETRAYAL * 2, ended: true, on_seat: true });
        assert!(trusted_after(&habits, TRUST_AT_FIRST));
    }
}
