//! Going back: rollback, revert and fork.
//!
//! Promise: each happens as a whole or not at all, and costs what differs; a fork
//! costs a row per file and piece, and copies no content.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::model::entry::EntryKind;
use crate::model::history::Cause;
use crate::model::history::TransactionMode;
use crate::model::path::SessionPath;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::touched::Extent;
use crate::model::touched::Pieces;
use crate::model::touched::Places;
use crate::store::Store;
use crate::store::blobs;
use crate::store::commits;
use crate::store::edit::By;
use crate::store::edit::Edit;
use crate::store::edit::Edited;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::nodes::View;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::sessions::Access;

/// What going back did.
pub(super) struct Undone {
    pub(super) edited: Edited,
    /// Where something lies now that was not there before, or does not any more.
    pub(super) places: Places,
}

impl Store {
    /// Commits what an explicit transaction holds (R23); gives the number of the
    /// last commit. With nothing uncommitted there is no new one. Refused as
    /// `SessionGone`, `SessionKey` and `NotExplicit` of [`Refused`].
    pub fn commit_transaction(&self, access: impl Into<Access>, now: Timestamp) -> Receipt<u64> {
        let access = access.into();
        self.writer().enqueue(move |db| {
            let edit = Edit::enter(db, access)?;
            must_be_explicit(&edit.session)?;
            Ok(edit.finish_transaction(By { cause: Cause::Commit, job: None, at: now })?.commit)
        })
    }

    /// Undoes what an explicit transaction holds (R23); gives the number of the
    /// last commit. Refused as `SessionGone`, `SessionKey` and `NotExplicit` of
    /// [`Refused`].
    pub fn roll_back_transaction(&self, access: impl Into<Access>, now: Timestamp) -> Receipt<u64> {
        let access = access.into();
        self.go_back(access.session, move |db| {
            let edit = Edit::enter(db, access)?;
            must_be_explicit(&edit.session)?;
            roll_back(edit, now)
        })
    }

    /// Makes a session what it was at a commit, as a new commit; gives its number.
    /// Refused as `SessionGone`, `SessionKey`, `NoCommit`, `Uncommitted` and `OverQuota`
    /// of [`Refused`].
    pub fn revert(&self, access: impl Into<Access>, to: u64, now: Timestamp) -> Receipt<u64> {
        let access = access.into();
        let shared = self.shared();
        self.go_back(access.session, move |db| revert(Edit::enter(db, access)?.within(&shared.quotas), to, now))
    }

    /// Does `work`, and afterwards tells an idle working copy what to mend.
    fn go_back(
        &self,
        key: SessionKey,
        work: impl Fn(&Connection) -> Result<Undone, StoreError> + Send + 'static,
    ) -> Receipt<u64> {
        let shared = self.shared();
        self.writer().enqueue_then(work, move |undone| {
            let Undone { edited, places } = undone?;
            shared.copies.outdate(key, edited.trees, places);
            Ok(edited.commit)
        })
    }
}

pub(super) fn must_be_explicit(session: &Session) -> Result<(), Refused> {
    match session.transaction {
        TransactionMode::Explicit => Ok(()),
        TransactionMode::Job => Err(Refused::NotExplicit),
    }
}

/// Undoes what is not committed. What began with the next commit is gone, what
/// ended with it goes on.
pub(super) fn roll_back(mut edit: Edit<'_>, now: Timestamp) -> Result<Undone, StoreError> {
    let part = params![edit.key(), edit.number()];
    let paths = "SELECT path, kind FROM node WHERE session = ?1 AND since = ?2
                 UNION ALL SELECT path, kind FROM node WHERE session = ?1 AND until > 0 AND until = ?2";
    let places = places(edit.db, paths, part)?;
    let gone = "DELETE FROM chunk WHERE session = ?1 AND since = ?2 RETURNING length, blob";
    let freed = blobs::let_go(edit.db, gone, part)?;
    edit.tip.freed(freed);
    let again = "UPDATE chunk SET until = 0 WHERE session = ?1 AND until > 0 AND until = ?2 RETURNING length, blob";
    let again = blobs::bytes(edit.db, again, part)?;
    edit.tip.not_past(again);
    for (gone, again) in [
        (
            "DELETE FROM node WHERE session = ?1 AND since = ?2",
            "UPDATE node SET until = 0 WHERE session = ?1 AND until > 0 AND until = ?2",
        ),
        (
            "DELETE FROM param WHERE session = ?1 AND until = 0 AND since = ?2",
            "UPDATE param SET until = 0 WHERE session = ?1 AND until > 0 AND until = ?2",
        ),
    ] {
        rows::change(edit.db, gone, part)?;
        rows::change(edit.db, again, part)?;
    }
    edit.tip.usage = edit.session.usage;
    edit.params_changed = edit.session.uncommitted;
    edit.tree_changed = !places.is_empty();
    edit.session.uncommitted = false;
    let trees = edit.step_on();
    Ok(Undone { edited: edit.store(trees, now)?, places })
}

/// Undoes what no session had committed when the server stopped (R23). Says how
/// many had anything.
pub(super) fn roll_back_all(db: &Connection) -> Result<usize, StoreError> {
    let list = "SELECT key, last_used_at FROM session WHERE uncommitted = 1 AND state = 'active'";
    let open = rows::all(db, list, [], |row| Ok((SessionKey(row.get("key")?), rows::moment(row, "last_used_at")?)))?;
    for (key, last_used_at) in &open {
        roll_back(Edit::begin(db, *key)?, *last_used_at)?;
    }
    Ok(open.len())
}

