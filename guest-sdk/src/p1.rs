//! The backend for core modules: plain imports from `sessile_v0`.
//!
//! Comes in: the public functions, on `wasm32-wasip1`.
//! Goes out: to the host, which follows the rules in [`abi`].
//!
//! Promise: the host is only given pointers to live memory of the length that
//! goes with them, so none of these calls can trap.
//!
//! Not here: what an answer means to a guest author (`session`, `job`).

use std::env;
use std::time::Duration;

use crate::Error;
use crate::abi;
use crate::error::codes::Advice;
use crate::error::codes::checked;
use crate::job::Level;

/// The sizes are `i32` to WebAssembly, whose memory is 32 bits wide here.
mod host {
    #[link(wasm_import_module = "sessile_v0")]
    unsafe extern "C" {
        pub(super) safe fn session_active() -> i32;
        pub(super) fn session_id(buf: *mut u8, cap: usize) -> i32;
        pub(super) fn param_get(name: *const u8, name_len: usize, buf: *mut u8, cap: usize) -> i32;
        pub(super) fn param_set(name: *const u8, name_len: usize, value: *const u8, value_len: usize) -> i32;
        pub(super) fn param_remove(name: *const u8, name_len: usize) -> i32;
        pub(super) fn param_names(buf: *mut u8, cap: usize) -> i32;
        pub(super) fn session_create(id: *const u8, id_len: usize, buf: *mut u8, cap: usize) -> i32;
        pub(super) fn session_rename(id: *const u8, id_len: usize) -> i32;
        pub(super) safe fn session_delete() -> i32;
        pub(super) safe fn session_commit() -> i32;
        pub(super) safe fn session_rollback() -> i32;
        pub(super) fn job_id(buf: *mut u8, cap: usize) -> i32;
        pub(super) safe fn job_attempt() -> i32;
        pub(super) safe fn job_remaining_ms() -> i64;
        pub(super) fn job_progress(fraction: f64, message: *const u8, message_len: usize);
        pub(super) fn job_set_result(json: *const u8, json_len: usize) -> i32;
        pub(super) fn job_log(level: i32, message: *const u8, message_len: usize);
    }
}

const PARAM: Advice = Advice {
    invalid: "a parameter's name has 1 to 256 bytes without control characters, and its value at most 64 KiB",
    quota: "the session has no room for more parameters; put more into a file",
};
const ID: Advice = Advice {
    invalid: "a session's id has 1 to 128 of A-Z a-z 0-9 . _ - and begins with a letter or digit",
    quota: "no more sessions are allowed; delete one first",
};
const CHANGE: Advice = Advice { invalid: "the session does not allow this", quota: "the session has no room for this" };
const RESULT: Advice =
    Advice { invalid: "a result must be one JSON value", quota: "the result is too large; put more into a file" };

/// Large enough for an id and for most values, so that they need one call.
const FIRST_GUESS: usize = 256;

/// Calls `fill` with a buffer, and again with a larger one until the value
/// fits. Any refusal is an absent value to the callers.
fn read(fill: impl Fn(*mut u8, usize) -> i32) -> Option<String> {
    let mut buf = vec![0; FIRST_GUESS];
    loop {
        let len = usize::try_from(fill(buf.as_mut_ptr(), buf.len())).ok()?;
        if len <= buf.len() {
            buf.truncate(len);
            return Some(text(buf));
        }
        buf.resize(len, 0);
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the host keeps strings as UTF-8")
}

pub(crate) fn session_active() -> bool {
    host::session_active() != 0
}

pub(crate) fn session_id() -> Option<String> {
    // SAFETY: `read` hands over a live buffer and its length.
    read(|buf, cap| unsafe { host::session_id(buf, cap) })
}

pub(crate) fn get_param(name: &str) -> Option<String> {
    // SAFETY: `read` hands over a live buffer and its length, and `name` outlives the call.
    read(|buf, cap| unsafe { host::param_get(name.as_ptr(), name.len(), buf, cap) })
}

pub(crate) fn set_param(name: &str, value: &str) -> Result<(), Error> {
    // SAFETY: both strings outlive the call, which only reads them.
    let answer = unsafe { host::param_set(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    checked(answer, PARAM).map(drop)
}

pub(crate) fn remove_param(name: &str) -> Result<bool, Error> {
    // SAFETY: the string outlives the call, which only reads it.
    let answer = unsafe { host::param_remove(name.as_ptr(), name.len()) };
    checked(answer, PARAM).map(|removed| removed != 0)
}

pub(crate) fn param_names() -> Vec<String> {
    // SAFETY: `read` hands over a live buffer and its length.
    let names = read(|buf, cap| unsafe { host::param_names(buf, cap) });
    // No name is empty or has a newline in it, so an empty text means none.
    names.unwrap_or_default().lines().map(str::to_owned).collect()
}

pub(crate) fn create(id: Option<&str>) -> Result<String, Error> {
    if id == Some("") {
        // To the host an empty id means that it may choose one.
        return Err(Error::Invalid(ID.invalid.to_owned()));
    }
    let id = id.unwrap_or_default();
    let mut buf = vec![0; abi::ID_BYTES_MAX];
    // SAFETY: `id` and `buf` outlive the call and are as long as it says.
    let answer = unsafe { host::session_create(id.as_ptr(), id.len(), buf.as_mut_ptr(), buf.len()) };
    buf.truncate(checked(answer, ID)?);
    Ok(text(buf))
}

pub(crate) fn rename(id: &str) -> Result<(), Error> {
    // SAFETY: the string outlives the call, which only reads it.
    let answer = unsafe { host::session_rename(id.as_ptr(), id.len()) };
    checked(answer, ID).map(drop)
}

pub(crate) fn delete() -> Result<(), Error> {
    checked(host::session_delete(), CHANGE).map(drop)
}

pub(crate) fn commit() -> Result<(), Error> {
    checked(host::session_commit(), CHANGE).map(drop)
}

pub(crate) fn rollback() -> Result<(), Error> {
    checked(host::session_rollback(), CHANGE).map(drop)
}

pub(crate) fn job_id() -> String {
    // SAFETY: `read` hands over a live buffer and its length.
    read(|buf, cap| unsafe { host::job_id(buf, cap) }).unwrap_or_default()
}

/// There is no import for this: argument 0 is the module's name.
pub(crate) fn module() -> String {
    env::args().next().unwrap_or_default()
}

pub(crate) fn attempt() -> u32 {
    u32::try_from(host::job_attempt()).unwrap_or(1)
}

pub(crate) fn remaining() -> Option<Duration> {
    // Negative means that there is no limit.
    u64::try_from(host::job_remaining_ms()).ok().map(Duration::from_millis)
}

pub(crate) fn progress(fraction: f64, message: &str) {
    // SAFETY: the string outlives the call, which only reads it.
    unsafe { host::job_progress(fraction, message.as_ptr(), message.len()) }
}

pub(crate) fn set_result(json: &str) -> Result<(), Error> {
    // SAFETY: the string outlives the call, which only reads it.
    let answer = unsafe { host::job_set_result(json.as_ptr(), json.len()) };
    checked(answer, RESULT).map(drop)
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => abi::LOG_TRACE,
        Level::Debug => abi::LOG_DEBUG,
        Level::Info => abi::LOG_INFO,
        Level::Warn => abi::LOG_WARN,
        Level::Error => abi::LOG_ERROR,
    };
    // SAFETY: the string outlives the call, which only reads it.
    unsafe { host::job_log(level, message.as_ptr(), message.len()) }
}
