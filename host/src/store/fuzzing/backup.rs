//! Something that is to be restored.
//!
//! Promise: what is restored passes [`check`](crate::store::check::check); of
//! anything else nothing is left.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use tar::Archive;
use tar::Builder;
use tar::EntryType;
use tar::Header;

use crate::feed::Feed;
use crate::ids::Digest;
use crate::store::archive;
use crate::store::archive::Manifest;
use crate::store::check::check;
use crate::store::fuzzing::BASE;
use crate::store::fuzzing::Files;
use crate::store::fuzzing::SOUND;
use crate::store::fuzzing::damage;
use crate::store::fuzzing::home;
use crate::store::restore::restore;

/// As for a data directory.
const HITS_MAX: usize = 6;

/// See [`fuzzing`](crate::fuzzing). The first byte says what follows: the file
/// itself, damage to a good file, or damage to what is packed into one.
pub fn backup(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    match feed.byte() {
        Some(b'r') => check_restored(feed.rest()),
        Some(b'b') => {
            let mut file = Files::from([(String::new(), BASE.backup.clone())]);
            for _ in 0..HITS_MAX {
                damage::bytes(&mut file, &mut feed);
            }
            check_restored(&file[""]);
        }
        Some(_) => check_restored(&packed(&mut feed).unwrap_or_default()),
        None => {}
    }
}

/// What is packed: a name, a kind, a length that may be a lie, and bytes.
struct Packed {
    name: Vec<u8>,
    kind: EntryType,
    length: u64,
    bytes: Vec<u8>,
}

/// A file whose last entry may be honest whatever comes before it.
fn packed(feed: &mut Feed<'_>) -> Option<Vec<u8>> {
    let mut entries = unpacked();
    let honest = feed.byte()? % 2 == 0;
    for _ in 0..HITS_MAX {
        let Some(at) = feed.choice(entries.len().max(1)).filter(|at| *at < entries.len()) else { break };
        let entry = &mut entries[at];
        match feed.byte()? % 8 {
            0 => entry.name = feed.piece()?.to_vec(),
            1 => entry.kind = EntryType::new(feed.byte()?),
            2 => entry.length = feed.number()?,
            3 => entry.bytes = feed.piece()?.to_vec(),
            4 => drop(entries.remove(at)),
            5 => {
                let other = feed.choice(entries.len())?;
                entries.swap(at, other);
            }
            6 => damage_row(entry, feed)?,
            _ => {
                let mut file = Files::from([(String::new(), std::mem::take(&mut entry.bytes))]);
                damage::bytes(&mut file, feed);
                entry.bytes = file.remove("")?;
                entry.length = entry.bytes.len() as u64;
            }
        }
    }
    if honest {
        tell_the_truth(&mut entries)?;
    }
    Some(pack(&entries))
}

fn unpacked() -> Vec<Packed> {
    let mut archive = Archive::new(BASE.backup.as_slice());
    let entries = archive.entries().expect(SOUND).map(|entry| {
        let mut entry = entry.expect(SOUND);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect(SOUND);
        let name = entry.path_bytes().into_owned();
        Packed { name, kind: EntryType::Regular, length: bytes.len() as u64, bytes }
    });
    entries.collect()
}

/// Only if it is a database.
fn damage_row(entry: &mut Packed, feed: &mut Feed<'_>) -> Option<()> {
    let home = home();
    let path = home.path().join("db");
    fs::write(&path, &entry.bytes).ok()?;
    let db = damage::open(&path)?;
    damage::rows(&db, feed)?;
    db.close().ok()?;
    entry.bytes = fs::read(path).ok()?;
    entry.length = entry.bytes.len() as u64;
    Some(())
}

fn tell_the_truth(entries: &mut [Packed]) -> Option<()> {
    let digest = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name.as_bytes())?;
        Some(Digest::of(&entry.bytes).to_string())
    };
    let (database, secret) = (digest(archive::DATABASE)?, digest(archive::SECRET)?);
    let manifest = Manifest { form: archive::FORM, database, secret };
    let last = entries.iter_mut().find(|entry| entry.name == archive::MANIFEST.as_bytes())?;
    last.bytes = serde_json::to_vec(&manifest).ok()?;
    last.length = last.bytes.len() as u64;
    Some(())
}

fn pack(entries: &[Packed]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        let name = &entry.name[..entry.name.len().min(100)];
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(entry.kind);
        header.set_size(entry.length);
        header.set_cksum();
        tar.append(&header, entry.bytes.as_slice()).expect("a vector takes all");
    }
    tar.into_inner().expect("a vector takes all")
}

fn check_restored(bytes: &[u8]) {
    let home = home();
    let (from, data) = (home.path().join("backup"), home.path().join("data"));
    fs::write(&from, bytes).expect("room for a small backup");
    let restored = restore(&from, &data).is_ok_and(|report| report.faults.is_empty());
    assert_eq!(data.exists(), restored, "a data directory is there if and only if it was restored");
    if restored {
        let report = check(&data).expect("what was restored can be looked at");
        assert!(report.faults.is_empty(), "restored, and yet: {:?}", report.faults);
    }
    assert_eq!(entries(home.path()), 1 + usize::from(restored), "something is left beside it");
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).expect("it is there").count()
}
