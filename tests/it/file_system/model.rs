//! The plain file system that the real one is compared with: numbered files,
//! folders and links in memory, as POSIX and Linux have them, read by the same
//! script as the guest `fs_script`.
//!
//! Promise: nothing of the server is used here, so that both can only agree by
//! being right.
//!
//! Not here: how a path finds what it means. That is in `walk`.

use std::collections::BTreeMap;

use super::walk::Last;
use super::walk::Spot;

/// The name of an errno.
pub(super) type Errno = &'static str;

/// The number of a file, folder or link, whatever its name.
pub(super) type Id = usize;

pub(super) const ROOT: Id = 0;

/// What something is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Vec<u8>),
    Folder(BTreeMap<String, Id>),
    Link(String),
}

/// What a reader sees at a path. Of the time only what was set is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File { content: Vec<u8>, modified_ns: Option<u64> },
    Folder,
    Link { target: String, modified_ns: Option<u64> },
}

#[derive(Clone, Debug)]
struct Open {
    id: Id,
    /// As in the script: `r`ead, `w`rite, `a`ppend and so on.
    modes: String,
}

/// See the room card.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) nodes: Vec<Node>,
    modified_ns: BTreeMap<Id, u64>,
    open: BTreeMap<u32, Open>,
}

impl Model {
    pub(super) fn empty() -> Self {
        Self { nodes: vec![Node::Folder(BTreeMap::new())], modified_ns: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Does what a line of a script says, and gives what the guest answers.
    pub(super) fn answer(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match self.perform(&words) {
            Ok(told) if told.is_empty() => "ok".to_owned(),
            Ok(told) => format!("ok {told}"),
            Err(errno) => errno.to_owned(),
        }
    }

    /// A job ends: what it had open is closed.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// Everything, by path.
    pub(super) fn tree(&self) -> BTreeMap<String, Entry> {
        self.listed().into_iter().map(|(path, id)| (path, self.entry(id))).collect()
    }

    /// The paths of what is of that kind.
    pub(super) fn paths(&self, is_wanted: impl Fn(&Node) -> bool) -> Vec<String> {
        self.listed().into_iter().filter(|(_, id)| is_wanted(&self.nodes[*id])).map(|(path, _)| path).collect()
    }

    /// The numbers under which folders are open.
    pub(super) fn open_folders(&self) -> Vec<u32> {
        self.opened(|node, _| matches!(node, Node::Folder(_)))
    }

    /// The numbers under which files are open in one of `modes`.
    pub(super) fn open_files(&self, modes: &[char]) -> Vec<u32> {
        self.opened(|node, open| matches!(node, Node::File(_)) && open.modes.contains(modes))
    }

    fn opened(&self, is_wanted: impl Fn(&Node, &Open) -> bool) -> Vec<u32> {
        let wanted = self.open.iter().filter(|(_, open)| is_wanted(&self.nodes[open.id], open));
        wanted.map(|(handle, _)| *handle).collect()
    }

    fn held(&self, handle: &str) -> Id {
        self.open[&number(handle)].id
    }

    fn perform(&mut self, words: &[&str]) -> Result<String, Errno> {
        match *words {
            ["open", handle, path, modes] => self.open(number(handle), path, modes)?,
            ["create-in", handle, folder, name] => {
                let folder = self.held(folder);
                let spot = self.walk(folder, name, Last::Keep)?;
                let id = self.create(&spot, Node::File(Vec::new()))?;
                self.open.insert(number(handle), Open { id, modes: "rw".to_owned() });
            }
            ["close", handle] => drop(self.open.remove(&number(handle))),
            ["write", handle, offset, len, seed] => {
                let id = self.held(handle);
                let appends = self.open[&number(handle)].modes.contains('a');
                let offset = if appends { self.content(id).len() } else { number(offset) as usize };
                self.write(id, offset, &pattern(number(len), number(seed)));
            }
            ["resize", handle, size] => {
                let id = self.held(handle);
                self.content(id).resize(number(size) as usize, 0);
                self.modified_ns.remove(&id);
            }
            ["set-times", handle, ns] => drop(self.modified_ns.insert(self.held(handle), time(ns))),
            ["size", handle] => return Ok(self.content(self.held(handle)).len().to_string()),
            ["read", handle] => {
                let content = self.content(self.held(handle));
                return Ok(format!("{} {}", content.len(), digest(content)));
            }
            ["put", path, len, seed] => {
                let id = self.open_at(path, "wct")?;
                self.write(id, 0, &pattern(number(len), number(seed)));
            }
            ["mkdir", path] => drop(self.create(&self.new_spot(path)?, Node::Folder(BTreeMap::new()))?),
            ["rmdir", path] => self.remove_folder(path)?,
            ["unlink", path] => self.unlink(path)?,
            ["remove-all", path] => {
                let spot = self.walk(ROOT, path, Last::Keep)?;
                self.expect_folder(spot.found.ok_or("ENOENT")?)?;
                self.take(&spot);
            }
            ["rename", from, to] => self.rename(from, to)?,
            ["symlink", target, path] => self.symlink(target, path)?,
            // A second name is refused, whatever it is for.
            ["link", _, _] => return Err("ENOTSUP"),
            ["set-times-at", path, ns] => {
                let id = self.walk(ROOT, path, Last::Keep)?.found.ok_or("ENOENT")?;
                self.modified_ns.insert(id, time(ns));
            }
            _ => panic!("`{}` is no operation", words.join(" ")),
        }
        Ok(String::new())
    }

    fn open(&mut self, handle: u32, path: &str, modes: &str) -> Result<(), Errno> {
        let id = self.open_at(path, modes)?;
        self.open.insert(handle, Open { id, modes: modes.to_owned() });
        Ok(())
    }

    fn open_at(&mut self, path: &str, modes: &str) -> Result<Id, Errno> {
        let is_new = modes.contains('x');
        let spot = if is_new { self.new_spot(path)? } else { self.walk(ROOT, path, Last::Follow)? };
        let Some(id) = spot.found else {
            let may_create = is_new || modes.contains('c');
            return if may_create { self.create(&spot, Node::File(Vec::new())) } else { Err("ENOENT") };
        };
        if is_new {
            return Err("EEXIST");
        }
        if matches!(self.nodes[id], Node::Folder(_)) && modes.contains(['w', 'a']) {
            return Err("EISDIR");
        }
        if modes.contains('t') {
            self.content(id).clear();
            self.modified_ns.remove(&id);
        }
        Ok(id)
    }

    /// Where something new is to be. The root is there already.
    fn new_spot(&self, path: &str) -> Result<Spot, Errno> {
        self.walk(ROOT, path, Last::Keep).map_err(|errno| if errno == "EBUSY" { "EEXIST" } else { errno })
    }

    fn create(&mut self, spot: &Spot, node: Node) -> Result<Id, Errno> {
        if !spot.parent_is_there {
            return Err("ENOENT");
        }
        if spot.found.is_some() {
            return Err("EEXIST");
        }
        let id = self.nodes.len();
        self.nodes.push(node);
        self.folder(spot.parent()).insert(spot.name.clone(), id);
        Ok(id)
    }

    fn write(&mut self, id: Id, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let content = self.content(id);
        let end = offset + bytes.len();
        content.resize(content.len().max(end), 0);
        content[offset..end].copy_from_slice(bytes);
        self.modified_ns.remove(&id);
    }

    fn remove_folder(&mut self, path: &str) -> Result<(), Errno> {
        let spot = self.walk(ROOT, path, Last::Keep)?;
        let id = spot.found.ok_or("ENOENT")?;
        self.expect_folder(id)?;
        if !self.folder(id).is_empty() {
            return Err("ENOTEMPTY");
        }
        self.take(&spot);
        Ok(())
    }

    fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        let spot = self.walk(ROOT, path, Last::Keep)?;
        let id = spot.found.ok_or("ENOENT")?;
        if self.expect_folder(id).is_ok() {
            return Err("EISDIR");
        }
        self.take(&spot);
        Ok(())
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        let spot = self.new_spot(path)?;
        if !spot.holds(target) {
            return Err("EPERM");
        }
        self.create(&spot, Node::Link(target.to_owned())).map(drop)
    }

    /// In the order in which Linux finds what is wrong.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        let (from, to) = (self.walk(ROOT, from, Last::Keep)?, self.walk(ROOT, to, Last::Keep)?);
        let id = from.found.ok_or("ENOENT")?;
        if to.above.contains(&id) {
            return Err("EINVAL");
        }
        if to.found.is_some_and(|over| from.above.contains(&over)) {
            return Err("ENOTEMPTY");
        }
        if !to.parent_is_there {
            return Err("ENOENT");
        }
        if let Some(over) = to.found.filter(|over| *over != id) {
            match (self.expect_folder(id).is_ok(), self.expect_folder(over).is_ok()) {
                (true, false) => return Err("ENOTDIR"),
                (false, true) => return Err("EISDIR"),
                (true, true) if !self.folder(over).is_empty() => return Err("ENOTEMPTY"),
                _ => {}
            }
        }
        self.take(&from);
        self.folder(to.parent()).insert(to.name, id);
        Ok(())
    }

