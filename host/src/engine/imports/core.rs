//! The job for core modules: the imports of `sessile_v0`.
//!
//! Promise: a pointer is checked before anything is copied or allocated; one
//! that leads outside the guest's memory traps. Text that is not UTF-8 is
//! refused and never repaired.

use std::ops::Range;

use sessile_guest::abi;
use wasmtime::Caller;
use wasmtime::Extern;
use wasmtime::Linker;

use super::JobHost;
use super::host::Denied;
use super::host::Level;
use super::host::Refused;
use crate::engine::state::JobState;
use crate::limits::LOG_LINE_BYTES_MAX;
use crate::limits::PARAM_NAME_BYTES_MAX;
use crate::limits::PARAM_VALUE_BYTES_MAX;
use crate::limits::PROGRESS_BYTES_MAX;
use crate::limits::RESULT_BYTES_MAX;

/// An id that the server chooses: a UUID.
const CHOSEN_ID_BYTES: usize = 36;

type Guest<'a> = Caller<'a, JobState>;
type Answer<T = i32> = wasmtime::Result<T>;

/// Adds every function of [`abi::FUNCTIONS`].
pub(super) fn add_to_linker(linker: &mut Linker<JobState>) -> wasmtime::Result<()> {
    add_session(linker)?;
    add_changes(linker)?;
    add_params(linker)?;
    add_job(linker)
}

fn add_session(linker: &mut Linker<JobState>) -> wasmtime::Result<()> {
    linker.func_wrap(abi::MODULE, abi::SESSION_ACTIVE, |mut guest: Guest<'_>| {
        i32::from(host(&mut guest).session().is_some())
    })?;
    linker.func_wrap(abi::MODULE, abi::SESSION_ID, |mut guest: Guest<'_>, buf: u32, cap: u32| {
        let (mut memory, host) = open(&mut guest)?;
        memory.give(buf, cap, host.session())
    })?;
    Ok(())
}

/// The functions that wait for the server: a session is made, renamed or deleted,
/// or the guest is told why not.
fn add_changes(linker: &mut Linker<JobState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        abi::MODULE,
        abi::SESSION_CREATE,
        |mut guest: Guest<'_>, (id, len, buf, cap): (u32, u32, u32, u32)| {
            Box::new(async move {
                let (memory, host) = open(&mut guest)?;
                memory.range(buf, cap)?;
                let Some(id) = memory.text(id, len, abi::ID_BYTES_MAX)? else { return Ok(abi::INVALID) };
                let id = (!id.is_empty()).then(|| id.to_owned());
                // Looked at before the session is made: a guest that must call again
                // with more room would find that it has made the session already.
                let needed = id.as_ref().map_or(CHOSEN_ID_BYTES, String::len);
                if usize::try_from(cap)? < needed && host.session().is_none() {
                    return Ok(i32::try_from(needed)?);
                }
                if let Some(refused) = denied(host.create_session(id.as_deref()).await)? {
                    return Ok(refused);
                }
                let (mut memory, host) = open(&mut guest)?;
                memory.give(buf, cap, host.session())
            })
        },
    )?;
    linker.func_wrap_async(abi::MODULE, abi::SESSION_RENAME, |mut guest: Guest<'_>, (id, len): (u32, u32)| {
        Box::new(async move {
            let (memory, host) = open(&mut guest)?;
            let Some(id) = memory.text(id, len, abi::ID_BYTES_MAX)? else { return Ok(abi::INVALID) };
            let id = id.to_owned();
            Answer::Ok(denied(host.rename_session(&id).await)?.unwrap_or(abi::OK))
        })
    })?;
    linker.func_wrap_async(abi::MODULE, abi::SESSION_DELETE, |mut guest: Guest<'_>, (): ()| {
        Box::new(async move {
            let host = host(&mut guest);
            Answer::Ok(denied(host.delete_session().await)?.unwrap_or(abi::OK))
        })
    })?;
    linker.func_wrap_async(abi::MODULE, abi::SESSION_COMMIT, |mut guest: Guest<'_>, (): ()| {
        Box::new(async move {
            let host = host(&mut guest);
            Answer::Ok(denied(host.commit().await)?.unwrap_or(abi::OK))
        })
    })?;
    linker.func_wrap_async(abi::MODULE, abi::SESSION_ROLLBACK, |mut guest: Guest<'_>, (): ()| {
        Box::new(async move {
            let host = host(&mut guest);
            Answer::Ok(denied(host.roll_back().await)?.unwrap_or(abi::OK))
        })
    })?;
    Ok(())
}

