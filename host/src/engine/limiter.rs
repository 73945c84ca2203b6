//! How much memory a guest holds: all its memories and tables together.
//!
//! Promise: the sum never passes the job's limit, nor the guests of a tenant, or
//! all guests, theirs. (Wasmtime's own limiter looks at each memory by itself: 100
//! memories took 4 GiB under a limit of 256 MiB.)

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::ResourceLimiterAsync;

use super::brief::Seated;
use super::config::TABLE_ELEMENTS_MAX;
use super::purse::Purse;

/// What one element of a table costs.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// A guest that wants to hold more goes to its seat for it: to fill memory takes long, and
/// nothing interrupts that.
const UNSEATED_BYTES_MAX: u64 = 16 << 20;

/// What a guest shares memory with.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) with_tenant: Arc<Purse>,
    pub(super) with_all: Arc<Purse>,
}

/// Counts one guest's memory, and says no at its limit.
#[derive(Debug)]
pub(super) struct Meter {
    shared: Shared,
    bytes_max: u64,
    bytes: u64,
    peak: u64,
    /// The last step that was granted, in case it cannot be carried out.
    last_step: u64,
    seated: Arc<Seated>,
}

/// The guest asked for more memory than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job asked for {wanted} bytes of memory, and its limit is {bytes_max}")]
pub(super) struct OverMemory {
    wanted: u64,
    bytes_max: u64,
}

/// The guest asked for a larger table than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the job asked for a table of {wanted} elements, and one that begins with at most {TABLE_ELEMENTS_MAX} may have no more"
)]
pub(super) struct OverTable {
    wanted: usize,
}

/// The guests of the job's tenant hold as much as they may together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the job asked for {step} bytes more of memory, and the jobs of its tenant hold {held} of the {bytes_max} that they may hold together"
)]
pub(super) struct OverTogether {
    step: u64,
    held: u64,
    bytes_max: u64,
}

/// All guests of the server hold as much as they may together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server has no memory left for its guests")]
pub(super) struct NoMemoryLeft;

impl Meter {
    pub(super) fn new(bytes_max: u64, shared: Shared, seated: Arc<Seated>) -> Self {
        Self { shared, bytes_max, bytes: 0, peak: 0, last_step: 0, seated }
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
        let Shared { with_tenant, with_all } = &self.shared;
        if !with_tenant.take(step) {
            let (held, bytes_max) = with_tenant.stand();
            return Err(OverTogether { step, held, bytes_max }.into());
        }
        if !with_all.take(step) {
            with_tenant.give_back(step);
            return Err(NoMemoryLeft.into());
        }
        self.bytes = wanted;
        self.peak = self.peak.max(wanted);
        self.last_step = step;
        Ok(true)
    }

    async fn grow_seated(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        unit: usize,
    ) -> wasmtime::Result<bool> {
        let granted = self.grow(current, desired, maximum, unit)?;
        if self.bytes > UNSEATED_BYTES_MAX {
            self.seated.wait().await;
        }
        Ok(granted)
    }

    fn take_back(&mut self) {
        self.bytes -= self.last_step;
        self.give_back(self.last_step);
        self.last_step = 0;
    }

    fn give_back(&self, bytes: u64) {
        self.shared.with_tenant.give_back(bytes);
        self.shared.with_all.give_back(bytes);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[async_trait]
impl ResourceLimiterAsync for Meter {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow_seated(current, desired, maximum, 1).await
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // It is the pool's maximum and not the module's wish; one that wishes just that is the
        // exception which cannot be told from it.
        if maximum == Some(TABLE_ELEMENTS_MAX) && desired > TABLE_ELEMENTS_MAX {
            return Err(OverTable { wanted: desired }.into());
        }
        self.grow_seated(current, desired, maximum, ELEMENT_BYTES).await
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(with_tenant: u64, with_all: u64) -> Shared {
        Shared { with_tenant: Purse::new(with_tenant), with_all: Purse::new(with_all) }
    }

    fn alone() -> Meter {
        Meter::new(1_000, shared(u64::MAX, u64::MAX), Arc::default())
    }

    #[test]
    fn b08_memories_and_tables_share_one_limit() {
        let mut meter = alone();
        assert!(meter.grow(0, 400, None, 1).unwrap());
        assert!(meter.grow(0, 400, None, 1).unwrap());
        assert!(meter.grow(0, 25, None, ELEMENT_BYTES).unwrap());
        assert!(meter.grow(400, 401, None, 1).unwrap_err().is::<OverMemory>());
        assert!(meter.grow(25, 26, None, ELEMENT_BYTES).unwrap_err().is::<OverMemory>());
        assert_eq!(meter.peak(), 1_000);
    }

    #[test]
    fn a_modules_own_maximum_is_no_failure_of_the_job() {
        let mut meter = alone();
        assert!(!meter.grow(0, 400, Some(300), 1).unwrap());
        assert_eq!(meter.peak(), 0);
    }

    #[test]
    fn what_could_not_be_had_is_not_counted() {
        let mut meter = alone();
        assert!(meter.grow(0, 900, None, 1).unwrap());
        meter.memory_grow_failed(wasmtime::Error::msg("no address space")).unwrap();
        assert!(meter.grow(0, 1_000, None, 1).unwrap());
    }

    #[test]
    fn b08_guests_of_a_tenant_share_a_bound_and_so_do_all() {
        let shared = shared(1_000, 1_500);
        let neighbour = Shared { with_tenant: Purse::new(1_000), with_all: shared.with_all.clone() };
        let mut one = Meter::new(800, shared.clone(), Arc::default());
        let mut two = Meter::new(800, shared.clone(), Arc::default());
        assert!(one.grow(0, 800, None, 1).unwrap());
        let over = two.grow(0, 300, None, 1).unwrap_err();
        assert_eq!(over.downcast_ref::<OverTogether>(), Some(&OverTogether { step: 300, held: 800, bytes_max: 1_000 }));
        assert!(two.grow(0, 200, None, 1).unwrap());
        let mut other = Meter::new(800, neighbour.clone(), Arc::default());
        assert!(other.grow(0, 501, None, 1).unwrap_err().is::<NoMemoryLeft>());
        assert_eq!(neighbour.with_tenant.stand().0, 0);
        assert!(other.grow(0, 500, None, 1).unwrap());
        drop((one, two, other));
        assert_eq!((shared.with_tenant.stand().0, shared.with_all.stand().0), (0, 0));
    }
}
