//! Quotas: what one tenant may have, and what one job or session of it may ask for (R34).
//!
//! Promise: each number has one name, from the configuration file to a refusal,
//! and stays within its range whoever sets it.
//!
//! Not here: how much of it is in use, and who looks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits;

/// One number of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    Sessions,
    StoredBytes,
    Modules,
    ModuleBytes,
    QueuedJobs,
    RunningJobs,
    RunningMemoryBytes,
    RequestsPerS,
    CpuSPerMin,
    Weight,
    WallMs,
    CpuMs,
    MemoryBytes,
    OutputBytes,
    SessionBytes,
    SessionFiles,
}

/// What one tenant may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    pub sessions: u64,
    /// What its sessions' files take in the store, those of earlier commits among them.
    pub stored_bytes: u64,
    /// Versions of modules.
    pub modules: u64,
    /// As they were uploaded.
    pub module_bytes: u64,
    /// Jobs that were accepted and do not run yet.
    pub queued_jobs: u64,
    pub running_jobs: u64,
    /// What its jobs hold of memory together.
    pub running_memory_bytes: u64,
    pub requests_per_s: u64,
    /// Processor seconds of its jobs in a minute.
    pub cpu_s_per_min: u64,
    /// Its share of the slots, beside other tenants that have work.
    pub weight: u64,
    /// This and the rest: the most that one of its jobs or sessions may ask for.
    pub wall_ms: u64,
    pub cpu_ms: u64,
    pub memory_bytes: u64,
    /// Of what is kept of stdout and stderr.
    pub output_bytes: u64,
    pub session_bytes: u64,
    pub session_files: u64,
}

/// Why a quota cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuota {
    #[error("a quota has no `{name}`; it has {known}", known = Measure::list())]
    Unknown { name: String },
    #[error("`{measure}` of a quota is {value}, and must be a whole number from {least} to {most}")]
    OutOfRange { measure: Measure, value: String, least: u64, most: u64 },
}

/// What a tenant holds that stays until it is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub sessions: u64,
    pub stored_bytes: u64,
    pub modules: u64,
    pub module_bytes: u64,
}

/// A change of what is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaChange {
    /// That, and nothing of what was set before.
    Replace(Overrides),
    /// That, beside what was set before; `None` takes away what was set.
    Merge(Vec<(Measure, Option<u64>)>),
}

/// A job or session that asked for more than one of its tenant may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}, and the tenant's quota allows at most {limit} (`{measure}`)")]
pub struct AsksTooMuch {
    /// In the request.
    pub field: &'static str,
    pub value: u64,
    pub limit: u64,
    pub measure: Measure,
}

/// A quota that does not allow what was asked for. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{measure}` of the tenant's quota is {limit}, {used} of it used, and this takes {more}{}", way_out(.again))]
pub struct OverQuota {
    pub measure: Measure,
    pub used: u64,
    pub more: u64,
    pub limit: u64,
    /// When time alone helps: how long to wait.
    pub again: Option<Duration>,
}

fn way_out(again: &Option<Duration>) -> String {
    match again {
        Some(wait) => format!("; try again in {} s", whole_seconds(*wait)),
        None => "; delete what is no longer needed, or ask the operator for more".to_owned(),
    }
}

