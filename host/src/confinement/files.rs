//! Which files a process can reach, by Landlock: those that are granted here,
//! and no others, whatever their permissions say.
//!
//! Promise: only the server's own program and its loader can be executed, and
//! nothing that lies where the server can write.
//!
//! Not here: files that are open already. They stay open.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use landlock::ABI;
use landlock::Access as _;
use landlock::AccessFs;
use landlock::AccessNet;
use landlock::BitFlags;
use landlock::CompatLevel;
use landlock::Compatible as _;
use landlock::LandlockStatus;
use landlock::PathBeneath;
use landlock::PathFd;
use landlock::Ruleset;
use landlock::RulesetAttr as _;
use landlock::RulesetCreated;
use landlock::RulesetCreatedAttr as _;
use landlock::RulesetError;
use landlock::RulesetStatus;
use landlock::Scope;

use crate::confinement::Paths;

/// Linux 5.19. The first version, before it, refuses every move between directories.
const LEAST: ABI = ABI::V2;
/// Linux 6.12. What came later has not been tried with this server.
const NEWEST: ABI = ABI::V6;

/// The server's own program, whatever has become of its name.
const OURSELVES: &str = "/proc/self/exe";

/// What the server and its libraries look at besides: itself, and how many
/// processors there are. Where the loader finds libraries, for the compiler's child.
const LOOKED_AT: [&str; 4] = ["/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/etc/ld.so.cache"];

/// One path, and what may be done at it and beneath it.
#[derive(Debug)]
pub(super) struct Grant {
    path: PathBuf,
    access: BitFlags<AccessFs>,
    /// Not every machine has all that is looked at.
    must_be_there: bool,
}

/// How much of Landlock this kernel has.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) version: i32,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.version)?;
        // What seccomp cannot make up for.
        if self.version < NEWEST as i32 {
            write!(f, ", which lets signals through")?;
        }
        Ok(())
    }
}

/// What a server can reach.
pub(super) fn of_server(paths: Paths<'_>) -> Vec<Grant> {
    let may = |path: PathBuf, access| Grant { path, access, must_be_there: true };
    let mut grants = vec![may(paths.data.to_owned(), in_our_directories())];
    if !paths.work.starts_with(paths.data) {
        grants.push(may(paths.work.to_owned(), in_our_directories()));
        let above = paths.work.parent().map(PathBuf::from);
        grants.extend(above.map(|above| may(above, AccessFs::RemoveDir.into())));
    }
    let (run, look) = (AccessFs::Execute | AccessFs::ReadFile, AccessFs::ReadFile | AccessFs::ReadDir);
    grants.push(may(OURSELVES.into(), run));
    let might = |path: PathBuf, access| Grant { path, access, must_be_there: false };
    for library in libraries() {
        // Also those beside it: one that is upgraded is another file, which the next compiler loads.
        grants.extend(library.parent().map(|beside| might(beside.to_owned(), look)));
        grants.push(might(library, run));
    }
    grants.extend(LOOKED_AT.map(|path| might(path.into(), look)));
    grants
}

/// All that makes and changes files, directories and links. Nothing is executed
/// there, and no device, socket or pipe is made.
fn in_our_directories() -> BitFlags<AccessFs> {
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::MakeFifo;
    AccessFs::from_all(NEWEST) & !(never | AccessFs::IoctlDev)
}

/// The files whose code this process consists of besides its program: the loader,
/// which is executed again for the compiler's child, and what it loads.
fn libraries() -> BTreeSet<PathBuf> {
    // Without it no child can start where libraries are shared, which an upload will tell.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let code = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.contains('x')));
    let mut files: BTreeSet<_> = code.filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..]))).collect();
    if let Ok(program) = fs::read_link(OURSELVES) {
        files.remove(&program);
    }
    files
}

/// Leaves the calling thread, and all that it starts, with these grants.
pub(super) fn confine(grants: &[Grant]) -> Result<Reach, String> {
    let failed = |error: RulesetError| match error {
        RulesetError::HandleAccesses(_) => format!("this kernel has none, or none of version {}", LEAST as i32),
        other => other.to_string(),
    };
    let mut rules = nothing_allowed().map_err(failed)?;
    for grant in grants {
        let open = match PathFd::new(&grant.path) {
            Ok(open) => open,
            Err(_) if !grant.must_be_there => continue,
            Err(error) => return Err(error.to_string()),
        };
        let access = if grant.path.is_dir() { grant.access } else { grant.access & AccessFs::from_file(NEWEST) };
        rules = rules.add_rule(PathBeneath::new(open, access)).map_err(failed)?;
    }
    let status = rules.restrict_self().map_err(failed)?;
    match (status.ruleset, status.landlock) {
        (
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
            LandlockStatus::Available { effective_abi, kernel_abi },
        ) => Ok(Reach { version: kernel_abi.unwrap_or(effective_abi as i32) }),
        _ => Err("the kernel did not enforce it".to_owned()),
    }
}

/// Rules under which nothing can be opened, no port be used, and no process but
/// our own get a signal.
fn nothing_allowed() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()
}
