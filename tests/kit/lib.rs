//! The kit: a real server in a test, and few words to talk to it.
//!
//! Comes in: a test, or the crash run of xtask. Goes out: to the server's
//! binary, over HTTP and signals only.
//!
//! Promise: a server lives no longer than the value that stands for it, its
//! data is gone with it, and what it logged is shown only when a test fails.
//!
//! Not here: what is promised. That is in `it/`, one file per promise.

mod server;

mod held;

mod operator;

mod client;

mod session;

mod job;

mod events;

mod answer;

pub mod contract;

pub mod run;

mod wire;

pub mod guests;

mod wait;

mod dice;

pub use answer::Answer;
pub use client::Client;
pub use dice::Dice;
pub use events::Event;
pub use events::Events;
pub use guests::Guest;
pub use held::Held;
pub use held::entries_below;
pub use job::Job;
pub use job::NewJob;
pub use operator::Called;
pub use operator::sessile;
pub use run::Run;
pub use server::Settings;
pub use server::TestServer;
pub use server::server_binary;
pub use session::NewSession;
pub use session::Session;
pub use session::Snapshot;
pub use wait::until;
pub use wire::Heard;
pub use wire::Wire;
