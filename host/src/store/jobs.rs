//! Jobs on record: accepted, claimed, over.
//!
//! Promise: a job ends once. Every write that ends one names the attempt that
//! it ends, and does nothing if that attempt is not the one under way.

use std::io::Write as _;

use rusqlite::Connection;
use rusqlite::ToSql;
use rusqlite::params;

use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::ids::JobId;
use crate::ids::ModuleName;
use crate::ids::SessionId;
use crate::limits::FILE_MEMORY_BYTES;
use crate::model::caller::Owner;
use crate::model::history::ChangeList;
use crate::model::job::Inputs;
use crate::model::job::Job;
use crate::model::job::JobSeq;
use crate::model::job::JobState;
use crate::model::job::NewJob;
use crate::model::job::Printed;
use crate::model::job::Spent;
use crate::model::outcome::Outcome;
use crate::model::rolling_key::KeyName;
use crate::store::Store;
use crate::store::block;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::expiry;
use crate::store::files::Body;
use crate::store::held::Held;
use crate::store::job_ends;
use crate::store::job_ends::Behind;
use crate::store::job_rows;
use crate::store::modules;
use crate::store::page::Page;
use crate::store::page::PageOf;
use crate::store::receipt::Receipt;
use crate::store::rows;
use crate::store::sessions;
use crate::store::sessions::Access;

/// What became of a submission.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted {
    /// As it is now: queued.
    New(Box<Job>),
    /// The same request was accepted before (R2).
    Known(Box<Job>),
    /// A different request was accepted under this id (R2).
    Conflict,
}

/// How a job ended, and what is to be remembered of it.
#[derive(Clone, Debug)]
pub struct Ending {
    pub outcome: Outcome,
    /// The JSON text that the guest handed back.
    pub result: Option<String>,
    /// Of a dry run that ended well.
    pub changes: Option<ChangeList>,
    pub spent: Spent,
    pub ended_at: Timestamp,
    pub stdout: Printed,
    pub stderr: Printed,
}

/// How a job's attempt began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// 1 for the first.
    pub attempt: u32,
    pub session_active: bool,
    pub at: Timestamp,
}

/// Which jobs are wanted; everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub session: Option<SessionId>,
    pub state: Option<JobState>,
    pub module: Option<ModuleName>,
    /// A label's name, and its value if that matters.
    pub label: Option<(String, Option<String>)>,
}

