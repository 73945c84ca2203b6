//! The session that the job runs in, and its parameters.
//!
//! Comes in: a guest author. Goes out: to the backend of the target.
//!
//! Promise: nothing here waits for another job; the session is this job's
//! alone for as long as it runs.
//!
//! Not here: the session's files. They are the files of the job, below `/`.

use crate::Error;
use crate::backend;

/// Whether the job runs in a session.
///
/// A job that names a session which does not exist runs outside any, so a job
/// that needs a session asks this first.
///
/// ```
/// use sessile_guest::session;
///
/// fn check() -> Result<(), String> {
///     if !session::active() {
///         return Err("This job needs a session: name one when you submit it.".to_owned());
///     }
///     Ok(())
/// }
/// # assert!(check().is_err());
/// ```
pub fn active() -> bool {
    backend::session_active()
}

/// The id of the session, or `None` outside any.
///
/// ```
/// use sessile_guest::session;
///
/// match session::id() {
///     Some(id) => println!("I am in session {id}."),
///     None => println!("I am in no session."),
/// }
/// # assert_eq!(session::id(), None);
/// ```
pub fn id() -> Option<String> {
    backend::session_id()
}

/// The value that a parameter has now: what the last job or client stored, or
/// what this job has set. `None` if there is none, and always outside a session.
///
/// ```
/// use sessile_guest::session;
///
/// let city = session::param("city").unwrap_or_else(|| "Utrecht".to_owned());
/// # assert_eq!(city, "Utrecht");
/// ```
pub fn param(name: &str) -> Option<String> {
    backend::get_param(name)
}

/// Gives a parameter a value, which the next job of the session reads if this
/// one succeeds.
///
/// A name has 1 to 256 bytes and no control characters, a value at most 64 KiB;
/// larger things belong in a file. Refused outside a session.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// let stored = session::set_param("city", "Utrecht");
/// # assert_eq!(stored, Err(Error::NoSession));
/// ```
pub fn set_param(name: &str, value: &str) -> Result<(), Error> {
    backend::set_param(name, value)
}

/// Takes a parameter away; says whether it was there. Refused outside a session.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// match session::remove_param("draft") {
///     Ok(true) => println!("The draft is gone."),
///     Ok(false) => println!("There was no draft."),
///     Err(error) => eprintln!("{error}"),
/// }
/// # assert_eq!(session::remove_param("draft"), Err(Error::NoSession));
/// ```
pub fn remove_param(name: &str) -> Result<bool, Error> {
    backend::remove_param(name)
}

/// The names of all parameters, sorted.
///
/// ```
/// use sessile_guest::session;
///
/// for name in session::param_names() {
///     println!("{name} = {}", session::param(&name).unwrap_or_default());
/// }
/// # assert!(session::param_names().is_empty());
/// ```
pub fn param_names() -> Vec<String> {
    backend::param_names()
}

/// Makes a session and puts this job, which must be outside any, into it.
/// Without an id the host chooses one. Gives the session's id.
///
/// The session exists at once, and what the job wrote before is in it.
///
/// ```
/// use sessile_guest::session;
///
/// match session::create(Some("invoice-2041")) {
///     Ok(id) => println!("Name {id} in your next request."),
///     Err(error) => eprintln!("There is no session: {error}."),
/// }
/// # assert!(session::create(None).is_err());
/// ```
pub fn create(id: Option<&str>) -> Result<String, Error> {
    backend::create(id)
}

/// Gives the session another id. For the job that created the session this
/// takes effect at once, for any other when the job ends well.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// if session::rename("invoice-2041-sent") == Err(Error::SessionExists) {
///     eprintln!("That invoice was sent before.");
/// }
/// # assert_eq!(session::rename("invoice-2041-sent"), Err(Error::NoSession));
/// ```
pub fn rename(id: &str) -> Result<(), Error> {
    backend::rename(id)
}

/// Deletes the session. For the job that created the session this takes effect
/// at once, for any other when the job ends well.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// let deleted = session::delete();
/// # assert_eq!(deleted, Err(Error::NoSession));
/// ```
pub fn delete() -> Result<(), Error> {
    backend::delete()
}

/// Keeps what is uncommitted in a session with explicit transactions, what this
/// job did so far included. It stays however the job ends; and since a job may
/// run again after a crash, its next attempt may find it done already.
///
/// Fails with [`Error::Invalid`] in a session whose transactions are its jobs.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// fn close_the_books() -> Result<(), Error> {
///     session::set_param("closed", "yes")?;
///     session::commit()
/// }
/// # assert_eq!(close_the_books(), Err(Error::NoSession));
/// # assert_eq!(session::commit(), Err(Error::NoSession));
/// ```
pub fn commit() -> Result<(), Error> {
    backend::commit()
}

/// Undoes what is uncommitted in a session with explicit transactions, what this
/// job did so far included: files and parameters are as of the last commit.
///
/// Fails with [`Error::Busy`] while the job has a file or directory open, and
/// with [`Error::Invalid`] in a session whose transactions are its jobs.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// let undone = session::rollback();
/// # assert_eq!(undone, Err(Error::NoSession));
/// ```
pub fn rollback() -> Result<(), Error> {
    backend::rollback()
}
