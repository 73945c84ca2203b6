//! A backup: one file with all that must last, taken beside a running server.
//!
//! Promise: the file is there whole, or not at all; it holds one commit of the
//! database with every module that is needed then, and it was checked before it
//! got its name. The server is not asked, and waits for nothing.
//!
//! What belongs together is found in this order. A snapshot is taken, then the
//! modules that it needs are copied. The server may delete one in between, but
//! only after a commit that needs it no more: so if one is missing, a new snapshot
//! is taken, which does not ask for it. Modules that were copied stay in the file,
//! so each round has less to do. Uploads do no harm: a module's bytes are on disk
//! before a commit speaks of it.

use std::collections::HashSet;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use tar::Builder;
use tar::Header;

use crate::ids::Digest;
use crate::store::archive;
use crate::store::archive::Manifest;
use crate::store::archive::Workshop;
use crate::store::check;
use crate::store::check::Report;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::foreign;
use crate::store::hashed::Hashed;
use crate::store::inspection;
use crate::store::layout::Layout;
use crate::store::plain;
use crate::store::schema;

/// Snapshots that are taken before we give up. A second one is needed only if a
/// module is deleted in that very moment.
const SNAPSHOTS_MAX: u32 = 10;

/// Saves the data directory `data`, of a server that runs or does not, in the new
/// file `to`. If the report has faults, there is no file.
pub fn back_up(data: &Path, to: &Path) -> Result<Report, StoreError> {
    let layout = Layout::of(data)?;
    foreign::refuse_unreadable(&layout.open_dir()?)?;
    if fs::symlink_metadata(to).is_ok() {
        return Err(StoreError::Unusable(format!("{} is there already, and nothing is overwritten", to.display())));
    }
    let workshop = Workshop::beside(to)?;
    let draft = workshop.dir.join("draft");
    let file = private_file(&draft).map_err(StoreError::io("make the backup"))?;
    let mut tar = Builder::new(BufWriter::new(file));
    let snapshot = modules_and_snapshot(&layout, &workshop, &mut tar, take_snapshot)?;
    let report = check::snapshot(&snapshot)?;
    if !report.faults.is_empty() {
        return Ok(report);
    }
    finish(&layout, &snapshot, tar).map_err(StoreError::io("write the backup"))?;
    durable::place_new(&draft, &workshop.goal).map_err(StoreError::io("give the backup its name"))?;
    Ok(report)
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// See the module's text; gives the snapshot whose modules are all in the file.
fn modules_and_snapshot(
    layout: &Layout,
    workshop: &Workshop,
    tar: &mut Builder<impl Write>,
    take_snapshot: impl Fn(&Layout, &Path) -> Result<(), StoreError>,
) -> Result<PathBuf, StoreError> {
    let mut copied = HashSet::new();
    let mut missing = None;
    for number in 0..SNAPSHOTS_MAX {
        let snapshot = workshop.dir.join(number.to_string());
        take_snapshot(layout, &snapshot)?;
        let needed = needed(&snapshot)?;
        missing = None;
        for digest in needed.into_iter().filter(|digest| !copied.contains(digest)).collect::<Vec<_>>() {
            match copy_module(layout, digest, tar)? {
                Module::Copied => copied.insert(digest),
                Module::Missing => missing.replace(digest).is_some(),
            };
        }
        if missing.is_none() {
            return Ok(snapshot);
        }
        fs::remove_file(&snapshot).map_err(StoreError::io("delete a snapshot that is not complete"))?;
    }
    let digest = missing.map(|digest| digest.to_string()).unwrap_or_default();
    Err(StoreError::Unusable(format!("the bytes of module {digest} are missing; see what `sessile check` says")))
}

/// `VACUUM INTO` is one statement, which reads one commit however long it takes. (A
/// copy of pages would begin again with each commit of the server.) What it writes
/// has no log, and nothing of what was deleted.
fn take_snapshot(layout: &Layout, to: &Path) -> Result<(), StoreError> {
    if !plain::is_file(&layout.database()) {
        return Err(StoreError::Unusable(format!("there is no database in {}", layout.data().display())));
    }
    private_file(to).map_err(StoreError::io("make the snapshot"))?;
    let db = schema::open_for_reading(&layout.database())?;
    inspection::must_be_current(&db)?;
    let to = to.to_str().ok_or_else(|| StoreError::Unusable("the backup's path must be UTF-8".to_owned()))?;
    db.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}

fn needed(snapshot: &Path) -> Result<Vec<Digest>, StoreError> {
    check::needed_modules(&inspection::open(snapshot)?)
}

/// Whether a module was there to be copied.
enum Module {
    Copied,
    Missing,
}

fn copy_module(layout: &Layout, digest: Digest, tar: &mut Builder<impl Write>) -> Result<Module, StoreError> {
    let file = match plain::open(&layout.wasm(&digest)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Module::Missing),
        Err(error) => return Err(StoreError::io("open a module")(error)),
    };
    let name = format!("{}{}.wasm", archive::MODULES, digest.hex());
    let found = append_file(tar, &name, file).map_err(StoreError::io("copy a module"))?;
    if found != digest {
        return Err(StoreError::Unusable(format!("the bytes of module {digest} are not those that were uploaded")));
    }
    Ok(Module::Copied)
}