/// One of the two streams that a guest prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Store {
    /// Records a job. Refused as [`Refused::ModuleGone`] and
    /// [`Refused::SessionKey`].
    pub fn accept(&self, job: NewJob) -> Receipt<Accepted> {
        let place = self.job_ids().place(&job.id);
        self.writer().enqueue(move |db| {
            if let Some(known) = known(db, &job.owner, &place, &job.fingerprint)? {
                return Ok(known);
            }
            // From here on the job keeps the module's bytes on disk.
            modules::must_exist(db, &job.owner.tenant, &job.module, job.version)?;
            let handed = next_key(db, &job)?;
            let seq = job_rows::insert(db, &job, &place, handed)?;
            Ok(Accepted::New(Box::new(Job { key_handed: handed, ..job.accepted(seq) })))
        })
    }

    /// What [`Store::accept`] would answer if the owner has a job of that id.
    pub async fn known_job(
        &self,
        owner: &Owner,
        id: &JobId,
        fingerprint: &Digest,
    ) -> Result<Option<Accepted>, StoreError> {
        self.look(|db| known(db, owner, &self.job_ids().place(id), fingerprint))
    }

    /// The owner's job of that id.
    pub async fn job(&self, owner: &Owner, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.look(|db| by_place(db, owner, &self.job_ids().place(id)))
    }

    /// A job by its number.
    pub async fn job_by_seq(&self, seq: JobSeq) -> Result<Option<Job>, StoreError> {
        let find = "SELECT * FROM job WHERE seq = ?1";
        self.look(|db| rows::one(db, find, [seq.0], |row| job_rows::job(db, row)))
    }

    /// The owner's jobs, newest first, each without what it would have changed.
    pub async fn jobs(&self, owner: &Owner, filter: JobFilter, page: PageOf) -> Result<Page<Job>, StoreError> {
        let owner = owner.clone();
        self.read(move |db| {
            let found = list(db, &owner, &filter, &page)?;
            Ok(page.fill(found, |job| job.seq.0.to_string()))
        })
        .await
    }

    /// Begins a job's next attempt, which the receipt gives: 1 for the first.
    /// Refused as [`Refused::NotTheJob`] unless it is queued.
    pub fn claim(&self, seq: JobSeq, session_active: bool, now: Timestamp) -> Receipt<u32> {
        let claim = move |db: &Connection| {
            let find = "SELECT attempt FROM job WHERE seq = ?1 AND state = 'queued'";
            let before = rows::one(db, find, [seq.0], |row| rows::small(row, "attempt"))?;
            let attempt = before.ok_or(Refused::NotTheJob)? + 1;
            let update = "UPDATE job SET state = 'running', attempt = ?2, started_at = ?3, session_active = ?4
                         WHERE seq = ?1";
            rows::change(db, update, params![seq.0, attempt, now.micros(), session_active])?;
            Ok(attempt)
        };
        self.writer().enqueue_step(claim, |claimed| claimed)
    }

    /// Ends a job that changes no session. `attempt` is what [`Store::claim`]
    /// gave; for a job that waits, the attempts it had so far. Refused as
    /// [`Refused::NotTheJob`].
    pub fn end(&self, seq: JobSeq, attempt: u32, ending: Ending) -> Receipt<()> {
        let shared = self.shared();
        let told = self.shared();
        self.writer().enqueue_step(
            move |db| {
                let over = job_ends::end(db, seq, attempt, &ending)?;
                if let Some(session) = over.session {
                    // It changed nothing, and was a use of the session all the same (R20).
                    expiry::used(db, session, ending.ended_at)?;
                }
                shared.collector.job_is_over(db, over.digest)
            },
            move |ended| {
                told.collector.collect(ended?);
                Ok(())
            },
        )
    }

    /// What a job is given that is not over.
    pub async fn inputs(&self, seq: JobSeq) -> Result<Inputs, StoreError> {
        self.read(move |db| job_rows::inputs(db, seq)).await
    }

    /// Puts a job back in the queue whose attempt failed as `failed`: it is run again, not
    /// before that time. Refused as [`Refused::NotTheJob`].
    pub fn put_back(&self, seq: JobSeq, attempt: u32, failed: Outcome, not_before: Timestamp) -> Receipt<()> {
        self.writer().enqueue_step(move |db| job_ends::put_back(db, seq, attempt, &failed, not_before), |put| put)
    }

    /// Records a job that ran before it was on record: acceptance, its one
    /// attempt and its end as one write. For a job outside a session, which
    /// changes nothing that lasts (R26b). `then` is called when it is on record, or
    /// with the reason why it is not, on the writer's thread; or dropped.
    pub fn record(
        &self,
        job: NewJob,
        started_at: Option<Timestamp>,
        ending: Ending,
        then: impl FnOnce(Result<(), &StoreError>) + Send + 'static,
    ) {
        let shared = self.shared();
        let told = self.shared();
        let place = self.job_ids().place(&job.id);
        let recorded = self.writer().enqueue_behind(
            move |db| {
                job_ends::insert(db, &job, &place, Behind { started_at, ending: &ending })?;
                shared.collector.job_is_over(db, job.digest)
            },
            move |ended| {
                then(ended.as_ref().map(|_| ()));
                told.collector.collect(ended?);
                Ok(())
            },
        );
        // Nobody waits for it.
        drop(recorded);
    }

    /// What a job that is over printed, up to its limit, for a client that may read slowly.
    pub async fn printout(&self, seq: JobSeq, stream: Stream) -> Result<Body, StoreError> {
        let bytes = self.printed(seq, stream).await?;
        let memory_bytes_max = usize::try_from(FILE_MEMORY_BYTES).unwrap_or(usize::MAX);
        if bytes.len() <= memory_bytes_max {
            return Ok(Body::Memory(bytes));
        }
        let tmp = self.shared().layout.tmp();
        block(move || {
            let mut held = Held::new(tmp, memory_bytes_max);
            held.write_all(&bytes)
                .and_then(|()| held.into_body())
                .map_err(StoreError::io("keep an output for a client"))
        })
        .await
    }

    /// The same in memory.
    pub async fn printed(&self, seq: JobSeq, stream: Stream) -> Result<Vec<u8>, StoreError> {
        let word = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let find = "SELECT bytes FROM job_output WHERE job = ?1 AND stream = ?2";
        let bytes = self.read(move |db| rows::one(db, find, params![seq.0, word], |row| row.get("bytes")));
        Ok(bytes.await?.unwrap_or_default())
    }
}

