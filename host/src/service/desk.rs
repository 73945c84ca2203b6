//! The desk at which a running job asks for changes to sessions.
//!
//! Comes in: a guest's wish, through the engine.
//! Goes out: to [`Association`], which decides purely; then to the store, the
//! lanes and the [`Names`](super::names::Names) for what has to be done.
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
use crate::model::association::Association;
use crate::model::association::Effect;
use crate::model::association::Plan;
use crate::model::association::Unfit;
use crate::model::association::Wish;
use crate::model::caller::Owner;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::job::JobSeq;
use crate::model::params::ParamMap;
use crate::model::session::QueueMode;
use crate::model::session::Session;
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
    live: Arc<LiveJob>,
    /// The session that the job began in.
    began_in: Option<SessionKey>,
    job: JobId,
    /// Whether nothing that the job does is to be kept.
    dry_run: bool,
    standing: Mutex<Standing>,
    /// What the guest works in; not here while a call about its transaction is
    /// under way, and lost if the guest is stopped in the middle of one.
    draft: Mutex<Option<Draft>>,
}

/// How the job stands now, and what it holds for that.
#[derive(Default)]
struct Standing {
    association: Association,
    /// A creator's session.
    created: Option<SessionKey>,
    /// A creator's place at the head of its session's lane.
    head: Option<Head>,
    /// The place on which those wait who named the pending session.
    pending: Option<Pending>,
    leaving: Option<Leaving>,
}

/// Dropped, the lane goes on; the note that the job has its turn goes first.
struct Head {
    _in_lane: InLane,
    _place: Place,
}

/// Dropped, the id is free before the lane goes on, so that those who wait find
/// the session under it or none.
struct Pending {
    _hold: Hold,
    _place: Place,
}

/// What the end of a job has to see to.
pub(super) enum Ends {
    /// The session, if there is one, stays what it is.
    AsItBegan,
    /// The session takes the id under which it is pending.
    Renamed { to: SessionId },
    /// The session goes.
    Deleted,
    /// The job's directory becomes that of the session which it created.
    Created { session: SessionKey },
}

