//! What can be watched while a job runs.

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::Output;
use crate::model::job::Progress;

/// A running job as seen from outside. Made before the run, so that a follower
/// misses nothing, and of use as long as somebody holds it.
#[derive(Debug)]
pub struct Live {
    pub stdout: Arc<Output>,
    pub stderr: Arc<Output>,
    progress: watch::Sender<Option<Progress>>,
}

impl Live {
    /// For a job that may print `output_bytes_max` bytes to each stream.
    pub fn new(output_bytes_max: u64) -> Self {
        let output = || Arc::new(Output::new(output_bytes_max));
        Self { stdout: output(), stderr: output(), progress: watch::Sender::new(None) }
    }

    /// How far the guest says it is, now and whenever that changes.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }

    /// Tells the watchers. Nobody has to watch.
    pub(crate) fn tell(&self, progress: Progress) {
        self.progress.send_replace(Some(progress));
    }

    /// Tells the readers that nothing will come any more. Called at the end of
    /// each run; to be called by whoever drops a job that never ran.
    pub fn close(&self) {
        self.stdout.close();
        self.stderr.close();
    }
}
