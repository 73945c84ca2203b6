//! Modules: taken in, checked, compiled once, and found again for each job.
//!
//! Promise: a version that is `ready` has a compiled artefact, so no job waits
//! for a compiler; only what this server compiled itself is ever loaded.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use tokio::sync::SemaphorePermit;

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
use crate::service::Service;
use crate::service::refusal::Chain;
use crate::service::refusal::Refusal;
use crate::store::Added;
use crate::store::NewVersion;
use crate::store::Page;
use crate::store::PageOf;

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

impl Service {
    /// Waits for room to hold the bytes of one more upload in memory.
    pub async fn upload_room(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.inner.uploads.acquire().await.map_err(|_| Refusal::Internal)
    }

    /// Takes in the bytes of a module as a new version of `name`.
    pub async fn upload(
        &self,
        owner: &Owner,
        name: ModuleName,
        bytes: Bytes,
        answer: Answer,
    ) -> Result<Uploaded, Refusal> {
        let digest = Digest::of(&bytes);
        let size_bytes = bytes.len() as u64;
        let engine = self.inner.engine.clone();
        let looked_at = bytes.clone();
        let inspected = blocking(move || engine.inspect(&looked_at)).await?.map_err(Refusal::from)?;
        self.inner.store.save_wasm(digest, bytes.to_vec()).await?;
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
        let version = match self.inner.store.add_version(new).await? {
            Added::Same(version) => return Ok(Uploaded::Same(version)),
            Added::New(version) => version,
        };
        let compiling = self.compile_in_background(owner.tenant.clone(), version.clone());
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

    /// Compiles a version and notes what came of it.
    pub(super) fn compile_in_background(
        &self,
        tenant: TenantId,
        version: ModuleVersion,
    ) -> tokio::task::JoinHandle<Result<(), Refusal>> {
        let service = self.clone();
        self.inner.tasks.spawn(async move {
            let compiled = service.compile(&version.digest, version.kind).await;
            let state = match &compiled {
                Ok(_) => ModuleState::Ready,
                Err(refusal) => ModuleState::Rejected { reason: refusal.to_string() },
            };
            // A version that was deleted meanwhile needs no state.
            service.inner.store.set_module_state(tenant, version.name, version.version, state).await?;
            compiled.map(|_| ())
        })
    }

    /// Compiles the stored bytes of a module and keeps the artefact.
    async fn compile(&self, digest: &Digest, kind: ModuleKind) -> Result<Program, Refusal> {
        let fingerprint = self.inner.engine.fingerprint().to_owned();
        let artefact = match self.inner.store.artefact(*digest, &fingerprint).await? {
            Some(artefact) => artefact,
            None => {
                let _alone = self.inner.compiler.acquire().await.map_err(|_| Refusal::Internal)?;
                let mut wasm = self.inner.store.wasm(*digest).await?.ok_or(Refusal::Internal)?;
                let engine = self.inner.engine.clone();
                let artefact = blocking(move || {
                    let mut bytes = Vec::new();
                    wasm.read_to_end(&mut bytes).map_err(|error| {
                        tracing::error!(error = %Chain(&error), "the bytes of a module could not be read");
                        Refusal::Internal
                    })?;
                    engine.compile(&bytes, kind).map_err(Refusal::from)
                })
                .await??;
                self.inner.store.save_artefact(*digest, &fingerprint, artefact).await?
            }
        };
        let program = Program { digest: *digest, kind, artefact: artefact.path, artefact_digest: artefact.digest };
        self.inner.programs.remember(&program);
        Ok(program)
    }

    /// The program of a module that a job was accepted with. It is compiled now
    /// only if the engine changed since it was uploaded.
    pub(super) async fn program(&self, digest: &Digest, kind: ModuleKind) -> Result<Program, Refusal> {
        match self.inner.programs.get(digest) {
            Some(program) => Ok(program),
            None => self.compile(digest, kind).await,
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

/// Runs `work` where blocking is fine. A panic in it is a failure of ours, not
/// of the whole server.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a look at a module did not end");
        Refusal::Internal
    })
}
