//! What rooms count of their work: numbers that only grow, and how large what they
//! measured was.
//!
//! Comes in: any thread, on the way of a request. Goes out: to whoever asks how much
//! it is by now.
//!
//! Promise: to count costs one or two relaxed additions; nothing is locked, made or
//! looked up for it. Each number is whole by itself; two that are read one after the
//! other may be a moment apart.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many bounds a [`Spread`] may have.
const BOUNDS_MAX: usize = 12;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn one(&self) {
        self.add(1);
    }

    pub fn add(&self, more: u64) {
        // Nothing is read on the strength of it, so its order is enough.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bounds of a [`Spread`], from the least to the greatest.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub most: &'static [u64],
    /// How many of the numbers that are counted make one of those that are shown.
    pub per_unit: u64,
}

impl Bounds {
    /// Of times, in nanoseconds that are shown as seconds.
    pub const fn of_times(most: &'static [u64]) -> Self {
        Self { most, per_unit: 1_000_000_000 }
    }

    /// Of what is counted one by one.
    pub const fn of_counts(most: &'static [u64]) -> Self {
        Self { most, per_unit: 1 }
    }
}

/// So many microseconds, as a bound.
pub const fn micros(count: u64) -> u64 {
    count * 1_000
}

/// So many milliseconds, as a bound.
pub const fn millis(count: u64) -> u64 {
    micros(count * 1_000)
}

/// How often what was measured lay within each bound.
#[derive(Debug)]
pub struct Spread {
    bounds: Bounds,
    /// Of each bound those that lie within it and not within the one before; the last
    /// is of those beyond all bounds.
    within: [Count; BOUNDS_MAX + 1],
    sum: Count,
}

impl Spread {
    pub fn new(bounds: Bounds) -> Self {
        assert!(bounds.most.len() <= BOUNDS_MAX && bounds.most.is_sorted(), "bounds are few, and in order");
        Self { bounds, within: Default::default(), sum: Count::default() }
    }

    pub fn note(&self, value: u64) {
        let place = self.bounds.most.partition_point(|most| *most < value);
        self.within[place].one();
        self.sum.add(value);
    }

    pub fn note_time(&self, time: Duration) {
        self.note(nanos(time));
    }

    /// What was noted so far.
    pub fn look(&self) -> Noted {
        let unit = self.bounds.per_unit as f64;
        let bounds = self.bounds.most.iter().map(|most| *most as f64 / unit).chain([f64::INFINITY]);
        let within: Vec<_> = bounds.zip(&self.within).map(|(bound, count)| (bound, count.get())).collect();
        Noted { within, sum: self.sum.get() as f64 / unit }
    }
}

/// What a [`Spread`] held at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// Each bound, and how often what was measured lay within it and not within the one before.
    pub within: Vec<(f64, u64)>,
    pub sum: f64,
}

impl Noted {
    /// How often anything was noted.
    pub fn count(&self) -> u64 {
        self.within.iter().map(|(_, count)| count).sum()
    }
}

/// A time as a number to count; more than five centuries are as many.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_lies_within_the_first_bound_that_it_does_not_pass() {
        const BOUNDS: Bounds = Bounds::of_times(&[micros(500), millis(10)]);
        let spread = Spread::new(BOUNDS);
        for time in [micros(0), micros(500), micros(501), millis(10), millis(11), millis(60_000)] {
            spread.note_time(Duration::from_nanos(time));
        }
        let noted = spread.look();
        assert_eq!(noted.within, [(0.0005, 2), (0.01, 2), (f64::INFINITY, 2)]);
        assert_eq!((noted.count(), noted.sum), (6, 60.022_001));
    }

    #[test]
    fn nothing_is_lost_when_many_count_at_once() {
        let (count, spread) = (Count::default(), Spread::new(Bounds::of_counts(&[1, 2])));
        std::thread::scope(|scope| {
            for value in 0..4 {
                let (count, spread) = (&count, &spread);
                scope.spawn(move || (0..10_000).for_each(|_| (count.one(), spread.note(value)).1));
            }
        });
        assert_eq!(count.get(), 40_000);
        assert_eq!(
            spread.look(),
            Noted { within: vec![(1.0, 20_000), (2.0, 10_000), (f64::INFINITY, 10_000)], sum: 60_000.0 }
        );
    }
}
