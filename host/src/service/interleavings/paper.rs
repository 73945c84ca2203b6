//! A store on a sheet of paper: what is written is there at once and lasts. Each look
//! and each write is one moment, and between any two of them others go on.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::caller::Owner;
use crate::model::expiry::Terms;
use crate::model::history::Retention;
use crate::model::history::TransactionMode;
use crate::model::outcome::Outcome;
use crate::model::session::QueueMode;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::SessionLimits;
use crate::model::session::SessionState;
use crate::model::session::Usage;

/// A job or another write, by the number of who asked for it.
pub(super) type Number = usize;

pub(super) struct Paper {
    sheet: shuttle::sync::Mutex<Sheet>,
}

#[derive(Default)]
struct Sheet {
    /// What was accepted, and how it ended.
    jobs: BTreeMap<Number, Option<Outcome>>,
    sessions: Vec<Kept>,
}

/// A session, and what was committed to it, in that order.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) session: Session,
    pub(super) commits: Vec<Number>,
}

/// The session is not there any more.
#[derive(Debug)]
pub(super) struct Gone;

/// What a job began with.
pub(super) struct Draft {
    session: SessionKey,
    commits: Vec<Number>,
}

impl Paper {
    pub(super) fn new() -> Self {
        Self { sheet: shuttle::sync::Mutex::default() }
    }

    fn sheet(&self) -> shuttle::sync::MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap()
    }

    pub(super) fn accept(&self, job: Number) {
        assert!(self.sheet().jobs.insert(job, None).is_none(), "job {job} was accepted twice");
    }

    /// How a job ended, if it was accepted and if it has.
    pub(super) fn job(&self, job: Number) -> Option<Option<Outcome>> {
        self.sheet().jobs.get(&job).cloned()
    }

    /// The end of a job that changes no session.
    pub(super) fn end(&self, job: Number, outcome: Outcome) {
        self.sheet().end(job, outcome);
    }

    pub(super) fn make(&self, owner: &Owner, id: &SessionId) -> Session {
        let mut sheet = self.sheet();
        assert!(sheet.named(owner, id).is_none(), "{id} was made twice");
        let key = SessionKey(i64::try_from(sheet.sessions.len()).unwrap());
        let session = session(key, owner, id);
        sheet.sessions.push(Kept { session: session.clone(), commits: Vec::new() });
        session
    }

    /// The session that has the id.
    pub(super) fn named(&self, owner: &Owner, id: &SessionId) -> Option<Session> {
        self.sheet().named(owner, id)
    }

    pub(super) fn session(&self, key: SessionKey) -> Option<Session> {
        let session = self.sheet().kept(key).session.clone();
        Some(session).filter(|session| session.state != SessionState::Gone)
    }

    /// `None` if the session is about to go, or has gone.
    pub(super) fn begin(&self, key: SessionKey) -> Option<Draft> {
        let mut sheet = self.sheet();
        let kept = sheet.kept(key);
        let is_there = kept.session.state.takes_requests();
        is_there.then(|| Draft { session: key, commits: kept.commits.clone() })
    }

    /// Keeps what a job or a write did, and with it the job's end; unless the session
    /// has gone.
    pub(super) fn commit(&self, number: Number, draft: Draft, ends: Option<Outcome>) -> Result<(), Gone> {
        let mut sheet = self.sheet();
        let kept = sheet.kept(draft.session);
        if kept.session.state == SessionState::Gone {
            return Err(Gone);
        }
        assert_eq!(kept.commits, draft.commits, "{number} commits to what is not its draft's session any more");
        kept.commits.push(number);
        if let Some(outcome) = ends {
            sheet.end(number, outcome);
        }
        Ok(())
    }

    /// Lets nobody new into the session; `false` if that is so already.
    pub(super) fn mark(&self, key: SessionKey) -> bool {
        let mut sheet = self.sheet();
        let state = &mut sheet.kept(key).session.state;
        let was_there = *state == SessionState::Active;
        if was_there {
            *state = SessionState::Marked;
        }
        was_there
    }

    pub(super) fn remove(&self, key: SessionKey) {
        self.sheet().kept(key).session.state = SessionState::Gone;
    }

    /// All that was ever there.
    pub(super) fn all(&self) -> (BTreeMap<Number, Option<Outcome>>, Vec<Kept>) {
        let sheet = self.sheet();
        (sheet.jobs.clone(), sheet.sessions.clone())
    }
}

impl Sheet {
    fn end(&mut self, job: Number, outcome: Outcome) {
        let ended = self.jobs.insert(job, Some(outcome));
        assert_eq!(ended, Some(None), "job {job} was not accepted, or has ended before");
    }

    fn kept(&mut self, key: SessionKey) -> &mut Kept {
        &mut self.sessions[usize::try_from(key.0).unwrap()]
    }

    fn named(&self, owner: &Owner, id: &SessionId) -> Option<Session> {
        let found = self.sessions.iter().map(|kept| &kept.session);
        let mut found = found.filter(|session| session.state != SessionState::Gone);
        found.find(|session| session.id == *id && session.owner == *owner).cloned()
    }
}

fn session(key: SessionKey, owner: &Owner, id: &SessionId) -> Session {
    let now = Timestamp::from_micros(0);
    Session {
        key,
        id: id.clone(),
        owner: owner.clone(),
        state: SessionState::Active,
        queue: QueueMode::Wait,
        limits: SessionLimits { bytes: 0, files: 0 },
        usage: Usage::default(),
        terms: Terms::default(),
        transaction: TransactionMode::default(),
        uncommitted: false,
        retention: Retention::default(),
        oldest_commit: 0,
        stored_bytes: 0,
        newest_key: None,
        commit: 0,
        created_at: now,
        last_used_at: now,
    }
}
