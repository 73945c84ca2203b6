//! The names and numbers that guests and the host share.
//!
//! Comes in: the backends of this crate, and the one file of the server that
//! offers these functions to core modules.
//!
//! Promise: what is written here never changes its meaning. A function that
//! must behave differently gets a new name in a module `sessile_v1`.
//!
//! Not here: how the functions are called (`p1`, `p2`), and what the host
//! allows at a given moment.
//!
//! Strings are UTF-8, passed as a pointer and a length. A function that yields
//! a string takes a buffer and its capacity, writes nothing if the value does
//! not fit, and returns the value's whole length. Every pointer, length and
//! answer is an `i32`, except where a constant's own line says otherwise.

/// The module that core modules import from.
pub const MODULE: &str = "sessile_v0";

/// `() -> i32`: 1 in a session, otherwise 0.
pub const SESSION_ACTIVE: &str = "session_active";
/// `(buf, cap) -> i32`: the session's id, or [`ABSENT`].
pub const SESSION_ID: &str = "session_id";
/// `(name, name_len, buf, cap) -> i32`: the parameter's value, or [`ABSENT`].
pub const PARAM_GET: &str = "param_get";
/// `(name, name_len, value, value_len) -> i32`: 0, or an error.
pub const PARAM_SET: &str = "param_set";
/// `(name, name_len) -> i32`: 1 if it was there, 0 if not, or an error.
pub const PARAM_REMOVE: &str = "param_remove";
/// `(buf, cap) -> i32`: the names, sorted, with a newline between each two.
pub const PARAM_NAMES: &str = "param_names";
/// `(id, id_len, buf, cap) -> i32`: the new session's id. With `id_len` 0 the
/// host chooses one. [`ID_BYTES_MAX`] bytes of buffer always suffice, so
/// nobody has to create a session twice to learn its id.
pub const SESSION_CREATE: &str = "session_create";
/// `(id, id_len) -> i32`: 0, or an error.
pub const SESSION_RENAME: &str = "session_rename";
/// `() -> i32`: 0, or an error.
pub const SESSION_DELETE: &str = "session_delete";
/// `() -> i32`: 0, or an error.
pub const SESSION_COMMIT: &str = "session_commit";
/// `() -> i32`: 0, or an error.
pub const SESSION_ROLLBACK: &str = "session_rollback";
/// `(buf, cap) -> i32`: the job's id.
pub const JOB_ID: &str = "job_id";
/// `() -> i32`: 1 for the first run of the job, 2 for the second.
pub const JOB_ATTEMPT: &str = "job_attempt";
/// `() -> i64`: the milliseconds that are left, or [`NO_DEADLINE`].
pub const JOB_REMAINING_MS: &str = "job_remaining_ms";
/// `(fraction: f64, message, message_len)`: no answer.
pub const JOB_PROGRESS: &str = "job_progress";
/// `(json, json_len) -> i32`: 0, or an error.
pub const JOB_SET_RESULT: &str = "job_set_result";
/// `(level, message, message_len)`: no answer. The level is a `LOG_…`.
pub const JOB_LOG: &str = "job_log";

/// Every function that a core module can import, in the order of this page.
pub const FUNCTIONS: [&str; 17] = [
    SESSION_ACTIVE,
    SESSION_ID,
    PARAM_GET,
    PARAM_SET,
    PARAM_REMOVE,
    PARAM_NAMES,
    SESSION_CREATE,
    SESSION_RENAME,
    SESSION_DELETE,
    SESSION_COMMIT,
    SESSION_ROLLBACK,
    JOB_ID,
    JOB_ATTEMPT,
    JOB_REMAINING_MS,
    JOB_PROGRESS,
    JOB_SET_RESULT,
    JOB_LOG,
];

/// Success of a function that yields nothing.
pub const OK: i32 = 0;
/// There is no such value, or no such thing.
pub const ABSENT: i32 = -1;
/// The job is not in a session.
pub const NO_SESSION: i32 = -2;
/// There is a session of that id already.
pub const EXISTS: i32 = -3;
/// The session is in use in a way that rules this out now.
pub const BUSY: i32 = -4;
/// What was handed over is not allowed, whatever the state of the session.
pub const INVALID: i32 = -5;
/// A quota would be passed.
pub const QUOTA: i32 = -6;

/// The answer of [`JOB_REMAINING_MS`] (an `i64`) for a job without a time limit.
pub const NO_DEADLINE: i64 = -1;

/// A level of [`JOB_LOG`]: every step.
pub const LOG_TRACE: i32 = 0;
/// A level of [`JOB_LOG`]: what helps to find a fault.
pub const LOG_DEBUG: i32 = 1;
/// A level of [`JOB_LOG`]: what happened.
pub const LOG_INFO: i32 = 2;
/// A level of [`JOB_LOG`]: odd, and the job goes on.
pub const LOG_WARN: i32 = 3;
/// A level of [`JOB_LOG`]: something went wrong.
pub const LOG_ERROR: i32 = 4;

/// The package of the WIT interfaces, for components.
pub const WIT_PACKAGE: &str = "sessile:job@0.1.0";
/// The interface with the session and its parameters.
pub const WIT_SESSION: &str = "sessile:job/session@0.1.0";
/// The interface with the job itself.
pub const WIT_JOB: &str = "sessile:job/job@0.1.0";

/// The longest id of a session.
pub const ID_BYTES_MAX: usize = 128;
/// The longest name of a parameter.
pub const PARAM_NAME_BYTES_MAX: usize = 256;
/// The longest value of a parameter; larger things belong in a file.
pub const PARAM_VALUE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const P1: &str = include_str!("p1.rs");
    const HEADER: &str = include_str!("../c/sessile.h");
    const WIT: &str = include_str!("../wit/job.wit");

    /// Each function is in `text` once, between these words.
    #[track_caller]
    fn check(text: &str, before: &str, after: &str) {
        for name in FUNCTIONS {
            let wanted = format!("{before}{name}{after}");
            assert_eq!(text.matches(&wanted).count(), 1, "`{wanted}`");
        }
    }

    #[test]
    fn every_dress_has_every_function_under_the_same_name() {
        let (_, imports) = P1.split_once("unsafe extern").unwrap();
        let (imports, _) = imports.split_once('}').unwrap();
        check(imports, " fn ", "(");
        assert_eq!(imports.matches(" fn ").count(), FUNCTIONS.len());
        check(HEADER, " sessile_", "(");
        check(HEADER, "SESSILE_IMPORT(\"", "\")");
        assert_eq!(HEADER.matches("SESSILE_IMPORT(\"").count(), FUNCTIONS.len());
    }

    #[test]
    fn every_dress_imports_from_the_same_module() {
        assert!(P1.contains(&format!("wasm_import_module = \"{MODULE}\"")));
        assert!(HEADER.contains(&format!("__import_module__(\"{MODULE}\")")));
    }

    #[test]
    fn the_wit_package_is_the_one_we_name() {
        assert!(WIT.contains(&format!("package {WIT_PACKAGE};")));
        let (package, version) = WIT_PACKAGE.split_once('@').unwrap();
        for (interface, name) in [("session", WIT_SESSION), ("job", WIT_JOB)] {
            assert!(WIT.contains(&format!("interface {interface} {{")));
            assert_eq!(name, format!("{package}/{interface}@{version}"));
        }
    }
}