    /// Takes a name away; what is open lives on under its number.
    fn take(&mut self, spot: &Spot) {
        let id = self.folder(spot.parent()).remove(&spot.name);
        id.expect("it was found there");
    }

    fn expect_folder(&self, id: Id) -> Result<(), Errno> {
        if matches!(self.nodes[id], Node::Folder(_)) { Ok(()) } else { Err("ENOTDIR") }
    }

    fn folder(&mut self, id: Id) -> &mut BTreeMap<String, Id> {
        match &mut self.nodes[id] {
            Node::Folder(names) => names,
            other => panic!("{other:?} is no folder"),
        }
    }

    fn content(&mut self, id: Id) -> &mut Vec<u8> {
        match &mut self.nodes[id] {
            Node::File(content) => content,
            other => panic!("{other:?} is no file"),
        }
    }

    fn listed(&self) -> Vec<(String, Id)> {
        let mut listed = Vec::new();
        let mut ahead = vec![(String::new(), ROOT)];
        while let Some((above, id)) = ahead.pop() {
            let Node::Folder(names) = &self.nodes[id] else { continue };
            for (name, id) in names {
                listed.push((format!("{above}{name}"), *id));
                ahead.push((format!("{above}{name}/"), *id));
            }
        }
        listed.sort();
        listed
    }

    fn entry(&self, id: Id) -> Entry {
        let modified_ns = self.modified_ns.get(&id).copied();
        match self.nodes[id].clone() {
            Node::File(content) => Entry::File { content, modified_ns },
            Node::Folder(_) => Entry::Folder,
            Node::Link(target) => Entry::Link { target, modified_ns },
        }
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn time(ns: &str) -> u64 {
    ns.parse().expect("a number of nanoseconds")
}

/// What the guest writes; it must say the same.
pub(super) fn pattern(len: u32, seed: u32) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(1 + (at + seed * 13) % 251).expect("at most 251")).collect()
}

/// FNV-1a, as the guest computes it.
pub(super) fn digest(bytes: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}
