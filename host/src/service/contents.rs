//! What lies in sessions, as a caller sees it: files and parameters.
//!
//! Promise: a write has the turn of the session's lane, like a job (R10); a read
//! takes no turn and sees one commit.

use crate::model::params::ParamChanges;
use crate::model::params::ParamMap;
use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::service::Service;
use crate::service::refusal::Refusal;
use crate::service::session_keys::Visit;
use crate::store::FileContent;
use crate::store::FileEntry;
use crate::store::Page;
use crate::store::PageOf;
use crate::store::Precondition;
use crate::store::Put;
use crate::store::Recursive;
use crate::store::Spool;
use crate::store::SpoolWriter;

impl Service {
    /// The parameters as of a commit, the last one if none is named; with its number.
    pub async fn params(&self, session: &Session, commit: Option<u64>) -> Result<(ParamMap, u64), Refusal> {
        Ok(self.inner.store.params(session.key, commit).await?)
    }

    /// Changes parameters, as one transaction or as part of the open one. Gives the
    /// number of the last commit.
    pub async fn write_params(&self, visit: &Visit, changes: ParamChanges) -> Result<u64, Refusal> {
        let access = visit.access;
        let commit = move |service: &Service| service.inner.store.write_params(access, changes, service.now());
        self.write(&visit.session, commit).await
    }

    /// Removes a parameter, under the same terms.
    pub async fn remove_param(&self, visit: &Visit, name: String) -> Result<u64, Refusal> {
        let access = visit.access;
        let commit = move |service: &Service| service.inner.store.remove_param(access, name, service.now());
        self.write(&visit.session, commit).await
    }

    /// What lies in a directory of a session as of a commit, the last one if none
    /// is named; with its number.
    pub async fn files(
        &self,
        session: &Session,
        commit: Option<u64>,
        prefix: Option<SessionPath>,
        recursive: Recursive,
        page: PageOf,
    ) -> Result<(Page<FileEntry>, u64), Refusal> {
        Ok(self.inner.store.files(session.key, commit, prefix, recursive, page).await?)
    }

    /// A file with its bytes as of a commit, the last one if none is named.
    pub async fn file(
        &self,
        session: &Session,
        commit: Option<u64>,
        path: &SessionPath,
    ) -> Result<FileContent, Refusal> {
        if let Some(content) = self.inner.store.small_file(session.key, commit, path)? {
            return Ok(content);
        }
        // A large file is copied out of the store first; a crowd of readers must
        // not take every thread that others need for their look into it.
        let _room = self.inner.reads.acquire().await.map_err(|_| Refusal::Internal)?;
        let content = self.inner.store.file(session.key, commit, path.clone()).await?;
        content.ok_or_else(|| Refusal::NotAFile(path.to_string()))
    }

    /// Takes in the content of a file before its turn has come.
    pub fn spool(&self) -> SpoolWriter {
        self.inner.store.spool()
    }

    /// Writes a whole file, as one transaction or as part of the open one.
    pub async fn put_file(
        &self,
        visit: &Visit,
        path: SessionPath,
        content: Spool,
        only_if: Precondition,
    ) -> Result<Put, Refusal> {
        let access = visit.access;
        let commit =
            move |service: &Service| service.inner.store.put_file(access, path, content, only_if, service.now());
        self.write(&visit.session, commit).await
    }

    /// Deletes a file or directory, as one transaction or as part of the open one.
    /// Gives the number of the last commit.
    pub async fn delete_file(
        &self,
        visit: &Visit,
        path: SessionPath,
        recursive: Recursive,
        only_if: Precondition,
    ) -> Result<u64, Refusal> {
        let access = visit.access;
        let commit =
            move |service: &Service| service.inner.store.delete_file(access, path, recursive, only_if, service.now());
        self.write(&visit.session, commit).await
    }
}
