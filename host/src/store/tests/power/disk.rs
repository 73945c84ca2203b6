//! A disk that remembers all that was asked of it, and fails when it is told to.
//!
//! Comes in: every step of [`durable`](crate::store::durable), and every call of
//! SQLite, through [`vfs`](super::vfs).
//! Goes out: the [`Event`]s, in their order, from which [`image`](super::image)
//! makes what a power cut would leave.
//!
//! Promise: the record has the order in which things happened. A call of SQLite
//! and its event are one step; what `durable` announces happens at once after it.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;

use super::vfs;
use crate::store::durable::Step;

/// A file, whatever its name.
pub(super) type FileId = usize;

/// Something that happened to the disk.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// It was there, and durable, before the record began.
    Found(PathBuf, Node),
    Made(PathBuf, Node),
    Write(FileId, u64, Vec<u8>),
    Truncate(FileId, u64),
    Sync(FileId),
    /// The kernel forgets that there is something to write.
    SyncFailed(FileId),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir(PathBuf),
    /// Not the disk's: a track's next step was said to be done.
    Done(usize),
}

/// What a name leads to.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir,
    /// With its content, if it was found.
    File(FileId, Vec<u8>),
}

/// What can be asked of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Write,
    Truncate,
    Sync,
    /// Of a file or a directory, or a rename.
    Name,
    Remove,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// `ENOSPC`. Never from a call that needs no room.
    Full,
    /// `EIO`.
    Broken,
    /// `EIO`, and only from a sync.
    Unsynced,
}

/// A disk that fails from one call on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) trouble: Trouble,
    /// How many calls that it could hit it lets pass.
    pub(crate) after: usize,
    pub(crate) lasts: Lasts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    Once,
    UntilMended,
}

/// The disk that one data directory lies on.
pub(crate) struct Disk {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    record: Vec<Event>,
    /// Of a directory, nothing.
    names: HashMap<PathBuf, Option<FileId>>,
    files: usize,
    handles: HashMap<usize, FileId>,
    handles_made: usize,
    /// Open files that have not been told of a failed sync of their file; Linux
    /// tells each of them once.
    untold: HashSet<usize>,
    fault: Option<Fault>,
    struck: bool,
}

/// A file that SQLite has open.
pub(super) struct Handle {
    pub(super) disk: Arc<Disk>,
    number: usize,
    file: FileId,
}

static DISKS: Mutex<Vec<(PathBuf, Weak<Disk>)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Watches the directory `data` in `root`, and its name, for as long as it lives.
    pub(crate) fn under(root: &Path) -> Arc<Disk> {
        vfs::register();
        let root = root.canonicalize().unwrap();
        let disk = Arc::new(Disk { root: root.clone(), state: Mutex::default() });
        lock(&disk.state).find(&root);
        let mut disks = lock(&DISKS);
        disks.retain(|(_, disk)| disk.strong_count() > 0);
        disks.push((root, Arc::downgrade(&disk)));
        disk
    }

    /// The disk that a path lies on, if it is one of ours.
    pub(super) fn of(path: &Path) -> Option<Arc<Disk>> {
        // Working copies lie beside the data directory, and on any disk.
        let is_there = |root: &Path| path == root || path.starts_with(root.join("data"));
        lock(&DISKS).iter().filter(|(root, _)| is_there(root)).find_map(|(_, disk)| disk.upgrade())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// How much has happened.
    pub(crate) fn events(&self) -> usize {
        lock(&self.state).record.len()
    }

    pub(super) fn record(&self) -> Vec<Event> {
        lock(&self.state).record.clone()
    }

    /// Notes that the store has said so.
    pub(crate) fn done(&self, track: usize) {
        lock(&self.state).record.push(Event::Done(track));
    }

    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.fault = Some(fault);
        state.struck = false;
    }

    /// Ends the fault; says whether it has hit anything.
    pub(crate) fn mend(&self) -> bool {
        let mut state = lock(&self.state);
        state.fault = None;
        state.struck
    }

    pub(super) fn has_struck(&self) -> bool {
        lock(&self.state).struck
    }

    fn durable_step(&self, step: &Step<'_>) -> Result<(), Trouble> {
        let mut state = lock(&self.state);
        match *step {
            // What is there already cannot be made, and nothing comes of it.
            Step::MakeDir(path) if state.names.contains_key(path) => (),
            Step::MakeDir(path) => {
                state.pass(Call::Name)?;
                state.make_dir(path);
            }
            Step::Create(path) if state.names.contains_key(path) => (),
            Step::Create(path) => {
                state.pass(Call::Name)?;
                state.make_file(path);
            }
            Step::Write(path, at, bytes) => {
                state.pass(Call::Write)?;
                let file = state.file(path);
                state.record.push(Event::Write(file, at, bytes.to_vec()));
            }
            Step::Sync(path) => {
                let file = state.file(path);
                state.sync(file, None)?;
            }
            Step::Rename(from, to) => {
                state.pass(Call::Name)?;
                let moved: Vec<_> = state.names.extract_if(|path, _| path.starts_with(from)).collect();
                assert!(!moved.is_empty(), "{}", from.display());
                state.names.extend(moved.into_iter().map(|(path, node)| (moved_path(&path, from, to), node)));
                state.record.push(Event::Rename(from.to_owned(), to.to_owned()));
            }
            Step::Remove(path) => state.remove(path)?,
            Step::SyncDir(path) => state.sync_dir(path)?,
        }
        Ok(())
    }

    /// SQLite opens a file, and makes it if it may. Says whether it was made.
    pub(super) fn open(self: &Arc<Disk>, path: &Path, may_make: bool) -> Result<(Handle, bool), Trouble> {
        let mut state = lock(&self.state);
        let made = may_make && !state.names.contains_key(path);
        state.pass(if made { Call::Name } else { Call::Read })?;
        if made {
            state.make_file(path);
        }
        let Some(Some(file)) = state.names.get(path).copied() else { return Err(Trouble::Broken) };
        let number = state.handles_made;
        state.handles_made += 1;
        state.handles.insert(number, file);
        Ok((Handle { disk: Arc::clone(self), number, file }, made))
    }

    /// SQLite deletes a file; `real` does it.
    pub(super) fn remove(&self, path: &Path, real: impl FnOnce() -> i32) -> Result<i32, Trouble> {
        let mut state = lock(&self.state);
        if state.names.contains_key(path) {
            state.remove(path)?;
        }
        Ok(real())
    }

    /// SQLite makes the names in a directory durable.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), Trouble> {
        lock(&self.state).sync_dir(path)
    }
}

