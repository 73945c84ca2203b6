//! Checkpoints: carrying the log over into the database, away from the writer.
//!
//! Promise: nobody who waits for a commit waits for this. A log that nobody
//! carried over is only long, never wrong.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::limits::CHECKPOINT_PAGES;
use crate::store::error::StoreError;
use crate::store::schema;

/// How the writer says that the log has grown. Dropping it ends the thread.
pub(super) struct Nudge(SyncSender<()>);

impl Nudge {
    /// Tells the length of the log.
    pub(super) fn log_has(&self, pages: u32) {
        if pages >= CHECKPOINT_PAGES {
            // Full means that one is asked for already.
            let _ = self.0.try_send(());
        }
    }
}

/// The checkpointer's thread; joined when dropped, after its [`Nudge`].
pub(super) struct Checkpointer(Option<JoinHandle<()>>);

impl Checkpointer {
    pub(super) fn start(database: &Path) -> Result<(Checkpointer, Nudge), StoreError> {
        let db = schema::open_for_checkpoints(database)?;
        let (nudge, asked) = sync_channel(1);
        let thread = thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || work(&db, &asked));
        let thread = thread.map_err(StoreError::io("start the checkpointer"))?;
        Ok((Checkpointer(Some(thread)), Nudge(nudge)))
    }
}

fn work(db: &Connection, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        if let Err(error) = schema::checkpoint(db) {
            tracing::warn!(%error, "the log could not be carried over");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}
