//! Which system calls a process can make, by seccomp.
//!
//! Promise: what is refused fails with EPERM, and what is newer than the lists
//! here with ENOSYS, as on an older kernel.
//!
//! The lists name what is dangerous and not what is needed: libraries change what
//! they call, and a server that fails on another libc would be run without a wall.
//! The kernel remembers which calls are always allowed, so those cost nothing.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::BpfProgram;
use seccompiler::SeccompAction;
use seccompiler::SeccompCmpArgLen;
use seccompiler::SeccompCmpOp;
use seccompiler::SeccompCondition;
use seccompiler::SeccompFilter;
use seccompiler::SeccompRule;
use seccompiler::TargetArch;
use seccompiler::sock_filter;

/// The last call that was looked at for the lists below. Also lower than all
/// second names that calls have on x86-64 (x32).
pub(super) const NEWEST: c_long = libc::SYS_mseal;

/// Never made by a server that serves, nor by a compiler.
pub(super) const NEVER: &[c_long] = &[
    // Other processes: looking into them and changing them.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // Another view of the system: mounts, roots, namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Files by other ways than their names, and such as are none.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_mknodat,
    // By name, which the oldest Landlock does not see; the server only cuts open files.
    libc::SYS_truncate,
    // The network: the one socket was bound before.
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    // Parts of the kernel that are large, and where holes are found.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    // The machine as a whole.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Becoming somebody else, where root runs the server.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    // The other way to execute, which sees no path.
    libc::SYS_execveat,
];

/// The same, as far as it differs between machines.
#[cfg(target_arch = "x86_64")]
pub(super) const NEVER_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_mknod,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const NEVER_HERE: &[c_long] = &[294]; // kexec_file_load, which not every libc names.

/// Made by the server, and not by the compiler once it has begun: to execute, to
/// open a file, to change one that has a name.
const NEVER_IN_COMPILER: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_socketpair,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_listen,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
];

#[cfg(target_arch = "x86_64")]
const NEVER_IN_COMPILER_HERE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_IN_COMPILER_HERE: &[c_long] = &[];

/// A namespace of its own for a new process.
const NEW_NAMESPACES: [i32; 8] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    0x80, // CLONE_NEWTIME
];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Confines the calling thread, and all that it starts, to what a server does.
pub(super) fn confine_server() -> Result<(), String> {
    apply(&as_on_an_older_kernel())?;
    apply(&refusing(server().map_err(|error| error.to_string())?)?)
}

/// The same for a compiler, which the server's filters bind already unless the
/// server has none.
pub(super) fn confine_compiler() -> Result<(), String> {
    apply(&as_on_an_older_kernel())?;
    apply(&refusing(compiler().map_err(|error| error.to_string())?)?)
}

fn server() -> Result<Rules, seccompiler::BackendError> {
    // No condition means always.
    let mut rules: Rules = NEVER.iter().chain(NEVER_HERE).map(|call| (*call, Vec::new())).collect();
    let flag_set = |flag: i32| (0, SeccompCmpOp::MaskedEq(flag as u64), flag as u64);
    rules.insert(libc::SYS_clone, if_any(NEW_NAMESPACES.map(flag_set))?);
    // Those that can be sent to a name. The signals of tokio come through a pair of streams.
    let kind = |kind: i32| (1, SeccompCmpOp::MaskedEq(0xf), kind as u64);
    rules.insert(libc::SYS_socketpair, if_any([libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET].map(kind))?);
    // Typing into the terminal that the server was started from.
    rules.insert(libc::SYS_ioctl, if_any([TIOCSTI, TIOCLINUX].map(|what| (1, SeccompCmpOp::Eq, what)))?);
    // The limits of other processes.
    rules.insert(libc::SYS_prlimit64, if_any([(0, SeccompCmpOp::Ne, 0)])?);
    Ok(rules)
}

fn compiler() -> Result<Rules, seccompiler::BackendError> {
    let mut rules = server()?;
    rules.extend(NEVER_IN_COMPILER.iter().chain(NEVER_IN_COMPILER_HERE).map(|call| (*call, Vec::new())));
    // New threads, and no new processes.
    let no_thread = (0, SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64), 0);
    rules.insert(libc::SYS_clone, if_any([no_thread])?);
    Ok(rules)
}

// What libc has for them has another type on each libc, or none.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// One rule for each of: argument, comparison, value.
fn if_any<const N: usize>(cases: [(u8, SeccompCmpOp, u64); N]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |(argument, compare, value)| {
        SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)?])
    };
    cases.into_iter().map(rule).collect()
}

/// A filter under which these fail with EPERM.
fn refusing(rules: Rules) -> Result<BpfProgram, String> {
    let machine: TargetArch = std::env::consts::ARCH.try_into().map_err(|_| "not for this machine".to_owned())?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine);
    filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
}

/// A filter under which calls that are newer than our lists do not exist, nor
/// `clone3`, whose flags no filter can see: libraries call `clone` instead.
fn as_on_an_older_kernel() -> BpfProgram {
    let step = |code: u32, jt, jf, k: u32| sock_filter { code: code as u16, jt, jf, k };
    vec![
        // The call's number is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 2, 0, libc::SYS_clone3 as u32),
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, 0, NEWEST as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}

fn apply(filter: &BpfProgram) -> Result<(), String> {
    seccompiler::apply_filter(filter).map_err(|error| match error {
        seccompiler::Error::Seccomp(cause) | seccompiler::Error::Prctl(cause) => cause.to_string(),
        other => other.to_string(),
    })
}
