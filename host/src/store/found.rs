//! Versions of modules that were looked up before, so that a job need not ask
//! the database which one it runs.
//!
//! Promise: what is found here is what the database says, until the answer to
//! whoever changes it: all is forgotten after a change has become durable and
//! before it is answered, and nobody brings back what was read before.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::ids::TenantId;
use crate::limits::MODULES_FOUND_MAX;
use crate::model::module::ModuleRef;
use crate::model::module::ModuleVersion;

/// What was looked up since the last change.
#[derive(Default)]
pub(super) struct Found {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts the changes.
    era: u64,
    versions: HashMap<(TenantId, ModuleRef), ModuleVersion>,
}

/// The era in which a look began.
#[derive(Clone, Copy)]
pub(super) struct Era(u64);

impl Found {
    /// The version if it is known here, or the era in which to look for it.
    pub(super) fn get(&self, key: &(TenantId, ModuleRef)) -> Result<ModuleVersion, Era> {
        let state = self.state();
        state.versions.get(key).cloned().ok_or(Era(state.era))
    }

    /// Keeps what was found by a look that began in `era`, unless something has
    /// changed since.
    pub(super) fn keep(&self, era: Era, key: (TenantId, ModuleRef), version: &ModuleVersion) {
        let mut state = self.state();
        if state.era != era.0 {
            return;
        }
        if state.versions.len() >= MODULES_FOUND_MAX {
            // Rare, and each costs one look into the database to find again.
            state.versions.clear();
        }
        state.versions.insert(key, version.clone());
    }

    /// Says that versions have changed, whichever.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.era += 1;
        state.versions.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is done with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
