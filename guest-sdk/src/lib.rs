//! What a job on Sessile sees besides WASI: its [`session`] and itself, the
//! [`job`].
//!
//! A job is an ordinary program with a `main`. Its only directory is `/`: the
//! directory of its session or, outside a session, an empty one of its own.
//! Exit code 0 keeps everything that the job changed; any other ending keeps
//! nothing of it.
//!
//! ```
//! use sessile_guest::{Error, job, session};
//!
//! /// Counts how often this session was greeted.
//! fn greet() -> Result<(), Error> {
//!     let so_far = session::param("greetings").and_then(|text| text.parse::<u32>().ok());
//!     let greetings = so_far.unwrap_or(0) + 1;
//!     session::set_param("greetings", &greetings.to_string())?;
//!     job::set_result(&format!(r#"{{"greetings":{greetings}}}"#))
//! }
//!
//! # // A job would be `fn main()` and exit with 1; here it is refused, as it should be.
//! # assert_eq!(greet(), Err(Error::NoSession));
//! ```
//!
//! The API is the same for `wasm32-wasip1`, where the calls are plain imports
//! (named in [`abi`]), and for `wasm32-wasip2`, where they are the interfaces
//! of the WIT package `sessile:job`.
//!
//! **Natively**, in a job's unit tests, every function answers as it would to a
//! job outside any session, and nothing leaves the process: there are no
//! parameters, changing something is refused with [`Error::NoSession`], results
//! and progress are dropped, and log lines go to stderr.
//!
//! Promise: guests see the same answers and errors whichever way they were
//! built. Not here: files, arguments, environment and clocks, which a job gets
//! from its language's standard library.

pub mod abi;
mod error;
pub mod job;
pub mod session;

#[cfg(not(all(target_os = "wasi", any(target_env = "p1", target_env = "p2"))))]
mod native;
#[cfg(all(target_os = "wasi", target_env = "p1"))]
mod p1;
#[cfg(all(target_os = "wasi", target_env = "p2"))]
mod p2;

#[cfg(not(all(target_os = "wasi", any(target_env = "p1", target_env = "p2"))))]
use native as backend;
#[cfg(all(target_os = "wasi", target_env = "p1"))]
use p1 as backend;
#[cfg(all(target_os = "wasi", target_env = "p2"))]
use p2 as backend;

pub use error::Error;

/// The examples of the README compile, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
