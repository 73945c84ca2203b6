//! Which entry of the session a guest's path means, found out before anything
//! happens to it.
//!
//! Why we may do this ourselves: nobody but the one guest changes its working
//! copy, and it does nothing else while it waits for us. What we find stays
//! true until the operation is done.

use std::collections::VecDeque;
use std::io;

use cap_std::fs::Dir;

use super::refusal::Refusal;
use crate::limits::PATH_BYTES_MAX;
use crate::model::path::BadPath;
use crate::model::path::SessionPath;

/// As many links as Linux follows in one path.
const LINKS_FOLLOWED_MAX: usize = 40;

/// What to do with a link at the end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Last {
    /// The path means what the link points to.
    Follow,
    /// The path means the link.
    Keep,
}

/// The working copy, as far as paths need it.
pub(super) struct Tree<'a> {
    pub(super) dir: &'a Dir,
    /// Without links a path is clear from its text alone.
    pub(super) has_links: bool,
}

impl Tree<'_> {
    /// The entry that `path` means, seen from `base`; `None` for the session's
    /// directory itself. The entry need not exist.
    pub(super) fn resolve(
        &self,
        base: Option<&SessionPath>,
        path: &str,
        last: Last,
    ) -> Result<Option<SessionPath>, Refusal> {
        check_text(path)?;
        let mut above: Vec<String> = components(base.map_or("", SessionPath::as_str)).map(str::to_owned).collect();
        let mut ahead: VecDeque<String> = components(path).map(str::to_owned).collect();
        let mut links_followed = 0;
        while let Some(component) = ahead.pop_front() {
            match component.as_str() {
                "." => continue,
                ".." => {
                    above.pop().ok_or(Refusal::Outside)?;
                    continue;
                }
                _ => above.push(component),
            }
            let at_end = ahead.is_empty();
            if at_end && last == Last::Keep && !path.ends_with('/') {
                break;
            }
            let Some(target) = self.link_at(&above)? else { continue };
            if at_end && last == Last::Keep {
                // A slash after a link that is to be changed itself: Linux refuses it too.
                return Err(Refusal::NotDirectory);
            }
            links_followed += 1;
            if links_followed > LINKS_FOLLOWED_MAX {
                return Err(Refusal::Loop);
            }
            check_text(&target)?;
            above.pop();
            for component in components(&target).rev() {
                ahead.push_front(component.to_owned());
            }
        }
        name_of(&above)
    }

    /// What the link there points to; `None` if there is no link.
    fn link_at(&self, components: &[String]) -> Result<Option<String>, Refusal> {
        if !self.has_links {
            return Ok(None);
        }
        match self.dir.read_link_contents(components.join("/")) {
            Ok(target) => target.into_os_string().into_string().map(Some).map_err(|_| Refusal::BadName),
            Err(error) if is_no_link(&error) => Ok(None),
            Err(_) => Err(Refusal::Io),
        }
    }
}

/// Refuses a text that cannot be a path inside the session.
pub(super) fn check_text(path: &str) -> Result<(), Refusal> {
    if path.is_empty() {
        return Err(Refusal::NoEntry);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Refusal::NameTooLong);
    }
    if path.contains('\0') {
        return Err(Refusal::BadName);
    }
    if path.starts_with('/') {
        return Err(Refusal::Outside);
    }
    Ok(())
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|component| !component.is_empty())
}

fn is_no_link(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    // A path through a file, or to something that is not there: the operation itself will say so.
    matches!(error.kind(), NotFound | InvalidInput | NotADirectory)
}

fn name_of(components: &[String]) -> Result<Option<SessionPath>, Refusal> {
    if components.is_empty() {
        return Ok(None);
    }
    match SessionPath::parse(&components.join("/")) {
        Ok(path) => Ok(Some(path)),
        // NUL was ruled out before, so what is wrong with a name is its length.
        Err(BadPath::Long { .. } | BadPath::Deep { .. } | BadPath::Name) => Err(Refusal::NameTooLong),
        Err(BadPath::Empty | BadPath::Escapes(_)) => Err(Refusal::BadName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    struct Place {
        _temp: tempfile::TempDir,
        dir: Dir,
    }

    fn place() -> Place {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        dir.create_dir_all("a/b").unwrap();
        dir.write("a/file", "").unwrap();
        dir.symlink("a/b", "to_b").unwrap();
        dir.symlink("../file", "a/b/up").unwrap();
        dir.symlink("round", "round").unwrap();
        dir.symlink("../../out", "a/out").unwrap();
        Place { _temp: temp, dir }
    }

    #[track_caller]
    fn check(has_links: bool, base: &str, path: &str, last: Last, expected: Result<&str, Refusal>) {
        let place = place();
        let base = SessionPath::parse(base).ok();
        let tree = Tree { dir: &place.dir, has_links };
        let found = tree.resolve(base.as_ref(), path, last);
        let found = found.map(|path| path.map_or(String::new(), |path| path.to_string()));
        assert_eq!(found, expected.map(str::to_owned), "{path:?} from {base:?}");
    }

    #[test]
    fn without_links_the_text_decides() {
        for last in [Last::Follow, Last::Keep] {
            check(false, "", "a/b", last, Ok("a/b"));
            check(false, "a", "./b//c/", last, Ok("a/b/c"));
            check(false, "a/b", "../x", last, Ok("a/x"));
            check(false, "a", "..", last, Ok(""));
            check(false, "a", "../..", last, Err(Refusal::Outside));
            check(false, "", "/a", last, Err(Refusal::Outside));
            check(false, "", "", last, Err(Refusal::NoEntry));
            check(false, "", "a\0b", last, Err(Refusal::BadName));
            check(false, "", &"x/".repeat(65), last, Err(Refusal::NameTooLong));
            check(false, "", &"x".repeat(256), last, Err(Refusal::NameTooLong));
            check(false, "", &"./".repeat(600), last, Err(Refusal::NameTooLong));
        }
    }

    #[test]
    fn links_on_the_way_are_followed_as_the_kernel_does() {
        check(true, "", "to_b/new", Last::Keep, Ok("a/b/new"));
        check(true, "", "to_b/..", Last::Keep, Ok("a"));
        check(true, "", "to_b/up", Last::Follow, Ok("a/file"));
        check(true, "", "to_b/up", Last::Keep, Ok("a/b/up"));
        check(true, "", "to_b", Last::Keep, Ok("to_b"));
        check(true, "", "to_b/", Last::Follow, Ok("a/b"));
        check(true, "", "to_b/", Last::Keep, Err(Refusal::NotDirectory));
        check(true, "", "round", Last::Follow, Err(Refusal::Loop));
        check(true, "", "a/out", Last::Follow, Err(Refusal::Outside));
        check(true, "", "missing/x/../y", Last::Follow, Ok("missing/y"));
        check(true, "", "a/file/x", Last::Keep, Ok("a/file/x"));
    }
}