/// The number of a refusal; a failure of the server's ends the run.
fn denied(done: Result<(), Denied>) -> Answer<Option<i32>> {
    match done {
        Ok(()) => Ok(None),
        Err(Denied::Refused(refused)) => Ok(Some(number(&refused))),
        Err(Denied::Failed(error)) => Err(error),
    }
}

fn add_params(linker: &mut Linker<JobState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        abi::MODULE,
        abi::PARAM_GET,
        |mut guest: Guest<'_>, name: u32, len: u32, buf: u32, cap: u32| {
            let (mut memory, host) = open(&mut guest)?;
            if host.session().is_none() {
                return Ok(abi::NO_SESSION);
            }
            let Some(name) = memory.text(name, len, PARAM_NAME_BYTES_MAX)? else { return Ok(abi::INVALID) };
            let value = host.param(name);
            memory.give(buf, cap, value)
        },
    )?;
    linker.func_wrap(
        abi::MODULE,
        abi::PARAM_SET,
        |mut guest: Guest<'_>, name: u32, name_len: u32, value: u32, value_len: u32| {
            let (memory, host) = open(&mut guest)?;
            let name = memory.text(name, name_len, PARAM_NAME_BYTES_MAX)?;
            let value = memory.text(value, value_len, PARAM_VALUE_BYTES_MAX)?;
            let (Some(name), Some(value)) = (name, value) else { return Answer::Ok(abi::INVALID) };
            Ok(code(host.set_param(name, value)))
        },
    )?;
    linker.func_wrap(abi::MODULE, abi::PARAM_REMOVE, |mut guest: Guest<'_>, name: u32, len: u32| {
        let (memory, host) = open(&mut guest)?;
        let Some(name) = memory.text(name, len, PARAM_NAME_BYTES_MAX)? else { return Answer::Ok(abi::INVALID) };
        Ok(host.remove_param(name).map_or_else(|refused| number(&refused), i32::from))
    })?;
    linker.func_wrap(abi::MODULE, abi::PARAM_NAMES, |mut guest: Guest<'_>, buf: u32, cap: u32| {
        let (mut memory, host) = open(&mut guest)?;
        if host.session().is_none() {
            return Ok(abi::NO_SESSION);
        }
        memory.give(buf, cap, Some(&host.param_names().join("\n")))
    })?;
    Ok(())
}

fn add_job(linker: &mut Linker<JobState>) -> wasmtime::Result<()> {
    linker.func_wrap(abi::MODULE, abi::JOB_ID, |mut guest: Guest<'_>, buf: u32, cap: u32| {
        let (mut memory, host) = open(&mut guest)?;
        memory.give(buf, cap, Some(host.job()))
    })?;
    linker.func_wrap(abi::MODULE, abi::JOB_ATTEMPT, |mut guest: Guest<'_>| host(&mut guest).attempt())?;
    linker.func_wrap(abi::MODULE, abi::JOB_REMAINING_MS, |mut guest: Guest<'_>| {
        i64::try_from(host(&mut guest).remaining().as_millis()).unwrap_or(i64::MAX)
    })?;
    linker.func_wrap(
        abi::MODULE,
        abi::JOB_PROGRESS,
        |mut guest: Guest<'_>, fraction: f64, message: u32, len: u32| {
            let (memory, host) = open(&mut guest)?;
            if let Some(message) = memory.beginning(message, len, PROGRESS_BYTES_MAX)? {
                host.progress(fraction, message);
            }
            Answer::Ok(())
        },
    )?;
    linker.func_wrap(abi::MODULE, abi::JOB_SET_RESULT, |mut guest: Guest<'_>, json: u32, len: u32| {
        let (memory, host) = open(&mut guest)?;
        if memory.range(json, len)?.len() > RESULT_BYTES_MAX {
            return Ok(abi::QUOTA);
        }
        let Some(json) = memory.text(json, len, RESULT_BYTES_MAX)? else { return Answer::Ok(abi::INVALID) };
        Ok(code(host.set_result(json)))
    })?;
    linker.func_wrap(abi::MODULE, abi::JOB_LOG, |mut guest: Guest<'_>, level: i32, message: u32, len: u32| {
        let (memory, host) = open(&mut guest)?;
        if let Some(message) = memory.beginning(message, len, LOG_LINE_BYTES_MAX)? {
            host.log(level_of(level), message);
        }
        Answer::Ok(())
    })?;
    Ok(())
}

