//! What guests can import: WASI under the guard, and their own job.
//!
//! Promise: nothing is offered to guests that is not linked here.

mod core;
mod host;
mod json;
mod wit;

pub(super) use self::host::AboutJob;
pub(super) use self::host::DeskFailed;
pub(super) use self::host::JobHost;

use sessile_guest::abi;
use wasmtime_wasi::p1::wasi_snapshot_preview1;
use wasmtime_wasi::p2::bindings::filesystem;

use super::guard::GuardedFilesystem;
use super::state::JobState;

/// The module of WASI p1.
const WASI_P1: &str = "wasi_snapshot_preview1";

/// Everything that a core module can import.
pub(super) fn core_linker(engine: &wasmtime::Engine) -> wasmtime::Result<wasmtime::Linker<JobState>> {
    let mut linker = wasmtime::Linker::new(engine);
    wasi_snapshot_preview1::add_to_linker(&mut linker, |state: &mut JobState| state.guard().p1())?;
    core::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Everything that a component can import.
pub(super) fn component_linker(engine: &wasmtime::Engine) -> wasmtime::Result<wasmtime::component::Linker<JobState>> {
    let mut linker = wasmtime::component::Linker::new(engine);
    // Sockets are part of this, because the standard library of Rust imports them in every
    // program; each use of them is refused, as nothing in `JobState` allows an address.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    // In place of the stock file system, which nobody guards.
    filesystem::types::add_to_linker::<JobState, GuardedFilesystem>(&mut linker, |state| state.guard().p2())?;
    filesystem::preopens::add_to_linker::<JobState, GuardedFilesystem>(&mut linker, |state| state.guard().p2())?;
    linker.allow_shadowing(false);
    wit::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Whether a core module can import that. Asked before a module is compiled;
/// the linker has the last word.
pub(super) fn offers_core(module: &str, name: &str) -> bool {
    match module {
        WASI_P1 => WASI_P1_FUNCTIONS.contains(&name),
        abi::MODULE => abi::FUNCTIONS.contains(&name),
        _ => false,
    }
}

/// Whether a component can import the interface of that name. Asked before it
/// is compiled; the linker has the last word.
pub(super) fn offers_interface(name: &str) -> bool {
    if name == abi::WIT_SESSION || name == abi::WIT_JOB {
        return true;
    }
    let Some((interface, version)) = name.split_once('@') else { return false };
    // Every 0.2.x is a part of the newest.
    version.starts_with("0.2.") && WASI_P2_INTERFACES.contains(&interface)
}

/// WASI p1, which is complete and never changes.
const WASI_P1_FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "sched_yield",
    "random_get",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// The interfaces of WASI 0.2 that are linked.
const WASI_P2_INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];
