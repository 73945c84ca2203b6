//! The commit point of a job: the one transaction in which what it did becomes true.
//!
//! Comes in: a draft whose guest is gone, with what was found changed in it.
//! Goes out: a unit of the writer; the working copy comes back when it has ended,
//! marked with what became of it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rusqlite::Connection;

use crate::model::history::Cause;
use crate::model::job::JobSeq;
use crate::model::params::ParamChanges;
use crate::model::session::SessionKey;
use crate::model::touched::Places;
use crate::root::Root;
use crate::store::Shared;
use crate::store::Store;
use crate::store::changes::Changes;
use crate::store::collector::Condemned;
use crate::store::draft::Fate;
use crate::store::draft::Lease;
use crate::store::edit::By;
use crate::store::edit::Edit;
use crate::store::edit::Edited;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::job_ends;
use crate::store::jobs::Ending;
use crate::store::receipt::Receipt;
use crate::store::sessions;

/// How the job ends, and what it did to the session's parameters.
pub(super) struct End {
    pub(super) seq: JobSeq,
    pub(super) attempt: u32,
    pub(super) ending: Ending,
    pub(super) params: ParamChanges,
    pub(super) fate: Fate,
}

/// What a commit leaves to be done.
struct Committed {
    edited: Edited,
    condemned: Option<Condemned>,
}

/// Puts the commit into the writer's line. The lease goes with it, so that the
/// copy comes back marked with what became of it in any case.
pub(super) fn enqueue(
    store: &Store,
    lease: Lease,
    root: Arc<Root>,
    changes: Changes,
    changed: Places,
    end: End,
) -> Receipt<()> {
    let (shared, told) = (store.shared(), store.shared());
    let (key, step) = (lease.session.key, lease.tip.step);
    let kept = Arc::clone(&root);
    store.writer().enqueue_step(
        move |db| write(db, &shared, (key, step), root.fd(), &changes, &end),
        move |committed| match committed {
            Ok(Committed { edited, condemned }) => {
                let Lease { mut copy, .. } = lease;
                copy.tree_version = edited.trees.1;
                copy.root = Arc::into_inner(kept);
                told.copies.give_back(key, copy, edited.usage);
                told.collector.collect(condemned);
                Ok(())
            }
            Err(error) => {
                // The copy of a session that is gone is of no use to anybody.
                if !matches!(error, StoreError::Refused(Refused::SessionGone)) {
                    put_back(&told, lease, changed);
                }
                Err(error)
            }
        },
    )
}

/// Inside the transaction: everything, or an error and nothing.
fn write(
    db: &Connection,
    shared: &Shared,
    (key, step): (SessionKey, i64),
    root: &OwnedFd,
    changes: &Changes,
    end: &End,
) -> Result<Committed, StoreError> {
    // The session first: it says whether this commit still has its place.
    let mut edit = Edit::begin(db, key)?.within(&shared.quotas);
    edit.must_follow(step)?;
    changes.write(&mut edit, root)?;
    edit.params(&end.params)?;
    if let Fate::Renamed { to } = &end.fate {
        sessions::rename(db, key, to)?;
    }
    let over = job_ends::end(db, end.seq, end.attempt, &end.ending)?;
    let condemned = shared.collector.job_is_over(db, over.digest)?;
    let edited = edit.finish(By { cause: Cause::Job, job: Some(&over.id), at: end.ending.ended_at })?;
    Ok(Committed { edited, condemned })
}

/// Gives a copy back that has to be mended at `changed` first.
pub(super) fn put_back(shared: &Shared, lease: Lease, changed: Places) {
    let Lease { session, tip, mut copy, .. } = lease;
    copy.must_mend(changed);
    shared.copies.give_back(session.key, copy, tip.usage);
}