/// What comes after the modules.
fn finish(layout: &Layout, snapshot: &Path, mut tar: Builder<BufWriter<File>>) -> io::Result<()> {
    let database = append_file(&mut tar, archive::DATABASE, File::open(snapshot)?)?;
    let secret = append_file(&mut tar, archive::SECRET, plain::open(&layout.secret())?)?;
    let manifest = Manifest { form: archive::FORM, database: database.to_string(), secret: secret.to_string() };
    let manifest = serde_json::to_vec(&manifest)?;
    append(&mut tar, archive::MANIFEST, manifest.len() as u64, manifest.as_slice())?;
    tar.into_inner()?.flush()
}

/// Gives the digest of what was appended.
fn append_file(tar: &mut Builder<impl Write>, name: &str, file: File) -> io::Result<Digest> {
    let length = file.metadata()?.len();
    append(tar, name, length, file)
}

fn append(tar: &mut Builder<impl Write>, name: &str, length: u64, from: impl Read) -> io::Result<Digest> {
    let mut header = Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o600);
    let mut from = Hashed::new(from.take(length));
    tar.append_data(&mut header, name, &mut from)?;
    match from.finish() {
        (digest, read) if read == length => Ok(digest),
        _ => Err(io::Error::other(format!("{name} became shorter while it was copied"))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const TENANT: &str = "INSERT INTO tenant (name, created_at) VALUES ('t', 0)";

    /// A data directory with two modules.
    fn two_modules(home: &Path) -> (Layout, [Digest; 2]) {
        let (layout, _lock) = Layout::prepare(&home.join("data")).unwrap();
        let db = schema::open_for_writing(&layout.database()).unwrap();
        db.execute_batch(TENANT).unwrap();
        let digests = [b"first", b"other"].map(|bytes| {
            let digest = Digest::of(bytes);
            fs::write(layout.wasm(&digest), bytes).unwrap();
            let insert =
                "INSERT INTO module_version VALUES ('t', hex(?1), 1, ?1, 5, 'core', 'ready', NULL, '[]', 0, 'p')";
            db.execute(insert, [digest.as_bytes()]).unwrap();
            digest
        });
        (layout, digests)
    }

    /// What the server does for a deletion: first the commit, then the file.
    fn delete(layout: &Layout, digest: &Digest) {
        let db = schema::open_for_writing(&layout.database()).unwrap();
        db.execute("DELETE FROM module_version WHERE digest = ?1", [digest.as_bytes()]).unwrap();
        fs::remove_file(layout.wasm(digest)).unwrap();
    }

    #[test]
    fn a_module_that_goes_between_snapshot_and_copy_costs_another_snapshot() {
        let home = tempfile::tempdir().unwrap();
        let (layout, [gone, stays]) = two_modules(home.path());
        let workshop = Workshop::beside(&home.path().join("backup")).unwrap();
        let mut tar = Builder::new(Vec::new());
        let taken = Cell::new(0);
        let snapshot = modules_and_snapshot(&layout, &workshop, &mut tar, |layout, to| {
            take_snapshot(layout, to)?;
            taken.set(taken.get() + 1);
            if taken.get() == 1 {
                delete(layout, &gone);
            }
            Ok(())
        });
        assert_eq!(needed(&snapshot.unwrap()).unwrap(), [stays]);
        assert_eq!(taken.get(), 2);
        let bytes = tar.into_inner().unwrap();
        let mut written = tar::Archive::new(bytes.as_slice());
        let names: Vec<_> =
            written.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("modules").join(format!("{}.wasm", stays.hex()))]);
    }

    #[test]
    fn a_module_that_is_missing_for_good_is_named() {
        let home = tempfile::tempdir().unwrap();
        let (layout, [first, _]) = two_modules(home.path());
        fs::remove_file(layout.wasm(&first)).unwrap();
        let refused = back_up(&home.path().join("data"), &home.path().join("backup")).unwrap_err().to_string();
        assert!(refused.contains(&first.to_string()), "{refused}");
    }
}
