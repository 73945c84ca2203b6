//! In the middle of a job: its session's explicit transaction is committed or
//! rolled back while the guest stands still (R23).
//!
//! Promise: what is committed stays whatever becomes of the job; what is rolled
//! back is gone from the job's directory too.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::model::history::Cause;
use crate::model::params::ParamChanges;
use crate::model::params::ParamMap;
use crate::model::touched::Touched;
use crate::store::draft::Draft;
use crate::store::draft::Lease;
use crate::store::draft::Work;
use crate::store::draft::collect;
use crate::store::draft::places;
use crate::store::edit::By;
use crate::store::edit::Edit;
use crate::store::edit::Edited;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::mend;
use crate::store::nodes::View;
use crate::store::params;
use crate::store::undo;
use crate::store::undo::Undone;

impl Draft {
    /// Commits the explicit transaction in the middle of a job, with what the job
    /// did so far (R23). The guest must stand still. After an error everything is
    /// as it was before. Refused as `SessionGone`, `NotExplicit`, `SessionBytes`
    /// and `SessionFiles` of [`Refused`], and as [`Refused::NoSession`] outside one.
    pub async fn commit_so_far(
        &mut self,
        job: JobId,
        touched: Touched,
        params: ParamChanges,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let lease = self.lease()?;
        undo::must_be_explicit(&lease.session)?;
        let (shared, root, key, step) =
            (self.store.shared(), Arc::clone(&self.root), lease.session.key, lease.tip.step);
        // In place, like the guest's own work on its files: its thread is there for that.
        let changed = places(&shared, lease, root.fd(), touched)?;
        let changes = collect(&shared, lease, root.fd(), &changed)?;
        let written = params.clone();
        let edited = self.store.writer().enqueue(move |db| {
            let mut edit = Edit::begin(db, key)?.within(&shared.quotas);
            edit.must_follow(step)?;
            changes.write(&mut edit, root.fd())?;
            edit.params(&written)?;
            edit.finish_transaction(By { cause: Cause::Commit, job: Some(&job), at: now })
        });
        let edited = edited.await?;
        let mut kept = ParamMap::clone(&self.params);
        for (name, value) in params {
            match value {
                Some(value) => drop(kept.insert(name, value)),
                None => drop(kept.remove(&name)),
            }
        }
        self.params = Arc::new(kept);
        self.stand_at(edited)
    }

    /// Undoes the explicit transaction in the middle of a job, with what the job
    /// did so far (R23). The guest must stand still, with nothing open in its
    /// directory. After an error the draft is of no more use, but to be dropped.
    /// Refused as [`Draft::commit_so_far`], and then as it was before.
    pub async fn roll_back_so_far(&mut self, touched: Touched, now: Timestamp) -> Result<(), StoreError> {
        let shared = self.store.shared();
        let lease = self.lease()?;
        undo::must_be_explicit(&lease.session)?;
        let changed = places(&shared, lease, self.root.fd(), touched)?;
        let (key, step) = (lease.session.key, lease.tip.step);
        let undone = self.store.writer().enqueue(move |db| {
            let edit = Edit::begin(db, key)?;
            edit.must_follow(step)?;
            undo::roll_back(edit, now)
        });
        let Undone { edited, places } = undone.await?;
        self.stand_at(edited)?;
        let Work::Session(lease) = &mut self.work else { return Err(Refused::NoSession.into()) };
        lease.copy.must_mend(changed);
        lease.copy.must_mend(places);
        // In place, like the guest's own work on its files: its thread is there for that.
        let params = shared.readers.with(|db| {
            mend::mend(db, key, &mut lease.copy)?;
            params::load(db, key, View::Tip)
        });
        self.params = Arc::new(params?);
        Ok(())
    }

    fn lease(&self) -> Result<&Lease, StoreError> {
        match &self.work {
            Work::Session(lease) => Ok(lease),
            Work::Scratch(_) => Err(Refused::NoSession.into()),
        }
    }

    fn stand_at(&mut self, edited: Edited) -> Result<(), StoreError> {
        let Work::Session(lease) = &mut self.work else { return Err(Refused::NoSession.into()) };
        lease.tip.step = edited.step;
        lease.tip.usage = edited.usage;
        lease.tip.tree_version = edited.trees.1;
        lease.copy.tree_version = edited.trees.1;
        Ok(())
    }
}
