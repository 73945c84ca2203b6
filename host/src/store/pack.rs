//! A session's directory as a tar.
//!
//! Comes in: a session, and the commit that is looked at.
//!
//! Promise: the archive is of one commit, whatever goes on meanwhile, and the same
//! bytes for the same commit: what lies there by path, with its time to the
//! nanosecond, and nothing of the host's. It is packed by pieces, so memory is bounded.
//!
//! Not here: the form of a backup ([`archive`](super::archive)), which is another thing.

use std::io;
use std::io::BufWriter;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use sha2::Digest as _;
use sha2::Sha256;
use tar::Builder;
use tar::EntryType;
use tar::Header;

use crate::clock::Timestamp;
use crate::limits::CHUNK_BYTES;
use crate::limits::FILE_MEMORY_BYTES;
use crate::model::entry::EntryKind;
use crate::model::session::SessionKey;
use crate::store::Store;
use crate::store::block;
use crate::store::chunks;
use crate::store::commits;
use crate::store::error::StoreError;
use crate::store::files::Body;
use crate::store::held::Held;
use crate::store::nodes;
use crate::store::nodes::Node;
use crate::store::nodes::View;
use crate::store::sessions;

/// The version of the form. One more for every change of the bytes that the same
/// commit is packed to, since an entity tag stands for them.
const FORM: u64 = 1;

/// A tar is made of blocks.
const BLOCK: usize = 512;

/// Stands for a name that the oldest form has no room for; every program of the last
/// twenty years reads the whole one.
const SEE_PAX: &str = "name-in-pax-header";

const CONTEXT: &str = "pack an archive";

/// How an archive travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
}

/// What can be told of an archive without packing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveState {
    /// The number of the commit.
    pub commit: u64,
    /// Stands for the bytes. Without quotes.
    pub tag: String,
    /// When that commit was made.
    pub made_at: Timestamp,
}

/// An archive with its bytes.
#[derive(Debug)]
pub struct Packed {
    pub state: ArchiveState,
    pub size: u64,
    pub body: Body,
}

impl Store {
    /// What is known of a session's archive as of a commit, the last one without a
    /// number. Refused as `SessionGone` and `NoCommit` of
    /// [`Refused`](crate::store::Refused).
    pub fn archive_state(
        &self,
        key: SessionKey,
        commit: Option<u64>,
        coding: Coding,
    ) -> Result<ArchiveState, StoreError> {
        self.look(|db| Ok(state(db, key, commit, coding)?.0))
    }

    /// How long it is, not compressed; under the same terms.
    pub async fn archive_size(&self, key: SessionKey, commit: Option<u64>) -> Result<u64, StoreError> {
        self.read(move |db| {
            let (_, view) = state(db, key, commit, Coding::Identity)?;
            let mut size = 2 * BLOCK as u64;
            for node in nodes::all_in(db, key, view)? {
                let head = head(&node).map_err(StoreError::io(CONTEXT))?;
                size += head.len() as u64 + content_bytes(&node).next_multiple_of(BLOCK as u64);
            }
            Ok(size)
        })
        .await
    }

    /// The archive, under the same terms.
    pub async fn archive(&self, key: SessionKey, commit: Option<u64>, coding: Coding) -> Result<Packed, StoreError> {
        let shared = self.shared();
        block(move || {
            let memory_bytes_max = usize::try_from(FILE_MEMORY_BYTES).unwrap_or(usize::MAX);
            let out = Held::new(shared.layout.tmp(), memory_bytes_max);
            let mut out = BufWriter::with_capacity(CHUNK_BYTES, out);
            let state = shared.readers.with(|db| {
                let (state, view) = state(db, key, commit, coding)?;
                match coding {
                    Coding::Identity => pack(db, key, view, &mut out)?,
                    Coding::Gzip => {
                        let mut gzip = GzEncoder::new(&mut out, Compression::fast());
                        pack(db, key, view, &mut gzip)?;
                        let _ = gzip.finish().map_err(StoreError::io(CONTEXT))?;
                    }
                }
                Ok(state)
            })?;
            let out = out.into_inner().map_err(|error| StoreError::io(CONTEXT)(error.into_error()))?;
            let size = out.length();
            Ok(Packed { state, size, body: out.into_body().map_err(StoreError::io(CONTEXT))? })
        })
        .await
    }
}

