//! What the disk takes: SQLite with one row for each commit, gathered as the
//! store's writer does it. Durable work is compared with this.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::bench::baseline::Baseline;
use crate::bench::ground;
use crate::bench::measure::Contestant;

/// The program and its database.
pub(super) struct Raw {
    program: Baseline,
    // Declared last, so that it is removed after the process has ended.
    _ground: TempDir,
}

impl Raw {
    /// With so many clients at once.
    pub(super) fn start(clients: usize) -> anyhow::Result<Raw> {
        let ground = ground::directory()?;
        let (database, clients) = (ground.path().join("raw.sqlite3"), clients.to_string());
        let (program, _) = Baseline::start("group_commit", &[database.as_os_str(), OsStr::new(&clients)])?;
        Ok(Raw { program, _ground: ground })
    }

    /// Rounds of that length.
    pub(super) fn contestant(&mut self, time: Duration) -> Contestant<'_> {
        let process = self.program.process();
        Contestant::new(process, move || {
            let taken = self.program.ask(&time.as_millis().to_string())?;
            let taken = taken.split_whitespace().map(|one| one.parse().map(Duration::from_micros));
            taken.collect::<Result<_, _>>().context("`group_commit` did not answer with numbers")
        })
    }
}
