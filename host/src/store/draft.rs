//! Drafts: a job's uncommitted work.
//!
//! Comes in: a job that has its turn and its slot.
//! Goes out: one transaction with everything the job did, or nothing.
//!
//! Promise: dropping a draft rolls back. Files, parameters, the session's
//! version, the job's outcome, its result and its output become true at one
//! point, the commit of one unit of the writer; a crash before it leaves none of
//! them, a crash after it all.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rusqlite::Connection;

use crate::ids::SessionId;
use crate::limits::LIGHT_BYTES_MAX;
use crate::limits::LIGHT_FILES_MAX;
use crate::model::history::Change;
use crate::model::history::ChangeList;
use crate::model::history::ParamChange;
use crate::model::job::JobSeq;
use crate::model::params::ParamChanges;
use crate::model::params::ParamMap;
use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::model::touched::Extent;
use crate::model::touched::Places;
use crate::model::touched::Touched;
use crate::root::Root;
use crate::store::Shared;
use crate::store::Store;
use crate::store::block;
use crate::store::brief;
use crate::store::changes;
use crate::store::changes::Changes;
use crate::store::commit_point::End;
use crate::store::commit_point::enqueue;
use crate::store::commit_point::put_back;
use crate::store::copies::Copy;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::job_ends;
use crate::store::jobs::Ending;
use crate::store::mend;
use crate::store::nodes;
use crate::store::nodes::View;
use crate::store::params;
use crate::store::place::WorkDir;
use crate::store::readers::Looks;
use crate::store::scratch;
use crate::store::sessions;
use crate::store::tip;
use crate::store::tip::Tip;
use crate::store::tree;

/// Why a job's work was not kept.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it is on record, and the job has not ended: end it.
    #[error("the session was dropped before the job's work could be kept")]
    SessionGone,
    /// Nothing of it is on record, and the job has not ended; only after
    /// [`StoreError::Poisoned`] nobody knows before the next start.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(Refused::SessionGone) => CommitError::SessionGone,
            error => CommitError::Store(error),
        }
    }
}

/// What becomes of a session's id when a job of it commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Stays,
    /// The pending session takes its place (R15).
    Renamed { to: SessionId },
}

/// A job's uncommitted work. Dropping it rolls back.
pub struct Draft {
    pub(super) store: Store,
    pub(super) params: Arc<ParamMap>,
    /// The job's whole file system.
    pub(super) root: Arc<Root>,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// Outside a session: a directory that is thrown away in any case.
    Scratch(WorkDir),
    Session(Box<Lease>),
}

/// A session's working copy on loan. Dropped, the copy is thrown away.
pub(super) struct Lease {
    pub(super) session: Session,
    pub(super) tip: Tip,
    pub(super) copy: Copy,
    has_links: bool,
    /// What more its tenant may store, for the guest that is about to begin.
    room: u64,
}

impl Store {
    /// A place to run a job in: a session's working copy with all that was written,
    /// committed or not, or an empty private directory. Refused as [`Refused::SessionGone`], also for a
    /// session that is being dropped.
    pub async fn begin(&self, session: Option<SessionKey>) -> Result<Draft, StoreError> {
        let Some(key) = session else { return scratch::begin(self.clone()).await };
        // Most jobs find the copy that the one before them has left, and then this is a few lookups.
        let begun = self.look(|db| {
            let (session, tip) = tip::active(db, key)?;
            let ready = mend::current(&self.inner.shared.copies, key, &tip);
            ready.map(|ready| begin_in(db, self, session, tip, ready)).transpose()
        })?;
        if let Some(draft) = begun {
            return Ok(draft);
        }
        let (store, shared) = (self.clone(), self.shared());
        // One view for all of it: version, parameters and files belong together.
        let begin = move |db: &Connection| {
            let (session, tip) = tip::active(db, key)?;
            let ready = mend::bring_up(db, &store.inner.shared.copies, key, &tip)?;
            begin_in(db, &store, session, tip, ready)
        };
        block(move || shared.readers.with(begin)).await
    }
}

