//! The guard: between a guest and its directory, for WASI p1 and p2 alike.
//!
//! Comes in: every file operation of a guest.
//! Goes out: to wasmtime-wasi, which carries it out, or back with an error.
//!
//! Promise: of what may change, the [`Journal`] knew before; and what would
//! pass the session's limits does not happen.
//!
//! Not here: keeping guests inside their directory (wasmtime-wasi does that;
//! what we find out about paths is for our notes).

mod refusal;
mod resolve;
mod room;
mod space;
mod journal;
mod p1;
mod p1_length;
mod p1_write;
mod p1_poll;
mod p2;
mod p2_stream;
#[cfg(any(fuzzing, test))]
mod fuzzing;

#[cfg(any(fuzzing, test))]
pub use self::fuzzing::paths;
pub(super) use self::journal::Journal;
pub(super) use self::p1::P1Guard;
pub(super) use self::p2::GuardedFilesystem;
pub(super) use self::p2::P2Guard;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use wasmtime_wasi::WasiCtxView;
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p1::WasiP1Ctx;

use self::p2::P2Handles;
use crate::model::touched::Touched;

/// The journal of a run. Streams of p2 hold it too; everything of one run is on
/// one thread, so nobody ever waits for it.
#[derive(Clone)]
pub(super) struct SharedJournal(Arc<Mutex<Journal>>);

impl SharedJournal {
    pub(super) fn get(&self) -> MutexGuard<'_, Journal> {
        // After a panic the job fails as a whole, and its notes are not used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store holds for its guest's files.
pub(super) struct Guard {
    p1: P1Guard,
    p2: P2Handles,
    journal: SharedJournal,
}

impl Guard {
    /// `wasi` has the directory of the journal.
    pub(super) fn new(mut wasi: WasiP1Ctx, journal: Journal) -> Self {
        // Each open file is a place in this table.
        wasi.ctx().table.set_max_capacity(journal.open_files_max());
        let journal = SharedJournal(Arc::new(Mutex::new(journal)));
        Self { p1: P1Guard::new(wasi, journal.clone()), p2: P2Handles::default(), journal }
    }

    pub(super) fn ctx(&mut self) -> WasiCtxView<'_> {
        self.p1.wasi().ctx()
    }

    /// The guard as a core module sees it.
    pub(super) fn p1(&mut self) -> &mut P1Guard {
        &mut self.p1
    }

    /// The guard as a component sees it.
    pub(super) fn p2(&mut self) -> P2Guard<'_> {
        P2Guard::new(self.p1.wasi(), &mut self.p2, self.journal.clone())
    }

    /// The notes of the run, to be looked at while it goes on.
    pub(super) fn journal(&self) -> SharedJournal {
        self.journal.clone()
    }

    /// Closes what is open, and gives the notes away.
    pub(super) fn into_touched(self) -> Touched {
        let Self { p1, p2, journal } = self;
        drop((p1, p2));
        journal.get().touched().clone()
    }
}
