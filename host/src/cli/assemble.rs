//! `sessile assemble`: a module in the text format becomes the binary that the server
//! takes.
//!
//! Not here: whether the server takes it, which it says when it is uploaded.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::check;
use crate::cli::say;

pub(super) fn assemble(from: &Path, to: &Path) -> ExitCode {
    match convert(from, to) {
        Ok(bytes) => {
            say(format_args!("{} bytes in {}", bytes, to.display()));
            ExitCode::SUCCESS
        }
        Err(error) => check::impossible("assemble", &*error),
    }
}

/// Gives the length of the binary.
fn convert(from: &Path, to: &Path) -> Result<usize, Box<dyn Error>> {
    let file = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let text = std::fs::read(from).map_err(|error| file(from, error))?;
    // A binary comes out as it went in.
    let binary = wat::Parser::new().parse_bytes(Some(from), &text)?;
    std::fs::write(to, &binary).map_err(|error| file(to, error))?;
    Ok(binary.len())
}
