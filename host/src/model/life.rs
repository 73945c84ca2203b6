//! The life of a session: made, renamed, deleted, dropped, and gone.
//!
//! ```text
//!   Gone ──create──► Creator ──the job ends──► Active
//!   Creator ──rename──► Creator        Creator ──delete──► Gone            at once
//!   Active ──rename──► Pending ──the job ends well──► Active, under the new id
//!   Active, Pending ──delete──► Marked ──the job ends well──► Gone
//!   Pending, Marked ──the job ends badly──► Active, as it was
//!   all of them ──drop while a job is at work──► Marked ──the job ends──► Gone
//!   Active ──drop or expiry while nobody is at work──► Gone
//! ```
//!
//! Comes in: a [`Move`] of the job that has the session's turn, or of somebody
//! outside. Goes out: the life after it and the [`Effect`] that makes it true; or
//! why not.
//!
//! Promise: [`SessionLife::after`] is the only way from one life to another. What
//! a creator does to its session happens at once and stays, however the job ends
//! (R13, R14, R16). A job that began inside a session only says what is to
//! happen: until its end there is a *pending* session under the new id, on which
//! others may wait (R15), or the session is marked and takes no new request
//! (R18). If the job does not end well, the session is as it was (R16), unless
//! it was dropped from outside: then it goes in any case (R19).
//!
//! Not here: who may wait where ([`lanes`](crate::queue::lanes)), when a session's
//! time is over ([`expiry`](super::expiry)), and what is on record (`store`).

use crate::ids::SessionId;
use crate::model::session::Session;
use crate::model::session::SessionState;

/// How a session stands; of a job that is at work, the session that it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SessionLife {
    /// There is none, not yet or not any more: the job runs outside any.
    #[default]
    Gone,
    /// The job that is at work made it, and does with it what it likes (R13, R14).
    Creator { id: SessionId },
    /// Jobs run in it, one after the other.
    Active { id: SessionId },
    /// The job that is at work renames it: under `to` it will be when that job
    /// ends well (R15).
    Pending { id: SessionId, to: SessionId },
    /// It takes no new request, and is about to go.
    Marked { id: SessionId, by: Marker },
}

/// Who marked a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The job that is at work in it, so it goes if that one ends well (R18).
    Job,
    /// Somebody outside, so it goes when nobody is at work in it (R19, R20).
    Outside,
}

/// What may happen to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// The job that is at work makes one.
    Create(SessionId),
    /// The job that is at work gives its session another id.
    Rename(SessionId),
    /// The job that is at work deletes its session.
    Delete,
    /// The job that was at work has ended well, and what it did is to be kept.
    EndWell,
    /// It has ended in any other way: failed, ran out of time or was cancelled.
    EndBadly,
    /// Dropped from outside while a job is at work in it.
    DropRunning,
    /// Dropped or expired while nobody is at work in it.
    DropIdle,
    /// Given another id from outside by one who has its turn, so that nobody is
    /// at work in it.
    RenameIdle(SessionId),
}

/// What has to be done for the new life to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing; all is so already.
    Nothing,
    /// Make the session, durably, before those who named its id.
    Make { id: SessionId },
    /// Give the session another id, durably; those who wait under the old one are
    /// released (R17).
    RenameNow { to: SessionId },
    /// Delete the session, durably; those who wait are released (R17).
    DeleteNow,
    /// Keep this id for the pending session, and none that was kept before.
    Reserve { id: SessionId },
    /// There is no pending session any more: its id is free.
    Free,
    /// Let nobody new into the session; an id that was kept for it is free.
    Mark,
    /// Let others in again: the session is as it was.
    Unmark,
    /// Keep what the job did.
    Keep,
    /// Keep what the job did, and give the session the id under which it is
    /// pending, in one commit.
    KeepUnder { id: SessionId },
    /// Keep what the job did: its directory becomes that of its session.
    Adopt,
    /// The session goes, with all it holds.
    Remove,
    /// Cancel the job; the session goes when it has stopped.
    Stop,
}

