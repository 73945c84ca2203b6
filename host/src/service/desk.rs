//! The desk at which a running job asks for changes to sessions.
//!
//! Comes in: a guest's wish, through the engine.
//! Goes out: to [`SessionLife`](crate::model::life::SessionLife), which decides
//! purely; then to the store, the lanes and the [`Names`](super::names::Names) for
//! what has to be done.
//!
//! Promise: what a creator does is durable before the guest is told (R13, R14).
//! What a job inside a session asks for is held here until its end and is gone
//! with the desk, unless the commit takes it along (R15, R16, R18).

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use async_trait::async_trait;

use crate::engine::DeskRefusal;
use crate::engine::SessionDesk;
use crate::engine::SoFar;
use crate::engine::Stand;
use crate::ids::JobId;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::job::JobSeq;
use crate::model::life::Effect;
use crate::model::life::Move;
use crate::model::life::Unfit;
use crate::model::params::ParamMap;
use crate::model::session::QueueMode;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Place;
use crate::service::Service;
use crate::service::live::InLane;
use crate::service::live::LiveJob;
use crate::service::names::Hold;
use crate::service::names::Leaving;
use crate::service::refusal::Chain;
use crate::store::Created;
use crate::store::Draft;
use crate::store::NewSession;
use crate::store::QueuedJob;
use crate::store::Refused;
use crate::store::StoreError;

/// One job's desk.
pub(super) struct Desk {
    service: Service,
    owner: Owner,
    seq: JobSeq,
    /// Knows the session that the job is in, and how that stands.
    live: Arc<LiveJob>,
    job: JobId,
    /// Whether nothing that the job does is to be kept.
    dry_run: bool,
    held: Mutex<Held>,
    /// What the guest works in; not here while a call about its transaction is
    /// under way, and lost if the guest is stopped in the middle of one.
    draft: Mutex<Option<Draft>>,
}

/// What the job holds for what it did to its session, or plans.
#[derive(Default)]
struct Held {
    /// The id of the session that an earlier attempt made, until this one makes it.
    made_before: Option<SessionId>,
    /// A creator's place at the head of its session's lane.
    head: Option<Head>,
    /// The place on which those wait who named the pending session.
    pending: Option<Pending>,
    leaving: Option<Leaving>,
}

/// Dropped, the lane goes on; the note that the job has its turn goes first.
struct Head {
    _in_lane: InLane,
    place: Place,
}

/// Dropped, the id is free before the lane goes on, so that those who wait find
/// the session under it or none.
struct Pending {
    _hold: Hold,
    _place: Place,
}

impl Desk {
    pub(super) fn new(service: &Service, queued: &QueuedJob, live: &Arc<LiveJob>) -> Self {
        Self {
            service: service.clone(),
            owner: queued.job.owner.clone(),
            seq: queued.seq,
            live: Arc::clone(live),
            job: queued.job.id.clone(),
            dry_run: queued.job.dry_run,
            held: Mutex::new(Held { made_before: queued.created.clone(), ..Held::default() }),
            draft: Mutex::default(),
        }
    }

    /// Lends what the guest works in, while it runs.
    pub(super) fn lend(&self, draft: Draft) {
        *self.draft() = Some(draft);
    }

    /// Takes it back when the guest is gone.
    pub(super) fn take_back(&self) -> Option<Draft> {
        self.draft().take()
    }

    /// Leaves its place at the head of its session's lane to the next attempt.
    pub(super) fn leave_head(&self) -> Option<Place> {
        self.held().head.take().map(|head| head.place)
    }

