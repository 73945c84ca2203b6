//! Calls what guests can import as no honest guest would.
//!
//! Comes in: bytes, which mean the guest's memory and a list of calls.
//!
//! Promise: each function that is linked can be called with each argument, and
//! what must hold after any guest is looked at after the last call: the session
//! stays within its limits, nothing outside it was touched, what changed was noted
//! before, and what the job hands over is as it must be.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::time::Instant;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wasmtime::InstancePre;
use wasmtime::Module;
use wasmtime::Store;
use wasmtime::Val;
use wasmtime::ValType;

pub use super::guard::paths;

use super::brief::Seated;
use super::*;
use crate::feed::Feed;
use crate::ids::SessionId;
use crate::limits::HOSTCALL_BYTES_MAX;
use crate::limits::JSON_DEPTH_MAX;
use crate::limits::PROGRESS_BYTES_MAX;
use crate::limits::RESULT_BYTES_MAX;
use crate::model::job::Inputs;
use crate::model::job::JobLimits;
use crate::model::module::ModuleKind;
use crate::model::params::ParamMap;
use crate::model::params::Params;
use crate::model::path::SessionPath;
use crate::model::session::Usage;
use crate::model::touched::Touched;
use crate::root::Root;

/// So little that a guest which writes at all soon has no more.
const BYTES_MAX: u64 = 6_000;
const FILES_MAX: u64 = 8;
/// Enough for every story of a few files; more only takes time.
const CALLS_MAX: usize = 100;

/// A module with one export for each import.
struct Caller {
    engine: wasmtime::Engine,
    module: InstancePre<state::JobState>,
    functions: Vec<Function>,
    runtime: Mutex<tokio::runtime::Runtime>,
}

/// What one export takes and gives.
struct Function {
    params: Vec<ValType>,
    results: usize,
}

static CALLER: LazyLock<Caller> = LazyLock::new(|| Caller::new().expect("the engine that the server has"));

impl Caller {
    fn new() -> wasmtime::Result<Caller> {
        let engine = config::on_demand()?;
        let linker = imports::core_linker(&engine)?;
        let (text, functions) = calling_all(&engine, &linker)?;
        let module = linker.instantiate_pre(&Module::new(&engine, wat::parse_str(text)?)?)?;
        // Its clock stands still until everybody waits, so a guest may sleep for a year.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        Ok(Caller { engine, module, functions, runtime: Mutex::new(runtime) })
    }
}

/// The text of the module, and what it calls, sorted by name.
fn calling_all(
    engine: &wasmtime::Engine,
    linker: &wasmtime::Linker<state::JobState>,
) -> wasmtime::Result<(String, Vec<Function>)> {
    let room = Room::new();
    let mut store = Store::new(engine, state::JobState::new(room.order(), Instant::now(), &house(), Arc::default())?);
    let linked: Vec<_> = linker.iter(&mut store).map(|(module, name, what)| (module, name, what.into_func())).collect();
    let mut linked: Vec<_> =
        linked.into_iter().filter_map(|(module, name, what)| Some((module, name, what?.ty(&store)))).collect();
    linked.sort_by_key(|(module, name, _)| (*module, *name));
    let (mut imported, mut exported, mut functions) = (String::new(), String::new(), Vec::new());
    for (number, (module, name, function)) in linked.into_iter().enumerate() {
        let (params, results): (Vec<_>, Vec<_>) = (function.params().collect(), function.results().collect());
        let kind = format!("(param {}) (result {})", words(&params), words(&results));
        let args: String = (0..params.len()).map(|at| format!("(local.get {at})")).collect();
        imported += &format!("(import \"{module}\" \"{name}\" (func $f{number} {kind}))");
        exported += &format!("(func (export \"f{number}\") {kind} (call $f{number} {args}))");
        functions.push(Function { params, results: results.len() });
    }
    Ok((format!("(module {imported} (memory (export \"memory\") 2) {exported})"), functions))
}

fn words(types: &[ValType]) -> String {
    types.iter().map(|kind| format!("{kind} ")).collect()
}

/// A session's directory, and what must not change beside it.
struct Room {
    home: TempDir,
    live: Arc<Live>,
    desk: Arc<Desk>,
}

