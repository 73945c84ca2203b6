//! How many jobs of a tenant are how far.

use crate::model::stage::Stage;

/// How many jobs of a tenant are how far (R34).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted, and not running yet.
    pub queued: u64,
    /// Running, or committing.
    pub running: u64,
}

impl Tally {
    /// The counter in which a job of that stage counts.
    fn counter(&mut self, stage: Stage) -> Option<&mut u64> {
        match stage {
            Stage::Queued => Some(&mut self.queued),
            Stage::Running | Stage::Committing => Some(&mut self.running),
            Stage::Over => None,
        }
    }

    pub(super) fn add(&mut self, stage: Stage) {
        if let Some(counter) = self.counter(stage) {
            *counter += 1;
        }
    }

    pub(super) fn remove(&mut self, stage: Stage) {
        if let Some(counter) = self.counter(stage) {
            *counter = counter.saturating_sub(1);
        }
    }
}
