//! Each test confines a thread of its own, which is how the wall works: it holds
//! for the thread that puts it up, and for all that this one starts.

use std::fs;
use std::fs::File;
use std::io;
use std::io::ErrorKind::PermissionDenied;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use libc::c_long;
use tempfile::TempDir;

use super::*;

/// A data directory and a place for working copies, as a server has them.
struct Home {
    data: TempDir,
    memory: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { data: tempfile::tempdir().unwrap(), memory: tempfile::tempdir().unwrap() };
        fs::create_dir(home.work()).unwrap();
        home
    }

    fn work(&self) -> std::path::PathBuf {
        self.memory.path().join("work")
    }

    /// Does this in a thread that is confined as a server is, and shows it what stands.
    fn as_server(&self, work: impl FnOnce(&Confinement) + Send) {
        let paths = (self.data.path().to_owned(), self.work());
        in_thread(move || {
            let (data, place) = &paths;
            work(&confine_server(Paths { data, work: place }));
        });
    }
}

/// A panic in there is the test's.
fn in_thread(work: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Whether the machine that tests has Landlock; where not, there is nothing to see.
fn has_landlock(confined: &Confinement) -> bool {
    if let Err(why) = &confined.files {
        eprintln!("not tried here, without Landlock: {why}");
    }
    confined.files.is_ok()
}

#[track_caller]
fn check_denied<T>(done: io::Result<T>) {
    let error = done.map(drop).expect_err("it must be refused");
    assert_eq!(error.kind(), PermissionDenied, "{error}");
}

/// A system call with these arguments, and how it fails.
fn errno(call: c_long, args: [c_long; 4]) -> i32 {
    let [a, b, c, d] = args;
    // SAFETY: all that is called here is refused before the kernel looks at an argument; if it
    // were not, zeros are no addresses.
    let answer = unsafe { libc::syscall(call, a, b, c, d, 0, 0) };
    if answer == -1 { io::Error::last_os_error().raw_os_error().unwrap_or_default() } else { 0 }
}

#[test]
fn a_server_works_in_its_own_directories() {
    let home = Home::new();
    home.as_server(|_| {
        for dir in [home.data.path().to_owned(), home.work()] {
            fs::create_dir(dir.join("one")).unwrap();
            fs::create_dir(dir.join("two")).unwrap();
            fs::write(dir.join("one/file"), "text").unwrap();
            fs::rename(dir.join("one/file"), dir.join("two/file")).unwrap();
            std::os::unix::fs::symlink("file", dir.join("two/link")).unwrap();
            fs::OpenOptions::new().write(true).open(dir.join("two/link")).unwrap().set_len(2).unwrap();
            assert_eq!(fs::read_to_string(dir.join("two/link")).unwrap(), "te");
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
            fs::remove_dir_all(dir.join("two")).unwrap();
            fs::remove_dir(dir.join("one")).unwrap();
        }
        // What it looks at besides, and the end of its place in memory.
        let _ = File::open("/proc/self/pagemap").unwrap();
        fs::remove_dir(home.work()).unwrap();
    });
}

#[test]
fn a_server_reaches_no_other_file() {
    let home = Home::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("file");
    fs::write(&file, "text").unwrap();
    std::os::unix::fs::symlink(&file, home.data.path().join("link")).unwrap();
    home.as_server(|confined| {
        if !has_landlock(confined) {
            return;
        }
        check_denied(File::open("/etc/passwd"));
        check_denied(File::open("/proc/1/status"));
        check_denied(fs::read_dir("/"));
        check_denied(File::open(&file));
        check_denied(File::open(home.data.path().join("link")));
        check_denied(fs::write(&file, "other"));
        check_denied(fs::write(home.memory.path().join("beside"), "new"));
        check_denied(fs::remove_file(&file));
        // Threads that are started now, and threads of theirs.
        in_thread(|| in_thread(|| check_denied(File::open(&file))));
    });
    // Only the thread is confined, so that the tests beside this one are not.
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
}

#[test]
fn a_server_executes_its_own_program_and_no_other() {
    let home = Home::new();
    let copy = home.data.path().join("sh");
    // By another process: a program that is open for writing, here or in a child that a
    // test beside this one is just starting, could not be executed by anybody.
    assert!(Command::new("cp").arg("/bin/sh").arg(&copy).status().unwrap().success());
    // Without `inherit` it would fail for want of /dev/null.
    let call = |program: &Path, arg: &str| Command::new(program).arg(arg).stdin(Stdio::inherit()).output();
    assert!(call(&copy, "--version").is_ok(), "it could be executed before");
    home.as_server(|confined| {
        let ourselves = call("/proc/self/exe".as_ref(), "--list").unwrap();
        assert!(ourselves.status.success(), "{ourselves:?}");
        if has_landlock(confined) {
            check_denied(call("/bin/sh".as_ref(), "--version"));
            check_denied(call(&copy, "--version"));
        }
    });
}

#[test]
fn a_server_makes_none_of_the_calls_that_lead_out() {
    Home::new().as_server(|confined| {
        assert_eq!(confined.calls, Ok(()));
        for call in calls::NEVER.iter().chain(calls::NEVER_HERE) {
            assert_eq!(errno(*call, [0; 4]), libc::EPERM, "call {call}");
        }
        let new_user: c_long = (libc::CLONE_NEWUSER | libc::SIGCHLD).into();
        assert_eq!(errno(libc::SYS_clone, [new_user, 0, 0, 0]), libc::EPERM);
        assert_eq!(errno(libc::SYS_ioctl, [0, libc::TIOCSTI as c_long, 0, 0]), libc::EPERM);
        assert_eq!(errno(libc::SYS_prlimit64, [1, 0, 0, 0]), libc::EPERM);
        // Such as a library makes itself do without.
        assert_eq!(errno(libc::SYS_clone3, [0; 4]), libc::ENOSYS);
        for newer in [calls::NEWEST + 1, 0x4000_0000 | 520, c_long::from(i32::MAX)] {
            assert_eq!(errno(newer, [0; 4]), libc::ENOSYS, "call {newer}");
        }
        let _ = UnixStream::pair().expect("signals come through one");
        check_denied(UnixDatagram::pair());
    });
}

#[test]
fn a_server_calls_nobody_and_only_who_called_it_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    Home::new().as_server(|_| {
        let (mut called, _) = listener.accept().unwrap();
        called.write_all(b"answer").unwrap();
        drop(called);
        check_denied(TcpStream::connect(address));
        check_denied(TcpListener::bind("127.0.0.1:0"));
    });
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

/// Each part of the wall stands without the other.
#[test]
fn landlock_alone_keeps_files_the_network_and_other_processes_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    in_thread(|| {
        let Ok(reach) = give_up_privileges().and_then(|()| files::confine(&[])) else { return };
        check_denied(File::open("/etc/passwd"));
        if reach.version >= 4 {
            check_denied(TcpStream::connect(address));
            check_denied(TcpListener::bind("127.0.0.1:0"));
        }
        if reach.version >= 6 {
            let parent = rustix::process::getppid().unwrap();
            check_denied(rustix::process::test_kill_process(parent).map_err(io::Error::from));
        }
    });
}

