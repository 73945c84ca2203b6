//! What the service counts of jobs, and all figures of the rooms below, for the
//! operator.
//!
//! Comes in: each job, where it is accepted, begins, has run, and has ended.
//! Goes out: one look at everything, when somebody asks.
//!
//! Promise: nothing here says whose a job, session or module is. What can be looked
//! up is not counted beside it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine;
use crate::meter::Bounds;
use crate::meter::Count;
use crate::meter::Noted;
use crate::meter::Spread;
use crate::meter::millis;
use crate::meter::nanos;
use crate::model::job::Delivery;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::process::Process;
use crate::queue::shares::Usage;
use crate::service::Service;
use crate::service::live::Tally;
use crate::service::refusal::Refusal;
use crate::store;
use crate::store::Recovered;

/// From what a job waits for that finds everything free, to what no client waits for.
const JOB_TIMES: Bounds = Bounds::of_times(&[
    millis(1),
    millis(5),
    millis(10),
    millis(50),
    millis(100),
    millis(500),
    millis(1_000),
    millis(5_000),
    millis(10_000),
    millis(60_000),
    millis(300_000),
    millis(3_600_000),
]);

/// What became of jobs since the start.
pub(super) struct Meters {
    stored: Count,
    streamed: Count,
    succeeded: Count,
    cancelled: Count,
    /// In the order of [`Reason::ALL`].
    failed: [Count; Reason::ALL.len()],
    retried: Count,
    waited: Spread,
    ran: Spread,
    cpu_nanos: Count,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            stored: Count::default(),
            streamed: Count::default(),
            succeeded: Count::default(),
            cancelled: Count::default(),
            failed: Default::default(),
            retried: Count::default(),
            waited: Spread::new(JOB_TIMES),
            ran: Spread::new(JOB_TIMES),
            cpu_nanos: Count::default(),
        }
    }
}

impl Meters {
    pub(super) fn accepted(&self, delivery: Delivery) {
        match delivery {
            Delivery::Stored => self.stored.one(),
            Delivery::Streamed => self.streamed.one(),
        }
    }

    /// An attempt of a job has failed, and another one follows.
    pub(super) fn retried(&self) {
        self.retried.one();
    }

    /// A job begins, for the first time or again, that long after it could.
    pub(super) fn waited(&self, time: Duration) {
        self.waited.note_time(time);
    }

    /// A guest is gone.
    pub(super) fn ran(&self, spent: &Spent) {
        self.ran.note_time(spent.wall);
        self.cpu_nanos.add(nanos(spent.cpu));
    }

    /// A job is over.
    pub(super) fn ended(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Succeeded => self.succeeded.one(),
            Outcome::Cancelled { .. } => self.cancelled.one(),
            Outcome::Failed { reason, .. } => self.failed_for(*reason).one(),
        }
    }

    /// Jobs that ended as the server started, since an earlier one was cut short.
    pub(super) fn recovered(&self, recovered: &Recovered) {
        self.failed_for(Reason::Lost).add(recovered.lost as u64);
        self.cancelled.add(recovered.cancelled as u64);
    }

    fn failed_for(&self, reason: Reason) -> &Count {
        &self.failed[reason as usize]
    }
}

/// What the server had done, and was doing, at a moment.
#[derive(Clone, Debug)]
pub struct Figures {
    pub started_at: Timestamp,
    pub jobs: Jobs,
    pub slots: u64,
    pub usage: Usage,
    /// Sessions' lines in which somebody has the turn, and who wait behind.
    pub lanes: u64,
    pub lanes_waiting: u64,
    /// Modules that are compiled now, or wait for it.
    pub compiling: u64,
    pub engine: engine::Figures,
    pub store: store::Figures,
    pub process: Process,
}

/// What became of jobs.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub accepted_stored: u64,
    pub accepted_streamed: u64,
    pub succeeded: u64,
    pub cancelled: u64,
    pub failed: Vec<(Reason, u64)>,
    /// Attempts that failed and were followed by another one.
    pub retried: u64,
    /// Those that have not ended.
    pub live: Tally,
    pub waited: Noted,
    pub ran: Noted,
    pub cpu: Duration,
}

impl Service {
    /// All figures of the server as they are now.
    pub async fn figures(&self) -> Result<Figures, Refusal> {
        let inner = &self.inner;
        // Reads files of the kernel's, among them a long list.
        let process = tokio::task::spawn_blocking(Process::look).await.map_err(|_| Refusal::Internal)?;
        Ok(Figures {
            started_at: inner.started_at,
            jobs: self.job_figures(),
            slots: inner.settings.slots as u64,
            usage: inner.slots.usage(),
            lanes: inner.lanes.count() as u64,
            lanes_waiting: inner.lanes.waiting() as u64,
            compiling: inner.compilers.count() as u64,
            engine: inner.engine.figures(),
            store: inner.store.figures().await,
            process,
        })
    }

    fn job_figures(&self) -> Jobs {
        let Meters { stored, streamed, succeeded, cancelled, failed, retried, waited, ran, cpu_nanos } =
            &self.inner.meters;
        Jobs {
            accepted_stored: stored.get(),
            accepted_streamed: streamed.get(),
            succeeded: succeeded.get(),
            cancelled: cancelled.get(),
            failed: Reason::ALL.into_iter().zip(failed.iter().map(Count::get)).collect(),
            retried: retried.get(),
            live: self.inner.live.tally_of_all(),
            waited: waited.look(),
            ran: ran.look(),
            cpu: Duration::from_nanos(cpu_nanos.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_own_word() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            let meters = Meters::default();
            meters.ended(&Outcome::failed(reason, "x"));
            let counts: Vec<_> = meters.failed.iter().map(Count::get).collect();
            assert_eq!((counts[place], counts.iter().sum::<u64>()), (1, 1), "{reason}");
        }
    }
}