fn state(
    db: &Connection,
    key: SessionKey,
    commit: Option<u64>,
    coding: Coding,
) -> Result<(ArchiveState, View), StoreError> {
    let session = sessions::active(db, key)?;
    let view = commits::view_of(&session, commit)?;
    let commit = commits::by_number(db, key, commit.unwrap_or(session.commit))?;
    Ok((ArchiveState { commit: commit.number, tag: tag(key, commit.number, coding), made_at: commit.at }, view))
}

/// The entity tag of an archive. A session's number and those of its commits are used
/// once, so a tag never stands for two contents.
pub(super) fn tag(key: SessionKey, commit: u64, coding: Coding) -> String {
    let mut numbers = Sha256::new();
    numbers.update(b"archive");
    numbers.update(FORM.to_le_bytes());
    numbers.update(key.0.to_le_bytes());
    numbers.update(commit.to_le_bytes());
    let tag: String = numbers.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    match coding {
        Coding::Identity => tag,
        // Other bytes have another tag (RFC 9110, 8.8.3.3).
        Coding::Gzip => tag + "-gzip",
    }
}

fn pack(db: &Connection, key: SessionKey, view: View, out: &mut impl Write) -> Result<(), StoreError> {
    for node in nodes::all_in(db, key, view)? {
        let head = head(&node).map_err(StoreError::io(CONTEXT))?;
        out.write_all(&head).map_err(StoreError::io(CONTEXT))?;
        if node.kind == EntryKind::File {
            chunks::copy_to(db, &node, view, out)?;
            let over = (node.size % BLOCK as u64) as usize;
            let filling = if over == 0 { 0 } else { BLOCK - over };
            out.write_all(&[0; BLOCK][..filling]).map_err(StoreError::io(CONTEXT))?;
        }
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(StoreError::io(CONTEXT))
}

fn content_bytes(node: &Node) -> u64 {
    if node.kind == EntryKind::File { node.size } else { 0 }
}

/// What comes before a file's bytes, and is all of anything else.
fn head(node: &Node) -> io::Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    let mut records: Vec<(&str, String)> = Vec::new();
    let (kind, mode) = match node.kind {
        EntryKind::File => (EntryType::Regular, 0o644),
        EntryKind::Directory => (EntryType::Directory, 0o755),
        EntryKind::Link => (EntryType::Symlink, 0o777),
    };
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content_bytes(node));

    let mut name = node.path.to_string();
    if node.kind == EntryKind::Directory {
        name.push('/');
    }
    let fits = Header::new_ustar().set_path(&name).is_ok();
    header.set_path(if fits { name.as_str() } else { SEE_PAX })?;
    if !fits || !name.is_ascii() {
        records.push(("path", name));
    }
    if let Some(target) = &node.target {
        let fits = Header::new_ustar().set_link_name_literal(target).is_ok();
        header.set_link_name_literal(if fits { target.as_str() } else { SEE_PAX })?;
        if !fits || !target.is_ascii() {
            records.push(("linkpath", target.clone()));
        }
    }
    let (seconds, nanos) = (node.modified_ns.div_euclid(SECOND_NS), node.modified_ns.rem_euclid(SECOND_NS));
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    if seconds < 0 || nanos != 0 {
        records.push(("mtime", decimal(node.modified_ns)));
    }
    header.set_cksum();

    let mut tar = Builder::new(Vec::new());
    tar.append_pax_extensions(records.iter().map(|(name, value)| (*name, value.as_bytes())))?;
    tar.append(&header, io::empty())?;
    Ok(std::mem::take(tar.get_mut()))
}

pub(super) const SECOND_NS: i64 = 1_000_000_000;

/// Seconds since 1970, with as many digits behind the point as there are.
fn decimal(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let (ns, second) = (ns.unsigned_abs(), SECOND_NS.unsigned_abs());
    let text = format!("{sign}{}.{:09}", ns / second, ns % second);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_to_the_nanosecond() {
        for (ns, text) in [
            (0, "0"),
            (10_000_000_000, "10"),
            (1_500_000_000, "1.5"),
            (1, "0.000000001"),
            (-1_500_000_000, "-1.5"),
            (i64::MAX, "9223372036.854775807"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            assert_eq!(decimal(ns), text);
        }
    }

    #[test]
    fn a_tag_stands_for_one_commit_and_one_coding() {
        let tags = [(1, 1, Coding::Identity), (1, 2, Coding::Identity), (2, 1, Coding::Identity), (1, 1, Coding::Gzip)];
        let tags = tags.map(|(key, commit, coding)| tag(SessionKey(key), commit, coding));
        let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len());
    }
}
