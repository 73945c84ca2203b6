//! Where bytes from outside are read: one function for each such place, which
//! takes any bytes and panics only if a promise is broken.
//!
//! Comes in: libFuzzer, which looks for bytes that reach new code (`fuzz/`,
//! `cargo xtask fuzz`); and the tests below, which do a second of it at each run.
//!
//! Not here: the rooms' own promises, which each room checks itself. In a server
//! there is nothing of this.

pub use crate::engine::fuzzing::imports;
pub use crate::engine::fuzzing::paths;
pub use crate::http::fuzzing::headers;
pub use crate::store::fuzzing::archive;
pub use crate::store::fuzzing::backup;
pub use crate::store::fuzzing::store;

#[cfg(test)]
mod tests;
