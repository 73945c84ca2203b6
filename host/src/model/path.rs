//! Where a file lies inside a session: a clean relative path.
//!
//! Promise: a [`SessionPath`] names something beneath the session's directory
//! and nothing else: no `..`, no absolute path, no empty or dotted component.
//! Names are data otherwise: any UTF-8 but NUL.

use std::fmt;

use crate::limits::DEPTH_MAX;
use crate::limits::PATH_BYTES_MAX;

/// A file, directory or link of a session, relative to its root: `a/b.txt`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionPath(String);

/// Why a text is not a path in a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("a path is needed, such as `letters/1.html`")]
    Empty,
    #[error("`{0}` leads out of the session; a path is relative, without `.` and `..`")]
    Escapes(String),
    #[error("the path has {bytes} bytes, and at most {PATH_BYTES_MAX} are allowed")]
    Long { bytes: usize },
    #[error("the path has {depth} levels, and at most {DEPTH_MAX} are allowed")]
    Deep { depth: usize },
    #[error("a path cannot hold a NUL character, and a name has at most 255 bytes")]
    Name,
}

impl SessionPath {
    /// Reads a path as a client or a guest writes it: one trailing slash is
    /// forgiven.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(BadPath::Long { bytes: text.len() });
        }
        let mut depth = 0;
        for component in text.split('/') {
            depth += 1;
            if matches!(component, "" | "." | "..") {
                return Err(BadPath::Escapes(text.to_owned()));
            }
            if component.contains('\0') || component.len() > 255 {
                return Err(BadPath::Name);
            }
        }
        if depth > DEPTH_MAX {
            return Err(BadPath::Deep { depth });
        }
        Ok(Self(text.to_owned()))
    }

    /// The path with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory this lies in; `None` for an entry of the root.
    pub fn parent(&self) -> Option<SessionPath> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Every directory above this, the outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = SessionPath> + '_ {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].to_owned()))
    }

    /// Whether a link here with that target stays in the session as it stands now.
    /// It may come to point outside when it is moved; nothing of ours follows
    /// links, and for guests WASI stops at the session's edge.
    pub fn leads_inside(&self, target: &str) -> bool {
        let mut depth = self.ancestors().count();
        if target.is_empty() || target.starts_with('/') {
            return false;
        }
        for component in target.split('/') {
            match component {
                "" | "." => {}
                ".." if depth == 0 => return false,
                ".." => depth -= 1,
                _ => depth += 1,
            }
        }
        true
    }

    /// Whether this is `other` or lies beneath it.
    pub fn is_within(&self, other: &SessionPath) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for SessionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let parsed = SessionPath::parse(text).ok();
        assert_eq!(parsed.as_ref().map(SessionPath::as_str), expected, "{text:?}");
    }

    #[test]
    fn a_path_stays_beneath_the_session() {
        check("a", Some("a"));
        check("a/b.txt", Some("a/b.txt"));
        check("a/", Some("a"));
        check("...", Some("..."));
        check("näme with space\n", Some("näme with space\n"));
        check("", None);
        check("/", None);
        check("/etc/passwd", None);
        check("..", None);
        check("a/../b", None);
        check("a/./b", None);
        check("a//b", None);
        check("a\0b", None);
        check(&"x".repeat(256), None);
        check(&"x/".repeat(65), None);
    }

    #[test]
    fn b14_a_link_out_of_the_session_is_seen_as_such() {
        let at = |text| SessionPath::parse(text).unwrap();
        assert!(at("a/b/link").leads_inside("../../x"));
        assert!(!at("a/b/link").leads_inside("../../../x"));
        assert!(!at("link").leads_inside("/etc/passwd"));
        assert!(!at("link").leads_inside("x/../../y"));
        assert!(at("link").leads_inside("x/.././/y"));
        assert!(!at("link").leads_inside(""));
    }

    #[test]
    fn a_path_knows_what_is_above_it() {
        let path = SessionPath::parse("a/b/c").unwrap();
        let above: Vec<_> = path.ancestors().map(|p| p.to_string()).collect();
        assert_eq!(above, ["a", "a/b"]);
        assert!(path.is_within(&SessionPath::parse("a/b").unwrap()));
        assert!(!path.is_within(&SessionPath::parse("a/bb").unwrap()));
        assert!(!SessionPath::parse("a/bc").unwrap().is_within(&SessionPath::parse("a/b").unwrap()));
    }
}
