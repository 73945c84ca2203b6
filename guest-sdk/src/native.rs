//! The backend for everything that is not WASI: no host, no session.
//!
//! Comes in: a guest's unit tests, and the examples of this documentation.
//!
//! Promise: every answer is one that a real host could give to a job outside
//! any session.
//!
//! Not here: a session that a test could fill. Keep the part of a job that is
//! worth a unit test free of calls to the host.

use std::env;
use std::time::Duration;

use crate::Error;
use crate::job::Level;

pub(crate) fn session_active() -> bool {
    false
}

pub(crate) fn session_id() -> Option<String> {
    None
}

pub(crate) fn get_param(_name: &str) -> Option<String> {
    None
}

pub(crate) fn set_param(_name: &str, _value: &str) -> Result<(), Error> {
    Err(Error::NoSession)
}

pub(crate) fn remove_param(_name: &str) -> Result<bool, Error> {
    Err(Error::NoSession)
}

pub(crate) fn param_names() -> Vec<String> {
    Vec::new()
}

pub(crate) fn create(_id: Option<&str>) -> Result<String, Error> {
    Err(Error::Quota("outside Sessile there is no host that could make a session".to_owned()))
}

pub(crate) fn rename(_id: &str) -> Result<(), Error> {
    Err(Error::NoSession)
}

pub(crate) fn delete() -> Result<(), Error> {
    Err(Error::NoSession)
}

pub(crate) fn commit() -> Result<(), Error> {
    Err(Error::NoSession)
}

pub(crate) fn rollback() -> Result<(), Error> {
    Err(Error::NoSession)
}

pub(crate) fn job_id() -> String {
    String::new()
}

pub(crate) fn module() -> String {
    env::args().next().unwrap_or_default()
}

pub(crate) fn attempt() -> u32 {
    1
}

pub(crate) fn remaining() -> Option<Duration> {
    None
}

pub(crate) fn progress(_fraction: f64, _message: &str) {}

pub(crate) fn set_result(_json: &str) -> Result<(), Error> {
    Ok(())
}

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
