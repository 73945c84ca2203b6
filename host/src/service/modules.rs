//! Modules: taken in, checked, compiled once, and found again for each job.
//!
//! Promise: a version that is `ready` has a compiled artefact, so no job waits
//! for a compiler; only what this server compiled itself is ever loaded.

use std::collections::HashMap;
use std::io::Seek as _;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;

use crate::engine::CompileOrder;
use crate::engine::Engine;
use crate::engine::Program;
use crate::ids::Digest;
use crate::ids::ModuleName;
use crate::ids::TenantId;
use crate::limits;
use crate::model::caller::Owner;
use crate::model::module::ModuleKind;
use crate::model::module::ModuleRef;
use crate::model::module::ModuleState;
use crate::model::module::ModuleVersion;
use crate::model::module::Which;
use crate::queue::compilers::Place;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::store::Added;
use crate::store::NewVersion;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::Spool;
use crate::store::StoreError;

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// A new version, compiled and ready.
    New(ModuleVersion),
    /// A new version that is being compiled.
    Compiling(ModuleVersion),
    /// The same bytes were uploaded before.
    Same(ModuleVersion),
}

/// Whether an upload is answered when it is compiled, or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    WhenReady,
    AtOnce,
}

/// Artefacts that were looked up before, so that a job need not ask the store.
#[derive(Default)]
pub struct Programs {
    by_digest: Mutex<HashMap<Digest, Program>>,
}

impl Programs {
    fn get(&self, digest: &Digest) -> Option<Program> {
        self.lock().get(digest).cloned()
    }

    fn remember(&self, program: &Program) {
        let mut programs = self.lock();
        if programs.len() >= limits::MODULES_LOADED_MAX {
            // Rare, and each costs one look into the store to find again.
            programs.clear();
        }
        programs.insert(program.digest, program.clone());
    }

    fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Program>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of an upload, if it begins like a module: anything else takes no memory.
fn read(upload: Spool) -> Result<Vec<u8>, Refusal> {
    let _kind = Engine::kind_of(&upload.beginning()?)?;
    Ok(upload.whole()?)
}

impl Service {
    /// Takes in the bytes of a module as a new version of `name`.
    pub async fn upload(
        &self,
        owner: &Owner,
        name: ModuleName,
        upload: Spool,
        answer: Answer,
    ) -> Result<Uploaded, Refusal> {
        // Before anything is kept of it, so that nothing of a refused one is.
        let place = self.inner.compilers.enter(&owner.tenant)?;
        let version = match self.take_in(owner, name, upload).await? {
            Added::Same(version) if answer == Answer::WhenReady => {
                return self.once_compiled(&owner.tenant, place, version).await.map(Uploaded::Same);
            }
            Added::Same(version) => return Ok(Uploaded::Same(version)),
            Added::New(version) => version,
        };
        let compiling = self.compile_in_background(owner.tenant.clone(), place, version.clone());
        if answer == Answer::AtOnce {
            return Ok(Uploaded::Compiling(version));
        }
        // The task goes on if this client goes away.
        let compiled = compiling.await.map_err(|_| Refusal::Internal)?;
        if let Err(refusal) = compiled {
            // It was never answered as a version, so it is not kept as one.
            self.inner.store.delete_version(owner.tenant.clone(), version.name, version.version).await?;
            return Err(refusal);
        }
        let reference = ModuleRef { name: version.name, which: Which::Version(version.version) };
        self.module(&owner.tenant, &reference).await.map(Uploaded::New)
    }

