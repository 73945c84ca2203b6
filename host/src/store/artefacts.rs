//! Compiled code on disk.
//!
//! Promise: an artefact is handed out only with the digest that was recorded
//! when the server wrote it, so that whoever loads it can check that nobody
//! else did. Tenants reach neither the files nor the records.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rusqlite::params;
use sha2::Digest as _;
use sha2::Sha256;

use crate::ids::Digest;
use crate::store::Store;
use crate::store::block;
use crate::store::collector;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::layout;
use crate::store::plain;
use crate::store::rows;

/// Compiled code on disk, for one exact engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtefactFile {
    pub path: PathBuf,
    /// Of the file's bytes, as recorded when it was written.
    pub digest: Digest,
}

impl Store {
    /// A file for a compiler to write to. It has no name, so it is gone when
    /// nobody holds it open, whatever becomes of whom.
    pub async fn scratch_file(&self) -> Result<File, StoreError> {
        let shared = self.shared();
        block(move || layout::nameless_file(&shared.layout.tmp()).map_err(StoreError::io("make a temporary file")))
            .await
    }

    /// Keeps the compiled code of the module `wasm`, which is read from `code`,
    /// for the engine with that `fingerprint` (1 to 64 letters and digits).
    /// Durable when it returns.
    pub async fn save_artefact(
        &self,
        wasm: Digest,
        fingerprint: &str,
        mut code: impl Read + Send + 'static,
    ) -> Result<ArtefactFile, StoreError> {
        let shared = self.shared();
        let fingerprint = checked(fingerprint)?;
        let path = shared.layout.artefact(&wasm, &fingerprint);
        let written = path.clone();
        let digest = block(move || {
            let mut hash = Sha256::new();
            let saved = durable::copy_whole(&shared.layout.tmp(), &written, &mut code, |part| hash.update(part));
            saved.map_err(StoreError::io("save compiled code"))?;
            Ok(Digest::from_bytes(hash.finalize().into()))
        })
        .await?;
        let recorded = self.writer().enqueue(move |db| {
            let insert = "INSERT INTO artefact (digest, fingerprint, file_digest) VALUES (?1, ?2, ?3)
                          ON CONFLICT (digest, fingerprint) DO UPDATE SET file_digest = excluded.file_digest";
            rows::change(db, insert, params![wasm.as_bytes(), fingerprint, digest.as_bytes()])
        });
        recorded.await?;
        Ok(ArtefactFile { path, digest })
    }

    /// The compiled code of the module `wasm` for that engine, if it is kept.
    pub async fn artefact(&self, wasm: Digest, fingerprint: &str) -> Result<Option<ArtefactFile>, StoreError> {
        let fingerprint = checked(fingerprint)?;
        let path = self.shared().layout.artefact(&wasm, &fingerprint);
        let find = "SELECT file_digest FROM artefact WHERE digest = ?1 AND fingerprint = ?2";
        let key = move |db: &rusqlite::Connection| {
            rows::one(db, find, params![wasm.as_bytes(), fingerprint], |row| rows::digest(row, "file_digest"))
        };
        let digest = self.read(key).await?;
        Ok(digest.filter(|_| plain::is_file(&path)).map(|digest| ArtefactFile { path, digest }))
    }

    /// Deletes the compiled code of all other engines, which nothing can load
    /// any more; says of how many modules. For the start.
    pub async fn collect_artefacts(&self, fingerprint: &str) -> Result<usize, StoreError> {
        let fingerprint = checked(fingerprint)?;
        let shared = self.shared();
        let others = self.writer().enqueue(move |db| {
            let delete = "DELETE FROM artefact WHERE fingerprint <> ?1 RETURNING digest, fingerprint";
            rows::all(db, delete, [&fingerprint], |row| {
                let other: String = row.get("fingerprint")?;
                Ok((rows::digest(row, "digest")?, other))
            })
        });
        let others = others.await?;
        block(move || {
            for (wasm, fingerprint) in &others {
                collector::remove(&shared.layout.artefact(wasm, fingerprint));
            }
            Ok(others.len())
        })
        .await
    }
}

/// A fingerprint becomes part of a file's name.
fn checked(fingerprint: &str) -> Result<String, StoreError> {
    let fits = (1..=layout::FINGERPRINT_BYTES_MAX).contains(&fingerprint.len());
    if fits && fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(fingerprint.to_owned());
    }
    Err(StoreError::Broken(format!("`{fingerprint}` as the fingerprint of an engine")))
}
