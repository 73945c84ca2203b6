//! The end of a job's walk: what the guest did is kept, or undone.
//!
//! Comes in: a guest that is gone, with the draft that it worked in.
//! Goes out: to the store, for the one commit or for a record of another end.
//!
//! Promise: from the moment a job begins to commit, nothing but the disk decides
//! what becomes of it; and whatever became of it is on record when this returns.

use crate::engine::Ran;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::life::Effect;
use crate::model::life::Move;
use crate::model::outcome::Outcome;
use crate::model::outcome::Reason;
use crate::model::params::ParamChanges;
use crate::model::schedule::back_off;
use crate::model::stage::Step;
use crate::model::touched::Touched;
use crate::service::Service;
use crate::service::again::Again;
use crate::service::journey::Halt;
use crate::service::journey::Walk;
use crate::service::live::LiveJob;
use crate::service::record::Record;
use crate::service::refusal::Chain;
use crate::store::CommitError;
use crate::store::Draft;
use crate::store::Ending;
use crate::store::Fate;
use crate::store::Refused;
use crate::store::StoreError;

impl Service {
    /// Keeps what the guest did, or undoes it, and puts its end on record.
    pub(super) async fn settle(
        &self,
        walk: &Walk,
        attempt: u32,
        draft: Option<Draft>,
        ran: Ran,
    ) -> Result<Outcome, Halt> {
        let live = walk.live();
        let mut ending = Ending {
            outcome: decided(live, ran.outcome, walk.step_of_failure()),
            result: ran.result,
            changes: None,
            spent: ran.spent,
            ended_at: self.now(),
            stdout: ran.stdout,
            stderr: ran.stderr,
        };
        if ending.outcome != Outcome::Succeeded {
            if let Some(draft) = draft {
                draft.roll_back(ran.touched);
            }
            return self.end_without_result(walk, attempt, ending).await;
        }
        let draft = draft.expect("a guest that returned has no call under way, which alone could have lost it");
        let did = (ran.touched, ran.params);
        let kept = match walk.queued.job.dry_run {
            true => self.try_out(walk, attempt, &ending, draft, did).await,
            false => self.commit(walk, attempt, &ending, draft, did).await,
        };
        let Err(error) = kept else {
            self.step_past_commit(live, Step::Stored);
            let outcome = ending.outcome.clone();
            // What a dry run would have changed is on record alone; and a record that is written behind is not there.
            if !walk.queued.job.dry_run && matches!(walk.record, Record::Stored) {
                live.note_ending(ending);
            }
            return Ok(outcome);
        };
        ending.outcome = match not_kept(walk, error) {
            Some(outcome) => outcome,
            None => {
                self.step_past_commit(live, Step::StoreFailed);
                return Err(Halt::Store(StoreError::Poisoned));
            }
        };
        let is_retried = ending.outcome.reason().is_some() && walk.may_try_again();
        self.step_past_commit(live, if is_retried { Step::Retry } else { Step::StoreFailed });
        self.end_without_result(walk, attempt, ending).await
    }

    /// The end of a job, or only of an attempt after which another one follows. A result is
    /// part of what it did, and nothing of that is kept.
    pub(super) async fn end_without_result(
        &self,
        walk: &Walk,
        attempt: u32,
        mut ending: Ending,
    ) -> Result<Outcome, Halt> {
        ending.result = None;
        let outcome = ending.outcome.clone();
        if outcome.reason().is_some() && walk.may_try_again() {
            let not_before = self.now().plus(back_off(walk.queued.failures + 1));
            self.put_back(walk, attempt, &outcome, not_before).await?;
            return Err(Halt::Again(Box::new(Again { attempt, failed: outcome, not_before, made: None })));
        }
        self.end(walk, attempt, ending).await?;
        Ok(outcome)
    }

    /// Keeps nothing but what would have been changed (R26a).
    async fn try_out(
        &self,
        walk: &Walk,
        attempt: u32,
        ending: &Ending,
        draft: Draft,
        (touched, params): (Touched, ParamChanges),
    ) -> Result<(), CommitError> {
        let changes = Some(draft.dry_run(touched, &params).await?);
        Ok(self.end(walk, attempt, Ending { changes, ..ending.clone() }).await?)
    }