impl Handle {
    pub(super) fn read(&self) -> Result<(), Trouble> {
        lock(&self.disk.state).pass(Call::Read)
    }

    /// `real` writes what it is given. Half of a write that fails is done.
    pub(super) fn write(&self, at: u64, bytes: &[u8], real: impl FnOnce(&[u8]) -> i32) -> Result<i32, Trouble> {
        let mut state = lock(&self.disk.state);
        let passed = state.pass(Call::Write);
        let done = if passed.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        state.record.push(Event::Write(self.file, at, done.to_vec()));
        let code = real(done);
        passed.map(|()| code)
    }

    pub(super) fn truncate(&self, size: u64, real: impl FnOnce() -> i32) -> Result<i32, Trouble> {
        let mut state = lock(&self.disk.state);
        state.pass(Call::Truncate)?;
        state.record.push(Event::Truncate(self.file, size));
        Ok(real())
    }

    pub(super) fn sync(&self) -> Result<(), Trouble> {
        lock(&self.disk.state).sync(self.file, Some(self.number))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = lock(&self.disk.state);
        state.handles.remove(&self.number);
        state.untold.remove(&self.number);
    }
}

impl State {
    /// Notes what is there.
    fn find(&mut self, dir: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.names.insert(path.clone(), None);
                self.record.push(Event::Found(path.clone(), Node::Dir));
                self.find(&path);
            } else {
                let node = Node::File(self.files, std::fs::read(&path).unwrap());
                self.names.insert(path.clone(), Some(self.files));
                self.files += 1;
                self.record.push(Event::Found(path, node));
            }
        }
    }

    /// Lets a call pass unless the fault hits it.
    fn pass(&mut self, call: Call) -> Result<(), Trouble> {
        let Some(fault) = &mut self.fault else { return Ok(()) };
        let may_hit = match fault.trouble {
            Trouble::Full => matches!(call, Call::Write | Call::Sync | Call::Name),
            Trouble::Broken => true,
            Trouble::Unsynced => call == Call::Sync,
        };
        if !may_hit {
            return Ok(());
        }
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        if self.struck && fault.lasts == Lasts::Once {
            return Ok(());
        }
        self.struck = true;
        Err(fault.trouble)
    }

    fn file(&self, path: &Path) -> FileId {
        self.names[path].unwrap()
    }

    fn make_dir(&mut self, path: &Path) {
        self.names.insert(path.to_owned(), None);
        self.record.push(Event::Made(path.to_owned(), Node::Dir));
    }

    fn make_file(&mut self, path: &Path) {
        self.names.insert(path.to_owned(), Some(self.files));
        self.record.push(Event::Made(path.to_owned(), Node::File(self.files, Vec::new())));
        self.files += 1;
    }

    fn remove(&mut self, path: &Path) -> Result<(), Trouble> {
        self.pass(Call::Remove)?;
        if self.names.remove(path).is_some() {
            self.record.push(Event::Remove(path.to_owned()));
        }
        Ok(())
    }

    fn sync(&mut self, file: FileId, handle: Option<usize>) -> Result<(), Trouble> {
        if let Err(trouble) = self.pass(Call::Sync) {
            self.record.push(Event::SyncFailed(file));
            let others = self.handles.iter().filter(|(number, open)| **open == file && Some(**number) != handle);
            self.untold.extend(others.map(|(number, _)| *number));
            return Err(trouble);
        }
        self.record.push(Event::Sync(file));
        match handle {
            Some(handle) if self.untold.remove(&handle) => Err(Trouble::Broken),
            _ => Ok(()),
        }
    }

    fn sync_dir(&mut self, path: &Path) -> Result<(), Trouble> {
        // Names, unlike content, are not forgotten by a sync that fails: they go
        // through the file system's journal, which stops for good if it cannot write.
        self.pass(Call::Sync)?;
        self.record.push(Event::SyncDir(path.to_owned()));
        Ok(())
    }
}

/// Where something lies after `from`, which it is or lies in, has become `to`.
pub(super) fn moved_path(path: &Path, from: &Path, to: &Path) -> PathBuf {
    let within = path.strip_prefix(from).unwrap();
    if within.as_os_str().is_empty() { to.to_owned() } else { to.join(within) }
}

/// Where `durable` announces its steps.
pub(in crate::store) fn tell(step: &Step<'_>) -> io::Result<()> {
    let (Step::MakeDir(path)
    | Step::Create(path)
    | Step::Write(path, ..)
    | Step::Sync(path)
    | Step::Rename(path, _)
    | Step::Remove(path)
    | Step::SyncDir(path)) = *step;
    let Some(disk) = Disk::of(path) else { return Ok(()) };
    disk.durable_step(step).map_err(|trouble| match trouble {
        Trouble::Full => io::Error::from(io::ErrorKind::StorageFull),
        Trouble::Broken | Trouble::Unsynced => io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()),
    })
}
