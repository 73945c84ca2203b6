//! An edit: one write to a session, whoever makes it.
//!
//! Comes in: what is to be written, row by row, on the writer's thread.
//! Goes out: a commit with the next number; or, in an explicit transaction, rows
//! of a commit that is still to come.
//!
//! Promise: what is replaced stays on record as what was true before, so a
//! transaction can be undone and an earlier commit can be read, and either costs
//! what changed. An edit that is dropped is undone with its unit of work.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::limits::CHUNK_BYTES;
use crate::limits::HISTORY_BYTES_MIN;
use crate::model::history::Cause;
use crate::model::history::TransactionMode;
use crate::model::params::ParamChanges;
use crate::model::path::SessionPath;
use crate::model::quota::Quota;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::store::blobs;
use crate::store::chunks::Hash;
use crate::store::commits;
use crate::store::error::StoreError;
use crate::store::expiry;
use crate::store::nodes::FileNumber;
use crate::store::nodes::NewNode;
use crate::store::nodes::Node;
use crate::store::quotas;
use crate::store::quotas::Delta;
use crate::store::quotas::Quotas;
use crate::store::rows;
use crate::store::sessions;
use crate::store::sessions::Access;
use crate::store::tip;
use crate::store::tip::Tip;

/// See the room card.
pub(super) struct Edit<'db> {
    pub(super) db: &'db Connection,
    /// As it was before.
    pub(super) session: Session,
    pub(super) tip: Tip,
    pub(super) params_changed: bool,
    pub(super) tree_changed: bool,
    /// What bounds its growth, if anything does.
    quota: Option<Arc<Quota>>,
}

/// What an edit led to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edited {
    /// The number of the last commit.
    pub(super) commit: u64,
    pub(super) step: i64,
    /// The tree version before and after.
    pub(super) trees: (i64, i64),
    pub(super) usage: Usage,
}

/// What made an edit.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'a> {
    pub(super) cause: Cause,
    pub(super) job: Option<&'a JobId>,
    pub(super) at: Timestamp,
}

impl<'db> Edit<'db> {
    /// Begins one of an active session.
    pub(super) fn begin(db: &'db Connection, key: SessionKey) -> Result<Edit<'db>, StoreError> {
        let (session, tip) = tip::active(db, key)?;
        Ok(Edit { db, session, tip, params_changed: false, tree_changed: false, quota: None })
    }

    /// The same for a write from outside, which may have to show a session key.
    pub(super) fn enter(db: &'db Connection, access: Access) -> Result<Edit<'db>, StoreError> {
        sessions::entered(db, access)?;
        Edit::begin(db, access.session)
    }

    /// Demands that its tenant's quota has room for what it adds: otherwise its end is
    /// refused as `OverQuota`.
    pub(super) fn within(self, quotas: &Quotas) -> Edit<'db> {
        Edit { quota: Some(quotas.of(&self.session.owner.tenant)), ..self }
    }

    /// Refuses to go on if anything was written since `step`.
    pub(super) fn must_follow(&self, step: i64) -> Result<(), StoreError> {
        if self.tip.step == step {
            return Ok(());
        }
        // Turns are there so that this cannot be; keeping half of two writes would be worse.
        Err(StoreError::Broken("a session was changed by somebody without a turn".to_owned()))
    }

    /// The number that the rows of this edit bear: that of the next commit.
    pub(super) fn number(&self) -> i64 {
        rows::stored(self.session.commit) + 1
    }

    pub(super) fn key(&self) -> i64 {
        self.session.key.0
    }

    /// Writes parameters that were checked against the limits.
    pub(super) fn params(&mut self, changes: &ParamChanges) -> Result<(), StoreError> {
        changes.iter().try_for_each(|(name, value)| self.param(name, value.as_deref()))
    }

    fn param(&mut self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let key = params![self.key(), name];
        let now = "SELECT value FROM param WHERE session = ?1 AND name = ?2 AND until = 0";
        let now: Option<String> = rows::one(self.db, now, key, |row| row.get("value"))?;
        if now.as_deref() == value {
            return Ok(());
        }
        self.params_changed = true;
        let part = params![self.key(), name, self.number()];
        let end = "UPDATE param SET until = ?3 WHERE session = ?1 AND name = ?2 AND until = 0 AND since < ?3";
        if now.is_some() && rows::change(self.db, end, part)? == 0 {
            // It was written in the same transaction.
            let clear = "DELETE FROM param WHERE session = ?1 AND name = ?2 AND until = 0";
            rows::change(self.db, clear, key)?;
        }
        if let Some(value) = value {
            let set = "INSERT INTO param (session, name, until, since, value) VALUES (?1, ?2, 0, ?3, ?4)";
            rows::change(self.db, set, params![self.key(), name, self.number(), value])?;
        }
        Ok(())
    }

    /// Writes a node, in the place of `old` if something lies there. The same
    /// kind of thing stays the same file, and `content` says whether its bytes
    /// differ. Gives its number and stamp.
    pub(super) fn node(
        &mut self,
        old: Option<&Node>,
        new: &NewNode,
        content: ContentIs,
    ) -> Result<(FileNumber, i64), StoreError> {
        let same = old.filter(|old| old.kind == new.kind);
        if let Some(old) = old {
            if same.is_none() {
                self.cut(old.file, 0)?;
            }
            self.end_node(&old.path)?;
        }
        let file = match same {
            Some(old) => old.file,
            None => {
                self.tip.next_file += 1;
                self.tip.next_file - 1
            }
        };
        let stamp = match (same, content) {
            (Some(old), ContentIs::Same) => old.stamp,
            (Some(_), ContentIs::Different) | (None, _) => self.tip.step + 1,
        };
        self.begin_node(new, file, stamp)?;
        Ok((file, stamp))
    }

    /// Gives a file another path, where nothing lies, and perhaps another time. It
    /// stays the same file with the same pieces.
    pub(super) fn rename(&mut self, from: &Node, to: &NewNode) -> Result<(), StoreError> {
        self.end_node(&from.path)?;
        self.begin_node(to, from.file, from.stamp)
    }

    fn begin_node(&mut self, new: &NewNode, file: FileNumber, stamp: i64) -> Result<(), StoreError> {
        let insert = "INSERT INTO node (session, path, until, since, file, kind, size_bytes, modified_ns, stamp,
                          target)
                      VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let values = params![
            self.key(),
            new.path.as_str(),
            self.number(),
            file,
            new.kind.word(),
            rows::stored(new.size),
            new.modified_ns,
            stamp,
            new.target,
        ];
        rows::change(self.db, insert, values)?;
        self.tree_changed = true;
        Ok(())
    }