impl Room {
    fn new() -> Room {
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory");
        let fill = || {
            fs::write(home.path().join("outside"), "not yours")?;
            fs::create_dir_all(home.path().join("work/d/e"))?;
            fs::write(home.path().join("work/f"), "hello")?;
            std::os::unix::fs::symlink("d/e", home.path().join("work/l"))
        };
        fill().expect("room for a few bytes");
        Room { home, live: Arc::new(Live::new(1_000)), desk: Arc::default() }
    }

    fn work(&self) -> std::path::PathBuf {
        self.home.path().join("work")
    }

    fn order(&self) -> RunOrder {
        let digest = Digest::of(b"");
        RunOrder {
            program: Program { digest, kind: ModuleKind::Core, artefact: self.work(), artefact_digest: digest },
            module_name: "guest".to_owned(),
            inputs: Inputs::default(),
            stdin: Stdin::Bytes(b"input".to_vec()),
            stdout: Stdout::Kept,
            limits: JobLimits::default(),
            tenant_memory: Purse::new(u64::MAX),
            job: "j".parse().expect("an id"),
            attempt: 1,
            session: Some(session("s")),
            params: Params::new(Arc::new(ParamMap::from([("p".to_owned(), "value".to_owned())]))),
            root: File::open(self.work()).and_then(|dir| Root::new(dir.into())).expect("it was just made").into(),
            has_links: true,
            is_light: false,
            disk: DiskAllowance { bytes_used: 5, bytes_max: BYTES_MAX, files_used: 4, files_max: FILES_MAX },
            live: self.live.clone(),
            desk: self.desk.clone(),
            stop: CancellationToken::new(),
        }
    }
}

fn session(id: &str) -> SessionId {
    id.parse().expect("an id")
}

/// Grants what it can without a store.
#[derive(Default)]
struct Desk {
    committed: Mutex<Vec<Touched>>,
}

#[async_trait]
impl SessionDesk for Desk {
    async fn create(&self, id: Option<SessionId>) -> Result<Option<SessionId>, DeskRefusal> {
        Ok(Some(id.unwrap_or_else(|| session("made"))))
    }

    async fn rename(&self, to: SessionId) -> Result<Option<SessionId>, DeskRefusal> {
        Ok(Some(to))
    }

    async fn delete(&self) -> Result<Option<SessionId>, DeskRefusal> {
        Ok(None)
    }

    async fn commit(&self, so_far: SoFar) -> Result<Stand, DeskRefusal> {
        self.committed.lock().expect("nobody panics with it").push(so_far.touched);
        let params = so_far.params.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Ok(Stand { params: Arc::new(params), held: Usage { bytes: 0, files: 0 } })
    }

    async fn roll_back(&self, _: SoFar) -> Result<Stand, DeskRefusal> {
        Err(DeskRefusal::NoSession)
    }
}

/// See [`fuzzing`](crate::fuzzing). One piece of the bytes is the beginning of the
/// guest's memory; what follows are calls: a function's number and its arguments.
pub fn imports(bytes: &[u8]) {
    let caller = &*CALLER;
    let room = Room::new();
    let before = tree(&room.work());
    let seated = Arc::<Seated>::default();
    seated.now();
    let state = state::JobState::new(room.order(), Instant::now(), &house(), seated).expect("the directory is there");
    let mut store = Store::new(&caller.engine, state);
    store.limiter_async(|state| state.meter());
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_epoch_deadline(1);
    let runtime = caller.runtime.lock().expect("an input that panics is the last one");
    // How the guest ends is its own business.
    let _ = runtime.block_on(call_all(caller, &mut store, Feed::new(bytes)));
    drop(runtime);
    let left = store.into_data().into_left();
    let mut touched = room.desk.committed.lock().expect("nobody panics with it").clone();
    touched.push(left.touched);
    check_directory(&room, &before, &touched);
    check_handed_over(&room, left.result.as_deref(), &left.params);
}

