//! What Sessile promises, checked through the real server. One file per promise:
//! this list is the specification's table of contents.
//!
//! Not here: words to talk to the server. They are in `kit/`.

// A test says what it expects by failing; clippy knows that only for the functions with `#[test]` on them.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

// A job, its session, its turn.
mod association;
mod serialisation;
mod streaming;
mod creating;
mod pending;
mod releasing;
mod any_order;
mod life;
mod cut_short;
mod retrying;
mod events;
mod scheduling;
mod expiring;
mod transactions;
mod every_change;
mod explicit;
mod history;
mod dry_runs;
mod small_changes;
mod file_system;
mod durability;
mod counting;
mod crash;

// The end of a job that does not come by itself.
mod cancelling;
mod limits;
mod one_job;
mod liveness;
mod sins;
mod quotas;

// What a guest can reach.
mod walls;
mod left_behind;
mod host_calls;
mod refused_modules;
mod compiling;
mod confinement;

// The API, noun by noun.
mod modules;
mod assembling;
mod sessions;
mod params;
mod fairness;
mod files;
mod archives;
mod jobs;
mod ownership;
mod session_keys;
mod tracking;
mod expiry;
mod errors;

// The front door and whoever comes to it.
mod strangers;
mod framing;
mod bounds;
mod patience;
mod crowds;
mod ui;
mod names;

// The server as a program, and programs on the server.
mod serving;
mod first_key;
mod openapi;
mod operators;
mod metrics;
mod quarantine;
mod upgrade;
mod examples;
mod real_program;
mod soak;
mod thousand;

// The house itself.
mod stairs;
mod house;
mod behaviours;
