//! B4: compiling is the one thing that Wasmtime does not bound, so the server
//! does: in memory, in processor time, in time, and in number.

use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::sessile;
use sessile_kit::until;

/// Far below what would be no bound at all, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(2);

/// The least that may be set.
const LITTLE_MEMORY: u64 = 256 << 20;

/// A number as WebAssembly's binary format has it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn section(id: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[id], leb(content.len()).as_slice(), &content].concat()
}

/// A command of `count` functions with the same body.
fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    let count_of = leb(count);
    let bodies = [leb(body.len()).as_slice(), body].concat().repeat(count);
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[b"\x01\x60\0\0"]),
        section(3, &[&count_of, &vec![0; count]]),
        section(5, &[b"\x01\0\x01"]),
        section(7, &[b"\x02\x06_start\0\0\x06memory\x02\0"]),
        section(10, &[&count_of, &bodies]),
    ]
    .concat()
}

/// Takes the compiler 5 GB.
fn a_million_empty_functions() -> Vec<u8> {
    functions(1_000_000, b"\0\x0b")
}

/// Takes the compiler a second or so for each 5,000, and little memory. All of
/// them differ.
fn sums(count: usize, which: u8) -> Vec<u8> {
    let locals = b"\x01\x10\x7f";
    let sum = |n: u8| [0x20, n % 16, 0x20, (n + which) % 16, 0x6a, 0x21, (n * 7) % 16];
    let body = [&locals[..], &(0..30).flat_map(sum).collect::<Vec<_>>(), b"\x0b"].concat();
    functions(count, &body)
}

/// One that takes long on any machine.
fn endless(which: u8) -> Vec<u8> {
    sums(100_000, which)
}

/// State and parent of a process, if there is one.
fn process(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything.
    let mut words = stat.rsplit(')').next()?.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// The children of the server, dead ones that nobody waited for too.
fn children(server: &TestServer) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| process(*pid).is_some_and(|(_, parent)| parent == server.pid())).collect()
}