async fn call_all(caller: &Caller, store: &mut Store<state::JobState>, mut feed: Feed<'_>) -> wasmtime::Result<()> {
    let instance = caller.module.instantiate_async(&mut *store).await?;
    let memory = instance.get_memory(&mut *store, "memory").expect("the module exports it");
    memory.write(&mut *store, 0, feed.piece().unwrap_or_default())?;
    for _ in 0..CALLS_MAX {
        // One number more than there are functions: the guest writes to its memory.
        let Some(number) = feed.choice(caller.functions.len() + 1) else { break };
        let Some(Function { params, results }) = caller.functions.get(number) else {
            let at = feed.choice(0x1_0000).unwrap_or_default();
            memory.write(&mut *store, at, feed.piece().unwrap_or_default())?;
            continue;
        };
        let args: Vec<Val> = params.iter().map(|kind| argument(kind, &mut feed)).collect();
        let mut answers = vec![Val::I32(0); *results];
        let function = instance.get_func(&mut *store, &format!("f{number}")).expect("there is one for each import");
        function.call_async(&mut *store, &args, &mut answers).await?;
    }
    Ok(())
}

fn argument(kind: &ValType, feed: &mut Feed<'_>) -> Val {
    let number = feed.number().unwrap_or_default();
    match kind {
        ValType::I64 => Val::I64(number.cast_signed()),
        ValType::F64 => Val::F64(number),
        _ => Val::I32((number as u32).cast_signed()),
    }
}

/// Each entry beneath a directory, with its bytes or its target.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut ahead) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(above) = ahead.pop() {
        for entry in fs::read_dir(&above).expect("a directory of the guest's") {
            let path = entry.expect("an entry of the guest's").path();
            let kind = fs::symlink_metadata(&path).expect("it was just listed").file_type();
            let held = if kind.is_symlink() {
                [b"link ", fs::read_link(&path).expect("a link").as_os_str().as_encoded_bytes()].concat()
            } else if kind.is_dir() {
                b"directory".to_vec()
            } else {
                [b"file ", &fs::read(&path).expect("a file of the guest's")[..]].concat()
            };
            if kind.is_dir() {
                ahead.push(path.clone());
            }
            let name = path.strip_prefix(dir).expect("it lies beneath").to_str().expect("WASI has only UTF-8");
            found.insert(name.to_owned(), held);
        }
    }
    found
}

fn check_directory(room: &Room, before: &BTreeMap<String, Vec<u8>>, touched: &[Touched]) {
    let after = tree(&room.work());
    let files = after.values().filter_map(|held| held.strip_prefix(b"file "));
    let bytes: u64 = files.map(|bytes| bytes.len() as u64).sum();
    assert!(bytes <= BYTES_MAX && after.len() as u64 <= FILES_MAX, "{bytes} bytes in {} entries", after.len());
    for name in before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)) {
        let path = SessionPath::parse(name).expect("what a guest can make has a path");
        assert!(
            touched.iter().any(|touched| covers(touched, &path)),
            "`{path}` has changed, and only {touched:?} is noted"
        );
    }
    let outside = fs::read(room.home.path().join("outside")).expect("it is still there");
    assert_eq!(outside, b"not yours");
    assert_eq!(fs::read_dir(room.home.path()).expect("it is still there").count(), 2);
}

fn covers(touched: &Touched, path: &SessionPath) -> bool {
    match touched {
        Touched::Everywhere => true,
        Touched::Places(places) => places.keys().any(|place| path.is_within(place)),
    }
}

fn check_handed_over(room: &Room, result: Option<&str>, params: &crate::model::params::ParamChanges) {
    if let Some(result) = result {
        assert!(result.len() <= RESULT_BYTES_MAX);
        let json: serde_json::Value = serde_json::from_str(result).expect("a result is JSON");
        assert!(depth(&json) <= JSON_DEPTH_MAX);
    }
    let mut all = Params::new(Arc::default());
    for (name, value) in params {
        all.set(name, value.as_deref().unwrap_or_default()).expect("what was set can be set");
    }
    if let Some(progress) = &*room.live.progress().borrow() {
        assert!((0.0..=1.0).contains(&progress.fraction), "{progress:?}");
        assert!(progress.message.len() <= PROGRESS_BYTES_MAX);
    }
}

fn depth(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn house() -> House {
    House { open_files_max: crate::limits::OPEN_FILES_MAX, memory: Purse::new(u64::MAX) }
}
