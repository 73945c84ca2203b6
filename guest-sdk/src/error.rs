//! Why the host refused a call.
//!
//! Comes in: a negative number from a core import (see [`abi`](crate::abi)),
//! or the variant `error` of the WIT package.
//!
//! Promise: a guest sees the same errors whichever way it was built. A refused
//! call has changed nothing.
//!
//! Not here: a guest's own mistakes, such as a pointer outside memory. Those
//! end the job with a trap.

use std::fmt;

/// Why the host refused a call. The call has changed nothing.
///
/// ```
/// use sessile_guest::{Error, session};
///
/// // Natively, as here, every job is outside any session.
/// match session::set_param("city", "Zürich") {
///     Err(Error::NoSession) => eprintln!("This job needs a session."),
///     Err(error) => eprintln!("The city was not stored: {error}."),
///     Ok(()) => {}
/// }
/// # assert_eq!(session::set_param("city", "Zürich"), Err(Error::NoSession));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The job is not in a session.
    NoSession,
    /// There is a session of that id already.
    SessionExists,
    /// The session is in use in a way that rules this out now.
    Busy,
    /// There is no such thing.
    NotFound,
    /// What was handed over is not allowed; the sentence says what would be.
    Invalid(String),
    /// A quota would be passed; the sentence says which.
    Quota(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NoSession => "this job is not in a session",
            Error::SessionExists => "there is a session of that id already",
            Error::Busy => "the session is in use",
            Error::NotFound => "there is no such thing",
            Error::Invalid(why) | Error::Quota(why) => why,
        })
    }
}

impl std::error::Error for Error {}

/// What only core modules need: numbers instead of variants.
#[cfg(any(test, all(target_os = "wasi", target_env = "p1")))]
pub(crate) mod codes {
    use super::Error;
    use crate::abi;

    /// What a caller can do about a refusal, since a number brings no sentence.
    #[derive(Clone, Copy)]
    pub(crate) struct Advice {
        pub(crate) invalid: &'static str,
        pub(crate) quota: &'static str,
    }

    /// The answer itself, or the error that a negative one stands for.
    pub(crate) fn checked(answer: i32, advice: Advice) -> Result<usize, Error> {
        Err(match answer {
            abi::ABSENT => Error::NotFound,
            abi::NO_SESSION => Error::NoSession,
            abi::EXISTS => Error::SessionExists,
            abi::BUSY => Error::Busy,
            abi::INVALID => Error::Invalid(advice.invalid.to_owned()),
            abi::QUOTA => Error::Quota(advice.quota.to_owned()),
            // A newer host may know more refusals than this crate.
            unknown if unknown < 0 => Error::Invalid(format!("the host refused this with the unknown code {unknown}")),
            // Not negative, so it fits.
            value => return Ok(value as usize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use super::codes::Advice;
    use super::codes::checked;

    #[track_caller]
    fn check(answer: i32, expected: Result<usize, Error>) {
        let advice = Advice { invalid: "use fewer letters", quota: "remove something" };
        assert_eq!(checked(answer, advice), expected);
    }

    #[test]
    fn each_number_is_one_error_and_brings_its_advice() {
        check(-1, Err(Error::NotFound));
        check(-2, Err(Error::NoSession));
        check(-3, Err(Error::SessionExists));
        check(-4, Err(Error::Busy));
        check(-5, Err(Error::Invalid("use fewer letters".to_owned())));
        check(-6, Err(Error::Quota("remove something".to_owned())));
    }

    #[test]
    fn an_answer_that_is_not_negative_is_a_value() {
        check(0, Ok(0));
        check(i32::MAX, Ok(2_147_483_647));
    }

    #[test]
    fn a_refusal_that_only_a_newer_host_knows_is_still_a_refusal() {
        check(-7, Err(Error::Invalid("the host refused this with the unknown code -7".to_owned())));
    }
}