    async fn commit(
        &self,
        walk: &Walk,
        attempt: u32,
        ending: &Ending,
        draft: Draft,
        (touched, params): (Touched, ParamChanges),
    ) -> Result<(), CommitError> {
        let (mut seq, mut attempt) = (walk.queued.seq, attempt);
        // Refused only to a job whose session was dropped (R19).
        let (_, effect) = walk.live().life().after(&Move::EndWell).map_err(|_| CommitError::SessionGone)?;
        let (draft, touched, fate) = match (effect, &walk.record) {
            (Effect::Adopt, record) => {
                let session = walk.live().session().ok_or(CommitError::SessionGone)?;
                if let Record::Behind(job) = record {
                    // It has made something that lasts, so it comes on record first (R26b).
                    (seq, attempt) = self.put_on_record(job).await?;
                }
                (draft.adopt(session).await?, Touched::Everywhere, Fate::Stays)
            }
            // Outside a session: nothing of the draft is kept, so only the job ends.
            (_, Record::Behind(_)) => {
                draft.roll_back(touched);
                return Ok(self.end(walk, attempt, ending.clone()).await?);
            }
            (Effect::Remove, Record::Stored) => return draft.commit_and_remove(seq, attempt, ending.clone()).await,
            (Effect::KeepUnder { id }, Record::Stored) => (draft, touched, Fate::Renamed { to: id }),
            // The session, if there is one, stays what it is.
            (_, Record::Stored) => (draft, touched, Fate::Stays),
        };
        draft.commit(seq, attempt, ending.clone(), touched, params, fate).await?;
        if let Record::Behind(job) = &walk.record {
            self.inner.unrecorded.leave(job);
        }
        Ok(())
    }

    /// The end of a job whose guest never ran.
    pub(super) fn unstarted(&self, outcome: Outcome) -> Ending {
        Ending {
            outcome,
            result: None,
            changes: None,
            spent: Spent::default(),
            ended_at: self.now(),
            stdout: Printed::default(),
            stderr: Printed::default(),
        }
    }

    fn step_past_commit(&self, live: &LiveJob, step: Step) {
        live.step(step).expect("only this walk leads out of the commit");
    }
}

/// What becomes of a job that ended well and whose work could not be kept; `None` if the
/// store says nothing about it any more.
fn not_kept(walk: &Walk, error: CommitError) -> Option<Outcome> {
    let failed = |reason, why: &dyn std::fmt::Display| {
        Some(Outcome::failed(reason, format!("what the job did could not be kept: {why}")))
    };
    match error {
        CommitError::SessionGone => Some(dropped()),
        CommitError::Store(StoreError::Poisoned) => None,
        CommitError::Store(StoreError::Refused(Refused::OverQuota(over))) => failed(Reason::StorageFull, &over),
        CommitError::Store(StoreError::Refused(refused)) => failed(Reason::HostError, &refused),
        CommitError::Store(StoreError::Full) => failed(Reason::HostError, &"the disk of the server is full"),
        CommitError::Store(error) => {
            tracing::error!(job = %walk.queued.job.id, error = %Chain(&error), "a commit failed");
            failed(Reason::HostError, &"the server's store failed")
        }
    }
}

/// What a guest's end comes to: from here on a job that succeeds is not cancelled. One
/// that has failed takes the step `after_failure`.
pub(super) fn decided(live: &LiveJob, outcome: Outcome, after_failure: Step) -> Outcome {
    let step = match outcome {
        Outcome::Succeeded => Step::Return,
        Outcome::Failed { .. } => after_failure,
        Outcome::Cancelled { .. } => Step::Fail,
    };
    // A guest that returned just after its cancel is cancelled all the same.
    if live.step(step).is_err() { cancelled(live) } else { outcome }
}

pub(super) fn cancelled(live: &LiveJob) -> Outcome {
    let why = live.cancelled().unwrap_or("it was cancelled");
    Outcome::Cancelled { detail: why.to_owned() }
}

pub(super) fn drained() -> Outcome {
    Outcome::Cancelled { detail: "the server was stopping".to_owned() }
}

pub(super) fn dropped() -> Outcome {
    Outcome::Cancelled { detail: "its session was dropped".to_owned() }
}
