//! Time for guests: the tick that interrupts them, and the processor time they used.

use std::io;
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

/// The processor time of one run. Of use only on the thread that made it, which
/// does nothing else meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuWatch {
    begin: Duration,
    limit: Duration,
}

impl CpuWatch {
    /// Counts from now.
    pub(super) fn start(limit: Duration) -> Self {
        Self { begin: thread_cpu(), limit }
    }

    /// What was used so far.
    pub(super) fn spent(&self) -> Duration {
        thread_cpu().saturating_sub(self.begin)
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

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}
