//! What an operator may turn: the configuration file, `SESSILE_…` in the
//! environment, and the command line, the later before the earlier.
//!
//! Promise: a setting that is misspelt in the file or has a bad value stops
//! the start with its name; nothing is guessed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::CompileLimits;
use crate::http::Patience;
use crate::http::Readers;
use crate::limits;
use crate::model::quota::BadQuota;
use crate::model::quota::Measure;
use crate::model::quota::Overrides;
use crate::model::quota::Quota;
use crate::process;
use crate::queue::admission::UnknownSessions;

/// Everything that the server needs to know before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directory that holds all that lasts.
    pub data: PathBuf,
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether the server refuses to start where it cannot confine itself wholly.
    pub require_confinement: bool,
    /// Whether a ready key is made and printed; loopback only.
    pub dev: bool,
    /// Guests that run at once.
    pub slots: usize,
    /// Requests that may wait in one session's queue.
    pub queue_max: usize,
    /// What a job finds that names a session which does not exist.
    pub unknown_sessions: UnknownSessions,
    /// How often sessions that have expired are looked for.
    pub sweep_interval: Duration,
    /// How long running jobs may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// How long a streaming run waits for a client that does not read.
    pub reply_timeout: Duration,
    /// How long clients may keep a connection waiting.
    pub patience: Patience,
    /// Connections at once; by default as many as the system's open files allow.
    pub connections_max: Option<usize>,
    /// Where working copies lie; by default in memory, if there is room.
    pub work: Option<PathBuf>,
    /// What working copies may hold together in memory.
    pub work_bytes_max: u64,
    /// What all guests may hold of memory together.
    pub guest_memory_bytes_max: u64,
    /// What compiling one module may take.
    pub compile: CompileLimits,
    /// What a tenant has unless told otherwise.
    pub quota: Quota,
    /// Who may read the page of numbers.
    pub metrics: Readers,
    pub log: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub dev: bool,
    pub require_confinement: bool,
}

/// Why the server cannot start with what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {} is wrong: {message}", path.display())]
    BadFile { path: PathBuf, message: String },
    #[error("`{name}` in the environment is wrong: {message}")]
    BadVariable { name: String, message: String },
    #[error("`{name}` is {value}, and must be from {least} to {most}")]
    OutOfRange { name: &'static str, value: u64, least: u64, most: u64 },
    #[error("the setting `quota` is wrong: {0}")]
    BadQuota(#[from] BadQuota),
    #[error("--dev prints a key with all rights, so it listens on a loopback address only, and {0} is none")]
    DevNotLoopback(SocketAddr),
}

/// One layer of settings: the file's or the environment's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    require_confinement: Option<bool>,
    slots: Option<u64>,
    queue_max: Option<u64>,
    unknown_sessions: Option<UnknownWord>,
    sweep_interval_ms: Option<u64>,
    drain_timeout_ms: Option<u64>,
    reply_timeout_ms: Option<u64>,
    head_timeout_ms: Option<u64>,
    body_timeout_ms: Option<u64>,
    connection_idle_ms: Option<u64>,
    write_timeout_ms: Option<u64>,
    connections_max: Option<u64>,
    work: Option<PathBuf>,
    work_bytes_max: Option<u64>,
    guest_memory_bytes_max: Option<u64>,
    compile_memory_bytes_max: Option<u64>,
    compile_cpu_s_max: Option<u64>,
    compile_wall_s_max: Option<u64>,
    metrics: Option<Readers>,
    log: Option<LogFormat>,
    #[serde(default)]
    quota: BTreeMap<String, u64>,
}

/// The settings by name, and whether their value is a number.
const SETTINGS: [(&str, bool); 22] = [
    ("data", false),
    ("listen", false),
    (TRUE_OR_FALSE, false),
    ("slots", true),
    ("queue_max", true),
    ("unknown_sessions", false),
    ("sweep_interval_ms", true),
    ("drain_timeout_ms", true),
    ("reply_timeout_ms", true),
    ("head_timeout_ms", true),
    ("body_timeout_ms", true),
    ("connection_idle_ms", true),
    ("write_timeout_ms", true),
    ("connections_max", true),
    ("work", false),
    ("work_bytes_max", true),
    ("guest_memory_bytes_max", true),
    ("compile_memory_bytes_max", true),
    ("compile_cpu_s_max", true),
    ("compile_wall_s_max", true),
    ("metrics", false),
    ("log", false),
];

/// The one setting that is neither a number nor a word.
const TRUE_OR_FALSE: &str = "require_confinement";

const PREFIX: &str = "SESSILE_";

/// What follows it for a number of the quota.
const QUOTA: &str = "quota_";

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnknownWord {
    Serialize,
    Parallel,
    Reject,
}

