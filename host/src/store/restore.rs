//! A data directory made from a backup.
//!
//! Promise: what is read may be anything and changes nothing but a new directory,
//! which gets its name only when it is whole, durable, and sound in the eyes of
//! [`check`](super::check). Names are compared, never followed.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use tar::Archive;
use tar::Entry;
use tar::EntryType;

use crate::ids::Digest;
use crate::limits::MODULE_BYTES_MAX;
use crate::store::archive;
use crate::store::archive::Manifest;
use crate::store::archive::Workshop;
use crate::store::check;
use crate::store::check::Report;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::hashed::Hashed;
use crate::store::inspection;
use crate::store::layout;
use crate::store::layout::Layout;
use crate::store::layout::Parents;
use crate::store::schema;
use crate::store::secret::Secret;

/// Makes the data directory `data`, which must be absent or empty, from the backup
/// `from`. If the report has faults, there is no directory.
pub fn restore(from: &Path, data: &Path) -> Result<Report, StoreError> {
    let file = File::open(from).map_err(StoreError::io("open the backup"))?;
    must_be_free(data)?;
    let workshop = Workshop::beside(data)?;
    let layout = Layout::of(&workshop.dir)?;
    layout::make_private_dir(&layout.modules(), Parents::Expect).map_err(StoreError::io("make a directory"))?;
    unpack(file, &layout).map_err(|why| why.of(from))?;
    if inspection::is_old(&layout.database())? {
        // Closed at once, so that it leaves no log.
        drop(schema::open_for_writing(&layout.database())?);
    }
    let report = check::whole(&layout)?;
    if report.faults.is_empty() {
        durable::sync_dir(&layout.modules())
            .and_then(|()| durable::place_dir(&workshop.dir, &workshop.goal))
            .map_err(StoreError::io("give the data directory its name"))?;
    }
    Ok(report)
}

fn must_be_free(data: &Path) -> Result<(), StoreError> {
    let taken = match fs::symlink_metadata(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("look at the data directory")(error)),
        Ok(meta) if !meta.is_dir() => true,
        Ok(_) => fs::read_dir(data).map_err(StoreError::io("look at the data directory"))?.next().is_some(),
    };
    if taken {
        return Err(StoreError::Unusable(format!(
            "{} is not an empty directory; name a new one, and nothing is overwritten",
            data.display()
        )));
    }
    Ok(())
}

/// Why a file cannot be restored.
enum Unfit {
    Backup(String),
    Io(io::Error),
}

impl Unfit {
    fn of(self, file: &Path) -> StoreError {
        match self {
            Unfit::Backup(why) => {
                StoreError::Unusable(format!("{} is not a backup that can be restored: {why}", file.display()))
            }
            Unfit::Io(error) => StoreError::io("unpack the backup")(error),
        }
    }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // What the tar itself is blamed for.
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Unfit::Backup(error.to_string())
            }
            _ => Unfit::Io(error),
        }
    }
}

/// The digests of what was unpacked.
#[derive(Default)]
struct Unpacked {
    database: Option<Digest>,
    secret: Option<Digest>,
}

/// Puts what is in the file where it belongs.
fn unpack(file: File, layout: &Layout) -> Result<(), Unfit> {
    let mut tar = Archive::new(BufReader::new(file));
    let mut unpacked = Unpacked::default();
    // Raw: a backup has none of the entries that change what the next one means.
    for entry in tar.entries()?.raw(true) {
        let entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(Unfit::Backup("it holds something that is not a plain file".to_owned()));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match name.as_str() {
            archive::DATABASE => unpacked.database = Some(write(&layout.database(), u64::MAX, &name, entry)?),
            archive::SECRET => {
                unpacked.secret = Some(write(&layout.secret(), size_of::<Secret>() as u64, &name, entry)?);
            }
            archive::MANIFEST => return must_agree(&unpacked, entry),
            _ => unpack_module(layout, &name, entry)?,
        }
    }
    Err(Unfit::Backup("its end is missing".to_owned()))
}

fn unpack_module(layout: &Layout, name: &str, entry: Entry<'_, impl Read>) -> Result<(), Unfit> {
    let digest = name.strip_prefix(archive::MODULES).and_then(|name| layout.wasm_named(name));
    let digest = digest.ok_or_else(|| Unfit::Backup(format!("it holds {name:?}, which no backup has")))?;
    if write(&layout.wasm(&digest), MODULE_BYTES_MAX as u64, name, entry)? != digest {
        return Err(Unfit::Backup(format!("{name} has other bytes than were saved")));
    }
    Ok(())
}

/// Writes an entry to a new file; gives the digest of its bytes.
fn write(path: &Path, bytes_max: u64, name: &str, entry: Entry<'_, impl Read>) -> Result<Digest, Unfit> {
    let length = entry.size();
    if length > bytes_max {
        return Err(Unfit::Backup(format!("{name} has {length} bytes, and {bytes_max} are the most that it may have")));
    }
    let mut from = Hashed::new(entry);
    match durable::write_new(path, &mut from) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Unfit::Backup(format!("it holds {name} twice")));
        }
        written => written?,
    }
    match from.finish() {
        (digest, read) if read == length => Ok(digest),
        _ => Err(Unfit::Backup(format!("it is cut off in {name}"))),
    }
}

/// The last entry names what came before it.
fn must_agree(unpacked: &Unpacked, entry: Entry<'_, impl Read>) -> Result<(), Unfit> {
    let mut bytes = Vec::new();
    entry.take(archive::MANIFEST_BYTES_MAX).read_to_end(&mut bytes)?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| Unfit::Backup(format!("{}: {error}", archive::MANIFEST)))?;
    if manifest.form != archive::FORM {
        return Err(Unfit::Backup(format!(
            "it has form {}, and this program knows form {}; use the program that made it",
            manifest.form,
            archive::FORM
        )));
    }
    let found = [
        (unpacked.database, manifest.database, archive::DATABASE),
        (unpacked.secret, manifest.secret, archive::SECRET),
    ];
    for (found, saved, name) in found {
        match found {
            None => return Err(Unfit::Backup(format!("{name} is missing"))),
            Some(found) if found.to_string() != saved => {
                return Err(Unfit::Backup(format!("{name} has other bytes than were saved")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
