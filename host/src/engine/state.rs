//! What a store holds for its guest: WASI, the guard, the job and the meter.
//!
//! Promise: arguments, environment and streams are what the job was given; the
//! host's own are nowhere in here.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Instant;

use wasmtime_wasi::FsPerms;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::WasiCtxView;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;

use super::brief::Seated;
use super::guard::Guard;
use super::guard::Journal;
use super::imports::AboutJob;
use super::imports::JobHost;
use super::limiter::Meter;
use super::limiter::Shared;
use super::order::RunOrder;
use super::output::Printer;
use super::purse::Purse;
use super::stdio::Inflow;
use super::stdio::Outflow;
use super::stdio::Stdin;
use super::stdio::Stdout;
use crate::limits::HOSTCALL_BYTES_MAX;
use crate::model::params::ParamChanges;
use crate::model::touched::Touched;
use crate::root::Root;

/// The state of one guest.
pub(super) struct JobState {
    guard: Guard,
    host: JobHost,
    meter: Meter,
}

/// What is of use after the guest is gone.
pub(super) struct Left {
    pub(super) result: Option<String>,
    pub(super) params: ParamChanges,
    pub(super) touched: Touched,
    pub(super) memory_peak_bytes: u64,
}

/// What all guests of a server share.
#[derive(Clone, Debug)]
pub(super) struct House {
    /// Files that each may hold open.
    pub(super) open_files_max: usize,
    /// What they hold of memory together.
    pub(super) memory: Arc<Purse>,
}

impl JobState {
    /// For a run that began at `begin`, on a server whose guests share that.
    pub(super) fn new(
        mut order: RunOrder,
        begin: Instant,
        house: &House,
        seated: Arc<Seated>,
    ) -> wasmtime::Result<Self> {
        let stdin = std::mem::replace(&mut order.stdin, Stdin::Bytes(Vec::new()));
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg(&order.module_name).args(&order.inputs.args);
        wasi.envs(&environment(&order));
        match stdin {
            Stdin::Bytes(bytes) => wasi.stdin(MemoryInputPipe::new(bytes)),
            Stdin::Stream(pipe) => wasi.stdin(Inflow(pipe)),
        };
        match &order.stdout {
            Stdout::Kept => wasi.stdout(Printer(order.live.stdout.clone())),
            Stdout::Stream { pipe, bytes_max } => wasi.stdout(Outflow { pipe: pipe.clone(), bytes_max: *bytes_max }),
        };
        wasi.stderr(Printer(order.live.stderr.clone()));
        wasi.max_random_size(HOSTCALL_BYTES_MAX as u64);
        let mut wasi = wasi.build_p1();
        *wasi.ctx().ctx.filesystem() = files_in(&order.root)?;
        let shared = Shared { with_tenant: order.tenant_memory.clone(), with_all: house.memory.clone() };
        let meter = Meter::new(order.limits.memory_bytes, shared, seated);
        let deadline = begin + order.limits.wall;
        let guard = Guard::new(wasi, Journal::new(order.root, order.has_links, order.disk, house.open_files_max));
        let about = AboutJob {
            job: order.job,
            module: order.module_name,
            attempt: order.attempt,
            session: order.session,
            params: order.params,
            deadline,
        };
        let host = JobHost::new(about, order.live, order.desk, guard.journal());
        Ok(Self { guard, host, meter })
    }

    pub(super) fn guard(&mut self) -> &mut Guard {
        &mut self.guard
    }

    pub(super) fn host(&mut self) -> &mut JobHost {
        &mut self.host
    }

    pub(super) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// Closes everything that the guest had open.
    pub(super) fn into_left(self) -> Left {
        let memory_peak_bytes = self.meter.peak();
        let touched = self.guard.into_touched();
        let (result, params) = self.host.into_left();
        Left { result, params, touched, memory_peak_bytes }
    }
}

impl WasiView for JobState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.guard.ctx()
    }
}

/// A directory as WASI has it.
pub(super) fn files_in(root: &Root) -> wasmtime::Result<WasiFilesystemCtx> {
    root.view(|fd| {
        let mut wasi = WasiCtxBuilder::new();
        // File operations happen in place on the guest's thread, which has nothing else to do, or
        // little (`brief`): faster, and none can be under way after the guest is gone. Before the
        // directory, which keeps it.
        wasi.allow_blocking_current_thread(true);
        // The builder takes a name only; this one leads to the open directory and nowhere else.
        wasi.preopened_dir(format!("/proc/self/fd/{}", fd.as_raw_fd()), "/", FsPerms::ReadWrite)?;
        Ok(wasi.build().filesystem().clone())
    })
}

/// The whole environment of a guest. What we set wins over the caller's.
fn environment(order: &RunOrder) -> Vec<(String, String)> {
    let mut all = order.inputs.env.clone();
    if let Some(session) = &order.session {
        all.insert("SESSILE_SESSION_ID".to_owned(), session.to_string());
        if order.inputs.params_in_env {
            let named = order.params.iter().filter(|(name, _)| is_identifier(name));
            all.extend(named.map(|(name, value)| (format!("PARAM_{name}"), value.to_owned())));
        }
    }
    all.insert("SESSILE_JOB_ID".to_owned(), order.job.to_string());
    all.into_iter().collect()
}

fn is_identifier(name: &str) -> bool {
    let tail = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().next().is_some_and(|b| !b.is_ascii_digit()) && name.bytes().all(tail)
}