fn known(db: &Connection, owner: &Owner, place: &str, fingerprint: &Digest) -> Result<Option<Accepted>, StoreError> {
    let Some(known) = by_place(db, owner, place)? else { return Ok(None) };
    let same = "SELECT 1 FROM job WHERE seq = ?1 AND fingerprint = ?2";
    let same = rows::exists(db, same, params![known.seq.0, fingerprint.as_bytes()])?;
    Ok(Some(if same { Accepted::Known(Box::new(known)) } else { Accepted::Conflict }))
}

/// The session key that a job's acceptance hands out, if its session demands
/// keys. A session that is gone since it was looked up demands none: the job
/// runs outside it (R17).
fn next_key(db: &Connection, job: &NewJob) -> Result<Option<KeyName>, StoreError> {
    let Some(shown) = job.key_shown else { return Ok(None) };
    if sessions::roll_key(db, Access { session: shown.session, key: Some(shown.number) })? {
        return Ok(Some(shown.next()));
    }
    match sessions::active(db, shown.session) {
        Ok(_) => Err(Refused::SessionKey.into()),
        Err(StoreError::Refused(Refused::SessionGone)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn by_place(db: &Connection, owner: &Owner, place: &str) -> Result<Option<Job>, StoreError> {
    let find = "SELECT * FROM job WHERE tenant = ?1 AND principal = ?2 AND place = ?3";
    let key = params![owner.tenant.as_str(), owner.principal.as_str(), place];
    rows::one(db, find, key, |row| job_rows::job(db, row))
}

fn list(db: &Connection, owner: &Owner, filter: &JobFilter, page: &PageOf) -> Result<Vec<Job>, StoreError> {
    let before = page.after_number()?.unwrap_or(i64::MAX);
    let rows_wanted = page.rows();
    let (tenant, principal) = (owner.tenant.as_str(), owner.principal.as_str());
    let session = filter.session.as_ref().map(SessionId::as_str);
    let state = filter.state.map(JobState::word);
    let module = filter.module.as_ref().map(ModuleName::as_str);
    let label = filter.label.as_ref().map(|(name, _)| name.as_str());
    let value = filter.label.as_ref().and_then(|(_, value)| value.as_deref());
    let mut sql = "SELECT * FROM job WHERE tenant = ?1 AND principal = ?2 AND seq < ?3".to_owned();
    let mut values: Vec<&dyn ToSql> = vec![&tenant, &principal, &before];
    for (condition, given) in [
        (" AND session_id = ?", session.as_ref().map(|value| value as &dyn ToSql)),
        (" AND state = ?", state.as_ref().map(|value| value as &dyn ToSql)),
        (" AND module = ?", module.as_ref().map(|value| value as &dyn ToSql)),
    ] {
        if let Some(given) = given {
            sql.push_str(condition);
            values.push(given);
        }
    }
    if label.is_some() {
        sql.push_str(" AND EXISTS (SELECT 1 FROM job_label WHERE job = seq AND name = ?");
        values.push(&label);
        if value.is_some() {
            sql.push_str(" AND value = ?");
            values.push(&value);
        }
        sql.push(')');
    }
    sql.push_str(" ORDER BY seq DESC LIMIT ?");
    values.push(&rows_wanted);
    rows::all(db, &sql, values.as_slice(), |row| job_rows::listed(db, row))
}
