//! The rulebook: what tenants, modules, sessions and jobs are, and what may
//! happen to them.
//!
//! Promise: no input or output, no clock, no tasks. The same question always
//! gets the same answer, so every rule here has plain unit tests.
//!
//! Not here: how any of it is stored (`store`) or written in JSON (`http`).

pub mod caller;
pub mod quota;
pub mod bucket;
pub mod module;
pub mod path;
pub mod entry;
pub mod touched;
pub mod params;
pub mod session;
pub mod history;
pub mod life;
pub mod expiry;
pub mod rolling_key;
pub mod job;
pub mod schedule;
pub mod stage;
pub mod outcome;
pub mod nesting;
