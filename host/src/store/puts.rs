//! Writing a session's files from outside: each write is one edit.
//!
//! Promise: a file appears whole, with the directories above it, or not at all.
//! Whoever calls has the session's turn (R10), so no job is at work in it.

use rusqlite::Connection;

use crate::clock::Timestamp;
use crate::model::entry::EntryKind;
use crate::model::history::Cause;
use crate::model::path::SessionPath;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::session::Usage;
use crate::model::touched::Extent;
use crate::model::touched::Places;
use crate::store::Store;
use crate::store::chunks;
use crate::store::edit::By;
use crate::store::edit::ContentIs;
use crate::store::edit::Edit;
use crate::store::edit::Edited;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::nodes;
use crate::store::nodes::NewNode;
use crate::store::nodes::Node;
use crate::store::nodes::View;
use crate::store::receipt::Receipt;
use crate::store::sessions::Access;
use crate::store::spool::Spool;

/// Entity tags of a request, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever there is.
    Any,
    Of(Vec<String>),
}

/// What must hold of a file for a write of it to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    pub if_match: Option<Tags>,
    pub if_none_match: Option<Tags>,
}

/// Whether what lies beneath a directory is meant too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursive {
    Yes,
    No,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Whether nothing was there before.
    pub created: bool,
    pub etag: String,
    /// The number of the commit.
    pub commit: u64,
}

/// A write of files, as far as a working copy must know.
struct Written<T> {
    answer: T,
    edited: Edited,
    /// The topmost path that changed.
    top: SessionPath,
}

impl Store {
    /// Writes a file, and the directories above it. Refused as `SessionGone`,
    /// `SessionKey`, `NotADirectory`, `IsDirectory`, `Precondition`, `SessionBytes`,
    /// `SessionFiles` and `OverQuota` of [`Refused`]. A link at that path is replaced.
    pub fn put_file(
        &self,
        access: impl Into<Access>,
        path: SessionPath,
        content: Spool,
        only_if: Precondition,
        now: Timestamp,
    ) -> Receipt<Put> {
        let access = access.into();
        let shared = self.shared();
        self.write_files(access.session, move |db| {
            put(Edit::enter(db, access)?.within(&shared.quotas), &path, &content, &only_if, now)
        })
    }

    /// Deletes a file, a link or a directory; without [`Recursive::Yes`] only an
    /// empty one. Gives the commit's number. Refused as `SessionGone`,
    /// `SessionKey`, `NoFile`, `DirectoryNotEmpty` and `Precondition` of [`Refused`].
    pub fn delete_file(
        &self,
        access: impl Into<Access>,
        path: SessionPath,
        recursive: Recursive,
        only_if: Precondition,
        now: Timestamp,
    ) -> Receipt<u64> {
        let access = access.into();
        self.write_files(access.session, move |db| delete(db, access, &path, recursive, &only_if, now))
    }

    /// Does `write`, and afterwards tells an idle working copy what to mend.
    fn write_files<T: Send + 'static>(
        &self,
        key: SessionKey,
        write: impl Fn(&Connection) -> Result<Written<T>, StoreError> + Send + 'static,
    ) -> Receipt<T> {
        let shared = self.shared();
        self.writer().enqueue_then(write, move |written| {
            let Written { answer, edited, top } = written?;
            shared.copies.outdate(key, edited.trees, Places::from([(top, Extent::Whole)]));
            Ok(answer)
        })
    }
}

fn put(
    mut edit: Edit<'_>,
    path: &SessionPath,
    content: &Spool,
    only_if: &Precondition,
    now: Timestamp,
) -> Result<Written<Put>, StoreError> {
    let (db, key) = (edit.db, edit.session.key);
    let old = nodes::at(db, key, path, View::Tip)?;
    if old.as_ref().is_some_and(|old| old.kind == EntryKind::Directory) {
        return Err(Refused::IsDirectory(path.clone()).into());
    }
    only_if.check(path, old.as_ref())?;
    let modified_ns = now.micros().saturating_mul(1_000);
    let made = make_parents(&mut edit, path, modified_ns)?;
    let new = NewNode::file(path.clone(), content.size_bytes(), modified_ns);
    let before = edit.tip.usage;
    replace(&mut edit.tip.usage, old.as_ref(), Some(&new));
    must_fit(edit.session.limits, before, edit.tip.usage)?;
    let pieces = match &old {
        Some(old) if old.kind == EntryKind::File => chunks::hashes(db, key, old.file)?,
        _ => Vec::new(),
    };
    let hashes = &content.content().hashes;
    let is = if pieces == *hashes { ContentIs::Same } else { ContentIs::Different };
    let (file, stamp) = edit.node(old.as_ref(), &new, is)?;
    for (index, hash) in hashes.iter().enumerate() {
        match pieces.get(index) {
            Some(piece) if piece == hash => {}
            Some(_) => edit.replace_piece(file, index as u64, hash, &content.piece(index)?)?,
            None => edit.add_piece(file, index as u64, hash, &content.piece(index)?)?,
        }
    }
    if pieces.len() > hashes.len() {
        edit.cut(file, hashes.len() as u64)?;
    }
    let top = made.into_iter().next().unwrap_or_else(|| path.clone());
    if old.is_none() {
        touch_parent(&mut edit, &top, modified_ns)?;
    }
    let edited = edit.finish(By { cause: Cause::Files, job: None, at: now })?;
    let etag = nodes::etag(key, file, stamp);
    let answer = Put { created: old.is_none(), etag, commit: edited.commit };
    Ok(Written { answer, edited, top })
}

