//! `sessile serve`: wires the rooms, starts, stops.
//!
//! Order of the start: configuration, data directory, address, confinement, and
//! only then threads: store, engine, recovery, listening, and the line on stdout. Order of the stop: no new
//! jobs, the running ones end, connections end, the store closes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use serde::Serialize;
use tokio::net::TcpSocket;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::ConfigError;
use crate::config::Flags;
use crate::confinement;
use crate::confinement::Demand;
use crate::confinement::Paths;
use crate::engine::CompileLimits;
use crate::engine::Engine;
use crate::engine::EngineConfig;
use crate::engine::EngineError;
use crate::http;
use crate::limits;
use crate::queue::slots;
use crate::service::Service;
use crate::service::Settings;
use crate::service::refusal::Chain;
use crate::service::refusal::Refusal;
use crate::store::Ground;
use crate::store::Store;
use crate::store::StoreConfig;
use crate::store::StoreError;

/// How many tasks go on before a thread looks whether a client has sent something. By
/// itself it is 61, and then a read beside 64 writers waits for most of their steps.
const EVENT_INTERVAL: u32 = 16;

/// Why the server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the server cannot confine itself, and is not to start without: {0}")]
    Unconfined(String),
    #[error("the key of --dev could not be made: {0}")]
    DevKey(Refusal),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot {0}")]
    System(&'static str, #[source] std::io::Error),
}

/// The one line on stdout.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev_key: Option<&'a str>,
}

