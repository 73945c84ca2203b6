//! An attempt of a job as those see it who follow the job.

use std::sync::Arc;

use crate::engine::Live;

/// The attempt that is under way, or the next one.
#[derive(Clone)]
pub struct Attempt {
    /// 1 for the first; 0 until it has begun.
    pub number: u32,
    /// What it prints, and how far it says it is.
    pub live: Arc<Live>,
}

impl Attempt {
    /// The next one, which may print that much to each stream.
    pub(super) fn new(output_bytes: u64) -> Self {
        Self { number: 0, live: Arc::new(Live::new(output_bytes)) }
    }
}
