//! What a disk holds after a power cut, going by its record.
//!
//! Assumed, and no more than that: a sync that succeeded made the content of its
//! file durable, or the names in its directory. Of all else any part may be there:
//! each sector of each write or none of them, whichever version of it, whatever
//! length the file had; each new name, or the old one. A write leaves the bytes
//! beside it alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::dice::Dice;
use super::disk::Disk;
use super::disk::Event;
use super::disk::FileId;
use super::disk::Node;
use super::disk::moved_path;

/// What becomes of that which was not synced.
#[derive(Clone)]
pub(super) enum Cut {
    /// All of it is there: the process died, not the machine.
    Everything,
    /// Nothing of it is there.
    Synced,
    /// Chance decides about each sector and each name.
    ByChance(Dice),
}

/// A disk, as far as its record was followed.
#[derive(Clone, Default)]
pub(super) struct Model {
    files: BTreeMap<FileId, File>,
    names: BTreeMap<PathBuf, Entry>,
    loose_names: Vec<Naming>,
}

#[derive(Clone, Copy)]
enum Entry {
    Dir,
    File(FileId),
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    loose: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// A change to names that is atomic.
#[derive(Clone)]
enum Naming {
    Put(PathBuf, Entry),
    Move(PathBuf, PathBuf),
    Gone(PathBuf),
}

/// Makes in `to` what a power cut would have left of a disk, at some moment after the
/// first `begun` events. Says how often the store had said by then that it was done.
pub(crate) fn blackout(disk: &Disk, begun: usize, to: &Path, dice: &mut Dice) -> usize {
    let record = disk.record();
    let events = begun as u64 + dice.roll((record.len() - begun) as u64 + 1);
    let (before, _) = record.split_at(usize::try_from(events).unwrap());
    let mut cut = if dice.roll(4) == 0 { Cut::Synced } else { Cut::ByChance(dice.split()) };
    Model::after(before, &mut Cut::Everything).write(disk.root(), to, &mut cut);
    before.iter().filter(|event| matches!(event, Event::Done(_))).count()
}

impl Cut {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Cut::Everything => "keeping all",
            Cut::Synced => "keeping what was synced",
            Cut::ByChance(_) => "keeping some",
        }
    }

    /// One chance, if chance decides.
    fn keeps(&mut self) -> bool {
        match self {
            Cut::Everything => true,
            Cut::Synced => false,
            Cut::ByChance(dice) => dice.roll(2) == 0,
        }
    }
}

impl Model {
    /// The disk after all of `record`, in which failed syncs went as `cut` says.
    pub(super) fn after(record: &[Event], cut: &mut Cut) -> Model {
        let mut model = Model::default();
        record.iter().for_each(|event| model.follow(event, cut));
        model
    }

    pub(super) fn follow(&mut self, event: &Event, cut: &mut Cut) {
        match event {
            Event::Found(path, node) => {
                let entry = self.enter(node);
                self.names.insert(path.clone(), entry);
            }
            Event::Made(path, node) => {
                let entry = self.enter(node);
                self.loose_names.push(Naming::Put(path.clone(), entry));
            }
            Event::Write(file, at, bytes) => self.change(*file, Change::Write(*at, bytes.clone())),
            Event::Truncate(file, size) => self.change(*file, Change::Truncate(*size)),
            Event::Sync(file) => self.settle(*file, &mut Cut::Everything),
            Event::SyncFailed(file) => self.settle(*file, cut),
            Event::Rename(from, to) => self.loose_names.push(Naming::Move(from.clone(), to.clone())),
            Event::Remove(path) => self.loose_names.push(Naming::Gone(path.clone())),
            Event::SyncDir(dir) => self.sync_names(dir),
            Event::Done(_) => (),
        }
    }

    fn enter(&mut self, node: &Node) -> Entry {
        match node {
            Node::Dir => Entry::Dir,
            Node::File(id, found) => {
                self.files.insert(*id, File { synced: found.clone(), loose: Vec::new() });
                Entry::File(*id)
            }
        }
    }

    fn change(&mut self, file: FileId, change: Change) {
        self.files.get_mut(&file).unwrap().loose.push(change);
    }

    /// What was not synced is written or lost, and not thought of again.
    fn settle(&mut self, file: FileId, cut: &mut Cut) {
        let file = self.files.get_mut(&file).unwrap();
        for change in std::mem::take(&mut file.loose) {
            apply(&mut file.synced, &change, cut);
        }
    }

    fn sync_names(&mut self, dir: &Path) {
        let (synced, loose): (Vec<_>, _) = std::mem::take(&mut self.loose_names).into_iter().partition(|naming| {
            let (Naming::Put(path, _) | Naming::Gone(path) | Naming::Move(_, path)) = naming;
            path.parent() == Some(dir) || matches!(naming, Naming::Move(from, _) if from.parent() == Some(dir))
        });
        self.loose_names = loose;
        for naming in synced {
            rename(&mut self.names, &self.loose_names, naming.clone());
            if let Naming::Move(from, _) = &naming {
                self.loose_names.retain(|naming| !matches!(naming, Naming::Put(path, _) if path == from));
            }
        }
    }

