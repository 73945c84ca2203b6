//! See `sessile::fuzzing::paths`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile::fuzzing::paths(bytes));
