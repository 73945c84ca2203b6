//! One run, from the module's file to what is left of it.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use wasmtime::Store;

use super::brief::Seated;
use super::cache::Cache;
use super::cache::Code;
use super::cache::LoadError;
use super::cache::Loaded;
use super::ending::End;
use super::order::Ran;
use super::order::RightToCompute;
use super::order::RunOrder;
use super::state::House;
use super::state::JobState;
use super::time::CpuWatch;
use crate::limits::HOSTCALL_BYTES_MAX;
use crate::model::job::JobLimits;
use crate::model::job::Spent;

/// How a run stands with the threads that it may be on.
#[derive(Clone, Debug)]
pub(super) struct Stay {
    pub(super) cpu: Arc<CpuWatch>,
    pub(super) seated: Arc<Seated>,
}

impl Stay {
    pub(super) fn new(limits: &JobLimits) -> Self {
        Self { cpu: Arc::new(CpuWatch::new(limits.cpu)), seated: Arc::default() }
    }
}

/// Runs the guest of `order`.
pub(super) async fn run(
    cache: &Cache,
    order: RunOrder,
    right: &mut dyn RightToCompute,
    house: &House,
    stay: &Stay,
) -> Ran {
    let begin = Instant::now();
    let loaded = match cache.get(&order.program) {
        Ok(loaded) => loaded,
        Err(error) => return not_loaded(&order, &error),
    };
    let (limits, live, stop) = (order.limits, order.live.clone(), order.stop.clone());
    let (job, state) = (order.job.clone(), JobState::new(order, begin, house, stay.seated.clone()));
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            tracing::error!(%job, %error, "the directory of a job cannot be opened");
            return Ran::not_begun(&live, "the server could not open the job's directory");
        }
    };
    let mut store = store(&loaded, state, stay.cpu.clone());
    let end = watched(guest(&loaded, &mut store), limits, &stop, right, &stay.seated).await;
    // The guest's files are closed with the store, before anybody looks at the directory.
    let left = store.into_data().into_left();
    let spent = Spent { wall: begin.elapsed(), cpu: stay.cpu.spent(), memory_peak_bytes: left.memory_peak_bytes };
    Ran {
        outcome: end.outcome(),
        result: left.result,
        params: left.params,
        touched: left.touched,
        spent,
        stdout: live.stdout.printed(),
        stderr: live.stderr.printed(),
    }
}

fn not_loaded(order: &RunOrder, error: &LoadError) -> Ran {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(job = %order.job, module = %order.program.digest, %error, cause, "a module cannot be loaded");
    Ran::not_begun(&order.live, &error.to_string())
}

fn store(loaded: &Arc<Loaded>, state: JobState, cpu: Arc<CpuWatch>) -> Store<JobState> {
    let mut store = Store::new(&loaded.engine, state);
    store.limiter_async(|state| state.meter());
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| cpu.on_tick());
    store
}

/// Lets the guest run until it ends, its time is over, or it is to stop. Both
/// of the latter drop the guest's future: that ends it wherever it is, in a
/// call to the host too.
async fn watched(
    guest: impl Future<Output = wasmtime::Result<i32>>,
    limits: JobLimits,
    stop: &CancellationToken,
    right: &mut dyn RightToCompute,
    seated: &Seated,
) -> End {
    let begin = Instant::now();
    // A clock is set on the seat, which has one of its own.
    let over = async {
        seated.wait().await;
        tokio::time::sleep(limits.wall.saturating_sub(begin.elapsed())).await;
    };
    tokio::select! {
        // A guest that is done at the moment of its stop was stopped.
        biased;
        () = stop.cancelled() => End::Stopped,
        () = over => End::WallTimeout(limits.wall),
        ended = by_slices(guest, right, seated) => End::Guest(ended),
    }
}

/// Lets the guest go on as long as it has the right to. It is left alone where a
/// tick has interrupted it, or where it waits for the host.
async fn by_slices<T>(guest: impl Future<Output = T>, right: &mut dyn RightToCompute, seated: &Seated) -> T {
    let mut guest = std::pin::pin!(guest);
    loop {
        let wanted = async {
            seated.wait().await;
            right.wanted().await;
        };
        tokio::select! {
            biased;
            ended = &mut guest => return ended,
            () = wanted => {}
        }
        right.give_way().await;
    }
}

/// The guest's whole life; the answer is its exit code.
async fn guest(loaded: &Loaded, store: &mut Store<JobState>) -> wasmtime::Result<i32> {
    match &loaded.code {
        Code::Core(pre) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
            start.call_async(&mut *store, ()).await?;
            Ok(0)
        }
        Code::Component(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            let ended = command.wasi_cli_run().call_run(&mut *store).await?;
            Ok(i32::from(ended.is_err()))
        }
    }
}