/// A wait in whole seconds that is long enough, and at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl Measure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Measure; 16] = [
        Measure::Sessions,
        Measure::StoredBytes,
        Measure::Modules,
        Measure::ModuleBytes,
        Measure::QueuedJobs,
        Measure::RunningJobs,
        Measure::RunningMemoryBytes,
        Measure::RequestsPerS,
        Measure::CpuSPerMin,
        Measure::Weight,
        Measure::WallMs,
        Measure::CpuMs,
        Measure::MemoryBytes,
        Measure::OutputBytes,
        Measure::SessionBytes,
        Measure::SessionFiles,
    ];

    /// Its name, and the least and the most that it may be.
    fn sheet(self) -> (&'static str, u64, u64) {
        match self {
            Measure::Sessions => ("sessions", 0, limits::QUOTA_SESSIONS_MAX),
            Measure::StoredBytes => ("stored_bytes", 0, limits::QUOTA_BYTES_MAX),
            Measure::Modules => ("modules", 0, limits::QUOTA_MODULES_MAX),
            Measure::ModuleBytes => ("module_bytes", 0, limits::QUOTA_BYTES_MAX),
            Measure::QueuedJobs => ("queued_jobs", 0, limits::JOBS_LIVE_MAX as u64),
            // With none, what was accepted would wait for ever.
            Measure::RunningJobs => ("running_jobs", 1, limits::SLOTS_MAX),
            Measure::RunningMemoryBytes => ("running_memory_bytes", limits::MEMORY_BYTES_MIN, limits::QUOTA_BYTES_MAX),
            Measure::RequestsPerS => ("requests_per_s", 1, limits::QUOTA_REQUESTS_PER_S_MAX),
            Measure::CpuSPerMin => ("cpu_s_per_min", 1, limits::QUOTA_CPU_S_PER_MIN_MAX),
            Measure::Weight => ("weight", 1, limits::QUOTA_WEIGHT_MAX),
            Measure::WallMs => ("wall_ms", 1, limits::WALL_MAX.as_millis() as u64),
            Measure::CpuMs => ("cpu_ms", 1, limits::CPU_MAX.as_millis() as u64),
            Measure::MemoryBytes => ("memory_bytes", limits::MEMORY_BYTES_MIN, limits::MEMORY_BYTES_MAX),
            Measure::OutputBytes => ("output_bytes", 0, limits::OUTPUT_BYTES_MAX),
            Measure::SessionBytes => ("session_bytes", 1, limits::SESSION_BYTES_MAX),
            Measure::SessionFiles => ("session_files", 1, limits::SESSION_FILES_MAX),
        }
    }

    /// The name, everywhere.
    pub fn word(self) -> &'static str {
        self.sheet().0
    }

    /// The measure of that name.
    pub fn named(name: &str) -> Result<Measure, BadQuota> {
        let known = Measure::ALL.into_iter().find(|measure| measure.word() == name);
        known.ok_or_else(|| BadQuota::Unknown { name: name.chars().take(64).collect() })
    }

    /// The least and the most that it may be.
    pub fn range(self) -> RangeInclusive<u64> {
        let (_, least, most) = self.sheet();
        least..=most
    }

    /// Refuses what it cannot be.
    pub fn check(self, value: u64) -> Result<u64, BadQuota> {
        let (_, least, most) = self.sheet();
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(BadQuota::OutOfRange { measure: self, value: value.to_string(), least, most })
    }

    /// The same for what somebody has written.
    pub fn check_text(self, text: &str) -> Result<u64, BadQuota> {
        let (_, least, most) = self.sheet();
        let value = text.chars().take(64).collect();
        text.parse().map_or(Err(BadQuota::OutOfRange { measure: self, value, least, most }), |value| self.check(value))
    }

    fn list() -> String {
        Measure::ALL.map(|measure| format!("`{measure}`")).join(", ")
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Numbers that somebody has set; each is within its range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(BTreeMap<Measure, u64>);

impl Overrides {
    /// Sets one number.
    pub fn set(&mut self, measure: Measure, value: u64) -> Result<(), BadQuota> {
        self.0.insert(measure, measure.check(value)?);
        Ok(())
    }

    /// What is set, in the order of [`Measure::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Measure, u64)> {
        self.0.iter().map(|(measure, value)| (*measure, *value))
    }

    /// What is set after a change, whose numbers were checked.
    pub fn after(mut self, change: &QuotaChange) -> Overrides {
        let changes = match change {
            QuotaChange::Replace(set) => return set.clone(),
            QuotaChange::Merge(changes) => changes,
        };
        for (measure, value) in changes {
            match value {
                Some(value) => drop(self.0.insert(*measure, *value)),
                None => drop(self.0.remove(measure)),
            }
        }
        self
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Quota {
    /// What a tenant has on a server with that many slots and processors, unless told otherwise.
    pub fn of_machine(slots: u64, processors: u64) -> Quota {
        Quota {
            sessions: 100_000,
            stored_bytes: 16 << 30,
            modules: 1_000,
            module_bytes: 4 << 30,
            queued_jobs: 20_000,
            running_jobs: slots,
            running_memory_bytes: limits::QUOTA_BYTES_MAX,
            requests_per_s: 20_000,
            cpu_s_per_min: 60 * processors,
            weight: 1,
            wall_ms: limits::WALL_MAX.as_millis() as u64,
            cpu_ms: limits::CPU_MAX.as_millis() as u64,
            memory_bytes: limits::MEMORY_BYTES_MAX,
            output_bytes: limits::OUTPUT_BYTES_MAX,
            session_bytes: limits::SESSION_BYTES_MAX,
            session_files: limits::SESSION_FILES_MAX,
        }
    }

    /// One of its numbers.
    pub fn get(&self, measure: Measure) -> u64 {
        *self.clone().field(measure)
    }

    /// This quota with other numbers in the places that are set.
    pub fn with(&self, overrides: &Overrides) -> Quota {
        let mut quota = self.clone();
        overrides.iter().for_each(|(measure, value)| *quota.field(measure) = value);
        quota
    }

    fn field(&mut self, measure: Measure) -> &mut u64 {
        match measure {
            Measure::Sessions => &mut self.sessions,
            Measure::StoredBytes => &mut self.stored_bytes,
            Measure::Modules => &mut self.modules,
            Measure::ModuleBytes => &mut self.module_bytes,
            Measure::QueuedJobs => &mut self.queued_jobs,
            Measure::RunningJobs => &mut self.running_jobs,
            Measure::RunningMemoryBytes => &mut self.running_memory_bytes,
            Measure::RequestsPerS => &mut self.requests_per_s,
            Measure::CpuSPerMin => &mut self.cpu_s_per_min,
            Measure::Weight => &mut self.weight,
            Measure::WallMs => &mut self.wall_ms,
            Measure::CpuMs => &mut self.cpu_ms,
            Measure::MemoryBytes => &mut self.memory_bytes,
            Measure::OutputBytes => &mut self.output_bytes,
            Measure::SessionBytes => &mut self.session_bytes,
            Measure::SessionFiles => &mut self.session_files,
        }
    }

    /// The number that one job or session gets: what it asked for, or the default as
    /// far as that is allowed.
    pub fn bound(
        &self,
        measure: Measure,
        field: &'static str,
        asked: Option<u64>,
        default: u64,
    ) -> Result<u64, AsksTooMuch> {
        let limit = self.get(measure);
        match asked {
            None => Ok(default.min(limit)),
            Some(value) if value <= limit => Ok(value),
            Some(value) => Err(AsksTooMuch { field, value, limit, measure }),
        }
    }

    /// Refuses `more` of something of which `used` is there, if that is too much.
    pub fn allow(&self, measure: Measure, used: u64, more: u64) -> Result<(), OverQuota> {
        let limit = self.get(measure);
        if used.saturating_add(more) <= limit {
            return Ok(());
        }
        Err(OverQuota { measure, used, more, limit, again: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r34_each_number_has_a_name_of_its_own_and_a_default_in_its_range() {
        let quota = Quota::of_machine(8, 2);
        for measure in Measure::ALL {
            assert_eq!(Measure::named(measure.word()), Ok(measure));
            assert_eq!(measure.check(quota.get(measure)), Ok(quota.get(measure)), "{measure}");
        }
        let mut words = Measure::ALL.map(Measure::word);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
    }

    #[test]
    fn r34_what_is_set_goes_before_the_default_and_nothing_else_changes() {
        let default = Quota::of_machine(8, 2);
        for measure in Measure::ALL {
            let mut set = Overrides::default();
            set.set(measure, default.get(measure) - 1).or_else(|_| set.set(measure, 2)).unwrap();
            let quota = default.with(&set);
            let differ: Vec<_> = Measure::ALL.into_iter().filter(|one| quota.get(*one) != default.get(*one)).collect();
            assert_eq!(differ, [measure]);
        }
    }

    #[test]
    fn r34_a_number_out_of_its_range_is_refused_with_the_range() {
        let mut set = Overrides::default();
        let told = set.set(Measure::Weight, 1_001).unwrap_err().to_string();
        assert_eq!(told, "`weight` of a quota is 1001, and must be a whole number from 1 to 1000");
        assert!(Measure::Weight.check_text("-1").unwrap_err().to_string().contains("is -1, and must be a whole"));
        assert!(set.is_empty());
        let told = Measure::named("wight").unwrap_err().to_string();
        assert!(told.contains("`wight`") && told.contains("`weight`"), "{told}");
    }

    #[test]
    fn r34_a_refusal_says_what_how_much_and_the_way_out() {
        let quota = Quota::of_machine(8, 2);
        assert_eq!(quota.allow(Measure::Sessions, 99_999, 1), Ok(()));
        let over = quota.allow(Measure::Sessions, 100_000, 1).unwrap_err();
        let told = over.to_string();
        assert!(told.starts_with("`sessions` of the tenant's quota is 100000, 100000 of it used, and this takes 1;"));
        let later = OverQuota { again: Some(Duration::from_millis(1_001)), ..over }.to_string();
        assert!(later.ends_with("; try again in 2 s"), "{later}");
    }
}
