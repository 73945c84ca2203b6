//! Checkpoints: carrying the log over into the database, away from the writer.
//!
//! Promise: nobody who waits for a commit waits for this, unless the log has
//! outgrown its bound; then the writer stops once, so that it can begin anew. A
//! log that nobody carried over is only long, never wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::limits::CHECKPOINT_PAGES;
use crate::limits::LOG_PAGES_MAX;
use crate::store::error::StoreError;
use crate::store::schema;

/// How the writer says that the log has grown. Dropping it ends the thread.
pub(super) struct Nudge {
    asked: SyncSender<()>,
    db: Arc<Mutex<Connection>>,
}

impl Nudge {
    /// Tells the length of the log, between two commits.
    pub(super) fn log_has(&self, pages: u32) {
        if pages > LOG_PAGES_MAX {
            // While commits go on, the checkpointer never sees the end of the log.
            // Nobody commits while the writer is here, so now all of it is carried
            // over, and the next commit begins the log anew.
            carry_over(&self.db);
        } else if pages >= CHECKPOINT_PAGES {
            // Full means that it is asked for already.
            let _ = self.asked.try_send(());
        }
    }
}

/// The checkpointer's thread; joined when dropped, after its [`Nudge`].
pub(super) struct Checkpointer {
    thread: Option<JoinHandle<()>>,
    #[cfg(test)]
    db: Arc<Mutex<Connection>>,
}

impl Checkpointer {
    pub(super) fn start(database: &Path) -> Result<(Checkpointer, Nudge), StoreError> {
        let db = schema::open_for_checkpoints(database)?;
        let db = Arc::new(Mutex::new(db));
        let (asked, wishes) = sync_channel(1);
        let nudge = Nudge { asked, db: Arc::clone(&db) };
        #[cfg(test)]
        let for_tests = Arc::clone(&db);
        let thread = thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || work(&db, &wishes));
        let thread = thread.map_err(StoreError::io("start the checkpointer"))?;
        let checkpointer = Checkpointer {
            thread: Some(thread),
            #[cfg(test)]
            db: for_tests,
        };
        Ok((checkpointer, nudge))
    }

    /// Does it now, whatever the length of the log.
    #[cfg(test)]
    pub(super) fn carry_over_now(&self) {
        carry_over(&self.db);
    }
}

fn work(db: &Mutex<Connection>, wishes: &Receiver<()>) {
    while wishes.recv().is_ok() {
        carry_over(db);
    }
}

/// One at a time, since the database lets nobody wait for another's checkpoint.
fn carry_over(db: &Mutex<Connection>) {
    let db = db.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = schema::checkpoint(&db) {
        tracing::warn!(%error, "the log could not be carried over");
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