    /// Looks at a module and records it. Its bytes are out of memory when this
    /// returns, since it may wait long for a compiler then.
    async fn take_in(&self, owner: &Owner, name: ModuleName, upload: Spool) -> Result<Added, Refusal> {
        // Only now, when all of it is here: a client that sends slowly holds up nobody.
        let _room = self.inner.uploads.acquire().await.map_err(|_| Refusal::Internal)?;
        let bytes = Bytes::from(blocking(move || read(upload)).await??);
        let digest = Digest::of(&bytes);
        let size_bytes = bytes.len() as u64;
        let engine = self.inner.engine.clone();
        let looked_at = bytes.clone();
        let inspected = blocking(move || engine.inspect(&looked_at)).await?.map_err(Refusal::from)?;
        self.inner.store.save_wasm(digest, bytes).await?;
        let new = NewVersion {
            tenant: owner.tenant.clone(),
            name,
            digest,
            size_bytes,
            kind: inspected.kind,
            imports: inspected.imports,
            created_by: owner.principal.clone(),
            now: self.now(),
        };
        let added = self.inner.store.add_version(new).await;
        if let Err(StoreError::Refused(_)) = &added {
            // Nothing of a refused upload stays, or refusals would fill the disk.
            self.inner.store.drop_wasm(digest).await?;
        }
        Ok(added?)
    }

    /// The version that another upload of the same bytes has made, when that one is
    /// through with compiling it.
    async fn once_compiled(
        &self,
        tenant: &TenantId,
        mut place: Place,
        version: ModuleVersion,
    ) -> Result<ModuleVersion, Refusal> {
        let reference = ModuleRef { name: version.name.clone(), which: Which::Version(version.version) };
        let mut now = Some(version);
        loop {
            match now {
                Some(version) if version.state != ModuleState::Compiling => return Ok(version),
                Some(_) => {}
                None => {
                    let sentence = format!("`{reference}` was refused to another upload just now; send it again");
                    return Err(Refusal::Conflict(sentence));
                }
            }
            // A tenant's compilations take turns, so the other one is over when this has its turn; or
            // it came into the line just after this, and is by the next.
            drop(place.turn().await);
            place = self.inner.compilers.enter(tenant)?;
            now = self.inner.store.module_version(tenant, &reference).await?;
        }
    }

    /// Compiles a version, in its tenant's turn, and notes what came of it.
    pub(super) fn compile_in_background(
        &self,
        tenant: TenantId,
        place: Place,
        version: ModuleVersion,
    ) -> tokio::task::JoinHandle<Result<(), Refusal>> {
        let service = self.clone();
        self.start_task(async move {
            let compiled = service.compile(&place, &version.digest, version.kind).await;
            drop(place);
            let state = match &compiled {
                Ok(_) => ModuleState::Ready,
                // The next start finds it as it is, and compiles it.
                Err(_) if service.inner.hanging_up.is_cancelled() => ModuleState::Compiling,
                Err(refusal) => ModuleState::Rejected { reason: refusal.to_string() },
            };
            // A version that was deleted meanwhile needs no state.
            service.inner.store.set_module_state(tenant, version.name, version.version, state).await?;
            compiled.map(|_| ())
        })
    }

    /// Takes up what an earlier server left uncompiled.
    pub(super) fn compile_again(&self, tenant: TenantId, version: ModuleVersion) {
        let place = self.inner.compilers.enter_anyway(&tenant);
        self.compile_in_background(tenant, place, version);
    }

    /// Compiles the stored bytes of a module and keeps the artefact.
    async fn compile(&self, place: &Place, digest: &Digest, kind: ModuleKind) -> Result<Program, Refusal> {
        let _turn = tokio::select! {
            turn = place.turn() => turn,
            () = self.inner.hanging_up.cancelled() => return Err(Refusal::STOPPING),
        };
        // Others may have uploaded the same bytes.
        if let Some(program) = self.compiled(digest, kind).await? {
            return Ok(program);
        }
        let wasm = self.inner.store.wasm(*digest).await?.ok_or(Refusal::Internal)?;
        let mut artefact = self.inner.store.scratch_file().await?;
        let order = CompileOrder {
            wasm,
            kind,
            artefact: artefact.try_clone().map_err(unusable)?,
            stop: self.inner.hanging_up.clone(),
        };
        self.inner.engine.compile(order).await?;
        artefact.rewind().map_err(unusable)?;
        self.inner.store.save_artefact(*digest, self.inner.engine.fingerprint(), artefact).await?;
        self.compiled(digest, kind).await?.ok_or(Refusal::Internal)
    }

