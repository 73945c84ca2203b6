//! Sessions as a caller sees them: make, look, rename, drop.
//!
//! Promise: a write over HTTP has the turn of the session's lane, like a job
//! (R10); a read takes no turn and sees the last commit.

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::expiry::Life;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::life::Effect;
use crate::model::life::Move;
use crate::model::life::SessionLife;
use crate::model::params::ParamMap;
use crate::model::quota::Measure;
use crate::model::session::ListedState;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::session::SessionState;
use crate::queue::lanes::LaneKey;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::service::session_keys::Visit;
use crate::store::Created;
use crate::store::NewSession;
use crate::store::Origin;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::SessionChanges;
use crate::store::SessionFilter;
use crate::store::StoreError;

/// What a client asks for, checked by itself.
#[derive(Clone, Debug)]
pub struct SessionOrder {
    /// `None` lets the server choose.
    pub id: Option<SessionId>,
    pub queue: QueueMode,
    /// As much as the server allows, or as the session that it is a fork of may hold.
    pub limits: NewLimits,
    pub terms: Terms,
    pub params: ParamMap,
    /// Whether it demands session keys (R28).
    pub keyed: bool,
    pub transaction: TransactionMode,
    pub retention: Retention,
    /// What it is a fork of.
    pub from: Option<ForkOrder>,
}

/// Limits that a request names; what it does not name is left to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewLimits {
    pub bytes: Option<u64>,
    pub files: Option<u64>,
}

/// Which session is to be forked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkOrder {
    pub session: SessionId,
    /// The last one without a number.
    pub commit: Option<u64>,
}

/// What goes on in a session now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Requests that wait: for its turn, or with it for a slot.
    pub queued: usize,
    /// The job that has the turn.
    pub running_job: Option<crate::ids::JobId>,
    /// When the session expires if nobody uses it any more; while somebody is
    /// at work in it, if they stopped just now.
    pub expires_at: Option<Timestamp>,
}

/// How far a drop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The session is gone.
    Gone,
    /// A job in it is being stopped; the session is unusable already.
    Stopping,
}

#[cfg(test)]
impl SessionOrder {
    /// One that asks for nothing but its id.
    pub(super) fn plain(id: &str) -> Self {
        Self {
            id: Some(id.parse().expect("a test names a session well")),
            queue: QueueMode::Wait,
            limits: NewLimits::default(),
            terms: Terms::default(),
            params: ParamMap::new(),
            keyed: false,
            transaction: TransactionMode::Job,
            retention: Retention::default(),
            from: None,
        }
    }
}

impl Service {
    /// Makes a session.
    pub async fn create_session(&self, owner: &Owner, order: SessionOrder) -> Result<Session, Refusal> {
        let id = order.id.unwrap_or_else(SessionId::random);
        let (from, most) = match order.from {
            Some(from) => {
                let source = self.session(owner, &from.session).await?;
                (Some(Origin { session: source.key, commit: from.commit }), source.limits)
            }
            None => (None, SessionLimits::default()),
        };
        let quota = self.quota_of(&owner.tenant);
        let limits = SessionLimits {
            bytes: quota.bound(Measure::SessionBytes, "limits.bytes", order.limits.bytes, most.bytes)?,
            files: quota.bound(Measure::SessionFiles, "limits.files", order.limits.files, most.files)?,
        };
        let new = NewSession {
            id: id.clone(),
            owner: owner.clone(),
            queue: order.queue,
            limits,
            terms: order.terms,
            params: order.params,
            creator: None,
            keyed: order.keyed,
            transaction: order.transaction,
            retention: order.retention,
            from,
            now: self.now(),
        };
        let taken = || Refusal::Conflict(format!("you have a session with the id `{id}` already; choose another id"));
        // Held until the session is there, so that no running job is given the id too.
        let lane = LaneKey { owner: owner.clone(), session: id.clone() };
        let _hold = self.inner.names.hold(lane, None).ok_or_else(taken)?;
        match self.inner.store.create_session(new).await? {
            Created::New(session) | Created::Again(session) => Ok(session),
            Created::Exists => Err(taken()),
        }
    }

    /// What stands behind an id: the owner's session, or the pending one that
    /// will be there when the job that renames it ends well (R15). One that a job
    /// is about to delete takes no new request (R18).
    pub(super) async fn named(&self, owner: &Owner, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let names = &self.inner.names;
        if let Some(session) = self.inner.store.session(owner, id).await? {
            return Ok(Some(session).filter(|session| !names.is_leaving(session.key)));
        }
        let pending = names.pending(&LaneKey { owner: owner.clone(), session: id.clone() });
        let Some(pending) = pending else { return Ok(None) };
        let session = self.inner.store.session_by_key(pending).await?;
        // Dropped from outside, it is unusable at once under this id too (R19).
        let session = session.filter(|session| session.state.takes_requests());
        Ok(session.map(|session| Session { id: id.clone(), state: SessionState::Pending, ..session }))
    }