/// Why a session cannot make a move. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the job is in no session")]
    NoSession,
    #[error("the job is in a session already")]
    InSession,
    #[error("the job has deleted its session")]
    Deleted,
    #[error("the session was dropped")]
    Dropped,
    #[error("a job is at work in the session")]
    AtWork,
}

type Moved = Result<(SessionLife, Effect), Unfit>;

impl SessionLife {
    /// A session as it is on record, which says nothing of the job that is at
    /// work in it.
    pub fn on_record(session: &Session) -> Self {
        let id = session.id.clone();
        match session.state {
            SessionState::Active => SessionLife::Active { id },
            SessionState::Marked => SessionLife::Marked { id, by: Marker::Outside },
            // The id of a pending session is nobody's yet.
            SessionState::Pending | SessionState::Gone => SessionLife::Gone,
        }
    }

    /// The id of the session. A rename or deletion that waits for its job's end
    /// has not happened yet.
    pub fn id(&self) -> Option<&SessionId> {
        match self {
            SessionLife::Gone => None,
            SessionLife::Creator { id }
            | SessionLife::Active { id }
            | SessionLife::Pending { id, .. }
            | SessionLife::Marked { id, .. } => Some(id),
        }
    }

    /// The life after a move, and what makes it true; or why there is none.
    pub fn after(&self, step: &Move) -> Moved {
        match step {
            Move::Create(id) => self.after_create(id),
            Move::Rename(to) => self.after_rename(to),
            Move::Delete => self.after_delete(),
            Move::EndWell => self.after_good_end(),
            Move::EndBadly => Ok(self.after_bad_end()),
            Move::DropRunning => self.after_drop_of_job(),
            Move::DropIdle => self.after_idle_drop(),
            Move::RenameIdle(to) => self.after_idle_rename(to),
        }
    }

    /// R13: only a job outside any session makes one.
    fn after_create(&self, id: &SessionId) -> Moved {
        match self {
            SessionLife::Gone => Ok((SessionLife::Creator { id: id.clone() }, Effect::Make { id: id.clone() })),
            SessionLife::Creator { .. }
            | SessionLife::Active { .. }
            | SessionLife::Pending { .. }
            | SessionLife::Marked { .. } => Err(Unfit::InSession),
        }
    }

    /// R14: a creator's rename happens at once. R15: any other waits for the end
    /// of its job; the last one counts, and one back to the session's id is none.
    fn after_rename(&self, to: &SessionId) -> Moved {
        match self {
            SessionLife::Gone => Err(Unfit::NoSession),
            SessionLife::Creator { id } | SessionLife::Active { id } if id == to => Ok((self.clone(), Effect::Nothing)),
            SessionLife::Creator { .. } => {
                Ok((SessionLife::Creator { id: to.clone() }, Effect::RenameNow { to: to.clone() }))
            }
            SessionLife::Pending { to: kept, .. } if kept == to => Ok((self.clone(), Effect::Nothing)),
            SessionLife::Pending { id, .. } if id == to => Ok((SessionLife::Active { id: id.clone() }, Effect::Free)),
            SessionLife::Active { id } | SessionLife::Pending { id, .. } => {
                let pending = SessionLife::Pending { id: id.clone(), to: to.clone() };
                Ok((pending, Effect::Reserve { id: to.clone() }))
            }
            SessionLife::Marked { by, .. } => Err(by.refusal()),
        }
    }

    /// R14: a creator's deletion happens at once. R18: any other marks the session
    /// until its job ends, and is the last word.
    fn after_delete(&self) -> Moved {
        match self {
            SessionLife::Gone => Err(Unfit::NoSession),
            SessionLife::Creator { .. } => Ok((SessionLife::Gone, Effect::DeleteNow)),
            SessionLife::Active { id } | SessionLife::Pending { id, .. } => {
                Ok((SessionLife::Marked { id: id.clone(), by: Marker::Job }, Effect::Mark))
            }
            SessionLife::Marked { by: Marker::Job, .. } => Ok((self.clone(), Effect::Nothing)),
            SessionLife::Marked { by: Marker::Outside, .. } => Err(Unfit::Dropped),
        }
    }

