//! What an operator can do with a data directory: check it, save it, bring it back.

mod check;
mod backup;
mod restore;
pub(crate) mod store;