/// Whether something still runs there. Whom nobody waits for after the server's
/// death is not ours to bury.
fn is_alive(pid: u32) -> bool {
    process(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

async fn until_compilers(server: &TestServer, count: usize) -> Vec<u32> {
    until("so many compile", || async {
        let found = children(server);
        (found.len() == count).then_some(found)
    })
    .await
}

async fn upload_without_waiting(client: &Client, name: &str, wasm: Vec<u8>) -> Answer {
    let request = client.request(Method::PUT, &format!("/v1/modules/{name}")).header("prefer", "respond-async");
    client.send(request.body(wasm)).await
}

async fn look(client: &Client, name: &str) -> Value {
    client.get(&format!("/v1/modules/{name}")).await.expect(200).json()
}

async fn until_compiled(client: &Client, name: &str) -> Value {
    until("the module is compiled", || async {
        let shown = look(client, name).await;
        (shown["state"] != "compiling").then_some(shown)
    })
    .await
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Nothing of a compilation is left: no process, no file.
fn check_nothing_left(server: &TestServer) {
    assert_eq!(children(server), Vec::<u32>::new());
    for folder in ["modules", "artefacts", "tmp"] {
        assert_eq!(names_in(&server.data().join(folder)), Vec::<String>::new(), "{folder}");
    }
}

/// Another tenant's key.
async fn neighbour(server: &TestServer) -> Client {
    let _ = server.post("/v1/admin/tenants", &json!({"id": "acme"})).await.expect(201);
    server.principal_of("acme", "ann", &["submit", "modules"]).await
}

/// What the server's own process has had in memory at most.
fn memory_peak_bytes(server: &TestServer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn b04_a_million_empty_functions_are_refused_and_nobody_else_notices() {
    let server = TestServer::with("compile_memory_bytes_max", LITTLE_MEMORY).start().await;
    let ann = neighbour(&server).await;
    let hello = ann.ready(guests::HELLO).await;

    let uploader = server.another();
    let refused = tokio::spawn(async move { uploader.upload("empty", a_million_empty_functions()).await });
    let _ = until_compilers(&server, 1).await;
    let mut rounds = 0;
    while !refused.is_finished() {
        let start = Instant::now();
        let _ = ann.get("/healthz").await.expect(200);
        assert!(start.elapsed() < SOON, "/healthz took {:?}", start.elapsed());
        let _ = ann.new_job(guests::HELLO).run().await.succeeded();
        rounds += 1;
    }
    assert!(rounds > 0, "{hello} ran while the other was compiled");

    let detail = refused.await.unwrap().refused(422, "unsupported-module");
    assert!(detail.contains("more than 256 MiB of memory"), "{detail}");
    let _ = server.get("/v1/modules/empty").await.refused(404, "not-found");
    assert!(memory_peak_bytes(&server) < LITTLE_MEMORY, "{} bytes", memory_peak_bytes(&server));
    assert_eq!(children(&server), Vec::<u32>::new());
    assert_eq!(names_in(&server.data().join("modules")).len(), 1);
}

/// Uploads one that takes too long by that setting, and looks for what is left.
async fn check_too_long(setting: &str, said: &str) {
    let server = TestServer::with(setting, 1).start().await;
    let detail = server.upload("endless", endless(1)).await.refused(422, "unsupported-module");
    assert!(detail.contains(said), "{detail}");
    assert_eq!(server.list("/v1/modules").await.len(), 0);
    check_nothing_left(&server);
    server.ready(guests::HELLO).await;
}

#[tokio::test]
async fn b04_a_compilation_over_its_time_is_killed_and_leaves_nothing() {
    check_too_long("compile_wall_s_max", "more than 1 s,").await;
}

#[tokio::test]
async fn b04_a_compilation_over_its_processor_time_is_killed_and_leaves_nothing() {
    check_too_long("compile_cpu_s_max", "more than 1 s of processor time").await;
}

#[tokio::test]
async fn b04_an_upload_that_is_not_waited_for_says_why_it_was_rejected() {
    let server = TestServer::with("compile_wall_s_max", 1).start().await;
    let taken = upload_without_waiting(&server, "endless", endless(1)).await.expect(202).json();
    assert_eq!(taken["state"], "compiling");
    let early = server.post("/v1/jobs", &json!({"module": "endless"})).await.refused(409, "conflict");
    assert!(early.contains("compiled"), "{early}");

    let shown = until_compiled(&server, "endless").await;
    assert_eq!(shown["state"], "rejected");
    assert!(shown["reason"].as_str().unwrap().contains("more than 1 s,"), "{shown}");
    assert_eq!(children(&server), Vec::<u32>::new());
    assert_eq!(names_in(&server.data().join("artefacts")), Vec::<String>::new());
}

#[tokio::test]
async fn b04_a_compiler_dies_with_the_server_and_its_work_is_taken_up_again() {
    let mut server = TestServer::start().await;
    let _ = upload_without_waiting(&server, "sums", sums(10_000, 1)).await.expect(202);
    let compilers = until_compilers(&server, 1).await;
    server.kill9();
    until("the compiler is gone", || async { (!is_alive(compilers[0])).then_some(()) }).await;
    assert_eq!(names_in(&server.data().join("artefacts")), Vec::<String>::new());

    server.restart();
    assert_eq!(until_compiled(&server, "sums").await["state"], "ready");
    let request = server.request(Method::POST, "/v1/jobs").header("prefer", "wait=60");
    let ran = server.send(request.json(&json!({"module": "sums"}))).await.expect(200).json();
    assert_eq!(ran["state"], "succeeded", "{ran}");
}

#[tokio::test]
async fn b04_a_server_that_is_told_to_stop_kills_its_compilers_and_takes_up_their_work() {
    let mut server = TestServer::with("drain_timeout_ms", 0).start().await;
    let _ = upload_without_waiting(&server, "first", sums(10_000, 1)).await.expect(202);
    let _ = upload_without_waiting(&server, "second", sums(10, 2)).await.expect(202);
    let compilers = until_compilers(&server, 1).await;
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    assert!(!is_alive(compilers[0]));

    server.restart();
    for name in ["first", "second"] {
        assert_eq!(until_compiled(&server, name).await["state"], "ready");
    }
}

#[tokio::test]
async fn b04_a_compiler_that_is_killed_by_somebody_else_is_not_the_module_s_fault() {
    let server = TestServer::start().await;
    let uploader = server.another();
    let upload = tokio::spawn(async move { uploader.upload("endless", endless(1)).await });
    let compiler = until_compilers(&server, 1).await[0];
    let compiler = Pid::from_raw(compiler.try_into().unwrap()).unwrap();
    rustix::process::kill_process(compiler, Signal::KILL).unwrap();
    let _ = upload.await.unwrap().refused(503, "unavailable");
    check_nothing_left(&server);
}

#[tokio::test]
async fn b07_a_job_is_cancelled_while_its_module_is_compiled_anew() {
    let mut server = TestServer::start().await;
    let _ = server.upload("sums", sums(20_000, 1)).await.expect(201);
    server.kill9();
    // As after an upgrade: what another engine compiled is of no use.
    for name in names_in(&server.data().join("artefacts")) {
        fs::remove_file(server.data().join("artefacts").join(name)).unwrap();
    }
    server.restart();
    let _ = server.post("/v1/jobs", &json!({"id": "job", "module": "sums"})).await.expect(202);
    let _ = until_compilers(&server, 1).await;
    let job = server.job("job").await;
    let _ = job.cancel().await.expect(200);
    let _ = job.wait().await.cancelled();
    let _ = until_compilers(&server, 0).await;
    assert_eq!(names_in(&server.data().join("artefacts")), Vec::<String>::new());
}

#[tokio::test]
async fn b04_a_tenant_compiles_one_module_at_a_time_and_other_tenants_do_not_wait_for_it() {
    let server = TestServer::start().await;
    let ann = neighbour(&server).await;
    let _ = upload_without_waiting(&server, "first", endless(1)).await.expect(202);
    let _ = upload_without_waiting(&server, "second", sums(1, 2)).await.expect(202);
    let first = until_compilers(&server, 1).await;

    // It would be ready at once if it were compiled.
    ann.ready(guests::HELLO).await;
    assert_eq!(look(&server, "second").await["state"], "compiling");
    let _ = upload_without_waiting(&ann, "third", endless(3)).await.expect(202);
    assert!(until_compilers(&server, 2).await.contains(&first[0]));
    assert_eq!(look(&server, "second").await["state"], "compiling");
}

#[tokio::test]
async fn b04_the_line_before_the_compiler_is_bounded_for_each_tenant() {
    let server = TestServer::start().await;
    let ann = neighbour(&server).await;
    let _ = upload_without_waiting(&server, "endless", endless(1)).await.expect(202);
    let _ = until_compilers(&server, 1).await;
    for which in 0..16 {
        let _ = upload_without_waiting(&server, &format!("m{which}"), sums(1, which)).await.expect(202);
    }
    let answer = upload_without_waiting(&server, "too-many", sums(1, 20)).await;
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let detail = answer.refused(429, "queue-full");
    assert!(detail.contains("16 modules"), "{detail}");
    let _ = server.get("/v1/modules/too-many").await.refused(404, "not-found");
    ann.ready(guests::HELLO).await;
}

#[tokio::test]
async fn b04_a_compiler_has_nothing_of_the_server_s_and_cannot_get_more_than_it_was_given() {
    let server = TestServer::start().await;
    let _ = upload_without_waiting(&server, "endless", endless(1)).await.expect(202);
    let pid = until_compilers(&server, 1).await[0];
    let proc = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    until("it has bound itself", || async { proc("limits").contains("2147483648").then_some(()) }).await;

    let environment = proc("environ");
    let variables: Vec<_> = environment.split_terminator('\0').collect();
    assert!(matches!(variables[..], [threads] if threads.starts_with("RAYON_NUM_THREADS=")), "{variables:?}");
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|fd| fs::read_link(fd.unwrap().path()));
    let of_the_server = |path: &Path| path.starts_with(server.data()) || path.to_string_lossy().starts_with("socket:");
    let ours: Vec<_> = open.flatten().filter(|path| of_the_server(path)).collect();
    // The module, and a file without a name for what it makes; each may be open twice.
    assert!(ours.iter().all(|path| path.extension().is_some_and(|ext| ext == "wasm") || is_nameless(path)), "{ours:?}");
    assert!(proc("status").lines().any(|line| line == "NoNewPrivs:\t1"));
    // It has put a wall of its own inside the server's, before it read the module.
    let filters = |status: String| {
        let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")).unwrap().trim().to_owned();
        count.parse::<u32>().unwrap()
    };
    let server_s = filters(fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap());
    until("it is confined", || async { (filters(proc("status")) == 2 * server_s).then_some(()) }).await;
    assert!(server_s > 0);
    let cores = proc("limits").lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
}

/// As the kernel shows a file that was removed while it is open.
fn is_nameless(path: &Path) -> bool {
    path.to_string_lossy().ends_with(" (deleted)")
}

#[test]
fn the_compiler_s_verb_is_of_no_use_to_people() {
    let called = sessile(["compile-child", "core", "1"]).expect(1);
    assert!(called.stderr.contains("of no use"), "{called:?}");
    assert_eq!(called.lines, Vec::<String>::new());
    // A server that is not its parent.
    let called = sessile(["compile-child", "core", "1", "2147483648", "1", "confined", "f00"]).expect(1);
    assert!(called.stderr.contains("gone"), "{called:?}");
    assert!(!sessile(["--help"]).expect(0).lines.iter().any(|line| line.contains("compile-child")));
}

/// An upload is answered when the module is compiled, also if another one brought
/// the same bytes a moment earlier.
#[tokio::test]
async fn two_uploads_of_the_same_bytes_at_once_are_both_answered_when_it_is_ready() {
    let server = TestServer::start().await;
    let wasm = sums(5_000, 3);
    let upload = || {
        let (client, wasm) = (server.another(), wasm.clone());
        tokio::spawn(async move { client.upload("twice", wasm).await })
    };
    let both = [upload(), upload(), upload()];
    for answer in both {
        let answer = answer.await.unwrap().good().json();
        assert_eq!((&answer["state"], &answer["version"]), (&json!("ready"), &json!(1)));
    }
}
