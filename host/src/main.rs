//! The server's binary. Everything that it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sessile::cli::run()
}
