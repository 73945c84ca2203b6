//! A tar that somebody sent, read as what a session is to hold.
//!
//! Comes in: an archive that is whole, and may be anything.
//! Goes out: to [`replace`](super::replace), as a list of what lies where and the
//! bytes of files; names in it are session paths, and lead nowhere else.
//!
//! Promise: nothing is written by a name that the archive chose. What is no plain
//! file, directory or link, has a name that a session has not, or lies where nothing
//! can lie, is refused by its name; so is an archive that was cut off. Memory and
//! disk are bounded by what the session may hold, also for what unfolds without end.

mod bad;
mod extras;
mod flow;

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use tar::Archive;
use tar::Entry;
use tar::EntryType;

use crate::limits::PATH_BYTES_MAX;
use crate::limits::SPOOL_MEMORY_BYTES;
use crate::model::entry::EntryKind;
use crate::model::path::SessionPath;
use crate::model::session::SessionLimits;
use crate::model::session::Usage;
use crate::store::Store;
use crate::store::block;
use crate::store::chunks::Content;
use crate::store::chunks::Hasher;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::held::Held;
use crate::store::nodes;
use crate::store::pack::Coding;
use crate::store::spool::Spool;

use self::bad::Unfit;
use self::bad::shown;
use self::extras::Extras;
use self::flow::Flow;
use self::flow::Upload;

pub use self::bad::BadArchive;
pub(super) use self::extras::Time;

/// What a session is to hold.
pub struct Unpacked {
    pub(super) members: Members,
    /// Where the bytes of files are.
    pub(super) contents: Held,
}

/// Everything by its path; each lies in a directory that is here too.
pub(super) type Members = BTreeMap<SessionPath, Member>;

pub(super) struct Member {
    pub(super) what: What,
    /// None: the archive does not name it, but something in it.
    pub(super) time: Option<Time>,
}

pub(super) enum What {
    File {
        /// Where its bytes begin.
        at: u64,
        content: Content,
    },
    Directory,
    Link(String),
}

impl What {
    pub(super) fn kind(&self) -> EntryKind {
        match self {
            What::File { .. } => EntryKind::File,
            What::Directory => EntryKind::Directory,
            What::Link(_) => EntryKind::Link,
        }
    }

    /// A file's bytes.
    fn size(&self) -> u64 {
        match self {
            What::File { content, .. } => content.size,
            What::Directory | What::Link(_) => 0,
        }
    }
}

impl Store {
    /// Reads an archive whose session may hold so much. Refused as `Archive`, `TooLarge`,
    /// `SessionBytes` and `SessionFiles` of [`Refused`].
    pub async fn unpack(&self, archive: Spool, coding: Coding, most: SessionLimits) -> Result<Unpacked, StoreError> {
        let tmp = self.shared().layout.tmp();
        block(move || unpack(archive.into_held(), coding, most, tmp)).await
    }
}

/// The same, with a directory for what is not small.
pub(super) fn unpack(archive: Held, coding: Coding, most: SessionLimits, tmp: PathBuf) -> Result<Unpacked, StoreError> {
    let bytes = Upload(archive.reader());
    match coding {
        Coding::Identity => {
            let members = read(bytes, None, most)
                .map_err(|error| if is_gzip(&archive) { BadArchive::Gzip.into() } else { error })?;
            Ok(Unpacked { members, contents: archive })
        }
        Coding::Gzip => {
            let mut contents = Held::new(tmp, SPOOL_MEMORY_BYTES);
            let members = read(MultiGzDecoder::new(bytes), Some(&mut contents), most)?;
            Ok(Unpacked { members, contents })
        }
    }
}

impl From<BadArchive> for StoreError {
    fn from(bad: BadArchive) -> Self {
        StoreError::Refused(bad.into())
    }
}

fn is_gzip(archive: &Held) -> bool {
    archive.part(0, 2).is_ok_and(|bytes| *bytes == [0x1f, 0x8b])
}

/// Reads all of a tar. The bytes of files go to `keep`; without that they stay where
/// they are.
fn read(from: impl Read, keep: Option<&mut Held>, most: SessionLimits) -> Result<Members, StoreError> {
    let mut flow = Flow::new(from, most.archive_bytes());
    let mut reading =
        Reading { members: Members::new(), usage: Usage::default(), most, keep, extras: Extras::default(), last: None };
    let read = reading.all(&mut flow).and_then(|()| flow.must_end());
    read.map_err(|unfit| unfit.after(reading.last.take()))?;
    Ok(reading.members)
}

/// What was read so far.
struct Reading<'a> {
    members: Members,
    usage: Usage,
    most: SessionLimits,
    keep: Option<&'a mut Held>,
    /// Said about the next entry.
    extras: Extras,
    /// The last entry's name, for who looks for a fault.
    last: Option<String>,
}

