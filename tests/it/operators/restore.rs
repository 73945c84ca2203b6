//! A restore takes whole backups only, and touches nothing but the new directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sessile_kit::TestServer;
use tar::EntryType;
use tar::Header;

use super::store;
use super::store::back_up;
use super::store::restore;

/// An entry of a backup: its name, kind and bytes.
type Entry = (String, EntryType, Vec<u8>);

/// A backup that is not what was saved, and a part of the sentence about it.
type Forgery = (&'static str, fn(&mut Vec<Entry>));

fn read(file: &Path) -> Vec<Entry> {
    let mut tar = tar::Archive::new(fs::File::open(file).unwrap());
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), entry.header().entry_type(), bytes)
    });
    entries.collect()
}

/// Writes names as they are: a library would refuse some.
fn write(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o4777);
        header.set_entry_type(*kind);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn named<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    entries.iter_mut().find(|(found, ..)| found.starts_with(name)).expect("a backup has it")
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn add(entries: &mut Vec<Entry>, name: &str, kind: EntryType) {
    entries.insert(0, (name.to_owned(), kind, Vec::new()));
}

const FORGERIES: &[Forgery] = &[
    ("truth.sqlite3 has other bytes than were saved", |all| flip(&mut named(all, "truth").2)),
    ("secret has other bytes than were saved", |all| flip(&mut named(all, "secret").2)),
    (".wasm has other bytes than were saved", |all| flip(&mut named(all, "modules/").2)),
    ("secret has 33 bytes, and 32 are the most", |all| named(all, "secret").2.push(7)),
    ("truth.sqlite3 is missing", |all| all.retain(|(name, ..)| name != "truth.sqlite3")),
    ("secret is missing", |all| all.retain(|(name, ..)| name != "secret")),
    ("its end is missing", |all| all.retain(|(name, ..)| name != "backup.json")),
    ("its end is missing", |all| all.clear()),
    ("it has form 2, and this program knows form 1", |all| {
        let manifest = &mut named(all, "backup.json").2;
        *manifest = String::from_utf8(manifest.clone()).unwrap().replace("\"form\":1", "\"form\":2").into();
    }),
    ("backup.json: ", |all| named(all, "backup.json").2.clear()),
    ("it holds secret twice", |all| {
        let again = named(all, "secret").clone();
        all.insert(0, again);
    }),
    ("which no backup has", |all| add(all, "../escaped", EntryType::Regular)),
    ("which no backup has", |all| add(all, "/tmp/escaped", EntryType::Regular)),
    ("which no backup has", |all| add(all, "modules/../escaped", EntryType::Regular)),
    ("which no backup has", |all| add(all, "modules/../../escaped.wasm", EntryType::Regular)),
    ("which no backup has", |all| add(all, "truth.sqlite3-wal", EntryType::Regular)),
    ("which no backup has", |all| add(all, "lock", EntryType::Regular)),
    ("not a plain file", |all| add(all, "secret", EntryType::Symlink)),
    ("not a plain file", |all| add(all, "truth.sqlite3", EntryType::Link)),
    ("not a plain file", |all| add(all, "modules", EntryType::Directory)),
    ("not a plain file", |all| add(all, "secret", EntryType::Fifo)),
    ("not a plain file", |all| add(all, "secret", EntryType::GNUSparse)),
    ("not a plain file", |all| add(all, "././@LongLink", EntryType::GNULongName)),
    ("not a plain file", |all| add(all, "x", EntryType::XHeader)),
];

async fn a_backup(ground: &Path) -> std::path::PathBuf {
    let server = TestServer::start().await;
    store::fill(&server).await;
    let file = ground.join("good");
    let _ = back_up(&server.data(), &file).expect(0);
    file
}

#[tokio::test]
async fn what_is_not_a_whole_backup_is_refused_and_leaves_nothing() {
    let ground = tempfile::tempdir().unwrap();
    let good = read(&a_backup(ground.path()).await);
    let (file, data) = (ground.path().join("forged"), ground.path().join("data"));
    fs::write(&file, write(&good)).unwrap();
    let _ = restore(&file, &data).expect(0);
    fs::remove_dir_all(&data).unwrap();

    for (sentence, forge) in FORGERIES {
        let mut entries = good.clone();
        forge(&mut entries);
        fs::write(&file, write(&entries)).unwrap();
        restore(&file, &data).refused(sentence);
        assert_eq!(store::names(ground.path()), ["forged", "good"], "{sentence}");
    }
}

#[tokio::test]
async fn a_backup_that_was_cut_off_anywhere_is_refused() {
    let ground = tempfile::tempdir().unwrap();
    let whole = fs::read(a_backup(ground.path()).await).unwrap();
    let (file, data) = (ground.path().join("cut"), ground.path().join("data"));
    // The last 1,024 bytes are the end of a tar, after all that is in it; so are those that fill up its last entry.
    let last = whole.len() - 1_024 - 512;
    for n in 0..40 {
        fs::write(&file, &whole[..last * n / 39]).unwrap();
        let called = restore(&file, &data).expect(2);
        assert!(called.stderr.contains("is not a backup that can be restored: "), "{called:?}");
        assert_eq!(store::names(ground.path()), ["cut", "good"]);
    }
    fs::write(&file, b"neither a tar nor anything else".repeat(1_000)).unwrap();
    restore(&file, &data).refused("is not a backup that can be restored: ");
}

#[tokio::test]
async fn a_restore_overwrites_nothing() {
    let ground = tempfile::tempdir().unwrap();
    let file = a_backup(ground.path()).await;
    let taken = ground.path().join("taken");
    fs::write(&taken, "precious").unwrap();
    restore(&file, &taken).refused("is not an empty directory; name a new one");
    restore(&file, ground.path()).refused("is not an empty directory; name a new one");
    assert_eq!(fs::read_to_string(&taken).unwrap(), "precious");
    let link = ground.path().join("link");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    restore(&file, &link).refused("is not an empty directory; name a new one");
    restore(&ground.path().join("nothing"), &ground.path().join("data")).refused("open the backup");
    assert_eq!(store::names(ground.path()), ["good", "link", "taken"]);

    let empty = ground.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let _ = restore(&file, &empty).expect(0);
    assert_eq!(store::names(&empty), ["modules", "secret", "truth.sqlite3"]);
    assert_eq!(fs::metadata(&empty).unwrap().permissions().mode() & 0o777, 0o700);
    for file in [empty.join("secret"), empty.join("truth.sqlite3"), store::a_file(&empty.join("modules"))] {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600, "{}", file.display());
    }
}
