//! Sessile runs other people's WebAssembly jobs in sessions, one transaction
//! per job.
//!
//! Start reading at `service/journey.rs`: the walk of one job, top to bottom.
//! ARCHITECTURE.md has the map.

pub mod ids;
pub mod limits;
pub mod clock;
pub mod meter;
pub mod process;
pub mod confinement;
#[cfg(any(fuzzing, test))]
mod feed;
mod sync;
pub mod root;
pub mod model;
pub mod queue;
pub mod engine;
pub mod store;
pub mod service;
pub mod http;
pub mod config;
pub mod cli;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
