//! Work that outlives the request that asked for it, and the one place where it starts.

use tokio::task::JoinHandle;

use crate::service::Service;

#[cfg(test)]
use self::late::late;

#[cfg(test)]
pub(super) mod late;

impl Service {
    /// Starts work that a drain waits for.
    pub(super) fn start_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        // In a box, since a runtime moves a task that it begins and ends; a walk is large.
        self.inner.tasks.spawn(Box::pin(late(work)))
    }
}

/// Tests let others go first, by chance.
#[cfg(not(test))]
fn late<W>(work: W) -> W {
    work
}
