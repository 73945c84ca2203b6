//! A lock that a simulation can stop at.
//!
//! Promise: made inside a simulation, it is taken and given back at moments that the
//! simulation chooses, and a deadlock is seen by it; made outside, it is the
//! standard library's lock.

use std::fmt;
use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::LockResult;
use std::sync::PoisonError;

/// As [`std::sync::Mutex`].
pub(crate) struct Mutex<T> {
    /// Who is let in, in a simulation. Behind it nobody ever waits for `inner`.
    gate: Option<shuttle::sync::Mutex<()>>,
    inner: std::sync::Mutex<T>,
}

/// As [`std::sync::MutexGuard`].
pub(crate) struct MutexGuard<'a, T> {
    // Dropped in this order: the gate is the last thing to open.
    inner: std::sync::MutexGuard<'a, T>,
    _gate: Option<shuttle::sync::MutexGuard<'a, ()>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        let is_simulated = shuttle::current::try_get_current_task().is_some();
        let gate = is_simulated.then(|| shuttle::sync::Mutex::new(()));
        Self { gate, inner: std::sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let gate = self.gate.as_ref().map(|gate| gate.lock().unwrap_or_else(PoisonError::into_inner));
        match self.inner.lock() {
            Ok(inner) => Ok(MutexGuard { inner, _gate: gate }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { inner: poisoned.into_inner(), _gate: gate })),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}
