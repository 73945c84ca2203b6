//! A session's history, and its explicit transactions, as a caller sees them.
//!
//! Promise: what changes a session has the turn of its lane, like a job (R10);
//! what only looks takes no turn.

use crate::model::history::ChangeList;
use crate::model::history::Commit;
use crate::model::session::Session;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::service::session_keys::Visit;
use crate::store::Page;
use crate::store::PageOf;

impl Service {
    /// The commits that are kept, newest first.
    pub async fn commits(&self, session: &Session, page: PageOf) -> Result<Page<Commit>, Refusal> {
        Ok(self.inner.store.commits(session.key, page).await?)
    }

    /// One of them, and what it changed.
    pub async fn commit_changes(&self, session: &Session, number: u64) -> Result<(Commit, ChangeList), Refusal> {
        // The list may be as large as a large file; a crowd of readers takes turns.
        let _room = self.inner.reads.acquire().await.map_err(|_| Refusal::Internal)?;
        Ok(self.inner.store.commit_changes(session.key, number).await?)
    }

    /// Makes a session what it was at a commit, as a new commit; gives the session.
    pub async fn revert(&self, visit: &Visit, to: u64) -> Result<Session, Refusal> {
        let access = visit.access;
        self.write(&visit.session, move |service: &Service| service.inner.store.revert(access, to, service.now()))
            .await?;
        self.after(visit).await
    }

    /// Commits an explicit transaction (R23); gives the session.
    pub async fn commit_transaction(&self, visit: &Visit) -> Result<Session, Refusal> {
        let access = visit.access;
        let commit = move |service: &Service| service.inner.store.commit_transaction(access, service.now());
        self.write(&visit.session, commit).await?;
        self.after(visit).await
    }

    /// Undoes an explicit transaction (R23); gives the session.
    pub async fn roll_back_transaction(&self, visit: &Visit) -> Result<Session, Refusal> {
        let access = visit.access;
        let undo = move |service: &Service| service.inner.store.roll_back_transaction(access, service.now());
        self.write(&visit.session, undo).await?;
        self.after(visit).await
    }

    /// The session as it is after a write to it.
    async fn after(&self, visit: &Visit) -> Result<Session, Refusal> {
        let session = self.inner.store.session_by_key(visit.session.key).await?;
        session.ok_or_else(|| Refusal::NoSession(visit.session.id.clone()))
    }
}
