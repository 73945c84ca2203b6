//! See `sessile::fuzzing::imports`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sessile::fuzzing::imports(bytes));
