//! The slots: how many guests run at once, and where.
//!
//! Comes in: a job that has its turn, or needs none.
//! Goes out: to the engine's thread of the same number.
//!
//! Promise: a slot's number is held by one job at a time, and slots are given
//! in the order they were asked for.
//!
//! Not here: weights between tenants; today the line for slots is one.

use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// The places in the engine. Cheap to clone.
#[derive(Clone)]
pub struct Slots {
    permits: Arc<Semaphore>,
    free: Arc<Mutex<Vec<usize>>>,
}

/// A place in the engine. Dropping it gives it back.
pub struct Slot {
    number: usize,
    free: Arc<Mutex<Vec<usize>>>,
    /// Given back after `free` knows the number again: fields drop after
    /// `Drop::drop`, so a permit always finds a free number.
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// `count` places, numbered from 0.
    pub fn new(count: usize) -> Self {
        // The last one given back is the next to be used: its thread is warm.
        let free = Arc::new(Mutex::new((0..count).rev().collect()));
        Self { permits: Arc::new(Semaphore::new(count)), free }
    }

    /// Waits for a free slot.
    pub async fn take(&self) -> Slot {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let number = lock(&self.free).pop().expect("a permit is given back after its number");
        Slot { number, free: Arc::clone(&self.free), _permit: permit }
    }

    /// How many slots nobody holds.
    pub fn free(&self) -> usize {
        self.permits.available_permits()
    }
}

impl Slot {
    /// Which of the engine's threads this is.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.free).push(self.number);
    }
}

fn lock(free: &Mutex<Vec<usize>>) -> std::sync::MutexGuard<'_, Vec<usize>> {
    free.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_is_held_once() {
        let slots = Slots::new(2);
        let one = slots.take().await;
        let two = slots.take().await;
        assert_ne!(one.number(), two.number());
        assert_eq!(slots.free(), 0);
        let freed = one.number();
        drop(one);
        assert_eq!(slots.take().await.number(), freed);
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_slot() {
        let slots = Slots::new(1);
        let held = slots.take().await;
        let mut waiting = Box::pin(slots.take());
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        drop(waiting);
        drop(held);
        assert_eq!(slots.free(), 1);
    }
}
