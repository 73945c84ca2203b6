//! Who is asking, and what their key allows.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::ids::PrincipalId;
use crate::ids::TenantId;

/// One thing that a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read modules; use sessions and jobs.
    Submit,
    /// Upload and delete modules.
    Modules,
    /// See and drop what other principals of the tenant have.
    Admin,
    /// The operator: tenants and their keys.
    Root,
}

impl Scope {
    /// All scopes, in the order in which they are printed.
    pub const ALL: [Scope; 4] = [Scope::Submit, Scope::Modules, Scope::Admin, Scope::Root];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Submit => "submit",
            Scope::Modules => "modules",
            Scope::Admin => "admin",
            Scope::Root => "root",
        })
    }
}

/// A word that names no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; the scopes are submit, modules, admin and root")]
pub struct BadScope(String);

impl FromStr for Scope {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, BadScope> {
        let named = Scope::ALL.into_iter().find(|scope| scope.to_string() == text);
        named.ok_or_else(|| BadScope(text.chars().take(64).collect()))
    }
}

/// The owner of a session or job: one principal of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    pub tenant: TenantId,
    pub principal: PrincipalId,
}

/// Whoever sent a request, as known from its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub owner: Owner,
    pub scopes: BTreeSet<Scope>,
}

impl Caller {
    /// Whether the key allows `scope`. `root` allows everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Root)
    }
}