/// Makes the directories above a path that are not there; gives them, the
/// outermost first.
fn make_parents(edit: &mut Edit<'_>, path: &SessionPath, modified_ns: i64) -> Result<Vec<SessionPath>, StoreError> {
    let mut made = Vec::new();
    for above in path.ancestors() {
        match nodes::at(edit.db, edit.session.key, &above, View::Tip)?.map(|node| node.kind) {
            Some(EntryKind::Directory) => (),
            Some(EntryKind::File | EntryKind::Link) => return Err(Refused::NotADirectory(above).into()),
            None => {
                edit.node(None, &NewNode::directory(above.clone(), modified_ns), ContentIs::Different)?;
                edit.tip.usage.files += 1;
                made.push(above);
            }
        }
    }
    Ok(made)
}

/// Something was made in a directory, or taken out of it.
fn touch_parent(edit: &mut Edit<'_>, path: &SessionPath, modified_ns: i64) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if let Some(old) = nodes::at(edit.db, edit.session.key, &parent, View::Tip)? {
        edit.node(Some(&old), &NewNode::directory(parent, modified_ns), ContentIs::Same)?;
    }
    Ok(())
}

fn delete(
    db: &Connection,
    access: Access,
    path: &SessionPath,
    recursive: Recursive,
    only_if: &Precondition,
    now: Timestamp,
) -> Result<Written<u64>, StoreError> {
    let mut edit = Edit::enter(db, access)?;
    let old = nodes::at(db, access.session, path, View::Tip)?;
    only_if.check(path, old.as_ref())?;
    if old.is_none() {
        return Err(Refused::NoFile(path.clone()).into());
    }
    let nodes = nodes::within(db, access.session, path)?;
    if recursive == Recursive::No && nodes.len() > 1 {
        return Err(Refused::DirectoryNotEmpty(path.clone()).into());
    }
    for node in &nodes {
        replace(&mut edit.tip.usage, Some(node), None);
        edit.remove(node)?;
    }
    touch_parent(&mut edit, path, now.micros().saturating_mul(1_000))?;
    let edited = edit.finish(By { cause: Cause::Files, job: None, at: now })?;
    Ok(Written { answer: edited.commit, edited, top: path.clone() })
}

/// Counts `new` in the place of `old`.
pub(super) fn replace(usage: &mut Usage, old: Option<&Node>, new: Option<&NewNode>) {
    let old = old.map(Node::usage).unwrap_or_default();
    let new = new.map(|new| nodes::usage(new.kind, new.size)).unwrap_or_default();
    usage.bytes = (usage.bytes + new.bytes).saturating_sub(old.bytes);
    usage.files = (usage.files + new.files).saturating_sub(old.files);
}

/// Refuses more than a session may hold.
pub(super) fn must_fit(limits: SessionLimits, before: Usage, after: Usage) -> Result<(), Refused> {
    // A session that holds too much already may still be made smaller.
    if after.bytes > limits.bytes && after.bytes > before.bytes {
        return Err(Refused::SessionBytes { bytes: after.bytes, limit: limits.bytes });
    }
    if after.files > limits.files && after.files > before.files {
        return Err(Refused::SessionFiles { files: after.files, limit: limits.files });
    }
    Ok(())
}

impl Precondition {
    fn check(&self, path: &SessionPath, old: Option<&Node>) -> Result<(), Refused> {
        let tag = old.map(Node::etag);
        if self.holds(old.is_some(), tag.as_slice()) { Ok(()) } else { Err(Refused::Precondition(path.clone())) }
    }

    /// Whether it holds of something that is there or not, and goes by these tags.
    pub(super) fn holds(&self, is_there: bool, known: &[String]) -> bool {
        let matches = |tags: &Tags| match tags {
            Tags::Any => is_there,
            Tags::Of(tags) => tags.iter().any(|tag| known.contains(tag)),
        };
        self.if_match.as_ref().is_none_or(matches) && !self.if_none_match.as_ref().is_some_and(matches)
    }
}