    /// Gives a session another id, in its turn (R17): those who wait under the old
    /// one are released.
    async fn rename_session(&self, visit: &Visit, to: SessionId) -> Result<(), Refusal> {
        let (session, access) = (&visit.session, visit.access);
        // What holds of the session now holds when it has the turn, or it is refused there.
        let renamed = SessionLife::on_record(session).after(&Move::RenameIdle(to.clone()));
        renamed.map_err(|_| Refusal::NoSession(session.id.clone()))?;
        let lane = LaneKey { owner: session.owner.clone(), session: to };
        let taken = format!("you have a session with the id `{}` already; choose another id", lane.session);
        let (names, lanes) = (self.inner.names.clone(), self.inner.lanes.clone());
        self.write(session, move |service: &Service| {
            let hold = names.hold(lane.clone(), Some(access.session));
            // Whoever waits under the new id starts when the session is there.
            let place = lanes.join_front(lane.clone());
            let renamed = hold.is_some().then(|| service.inner.store.rename_session(access, lane.session));
            async move {
                let done = match renamed {
                    Some(renamed) => renamed.await.map_err(Refusal::from),
                    None => Err(Refusal::Conflict(taken)),
                };
                drop(hold);
                drop(place);
                done
            }
        })
        .await
    }

    /// A session of this owner; another's does not exist here (R27).
    pub async fn session(&self, owner: &Owner, id: &SessionId) -> Result<Session, Refusal> {
        let session = self.named(owner, id).await?;
        session.ok_or_else(|| Refusal::NoSession(id.clone()))
    }

    /// The sessions of one owner, or those of them in one state.
    pub async fn sessions(
        &self,
        owner: &Owner,
        state: Option<ListedState>,
        page: PageOf,
    ) -> Result<Page<Session>, Refusal> {
        if state == Some(ListedState::Pending) {
            return self.pending_sessions(owner, &page).await;
        }
        let filter = SessionFilter { owner: Some(owner.principal.clone()), state };
        if state == Some(ListedState::Marked) {
            let on_record = self.inner.store.sessions(&owner.tenant, filter, page.clone()).await?;
            return self.with_leaving(owner, on_record, &page).await;
        }
        let mut page = self.inner.store.sessions(&owner.tenant, filter, page).await?;
        // What a job is about to delete takes no request any more (R18); only we know.
        for session in page.items.iter_mut().filter(|session| self.inner.names.is_leaving(session.key)) {
            session.state = SessionState::Marked;
        }
        page.items.retain(|session| state != Some(ListedState::Active) || session.state == SessionState::Active);
        Ok(page)
    }

    /// A page of marked sessions, with those among them that a job is about to delete.
    async fn with_leaving(
        &self,
        owner: &Owner,
        on_record: Page<Session>,
        page: &PageOf,
    ) -> Result<Page<Session>, Refusal> {
        let after = page.after().map_err(StoreError::from)?;
        let mut leaving = Vec::new();
        for key in self.inner.names.all_leaving() {
            let session = self.inner.store.session_by_key(key).await?;
            let session = session.filter(|session| session.owner == *owner && session.state.takes_requests());
            leaving.extend(session.map(|session| Session { state: SessionState::Marked, ..session }));
        }
        leaving.retain(|session| after.as_ref().is_none_or(|after| session.place_in_list() > *after));
        if leaving.is_empty() {
            return Ok(on_record);
        }
        let mut all = on_record.items;
        all.append(&mut leaving);
        all.sort_by_key(Session::place_in_list);
        // If more are on record there are more than fit now, so none is lost here.
        Ok(page.fill(all, Session::place_in_list))
    }

    /// A pending session is on record under the id that it still has, and its new
    /// one is known here alone (R15).
    async fn pending_sessions(&self, owner: &Owner, page: &PageOf) -> Result<Page<Session>, Refusal> {
        let after = page.after().map_err(StoreError::from)?.unwrap_or_default();
        let mut found = Vec::new();
        for (id, key) in self.inner.names.pending_of(owner) {
            if id.as_str() <= after.as_str() {
                continue;
            }
            if let Some(session) = self.inner.store.session_by_key(key).await? {
                found.push(Session { id, state: SessionState::Pending, ..session });
            }
        }
        Ok(page.fill(found, |session| session.id.to_string()))
    }

    /// What goes on in a session now.
    pub fn activity(&self, session: &Session) -> Activity {
        let lane = lane_of(session);
        let length = self.inner.lanes.length(&lane);
        let life = session.life();
        let life = if length.busy { Life { last_used_at: self.now(), ..life } } else { life };
        let running = self.inner.live.running_in(&lane, session.key);
        // One that has its turn, and waits for a slot.
        let next = usize::from(running.is_none() && self.inner.live.waits_at_head(&lane));
        Activity {
            queued: length.waiting + next,
            running_job: running.map(|job| job.key.id.clone()),
            expires_at: session.terms.expires_at(life),
        }
    }

