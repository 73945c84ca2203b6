//! Where a job stands on its walk, and which step may come next.
//!
//! ```text
//!   Queued ──start──► Running ──return──► Committing ──stored──► Over
//!      └─cancel─► Over   └─cancel, fail─► Over   └─store failed─► Over
//!
//!   Running, Committing ──retry──► Queued
//! ```
//!
//! Promise: a job whose work is being made permanent is not cancelled, and one
//! that is over stays so.

/// Where a job stands on its walk through the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Accepted, waiting for its turn and a slot.
    Queued,
    /// The guest runs. Nothing it did can be seen from outside yet.
    Running,
    /// The guest has returned and its work is being made permanent.
    Committing,
    /// Over. No step leads out of here.
    Over,
}

/// What may happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It got its turn and a slot.
    Start,
    /// The guest ended with success.
    Return,
    /// The guest ended in any other way.
    Fail,
    /// Somebody wants it stopped.
    Cancel,
    /// The commit is durable.
    Stored,
    /// The commit is not there, and will not be.
    StoreFailed,
    /// The attempt has failed, and another one is to follow.
    Retry,
}

/// A step that a job at that stage cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {stage:?} cannot take the step {step:?}")]
pub struct IllegalStep {
    stage: Stage,
    step: Step,
}

impl Stage {
    /// The stage after `step`, or why there is none.
    pub fn after(self, step: Step) -> Result<Stage, IllegalStep> {
        match (self, step) {
            (Stage::Queued, Step::Start) => Ok(Stage::Running),
            (Stage::Running, Step::Return) => Ok(Stage::Committing),
            (Stage::Queued | Stage::Running, Step::Cancel) => Ok(Stage::Over),
            (Stage::Running, Step::Fail) => Ok(Stage::Over),
            // From here on the disk decides, so a cancel comes too late.
            (Stage::Committing, Step::Stored | Step::StoreFailed) => Ok(Stage::Over),
            (Stage::Running | Stage::Committing, Step::Retry) => Ok(Stage::Queued),
            (stage, step) => Err(IllegalStep { stage, step }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Step::*;
    use super::*;

    /// Walks `steps` from `Queued`; the one place these tests touch the API.
    #[track_caller]
    fn check(steps: &[Step], expected: Option<Stage>) {
        let end = steps.iter().try_fold(Stage::Queued, |stage, step| stage.after(*step));
        assert_eq!(end.ok(), expected, "{steps:?}");
    }

    #[test]
    fn r32_a_cancel_wins_until_the_commit_begins() {
        check(&[Cancel], Some(Stage::Over));
        check(&[Start, Cancel], Some(Stage::Over));
        check(&[Start, Return, Cancel], None);
    }

    #[test]
    fn a_job_commits_only_after_its_guest_returned() {
        check(&[Start, Return, Stored], Some(Stage::Over));
        check(&[Start, Return, StoreFailed], Some(Stage::Over));
        check(&[Start, Stored], None);
        check(&[Stored], None);
        check(&[Start, Fail, Stored], None);
    }

    #[test]
    fn a_job_that_is_tried_again_is_cancelled_like_one_that_waits() {
        check(&[Start, Retry], Some(Stage::Queued));
        check(&[Start, Return, Retry, Start, Return, Stored], Some(Stage::Over));
        check(&[Start, Retry, Cancel], Some(Stage::Over));
        check(&[Start, Cancel, Retry], None);
        check(&[Retry], None);
    }

    #[test]
    fn no_step_leads_out_of_the_end() {
        for step in [Start, Return, Fail, Cancel, Stored, StoreFailed, Retry] {
            check(&[Cancel, step], None);
        }
    }
}
