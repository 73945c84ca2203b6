//! Writing a session's files from outside: each write is one commit.
//!
//! Promise: a file appears whole, with the directories above it, or not at all.
//! Whoever calls has the session's turn (R10), so no job is at work in it.

use rusqlite::Connection;

use crate::clock::Timestamp;
use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::store::Store;
use crate::store::chunks;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::files;
use crate::store::nodes;
use crate::store::nodes::EntryKind;
use crate::store::nodes::NewNode;
use crate::store::nodes::Node;
use crate::store::receipt::Receipt;
use crate::store::sessions;
use crate::store::sessions::Access;
use crate::store::sessions::Tree;
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

/// A commit of files, as far as a working copy must know.
struct Written<T> {
    answer: T,
    /// The tree version before and after.
    versions: (u64, u64),
    /// The topmost path that changed.
    top: SessionPath,
}

impl Store {
    /// Writes a file, and the directories above it. Refused as `SessionGone`,
    /// `SessionKey`, `NotADirectory`, `IsDirectory`, `Precondition`, `SessionBytes` and
    /// `SessionFiles` of [`Refused`]. A link at that path is replaced.
    pub fn put_file(
        &self,
        access: impl Into<Access>,
        path: SessionPath,
        content: Spool,
        only_if: Precondition,
        now: Timestamp,
    ) -> Receipt<Put> {
        let access = access.into();
        self.write_files(access.session, move |db| put(db, access, &path, &content, &only_if, now))
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
        write: impl FnOnce(&Connection) -> Result<Written<T>, StoreError> + Send + 'static,
    ) -> Receipt<T> {
        let shared = self.shared();
        self.writer().enqueue_then(write, move |written| {
            let Written { answer, versions, top } = written?;
            shared.copies.outdate(key, versions, top);
            Ok(answer)
        })
    }
}

fn put(
    db: &Connection,
    access: Access,
    path: &SessionPath,
    content: &Spool,
    only_if: &Precondition,
    now: Timestamp,
) -> Result<Written<Put>, StoreError> {
    let (session, key) = (sessions::entered(db, access)?, access.session);
    let tree_version = sessions::tree_version(db, key)?;
    let old = nodes::at(db, key, path)?;
    if old.as_ref().is_some_and(|old| old.kind == EntryKind::Directory) {
        return Err(Refused::IsDirectory(path.clone()).into());
    }
    only_if.check(path, old.as_ref())?;
    let modified_ns = now.micros().saturating_mul(1_000);
    let mut usage = session.usage;
    let made = make_parents(db, key, path, modified_ns)?;
    usage.files += made.len() as u64;
    let size = content.size_bytes();
    let hash = content.content().hash();
    let new = NewNode { path: path.clone(), kind: EntryKind::File, size, modified_ns, hash, target: None };
    replace(&mut usage, old.as_ref(), Some(&new));
    must_fit(&session, usage)?;
    let id = nodes::store(db, key, old.as_ref().map(|old| old.id), &new)?;
    let old_pieces = chunks::hashes(db, id)?;
    chunks::store(db, id, &old_pieces, content.content(), |index| content.piece(index))?;
    let commit = sessions::advance(db, &session, usage, Tree::Changed, now)?;
    let answer = Put { created: old.is_none(), etag: nodes::etag(&hash), commit };
    let top = made.into_iter().next().unwrap_or_else(|| path.clone());
    Ok(Written { answer, versions: (tree_version, commit), top })
}

/// Makes the directories above a path that are not there; gives them, the
/// outermost first.
fn make_parents(
    db: &Connection,
    key: SessionKey,
    path: &SessionPath,
    modified_ns: i64,
) -> Result<Vec<SessionPath>, StoreError> {
    let mut made = Vec::new();
    for above in path.ancestors() {
        match nodes::at(db, key, &above)?.map(|node| node.kind) {
            Some(EntryKind::Directory) => (),
            Some(EntryKind::File | EntryKind::Link) => return Err(Refused::NotADirectory(above).into()),
            None => {
                nodes::store(db, key, None, &NewNode::directory(above.clone(), modified_ns))?;
                made.push(above);
            }
        }
    }
    Ok(made)
}

fn delete(
    db: &Connection,
    access: Access,
    path: &SessionPath,
    recursive: Recursive,
    only_if: &Precondition,
    now: Timestamp,
) -> Result<Written<u64>, StoreError> {
    let (session, key) = (sessions::entered(db, access)?, access.session);
    let tree_version = sessions::tree_version(db, key)?;
    let old = nodes::at(db, key, path)?;
    only_if.check(path, old.as_ref())?;
    if old.is_none() {
        return Err(Refused::NoFile(path.clone()).into());
    }
    if recursive == Recursive::No && files::count_beneath(db, key, path)? > 0 {
        return Err(Refused::DirectoryNotEmpty(path.clone()).into());
    }
    let mut usage = session.usage;
    for node in nodes::within(db, key, Some(path))? {
        replace(&mut usage, Some(&node), None);
        nodes::delete(db, node.id)?;
    }
    let commit = sessions::advance(db, &session, usage, Tree::Changed, now)?;
    Ok(Written { answer: commit, versions: (tree_version, commit), top: path.clone() })
}

/// Counts `new` in the place of `old`.
pub(super) fn replace(usage: &mut Usage, old: Option<&Node>, new: Option<&NewNode>) {
    let old = old.map(Node::usage).unwrap_or_default();
    let new = new.map(|new| nodes::usage(new.kind, new.size)).unwrap_or_default();
    usage.bytes = (usage.bytes + new.bytes).saturating_sub(old.bytes);
    usage.files = (usage.files + new.files).saturating_sub(old.files);
}

/// Refuses more than the session may hold.
pub(super) fn must_fit(session: &Session, usage: Usage) -> Result<(), Refused> {
    let (bytes, files) = (usage.bytes, usage.files);
    // A session that holds too much already may still be made smaller.
    if bytes > session.limits.bytes && bytes > session.usage.bytes {
        return Err(Refused::SessionBytes { bytes, limit: session.limits.bytes });
    }
    if files > session.limits.files && files > session.usage.files {
        return Err(Refused::SessionFiles { files, limit: session.limits.files });
    }
    Ok(())
}

impl Precondition {
    fn check(&self, path: &SessionPath, old: Option<&Node>) -> Result<(), Refused> {
        let matches = |tags: &Tags| match (tags, old) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::Of(tags), Some(old)) => tags.contains(&old.etag()),
        };
        let wanted = self.if_match.as_ref().is_none_or(matches);
        let unwanted = self.if_none_match.as_ref().is_some_and(matches);
        if wanted && !unwanted { Ok(()) } else { Err(Refused::Precondition(path.clone())) }
    }
}