    /// Decides about a wish, does what it takes, and says where the job is then.
    /// A guest has one call under way at most, so no other wish is decided on
    /// meanwhile. But its session may be dropped: so the move is made after the
    /// work, and refused then.
    async fn grant(&self, wish: Move) -> Result<Option<SessionId>, DeskRefusal> {
        let (_, effect) = self.live.life().after(&wish)?;
        let mut session = self.live.session();
        match effect {
            Effect::Make { id } => session = Some(self.make(id).await?),
            Effect::RenameNow { to } => self.rename_now(to).await?,
            Effect::DeleteNow => session = self.delete_now().await?,
            Effect::Reserve { id } => self.reserve(id).await?,
            Effect::Free => self.held().pending = None,
            Effect::Mark => self.mark(),
            Effect::Nothing => {}
            // What only the end of a job takes, or somebody outside.
            Effect::Unmark
            | Effect::Keep
            | Effect::KeepUnder { .. }
            | Effect::Adopt
            | Effect::Remove
            | Effect::Stop => return Err(DeskRefusal::Failed),
        }
        Ok(self.live.move_on(&wish, session)?.id().cloned())
    }

    async fn make(&self, id: SessionId) -> Result<SessionKey, DeskRefusal> {
        let lane = self.lane(id);
        let hold = self.hold(&lane, None)?;
        let new = NewSession {
            id: lane.session.clone(),
            owner: self.owner.clone(),
            queue: QueueMode::Wait,
            limits: SessionLimits::most(&self.service.quota_of(&self.owner.tenant)),
            terms: Terms::default(),
            params: ParamMap::new(),
            // A run that is not on record is never made again, so it needs no remembering.
            creator: Some(self.seq).filter(|seq| seq.0 > 0),
            keyed: false,
            transaction: TransactionMode::default(),
            retention: Retention::default(),
            from: None,
            now: self.service.now(),
        };
        // First the place, then the session: whoever sees the session comes after.
        let head = self.head_of(lane);
        self.bring_back(new.id.clone()).await?;
        let session = match self.service.inner.store.create_session(new).await.map_err(refusal)? {
            Created::New(session) | Created::Again(session) => session,
            Created::Exists => return Err(DeskRefusal::Exists),
        };
        drop(hold);
        self.held().head = Some(head);
        Ok(session.key)
    }

    /// Gives the session that an earlier attempt made, and then renamed, the id under
    /// which it was made, so that it is found there and no second one is made (R25).
    /// Its lane is ours since the start of the server, so it is as that attempt left it.
    async fn bring_back(&self, id: SessionId) -> Result<(), DeskRefusal> {
        let Some(left) = self.held().made_before.take().filter(|left| *left != id) else { return Ok(()) };
        let store = &self.service.inner.store;
        match store.session(&self.owner, &left).await.map_err(refusal)? {
            Some(session) => store.rename_session(session.key, id).await.map_err(refusal),
            // Somebody has dropped it.
            None => Ok(()),
        }
    }

    async fn rename_now(&self, to: SessionId) -> Result<(), DeskRefusal> {
        let session = self.live.session().ok_or(DeskRefusal::NoSession)?;
        let lane = self.lane(to);
        let hold = self.hold(&lane, Some(session))?;
        let head = self.head_of(lane.clone());
        self.service.inner.store.rename_session(session, lane.session).await.map_err(refusal)?;
        drop(hold);
        // Those who waited under the old id are released (R17).
        self.held().head = Some(head);
        Ok(())
    }

    /// Leaves the job in no session.
    async fn delete_now(&self) -> Result<Option<SessionKey>, DeskRefusal> {
        let session = self.live.session().ok_or(DeskRefusal::NoSession)?;
        self.service.inner.store.remove_session(session).await.map_err(refusal)?;
        self.held().head = None;
        Ok(None)
    }

    async fn reserve(&self, id: SessionId) -> Result<(), DeskRefusal> {
        let lane = self.lane(id);
        let hold = self.hold(&lane, self.live.session())?;
        let place = self.service.inner.lanes.join_front(lane.clone());
        // The id is held, so nobody can make such a session after this look.
        let store = &self.service.inner.store;
        if store.is_named(&lane.owner, &lane.session).await.map_err(refusal)? {
            return Err(DeskRefusal::Exists);
        }
        self.held().pending = Some(Pending { _hold: hold, _place: place });
        Ok(())
    }

    fn mark(&self) {
        let mut held = self.held();
        held.pending = None;
        held.leaving = self.live.session().map(|session| self.service.inner.names.leave(session));
    }

