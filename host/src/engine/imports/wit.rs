//! The job for components: the interfaces of `sessile:job@0.1.0`.

use wasmtime::component::HasSelf;
use wasmtime::component::Linker;

use self::bindings::sessile::job::job;
use self::bindings::sessile::job::session;
use super::JobHost;
use super::host::Denied;
use super::host::Level;
use super::host::Refused;
use crate::engine::state::JobState;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../guest-sdk/wit",
        world: "sessile:job/imports",
        imports: {
            "sessile:job/session.create": async | trappable,
            "sessile:job/session.rename": async | trappable,
            "sessile:job/session.delete": async | trappable,
            "sessile:job/session.commit": async | trappable,
            "sessile:job/session.rollback": async | trappable,
        },
    });
}

/// Adds both interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<JobState>) -> wasmtime::Result<()> {
    session::add_to_linker::<JobState, HasSelf<JobHost>>(linker, JobState::host)?;
    job::add_to_linker::<JobState, HasSelf<JobHost>>(linker, JobState::host)
}

impl From<Refused> for session::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSession => session::Error::NoSession,
            Refused::Exists => session::Error::SessionExists,
            Refused::Busy => session::Error::Busy,
            Refused::NotFound => session::Error::NotFound,
            Refused::Invalid(sentence) => session::Error::Invalid(sentence),
            Refused::Quota(sentence) => session::Error::Quota(sentence),
        }
    }
}

/// A refusal is for the guest; a failure of ours ends the run.
fn told(done: Result<(), Denied>) -> wasmtime::Result<Result<(), session::Error>> {
    match done {
        Ok(()) => Ok(Ok(())),
        Err(Denied::Refused(refused)) => Ok(Err(refused.into())),
        Err(Denied::Failed(error)) => Err(error),
    }
}

impl session::Host for JobHost {
    fn active(&mut self) -> bool {
        self.session().is_some()
    }

    fn id(&mut self) -> Option<String> {
        self.session().map(str::to_owned)
    }

    fn get_param(&mut self, name: String) -> Option<String> {
        self.param(&name).map(str::to_owned)
    }

    fn set_param(&mut self, name: String, value: String) -> Result<(), session::Error> {
        Ok(JobHost::set_param(self, &name, &value)?)
    }

    fn remove_param(&mut self, name: String) -> Result<bool, session::Error> {
        Ok(JobHost::remove_param(self, &name)?)
    }

    fn param_names(&mut self) -> Vec<String> {
        JobHost::param_names(self).into_iter().map(str::to_owned).collect()
    }

    async fn create(&mut self, id: Option<String>) -> wasmtime::Result<Result<String, session::Error>> {
        let created = told(self.create_session(id.as_deref()).await)?;
        Ok(created.map(|()| self.session().unwrap_or_default().to_owned()))
    }

    async fn rename(&mut self, id: String) -> wasmtime::Result<Result<(), session::Error>> {
        told(self.rename_session(&id).await)
    }

    async fn delete(&mut self) -> wasmtime::Result<Result<(), session::Error>> {
        told(self.delete_session().await)
    }

    async fn commit(&mut self) -> wasmtime::Result<Result<(), session::Error>> {
        told(JobHost::commit(self).await)
    }

    async fn rollback(&mut self) -> wasmtime::Result<Result<(), session::Error>> {
        told(self.roll_back().await)
    }
}

impl job::Host for JobHost {
    fn id(&mut self) -> String {
        self.job().to_owned()
    }

    fn module(&mut self) -> String {
        JobHost::module(self).to_owned()
    }

    fn attempt(&mut self) -> u32 {
        JobHost::attempt(self)
    }

    fn remaining_ms(&mut self) -> Option<u64> {
        u64::try_from(self.remaining().as_millis()).ok()
    }

    fn progress(&mut self, fraction: f64, message: String) {
        JobHost::progress(self, fraction, &message);
    }

    fn set_result(&mut self, json: String) -> Result<(), session::Error> {
        Ok(JobHost::set_result(self, &json)?)
    }

    fn log(&mut self, level: job::Level, message: String) {
        let level = match level {
            job::Level::Trace => Level::Trace,
            job::Level::Debug => Level::Debug,
            job::Level::Info => Level::Info,
            job::Level::Warn => Level::Warn,
            job::Level::Error => Level::Error,
        };
        JobHost::log(self, level, &message);
    }
}
