//! See `sessile::fuzzing::headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile::fuzzing::headers(bytes));
