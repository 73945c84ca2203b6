//! Parameters: a session's small named strings, and one job's changes to them.
//!
//! Promise: no set of parameters ever passes the limits on name, value, count
//! and total, whoever writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::PARAM_NAME_BYTES_MAX;
use crate::limits::PARAM_VALUE_BYTES_MAX;
use crate::limits::PARAMS_BYTES_MAX;
use crate::limits::PARAMS_MAX;

/// What a session's parameters are at a commit.
pub type ParamMap = BTreeMap<String, String>;

/// One job's changes: the new value, or `None` for a parameter that is removed.
pub type ParamChanges = BTreeMap<String, Option<String>>;

/// Why a parameter cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParam {
    #[error("a parameter's name has 1 to {PARAM_NAME_BYTES_MAX} bytes, without control characters; `{name}` does not")]
    Name { name: String },
    #[error(
        "the value of `{name}` has {bytes} bytes, and at most {PARAM_VALUE_BYTES_MAX} are allowed; put more into a file"
    )]
    Value { name: String, bytes: usize },
    #[error("a session has at most {PARAMS_MAX} parameters")]
    TooMany,
    #[error("the parameters of a session have at most {PARAMS_BYTES_MAX} bytes together; put more into a file")]
    TooLarge,
}

impl BadParam {
    /// Whether the value itself is fine and only the session has no room for it.
    pub fn is_quota(&self) -> bool {
        match self {
            BadParam::TooMany | BadParam::TooLarge => true,
            BadParam::Name { .. } | BadParam::Value { .. } => false,
        }
    }
}

/// Checks a name by itself.
pub fn check_name(name: &str) -> Result<(), BadParam> {
    let fits = (1..=PARAM_NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(BadParam::Name { name: name.chars().take(64).collect() })
}

/// The parameters as one job sees them: what was committed, and its own
/// changes on top.
#[derive(Clone, Debug)]
pub struct Params {
    base: Arc<ParamMap>,
    changes: ParamChanges,
    count: usize,
    bytes: usize,
}

impl Params {
    /// The committed parameters, unchanged so far.
    pub fn new(base: Arc<ParamMap>) -> Self {
        let bytes = base.iter().map(|(name, value)| name.len() + value.len()).sum();
        let count = base.len();
        Self { base, changes: ParamChanges::new(), count, bytes }
    }

    /// The value that `name` has now.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.changes.get(name) {
            Some(change) => change.as_deref(),
            None => self.base.get(name).map(String::as_str),
        }
    }

    /// The names that have a value now, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }

    /// The names and values of now, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.base.iter().filter(|(name, _)| !self.changes.contains_key(*name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let set = self.changes.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let mut all: Vec<_> = kept.chain(set).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// Gives `name` a value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadParam> {
        check_name(name)?;
        if value.len() > PARAM_VALUE_BYTES_MAX {
            return Err(BadParam::Value { name: name.to_owned(), bytes: value.len() });
        }
        let (count, bytes) = match self.get(name) {
            Some(old) => (self.count, self.bytes - old.len() + value.len()),
            None => (self.count + 1, self.bytes + name.len() + value.len()),
        };
        if count > PARAMS_MAX {
            return Err(BadParam::TooMany);
        }
        if bytes > PARAMS_BYTES_MAX {
            return Err(BadParam::TooLarge);
        }
        (self.count, self.bytes) = (count, bytes);
        self.changes.insert(name.to_owned(), Some(value.to_owned()));
        Ok(())
    }

    /// Takes `name` away; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(old) = self.get(name) else { return false };
        self.bytes -= name.len() + old.len();
        self.count -= 1;
        if self.base.contains_key(name) {
            self.changes.insert(name.to_owned(), None);
        } else {
            self.changes.remove(name);
        }
        true
    }

    /// What was changed since [`Params::new`].
    pub fn into_changes(self) -> ParamChanges {
        self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let base = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Params::new(Arc::new(base))
    }

    #[test]
    fn a_job_reads_its_own_writes_over_what_was_committed() {
        let mut params = params(&[("a", "1"), ("b", "2")]);
        params.set("b", "3").unwrap();
        params.set("c", "4").unwrap();
        assert!(params.remove("a"));
        assert!(!params.remove("a"));
        assert_eq!(params.iter().collect::<Vec<_>>(), [("b", "3"), ("c", "4")]);
        assert!(params.remove("c"));
        let changes: Vec<_> = params.into_changes().into_iter().collect();
        assert_eq!(changes, [("a".to_owned(), None), ("b".to_owned(), Some("3".to_owned()))]);
    }

    #[test]
    fn the_limits_hold_and_a_refused_write_changes_nothing() {
        let mut params = params(&[]);
        assert!(params.set("", "x").is_err());
        assert!(params.set("a\nb", "x").is_err());
        assert!(params.set(&"n".repeat(257), "x").is_err());
        assert!(params.set("big", &"v".repeat(PARAM_VALUE_BYTES_MAX + 1)).is_err());
        for number in 0..PARAMS_MAX {
            params.set(&format!("p{number}"), "").unwrap();
        }
        assert_eq!(params.set("one-more", ""), Err(BadParam::TooMany));
        assert_eq!(params.set("p1", "again"), Ok(()));
        assert_eq!(params.names().len(), PARAMS_MAX);
    }

    #[test]
    fn the_total_is_bounded_and_room_comes_back() {
        let mut params = params(&[]);
        let value = "v".repeat(PARAM_VALUE_BYTES_MAX);
        let fitting = (0..100).take_while(|number| params.set(&format!("p{number}"), &value).is_ok()).count();
        assert_eq!(fitting, 15);
        params.remove("p0");
        assert_eq!(params.set("p99", &value), Ok(()));
    }
}
