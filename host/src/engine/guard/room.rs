//! Room below a directory that is moved: how deep and how long paths may get.

use cap_std::fs::Dir;

use super::refusal::Refusal;
use crate::limits::DEPTH_MAX;
use crate::limits::PATH_BYTES_MAX;
use crate::model::path::SessionPath;

/// Refuses to move a directory to where something in it would lie too deep
/// or have too long a path.
pub(super) fn check_deeper(dir: &Dir, from: &SessionPath, to: &SessionPath) -> Result<(), Refusal> {
    let depth = |path: &SessionPath| path.ancestors().count() + 1;
    let is_deeper = depth(to) > depth(from) || to.as_str().len() > from.as_str().len();
    if !is_deeper {
        return Ok(());
    }
    let moved = dir.open_dir(from.as_str()).map_err(|_| Refusal::Io)?;
    let room = Room { levels: DEPTH_MAX - depth(to), bytes: PATH_BYTES_MAX - to.as_str().len() };
    room.check(&moved)
}

/// How far paths may go on below a directory.
#[derive(Clone, Copy)]
struct Room {
    levels: usize,
    bytes: usize,
}

impl Room {
    fn check(self, dir: &Dir) -> Result<(), Refusal> {
        for entry in dir.entries().map_err(|_| Refusal::Io)? {
            let entry = entry.map_err(|_| Refusal::Io)?;
            let levels = self.levels.checked_sub(1).ok_or(Refusal::NameTooLong)?;
            let name_bytes = entry.file_name().len() + 1;
            let bytes = self.bytes.checked_sub(name_bytes).ok_or(Refusal::NameTooLong)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let below = entry.open_dir().map_err(|_| Refusal::Io)?;
                Room { levels, bytes }.check(&below)?;
            }
        }
        Ok(())
    }
}
