//! What a guest may ask and tell about its job, whatever dress it wears.
//!
//! Promise: outside a session nothing of a session is there; and nothing that a
//! guest hands over is kept without a bound.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::json;
use crate::engine::DeskRefusal;
use crate::engine::Live;
use crate::engine::SessionDesk;
use crate::engine::SoFar;
use crate::engine::guard::SharedJournal;
use crate::ids::BadName;
use crate::ids::JobId;
use crate::ids::SessionId;
use crate::limits::LOG_LINE_BYTES_MAX;
use crate::limits::LOG_LINES_MAX;
use crate::limits::PROGRESS_BYTES_MAX;
use crate::limits::RESULT_BYTES_MAX;
use crate::model::job::Progress;
use crate::model::params::BadParam;
use crate::model::params::ParamChanges;
use crate::model::params::Params;

/// Why a call of a guest is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoSession,
    Exists,
    Busy,
    NotFound,
    Invalid(String),
    Quota(String),
}

/// What ends a call that changes a session: a refusal, or a failure of the
/// server's, which ends the run.
#[derive(Debug)]
pub(super) enum Denied {
    Refused(Refused),
    Failed(wasmtime::Error),
}

/// The server could not do what the guest may ask for.
#[derive(Debug, thiserror::Error)]
#[error("the server could not change the session")]
pub(in crate::engine) struct DeskFailed;

/// How much a line matters, in the guest's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// What a guest can learn about its job.
pub(in crate::engine) struct AboutJob {
    pub(in crate::engine) job: JobId,
    pub(in crate::engine) module: String,
    pub(in crate::engine) attempt: u32,
    pub(in crate::engine) session: Option<SessionId>,
    pub(in crate::engine) params: Params,
    pub(in crate::engine) deadline: Instant,
}

/// One run's job, as its guest sees it.
pub(in crate::engine) struct JobHost {
    about: AboutJob,
    result: Option<String>,
    lines_logged: u32,
    live: Arc<Live>,
    desk: Arc<dyn SessionDesk>,
    journal: SharedJournal,
}

impl JobHost {
    pub(in crate::engine) fn new(
        about: AboutJob,
        live: Arc<Live>,
        desk: Arc<dyn SessionDesk>,
        journal: SharedJournal,
    ) -> Self {
        Self { about, result: None, lines_logged: 0, live, desk, journal }
    }

