//! How a path finds what it means in the model: name after name, through links,
//! as Linux walks. Out of the session leads nothing.

use std::collections::VecDeque;

use super::model::Errno;
use super::model::Id;
use super::model::Model;
use super::model::Node;
use super::model::ROOT;

/// As many links as Linux follows in one path.
const LINKS_FOLLOWED_MAX: usize = 40;

/// What a link at the end of a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// Where a path leads: a name in a folder, and what has that name.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The folders on the way, the outermost first.
    pub(super) above: Vec<Id>,
    pub(super) name: String,
    pub(super) found: Option<Id>,
    /// False for a folder that was removed while it was open.
    pub(super) parent_is_there: bool,
}

impl Spot {
    pub(super) fn parent(&self) -> Id {
        *self.above.last().expect("a walk begins somewhere")
    }

    /// Whether a link here with that target stays inside, as its text stands.
    pub(super) fn holds(&self, target: &str) -> bool {
        let mut depth = self.above.len() - 1;
        !target.starts_with('/')
            && target.split('/').all(|name| match name {
                ".." => depth.checked_sub(1).map(|less| depth = less).is_some(),
                _ => {
                    depth += 1;
                    true
                }
            })
    }
}

impl Model {
    /// Follows `path` from a folder on; a slash at its beginning means nothing.
    pub(super) fn walk(&self, start: Id, path: &str, last: Last) -> Result<Spot, Errno> {
        let parent_is_there = self.is_in_tree(ROOT, start);
        let mut above = vec![start];
        let mut ahead: VecDeque<String> = names(path);
        let mut links_followed = 0;
        while let Some(name) = ahead.pop_front() {
            let here = *above.last().expect("checked when going up");
            let Node::Folder(entries) = &self.nodes[here] else { return Err("ENOTDIR") };
            if name == ".." {
                above.pop();
                if above.is_empty() {
                    return Err("EPERM");
                }
                continue;
            }
            let found = entries.get(&name).copied();
            let is_last = ahead.is_empty();
            match found.map(|id| &self.nodes[id]) {
                Some(Node::Link(target)) if !is_last || last == Last::Follow => {
                    links_followed += 1;
                    if links_followed > LINKS_FOLLOWED_MAX {
                        return Err("ELOOP");
                    }
                    for name in names(target).into_iter().rev() {
                        ahead.push_front(name);
                    }
                }
                _ if is_last => return Ok(Spot { above, name, found, parent_is_there }),
                _ => above.push(found.ok_or("ENOENT")?),
            }
        }
        // The folder that `..` led to cannot be changed itself; no script of ours asks for it.
        Err("EBUSY")
    }

    fn is_in_tree(&self, top: Id, wanted: Id) -> bool {
        let beneath = |id: &Id| self.is_in_tree(*id, wanted);
        top == wanted || matches!(&self.nodes[top], Node::Folder(entries) if entries.values().any(beneath))
    }
}

fn names(path: &str) -> VecDeque<String> {
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