pub(super) fn serve(flags: &Flags) -> ExitCode {
    let loaded = Config::load(flags, std::env::vars());
    super::log::start(loaded.as_ref().map(|(config, _)| config.log).unwrap_or_default());
    match loaded.map_err(ServeError::from).and_then(|(config, unknown)| {
        for name in unknown {
            tracing::warn!(?name, "this variable means nothing to this version");
        }
        start_and_serve(config)
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("cannot serve: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn start_and_serve(config: Config) -> Result<(), ServeError> {
    let ground = Ground::prepare(&StoreConfig {
        data: config.data.clone(),
        work: config.work.clone(),
        work_bytes_max: config.work_bytes_max,
        quota: config.quota.clone(),
    })?;
    let socket = bind(config.listen).map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let open_files = raise_open_files();
    let open_files = open_files.map_err(|error| ServeError::System("raise its limit on open files", error))?;
    let confinement = confine(&config, &ground)?;
    let store = Store::open_on(ground)?;
    let place = store.work_place();
    tracing::info!(path = ?place.path, bytes_max = place.bytes_max, "working copies: {}", place.why);
    let compile = CompileLimits { confinement, ..config.compile };
    let seats = slots::seats(config.slots);
    let open_files_max = open_files_of_a_guest(open_files, seats);
    let engine = Engine::start(EngineConfig {
        seats,
        open_files_max,
        memory_bytes_max: config.guest_memory_bytes_max,
        compile,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .thread_name("http")
        .build()
        .map_err(|error| ServeError::System("start the threads of the server", error))?;
    let settings = Settings {
        slots: config.slots,
        queue_max: config.queue_max,
        unknown_sessions: config.unknown_sessions,
        sweep_interval: config.sweep_interval,
        reply_timeout: config.reply_timeout,
    };
    let served = runtime.block_on(run(&config, socket, store.clone(), engine, settings));
    // What a task still holds must go before the store closes: the last handle
    // waits for writes, and must be dropped here, outside the runtime.
    drop(runtime);
    drop(store);
    tracing::info!("stopped");
    served
}

/// Puts up the second wall, which holds for threads that are started from here on.
/// What there was for the server, its compilers must have too.
fn confine(config: &Config, ground: &Ground) -> Result<Demand, ServeError> {
    confinement::leave_nothing_behind().map_err(|error| ServeError::System("turn off core dumps", error))?;
    let confined = confinement::confine_server(Paths { data: ground.data(), work: ground.work() });
    match confined.meets(Demand::Whole) {
        Ok(()) => {
            tracing::info!("confined by {confined}");
            Ok(Demand::Whole)
        }
        Err(missing) if config.require_confinement => Err(ServeError::Unconfined(missing)),
        Err(missing) => {
            tracing::warn!("confined by {confined}; missing: {missing}");
            Ok(Demand::WhatThisMachineHas)
        }
    }
}

async fn run(
    config: &Config,
    socket: TcpSocket,
    store: Store,
    engine: Engine,
    settings: Settings,
) -> Result<(), ServeError> {
    // Before anything is said on stdout, so that no signal can be missed after it.
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| ServeError::System("listen for SIGTERM", error))?;
    let service = Service::start(store, engine, settings, Clock::system()).await?;
    let dev_key = if config.dev { Some(service.dev_key().await.map_err(ServeError::DevKey)?) } else { None };
    if service.keys().is_empty() {
        tracing::warn!(
            "there is no API key yet, so every request is refused; stop the server and make one: \
             `sessile tenant create NAME --data {data}`, then \
             `sessile key create --tenant NAME --principal NAME --scope root --scope admin --scope submit \
             --scope modules --data {data}` (or try it out with `sessile serve --dev`)",
            data = config.data.display()
        );
    }
    // What waits to be accepted is bounded by us, not by the small default.
    let listener = socket.listen(limits::BACKLOG_MAX);
    let listener = listener.map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address: config.listen, source })?;

    let stop = CancellationToken::new();
    let settings = http::server::Settings {
        patience: config.patience,
        connections_max: config.connections_max.unwrap_or(connections_max()),
    };
    let router = http::router(service.clone(), config.metrics);
    let http = tokio::spawn(http::server::serve(listener, router, settings, stop.clone()));
    announce(&Ready { event: "ready", url: format!("http://{address}"), dev_key: dev_key.as_deref() })?;

    tokio::select! {
        _ = terminated.recv() => tracing::info!("SIGTERM"),
        _ = tokio::signal::ctrl_c() => tracing::info!("interrupted"),
    }
    service.drain(config.drain_timeout).await;
    stop.cancel();
    if let Err(error) = http.await {
        tracing::error!(%error, "the HTTP server failed");
    }
    Ok(())
}

/// How many connections fit beside what guests and the store open.
fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = usize::try_from(files / limits::OPEN_FILES_PER_CONNECTION).unwrap_or(usize::MAX);
    share.clamp(4, limits::CONNECTIONS_MAX)
}

/// Makes the soft limit on open files the hard one, and gives that.
fn raise_open_files() -> std::io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// What each of so many guests may hold open, so that all of them together hold
/// no more than half of what the process may: the rest is the server's.
fn open_files_of_a_guest(of_the_process: u64, guests: usize) -> usize {
    let half = usize::try_from(of_the_process / 2).unwrap_or(usize::MAX);
    let share = half / guests.max(1);
    if share < limits::OPEN_FILES_MIN {
        tracing::warn!(
            "{guests} guests may have begun at once, and this process may open {of_the_process} files: too few, \
             so guests can use them up; raise the limit on open files, or lower `slots`"
        );
    }
    share.clamp(limits::OPEN_FILES_MIN, limits::OPEN_FILES_MAX)
}

/// A socket with the server's address, the last one that it may have. Nobody can
/// connect before it listens.
fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the last connections of the server before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Prints the line that says the server can take jobs.
fn announce(ready: &Ready<'_>) -> Result<(), ServeError> {
    let line = serde_json::to_string(ready).expect("three strings always make JSON");
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| ServeError::System("print that the server is ready", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b17_all_guests_together_hold_at_most_half_of_the_files_of_the_process() {
        for (of_the_process, guests) in [(1_024, 16), (20_000, 256), (1 << 20, 1_024), (u64::MAX, 4_352), (65_536, 8)] {
            let each = open_files_of_a_guest(of_the_process, guests);
            assert!((limits::OPEN_FILES_MIN..=limits::OPEN_FILES_MAX).contains(&each), "{each}");
            assert!((each * guests) as u64 <= of_the_process / 2, "{each} for each of {guests}");
        }
    }

    #[test]
    fn where_there_are_too_few_files_a_guest_still_has_what_a_program_needs() {
        assert_eq!(open_files_of_a_guest(256, 1_000), limits::OPEN_FILES_MIN);
    }
}