impl Config {
    /// Puts file, environment and command line together. `environment` is
    /// handed in so that tests need not change the process's own.
    ///
    /// Also answers the names of `SESSILE_…` variables that mean nothing to
    /// this version, so that the caller can warn of them.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Config, Vec<String>), ConfigError> {
        let file = match &flags.config {
            Some(path) => Layer::from_file(path)?,
            None => Layer::default(),
        };
        let (variables, unknown) = Layer::from_environment(environment)?;
        let merged = variables.over(file);
        Ok((Config::resolve(flags, merged)?, unknown))
    }

    fn resolve(flags: &Flags, layer: Layer) -> Result<Config, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let compile = compile_limits(&layer)?;
        let slots = in_range("slots", layer.slots.unwrap_or(4 * cores), 1, limits::SLOTS_MAX)?;
        let patience = patience(&layer)?;
        let guest_memory_bytes_max = guest_memory(&layer)?;
        let connections_max = layer.connections_max.map(|most| in_range("connections_max", most, 4, 1_000_000));
        let quota = quota(&layer, slots, cores, guest_memory_bytes_max)?;
        let config = Config {
            data: flags.data.clone().or(layer.data).unwrap_or_else(|| "sessile-data".into()),
            listen: flags.listen.or(layer.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7777))),
            dev: flags.dev,
            require_confinement: flags.require_confinement || layer.require_confinement.unwrap_or(false),
            slots: slots as usize,
            queue_max: in_range("queue_max", layer.queue_max.unwrap_or(limits::QUEUE_DEFAULT as u64), 1, 1_000_000)?
                as usize,
            unknown_sessions: match layer.unknown_sessions {
                None | Some(UnknownWord::Serialize) => UnknownSessions::Serialize,
                Some(UnknownWord::Parallel) => UnknownSessions::Parallel,
                Some(UnknownWord::Reject) => UnknownSessions::Reject,
            },
            sweep_interval: Duration::from_millis(in_range(
                "sweep_interval_ms",
                layer.sweep_interval_ms.unwrap_or(millis(limits::SWEEP_INTERVAL_DEFAULT)),
                10,
                millis(limits::SWEEP_INTERVAL_MAX),
            )?),
            drain_timeout: Duration::from_millis(in_range(
                "drain_timeout_ms",
                layer.drain_timeout_ms.unwrap_or(10_000),
                0,
                3_600_000,
            )?),
            reply_timeout: Duration::from_millis(in_range(
                "reply_timeout_ms",
                layer.reply_timeout_ms.unwrap_or(limits::REPLY_TIMEOUT_DEFAULT.as_millis() as u64),
                1,
                3_600_000,
            )?),
            patience,
            connections_max: connections_max.transpose()?.map(|most| most as usize),
            compile,
            quota,
            guest_memory_bytes_max,
            work: layer.work,
            work_bytes_max: layer.work_bytes_max.unwrap_or(1 << 30),
            metrics: layer.metrics.unwrap_or(if flags.dev { Readers::Anybody } else { Readers::Root }),
            log: layer.log.unwrap_or_default(),
        };
        if config.dev && !config.listen.ip().is_loopback() {
            return Err(ConfigError::DevNotLoopback(config.listen));
        }
        Ok(config)
    }
}