    /// Gives a session another id, if one is given, and changes how long it lives
    /// and how it queues; jobs that run or wait go on. It counts as a use of the
    /// session.
    pub async fn change_session(
        &self,
        visit: &Visit,
        new_id: Option<SessionId>,
        changes: SessionChanges,
    ) -> Result<Session, Refusal> {
        must_not_be_pending(&visit.session)?;
        let mut access = visit.access;
        if let Some(new_id) = new_id.filter(|id| *id != visit.session.id) {
            self.rename_session(visit, new_id).await?;
            // The rename has used up the key, and the rest belongs to the same request.
            access = visit.session.key.into();
        }
        Ok(self.inner.store.change_session(access, changes, self.now()).await?)
    }

    /// Drops a session (R19): at once if no job has its turn, else when that
    /// job, which is cancelled, has stopped. Those who wait in its lane run
    /// without a session (R17).
    pub async fn drop_session(&self, visit: &Visit) -> Result<Dropped, Refusal> {
        self.drop_because(visit, "its session was dropped").await
    }

    /// The same, with what the job that is cancelled is told.
    pub(super) async fn drop_because(&self, visit: &Visit, why: &'static str) -> Result<Dropped, Refusal> {
        let session = &visit.session;
        must_not_be_pending(session)?;
        // First the mark, then the look at who runs: a job looks the session up
        // after it was listed, so it is found here, or finds the mark.
        if !self.inner.store.mark_session(visit.access).await? {
            return Err(Refusal::NoSession(session.id.clone()));
        }
        let running = self.inner.live.running_in(&lane_of(session), session.key);
        let effect = match &running {
            Some(job) => job.lose_session(),
            None => SessionLife::on_record(session).after(&Move::DropIdle).map(|(_, effect)| effect),
        };
        let effect = effect.map_err(|_| Refusal::NoSession(session.id.clone()))?;
        tracing::info!(session = %session.id, tenant = %session.owner.tenant, ?effect, why, "a session goes");
        let Some(job) = running else {
            self.inner.store.remove_session(session.key).await?;
            return Ok(Dropped::Gone);
        };
        // The walk of that job removes the session when it gives the turn back.
        job.cancel(why);
        Ok(Dropped::Stopping)
    }

    /// Removes a session that was dropped while a job ran in it; called by that
    /// job. What else its end takes was in its commit, or is nothing.
    pub(super) async fn remove_if_marked(&self, key: SessionKey) -> Result<(), StoreError> {
        let Some(session) = self.inner.store.session_by_key(key).await? else { return Ok(()) };
        if matches!(SessionLife::on_record(&session).after(&Move::EndBadly), Ok((_, Effect::Remove))) {
            self.inner.store.remove_session(key).await?;
        }
        Ok(())
    }

    /// Takes the turn of the session's lane and commits under it. A client that
    /// goes away while it waits leaves the line; once it has the turn, the
    /// write is made whether or not the client is still there.
    pub(super) async fn write<T, W, E>(
        &self,
        session: &Session,
        commit: impl FnOnce(&Service) -> W + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, E>> + Send,
        Refusal: From<E>,
    {
        let place = self.admit(&session.owner, None, Some(&session.id), Some(session), None)?;
        let turn = match place {
            // Once the server stops, jobs leave the line that stay queued for its next start. Who
            // came after them must not pass them (R7, R10).
            Some(place) => tokio::select! {
                biased;
                () = self.inner.draining.cancelled() => return Err(Refusal::Unavailable(STOPPING)),
                turn = place.turn() => Some(turn),
            },
            None => None,
        };
        let (service, session) = (self.clone(), session.clone());
        let written = self.start_task(async move {
            // It may have been dropped or renamed away while this waited (R17).
            let found = service.inner.store.session_by_key(session.key).await?;
            if !found.is_some_and(|found| found.state.takes_requests() && found.id == session.id) {
                return Err(Refusal::NoSession(session.id));
            }
            let written = commit(&service).await?;
            drop(turn);
            Ok(written)
        });
        written.await.map_err(|_| Refusal::Internal)?
    }
}

const STOPPING: &str = "the server stopped before the turn of this request came; nothing was changed";

/// What is decided about a session is decided under the id that it has.
fn must_not_be_pending(session: &Session) -> Result<(), Refusal> {
    if session.state != SessionState::Pending {
        return Ok(());
    }
    let sentence =
        format!("`{}` is pending: a job is renaming its session; wait for its end, or cancel it", session.id);
    Err(Refusal::Conflict(sentence))
}

pub(super) fn lane_of(session: &Session) -> LaneKey {
    LaneKey { owner: session.owner.clone(), session: session.id.clone() }
}