fn host<'a>(guest: &'a mut Guest<'_>) -> &'a mut JobHost {
    guest.data_mut().host()
}

/// The guest's memory, and its job beside it.
fn open<'a>(guest: &'a mut Guest<'_>) -> Answer<(Memory<'a>, &'a mut JobHost)> {
    let Some(Extern::Memory(memory)) = guest.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module exports no memory"));
    };
    let (bytes, state) = memory.data_and_store_mut(guest);
    Ok((Memory(bytes), state.host()))
}

/// A guest's memory. An error from here is a trap.
struct Memory<'a>(&'a mut [u8]);

impl Memory<'_> {
    /// Where that pointer and length lie.
    fn range(&self, pointer: u32, len: u32) -> Answer<Range<usize>> {
        let begin = usize::try_from(pointer)?;
        let end = begin.saturating_add(usize::try_from(len)?);
        if end > self.0.len() {
            return Err(wasmtime::Error::msg("a pointer leads outside the job's memory"));
        }
        Ok(begin..end)
    }

    /// The text there; `None` if it is too long or not UTF-8.
    fn text(&self, pointer: u32, len: u32, bytes_max: usize) -> Answer<Option<&str>> {
        let range = self.range(pointer, len)?;
        if range.len() > bytes_max {
            return Ok(None);
        }
        Ok(std::str::from_utf8(&self.0[range]).ok())
    }

    /// The first `bytes_max` bytes of the text there, less what is left of a
    /// character that they cut; `None` if that is not UTF-8.
    fn beginning(&self, pointer: u32, len: u32, bytes_max: usize) -> Answer<Option<&str>> {
        let range = self.range(pointer, len)?;
        let is_cut = range.len() > bytes_max;
        let bytes = &self.0[range.start..range.end.min(range.start + bytes_max)];
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) if is_cut && error.error_len().is_none() => {
                Ok(std::str::from_utf8(&bytes[..error.valid_up_to()]).ok())
            }
            Err(_) => Ok(None),
        }
    }

    /// Hands `value` over if it fits into the guest's buffer, and says how long it is.
    fn give(&mut self, buf: u32, cap: u32, value: Option<&str>) -> Answer {
        let range = self.range(buf, cap)?;
        let Some(value) = value else { return Ok(abi::ABSENT) };
        if let Some(place) = self.0[range].get_mut(..value.len()) {
            place.copy_from_slice(value.as_bytes());
        }
        Ok(i32::try_from(value.len()).unwrap_or(i32::MAX))
    }
}

fn level_of(level: i32) -> Level {
    match level {
        abi::LOG_TRACE => Level::Trace,
        abi::LOG_DEBUG => Level::Debug,
        abi::LOG_WARN => Level::Warn,
        abi::LOG_ERROR => Level::Error,
        _ => Level::Info,
    }
}

fn code(done: Result<(), Refused>) -> i32 {
    done.map_or_else(|refused| number(&refused), |()| abi::OK)
}

fn number(refused: &Refused) -> i32 {
    match refused {
        Refused::NoSession => abi::NO_SESSION,
        Refused::Exists => abi::EXISTS,
        Refused::Busy => abi::BUSY,
        Refused::NotFound => abi::ABSENT,
        Refused::Invalid(_) => abi::INVALID,
        Refused::Quota(_) => abi::QUOTA,
    }
}
