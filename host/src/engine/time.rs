//! Time for guests: the tick that interrupts them, and the processor time they used.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::ClockId;
use wasmtime::UpdateDeadline;

use super::config::Engines;

/// How often a computing guest is interrupted. A tenth of what a stop may take.
const TICK: Duration = Duration::from_millis(10);

/// The thread that ticks. Ends when this is dropped.
pub(super) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts to tick for both engines.
    pub(super) fn start(engines: &Engines) -> io::Result<Self> {
        let engines = [engines.pooling.clone(), engines.on_demand.clone()];
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("epochs".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                for engine in &engines {
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // Without its sender the thread's wait ends at once.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and if it did, there would be nothing to clean up.
            let _ = thread.join();
        }
    }
}

/// The guest computed longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job used its {} ms of processor time", limit.as_millis())]
pub(super) struct OverCpu {
    limit: Duration,
}

/// The processor time of one run, which is on one thread at a time.
#[derive(Debug)]
pub(super) struct CpuWatch {
    limit: Duration,
    /// What was used on threads that it has left.
    before: AtomicU64,
    /// The clock of the thread that it is on, when it came there.
    came_at: AtomicU64,
}

impl CpuWatch {
    /// For a run that is on no thread yet.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, before: AtomicU64::new(0), came_at: AtomicU64::new(0) }
    }

    /// The run begins on this thread, or goes on.
    pub(super) fn come(&self) {
        self.came_at.store(nanos(thread_cpu()), Ordering::Relaxed);
    }

    /// The run leaves the thread that it is on.
    pub(super) fn leave(&self) {
        self.before.store(nanos(self.spent()), Ordering::Relaxed);
    }

    /// What was used so far. Asked on the thread that the run is on.
    pub(super) fn spent(&self) -> Duration {
        let here = nanos(thread_cpu()).saturating_sub(self.came_at.load(Ordering::Relaxed));
        Duration::from_nanos(self.before.load(Ordering::Relaxed).saturating_add(here))
    }

    /// What to do with a guest that a tick has interrupted: it lets the stop and
    /// the deadline beside it have their turn, and goes on after that.
    pub(super) fn on_tick(&self) -> wasmtime::Result<UpdateDeadline> {
        if self.spent() > self.limit {
            return Err(OverCpu { limit: self.limit }.into());
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

/// Enough for 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}
