//! How a running job stands to sessions, and what it may do about that.
//!
//! ```text
//!   Outside ──create──► Creator ──rename──► Creator        at once
//!      ▲                   └────delete────► Outside        at once
//!      └───────────────────────────────────────┘
//!   Inside, to stay ◄──rename back── Inside, to be renamed   when the job ends well
//!      └──────────────delete───────► Inside, to be deleted    when the job ends well
//! ```
//!
//! A creator's session is its own, so what it does to it happens at once and
//! stays, however the job ends (R13, R14, R16). A job that began inside a
//! session only says what is to happen: under the new id there is a *pending*
//! session until then, on which others may wait (R15); a session that is to be
//! deleted takes no new request (R18). If the job does not end well, the session
//! is as it was (R16).

use crate::ids::SessionId;

/// How a running job stands to sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Association {
    /// In none.
    #[default]
    Outside,
    /// It made this session, which is its own until it ends.
    Creator { session: SessionId },
    /// It began in this session.
    Inside { session: SessionId, plan: Plan },
}

/// What is to become of a session when the job that runs in it ends well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    Stay,
    Rename { to: SessionId },
    Delete,
}

/// What a guest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Create(SessionId),
    Rename(SessionId),
    Delete,
}

/// What has to be done before the new association is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing; all is as wished already.
    Nothing,
    /// Make the session, durably.
    Make { session: SessionId },
    /// Give the session another id, durably.
    RenameNow { from: SessionId, to: SessionId },
    /// Delete the session, durably.
    DeleteNow { session: SessionId },
    /// Keep the id for the pending session; `instead_of` is free again.
    Reserve { id: SessionId, instead_of: Option<SessionId> },
    /// There is no pending session any more.
    Free { id: SessionId },
    /// Let nobody new into the session; `instead_of` is free again.
    Mark { session: SessionId, instead_of: Option<SessionId> },
}

/// Why a wish is refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the job is in no session")]
    NoSession,
    #[error("the job is in a session already")]
    InSession,
    #[error("the job has deleted its session")]
    Deleted,
}

impl Association {
    /// A job that begins in `session`, or in none.
    pub fn begin(session: Option<SessionId>) -> Self {
        match session {
            Some(session) => Association::Inside { session, plan: Plan::Stay },
            None => Association::Outside,
        }
    }

    /// The session that the guest is in, in its own eyes. A rename or deletion
    /// that waits for its end has not happened yet.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Association::Outside => None,
            Association::Creator { session } | Association::Inside { session, .. } => Some(session),
        }
    }

    /// The association after `wish`, and what makes it true; or why not.
    pub fn after(&self, wish: Wish) -> Result<(Association, Effect), Unfit> {
        use Association::*;
        match (self, wish) {
            (Outside, Wish::Create(session)) => Ok((Creator { session: session.clone() }, Effect::Make { session })),
            (Creator { .. } | Inside { .. }, Wish::Create(_)) => Err(Unfit::InSession),
            (Outside, Wish::Rename(_) | Wish::Delete) => Err(Unfit::NoSession),
            (Creator { session }, Wish::Rename(to)) if *session == to => Ok((self.clone(), Effect::Nothing)),
            (Creator { session }, Wish::Rename(to)) => {
                let effect = Effect::RenameNow { from: session.clone(), to: to.clone() };
                Ok((Creator { session: to }, effect))
            }
            (Creator { session }, Wish::Delete) => Ok((Outside, Effect::DeleteNow { session: session.clone() })),
            (Inside { session, plan }, wish) => {
                let (plan, effect) = plan.after(session, wish)?;
                Ok((Inside { session: session.clone(), plan }, effect))
            }
        }
    }
}

