//! The second wall: before it takes a request, the server has given up what it
//! does not need. That it still does all that is promised, each other file here
//! shows; what the wall keeps out, `host/src/confinement/tests.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use libc::c_long;
use seccompiler::BpfProgram;
use seccompiler::SeccompAction;
use seccompiler::SeccompFilter;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;

/// Does this on a machine without one system call: the kernel says so to this
/// thread, and to the servers that it starts.
fn without(call: c_long, errno: i32, work: impl FnOnce() + Send + 'static) {
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let missing = SeccompAction::Errno(errno as u32);
    let rules = BTreeMap::from([(call, Vec::new())]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, machine).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    let done = thread::spawn(move || {
        seccompiler::apply_filter(&filter).unwrap();
        work();
    });
    done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A line of `/proc/…/status`.
fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

#[tokio::test]
async fn every_thread_of_a_server_is_confined() {
    let server = TestServer::start().await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
        // One that has ended meanwhile has no status.
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else { continue };
        assert_eq!((&*field(&status, "NoNewPrivs"), &*field(&status, "Seccomp")), ("1", "2"), "{status}");
        threads += 1;
    }
    assert!(threads > 4, "{threads} threads");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
    let log = server.log();
    let said = log.lines().find(|line| line.contains("confined by")).unwrap();
    assert!(said.contains("seccomp, no new privileges"), "{said}");
}

/// Bends a directory of the server's so that it leads elsewhere, and has the server
/// write there; answers with the status.
async fn write_elsewhere(server: &TestServer) -> u16 {
    let elsewhere = tempfile::tempdir().unwrap();
    let tmp = server.data().join("tmp");
    fs::remove_dir(&tmp).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &tmp).unwrap();
    server.upload("other", guests::WHOAMI.component().bytes()).await.status
}

#[tokio::test]
async fn a_server_writes_nowhere_but_in_its_own_directories() {
    let server = TestServer::start().await;
    server.ready(guests::HELLO).await;
    if !server.log().contains("Landlock (version") {
        return;
    }
    assert_eq!(write_elsewhere(&server).await, 500);
    assert!(server.log().contains("Permission denied"), "{}", server.log());
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
}

#[tokio::test]
async fn a_server_that_has_to_be_confined_serves_where_that_is_possible() {
    // Not everywhere: this kernel may have no Landlock.
    if TestServer::start().await.log().contains("missing:") {
        return;
    }
    let server = TestServer::with("require_confinement", true).start().await;
    let session = server.new_session().with_file("one.txt", "one").await;
    let _ = session.run(guests::LIST_ROOT).await.succeeded();
}

/// Both are needed, and each is named.
#[test]
fn a_server_that_has_to_be_confined_does_not_start_where_it_cannot_be() {
    for (call, name) in [(libc::SYS_landlock_create_ruleset, "Landlock ("), (libc::SYS_seccomp, "seccomp (")] {
        without(call, libc::ENOSYS, move || {
            let home = tempfile::tempdir().unwrap();
            let data = home.path().join("data");
            let args = ["serve", "--listen", "127.0.0.1:0", "--require-confinement", "--data"];
            let refused = sessile(args.map(Into::into).into_iter().chain([data.into_os_string()])).expect(1);
            assert!(refused.stderr.contains("cannot confine itself"), "{refused:?}");
            assert!(refused.stderr.contains(name), "{refused:?}");
            assert_eq!(refused.lines, Vec::<String>::new());
        });
    }
}

#[test]
fn a_server_that_need_not_be_confined_says_what_is_missing_and_serves() {
    // As a container says it whose own filter is older than Landlock.
    without(libc::SYS_landlock_create_ruleset, libc::EPERM, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = TestServer::start().await;
            let log = server.log();
            assert!(
                log.contains("confined by seccomp, no new privileges; missing: Landlock (this kernel has none"),
                "{log}"
            );
            // Its compilers do without too.
            let _ = server.new_job(guests::HELLO).run().await.succeeded();
            // Nor is it kept from what Landlock would have kept it from.
            assert_eq!(write_elsewhere(&server).await, 201);
        });
    });
}

/// The files for service managers lie beside the server and age with it.
#[test]
fn what_the_unit_and_the_container_file_say_the_server_knows() {
    let dist = |name| fs::read_to_string(format!("{}/../host/dist/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (unit, container) = (dist("sessile.service"), dist("Containerfile"));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let help = sessile(["serve", "--help"]).expect(0).lines.join("\n");
    for flag in start.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(help.contains(flag), "{flag}");
    }
    let words =
        unit.lines().chain(container.lines()).filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let variables: BTreeMap<_, _> = words.filter_map(|word| word.split_once("SESSILE_")?.1.split_once('=')).collect();
    assert!(variables.len() == 4, "{variables:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let setting = |(name, value): (&&str, &&str)| match *value {
        "true" | "false" => format!("{} = {value}\n", name.to_lowercase()),
        _ => format!("{} = {value:?}\n", name.to_lowercase()),
    };
    // A bad value, so that it stops after it has read the file: what it complains of is that alone.
    fs::write(file.path(), variables.iter().map(setting).collect::<String>() + "slots = 0\n").unwrap();
    let refused = sessile(["serve", "--config", file.path().to_str().unwrap()]).expect(1);
    assert!(refused.stderr.contains("`slots` is 0"), "{refused:?}");
}

/// B14 on a kernel, or under a container's filter, that does not have `openat2`: each step of a path is looked at by ourselves.
#[test]
fn b14_no_path_link_or_trick_leads_out_with_and_without_openat2() {
    let tries = || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let server = TestServer::start().await;
            for dress in guests::ESCAPE.dresses() {
                let session = server.new_session().await;
                let told = session.run(dress.clone()).await.succeeded().stdout().await;
                assert_eq!(told, "", "{}", dress.name);
            }
            // What is allowed works.
            let session = server.new_session().await;
            for dress in guests::ODD_TREE.dresses() {
                let _ = server.new_job(dress).run().await.succeeded();
                let _ = session.run(guests::COUNTER_FILE).await.succeeded();
            }
            assert_eq!(session.text("counter").await, "2");
        });
    };
    tries();
    without(libc::SYS_openat2, libc::ENOSYS, tries);
}
