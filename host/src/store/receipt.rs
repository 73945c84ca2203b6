//! Receipts: what a caller of a write holds until the disk has answered.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::sync::oneshot;

use crate::store::error::StoreError;

/// A write that is on its way. Its place in line was taken when the method was
/// called, and it happens whether or not anybody waits for this.
#[must_use = "a write that nobody waits for may fail unseen"]
pub struct Receipt<T>(Answer<T>);

enum Answer<T> {
    /// It never came into the line; taken out when told.
    Refused(Option<StoreError>),
    Waiting(oneshot::Receiver<Result<T, StoreError>>),
}

/// The other end of a receipt.
pub(super) struct Reply<T>(oneshot::Sender<Result<T, StoreError>>);

impl<T> Receipt<T> {
    /// A receipt, and the end through which it gets its answer.
    pub(super) fn new() -> (Reply<T>, Receipt<T>) {
        let (reply, answer) = oneshot::channel();
        (Reply(reply), Receipt(Answer::Waiting(answer)))
    }

    /// A receipt for something that will not happen.
    pub(super) fn refused(error: StoreError) -> Receipt<T> {
        Receipt(Answer::Refused(Some(error)))
    }

    /// Waits for the disk on a thread that may block; panics on one that runs
    /// async tasks.
    pub fn wait(self) -> Result<T, StoreError> {
        match self.0 {
            Answer::Refused(error) => Err(error.unwrap_or(StoreError::Poisoned)),
            Answer::Waiting(answer) => answer.blocking_recv().unwrap_or(Err(StoreError::Poisoned)),
        }
    }
}

impl<T> Future for Receipt<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Answer::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(StoreError::Poisoned))),
            // A reply that was dropped means a writer that is no more.
            Answer::Waiting(answer) => {
                Pin::new(answer).poll(task).map(|told| told.unwrap_or(Err(StoreError::Poisoned)))
            }
        }
    }
}

impl<T> Unpin for Receipt<T> {}

impl<T> Reply<T> {
    /// Tells whoever waits; nobody may.
    pub(super) fn tell(self, result: Result<T, StoreError>) {
        let _ = self.0.send(result);
    }
}
