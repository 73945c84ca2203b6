//! A session's whole directory as an archive, as a caller sees it.
//!
//! Promise: putting one has the turn of the session's lane, like a job (R10), and
//! takes it when the archive is whole and sound; fetching one takes no turn. Of one
//! tenant one is packed or unpacked at a time, also for clients that have gone meanwhile.

use crate::ids::TenantId;
use crate::model::session::Session;
use crate::model::session::SessionLimits;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::service::session_keys::Visit;
use crate::store::ArchiveState;
use crate::store::Coding;
use crate::store::Packed;
use crate::store::Precondition;
use crate::store::Replaced;
use crate::store::Spool;
use crate::store::SpoolWriter;
use crate::store::StoreError;

impl Service {
    /// What is known of a session's archive as of a commit, the last one if none is
    /// named, without packing it.
    pub fn archive_state(
        &self,
        session: &Session,
        commit: Option<u64>,
        coding: Coding,
    ) -> Result<ArchiveState, Refusal> {
        Ok(self.inner.store.archive_state(session.key, commit, coding)?)
    }

    /// How long it is, not compressed.
    pub async fn archive_size(&self, session: &Session, commit: Option<u64>) -> Result<u64, Refusal> {
        let _room = self.inner.reads.acquire().await.map_err(|_| Refusal::Internal)?;
        Ok(self.inner.store.archive_size(session.key, commit).await?)
    }

    /// The archive.
    pub async fn archive(&self, session: &Session, commit: Option<u64>, coding: Coding) -> Result<Packed, Refusal> {
        let (service, key) = (self.clone(), session.key);
        self.in_turn(&session.owner.tenant, async move { service.inner.store.archive(key, commit, coding).await }).await
    }

    /// What the archive of a session may take that is put: what the session may hold.
    pub fn archive_bytes_max(&self, session: &Session) -> u64 {
        most(session).archive_bytes()
    }

    /// Takes an archive in before it is looked at.
    pub fn archive_spool(&self, session: &Session) -> SpoolWriter {
        self.inner.store.spool_up_to(self.archive_bytes_max(session))
    }

    /// Puts an archive in the place of all that a session holds, as one transaction or
    /// as part of the open one.
    pub async fn put_archive(
        &self,
        visit: &Visit,
        archive: Spool,
        coding: Coding,
        only_if: Precondition,
    ) -> Result<Replaced, Refusal> {
        let (service, most) = (self.clone(), most(&visit.session));
        let tenant = &visit.session.owner.tenant;
        let unpacking = async move { service.inner.store.unpack(archive, coding, most).await };
        let unpacked = self.in_turn(tenant, unpacking).await?;
        let access = visit.access;
        let commit =
            move |service: &Service| service.inner.store.replace_files(access, unpacked, only_if, service.now());
        self.write(&visit.session, commit).await
    }

    /// Does the work in the tenant's turn, which it has to its end. Whoever goes away
    /// before the turn has come leaves the line.
    async fn in_turn<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = self.inner.packers.enter_anyway(tenant).into_turn().await;
        let done = self.start_task(async move {
            let done = work.await;
            drop(turn);
            done
        });
        Ok(done.await.map_err(|_| Refusal::Internal)??)
    }
}

fn most(session: &Session) -> SessionLimits {
    session.limits.at_least(session.usage)
}