    /// Makes what is left in a directory below `to`, in place of `root`.
    pub(super) fn write(&self, root: &Path, to: &Path, cut: &mut Cut) {
        let mut names = self.names.clone();
        for naming in &self.loose_names {
            if cut.keeps() {
                rename(&mut names, &self.loose_names, naming.clone());
            }
        }
        // A directory comes before what is in it.
        for (path, entry) in names {
            let path = to.join(path.strip_prefix(root).unwrap());
            match entry {
                // What lies in a directory that is lost is lost with it.
                _ if !path.parent().unwrap().is_dir() => (),
                Entry::Dir => fs::create_dir(path).unwrap(),
                Entry::File(id) => {
                    fs::write(&path, self.content(id, cut)).unwrap();
                    // As the store makes them, whatever this process makes files like.
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                }
            }
        }
    }

    fn content(&self, file: FileId, cut: &mut Cut) -> Vec<u8> {
        let file = &self.files[&file];
        let mut content = file.synced.clone();
        file.loose.iter().for_each(|change| apply(&mut content, change, cut));
        content
    }

    /// Whether there is anything that a cut could lose.
    pub(super) fn is_settled(&self) -> bool {
        self.loose_names.is_empty() && self.files.values().all(|file| file.loose.is_empty())
    }
}

fn rename(names: &mut BTreeMap<PathBuf, Entry>, loose: &[Naming], naming: Naming) {
    match naming {
        Naming::Put(path, entry) => drop(names.insert(path, entry)),
        Naming::Gone(path) => drop(names.remove(&path)),
        Naming::Move(from, to) => {
            let made = loose.iter().find_map(|naming| match naming {
                Naming::Put(path, entry) if *path == from => Some(*entry),
                _ => None,
            });
            let moved = names.remove(&from).or(made);
            // What lies in a directory that was there goes with it.
            let within: Vec<_> = names.keys().filter(|path| path.starts_with(&from)).cloned().collect();
            for path in within {
                let entry = names.remove(&path).unwrap();
                names.insert(moved_path(&path, &from, &to), entry);
            }
            names.insert(to, moved.unwrap());
        }
    }
}

/// Does one change as far as it is kept.
fn apply(content: &mut Vec<u8>, change: &Change, cut: &mut Cut) {
    match change {
        Change::Truncate(size) => {
            if cut.keeps() {
                content.resize(*size as usize, 0);
            }
        }
        Change::Write(at, bytes) => {
            let (at, sector) = (*at as usize, sector(cut));
            let mut from = 0;
            while from < bytes.len() {
                let to = bytes.len().min((at + from) / sector * sector + sector - at);
                if cut.keeps() {
                    let end = content.len().max(at + to);
                    content.resize(end, 0);
                    content[at + from..at + to].copy_from_slice(&bytes[from..to]);
                }
                from = to;
            }
        }
    }
}

/// How much is written as one: by some disks 512 bytes, by others 4,096.
fn sector(cut: &mut Cut) -> usize {
    match cut {
        Cut::ByChance(dice) => [512, 4_096][dice.roll(2) as usize],
        Cut::Everything | Cut::Synced => usize::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(events: &[Event], cut: &mut Cut) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        Model::after(events, &mut cut.clone()).write(Path::new("/r"), home.path(), cut);
        let found = fs::read_dir(home.path()).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            format!("{} {}", path.file_name().unwrap().display(), fs::read_to_string(&path).unwrap())
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    }

    #[test]
    fn what_was_not_synced_may_be_lost() {
        let (a, b, root) = (PathBuf::from("/r/a"), PathBuf::from("/r/b"), PathBuf::from("/r"));
        let record = [
            Event::Made(a.clone(), Node::File(0, Vec::new())),
            Event::Write(0, 0, b"one".to_vec()),
            Event::Sync(0),
            Event::Rename(a, b),
            Event::SyncDir(root),
            Event::Write(0, 1, b"xxx".to_vec()),
            Event::SyncFailed(0),
            Event::Sync(0),
        ];
        assert_eq!(left(&record[..4], &mut Cut::Synced), Vec::<String>::new());
        assert_eq!(left(&record[..3], &mut Cut::Everything), ["a one"]);
        assert_eq!(left(&record[..5], &mut Cut::Synced), ["b one"]);
        // A sync after one that failed makes nothing good.
        assert_eq!(left(&record, &mut Cut::Synced), ["b one"]);
        assert_eq!(left(&record, &mut Cut::Everything), ["b oxxx"]);
        let torn = (0..64).map(|seed| left(&record[..6], &mut Cut::ByChance(Dice::new(seed))));
        let torn: std::collections::BTreeSet<_> = torn.collect();
        assert_eq!(torn, [vec!["b one".to_owned()], vec!["b oxxx".to_owned()]].into());
    }
}
