//! How much memory a guest holds: all its memories and tables together.
//!
//! Promise: the sum never passes the job's limit. (Wasmtime's own limiter looks
//! at each memory by itself: 100 memories took 4 GiB under a limit of 256 MiB.)

use wasmtime::ResourceLimiter;

/// What one element of a table costs.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts one guest's memory, and says no at its limit.
#[derive(Debug)]
pub(super) struct Meter {
    bytes_max: u64,
    bytes: u64,
    peak: u64,
    /// The last step that was granted, in case it cannot be carried out.
    last_step: u64,
}

/// The guest asked for more memory than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job asked for {wanted} bytes of memory, and its limit is {bytes_max}")]
pub(super) struct OverMemory {
    wanted: u64,
    bytes_max: u64,
}

impl Meter {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, peak: 0, last_step: 0 }
    }

    /// The most that was held at once.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Counts a step from `current` to `desired` units. `Ok(false)` is the
    /// answer that the module itself asked for, by a maximum of its own.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> wasmtime::Result<bool> {
        // A maximum at or above the limit is the pool's and not the module's wish.
        let own_maximum = maximum.filter(|maximum| bytes(maximum.saturating_mul(unit)) < self.bytes_max);
        if own_maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let step = bytes(desired.saturating_sub(current).saturating_mul(unit));
        let wanted = self.bytes.saturating_add(step);
        if wanted > self.bytes_max {
            return Err(OverMemory { wanted, bytes_max: self.bytes_max }.into());
        }
        self.bytes = wanted;
        self.peak = self.peak.max(wanted);
        self.last_step = step;
        Ok(true)
    }

    fn take_back(&mut self) {
        self.bytes -= self.last_step;
        self.last_step = 0;
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, 1)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, ELEMENT_BYTES)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b08_memories_and_tables_share_one_limit() {
        let mut meter = Meter::new(1_000);
        assert!(meter.memory_growing(0, 400, None).unwrap());
        assert!(meter.memory_growing(0, 400, None).unwrap());
        assert!(meter.table_growing(0, 25, None).unwrap());
        assert!(meter.memory_growing(400, 401, None).unwrap_err().is::<OverMemory>());
        assert!(meter.table_growing(25, 26, None).unwrap_err().is::<OverMemory>());
        assert_eq!(meter.peak(), 1_000);
    }

    #[test]
    fn a_modules_own_maximum_is_no_failure_of_the_job() {
        let mut meter = Meter::new(1_000);
        assert!(!meter.memory_growing(0, 400, Some(300)).unwrap());
        assert_eq!(meter.peak(), 0);
    }

    #[test]
    fn what_could_not_be_had_is_not_counted() {
        let mut meter = Meter::new(1_000);
        assert!(meter.memory_growing(0, 900, None).unwrap());
        meter.memory_grow_failed(wasmtime::Error::msg("no address space")).unwrap();
        assert!(meter.memory_growing(0, 1_000, None).unwrap());
    }
}
