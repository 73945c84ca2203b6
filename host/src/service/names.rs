//! Ids in flux: which session ids are about to belong to somebody, and which
//! sessions are about to go.
//!
//! Promise: whoever wants to give a session an id holds it here first, so no two
//! can be given the same one; and what is held here by a job is free again when
//! that job lets go, however it ends. Nothing here outlives the server: after a
//! crash a pending rename has not happened (R16).

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::session::SessionKey;
use crate::queue::lanes::LaneKey;

/// All ids in flux. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Names {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// The session that is to have the id; `None` while one is being made.
    ids: HashMap<LaneKey, Option<SessionKey>>,
    /// Sessions that take no new request, because a job deletes them (R18).
    leaving: HashSet<SessionKey>,
}

/// An id that nobody else can take meanwhile. Free again when dropped.
pub(super) struct Hold {
    names: Names,
    id: LaneKey,
}

/// A session that takes no new request. Takes them again when dropped.
pub(super) struct Leaving {
    names: Names,
    session: SessionKey,
}

impl Names {
    /// Holds an id, unless somebody does.
    pub(super) fn hold(&self, id: LaneKey, session: Option<SessionKey>) -> Option<Hold> {
        let mut held = self.lock();
        if held.ids.contains_key(&id) {
            return None;
        }
        held.ids.insert(id.clone(), session);
        Some(Hold { names: self.clone(), id })
    }

    /// The session that is pending under an id (R15).
    pub(super) fn pending(&self, id: &LaneKey) -> Option<SessionKey> {
        self.lock().ids.get(id).copied().flatten()
    }

    /// Every id of an owner under which a session is pending, in order; no more
    /// than jobs run.
    pub(super) fn pending_of(&self, owner: &Owner) -> Vec<(SessionId, SessionKey)> {
        let held = self.lock();
        let of_owner = held.ids.iter().filter(|(id, _)| id.owner == *owner);
        let mut pending: Vec<_> = of_owner.filter_map(|(id, key)| Some((id.session.clone(), (*key)?))).collect();
        pending.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        pending
    }

    /// Lets no new request into a session.
    pub(super) fn leave(&self, session: SessionKey) -> Leaving {
        self.lock().leaving.insert(session);
        Leaving { names: self.clone(), session }
    }

    /// The sessions that jobs are about to delete; no more than jobs run.
    pub(super) fn all_leaving(&self) -> Vec<SessionKey> {
        self.lock().leaving.iter().copied().collect()
    }

    /// Whether a job is about to delete the session.
    pub(super) fn is_leaving(&self, session: SessionKey) -> bool {
        self.lock().leaving.contains(&session)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing here panics while it holds the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.names.lock().ids.remove(&self.id);
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.names.lock().leaving.remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(session: &str) -> LaneKey {
        let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
        LaneKey { owner, session: session.parse().unwrap() }
    }

    #[test]
    fn an_id_is_held_once_and_free_again() {
        let names = Names::default();
        let hold = names.hold(id("a"), Some(SessionKey(1)));
        assert!(hold.is_some() && names.hold(id("a"), None).is_none());
        assert_eq!(names.pending(&id("a")), Some(SessionKey(1)));
        drop(hold);
        assert_eq!(names.pending(&id("a")), None);
        assert!(names.hold(id("a"), None).is_some());
    }

    #[test]
    fn r18_a_session_takes_requests_again_when_its_deletion_is_off() {
        let names = Names::default();
        let leaving = names.leave(SessionKey(1));
        assert!(names.is_leaving(SessionKey(1)));
        drop(leaving);
        assert!(!names.is_leaving(SessionKey(1)));
    }
}