    fn head_of(&self, lane: LaneKey) -> Head {
        let place = self.service.inner.lanes.join_front(lane.clone());
        Head { _in_lane: self.service.inner.live.take_lane(lane, &self.live), place }
    }

    fn hold(&self, lane: &LaneKey, session: Option<SessionKey>) -> Result<Hold, DeskRefusal> {
        self.service.inner.names.hold(lane.clone(), session).ok_or(DeskRefusal::Exists)
    }

    fn lane(&self, session: SessionId) -> LaneKey {
        LaneKey { owner: self.owner.clone(), session }
    }

    /// Refuses what would outlast a dry run at once (R26a).
    fn must_keep(&self, what: &str) -> Result<(), DeskRefusal> {
        if self.dry_run {
            return Err(DeskRefusal::Invalid(format!("nothing of a dry run is kept, so it cannot {what}")));
        }
        Ok(())
    }

    /// Lets `work` have the draft, and gives back how it stands then.
    async fn with_draft<W>(&self, what: &str, work: W) -> Result<Stand, DeskRefusal>
    where
        W: AsyncFnOnce(&mut Draft) -> Result<(), StoreError>,
    {
        self.must_keep(what)?;
        let mut draft = self.take_back().ok_or(DeskRefusal::Failed)?;
        let done = work(&mut draft).await;
        let stand = Stand { params: Arc::clone(draft.params()), held: draft.usage() };
        self.lend(draft);
        done.map(|()| stand).map_err(refusal)
    }

    fn draft(&self) -> MutexGuard<'_, Option<Draft>> {
        // Nothing here panics while it holds the lock, and no await lies in between.
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing here panics while it holds the lock, and no await lies in between.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionDesk for Desk {
    async fn create(&self, id: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal> {
        self.must_keep("make a session")?;
        // Who saw the id that the server chose for an earlier attempt finds the session under it.
        let id = id.or_else(|| self.held().made_before.clone()).unwrap_or_else(SessionId::random);
        self.grant(Move::Create(id)).await
    }

    async fn rename(&self, to: SessionId) -> Result<Option<SessionId>, DeskRefusal> {
        self.grant(Move::Rename(to)).await
    }

    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal> {
        self.grant(Move::Delete).await
    }

    async fn commit(&self, so_far: SoFar) -> Result<Stand, DeskRefusal> {
        let (job, now) = (self.job.clone(), self.service.now());
        self.with_draft("commit", async |draft| draft.commit_so_far(job, so_far.touched, so_far.params, now).await)
            .await
    }

    async fn roll_back(&self, so_far: SoFar) -> Result<Stand, DeskRefusal> {
        let now = self.service.now();
        self.with_draft("roll back", async |draft| draft.roll_back_so_far(so_far.touched, now).await).await
    }
}

impl From<Unfit> for DeskRefusal {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoSession => DeskRefusal::NoSession,
            Unfit::InSession => DeskRefusal::Exists,
            Unfit::Deleted | Unfit::Dropped => DeskRefusal::NotFound,
            // Only those outside are told so.
            Unfit::AtWork => DeskRefusal::Failed,
        }
    }
}

fn refusal(error: StoreError) -> DeskRefusal {
    match error {
        StoreError::Refused(Refused::SessionExists(_)) => DeskRefusal::Exists,
        // It was dropped from outside, and the job is being stopped.
        StoreError::Refused(Refused::SessionGone) => DeskRefusal::NotFound,
        // A creator's directory becomes the session's at its end, as one transaction.
        StoreError::Refused(Refused::NoSession) => DeskRefusal::Invalid(Refused::NotExplicit.to_string()),
        StoreError::Refused(
            full @ (Refused::SessionBytes { .. } | Refused::SessionFiles { .. } | Refused::OverQuota(_)),
        ) => DeskRefusal::Quota(full.to_string()),
        StoreError::Refused(refused) => DeskRefusal::Invalid(refused.to_string()),
        StoreError::Busy => DeskRefusal::Quota("the server has too much to write; try again".to_owned()),
        error => {
            tracing::error!(error = %Chain(&error), "a job's session could not be changed");
            DeskRefusal::Failed
        }
    }
}
