//! Whoever changes a session or queues in it shows its newest key first, if it
//! was made with `keyed` (R28).
//!
//! Comes in: a session's id, and what the request showed. Goes out: a
//! [`Visit`], with which alone a session can be changed from outside.
//!
//! Promise: the look at the key here spares a wrong request the wait; that the
//! key is still the newest is seen, and the next one put in its place, in the
//! commit that accepts the request. Of two requests with the same key one is
//! accepted.

use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::job::Job;
use crate::model::job::NewJob;
use crate::model::rolling_key::KeyName;
use crate::model::rolling_key::KeyNumber;
use crate::model::rolling_key::RollingKey;
use crate::model::rolling_key::ShownKey;
use crate::model::rolling_key::WrongKey;
use crate::model::session::Session;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::store::Access;

/// A session, and the right to change it once.
#[derive(Clone, Debug)]
pub struct Visit {
    pub session: Session,
    pub(super) access: Access,
}

impl From<WrongKey> for Refusal {
    fn from(_: WrongKey) -> Self {
        Refusal::SessionKey
    }
}

/// Whether a job that has its turn may work in a session: one that demands keys
/// lets nobody in who was accepted without, since it did not take requests then
/// or was not there yet.
pub(super) fn may_enter(job: &NewJob, session: &Session) -> bool {
    session.newest_key.is_none() || job.key_shown.is_some_and(|shown| shown.session == session.key)
}

impl Service {
    /// A session of this owner, for a request that changes it.
    pub async fn visit(&self, owner: &Owner, id: &SessionId, shown: Option<&ShownKey>) -> Result<Visit, Refusal> {
        let session = self.session(owner, id).await?;
        let key = self.shown_right(&session, shown)?;
        let access = Access { session: session.key, key: key.map(|name| name.number) };
        Ok(Visit { session, access })
    }

    /// The same for one who needs no key: an `admin` of the tenant.
    pub async fn visit_as_admin(&self, owner: &Owner, id: &SessionId) -> Result<Visit, Refusal> {
        let session = self.session(owner, id).await?;
        let access = session.key.into();
        Ok(Visit { session, access })
    }

    /// The key that the request carries, if the session demands one.
    pub(super) fn shown_right(&self, session: &Session, shown: Option<&ShownKey>) -> Result<Option<KeyName>, Refusal> {
        Ok(self.inner.key_maker.check(session, shown)?)
    }

    /// The key that goes with the answer to a request that was accepted.
    pub fn next_key(&self, visit: &Visit) -> Option<RollingKey> {
        let Access { session, key } = visit.access;
        Some(self.inner.key_maker.key(KeyName { session, number: key?.next() }))
    }

    /// The key that goes with the answer to a session's creation.
    pub fn first_key(&self, session: &Session) -> Option<RollingKey> {
        let number = session.newest_key.map(|_| KeyNumber::FIRST)?;
        Some(self.inner.key_maker.key(KeyName { session: session.key, number }))
    }

    /// The key that goes with the answer to a job's submission, the same each
    /// time; not with any other answer about the job.
    pub fn key_handed(&self, job: &Job) -> Option<RollingKey> {
        job.key_handed.map(|handed| self.inner.key_maker.key(handed))
    }

    /// Whether a retry may have the answer that the first one had (R2).
    pub(super) fn retry_shown_right(&self, job: &Job, shown: Option<&ShownKey>) -> Result<(), Refusal> {
        let Some(handed) = job.key_handed else { return Ok(()) };
        Ok(self.inner.key_maker.check_retry(handed, shown)?)
    }
}
