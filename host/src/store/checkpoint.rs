//! Checkpoints: carrying the log over into the database, away from the writer.
//!
//! Promise: nobody who waits for a commit waits for this, unless the log has
//! outgrown its bound; then the writer stops once, so that it can begin anew. A
//! log that nobody carried over is only long, never wrong. A sync that fails here
//! ends all writing too, since nobody knows what it has cost.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
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
    /// How long the log was when it was last asked for.
    asked_at: AtomicU32,
    carrier: Arc<Carrier>,
}

/// Whoever carries over, on whichever thread.
struct Carrier {
    db: Mutex<Connection>,
    poisoned: Arc<AtomicBool>,
}

impl Nudge {
    /// Set for good when the disk has failed a sync.
    pub(super) fn poisoned(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.carrier.poisoned)
    }

    /// Tells the length of the log, between two commits.
    pub(super) fn log_has(&self, pages: u32) {
        if pages > LOG_PAGES_MAX {
            // While commits go on, the checkpointer never sees the end of the log.
            // Nobody commits while the writer is here, so now all of it is carried
            // over, and the next commit begins the log anew.
            self.carrier.carry_over();
            return;
        }
        let mut asked_at = self.asked_at.load(Ordering::Relaxed);
        if pages < asked_at {
            // Begun anew.
            asked_at = 0;
        }
        if pages - asked_at >= CHECKPOINT_PAGES {
            // Full means that it is asked for already.
            let _ = self.asked.try_send(());
            asked_at = pages;
        }
        self.asked_at.store(asked_at, Ordering::Relaxed);
    }
}

/// The checkpointer's thread; joined when dropped, after its [`Nudge`].
pub(super) struct Checkpointer {
    thread: Option<JoinHandle<()>>,
    #[cfg(test)]
    carrier: Arc<Carrier>,
}

impl Checkpointer {
    pub(super) fn start(database: &Path) -> Result<(Checkpointer, Nudge), StoreError> {
        let db = schema::open_for_checkpoints(database)?;
        let carrier = Arc::new(Carrier { db: Mutex::new(db), poisoned: Arc::default() });
        let (asked, wishes) = sync_channel(1);
        let nudge = Nudge { asked, asked_at: AtomicU32::new(0), carrier: Arc::clone(&carrier) };
        let at_work = Arc::clone(&carrier);
        let thread = thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || work(&at_work, &wishes));
        let thread = thread.map_err(StoreError::io("start the checkpointer"))?;
        let checkpointer = Checkpointer {
            thread: Some(thread),
            #[cfg(test)]
            carrier,
        };
        Ok((checkpointer, nudge))
    }

    /// Does it now, whatever the length of the log.
    #[cfg(test)]
    pub(super) fn carry_over_now(&self) {
        self.carrier.carry_over();
    }
}

fn work(carrier: &Carrier, wishes: &Receiver<()>) {
    while wishes.recv().is_ok() {
        carrier.carry_over();
    }
    // The writer is gone, so this is the end: whoever copies the database finds all of it in one file.
    carrier.carry(schema::fold_log);
}

impl Carrier {
    fn carry_over(&self) {
        self.carry(schema::checkpoint);
    }

    /// One at a time, since the database lets nobody wait for another's checkpoint.
    fn carry(&self, over: impl FnOnce(&Connection) -> Result<(), StoreError>) {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        if self.poisoned.load(Ordering::Acquire) {
            return;
        }
        match over(&db) {
            Ok(()) => (),
            Err(StoreError::Poisoned) => {
                self.poisoned.store(true, Ordering::Release);
                tracing::error!("the disk failed to sync the database; nothing more is written until a restart");
            }
            Err(error) => tracing::warn!(%error, "the log could not be carried over"),
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_carried_over_once_for_each_stretch_that_it_grows_by() {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("db");
        drop(schema::open_for_writing(&database).unwrap());
        let db = Mutex::new(schema::open_for_checkpoints(&database).unwrap());
        let (asked, wishes) = sync_channel(1);
        let carrier = Arc::new(Carrier { db, poisoned: Arc::default() });
        let nudge = Nudge { asked, asked_at: AtomicU32::new(0), carrier };
        let stretch = CHECKPOINT_PAGES;
        for (pages, is_asked) in [
            (1, false),
            (stretch - 1, false),
            (stretch + 5, true),
            (stretch + 6, false),
            (2 * stretch + 4, false),
            (2 * stretch + 5, true),
            // Begun anew.
            (7, false),
            (stretch - 1, false),
            (stretch, true),
        ] {
            nudge.log_has(pages);
            assert_eq!(wishes.try_recv().is_ok(), is_asked, "{pages} pages");
        }
    }
}
