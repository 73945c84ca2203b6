//! What was put into a data directory and is not ours goes into quarantine, and
//! nothing that it leads to is touched.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::ffi::OsStr;
use std::fs;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;

use super::*;
use crate::store::check;
use crate::store::durable;
use crate::store::plain::OpenDir;
use crate::store::tests::crash::power_cut;

/// Something of somebody else's that lies where a plain file or directory may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    /// To a directory, a file, and nothing.
    LinkToDir,
    LinkToFile,
    LinkToNothing,
    Pipe,
    Socket,
    /// Only root can make one, and give files away; others skip it.
    Device,
    File,
    Dir,
    HardLink,
    OthersCanWrite,
    AnothersFile,
    AnothersDir,
}

/// A data directory with a session and a module, that no server has open, and a
/// directory elsewhere that nobody may touch.
pub(super) struct Ground {
    pub(super) home: TempDir,
    pub(super) elsewhere: TempDir,
    key: SessionKey,
}

impl Ground {
    /// As a server leaves it that was stopped, or that was killed, with a log.
    pub(super) async fn new(killed: bool) -> Ground {
        let kit = Kit::new().await;
        let key = kit.session("s").await.key;
        kit.put(key, "f", b"committed").await.unwrap();
        let code = kit.store.save_artefact(Digest::of(b"letter 1"), "print", &b"code"[..]).await.unwrap();
        assert!(code.path.starts_with(kit.home.path()));
        let home = if killed {
            power_cut(&kit)
        } else {
            let Kit { home, store } = kit;
            drop(store);
            home
        };
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("witness"), "untouched").unwrap();
        fs::set_permissions(elsewhere.path().join("witness"), Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(elsewhere.path().join("folder")).unwrap();
        fs::write(elsewhere.path().join("folder/deep"), "untouched too").unwrap();
        Ground { home, elsewhere, key }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Plants something in the place of whatever lies there, which is kept aside.
    /// `false` if this user cannot.
    pub(super) fn plant(&self, at: impl AsRef<Path>, plant: Plant) -> bool {
        let (at, elsewhere) = (self.data().join(at), self.elsewhere.path());
        let is_root = rustix::process::geteuid().is_root();
        if !is_root && matches!(plant, Plant::Device | Plant::AnothersFile | Plant::AnothersDir) {
            return false;
        }
        let changes_what_is_there = matches!(plant, Plant::HardLink | Plant::OthersCanWrite | Plant::AnothersFile);
        if at.symlink_metadata().is_err() && changes_what_is_there {
            fs::write(&at, "planted").unwrap();
        } else if at.symlink_metadata().is_ok() && !changes_what_is_there {
            move_to(&at, &self.home.path().join("aside"));
        }
        match plant {
            Plant::LinkToDir => symlink(elsewhere, &at).unwrap(),
            Plant::LinkToFile => symlink(elsewhere.join("witness"), &at).unwrap(),
            Plant::LinkToNothing => symlink(elsewhere.join("nothing"), &at).unwrap(),
            Plant::Pipe => rustix::fs::mknodat(CWD, &at, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            Plant::Socket => {
                // Where a socket is made its path must be short.
                drop(UnixListener::bind(self.home.path().join("socket")).unwrap());
                move_to(&self.home.path().join("socket"), &at);
            }
            Plant::Device => {
                let zero = rustix::fs::makedev(1, 5);
                rustix::fs::mknodat(CWD, &at, FileType::CharacterDevice, Mode::RWXU, zero).unwrap();
            }
            Plant::File => fs::write(&at, "planted").unwrap(),
            Plant::Dir => {
                fs::create_dir(&at).unwrap();
                fs::write(at.join("inner"), "planted").unwrap();
                symlink(elsewhere, at.join("out")).unwrap();
            }
            Plant::HardLink => fs::hard_link(&at, self.home.path().join("other name")).unwrap(),
            Plant::OthersCanWrite => fs::set_permissions(&at, Permissions::from_mode(0o620)).unwrap(),
            Plant::AnothersFile => std::os::unix::fs::chown(&at, Some(4_321), None).unwrap(),
            Plant::AnothersDir => {
                fs::create_dir(&at).unwrap();
                std::os::unix::fs::chown(&at, Some(4_321), None).unwrap();
            }
        }
        true
    }

    /// Starts, and demands that everything of ours is there.
    pub(super) async fn start(&self) -> Store {
        let store = open(self.home.path(), limits::WORK_BYTES_DEFAULT).unwrap();
        self.holds_all(store).await
    }

    pub(super) async fn holds_all(&self, store: Store) -> Store {
        let body = store.file(self.key, None, path("f")).await.unwrap().unwrap().body;
        assert!(matches!(body, Body::Memory(bytes) if bytes == b"committed"));
        store
    }

    /// Demands that nobody has touched what lies elsewhere.
    pub(super) fn nothing_else_was_touched(&self, what: &str) {
        let found = everything(self.elsewhere.path());
        let words: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(words, ["folder dir", "folder/deep file untouched too", "witness file untouched"], "{what}");
    }

    /// What lies in quarantine.
    fn quarantined(&self) -> Vec<String> {
        let quarantine = self.data().join("quarantine");
        if quarantine.is_dir() { everything(&quarantine) } else { Vec::new() }
    }
}

/// Gives something another name, as it is.
pub(super) fn move_to(from: &Path, to: &Path) {
    let above = |path: &Path| OpenDir::open(&path.parent().unwrap().canonicalize().unwrap()).unwrap();
    let name = |path: &Path| CString::new(path.file_name().unwrap().as_bytes()).unwrap();
    durable::move_between(&above(from), &name(from), &above(to), &name(to)).unwrap();
}

/// Everything beneath a directory in words, without following or opening what is no file.
pub(super) fn everything(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, top: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let kind = FileType::from_raw_mode(meta.mode());
            let what = match kind {
                FileType::Directory => "dir".to_owned(),
                FileType::RegularFile if meta.len() > 100 => format!("file {}", Digest::of(&fs::read(&path).unwrap())),
                FileType::RegularFile => format!("file {}", String::from_utf8_lossy(&fs::read(&path).unwrap())),
                FileType::Symlink => format!("link {}", fs::read_link(&path).unwrap().display()),
                kind => format!("{kind:?}"),
            };
            found.insert(format!("{} {what}", path.strip_prefix(top).unwrap().display()));
            if kind == FileType::Directory {
                walk(&path, top, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(dir, dir, &mut found);
    found.into_iter().collect()
}

#[tokio::test]
async fn b36_foreign_names_go_into_quarantine_as_they_are() {
    for killed in [false, true] {
        let ground = Ground::new(killed).await;
        let planted = [Plant::LinkToDir, Plant::LinkToNothing, Plant::Pipe, Plant::Socket, Plant::File, Plant::Dir];
        let mut expected = BTreeSet::from(["1-data dir".to_owned()]);
        let elsewhere = ground.elsewhere.path().display();
        for plant in planted.into_iter().chain([Plant::Device]) {
            if !ground.plant(format!("{plant:?}"), plant) {
                continue;
            }
            let words = match plant {
                Plant::LinkToDir => format!("link {elsewhere}"),
                Plant::LinkToNothing => format!("link {elsewhere}/nothing"),
                Plant::Pipe => "Fifo".to_owned(),
                Plant::Socket => "Socket".to_owned(),
                Plant::Device => "CharacterDevice".to_owned(),
                Plant::File => "file planted".to_owned(),
                _ => {
                    expected.insert(format!("1-data/{plant:?}/inner file planted"));
                    expected.insert(format!("1-data/{plant:?}/out link {elsewhere}"));
                    "dir".to_owned()
                }
            };
            expected.insert(format!("1-data/{plant:?} {words}"));
        }
        let odd = OsStr::from_bytes(b"new\nline \xff");
        assert!(ground.plant(odd, Plant::File));
        expected.insert(format!("1-data/{} file planted", odd.display()));
        drop(ground.start().await);
        assert_eq!(ground.quarantined(), expected.into_iter().collect::<Vec<_>>());
        let mode = ground.data().join("quarantine").metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);

        // The next one goes beside it, and then nothing is left to be moved.
        assert!(ground.plant("File", Plant::File));
        drop(ground.start().await);
        let twice = ground.quarantined();
        assert!(twice.contains(&"2-data/File file planted".to_owned()), "{twice:?}");
        drop(ground.start().await);
        assert_eq!(ground.quarantined(), twice);
        assert_eq!(check::check(&ground.data()).unwrap().faults, Vec::<String>::new());
        ground.nothing_else_was_touched("foreign names");
    }
}

/// Whatever stands where a directory of ours should be, or the index of the log.
#[tokio::test]
async fn b36_what_is_in_the_place_of_a_directory_is_neither_entered_nor_emptied() {
    use Plant::*;
    let wrong = [LinkToDir, LinkToFile, LinkToNothing, Pipe, Socket, Device, File, AnothersDir];
    let dirs = ["modules", "artefacts", "tmp", "work", "quarantine"].map(|name| (name, &wrong[..]));
    let index: &[Plant] = &[LinkToDir, LinkToFile, LinkToNothing, Pipe, Dir, HardLink, OthersCanWrite, AnothersFile];
    for (name, plants) in dirs.into_iter().chain([("truth.sqlite3-shm", index)]) {
        for plant in plants {
            let ground = Ground::new(name == "truth.sqlite3-shm").await;
            if !ground.plant(name, *plant) {
                continue;
            }
            let what = format!("{plant:?} as {name}");
            let planted = ground.data().join(name).symlink_metadata().unwrap().ino();
            let store = ground.start().await;
            let wasm = store.wasm(Digest::of(b"letter 1")).await.unwrap();
            assert_eq!(wasm.is_some(), name != "modules", "{what}");
            drop(store);
            ground.nothing_else_was_touched(&what);
            let ward = ground.data().join("quarantine/1-data");
            let moved: Vec<_> = fs::read_dir(&ward).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(moved.len(), 1, "{what}: {moved:?}");
            assert_eq!(moved[0].symlink_metadata().unwrap().ino(), planted, "{what}");
            assert!(moved[0].file_name().unwrap().to_str().unwrap().starts_with(name), "{what}: {moved:?}");
            drop(ground.start().await);
            assert_eq!(fs::read_dir(ground.data().join("quarantine")).unwrap().count(), 1, "{what}");
            assert_eq!(check::check(&ground.data()).unwrap().faults.len(), usize::from(name == "modules"), "{what}");
        }
    }
}

#[tokio::test]
async fn b36_what_is_thrown_away_at_a_start_is_not_followed() {
    let ground = Ground::new(false).await;
    for name in ["tmp", "work"] {
        for plant in [Plant::LinkToDir, Plant::LinkToFile, Plant::Pipe, Plant::Socket, Plant::Dir] {
            assert!(ground.plant(format!("{name}/{plant:?}"), plant));
        }
    }
    drop(ground.start().await);
    assert_eq!(ground.quarantined(), Vec::<String>::new());
    for name in ["tmp", "work"] {
        assert_eq!(fs::read_dir(ground.data().join(name)).unwrap().count(), 0, "{name}");
    }
    ground.nothing_else_was_touched("tmp and work");
}

#[tokio::test]
async fn b36_in_the_directories_of_modules_and_code_only_ours_stays() {
    for folder in ["modules", "artefacts"] {
        let ground = Ground::new(false).await;
        let before = fs::read_dir(ground.data().join(folder)).unwrap().count();
        let hex = Digest::of(b"what nobody uploaded").hex();
        let named = if folder == "modules" { format!("{hex}.wasm") } else { format!("{hex}-print.cwasm") };
        use Plant::*;
        let plants = [LinkToFile, LinkToDir, Pipe, Socket, Device, Dir, HardLink, OthersCanWrite, AnothersFile];
        for (number, plant) in (1..).zip(plants) {
            // Under a name that could be ours, and under one that could not.
            if !ground.plant(format!("{folder}/{named}"), plant) {
                continue;
            }
            assert!(ground.plant(format!("{folder}/{plant:?}"), Plant::File));
            let store = ground.start().await;
            assert!(store.wasm(Digest::of(b"letter 1")).await.unwrap().is_some());
            assert!(store.artefact(Digest::of(b"letter 1"), "print").await.unwrap().is_some());
            drop(store);
            assert_eq!(fs::read_dir(ground.data().join(folder)).unwrap().count(), before, "{folder} {plant:?}");
            let wards = fs::read_dir(ground.data().join("quarantine")).unwrap().count();
            let ward = ground.data().join(format!("quarantine/{wards}-{folder}"));
            let moved = fs::read_dir(&ward).unwrap().count();
            assert_eq!(moved, 2, "{folder} {plant:?} {number}: {:?}", ground.quarantined());
            let _ = fs::remove_file(ground.home.path().join("other name"));
            ground.nothing_else_was_touched(folder);
        }
    }
}

/// The right bytes in a file that somebody else could change: the module stays, the
/// file does not.
#[tokio::test]
async fn b36_a_module_in_a_shared_file_gets_a_file_of_its_own() {
    for plant in [Plant::HardLink, Plant::OthersCanWrite, Plant::AnothersFile] {
        let ground = Ground::new(false).await;
        let name = format!("modules/{}.wasm", Digest::of(b"letter 1").hex());
        if !ground.plant(&name, plant) {
            continue;
        }
        let planted = ground.data().join(&name).metadata().unwrap().ino();
        let store = ground.start().await;
        let mut bytes = Vec::new();
        let mut file = store.wasm(Digest::of(b"letter 1")).await.unwrap().unwrap();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        assert_eq!(bytes, b"letter 1");
        drop(store);
        let meta = ground.data().join(&name).metadata().unwrap();
        assert_ne!(meta.ino(), planted, "{plant:?}");
        assert_eq!((meta.nlink(), meta.mode() & 0o777), (1, 0o600), "{plant:?}");
        assert_eq!(ground.quarantined(), Vec::<String>::new(), "{plant:?}");
        assert_eq!(check::check(&ground.data()).unwrap().faults, Vec::<String>::new());
        // With wrong bytes it is somebody else's.
        fs::write(ground.data().join(&name), "letter 2").unwrap();
        assert!(ground.plant(&name, Plant::OthersCanWrite));
        let store = ground.start().await;
        assert!(store.wasm(Digest::of(b"letter 1")).await.unwrap().is_none());
        let base = Path::new(&name).file_name().unwrap().display();
        assert!(ground.quarantined().contains(&format!("1-modules/{base} file letter 2")), "{plant:?}");
    }
}