    /// The result and the changes to the parameters.
    pub(in crate::engine) fn into_left(self) -> (Option<String>, ParamChanges) {
        (self.result, self.about.params.into_changes())
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.about.session.as_ref().map(SessionId::as_str)
    }

    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.about.session.as_ref()?;
        self.about.params.get(name)
    }

    pub(super) fn set_param(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        self.in_session()?;
        self.about.params.set(name, value).map_err(Refused::from)
    }

    pub(super) fn remove_param(&mut self, name: &str) -> Result<bool, Refused> {
        self.in_session()?;
        Ok(self.about.params.remove(name))
    }

    pub(super) fn param_names(&self) -> Vec<&str> {
        if self.about.session.is_some() { self.about.params.names() } else { Vec::new() }
    }

    /// Makes a session (R13). Its id is what [`JobHost::session`] says from then on.
    pub(super) async fn create_session(&mut self, id: Option<&str>) -> Result<(), Denied> {
        let id = id.map(parse).transpose()?;
        let session = self.desk.create(id).await?;
        self.moved_to(session);
        Ok(())
    }

    /// Gives the job's session another id (R14, R15).
    pub(super) async fn rename_session(&mut self, to: &str) -> Result<(), Denied> {
        let session = self.desk.rename(parse(to)?).await?;
        self.moved_to(session);
        Ok(())
    }

    /// Deletes the job's session (R14, R18).
    pub(super) async fn delete_session(&mut self) -> Result<(), Denied> {
        let session = self.desk.delete().await?;
        self.moved_to(session);
        Ok(())
    }

    fn moved_to(&mut self, session: Option<SessionId>) {
        if session.is_none() {
            // The parameters were the session's.
            self.about.params = Params::new(Arc::default());
        }
        self.about.session = session;
    }

    /// Commits the session's explicit transaction, with what the job did so far
    /// (R23).
    pub(super) async fn commit(&mut self) -> Result<(), Denied> {
        let so_far = self.so_far()?;
        let stand = self.desk.commit(so_far).await?;
        self.journal.get().kept();
        self.about.params = Params::new(stand.params);
        Ok(())
    }

    /// Undoes it (R23). What lies in the directory is put back, so nothing of it
    /// may be open.
    pub(super) async fn roll_back(&mut self) -> Result<(), Denied> {
        let so_far = self.so_far()?;
        if self.journal.get().has_open() {
            return Err(Denied::Refused(Refused::Busy));
        }
        let stand = self.desk.roll_back(so_far).await?;
        self.journal.get().undone(stand.held);
        self.about.params = Params::new(stand.params);
        Ok(())
    }

    fn so_far(&self) -> Result<SoFar, Denied> {
        self.in_session().map_err(Denied::Refused)?;
        let touched = self.journal.get().touched().clone();
        Ok(SoFar { touched, params: self.about.params.clone().into_changes() })
    }

    pub(super) fn job(&self) -> &str {
        self.about.job.as_str()
    }

    pub(super) fn module(&self) -> &str {
        &self.about.module
    }

    pub(super) fn attempt(&self) -> u32 {
        self.about.attempt
    }

    pub(super) fn remaining(&self) -> Duration {
        self.about.deadline.saturating_duration_since(Instant::now())
    }

    pub(super) fn progress(&self, fraction: f64, message: &str) {
        // What is no number says nothing about how far the job is.
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let message = cut(message, PROGRESS_BYTES_MAX).to_owned();
        self.live.tell(Progress { fraction, message });
    }

    pub(super) fn set_result(&mut self, text: &str) -> Result<(), Refused> {
        if text.len() > RESULT_BYTES_MAX {
            let bytes = text.len();
            let sentence = format!(
                "the result has {bytes} bytes, and at most {RESULT_BYTES_MAX} are allowed; put more into a file"
            );
            return Err(Refused::Quota(sentence));
        }
        json::check(text).map_err(Refused::Invalid)?;
        self.result = Some(text.to_owned());
        Ok(())
    }

    pub(super) fn log(&mut self, level: Level, message: &str) {
        if self.lines_logged >= LOG_LINES_MAX {
            return;
        }
        self.lines_logged += 1;
        // Escaped, so that a guest cannot forge lines of ours or steer a terminal.
        let text = cut(message, LOG_LINE_BYTES_MAX).escape_debug().to_string();
        let job = self.about.job.as_str();
        match level {
            Level::Trace => tracing::trace!(target: "guest", job, "{text}"),
            Level::Debug => tracing::debug!(target: "guest", job, "{text}"),
            Level::Info => tracing::info!(target: "guest", job, "{text}"),
            Level::Warn => tracing::warn!(target: "guest", job, "{text}"),
            Level::Error => tracing::error!(target: "guest", job, "{text}"),
        }
    }

    fn in_session(&self) -> Result<(), Refused> {
        self.about.session.as_ref().map(|_| ()).ok_or(Refused::NoSession)
    }
}

fn parse(id: &str) -> Result<SessionId, Denied> {
    id.parse().map_err(|bad: BadName| Denied::Refused(Refused::Invalid(bad.to_string())))
}

/// The beginning of `text`, cut between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

impl From<BadParam> for Refused {
    fn from(bad: BadParam) -> Self {
        if bad.is_quota() { Refused::Quota(bad.to_string()) } else { Refused::Invalid(bad.to_string()) }
    }
}

impl From<DeskRefusal> for Denied {
    fn from(refusal: DeskRefusal) -> Self {
        Denied::Refused(match refusal {
            DeskRefusal::NoSession => Refused::NoSession,
            DeskRefusal::Exists => Refused::Exists,
            DeskRefusal::NotFound => Refused::NotFound,
            DeskRefusal::Invalid(sentence) => Refused::Invalid(sentence),
            DeskRefusal::Quota(sentence) => Refused::Quota(sentence),
            DeskRefusal::Failed => return Denied::Failed(DeskFailed.into()),
        })
    }
}
