//! What the operating system says of this process, and of what it may have.
//!
//! Promise: to ask changes nothing, and what the system does not tell is absent and
//! not zero.

use std::fs;
use std::time::Duration;

use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// A moment of this process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Processor time of all its threads. That of compilers is not among it: they are processes.
    pub cpu: Duration,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    /// `None`: as many as it likes.
    pub open_files_max: Option<u64>,
}

impl Process {
    /// Asks now. Reads a few files of the kernel's.
    pub fn look() -> Process {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(cpu.tv_nsec).unwrap_or(0);
        Process {
            cpu: Duration::new(seconds, nanos),
            resident_bytes: fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes),
            // The one that lists them is among them.
            open_files: fs::read_dir("/proc/self/fd").ok().map(|all| (all.count() as u64).saturating_sub(1)),
            open_files_max: getrlimit(Resource::Nofile).current,
        }
    }
}

/// Memory that the machine has, or the container that this is.
pub fn memory_of_machine() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit));
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    container.and_then(|most| most.trim().parse().ok()).map_or(machine, |most: u64| most.min(machine))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_somewhere_and_has_files_open() {
        let before = Process::look();
        let open: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let after = Process::look();
        assert!(after.open_files.unwrap() >= 50 && after.cpu >= before.cpu, "{before:?} {after:?}");
        assert!(after.resident_bytes.unwrap() > 1 << 20, "{after:?}");
        drop(open);
    }

    #[test]
    fn what_is_not_told_is_absent() {
        assert_eq!(resident_bytes("VmPeak:\t  10 kB\nVmRSS:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(resident_bytes("VmPeak:\t  10 kB\n"), None);
    }
}