impl Desk {
    pub(super) fn new(service: &Service, queued: &QueuedJob, live: &Arc<LiveJob>, session: Option<&Session>) -> Self {
        let association = Association::begin(session.map(|session| session.id.clone()));
        Self {
            service: service.clone(),
            owner: queued.job.owner.clone(),
            seq: queued.seq,
            live: Arc::clone(live),
            began_in: session.map(|session| session.key),
            job: queued.job.id.clone(),
            dry_run: queued.job.dry_run,
            draft: Mutex::default(),
            standing: Mutex::new(Standing { association, ..Standing::default() }),
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

    /// What a good end of the job has to see to.
    pub(super) fn ends(&self) -> Ends {
        let standing = self.standing();
        match (&standing.association, standing.created) {
            (Association::Creator { .. }, Some(session)) => Ends::Created { session },
            (Association::Inside { plan: Plan::Rename { to }, .. }, _) => Ends::Renamed { to: to.clone() },
            (Association::Inside { plan: Plan::Delete, .. }, _) => Ends::Deleted,
            (Association::Outside | Association::Creator { .. }, _)
            | (Association::Inside { plan: Plan::Stay, .. }, _) => Ends::AsItBegan,
        }
    }

    /// The session that the job created and did not delete.
    pub(super) fn created(&self) -> Option<SessionKey> {
        self.standing().created
    }

    /// Decides about a wish, does what it takes, and says where the job is then.
    /// A guest has one call under way at most, so nobody else decides meanwhile.
    async fn grant(&self, wish: Wish) -> Result<Option<SessionId>, DeskRefusal> {
        let (next, effect) = self.standing().association.after(wish)?;
        match effect {
            Effect::Nothing => {}
            Effect::Make { session } => self.make(session).await?,
            Effect::RenameNow { to, .. } => self.rename_now(to).await?,
            Effect::DeleteNow { .. } => self.delete_now().await?,
            Effect::Reserve { id, .. } => {
                let pending = self.reserve(id).await?;
                self.standing().pending = Some(pending);
            }
            Effect::Free { .. } => self.standing().pending = None,
            Effect::Mark { .. } => self.mark(),
        }
        let mut standing = self.standing();
        standing.association = next;
        Ok(standing.association.session().cloned())
    }

    async fn make(&self, id: SessionId) -> Result<(), DeskRefusal> {
        let lane = self.lane(id);
        let hold = self.hold(&lane, None)?;
        let new = NewSession {
            id: lane.session.clone(),
            owner: self.owner.clone(),
            queue: QueueMode::Wait,
            limits: SessionLimits::default(),
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
        let session = match self.service.inner.store.create_session(new).await.map_err(refusal)? {
            Created::New(session) | Created::Again(session) => session,
            Created::Exists => return Err(DeskRefusal::Exists),
        };
        drop(hold);
        self.live.enter(Some(session.key));
        let mut standing = self.standing();
        (standing.created, standing.head) = (Some(session.key), Some(head));
        Ok(())
    }

    async fn rename_now(&self, to: SessionId) -> Result<(), DeskRefusal> {
        let session = self.created().ok_or(DeskRefusal::NoSession)?;
        let lane = self.lane(to);
        let hold = self.hold(&lane, Some(session))?;
        let head = self.head_of(lane.clone());
        self.service.inner.store.rename_session(session, lane.session).await.map_err(refusal)?;
        drop(hold);
        // Those who waited under the old id are released (R17).
        self.standing().head = Some(head);
        Ok(())
    }

    async fn delete_now(&self) -> Result<(), DeskRefusal> {
        let session = self.created().ok_or(DeskRefusal::NoSession)?;
        self.service.inner.store.remove_session(session).await.map_err(refusal)?;
        self.live.enter(None);
        let mut standing = self.standing();
        (standing.created, standing.head) = (None, None);
        Ok(())
    }

    async fn reserve(&self, id: SessionId) -> Result<Pending, DeskRefusal> {
        let lane = self.lane(id);
        let hold = self.hold(&lane, self.began_in)?;
        let place = self.service.inner.lanes.join_front(lane.clone());
        // The id is held, so nobody can make such a session after this look.
        let store = &self.service.inner.store;
        if store.is_named(&lane.owner, &lane.session).await.map_err(refusal)? {
            return Err(DeskRefusal::Exists);
        }
        Ok(Pending { _hold: hold, _place: place })
    }

    fn mark(&self) {
        let mut standing = self.standing();
        standing.pending = None;
        standing.leaving = self.began_in.map(|session| self.service.inner.names.leave(session));
    }

    fn head_of(&self, lane: LaneKey) -> Head {
        let place = self.service.inner.lanes.join_front(lane.clone());
        Head { _in_lane: self.service.inner.live.take_lane(lane, &self.live), _place: place }
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

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing here panics while it holds the lock, and no await lies in between.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionDesk for Desk {
    async fn create(&self, id: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal> {
        self.must_keep("make a session")?;
        self.grant(Wish::Create(id.unwrap_or_else(SessionId::random))).await
    }

    async fn rename(&self, to: SessionId) -> Result<Option<SessionId>, DeskRefusal> {
        self.grant(Wish::Rename(to)).await
    }

    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal> {
        self.grant(Wish::Delete).await
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
            Unfit::Deleted => DeskRefusal::NotFound,
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
        StoreError::Refused(full @ (Refused::SessionBytes { .. } | Refused::SessionFiles { .. })) => {
            DeskRefusal::Quota(full.to_string())
        }
        StoreError::Refused(refused) => DeskRefusal::Invalid(refused.to_string()),
        StoreError::Busy => DeskRefusal::Quota("the server has too much to write; try again".to_owned()),
        error => {
            tracing::error!(error = %Chain(&error), "a job's session could not be changed");
            DeskRefusal::Failed
        }
    }
}