fn begin_in(
    db: &Connection,
    store: &Store,
    session: Session,
    tip: Tip,
    (copy, root): (Copy, Root),
) -> Result<Draft, StoreError> {
    let params = Arc::new(params::load(db, session.key, View::Tip)?);
    let has_links = nodes::has_links(db, session.key)?;
    let room = store.inner.shared.quotas.room(db, &session.owner.tenant)?;
    let work = Work::Session(Box::new(Lease { session, tip, copy, has_links, room }));
    Ok(Draft { store: store.clone(), params, root: Arc::new(root), work })
}

impl Draft {
    /// The session as of its last commit; `None` outside one.
    pub fn session(&self) -> Option<&Session> {
        match &self.work {
            Work::Scratch(_) => None,
            Work::Session(lease) => Some(&lease.session),
        }
    }

    /// The session's parameters, as the job finds them.
    pub fn params(&self) -> &Arc<ParamMap> {
        &self.params
    }

    /// What the job's directory holds at its start.
    pub fn usage(&self) -> Usage {
        match &self.work {
            Work::Scratch(_) => Usage::default(),
            Work::Session(lease) => lease.tip.usage,
        }
    }

    /// The job's whole file system.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Whether the job's directory may hold symbolic links at its start.
    pub fn has_links(&self) -> bool {
        match &self.work {
            Work::Scratch(_) => false,
            Work::Session(lease) => lease.has_links,
        }
    }

    /// Whether the directory lies in memory and holds next to nothing, so that no call
    /// on it takes long.
    pub fn is_light(&self) -> bool {
        let (dir, held) = match &self.work {
            Work::Scratch(dir) => (dir, Usage::default()),
            Work::Session(lease) => (&lease.copy.dir, lease.tip.usage),
        };
        dir.is_in_memory() && held.bytes <= LIGHT_BYTES_MAX && held.files <= LIGHT_FILES_MAX
    }

    /// What more its tenant might store at its start. No bound outside a session,
    /// where nothing is stored.
    pub fn room(&self) -> u64 {
        match &self.work {
            Work::Scratch(_) => u64::MAX,
            Work::Session(lease) => lease.room,
        }
    }

    /// Makes the directory of a job that began outside any session that of the
    /// session which it created (R13). Everything in it is a change then. Refused
    /// as [`Refused::SessionGone`].
    pub async fn adopt(self, key: SessionKey) -> Result<Draft, StoreError> {
        let Draft { store, params, root, work } = self;
        let dir = match work {
            Work::Scratch(dir) => dir,
            Work::Session(_) => return Err(StoreError::Broken("a job in a session adopted another".to_owned())),
        };
        let (session, tip) = store.read(move |db| tip::active(db, key)).await?;
        let copy = Copy { dir, tree_version: tip.tree_version, mends: Places::new(), root: None };
        // No guest begins in it any more, so it needs no room.
        let work = Work::Session(Box::new(Lease { session, tip, copy, has_links: true, room: 0 }));
        Ok(Draft { store, params, root, work })
    }

    /// Ends a job that deletes its session (R18): the outcome is kept, and of the
    /// session nothing, in one transaction.
    pub async fn commit_and_remove(self, seq: JobSeq, attempt: u32, ending: Ending) -> Result<(), CommitError> {
        let Draft { store, work, .. } = self;
        let key = match &work {
            Work::Scratch(_) => return Ok(store.end(seq, attempt, ending).await?),
            Work::Session(lease) => lease.session.key,
        };
        let (shared, told) = (store.shared(), store.shared());
        let removed = store.writer().enqueue_step(
            move |db| {
                let over = job_ends::end(db, seq, attempt, &ending)?;
                sessions::remove(db, key)?;
                shared.collector.job_is_over(db, over.digest)
            },
            move |removed| {
                drop(work);
                told.copies.forget(key);
                told.collector.collect(removed?);
                Ok(())
            },
        );
        Ok(removed.await?)
    }

