//! See `sessile::fuzzing::store`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile::fuzzing::store(bytes));
