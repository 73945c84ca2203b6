//! One run, from the module's file to what is left of it.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use wasmtime::Store;

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

/// Runs the guest of `order` on this thread.
pub(super) async fn run(cache: &Cache, order: RunOrder, right: &mut dyn RightToCompute, house: &House) -> Ran {
    let begin = Instant::now();
    let cpu = CpuWatch::start(order.limits.cpu);
    let loaded = match cache.get(&order.program) {
        Ok(loaded) => loaded,
        Err(error) => return not_loaded(&order, &error),
    };
    let (limits, live, stop) = (order.limits, order.live.clone(), order.stop.clone());
    let (job, state) = (order.job.clone(), JobState::new(order, begin, house));
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            tracing::error!(%job, %error, "the directory of a job cannot be opened");
            return Ran::not_begun(&live, "the server could not open the job's directory");
        }
    };
    let mut store = store(&loaded, state, cpu);
    let end = watched(&loaded, &mut store, limits, &stop, right).await;
    // The guest's files are closed with the store, before anybody looks at the directory.
    let left = store.into_data().into_left();
    let spent = Spent { wall: begin.elapsed(), cpu: cpu.spent(), memory_peak_bytes: left.memory_peak_bytes };
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

fn store(loaded: &Arc<Loaded>, state: JobState, cpu: CpuWatch) -> Store<JobState> {
    let mut store = Store::new(&loaded.engine, state);
    store.limiter(|state| state.meter());
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| cpu.on_tick());
    store
}

/// Lets the guest run until it ends, its time is over, or it is to stop. Both
/// of the latter drop the guest's future: that ends it wherever it is, in a
/// call to the host too.
async fn watched(
    loaded: &Loaded,
    store: &mut Store<JobState>,
    limits: JobLimits,
    stop: &CancellationToken,
    right: &mut dyn RightToCompute,
) -> End {
    tokio::select! {
        // A guest that is done at the moment of its stop was stopped.
        biased;
        () = stop.cancelled() => End::Stopped,
        () = tokio::time::sleep(limits.wall) => End::WallTimeout(limits.wall),
        ended = by_slices(guest(loaded, store), right) => End::Guest(ended),
    }
}

/// Lets the guest go on as long as it has the right to. It is left alone where a
/// tick has interrupted it, or where it waits for the host.
async fn by_slices<T>(guest: impl Future<Output = T>, right: &mut dyn RightToCompute) -> T {
    let mut guest = std::pin::pin!(guest);
    loop {
        tokio::select! {
            biased;
            ended = &mut guest => return ended,
            () = right.wanted() => {}
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