    /// The one commit point: what the job did is kept, or in an explicit
    /// transaction is part of it from now on. The guest must be gone. Once this
    /// was polled the commit goes its way, whether or not anybody waits for it.
    pub async fn commit(
        self,
        seq: JobSeq,
        attempt: u32,
        ending: Ending,
        touched: Touched,
        params: ParamChanges,
        fate: Fate,
    ) -> Result<(), CommitError> {
        let Draft { store, root, work, .. } = self;
        let lease = match work {
            // Nothing of the directory is kept, so only the job ends.
            Work::Scratch(dir) => {
                scratch::let_go(&store, dir, root, &touched);
                return Ok(store.end(seq, attempt, ending).await?);
            }
            Work::Session(lease) => *lease,
        };
        let end = End { seq, attempt, ending, params, fate };
        if touched.is_nowhere() {
            let changes = Changes::none(lease.tip.usage);
            return Ok(enqueue(&store, lease, root, changes, Places::new(), end).await?);
        }
        let shared = store.shared();
        let brief = brief::changes(&shared.readers, (&lease.session, lease.tip.usage), root.fd(), &touched);
        let touched = match (brief, touched) {
            (Ok(Some(changes)), Touched::Places(changed)) => {
                return Ok(enqueue(&store, lease, root, changes, changed, end).await?);
            }
            // What failed here will say why there.
            (Ok(_) | Err(_), touched) => touched,
        };
        let committed = block(move || {
            let changed = places(&shared, &lease, root.fd(), touched)?;
            match collect(&shared, &lease, root.fd(), &changed) {
                Ok(changes) => Ok(enqueue(&store, lease, root, changes, changed, end)),
                Err(error) => {
                    put_back(&shared, lease, changed);
                    Err(error)
                }
            }
        });
        Ok(committed.await?.await?)
    }

    /// Keeps nothing, and mends the working copy before the next job.
    pub fn roll_back(self, touched: Touched) {
        match (self.work, touched) {
            (Work::Session(lease), Touched::Places(changed)) => put_back(&self.store.inner.shared, *lease, changed),
            (Work::Scratch(dir), touched) => scratch::let_go(&self.store, dir, self.root, &touched),
            // Dropped, a lease loses its whole working copy.
            (Work::Session(_), Touched::Everywhere) => (),
        }
    }

    /// Keeps nothing, and says what would have been changed. Outside a session
    /// that is nothing.
    pub async fn dry_run(self, touched: Touched, params: &ParamChanges) -> Result<ChangeList, StoreError> {
        let Draft { store, params: before, root, work } = self;
        let Work::Session(lease) = work else { return Ok(ChangeList::default()) };
        let files = block(move || {
            let shared = store.shared();
            let changed = places(&shared, &lease, root.fd(), touched)?;
            let found = collect(&shared, &lease, root.fd(), &changed).map(|changes| changes.list());
            put_back(&shared, *lease, changed);
            found
        });
        let files = files.await?;
        let params = params.iter().filter(|(name, value)| before.get(*name) != value.as_ref());
        let params = params.filter_map(|(name, value)| {
            let change = Change::between(before.contains_key(name), value.is_some())?;
            Some(ParamChange { name: name.clone(), change })
        });
        Ok(ChangeList { files, params: params.collect() })
    }
}

/// Where to look for what a job changed. Where nobody knows any better, that is
/// every path at the top, before the job and after it.
pub(super) fn places(shared: &Shared, lease: &Lease, root: &OwnedFd, touched: Touched) -> Result<Places, StoreError> {
    if let Touched::Places(places) = touched {
        return Ok(places);
    }
    let before = shared.readers.with(|db| nodes::all(db, lease.session.key))?;
    let mut tops: BTreeSet<_> = before.into_iter().map(|node| node.path).collect();
    tops.retain(|path| path.parent().is_none());
    for name in tree::names(root).map_err(StoreError::io("list a working copy"))? {
        // WASI takes text only, so no guest made a name that is not text.
        tops.extend(name.to_str().ok().and_then(|name| SessionPath::parse(name).ok()));
    }
    Ok(tops.into_iter().map(|path| (path, Extent::Whole)).collect())
}

pub(super) fn collect(shared: &Shared, lease: &Lease, root: &OwnedFd, changed: &Places) -> Result<Changes, StoreError> {
    let Lease { session, tip, .. } = lease;
    changes::collect(Looks::Apart(&shared.readers), session.key, (session.limits, tip.usage), root, changed)
}
