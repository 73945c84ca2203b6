//! Modules that are loaded and linked, ready to be instantiated.
//!
//! Promise: only a file with the recorded digest is loaded, and no more than
//! [`MODULES_LOADED_MAX`] are kept: each holds mappings of its code, of which
//! the kernel gives a process 65,530.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use sha2::Digest as _;
use wasmtime::InstancePre;
use wasmtime::Module;
use wasmtime::component::Component;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::brief::Habits;
use super::config::Engines;
use super::imports;
use super::state::JobState;
use crate::ids::Digest;
use crate::limits::MODULES_LOADED_MAX;
use crate::meter::Count;
use crate::model::module::ModuleKind;

/// A module that is ready to run: where its compiled artefact lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Of the module's bytes.
    pub digest: Digest,
    pub kind: ModuleKind,
    /// What [`Engine::compile`](crate::engine::Engine::compile) gave, as a file
    /// that only the server writes.
    pub artefact: PathBuf,
    /// Of the artefact's bytes, from a record that no tenant can write. A file
    /// with another digest is not loaded.
    pub artefact_digest: Digest,
}

/// A module with its imports found, and the engine it was loaded into.
pub(super) struct Loaded {
    pub(super) engine: wasmtime::Engine,
    pub(super) code: Code,
    pub(super) habits: Habits,
}

pub(super) enum Code {
    Core(InstancePre<JobState>),
    Component(CommandPre<JobState>),
}

/// Why a module cannot be loaded. Never the fault of the job.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("the compiled module cannot be read")]
    Read(#[source] io::Error),
    #[error("the compiled module on disk is not the one on record")]
    Altered,
    #[error("the compiled module cannot be loaded")]
    Load(#[source] wasmtime::Error),
}

/// One Wasmtime engine and what guests on it can import.
pub(super) struct Shelf {
    engine: wasmtime::Engine,
    core: wasmtime::Linker<JobState>,
    component: wasmtime::component::Linker<JobState>,
}

/// The loaded modules of a server.
pub(super) struct Cache {
    pooling: Shelf,
    on_demand: Shelf,
    kept: Mutex<Kept>,
    /// Runs that found their module here, and those that loaded it.
    pub(super) found: Count,
    pub(super) loaded: Count,
}

#[derive(Default)]
struct Kept {
    uses: u64,
    modules: HashMap<Digest, Entry>,
}

struct Entry {
    artefact_digest: Digest,
    last_used: u64,
    loaded: Arc<Loaded>,
}

impl Cache {
    /// An empty cache, with the imports of both engines set up.
    pub(super) fn new(engines: &Engines) -> wasmtime::Result<Self> {
        let pooling = Shelf::new(&engines.pooling)?;
        let on_demand = Shelf::new(&engines.on_demand)?;
        let (found, loaded) = (Count::default(), Count::default());
        Ok(Self { pooling, on_demand, kept: Mutex::default(), found, loaded })
    }

    /// Where modules of any size can be loaded.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.on_demand
    }

    /// The module for a run, from memory or from its file.
    pub(super) fn get(&self, program: &Program) -> Result<Arc<Loaded>, LoadError> {
        if let Some(loaded) = self.at_hand(program) {
            self.found.one();
            return Ok(loaded);
        }
        // Not under the lock: another slot may load another module meanwhile. Two slots may
        // load the same one; the later replaces the earlier, and both work.
        let loaded = Arc::new(self.load(program)?);
        self.loaded.one();
        self.kept().keep(program, loaded.clone());
        Ok(loaded)
    }

    /// The module if it is in memory.
    pub(super) fn at_hand(&self, program: &Program) -> Option<Arc<Loaded>> {
        self.kept().find(program)
    }

    /// How many are in memory.
    pub(super) fn count(&self) -> usize {
        self.kept().modules.len()
    }

    /// Lets go of a module.
    pub(super) fn forget(&self, digest: &Digest) {
        self.kept().modules.remove(digest);
    }

    fn load(&self, program: &Program) -> Result<Loaded, LoadError> {
        let found = digest_of_file(&program.artefact).map_err(LoadError::Read)?;
        if found != program.artefact_digest {
            return Err(LoadError::Altered);
        }
        // The pool says here whether the module fits into its places; elsewhere is room for all.
        let loaded = self.pooling.load(program).or_else(|_| self.on_demand.load(program));
        loaded.map_err(LoadError::Load)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // A panic while it is held leaves at worst an entry less.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, program: &Program) -> Option<Arc<Loaded>> {
        self.uses += 1;
        let entry = self.modules.get_mut(&program.digest)?;
        if entry.artefact_digest != program.artefact_digest {
            return None;
        }
        entry.last_used = self.uses;
        Some(entry.loaded.clone())
    }

    fn keep(&mut self, program: &Program, loaded: Arc<Loaded>) {
        let entry = Entry { artefact_digest: program.artefact_digest, last_used: self.uses, loaded };
        self.modules.insert(program.digest, entry);
        if self.modules.len() > MODULES_LOADED_MAX {
            let oldest = self.modules.iter().min_by_key(|(_, entry)| entry.last_used);
            if let Some(digest) = oldest.map(|(digest, _)| *digest) {
                self.modules.remove(&digest);
            }
        }
    }
}