#[test]
fn a_compiler_has_its_open_files_memory_and_threads_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    let mut open = File::create_new(&path).unwrap();
    // Also where there is no Landlock.
    in_thread(|| {
        calls::confine_compiler().unwrap();
        check_compiler(&mut open, &path);
    });
    in_thread(|| {
        assert_eq!(confine_compiler().calls, Ok(()));
        check_compiler(&mut open, &path);
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "codecode");
}

fn check_compiler(open: &mut File, path: &Path) {
    open.write_all(b"code").unwrap();
    assert_eq!(thread::spawn(|| vec![1_u8; 10 << 20].len()).join().unwrap(), 10 << 20);
    check_denied(File::open(path));
    check_denied(fs::remove_file(path));
    check_denied(fs::create_dir(path.with_file_name("dir")));
    check_denied(UnixStream::pair());
    assert_eq!(errno(libc::SYS_execve, [0; 4]), libc::EPERM);
    assert_eq!(errno(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0]), libc::EPERM);
}

#[test]
fn what_is_missing_has_its_name_and_reason() {
    let half = Confinement {
        privileges: Ok(()),
        files: Err("this kernel does not have it".to_owned()),
        calls: Err("no".to_owned()),
    };
    assert_eq!(half.to_string(), "no new privileges");
    assert_eq!(half.meets(Demand::WhatThisMachineHas), Ok(()));
    let missing = half.meets(Demand::Whole).unwrap_err();
    assert_eq!(missing, "Landlock (this kernel does not have it); seccomp (no)");
}
