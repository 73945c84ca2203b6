//! The files beside the database.
//!
//! Promise: what is looked for is what the database says must be there. A module
//! or compiled code that nobody needs any more is none of our business: the next
//! start takes it away.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::ids::Digest;
use crate::store::check::Faults;
use crate::store::error::StoreError;
use crate::store::hashed::Hashed;
use crate::store::layout::Layout;
use crate::store::plain;
use crate::store::rows;
use crate::store::secret::Secret;

/// The secret is there, whole, and nobody else's to read.
pub(super) fn secret(layout: &Layout, faults: &mut Faults) -> Result<(), StoreError> {
    let path = layout.secret();
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            faults.add("the secret is missing, and without it no key of a session is right".to_owned());
            return Ok(());
        }
        Err(error) => return Err(StoreError::io("look at the secret of the data directory")(error)),
    };
    if !meta.is_file() || meta.len() != size_of::<Secret>() as u64 {
        faults.add(format!("the secret is not a file of {} bytes", size_of::<Secret>()));
    } else if meta.mode() & 0o077 != 0 {
        faults.add(format!("the secret can be read by others than its owner (mode {:o})", meta.mode() & 0o777));
    }
    Ok(())
}

/// Each module that a version or a job needs is on disk with the bytes that
/// were uploaded.
pub(super) fn modules(layout: &Layout, db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    for digest in needed_modules(db)? {
        match digest_of(&layout.wasm(&digest))? {
            None => faults.add(format!("the bytes of module {digest} are missing; upload it again")),
            Some((found, _)) if found != digest => {
                faults.add(format!("the bytes of module {digest} are not those that were uploaded"));
            }
            Some((_, size_bytes)) => sizes(db, digest, size_bytes, faults)?,
        }
    }
    Ok(())
}

/// The modules whose bytes must be there.
pub(in crate::store) fn needed_modules(db: &Connection) -> Result<Vec<Digest>, StoreError> {
    let needed = "SELECT digest FROM module_version UNION SELECT digest FROM job WHERE ended_at IS NULL";
    rows::all(db, needed, [], |row| rows::digest(row, "digest"))
}

fn sizes(db: &Connection, digest: Digest, size_bytes: u64, faults: &mut Faults) -> Result<(), StoreError> {
    let wrong = "SELECT tenant, name, version FROM module_version WHERE digest = ?1 AND size_bytes <> ?2";
    let values = rusqlite::params![digest.as_bytes(), rows::stored(size_bytes)];
    let wrong: Vec<String> = rows::all(db, wrong, values, |row| {
        let (tenant, name, version): (String, String, i64) =
            (row.get("tenant")?, row.get("name")?, row.get("version")?);
        Ok(format!("module {name}@{version} of {tenant} is on record with another size than {size_bytes} bytes"))
    })?;
    wrong.into_iter().for_each(|fault| faults.add(fault));
    Ok(())
}

/// Compiled code is what was recorded when it was written. It may be missing:
/// then it is made again.
pub(super) fn artefacts(layout: &Layout, db: &Connection, faults: &mut Faults) -> Result<(), StoreError> {
    let list = "SELECT digest, fingerprint, file_digest FROM artefact";
    let recorded: Vec<(Digest, String, Digest)> = rows::all(db, list, [], |row| {
        Ok((rows::digest(row, "digest")?, row.get("fingerprint")?, rows::digest(row, "file_digest")?))
    })?;
    for (module, fingerprint, recorded) in recorded {
        // It is part of a file's name, and the database may say anything.
        if !fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            faults.add(format!("compiled code of module {module} is on record for no engine that there can be"));
            continue;
        }
        let path = layout.artefact(&module, &fingerprint);
        if digest_of(&path)?.is_some_and(|(found, _)| found != recorded) {
            faults.add(format!(
                "the compiled code of module {module} is not what was written; delete {} and it is made again",
                path.display()
            ));
        }
    }
    Ok(())
}

/// The digest and the length of a file, if it is there.
fn digest_of(path: &Path) -> Result<Option<(Digest, u64)>, StoreError> {
    let file = match plain::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("open a module")(error)),
    };
    let mut hashed = Hashed::new(file);
    io::copy(&mut hashed, &mut io::sink()).map_err(StoreError::io("read a module"))?;
    Ok(Some(hashed.finish()))
}
