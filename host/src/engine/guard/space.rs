//! What a session holds while a guest runs in it, kept correct step by step.
//!
//! Promise: nothing grows past what is allowed; growth is asked for before it
//! happens. What is over already (the allowance was lowered) may shrink.

use super::refusal::Refusal;
use crate::engine::DiskAllowance;
use crate::model::session::Usage;

/// The running count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space(DiskAllowance);

impl Space {
    pub(super) fn new(disk: DiskAllowance) -> Self {
        Self(disk)
    }

    /// Whether there is room for `bytes` more.
    pub(super) fn check_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        let fits = bytes == 0 || self.0.bytes_used.saturating_add(bytes) <= self.0.bytes_max;
        if fits { Ok(()) } else { Err(Refusal::NoSpace) }
    }

    /// Whether there is room for one more file, directory or link.
    pub(super) fn check_file(&self) -> Result<(), Refusal> {
        if self.0.files_used < self.0.files_max { Ok(()) } else { Err(Refusal::NoSpace) }
    }

    /// Counts a file that changed its size.
    pub(super) fn resized(&mut self, before: u64, after: u64) {
        self.0.bytes_used = self.0.bytes_used.saturating_sub(before).saturating_add(after);
    }

    /// Counts a new, empty entry.
    pub(super) fn added(&mut self) {
        self.0.files_used += 1;
    }

    /// Counts an entry that is gone from the disk, with the bytes it held.
    pub(super) fn removed(&mut self, bytes: u64) {
        self.0.files_used = self.0.files_used.saturating_sub(1);
        self.0.bytes_used = self.0.bytes_used.saturating_sub(bytes);
    }

    /// Counts anew.
    pub(super) fn holds(&mut self, held: Usage) {
        (self.0.bytes_used, self.0.files_used) = (held.bytes, held.files);
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> (u64, u64) {
        (self.0.bytes_used, self.0.files_used)
    }
}