impl Shelf {
    pub(super) fn new(engine: &wasmtime::Engine) -> wasmtime::Result<Self> {
        Ok(Self {
            engine: engine.clone(),
            core: imports::core_linker(engine)?,
            component: imports::component_linker(engine)?,
        })
    }

    fn load(&self, program: &Program) -> wasmtime::Result<Loaded> {
        let code = match program.kind {
            ModuleKind::Core => {
                // SAFETY: the caller has compared the file's digest with that of an artefact which
                // `precompile_module` made, recorded where no tenant writes; nobody but the server
                // writes in that directory, and it never changes a file there, so the mapping stays true.
                let module = unsafe { Module::deserialize_file(&self.engine, &program.artefact) }?;
                self.link_core(&module)?
            }
            ModuleKind::Component => {
                // SAFETY: as above, with `precompile_component`.
                let component = unsafe { Component::deserialize_file(&self.engine, &program.artefact) }?;
                self.link_component(&component)?
            }
        };
        Ok(Loaded { engine: self.engine.clone(), code, habits: Habits::default() })
    }

    /// Tries the linking that [`Cache::get`] will do, on bytes that this server
    /// has compiled a moment ago.
    pub(super) fn try_link(&self, artefact: &[u8], kind: ModuleKind) -> wasmtime::Result<()> {
        match kind {
            ModuleKind::Core => {
                // SAFETY: the bytes come from `precompile_module` in this process and were not stored.
                let module = unsafe { Module::deserialize(&self.engine, artefact) }?;
                let start = module.get_export("_start").and_then(|start| start.func().cloned());
                if !start.is_some_and(|start| start.params().len() == 0 && start.results().len() == 0) {
                    let fault = "its `_start` takes or gives something, and that of a command does neither";
                    return Err(wasmtime::Error::msg(fault));
                }
                self.link_core(&module)?;
            }
            ModuleKind::Component => {
                // SAFETY: the bytes come from `precompile_component` in this process and were not stored.
                let component = unsafe { Component::deserialize(&self.engine, artefact) }?;
                self.link_component(&component)?;
            }
        }
        Ok(())
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }

    fn link_core(&self, module: &Module) -> wasmtime::Result<Code> {
        Ok(Code::Core(self.core.instantiate_pre(module)?))
    }

    fn link_component(&self, component: &Component) -> wasmtime::Result<Code> {
        Ok(Code::Component(CommandPre::new(self.component.instantiate_pre(component)?)?))
    }
}

fn digest_of_file(path: &Path) -> io::Result<Digest> {
    // Whatever was put in its place: no link is followed, and no pipe waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut hash = sha2::Sha256::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut part)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        hash.update(&part[..count]);
    }
}
