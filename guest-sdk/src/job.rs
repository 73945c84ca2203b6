//! The job itself: who it is, how far it is, and what came out.
//!
//! Comes in: a guest author. Goes out: to the backend of the target.
//!
//! Promise: a result is kept only together with everything else that the job
//! changed. Progress and log lines can be seen at once, whatever the ending.
//!
//! Not here: arguments, environment and standard streams, which come from the
//! standard library.

use std::fmt::Display;
use std::time::Duration;

use crate::Error;
use crate::backend;

/// The job's id. Empty natively.
///
/// ```
/// println!("<!-- made by job {} -->", sessile_guest::job::id());
/// ```
pub fn id() -> String {
    backend::job_id()
}

/// The name of the module that is running: argument 0, natively too.
///
/// ```
/// eprintln!("{}: no input", sessile_guest::job::module());
/// # assert!(!sessile_guest::job::module().is_empty());
/// ```
pub fn module() -> String {
    backend::module()
}

/// 1 for the first run of this job, 2 for the second.
///
/// A job is run again after the server died in the middle of it, or when it was
/// submitted with retries. Nothing of the earlier run is left in the session,
/// but what it did elsewhere may have happened.
///
/// ```
/// if sessile_guest::job::attempt() > 1 {
///     println!("Once more.");
/// }
/// # assert_eq!(sessile_guest::job::attempt(), 1);
/// ```
pub fn attempt() -> u32 {
    backend::attempt()
}

/// How long the job may still run, or `None` if it has no time limit.
///
/// ```
/// use std::time::Duration;
///
/// let hurry = sessile_guest::job::remaining().is_some_and(|left| left < Duration::from_secs(5));
/// # assert!(!hurry);
/// ```
pub fn remaining() -> Option<Duration> {
    backend::remaining()
}

/// Tells whoever watches how far the job is, from 0.0 to 1.0, and what it is
/// doing. The last call is what they see.
///
/// ```
/// # let records = [1, 2, 3];
/// for (done, record) in records.iter().enumerate() {
///     // … and write the letter of this record.
///     sessile_guest::job::progress(done as f64 / records.len() as f64, "writing letters");
/// }
/// ```
pub fn progress(fraction: f64, message: &str) {
    backend::progress(fraction, message);
}

/// Sets the job's result, a JSON text that the client finds in the job. The
/// last one counts.
///
/// Refused if it is not JSON or too large. Natively it is dropped unread.
///
/// ```
/// # fn main() -> Result<(), sessile_guest::Error> {
/// sessile_guest::job::set_result(r#"{"letters": 12}"#)
/// # }
/// ```
pub fn set_result(json: &str) -> Result<(), Error> {
    backend::set_result(json)
}

/// Sets the job's result from a value. Needs the feature `serde`.
///
/// ```
/// use sessile_guest::job;
///
/// #[derive(serde::Serialize)]
/// struct Outcome {
///     letters: u32,
/// }
///
/// # fn main() -> Result<(), sessile_guest::Error> {
/// job::set_result_of(&Outcome { letters: 12 })
/// # }
/// ```
#[cfg(feature = "serde")]
pub fn set_result_of<T: serde::Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    let json = serde_json::to_string(value);
    let json = json.map_err(|error| Error::Invalid(format!("the result cannot be written as JSON: {error}")))?;
    set_result(&json)
}

/// How much a logged line matters.
///
/// ```
/// use sessile_guest::job::Level;
///
/// assert!(Level::Debug < Level::Error);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What happened.
    Info,
    /// Odd, and the job goes on.
    Warn,
    /// Something went wrong.
    Error,
}

/// Writes a line to the job's log. For a level that is known beforehand there
/// are [`trace`], [`debug`], [`info`], [`warn`] and [`error`].
///
/// ```
/// use sessile_guest::job::{self, Level};
///
/// # let missing = 3;
/// let level = if missing == 0 { Level::Info } else { Level::Warn };
/// job::log(level, format_args!("{missing} addresses are missing"));
/// ```
pub fn log(level: Level, message: impl Display) {
    backend::log(level, &message.to_string());
}

/// Logs every step.
///
/// ```
/// sessile_guest::job::trace("opened data.xml");
/// ```
pub fn trace(message: impl Display) {
    log(Level::Trace, message);
}

/// Logs what helps to find a fault.
///
/// ```
/// sessile_guest::job::debug(format_args!("the template has {} bytes", 1_204));
/// ```
pub fn debug(message: impl Display) {
    log(Level::Debug, message);
}

/// Logs what happened.
///
/// ```
/// sessile_guest::job::info("the letter is written");
/// ```
pub fn info(message: impl Display) {
    log(Level::Info, message);
}

/// Logs what is odd; the job goes on.
///
/// ```
/// sessile_guest::job::warn("record 12 has no postcode");
/// ```
pub fn warn(message: impl Display) {
    log(Level::Warn, message);
}

/// Logs what went wrong. The job still has to end with an exit code other than
/// 0 for its changes to be undone.
///
/// ```
/// # let error = sessile_guest::Error::Busy;
/// sessile_guest::job::error(&error);
/// ```
pub fn error(message: impl Display) {
    log(Level::Error, message);
}
