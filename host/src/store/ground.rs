//! The ground that a store stands on, before any of its threads runs.
//!
//! Comes in: what the operator configured. Goes out: to
//! [`Store::open_on`](crate::store::Store::open_on).
//!
//! Promise: once there is a ground, the store needs nothing of the file system
//! but what lies beneath its directories, and to remove the place for working
//! copies at the end.

use std::fs::File;
use std::path::Path;

use crate::model::quota::Quota;
use crate::store::StoreConfig;
use crate::store::error::StoreError;
use crate::store::layout::Layout;
use crate::store::place;
use crate::store::place::Chosen;

/// A data directory that is ours, locked, and a place for working copies.
/// Dropping it gives both back.
pub struct Ground {
    pub(super) layout: Layout,
    pub(super) chosen: Chosen,
    pub(super) work_bytes_max: u64,
    /// What a tenant has unless told otherwise.
    pub(super) quota: Quota,
    // Goes last: nothing of ours is left when the next server may have it.
    pub(super) lock: File,
}

impl Ground {
    /// Makes what is not there yet. Blocks.
    pub fn prepare(config: &StoreConfig) -> Result<Ground, StoreError> {
        let (layout, lock) = Layout::prepare(&config.data)?;
        let chosen = place::choose(&layout, config.work.as_deref(), config.work_bytes_max)?;
        let quota = config.quota.clone();
        Ok(Ground { layout, chosen, work_bytes_max: config.work_bytes_max, quota, lock })
    }

    /// The directory that holds all that lasts.
    pub fn data(&self) -> &Path {
        self.layout.data()
    }

    /// Where working copies lie by default.
    pub fn work(&self) -> &Path {
        &self.chosen.work_place.path
    }
}
