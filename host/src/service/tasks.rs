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
        self.inner.tasks.spawn(late(work))
    }
}

/// Tests let others go first, by chance.
#[cfg(not(test))]
fn late<W>(work: W) -> W {
    work
}
