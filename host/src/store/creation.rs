//! How sessions come to be: empty, or as a fork of another.
//!
//! Promise: an id is one session of its owner at a time, and a job that makes one
//! finds it again if the server died in between.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::expiry::Life;
use crate::model::expiry::Terms;
use crate::model::history::Cause;
use crate::model::history::Commit;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::job::JobSeq;
use crate::model::params::ParamMap;
use crate::model::params::Params;
use crate::model::rolling_key::KeyNumber;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::session::Usage;
use crate::store::Store;
use crate::store::commits;
use crate::store::edit::By;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::expiry;
use crate::store::nodes::View;
use crate::store::params;
use crate::store::puts;
use crate::store::quotas;
use crate::store::quotas::Delta;
use crate::store::quotas::Quotas;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::sessions::active;
use crate::store::sessions::queue_word;
use crate::store::sessions::session;
use crate::store::tenants;
use crate::store::undo;

/// A session that is to be made.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: SessionId,
    pub owner: Owner,
    pub queue: QueueMode,
    pub limits: SessionLimits,
    pub terms: Terms,
    pub params: ParamMap,
    /// The job that makes it, if one does (R13).
    pub creator: Option<JobSeq>,
    /// Whether it demands session keys (R28).
    pub keyed: bool,
    pub transaction: TransactionMode,
    pub retention: Retention,
    /// The session that it is a fork of, if it is one; `params` come on top.
    pub from: Option<Origin>,
    pub now: Timestamp,
}

/// What a fork is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub session: SessionKey,
    /// The last one without a number.
    pub commit: Option<u64>,
}

/// What became of the wish for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    New(Session),
    /// The same job made it in an attempt that was cut short, and nothing has
    /// changed it since.
    Again(Session),
    /// The owner has one of that id, perhaps one that is being dropped.
    Exists,
}

impl Store {
    /// Makes a session. Refused as `NoTenant`, `Param` and `OverQuota` of [`Refused`]; a
    /// fork also as `SessionGone`, `NoCommit`, `SessionBytes` and `SessionFiles`.
    pub fn create_session(&self, new: NewSession) -> Receipt<Created> {
        let shared = self.shared();
        self.writer().enqueue(move |db| create(db, &shared.quotas, &new))
    }
}

fn create(db: &Connection, quotas: &Quotas, new: &NewSession) -> Result<Created, StoreError> {
    tenants::must_exist(db, &new.owner.tenant)?;
    let origin = new.from.map(|from| origin(db, from)).transpose()?;
    let base = match &origin {
        Some((from, view, _)) => params::load(db, from.key, *view)?,
        None => ParamMap::new(),
    };
    let mut checked = Params::new(Arc::new(base));
    for (name, value) in &new.params {
        checked.set(name, value).map_err(Refused::from)?;
    }
    let usage = origin.as_ref().map(|(_, _, commit)| commit.usage).unwrap_or_default();
    puts::must_fit(new.limits, Usage::default(), usage)?;
    let Some(session) = insert(db, new, usage)? else { return made_before(db, new) };
    let (cause, stored) = match &origin {
        Some((from, view, _)) => (Cause::Forked, undo::fork(db, from, *view, session.key)?),
        None => (Cause::Created, 0),
    };
    let delta = Delta { sessions: 1, stored_bytes: rows::stored(stored), ..Delta::default() };
    quotas::count(db, &new.owner.tenant, delta, Some(&quotas.of(&new.owner.tenant)))?;
    params::begin(db, session.key, &checked.into_changes())?;
    commits::insert(db, &session, By { cause, job: None, at: new.now })?;
    Ok(Created::New(active(db, session.key)?))
}

/// What a fork is made of, if it is kept.
fn origin(db: &Connection, from: Origin) -> Result<(Session, View, Commit), StoreError> {
    let session = active(db, from.session)?;
    let view = commits::view_of(&session, from.commit)?;
    let commit = commits::by_number(db, session.key, from.commit.unwrap_or(session.commit))?;
    Ok((session, view, commit))
}

/// The row of a new session; `None` if its owner has one of that id.
fn insert(db: &Connection, new: &NewSession, usage: Usage) -> Result<Option<Session>, StoreError> {
    let life = Life { created_at: new.now, last_used_at: new.now };
    let insert = "INSERT INTO session (tenant, principal, id, state, queue, mode, limit_bytes, limit_files,
                      kept_bytes, kept_files, used_bytes, used_files, version, oldest, uncommitted, step,
                      tree_version, next_file, stored_bytes, past_bytes, history_commits, history_age_us, created_at,
                      last_used_at, idle_timeout_us, lifetime_us, expires_at, creator, key_number)
                  VALUES (?1, ?2, ?3, 'active', ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?9, 0, 0, 0, 0, 0, 1, 0, 0, ?10, ?11,
                      ?12, ?12, ?13, ?14, ?15, ?16, ?17)
                  ON CONFLICT (tenant, principal, id) DO NOTHING RETURNING *";
    let values = params![
        new.owner.tenant.as_str(),
        new.owner.principal.as_str(),
        new.id.as_str(),
        queue_word(new.queue),
        new.transaction.word(),
        rows::stored(new.limits.bytes),
        rows::stored(new.limits.files),
        rows::stored(usage.bytes),
        rows::stored(usage.files),
        new.retention.commits,
        expiry::stored(new.retention.age),
        new.now.micros(),
        expiry::stored(new.terms.idle_timeout),
        expiry::stored(new.terms.lifetime),
        new.terms.expires_at(life).map(Timestamp::micros),
        new.creator.map(|job| job.0),
        new.keyed.then(|| rows::stored(KeyNumber::FIRST.0)),
    ];
    rows::one(db, insert, values, session)
}

/// Whether the session that is there was made by the same job, whose attempt the
/// server's death cut short.
fn made_before(db: &Connection, new: &NewSession) -> Result<Created, StoreError> {
    let find = "SELECT * FROM session WHERE tenant = ?1 AND principal = ?2 AND id = ?3
                AND creator = ?4 AND step = 0 AND state = 'active'";
    let owner = &new.owner;
    let creator = new.creator.map(|job| job.0);
    let values = params![owner.tenant.as_str(), owner.principal.as_str(), new.id.as_str(), creator];
    Ok(rows::one(db, find, values, session)?.map_or(Created::Exists, Created::Again))
}
