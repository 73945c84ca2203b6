//! The line before the writer: who waits there, and for whom the writer is woken.
//!
//! Comes in: units of work from any thread, some of them patient.
//! Goes out: what is to be one commit, in the order in which it came.
//!
//! Promise: nobody who is not patient waits while the writer sleeps; and the
//! writer is not woken for each of those who are.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// See the card of this file.
pub(super) struct Line<T> {
    inner: Mutex<Inner<T>>,
    called: Condvar,
    /// How many are taken at once.
    batch_max: usize,
    /// How long those who are patient wait for others.
    patience: Duration,
}

struct Inner<T> {
    waiting: VecDeque<(T, Patience)>,
    /// How many of them are not patient.
    urgent: usize,
    sleeps: Sleep,
    /// Nobody comes any more.
    ended: bool,
    /// Nobody is served any more.
    closed: bool,
}

/// Whether a unit waits for others before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    /// For a while, unless one that is not patient comes.
    UntilOthersCome,
}

/// What the writer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Not,
    UntilSomebodyComes,
    /// Or as many as are taken at once.
    UntilSomebodyUrgentComes,
}

impl<T> Line<T> {
    pub(super) fn new(batch_max: usize, patience: Duration) -> Self {
        let inner = Inner { waiting: VecDeque::new(), urgent: 0, sleeps: Sleep::Not, ended: false, closed: false };
        Self { inner: Mutex::new(inner), called: Condvar::new(), batch_max, patience }
    }

    /// Puts a unit at the end. Gives it back if nobody is served any more.
    pub(super) fn put(&self, unit: T, patience: Patience) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(unit);
        }
        inner.waiting.push_back((unit, patience));
        inner.urgent += usize::from(patience == Patience::None);
        let wakes = match inner.sleeps {
            Sleep::Not => false,
            Sleep::UntilSomebodyComes => true,
            Sleep::UntilSomebodyUrgentComes => inner.urgent > 0 || inner.waiting.len() >= self.batch_max,
        };
        if wakes {
            inner.sleeps = Sleep::Not;
            drop(inner);
            self.called.notify_one();
        }
        Ok(())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// What is to be one commit, when there is something. `None` when nobody waits
    /// and nobody will come.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.ended {
                return None;
            }
            inner.sleeps = Sleep::UntilSomebodyComes;
            inner = self.called.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let end = Instant::now() + self.patience;
        while inner.urgent == 0 && inner.waiting.len() < self.batch_max && !inner.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner.sleeps = Sleep::UntilSomebodyUrgentComes;
            inner = self.called.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.sleeps = Sleep::Not;
        let count = inner.waiting.len().min(self.batch_max);
        let taken: Vec<_> = inner.waiting.drain(..count).collect();
        inner.urgent -= taken.iter().filter(|(_, patience)| *patience == Patience::None).count();
        Some(taken.into_iter().map(|(unit, _)| unit).collect())
    }

    /// Says that nobody comes any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.called.notify_one();
    }

    /// Sends everybody away, now and from now on: nobody takes units any more.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let left = std::mem::take(&mut inner.waiting);
        // What they hold may come back here when it is dropped.
        drop(inner);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing that can panic is done with it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never over in a test.
    const LONG: Duration = Duration::from_secs(1_000);

    fn line(patience: Duration) -> Line<u32> {
        Line::new(3, patience)
    }

    #[test]
    fn who_waits_is_taken_in_order_and_not_too_many_at_once() {
        let line = line(LONG);
        for unit in 0..4 {
            line.put(unit, Patience::None).unwrap();
        }
        assert_eq!(line.len(), 4);
        assert_eq!(line.take(), Some(vec![0, 1, 2]));
        assert_eq!(line.take(), Some(vec![3]));
        line.end();
        assert_eq!(line.take(), None);
    }

    #[test]
    fn who_is_patient_waits_for_others_until_enough_are_there_or_somebody_is_not() {
        let line = line(LONG);
        (0..3).for_each(|unit| line.put(unit, Patience::UntilOthersCome).unwrap());
        assert_eq!(line.take(), Some(vec![0, 1, 2]), "that are enough");
        line.put(3, Patience::UntilOthersCome).unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| line.take());
            line.put(4, Patience::None).unwrap();
            assert_eq!(taken.join().unwrap(), Some(vec![3, 4]));
        });
        line.put(5, Patience::UntilOthersCome).unwrap();
        line.end();
        assert_eq!(line.take(), Some(vec![5]), "nobody will come");
    }

    #[test]
    fn patience_ends() {
        let line = line(Duration::from_millis(1));
        line.put(0, Patience::UntilOthersCome).unwrap();
        assert_eq!(line.take(), Some(vec![0]));
    }

    #[test]
    fn whoever_comes_wakes_the_writer_if_it_would_sleep_on() {
        let line = line(LONG);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| (line.take(), line.take(), line.take()));
            for unit in 0..6 {
                let patience = if unit == 3 { Patience::None } else { Patience::UntilOthersCome };
                line.put(unit, patience).unwrap();
            }
            line.end();
            let (one, two, three) = taken.join().unwrap();
            let all: Vec<_> = [one, two, three].into_iter().flatten().flatten().collect();
            assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        });
    }

    #[test]
    fn nobody_enters_a_line_that_is_closed() {
        let line = line(LONG);
        line.put(0, Patience::None).unwrap();
        line.close();
        assert_eq!((line.put(1, Patience::None), line.len()), (Err(1), 0));
    }
}
