//! Paths as no honest client or guest would write them, against what the kernel
//! makes of them.
//!
//! Promise: what parses as a path of a session lies beneath it, and what the guard
//! takes a guest's path for is what the kernel does, links included.

use std::fs;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::resolve;
use super::resolve::Last;
use super::resolve::Tree;
use crate::limits::DEPTH_MAX;
use crate::limits::PATH_BYTES_MAX;
use crate::model::path::SessionPath;

/// Enough for a chain and a ring.
const LINKS_MAX: usize = 6;

/// See [`fuzzing`](crate::fuzzing). Lines: a base, a path, and for each link a name
/// and a target.
pub fn paths(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    lines.iter().for_each(|line| check_parsed(line));
    let [base, path, links @ ..] = lines.as_slice() else { return };
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory");
    let root = home.path().join("work");
    let fill = || {
        fs::create_dir_all(root.join("d/e"))?;
        fs::write(root.join("f"), "")?;
        fs::write(home.path().join("outside"), "")
    };
    fill().expect("room for a few entries");
    let dir = Dir::open_ambient_dir(&root, ambient_authority()).expect("it was just made");
    let tree = Tree { dir: &dir, has_links: true };
    for link in links.chunks_exact(2).take(LINKS_MAX) {
        make_link(&tree, &root, link[0], link[1]);
    }
    // Guests see from a directory that they have opened, so from where it really is.
    let base = tree.resolve(None, base, Last::Follow).ok().flatten();
    let base = base.filter(|base| root.join(base.as_str()).is_dir());
    for last in [Last::Follow, Last::Keep] {
        check_resolved(&tree, &root, base.as_ref(), path, last);
    }
}

/// As a guest can.
fn make_link(tree: &Tree<'_>, root: &Path, at: &str, target: &str) {
    let Ok(Some(at)) = tree.resolve(None, at, Last::Keep) else { return };
    if resolve::check_text(target).is_err() || !at.leads_inside(target) {
        return;
    }
    let place = root.join(at.as_str());
    // Where the directory above is a file or a link to nowhere, there can be no link either.
    if let Some(above) = place.parent().filter(|above| fs::create_dir_all(above).is_ok()) {
        let above = above.canonicalize().expect("it is there");
        assert!(above.starts_with(root), "{at} lies in {}", above.display());
        let _ = std::os::unix::fs::symlink(target, place);
    }
}

fn check_resolved(tree: &Tree<'_>, root: &Path, base: Option<&SessionPath>, path: &str, last: Last) {
    let found = tree.resolve(base, path, last);
    let seen = root.join(base.map_or("", SessionPath::as_str)).join(path);
    let Ok(found) = found else { return };
    let place = root.join(found.as_ref().map_or("", SessionPath::as_str));
    if let Some(found) = &found {
        check_clean(found);
    }
    match last {
        Last::Follow => {
            // A path that leads nowhere, or through a file, is told so by the operation itself.
            if let Ok(real) = seen.canonicalize() {
                assert_eq!(place, real, "{path:?} from {base:?}");
            }
        }
        Last::Keep => {
            let above = place.parent().expect("it has a root above it");
            if let Ok(real) = above.canonicalize() {
                assert_eq!(above, real, "{path:?} from {base:?} is changed in another place");
            }
            assert!(
                fs::symlink_metadata(&seen).is_err() || fs::symlink_metadata(&place).is_ok(),
                "{path:?}: {place:?}"
            );
        }
    }
}

/// A path is what it prints, and knows what lies above it.
fn check_parsed(text: &str) {
    let Ok(path) = SessionPath::parse(text) else { return };
    assert_eq!(path.as_str(), text.strip_suffix('/').unwrap_or(text));
    check_clean(&path);
    assert!(resolve::check_text(path.as_str()).is_ok(), "{path:?} is no path for guests");
    let above: Vec<SessionPath> = path.ancestors().collect();
    assert_eq!(above.last(), path.parent().as_ref());
    for above in above {
        assert!(path.is_within(&above) && !above.is_within(&path), "{above} and {path}");
        check_clean(&above);
    }
}

fn check_clean(path: &SessionPath) {
    assert_eq!(SessionPath::parse(path.as_str()).as_ref(), Ok(path));
    assert!(path.is_within(path));
    assert!(path.as_str().len() <= PATH_BYTES_MAX && path.ancestors().count() < DEPTH_MAX);
    // What Rust's own notion of paths says: names and nothing else.
    let names = Path::new(path.as_str()).components();
    assert!(names.clone().all(|name| matches!(name, std::path::Component::Normal(_))), "{path:?}");
    assert_eq!(names.count(), path.as_str().split('/').count());
}