impl Layer {
    fn from_file(path: &Path) -> Result<Layer, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::BadFile { path: path.to_owned(), message: error.message().to_owned() })
    }

    fn from_environment(
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Layer, Vec<String>), ConfigError> {
        let mut table = toml::Table::new();
        let (mut quota, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for (name, value) in environment {
            let Some(setting) = name.strip_prefix(PREFIX).map(str::to_lowercase) else { continue };
            let bad = |message: String| ConfigError::BadVariable { name: name.clone(), message };
            if let Some(measure) = setting.strip_prefix(QUOTA).and_then(|name| Measure::named(name).ok()) {
                let value = measure.check_text(&value).map_err(|error| bad(error.to_string()))?;
                quota.insert(measure.word().to_owned(), value);
                continue;
            }
            let Some((setting, is_number)) = SETTINGS.into_iter().find(|(known, _)| *known == setting) else {
                unknown.insert(name);
                continue;
            };
            let value = if is_number {
                toml::Value::Integer(value.parse().map_err(|_| bad(format!("`{value}` is not a number")))?)
            } else if setting == TRUE_OR_FALSE {
                toml::Value::Boolean(value.parse().map_err(|_| bad(format!("`{value}` is neither true nor false")))?)
            } else {
                toml::Value::String(value)
            };
            // One setting at a time, so that the message can name the variable.
            let alone = toml::Table::from_iter([(setting.to_owned(), value.clone())]);
            alone.try_into::<Layer>().map_err(|error| bad(error.message().to_owned()))?;
            table.insert(setting.to_owned(), value);
        }
        let layer: Layer = table.try_into().map_err(|error: toml::de::Error| ConfigError::BadVariable {
            name: format!("{PREFIX}*"),
            message: error.message().to_owned(),
        })?;
        Ok((Layer { quota, ..layer }, unknown.into_iter().collect()))
    }

    /// These settings, and `below` where they say nothing.
    fn over(self, below: Layer) -> Layer {
        Layer {
            data: self.data.or(below.data),
            listen: self.listen.or(below.listen),
            require_confinement: self.require_confinement.or(below.require_confinement),
            slots: self.slots.or(below.slots),
            queue_max: self.queue_max.or(below.queue_max),
            unknown_sessions: self.unknown_sessions.or(below.unknown_sessions),
            sweep_interval_ms: self.sweep_interval_ms.or(below.sweep_interval_ms),
            drain_timeout_ms: self.drain_timeout_ms.or(below.drain_timeout_ms),
            reply_timeout_ms: self.reply_timeout_ms.or(below.reply_timeout_ms),
            head_timeout_ms: self.head_timeout_ms.or(below.head_timeout_ms),
            body_timeout_ms: self.body_timeout_ms.or(below.body_timeout_ms),
            connection_idle_ms: self.connection_idle_ms.or(below.connection_idle_ms),
            write_timeout_ms: self.write_timeout_ms.or(below.write_timeout_ms),
            connections_max: self.connections_max.or(below.connections_max),
            work: self.work.or(below.work),
            work_bytes_max: self.work_bytes_max.or(below.work_bytes_max),
            guest_memory_bytes_max: self.guest_memory_bytes_max.or(below.guest_memory_bytes_max),
            compile_memory_bytes_max: self.compile_memory_bytes_max.or(below.compile_memory_bytes_max),
            compile_cpu_s_max: self.compile_cpu_s_max.or(below.compile_cpu_s_max),
            compile_wall_s_max: self.compile_wall_s_max.or(below.compile_wall_s_max),
            metrics: self.metrics.or(below.metrics),
            log: self.log.or(below.log),
            quota: below.quota.into_iter().chain(self.quota).collect(),
        }
    }
}

/// What a tenant has on this machine. Who sets `slots` wants that many jobs at once; otherwise a
/// tenant may begin more, so that its own short jobs pass its long ones.
fn quota(layer: &Layer, slots: u64, cores: u64, memory: u64) -> Result<Quota, BadQuota> {
    let mut overrides = Overrides::default();
    for (name, value) in &layer.quota {
        overrides.set(Measure::named(name)?, *value)?;
    }
    let running_jobs = if layer.slots.is_some() { slots } else { 3 * slots };
    let machine = Quota { running_jobs, running_memory_bytes: memory / 2, ..Quota::of_machine(slots, cores) };
    Ok(machine.with(&overrides))
}

fn guest_memory(layer: &Layer) -> Result<u64, ConfigError> {
    let least = limits::GUEST_MEMORY_BYTES_MIN;
    let usual = (process::memory_of_machine() / 4 * 3).max(least);
    let bytes = layer.guest_memory_bytes_max.unwrap_or(usual);
    in_range("guest_memory_bytes_max", bytes, least, limits::QUOTA_BYTES_MAX)
}

fn patience(layer: &Layer) -> Result<Patience, ConfigError> {
    let time = |name, set: Option<u64>, otherwise: Duration| {
        in_range(name, set.unwrap_or(millis(otherwise)), 1, 3_600_000).map(Duration::from_millis)
    };
    Ok(Patience {
        head: time("head_timeout_ms", layer.head_timeout_ms, limits::HEAD_TIMEOUT_DEFAULT)?,
        body: time("body_timeout_ms", layer.body_timeout_ms, limits::BODY_TIMEOUT_DEFAULT)?,
        idle: time("connection_idle_ms", layer.connection_idle_ms, limits::CONNECTION_IDLE_DEFAULT)?,
        write: time("write_timeout_ms", layer.write_timeout_ms, limits::WRITE_TIMEOUT_DEFAULT)?,
    })
}

fn compile_limits(layer: &Layer) -> Result<CompileLimits, ConfigError> {
    let default = CompileLimits::default();
    let seconds = |name, set: Option<u64>, otherwise: Duration| {
        in_range(name, set.unwrap_or(otherwise.as_secs()), 1, 86_400).map(Duration::from_secs)
    };
    Ok(CompileLimits {
        memory_bytes_max: in_range(
            "compile_memory_bytes_max",
            layer.compile_memory_bytes_max.unwrap_or(default.memory_bytes_max),
            limits::COMPILE_MEMORY_BYTES_MIN,
            1 << 40,
        )?,
        cpu_max: seconds("compile_cpu_s_max", layer.compile_cpu_s_max, default.cpu_max)?,
        wall_max: seconds("compile_wall_s_max", layer.compile_wall_s_max, default.wall_max)?,
        confinement: default.confinement,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn in_range(name: &'static str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::OutOfRange { name, value, least, most })
}

#[cfg(test)]
mod tests;