    /// The program of a module that was compiled for this engine.
    async fn compiled(&self, digest: &Digest, kind: ModuleKind) -> Result<Option<Program>, Refusal> {
        let Some(artefact) = self.inner.store.artefact(*digest, self.inner.engine.fingerprint()).await? else {
            return Ok(None);
        };
        let program = Program { digest: *digest, kind, artefact: artefact.path, artefact_digest: artefact.digest };
        self.inner.programs.remember(&program);
        Ok(Some(program))
    }

    /// The program of a module that a job was accepted with. It is compiled now
    /// only if the engine changed since it was uploaded.
    pub(super) async fn program(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        kind: ModuleKind,
    ) -> Result<Program, Refusal> {
        if let Some(program) = self.inner.programs.get(digest) {
            return Ok(program);
        }
        match self.compiled(digest, kind).await? {
            Some(program) => Ok(program),
            None => self.compile(&self.inner.compilers.enter_anyway(tenant), digest, kind).await,
        }
    }

    /// The version that a job would run.
    pub(super) async fn runnable(&self, tenant: &TenantId, reference: &ModuleRef) -> Result<ModuleVersion, Refusal> {
        let version = self.module(tenant, reference).await?;
        match version.state {
            ModuleState::Ready => Ok(version),
            state => Err(Refusal::NotReady { name: version.name, version: version.version, state }),
        }
    }

    /// One version of a module.
    pub async fn module(&self, tenant: &TenantId, reference: &ModuleRef) -> Result<ModuleVersion, Refusal> {
        let version = self.inner.store.module_version(tenant, reference).await?;
        version.ok_or_else(|| Refusal::NoModule(reference.clone()))
    }

    /// The latest version of each module.
    pub async fn modules(&self, tenant: &TenantId, page: PageOf) -> Result<Page<ModuleVersion>, Refusal> {
        Ok(self.inner.store.modules(tenant, page).await?)
    }

    /// All versions of a module, newest first.
    pub async fn versions(
        &self,
        tenant: &TenantId,
        name: &ModuleName,
        page: PageOf,
    ) -> Result<Page<ModuleVersion>, Refusal> {
        self.module(tenant, &ModuleRef { name: name.clone(), which: Which::Latest }).await?;
        Ok(self.inner.store.versions(tenant, name, page).await?)
    }

    /// The bytes of a version, as they were uploaded.
    pub async fn module_content(&self, version: &ModuleVersion) -> Result<std::fs::File, Refusal> {
        let bytes = self.inner.store.wasm(version.digest).await?;
        bytes.ok_or_else(|| Refusal::NoModule(ModuleRef { name: version.name.clone(), which: Which::Latest }))
    }

    /// Deletes a module with all its versions. Accepted jobs still run.
    pub async fn delete_module(&self, tenant: &TenantId, name: &ModuleName) -> Result<(), Refusal> {
        if !self.inner.store.delete_module(tenant.clone(), name.clone()).await? {
            return Err(Refusal::NoModule(ModuleRef { name: name.clone(), which: Which::Latest }));
        }
        self.inner.programs.forget();
        Ok(())
    }

    /// Deletes one version. Accepted jobs still run.
    pub async fn delete_version(&self, tenant: &TenantId, name: &ModuleName, number: u32) -> Result<(), Refusal> {
        if !self.inner.store.delete_version(tenant.clone(), name.clone(), number).await? {
            return Err(Refusal::NoModule(ModuleRef { name: name.clone(), which: Which::Version(number) }));
        }
        self.inner.programs.forget();
        Ok(())
    }
}

/// A file that this process has open cannot be used.
fn unusable(error: std::io::Error) -> Refusal {
    tracing::error!(%error, "the file for compiled code cannot be used");
    Refusal::Internal
}

/// Runs `work` where blocking is fine. A panic in it is a failure of ours, not
/// of the whole server.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a look at a module did not end");
        Refusal::Internal
    })
}