impl Reading<'_> {
    fn all(&mut self, flow: &mut Flow<impl Read>) -> Result<(), Unfit> {
        let mut tar = Archive::new(flow);
        // Raw: tar itself would take names of any length into memory.
        for entry in tar.entries()?.raw(true) {
            self.one(&mut entry?)?;
        }
        if self.extras.are_there() { Err(BadArchive::CutOff.into()) } else { Ok(()) }
    }

    fn one(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), Unfit> {
        if self.extras.take_in(entry)? {
            return Ok(());
        }
        let extras = self.extras.taken();
        let raw = extras.path.unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let name = shown(&raw);
        self.last = Some(name.clone());
        let size = entry.header().entry_size()?;
        if extras.size.is_some_and(|said| said != size) {
            return Err(BadArchive::TwoSizes { name }.into());
        }
        if extras.is_sparse {
            return Err(BadArchive::Sparse { name }.into());
        }
        let path = path_of(&raw, &name)?;
        let target = extras.target.or_else(|| entry.header().link_name_bytes().map(|bytes| bytes.into_owned()));
        let time = extras.time.map_or_else(|| entry.header().mtime().map(|time| Time::Second(time as i64)), Ok)?;
        let is_dir = is_dir(entry.header().entry_type(), &raw, size, &name)?;
        let Some(path) = path else {
            // `./`, as `tar -C directory -cf - .` has it: the session's directory itself.
            return if is_dir { Ok(()) } else { Err(BadArchive::Root { name }.into()) };
        };
        let what = match entry.header().entry_type() {
            _ if is_dir => What::Directory,
            EntryType::Regular | EntryType::Continuous => self.file(entry, size, &name)?,
            EntryType::Symlink => What::Link(link_target(&path, target, &name)?),
            EntryType::Link => return Err(BadArchive::HardLink { name }.into()),
            EntryType::GNUSparse => return Err(BadArchive::Sparse { name }.into()),
            EntryType::Char | EntryType::Block | EntryType::Fifo => return Err(BadArchive::Device { name }.into()),
            other => return Err(BadArchive::Kind { name, kind: other.as_byte().escape_ascii().to_string() }.into()),
        };
        self.put(path, Member { what, time: Some(time) }, &name)
    }

    /// Takes in a file's bytes.
    fn file(&mut self, entry: &mut Entry<'_, impl Read>, size: u64, name: &str) -> Result<What, Unfit> {
        let bytes = self.usage.bytes.saturating_add(size);
        if bytes > self.most.bytes {
            return Err(Refused::SessionBytes { bytes, limit: self.most.bytes }.into());
        }
        let at = self.keep.as_ref().map_or(entry.raw_file_position(), |keep| keep.length());
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(BUFFER_BYTES)];
        loop {
            let read = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => &buffer[..read],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            hasher.update(read);
            if let Some(keep) = &mut self.keep {
                keep.write_all(read).map_err(StoreError::io("keep an archive in a temporary file"))?;
            }
        }
        let content = hasher.finish();
        if content.size != size {
            return Err(BadArchive::CutShort { name: name.to_owned() }.into());
        }
        Ok(What::File { at, content })
    }

    /// Puts something where it is to lie.
    fn put(&mut self, path: SessionPath, member: Member, name: &str) -> Result<(), Unfit> {
        for above in path.ancestors() {
            match self.members.get(&above).map(|member| member.what.kind()) {
                Some(EntryKind::Directory) => {}
                Some(EntryKind::File | EntryKind::Link) => {
                    return Err(
                        BadArchive::Below { name: name.to_owned(), above: shown(above.as_str().as_bytes()) }.into()
                    );
                }
                None => self.add(above, Member { what: What::Directory, time: None })?,
            }
        }
        match self.members.get_mut(&path) {
            None => self.add(path, member),
            // Said twice, or first only by what lies in it.
            Some(known) if known.what.kind() == EntryKind::Directory && member.what.kind() == EntryKind::Directory => {
                known.time = member.time;
                Ok(())
            }
            Some(_) => Err(BadArchive::Twice { name: name.to_owned() }.into()),
        }
    }

    /// Counts it at once, so that memory is bounded.
    fn add(&mut self, path: SessionPath, member: Member) -> Result<(), Unfit> {
        let one = nodes::usage(member.what.kind(), member.what.size());
        self.usage = Usage { bytes: self.usage.bytes + one.bytes, files: self.usage.files + one.files };
        if self.usage.files > self.most.files {
            return Err(Refused::SessionFiles { files: self.usage.files, limit: self.most.files }.into());
        }
        self.members.insert(path, member);
        Ok(())
    }
}

/// What is read at once of a file.
const BUFFER_BYTES: usize = 64 << 10;

/// Where an entry of that name lies; `None` for the session's directory itself. What
/// says nothing in a name (`./`, `//`) is left out, as other programs do.
fn path_of(raw: &[u8], name: &str) -> Result<Option<SessionPath>, BadArchive> {
    if raw.is_empty() {
        return Err(BadArchive::NoName);
    }
    let text = std::str::from_utf8(raw).map_err(|_| BadArchive::NotText { name: name.to_owned() })?;
    if text.starts_with('/') {
        return Err(BadArchive::Absolute { name: name.to_owned() });
    }
    let clean = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
    if clean.is_empty() {
        return Ok(None);
    }
    SessionPath::parse(&clean).map(Some).map_err(|why| BadArchive::Name { name: name.to_owned(), why: Box::new(why) })
}

/// The oldest form has no kind for directories, only a slash at the end.
fn is_dir(kind: EntryType, raw: &[u8], size: u64, name: &str) -> Result<bool, BadArchive> {
    let slash = raw.ends_with(b"/");
    match kind {
        EntryType::Directory | EntryType::Symlink if size > 0 => Err(BadArchive::Bytes { name: name.to_owned() }),
        EntryType::Directory => Ok(true),
        EntryType::Regular | EntryType::Continuous if slash && size > 0 => {
            Err(BadArchive::Bytes { name: name.to_owned() })
        }
        EntryType::Regular | EntryType::Continuous => Ok(slash),
        _ => Ok(false),
    }
}

/// A link's target, under the rule that holds for guests.
fn link_target(path: &SessionPath, target: Option<Vec<u8>>, name: &str) -> Result<String, BadArchive> {
    let target = target.unwrap_or_default();
    let refused = || BadArchive::Target { name: name.to_owned(), target: shown(&target) };
    let text = std::str::from_utf8(&target).map_err(|_| refused())?;
    let can_be = text.len() <= PATH_BYTES_MAX && !text.contains('\0') && path.leads_inside(text);
    if can_be { Ok(text.to_owned()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests;
