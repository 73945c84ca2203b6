//! Modules: immutable versions under a name, and how a job names one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::BadName;
use crate::ids::Digest;
use crate::ids::ModuleName;
use crate::ids::PrincipalId;

/// What kind of WebAssembly a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModuleKind {
    /// A WASI p1 command: a core module that exports `_start`.
    Core,
    /// A WASI p2 command: a component that exports `wasi:cli/run`.
    Component,
}

/// Whether jobs can run a version yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// Accepted, and being compiled; jobs that name it are refused meanwhile.
    Compiling,
    /// Jobs can run it.
    Ready,
    /// Compilation failed, for this reason; nothing can run it.
    Rejected { reason: String },
}

/// One immutable version of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleVersion {
    pub name: ModuleName,
    /// 1 for the first upload under the name, and so on; never used twice.
    pub version: u32,
    pub digest: Digest,
    pub size_bytes: u64,
    pub state: ModuleState,
    pub kind: ModuleKind,
    /// What it imports, as `module.name` for a core module and as the
    /// interface's name for a component; sorted.
    pub imports: Arc<[String]>,
    pub created_at: Timestamp,
    pub created_by: PrincipalId,
}

/// Which version of a name is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    Latest,
    Version(u32),
    Digest(Digest),
}

/// How a job names a module: `name`, `name@3` or `name@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModuleRef {
    pub name: ModuleName,
    pub which: Which,
}

/// Why a text names no module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadModuleRef {
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("`{0}` is not a module version; write `name`, `name@3` or `name@sha256:…`")]
    Version(String),
}

impl FromStr for ModuleRef {
    type Err = BadModuleRef;

    fn from_str(text: &str) -> Result<Self, BadModuleRef> {
        let Some((name, which)) = text.split_once('@') else {
            return Ok(Self { name: text.parse()?, which: Which::Latest });
        };
        let name = name.parse()?;
        if which.starts_with("sha256:") {
            return Ok(Self { name, which: Which::Digest(which.parse()?) });
        }
        let digits_only = which.bytes().all(|b| b.is_ascii_digit());
        match which.parse() {
            Ok(number) if digits_only && number > 0 => Ok(Self { name, which: Which::Version(number) }),
            _ => Err(BadModuleRef::Version(which.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for ModuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Latest => write!(f, "{}", self.name),
            Which::Version(number) => write!(f, "{}@{number}", self.name),
            Which::Digest(digest) => write!(f, "{}@{digest}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, well_formed: bool) {
        let parsed = text.parse::<ModuleRef>();
        assert_eq!(parsed.is_ok(), well_formed, "{text}: {parsed:?}");
        if let Ok(reference) = parsed {
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn a_reference_is_a_name_and_maybe_a_version() {
        check("letter", true);
        check("letter@3", true);
        check(&format!("letter@{}", Digest::of(b"x")), true);
        check("letter@", false);
        check("letter@0", false);
        check("letter@+3", false);
        check("letter@latest", false);
        check("letter@sha256:abc", false);
        check("@3", false);
        check("Letter", false);
    }
}
