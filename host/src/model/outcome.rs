//! How a job ended, and why.

use std::fmt;
use std::str::FromStr;

use crate::limits::DETAIL_BYTES_MAX;

/// Why a job failed. The word is for programs, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It ended with a code other than 0.
    Exit,
    /// It did something that WebAssembly stops: `unreachable`, a bad pointer, a full stack.
    Trap,
    /// It took longer than its `wall_ms`.
    WallTimeout,
    /// It computed longer than its `cpu_ms`.
    CpuLimit,
    /// It asked for more than its `memory_bytes`.
    MemoryLimit,
    /// It printed more than its `output_bytes`.
    OutputLimit,
    /// What it did is more than its tenant may store (R34).
    StorageFull,
    /// The server failed it, through no fault of the job.
    HostError,
    /// The server died while it ran, too often (R25).
    Lost,
}

impl Reason {
    pub const ALL: [Reason; 9] = [
        Reason::Exit,
        Reason::Trap,
        Reason::WallTimeout,
        Reason::CpuLimit,
        Reason::MemoryLimit,
        Reason::OutputLimit,
        Reason::StorageFull,
        Reason::HostError,
        Reason::Lost,
    ];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Exit => "exit",
            Reason::Trap => "trap",
            Reason::WallTimeout => "wall-timeout",
            Reason::CpuLimit => "cpu-limit",
            Reason::MemoryLimit => "memory-limit",
            Reason::OutputLimit => "output-limit",
            Reason::StorageFull => "storage-full",
            Reason::HostError => "host-error",
            Reason::Lost => "lost",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason for a job to fail")]
pub struct BadReason(String);

impl FromStr for Reason {
    type Err = BadReason;

    fn from_str(word: &str) -> Result<Self, BadReason> {
        let known = Reason::ALL.into_iter().find(|reason| reason.word() == word);
        known.ok_or_else(|| BadReason(word.to_owned()))
    }
}

/// What became of a job that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0 and no trap: everything it did was kept.
    Succeeded,
    /// Anything else that it did itself or ran into: nothing was kept.
    Failed {
        reason: Reason,
        /// The code it ended with, if it ended by itself.
        exit_code: Option<i32>,
        /// A sentence; for a trap, the backtrace too.
        detail: String,
    },
    /// Somebody stopped it: nothing was kept.
    Cancelled { detail: String },
}

impl Outcome {
    /// A failure without an exit code.
    pub fn failed(reason: Reason, detail: impl Into<String>) -> Self {
        Outcome::Failed { reason, exit_code: None, detail: cut(detail.into()) }
    }

    /// Why it failed, if it failed.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Outcome::Failed { reason, .. } => Some(*reason),
            Outcome::Succeeded | Outcome::Cancelled { .. } => None,
        }
    }

    /// A guest that ended by itself with `code`; 0 is success (R22).
    pub fn exited(code: i32) -> Self {
        if code == 0 {
            return Outcome::Succeeded;
        }
        let detail = format!("the job ended with exit code {code}; only 0 is success");
        Outcome::Failed { reason: Reason::Exit, exit_code: Some(code), detail }
    }
}

/// Details come from guests, whose backtraces have no bound of their own.
fn cut(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        let end = (0..=DETAIL_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_back_as_written() {
        for reason in Reason::ALL {
            assert_eq!(reason.word().parse(), Ok(reason));
        }
        assert!("tired".parse::<Reason>().is_err());
    }

    #[test]
    fn r22_only_exit_code_0_is_success() {
        assert_eq!(Outcome::exited(0), Outcome::Succeeded);
        assert!(matches!(Outcome::exited(3), Outcome::Failed { exit_code: Some(3), .. }));
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let Outcome::Failed { detail, .. } = Outcome::failed(Reason::Trap, "é".repeat(DETAIL_BYTES_MAX)) else {
            panic!("it is a failure");
        };
        assert!(detail.len() <= DETAIL_BYTES_MAX + '…'.len_utf8());
    }
}
