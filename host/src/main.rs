//! The server's binary. Everything that it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A failed call of a guest makes an error value, and with this on each would walk the
    // stack and look up symbols: 90 ms a job once many modules are loaded.
    // SAFETY: no other thread has been started yet, so none can read the environment meanwhile.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    sessile::cli::run()
}
