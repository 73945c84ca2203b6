//! The lock at which jobs meet: in the line, at the slots, on the list.
//!
//! In a server it is the standard library's, and nothing else. In a unit test it is
//! one whose every lock can be the moment at which another thread goes on, if the
//! test is a simulation (B39), and the standard library's otherwise. So what is
//! simulated is what runs, and nothing is built twice for it.

#[cfg(not(test))]
pub(crate) use std::sync::Mutex;
#[cfg(not(test))]
pub(crate) use std::sync::MutexGuard;

#[cfg(test)]
pub(crate) use self::simulated::Mutex;
#[cfg(test)]
pub(crate) use self::simulated::MutexGuard;

#[cfg(test)]
mod simulated;
