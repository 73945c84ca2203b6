//! The backend for components: the interfaces of the WIT package `sessile:job`.
//!
//! Comes in: the public functions, on `wasm32-wasip2`.
//! Goes out: to the host, through bindings made from `wit/`.
//!
//! Promise: the types of the bindings stay in this file, so a new WIT version
//! changes nothing for guests.
//!
//! Not here: what an answer means to a guest author (`session`, `job`).

use std::time::Duration;

use crate::Error;
use crate::job::Level;

/// Made by wit-bindgen; the world leaves WASI itself to the standard library.
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "imports" });
}

use bindings::sessile::job::job as this_job;
use bindings::sessile::job::session as host;

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NoSession => Error::NoSession,
            host::Error::SessionExists => Error::SessionExists,
            host::Error::Busy => Error::Busy,
            host::Error::NotFound => Error::NotFound,
            host::Error::Invalid(why) => Error::Invalid(why),
            host::Error::Quota(why) => Error::Quota(why),
        }
    }
}

pub(crate) fn session_active() -> bool {
    host::active()
}

pub(crate) fn session_id() -> Option<String> {
    host::id()
}

pub(crate) fn get_param(name: &str) -> Option<String> {
    host::get_param(name)
}

pub(crate) fn set_param(name: &str, value: &str) -> Result<(), Error> {
    Ok(host::set_param(name, value)?)
}

pub(crate) fn remove_param(name: &str) -> Result<bool, Error> {
    Ok(host::remove_param(name)?)
}

pub(crate) fn param_names() -> Vec<String> {
    host::param_names()
}

pub(crate) fn create(id: Option<&str>) -> Result<String, Error> {
    Ok(host::create(id)?)
}

pub(crate) fn rename(id: &str) -> Result<(), Error> {
    Ok(host::rename(id)?)
}

pub(crate) fn delete() -> Result<(), Error> {
    Ok(host::delete()?)
}

pub(crate) fn commit() -> Result<(), Error> {
    Ok(host::commit()?)
}

pub(crate) fn rollback() -> Result<(), Error> {
    Ok(host::rollback()?)
}

pub(crate) fn job_id() -> String {
    this_job::id()
}

pub(crate) fn module() -> String {
    this_job::module()
}

pub(crate) fn attempt() -> u32 {
    this_job::attempt()
}

pub(crate) fn remaining() -> Option<Duration> {
    this_job::remaining_ms().map(Duration::from_millis)
}

pub(crate) fn progress(fraction: f64, message: &str) {
    this_job::progress(fraction, message);
}

pub(crate) fn set_result(json: &str) -> Result<(), Error> {
    Ok(this_job::set_result(json)?)
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => this_job::Level::Trace,
        Level::Debug => this_job::Level::Debug,
        Level::Info => this_job::Level::Info,
        Level::Warn => this_job::Level::Warn,
        Level::Error => this_job::Level::Error,
    };
    this_job::log(level, message);
}