impl Plan {
    fn after(&self, session: &SessionId, wish: Wish) -> Result<(Plan, Effect), Unfit> {
        let pending = match self {
            Plan::Rename { to } => Some(to.clone()),
            Plan::Stay | Plan::Delete => None,
        };
        match (self, wish) {
            (_, Wish::Create(_)) => Err(Unfit::InSession),
            (Plan::Delete, Wish::Delete) => Ok((Plan::Delete, Effect::Nothing)),
            (Plan::Delete, Wish::Rename(_)) => Err(Unfit::Deleted),
            (Plan::Stay | Plan::Rename { .. }, Wish::Delete) => {
                Ok((Plan::Delete, Effect::Mark { session: session.clone(), instead_of: pending }))
            }
            (Plan::Stay | Plan::Rename { .. }, Wish::Rename(to)) if to == *session => {
                let effect = pending.map_or(Effect::Nothing, |id| Effect::Free { id });
                Ok((Plan::Stay, effect))
            }
            (Plan::Stay | Plan::Rename { .. }, Wish::Rename(to)) if pending.as_ref() == Some(&to) => {
                Ok((Plan::Rename { to }, Effect::Nothing))
            }
            (Plan::Stay | Plan::Rename { .. }, Wish::Rename(to)) => {
                let effect = Effect::Reserve { id: to.clone(), instead_of: pending };
                Ok((Plan::Rename { to }, effect))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        text.parse().unwrap()
    }

    fn create(text: &str) -> Wish {
        Wish::Create(id(text))
    }

    fn rename(text: &str) -> Wish {
        Wish::Rename(id(text))
    }

    /// Walks `wishes`; the session in the guest's eyes at the end, and the
    /// effects on the way.
    #[track_caller]
    fn check(begin: Option<&str>, wishes: &[Wish], session: Option<&str>, effects: &[Effect]) {
        let mut association = Association::begin(begin.map(id));
        let mut seen = Vec::new();
        for wish in wishes {
            let (next, effect) = association.after(wish.clone()).unwrap();
            (association, _) = (next, seen.push(effect));
        }
        assert_eq!(association.session(), session.map(id).as_ref(), "{wishes:?}");
        assert_eq!(seen, effects, "{wishes:?}");
    }

    #[track_caller]
    fn check_refused(begin: Option<&str>, wishes: &[Wish], why: Unfit) {
        let (last, first) = wishes.split_last().unwrap();
        let association = first
            .iter()
            .fold(Association::begin(begin.map(id)), |association, wish| association.after(wish.clone()).unwrap().0);
        assert_eq!(association.after(last.clone()), Err(why), "{wishes:?}");
    }

    #[test]
    fn r13_a_job_outside_becomes_the_creator() {
        check(None, &[create("a")], Some("a"), &[Effect::Make { session: id("a") }]);
        check_refused(None, &[create("a"), create("b")], Unfit::InSession);
        check_refused(Some("s"), &[create("b")], Unfit::InSession);
    }

    #[test]
    fn r14_what_a_creator_does_happens_at_once() {
        let make = Effect::Make { session: id("a") };
        let renamed = Effect::RenameNow { from: id("a"), to: id("b") };
        check(None, &[create("a"), rename("b")], Some("b"), &[make.clone(), renamed]);
        check(None, &[create("a"), rename("a")], Some("a"), &[make.clone(), Effect::Nothing]);
        let deleted = Effect::DeleteNow { session: id("a") };
        let again = Effect::Make { session: id("b") };
        check(None, &[create("a"), Wish::Delete, create("b")], Some("b"), &[make, deleted, again]);
    }

    #[test]
    fn r15_a_rename_inside_is_pending_and_the_last_one_counts() {
        let reserve =
            |to: &str, instead_of: Option<&str>| Effect::Reserve { id: id(to), instead_of: instead_of.map(id) };
        check(Some("s"), &[rename("a")], Some("s"), &[reserve("a", None)]);
        check(Some("s"), &[rename("a"), rename("a")], Some("s"), &[reserve("a", None), Effect::Nothing]);
        check(Some("s"), &[rename("a"), rename("b")], Some("s"), &[reserve("a", None), reserve("b", Some("a"))]);
        check(Some("s"), &[rename("a"), rename("s")], Some("s"), &[reserve("a", None), Effect::Free { id: id("a") }]);
        check(Some("s"), &[rename("s")], Some("s"), &[Effect::Nothing]);
    }

    #[test]
    fn r18_a_deletion_inside_waits_for_the_end_and_is_the_last_word() {
        let mark = |instead_of: Option<&str>| Effect::Mark { session: id("s"), instead_of: instead_of.map(id) };
        check(Some("s"), &[Wish::Delete], Some("s"), &[mark(None)]);
        check(Some("s"), &[Wish::Delete, Wish::Delete], Some("s"), &[mark(None), Effect::Nothing]);
        let reserve = Effect::Reserve { id: id("a"), instead_of: None };
        check(Some("s"), &[rename("a"), Wish::Delete], Some("s"), &[reserve, mark(Some("a"))]);
        check_refused(Some("s"), &[Wish::Delete, rename("a")], Unfit::Deleted);
    }

    #[test]
    fn outside_there_is_nothing_to_rename_or_delete() {
        check_refused(None, &[rename("a")], Unfit::NoSession);
        check_refused(None, &[Wish::Delete], Unfit::NoSession);
        check_refused(None, &[create("a"), Wish::Delete, Wish::Delete], Unfit::NoSession);
    }
}
