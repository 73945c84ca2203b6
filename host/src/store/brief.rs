//! What is done where it is asked for, on a thread that serves others too: work on
//! a working copy that takes less time than handing it to a thread that may block.

use std::os::fd::OwnedFd;

use crate::limits::CHUNK_BYTES;
use crate::model::touched::Touched;
use crate::store::block;
use crate::store::error::StoreError;
use crate::store::tree;

/// Small files that are read at once.
const FILES_MAX: usize = 4;

/// Does the work here if it is brief, else away from the async threads.
pub(super) async fn here_or_blocking<T, W>(is_brief: bool, work: W) -> Result<T, StoreError>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    if is_brief { work() } else { block(work).await }
}

/// Whether all that a job touched are a few files of one piece at most. What is no
/// file any more may have been a directory full of them.
pub(super) fn is_brief(root: &OwnedFd, touched: &Touched) -> bool {
    let Touched::Places(places) = touched else { return false };
    let is_small = |path| {
        let size = tree::size_of_file(root, path);
        matches!(size, Ok(Some(size)) if size <= CHUNK_BYTES as u64)
    };
    places.len() <= FILES_MAX && places.keys().all(is_small)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;

    use super::*;
    use crate::model::path::SessionPath;

    #[test]
    fn a_few_small_files_are_brief_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("dir")).unwrap();
        for n in 0..=FILES_MAX {
            fs::write(home.path().join(format!("dir/{n}")), [0; CHUNK_BYTES]).unwrap();
        }
        fs::write(home.path().join("large"), [0; CHUNK_BYTES + 1]).unwrap();
        let root = OwnedFd::from(File::open(home.path()).unwrap());
        let touched = |paths: &[&str]| {
            let mut touched = Touched::nowhere();
            paths.iter().for_each(|path| touched.note(&SessionPath::parse(path).unwrap()));
            is_brief(&root, &touched)
        };
        assert!(touched(&["dir/0", "dir/1", "dir/2", "dir/3"]));
        assert!(!touched(&["dir/0", "dir/1", "dir/2", "dir/3", "dir/4"]));
        assert!(!touched(&["dir/0", "large"]));
        assert!(!touched(&["dir"]));
        assert!(!touched(&["was/here"]));
        assert!(!is_brief(&root, &Touched::Everywhere));
    }
}