    /// R13, R15, R18: what the job planned comes true with what it did. R19: what
    /// it did in a session that was dropped cannot be kept.
    fn after_good_end(&self) -> Moved {
        match self {
            SessionLife::Gone => Ok((SessionLife::Gone, Effect::Nothing)),
            SessionLife::Creator { id } => Ok((SessionLife::Active { id: id.clone() }, Effect::Adopt)),
            SessionLife::Active { .. } => Ok((self.clone(), Effect::Keep)),
            SessionLife::Pending { to, .. } => {
                Ok((SessionLife::Active { id: to.clone() }, Effect::KeepUnder { id: to.clone() }))
            }
            SessionLife::Marked { by: Marker::Job, .. } => Ok((SessionLife::Gone, Effect::Remove)),
            SessionLife::Marked { by: Marker::Outside, .. } => Err(Unfit::Dropped),
        }
    }

    /// R16: the session is as it was; a creator's stays, without what it wrote.
    fn after_bad_end(&self) -> (SessionLife, Effect) {
        let back = |id: &SessionId| SessionLife::Active { id: id.clone() };
        match self {
            SessionLife::Gone => (SessionLife::Gone, Effect::Nothing),
            SessionLife::Creator { id } | SessionLife::Active { id } => (back(id), Effect::Nothing),
            SessionLife::Pending { id, .. } => (back(id), Effect::Free),
            SessionLife::Marked { id, by: Marker::Job } => (back(id), Effect::Unmark),
            SessionLife::Marked { by: Marker::Outside, .. } => (SessionLife::Gone, Effect::Remove),
        }
    }

    /// R19: unusable at once, gone when the job has stopped. A session that is
    /// dropped takes its pending one with it.
    fn after_drop_of_job(&self) -> Moved {
        match self {
            SessionLife::Gone => Err(Unfit::NoSession),
            SessionLife::Marked { by: Marker::Outside, .. } => Ok((self.clone(), Effect::Nothing)),
            SessionLife::Creator { id }
            | SessionLife::Active { id }
            | SessionLife::Pending { id, .. }
            | SessionLife::Marked { id, by: Marker::Job } => {
                Ok((SessionLife::Marked { id: id.clone(), by: Marker::Outside }, Effect::Stop))
            }
        }
    }

    /// R19, R20: gone at once. What was marked and is still there goes too.
    fn after_idle_drop(&self) -> Moved {
        match self {
            SessionLife::Active { .. } | SessionLife::Marked { by: Marker::Outside, .. } => {
                Ok((SessionLife::Gone, Effect::Remove))
            }
            SessionLife::Gone => Err(Unfit::NoSession),
            SessionLife::Creator { .. } | SessionLife::Pending { .. } | SessionLife::Marked { by: Marker::Job, .. } => {
                Err(Unfit::AtWork)
            }
        }
    }

    /// R17: whoever gives a session another id from outside waits for its turn.
    fn after_idle_rename(&self, to: &SessionId) -> Moved {
        match self {
            SessionLife::Active { id } if id == to => Ok((self.clone(), Effect::Nothing)),
            SessionLife::Active { .. } => {
                Ok((SessionLife::Active { id: to.clone() }, Effect::RenameNow { to: to.clone() }))
            }
            SessionLife::Gone => Err(Unfit::NoSession),
            SessionLife::Marked { by: Marker::Outside, .. } => Err(Unfit::Dropped),
            SessionLife::Creator { .. } | SessionLife::Pending { .. } | SessionLife::Marked { by: Marker::Job, .. } => {
                Err(Unfit::AtWork)
            }
        }
    }
}

impl Marker {
    /// What a job hears that wants something of a session so marked.
    fn refusal(self) -> Unfit {
        match self {
            Marker::Job => Unfit::Deleted,
            Marker::Outside => Unfit::Dropped,
        }
    }
}

#[cfg(test)]
mod tests;
