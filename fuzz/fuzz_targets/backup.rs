//! See `sessile::fuzzing::backup`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile::fuzzing::backup(bytes));
