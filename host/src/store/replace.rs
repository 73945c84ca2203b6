//! A session's directory in the place of another: an archive that was sent.
//!
//! Comes in: what [`unpack`](super::unpack) has read. Whoever calls has the session's
//! turn (R10), so no job is at work in it.
//!
//! Promise: all of it is there, in one edit, or nothing of it. What is as it was is
//! left alone: the writer writes, and the commit lists, what differs. That is found
//! out beforehand, beside the writer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use rusqlite::Connection;

use crate::clock::Timestamp;
use crate::limits::CHUNK_BYTES;
use crate::limits::COPY_MENDS_MAX;
use crate::model::entry::EntryKind;
use crate::model::history::Cause;
use crate::model::history::TransactionMode;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::model::touched::Extent;
use crate::model::touched::Pieces;
use crate::model::touched::Places;
use crate::store::Store;
use crate::store::block;
use crate::store::chunks;
use crate::store::chunks::Content;
use crate::store::chunks::Hash;
use crate::store::edit::By;
use crate::store::edit::ContentIs;
use crate::store::edit::Edit;
use crate::store::edit::Edited;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::held::Held;
use crate::store::nodes;
use crate::store::nodes::FileNumber;
use crate::store::nodes::NewNode;
use crate::store::nodes::Node;
use crate::store::pack;
use crate::store::pack::Coding;
use crate::store::pack::SECOND_NS;
use crate::store::puts;
use crate::store::puts::Precondition;
use crate::store::sessions::Access;
use crate::store::tip;
use crate::store::unpack::Member;
use crate::store::unpack::Time;
use crate::store::unpack::Unpacked;
use crate::store::unpack::What;

/// A directory that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The number of the last commit.
    pub commit: u64,
    /// Of the archive as it would be fetched now, if that is what was put.
    pub tag: Option<String>,
}

impl Store {
    /// Puts what was unpacked in the place of all that a session holds. Refused as
    /// `SessionGone`, `SessionKey`, `ArchivePrecondition`, `SessionBytes`,
    /// `SessionFiles` and `OverQuota` of [`Refused`].
    pub fn replace_files(
        &self,
        access: Access,
        unpacked: Unpacked,
        only_if: Precondition,
        now: Timestamp,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send + use<> {
        let store = self.clone();
        async move {
            let (shared, key) = (store.shared(), access.session);
            let unpacked = Arc::new(unpacked);
            let work = Arc::clone(&unpacked);
            let differing = block(move || shared.readers.with(|db| differing(db, key, &work, now))).await?;
            let places = differing.places();
            let shared = store.shared();
            let quotas = store.shared();
            let write = move |db: &Connection| {
                let edit = Edit::enter(db, access)?.within(&quotas.quotas);
                replace(edit, &differing, &unpacked.contents, &only_if, now)
            };
            let written = store.writer().enqueue_then(write, move |written| {
                let (replaced, edited) = written?;
                match places {
                    Some(places) => shared.copies.outdate(key, edited.trees, places),
                    None => shared.copies.forget(key),
                }
                Ok(replaced)
            });
            written.await
        }
    }
}

/// What makes a session's directory another one.
struct Differing {
    /// The step of the session that it was compared with.
    step: i64,
    removed: Vec<Node>,
    /// Each directory before what lies in it.
    written: Vec<Written>,
    /// Of the session with all that.
    usage: Usage,
}

struct Written {
    node: NewNode,
    old: Option<Node>,
    /// Where a file's bytes begin.
    at: u64,
    /// Those that differ.
    pieces: Vec<(usize, Hash)>,
    /// How many there are, and were.
    counts: (usize, usize),
}

fn differing(db: &Connection, key: SessionKey, unpacked: &Unpacked, now: Timestamp) -> Result<Differing, StoreError> {
    let (_, tip) = tip::active(db, key)?;
    let mut old: BTreeMap<_, _> = nodes::all(db, key)?.into_iter().map(|node| (node.path.clone(), node)).collect();
    let pieces = chunks::all_hashes(db, key)?;
    let members = &unpacked.members;
    let come = members.keys().filter(|path| !old.contains_key(*path));
    let go = old.keys().filter(|path| !members.contains_key(*path));
    // Where something is made or taken away, the time is another.
    let touched: BTreeSet<_> = come.chain(go).filter_map(SessionPath::parent).collect();
    let now_ns = now.micros().saturating_mul(1_000);
    let (mut written, mut usage) = (Vec::new(), Usage::default());
    for (path, member) in members {
        let before = old.remove(path);
        let modified_ns = match (member.time, &before) {
            (Some(time), before) => time.of(before.as_ref()),
            (None, Some(before)) if before.kind == EntryKind::Directory && !touched.contains(path) => {
                before.modified_ns
            }
            (None, _) => now_ns,
        };
        let node = new_node(path, member, modified_ns);
        let one = nodes::usage(node.kind, node.size);
        usage = Usage { bytes: usage.bytes + one.bytes, files: usage.files + one.files };
        written.extend(Written::differing(node, member, before, &pieces));
    }
    Ok(Differing { step: tip.step, removed: old.into_values().collect(), written, usage })
}

fn new_node(path: &SessionPath, member: &Member, modified_ns: i64) -> NewNode {
    match &member.what {
        What::File { content, .. } => NewNode::file(path.clone(), content.size, modified_ns),
        What::Directory => NewNode::directory(path.clone(), modified_ns),
        What::Link(target) => NewNode::link(path.clone(), modified_ns, target.clone()),
    }
}

impl Time {
    /// Nanoseconds since 1970. An archive that tells only seconds does not deny what
    /// is on record beyond that.
    fn of(self, before: Option<&Node>) -> i64 {
        match (self, before.map(|before| before.modified_ns)) {
            (Time::Exact(ns), _) => ns,
            (Time::Second(second), Some(before)) if before.div_euclid(SECOND_NS) == second => before,
            (Time::Second(second), _) => second.saturating_mul(SECOND_NS),
        }
    }
}

impl Written {
    /// `None` if that is what is there.
    fn differing(
        node: NewNode,
        member: &Member,
        old: Option<Node>,
        on_record: &HashMap<FileNumber, Vec<Hash>>,
    ) -> Option<Written> {
        let none = Content::default();
        let (at, content) = match &member.what {
            What::File { at, content } => (*at, content),
            What::Directory | What::Link(_) => (0, &none),
        };
        let same_kind = old.as_ref().filter(|old| old.kind == node.kind);
        let known = same_kind.and_then(|old| on_record.get(&old.file)).map_or(&[][..], Vec::as_slice);
        let all = content.hashes.iter().copied().enumerate();
        let pieces: Vec<_> = all.filter(|(index, hash)| known.get(*index) != Some(hash)).collect();
        let written = Written { at, pieces, counts: (content.hashes.len(), known.len()), node, old };
        let same_time = written.old.as_ref().is_some_and(|old| old.modified_ns == written.node.modified_ns);
        let is_same = same_time && written.content() == ContentIs::Same;
        (!is_same).then_some(written)
    }

