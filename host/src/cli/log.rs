//! Where log lines go: to stderr, for people or as JSON.

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is shown unless `RUST_LOG` says otherwise. Wasmtime's own lines are
/// about its insides. The warnings of its WASI are what guests do: each call for a
/// socket is one, so a guest could write as many as it likes (B29).
const DEFAULT: &str = "info,wasmtime=warn,wasmtime_wasi=error,cranelift=warn";

/// Starts logging. Only the first call counts.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start is a second call in one process, which logs already.
    let _ = match format {
        LogFormat::Human => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}