/// What is true and began after the commit ends; what was true then and ended
/// begins again. (`+` keeps SQLite to the few rows that ended, since nearly all
/// began before.)
fn revert(mut edit: Edit<'_>, to: u64, now: Timestamp) -> Result<Undone, StoreError> {
    if edit.session.uncommitted {
        return Err(Refused::Uncommitted.into());
    }
    commits::view_of(&edit.session, Some(to))?;
    let target = commits::by_number(edit.db, edit.session.key, to)?;
    let (to, number) = (rows::stored(to), edit.number());
    let part = params![edit.key(), to];
    let paths = "SELECT path, kind FROM node WHERE session = ?1 AND until = 0 AND since > ?2
                 UNION ALL
                 SELECT path, kind FROM node WHERE session = ?1 AND until > 0 AND until > ?2 AND +since <= ?2";
    let places = places(edit.db, paths, part)?;
    let part = params![edit.key(), to, number];
    let ends = "UPDATE chunk SET until = ?3 WHERE session = ?1 AND until = 0 AND since > ?2 RETURNING length, blob";
    let ends = blobs::bytes(edit.db, ends, part)?;
    edit.tip.past(ends);
    blobs::share(edit.db, "session = ?1 AND until > 0 AND until > ?2 AND +since <= ?2", params![edit.key(), to])?;
    let begins = "INSERT INTO chunk (session, file, idx, until, since, length, hash, blob)
                  SELECT session, file, idx, 0, ?3, length, hash, blob FROM chunk
                  WHERE session = ?1 AND until > 0 AND until > ?2 AND +since <= ?2
                  RETURNING length, blob";
    let begins = blobs::bytes(edit.db, begins, part)?;
    edit.tip.stored(begins);
    for (ends, begins) in [
        (
            "UPDATE node SET until = ?3 WHERE session = ?1 AND until = 0 AND since > ?2",
            "INSERT INTO node (session, path, until, since, file, kind, size_bytes, modified_ns, stamp, target)
             SELECT session, path, 0, ?3, file, kind, size_bytes, modified_ns, stamp, target FROM node
             WHERE session = ?1 AND until > 0 AND until > ?2 AND +since <= ?2",
        ),
        (
            "UPDATE param SET until = ?3 WHERE session = ?1 AND until = 0 AND since > ?2",
            "INSERT INTO param (session, name, until, since, value)
             SELECT session, name, 0, ?3, value FROM param
             WHERE session = ?1 AND until > 0 AND until > ?2 AND +since <= ?2",
        ),
    ] {
        rows::change(edit.db, ends, part)?;
        rows::change(edit.db, begins, part)?;
    }
    edit.tip.usage = target.usage;
    edit.params_changed = true;
    edit.tree_changed = !places.is_empty();
    let trees = edit.step_on();
    edit.commit(By { cause: Cause::Revert, job: None, at: now })?;
    Ok(Undone { edited: edit.store(trees, now)?, places })
}

/// Gives a new session what another holds as of a commit; says what that takes.
pub(super) fn fork(db: &Connection, from: &Session, view: View, to: SessionKey) -> Result<u64, StoreError> {
    let (source, bound) = (from.key.0, view.bound());
    let of = "session = ?1 AND since <= ?2 AND (until = 0 OR until > ?2)";
    blobs::share(db, of, params![source, bound])?;
    let part = params![source, bound, to.0];
    let chunks = "INSERT INTO chunk (session, file, idx, until, since, length, hash, blob)
                  SELECT ?3, file, idx, 0, 0, length, hash, blob FROM chunk
                  WHERE session = ?1 AND since <= ?2 AND (until = 0 OR until > ?2)
                  RETURNING length, blob";
    let stored = blobs::bytes(db, chunks, part)?;
    let nodes = "INSERT INTO node (session, path, until, since, file, kind, size_bytes, modified_ns, stamp, target)
                 SELECT ?3, path, 0, 0, file, kind, size_bytes, modified_ns, stamp, target FROM node
                 WHERE session = ?1 AND since <= ?2 AND (until = 0 OR until > ?2)";
    rows::change(db, nodes, part)?;
    let params = "INSERT INTO param (session, name, until, since, value)
                  SELECT ?3, name, 0, 0, value FROM param
                  WHERE session = ?1 AND since <= ?2 AND (until = 0 OR until > ?2)";
    rows::change(db, params, part)?;
    let numbers = "UPDATE session SET stored_bytes = ?2,
                       next_file = (SELECT next_file FROM session WHERE key = ?3),
                       step = (SELECT step FROM session WHERE key = ?3),
                       tree_version = (SELECT step FROM session WHERE key = ?3)
                   WHERE key = ?1";
    rows::change(db, numbers, params![to.0, rows::stored(stored), source])?;
    Ok(stored)
}

/// Where rows that go and rows that come back lie. Of a directory that stays only
/// the time differs; what lies in it has rows of its own, or is the same.
fn places(db: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Places, StoreError> {
    let mut found: BTreeMap<SessionPath, Vec<EntryKind>> = BTreeMap::new();
    rows::all(db, sql, values, |row| {
        let kind = rows::word_of(row, "kind", &EntryKind::ALL, EntryKind::word)?;
        found.entry(rows::path(row, "path")?).or_default().push(kind);
        Ok(())
    })?;
    let extent = |kinds: Vec<EntryKind>| match kinds[..] {
        [EntryKind::Directory, EntryKind::Directory] => Extent::Pieces(Pieces::default()),
        _ => Extent::Whole,
    };
    Ok(found.into_iter().map(|(path, kinds)| (path, extent(kinds))).collect())
}