    /// Whether only its time differs, if anything does.
    fn content(&self) -> ContentIs {
        let is_same =
            |old: &Node| old.kind == self.node.kind && old.size == self.node.size && old.target == self.node.target;
        let same = self.old.as_ref().is_some_and(is_same) && self.pieces.is_empty();
        if same { ContentIs::Same } else { ContentIs::Different }
    }

    fn write(&self, edit: &mut Edit<'_>, contents: &Held) -> Result<(), StoreError> {
        let (file, _) = edit.node(self.old.as_ref(), &self.node, self.content())?;
        let (count, old_count) = self.counts;
        for (index, hash) in &self.pieces {
            let bytes = self.piece(contents, *index)?;
            if *index < old_count {
                edit.replace_piece(file, *index as u64, hash, &bytes)?;
            } else {
                edit.add_piece(file, *index as u64, hash, &bytes)?;
            }
        }
        if old_count > count {
            edit.cut(file, count as u64)?;
        }
        Ok(())
    }

    fn piece<'a>(&self, contents: &'a Held, index: usize) -> Result<Cow<'a, [u8]>, StoreError> {
        let from = (index * CHUNK_BYTES) as u64;
        let length = self.node.size.saturating_sub(from).min(CHUNK_BYTES as u64);
        let piece = contents.part(self.at.saturating_add(from), usize::try_from(length).unwrap_or(0));
        piece.map_err(StoreError::io("read an upload"))
    }
}

impl Differing {
    fn is_nothing(&self) -> bool {
        self.removed.is_empty() && self.written.is_empty()
    }

    /// What an idle working copy has to mend; `None` if a new one is made sooner.
    fn places(&self) -> Option<Places> {
        let whole = |path: &SessionPath| (path.clone(), Extent::Whole);
        let mut places: Places = self.removed.iter().map(|node| whole(&node.path)).collect();
        for written in &self.written {
            let (path, extent) = whole(&written.node.path);
            // Of a directory that stays only the time differs.
            let stays = written.node.kind == EntryKind::Directory && written.content() == ContentIs::Same;
            places.insert(path, if stays { Extent::Pieces(Pieces::default()) } else { extent });
        }
        (places.len() <= COPY_MENDS_MAX).then_some(places)
    }
}

fn replace(
    mut edit: Edit<'_>,
    differing: &Differing,
    contents: &Held,
    only_if: &Precondition,
    now: Timestamp,
) -> Result<(Replaced, Edited), StoreError> {
    let (key, mode, commit) = (edit.session.key, edit.session.transaction, edit.session.commit);
    // A tag is that of a commit, so nothing that is not committed has one.
    let tags = [Coding::Identity, Coding::Gzip].map(|coding| pack::tag(key, commit, coding));
    if !only_if.holds(true, if edit.session.uncommitted { &[] } else { &tags }) {
        return Err(Refused::ArchivePrecondition.into());
    }
    edit.must_follow(differing.step)?;
    puts::must_fit(edit.session.limits, edit.tip.usage, differing.usage)?;
    // First what goes: a directory may be a file now.
    for node in &differing.removed {
        edit.remove(node)?;
    }
    for written in &differing.written {
        written.write(&mut edit, contents)?;
    }
    edit.tip.usage = differing.usage;
    let uncommitted = edit.session.uncommitted || (mode == TransactionMode::Explicit && !differing.is_nothing());
    let edited = edit.finish(By { cause: Cause::Files, job: None, at: now })?;
    let tag = (!uncommitted).then(|| pack::tag(key, edited.commit, Coding::Identity));
    Ok((Replaced { commit: edited.commit, tag }, edited))
}
