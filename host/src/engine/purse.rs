//! What several guests hold of memory together: those of one tenant, or all.
//!
//! Promise: the sum never passes the bound, and what a guest held is given back
//! with the guest, however it ended.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Memory that several guests share.
#[derive(Debug)]
pub struct Purse {
    bytes_max: AtomicU64,
    bytes: AtomicU64,
}

impl Purse {
    /// For guests that may hold so much together.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max: AtomicU64::new(bytes_max), bytes: AtomicU64::new(0) })
    }

    /// Sets another bound. What is held above it stays until it is given back.
    pub fn bound(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// What is held, and the bound.
    pub(super) fn stand(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.bytes_max.load(Ordering::Relaxed))
    }

    /// Takes so much, if that is there; says whether it was.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let most = self.bytes_max.load(Ordering::Relaxed);
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= most);
        // No other memory is read on the strength of the count, so its order is enough.
        self.bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
