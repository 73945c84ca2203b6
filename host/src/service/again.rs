//! A job that has failed and is run again.
//!
//! Promise: the failure is on record before anything of the next attempt begins, and
//! nothing of the last one is left but that.

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::outcome::Outcome;
use crate::model::stage::Step;
use crate::queue::lanes::Place;
use crate::service::journey::Walk;

/// An attempt has failed, which is on record, and another one follows.
pub(super) struct Again {
    pub(super) attempt: u32,
    pub(super) failed: Outcome,
    pub(super) not_before: Timestamp,
    /// The session that the attempt made, with its place at the head of that one's lane.
    pub(super) made: Option<(SessionId, Option<Place>)>,
}

impl Walk {
    /// Whether an attempt that fails is followed by another one.
    pub(super) fn may_try_again(&self) -> bool {
        self.queued.failures < self.queued.job.schedule.retries
    }

    /// What a guest's failure is for the job.
    pub(super) fn step_of_failure(&self) -> Step {
        if self.may_try_again() { Step::Retry } else { Step::Fail }
    }

    /// Goes back to where the next attempt begins.
    pub(super) fn go_back(&mut self, again: Again) {
        let Again { attempt, failed, not_before, made } = again;
        tracing::info!(job = %self.queued.job.id, attempt, reason = ?failed.reason(), "failed, and is tried again");
        let (created, ahead) = made.unzip();
        self.queued.attempts = attempt;
        self.queued.failures += 1;
        self.queued.job.schedule.not_before = Some(not_before);
        self.queued.created = created;
        // The new place at the head is behind the old one, if that was there.
        self.ahead = ahead.flatten().or_else(|| self.ahead.take()).filter(|_| self.queued.created.is_some());
        self.live().begin_anew();
    }
}