    /// Removes a node, and a file's pieces.
    pub(super) fn remove(&mut self, node: &Node) -> Result<(), StoreError> {
        self.cut(node.file, 0)?;
        self.end_node(&node.path)?;
        self.tree_changed = true;
        Ok(())
    }

    fn end_node(&self, path: &SessionPath) -> Result<(), StoreError> {
        let end = "UPDATE node SET until = ?3 WHERE session = ?1 AND path = ?2 AND until = 0 AND since < ?3";
        if rows::change(self.db, end, params![self.key(), path.as_str(), self.number()])? == 0 {
            // It was written in the same transaction.
            let clear = "DELETE FROM node WHERE session = ?1 AND path = ?2 AND until = 0";
            rows::change(self.db, clear, params![self.key(), path.as_str()])?;
        }
        Ok(())
    }

    /// Writes a piece in the place of one.
    pub(super) fn replace_piece(
        &mut self,
        file: FileNumber,
        index: u64,
        hash: &Hash,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.end_pieces(file, index, index)?;
        self.add_piece(file, index, hash, bytes)
    }

    /// Writes a piece where there is none.
    pub(super) fn add_piece(
        &mut self,
        file: FileNumber,
        index: u64,
        hash: &Hash,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        debug_assert!(bytes.len() <= CHUNK_BYTES, "a piece is at most that long");
        let blob = if bytes.iter().all(|byte| *byte == 0) {
            None
        } else {
            rows::change(self.db, "INSERT INTO blob (bytes) VALUES (?1)", [bytes])?;
            self.tip.stored(bytes.len() as u64);
            Some(self.db.last_insert_rowid())
        };
        let insert = "INSERT INTO chunk (session, file, idx, until, since, length, hash, blob)
                      VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)";
        let length = rows::stored(bytes.len() as u64);
        let values = params![self.key(), file, rows::stored(index), self.number(), length, hash, blob];
        rows::change(self.db, insert, values)?;
        Ok(())
    }

    /// Takes away the pieces of a file from one on.
    pub(super) fn cut(&mut self, file: FileNumber, from: u64) -> Result<(), StoreError> {
        self.end_pieces(file, from, u64::MAX)
    }

    fn end_pieces(&mut self, file: FileNumber, from: u64, to: u64) -> Result<(), StoreError> {
        let pieces = params![self.key(), file, rows::stored(from), rows::stored(to), self.number()];
        // The sum first: rows that an update gives back go through a table of their own.
        let ending = "SELECT count(*) AS pieces, coalesce(sum(length) FILTER (WHERE blob IS NOT NULL), 0) AS bytes
                      FROM chunk WHERE session = ?1 AND file = ?2 AND idx BETWEEN ?3 AND ?4 AND until = 0 AND since < ?5";
        let ending =
            rows::one(self.db, ending, pieces, |row| Ok((rows::number(row, "pieces")?, rows::number(row, "bytes")?)))?;
        if let Some((1.., bytes)) = ending {
            self.tip.past(bytes);
            let end = "UPDATE chunk SET until = ?5
                       WHERE session = ?1 AND file = ?2 AND idx BETWEEN ?3 AND ?4 AND until = 0 AND since < ?5";
            rows::change(self.db, end, pieces)?;
        }
        if self.session.uncommitted {
            // What is still there was written in the same transaction.
            let clear = "DELETE FROM chunk
                         WHERE session = ?1 AND file = ?2 AND idx BETWEEN ?3 AND ?4 AND until = 0 AND since = ?5
                         RETURNING length, blob";
            for (blob, bytes) in rows::all(self.db, clear, pieces, blobs::blob)? {
                self.tip.freed(bytes);
                blobs::release(self.db, blob)?;
            }
        }
        Ok(())
    }

    /// Ends the edit: what was written is a commit, or part of the open
    /// transaction. One that wrote nothing is a use of the session and no more.
    pub(super) fn finish(mut self, by: By<'_>) -> Result<Edited, StoreError> {
        let trees = self.step_on();
        if self.params_changed || self.tree_changed {
            match self.session.transaction {
                TransactionMode::Job => self.commit(by)?,
                TransactionMode::Explicit => self.session.uncommitted = true,
            }
        }
        self.store(trees, by.at)
    }

    /// The same, and commits what the transaction holds so far.
    pub(super) fn finish_transaction(mut self, by: By<'_>) -> Result<Edited, StoreError> {
        let trees = self.step_on();
        if self.params_changed || self.tree_changed || self.session.uncommitted {
            self.commit(by)?;
        }
        self.store(trees, by.at)
    }

    /// Counts the edit; gives the tree version before and after it.
    pub(super) fn step_on(&mut self) -> (i64, i64) {
        let before = self.tip.tree_version;
        if self.params_changed || self.tree_changed {
            self.tip.step += 1;
        }
        if self.tree_changed {
            self.tip.tree_version = self.tip.step;
        }
        (before, self.tip.tree_version)
    }

    /// Makes all rows of the next commit true, and lets go of old commits.
    pub(super) fn commit(&mut self, by: By<'_>) -> Result<(), StoreError> {
        self.session.commit += 1;
        self.session.usage = self.tip.usage;
        self.session.uncommitted = false;
        commits::insert(self.db, &self.session, by)?;
        self.keep_to_retention(by.at)
    }

    /// Does nothing but let go of the commits that the session's retention does not
    /// want any more.
    pub(super) fn forget_old(mut self, now: Timestamp) -> Result<(), StoreError> {
        self.keep_to_retention(now)?;
        let (tree_version, used_at) = (self.tip.tree_version, self.session.last_used_at);
        self.store((tree_version, tree_version), used_at).map(|_| ())
    }

    fn keep_to_retention(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let kept = commits::first_kept(self.db, &self.session, now)?;
        self.forget_before(kept)?;
        // What is past may take as much as the session may hold, and no more.
        let most = self.session.limits.bytes.max(HISTORY_BYTES_MIN);
        while self.session.oldest_commit < self.session.commit
            && self.tip.past_bytes + commits::rows_past(self.db, self.session.key)? > most
        {
            self.forget_before(self.session.oldest_commit + 1)?;
        }
        Ok(())
    }

    /// Lets go of the commits before the one with that number.
    fn forget_before(&mut self, kept: u64) -> Result<(), StoreError> {
        if kept <= self.session.oldest_commit {
            return Ok(());
        }
        let bytes = commits::forget_before(self.db, self.session.key, kept)?;
        self.tip.not_past(bytes);
        self.tip.freed(bytes);
        self.session.oldest_commit = kept;
        Ok(())
    }

    /// Puts the session's row in step with all that.
    pub(super) fn store(self, trees: (i64, i64), now: Timestamp) -> Result<Edited, StoreError> {
        let Edit { db, session, tip, quota, .. } = self;
        let stored_bytes = quotas::difference(session.stored_bytes, tip.stored_bytes);
        quotas::count(db, &session.owner.tenant, Delta { stored_bytes, ..Delta::default() }, quota.as_deref())?;
        let update = "UPDATE session SET version = ?2, oldest = ?3, uncommitted = ?4, kept_bytes = ?5, kept_files = ?6,
                          used_bytes = ?7, used_files = ?8, step = ?9, tree_version = ?10, next_file = ?11,
                          stored_bytes = ?12, past_bytes = ?13, history_due_at = ?14,
                          last_used_at = max(last_used_at, ?15)
                      WHERE key = ?1";
        let values = params![
            session.key.0,
            rows::stored(session.commit),
            rows::stored(session.oldest_commit),
            session.uncommitted,
            rows::stored(session.usage.bytes),
            rows::stored(session.usage.files),
            rows::stored(tip.usage.bytes),
            rows::stored(tip.usage.files),
            tip.step,
            tip.tree_version,
            tip.next_file,
            rows::stored(tip.stored_bytes),
            rows::stored(tip.past_bytes),
            commits::due_at(db, &session)?.map(Timestamp::micros),
            now.micros(),
        ];
        rows::change(db, update, values)?;
        expiry::keep_up(db, session.key)?;
        Ok(Edited { commit: session.commit, step: tip.step, trees, usage: tip.usage })
    }
}

/// Whether the bytes of a file are other ones than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentIs {
    Same,
    Different,
}
