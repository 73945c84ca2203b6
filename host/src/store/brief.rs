//! What is done where it is asked for, on a thread that serves others too: work on
//! a working copy that takes less time than handing it to a thread that may block.

use std::os::fd::OwnedFd;

use rusqlite::Connection;

use crate::limits::CHUNK_BYTES;
use crate::model::entry::EntryKind;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::model::session::Usage;
use crate::model::touched::Places;
use crate::model::touched::Touched;
use crate::store::changes;
use crate::store::changes::Changes;
use crate::store::error::StoreError;
use crate::store::nodes;
use crate::store::nodes::View;
use crate::store::readers::Looks;
use crate::store::readers::Readers;
use crate::store::tree;

/// Small files that are read at once.
const FILES_MAX: usize = 4;

/// What a job changed, found here, if all that it touched are a few files of one piece
/// at most, and were no more than that before it: what is a small file now may have been
/// a large one, or a directory full of them, all of which a commit reads from the record.
pub(super) fn changes(
    readers: &Readers,
    (session, usage): (&Session, Usage),
    root: &OwnedFd,
    touched: &Touched,
) -> Result<Option<Changes>, StoreError> {
    let Touched::Places(places) = touched else { return Ok(None) };
    if !are_small(root, places) {
        return Ok(None);
    }
    readers.with(|db| {
        let brief = were_small(db, session.key, places)?;
        let collect = || changes::collect(Looks::InOne(db), session.key, (session.limits, usage), root, places);
        brief.then(collect).transpose()
    })
}

fn are_small(root: &OwnedFd, places: &Places) -> bool {
    let is_small = |path| {
        let size = tree::size_of_file(root, path);
        matches!(size, Ok(Some(size)) if size <= CHUNK_BYTES as u64)
    };
    places.len() <= FILES_MAX && places.keys().all(is_small)
}

fn were_small(db: &Connection, session: SessionKey, places: &Places) -> Result<bool, StoreError> {
    let was_small = |path| -> Result<bool, StoreError> {
        let node = nodes::at(db, session, path, View::Tip)?;
        Ok(node.is_none_or(|node| node.kind == EntryKind::File && node.size <= CHUNK_BYTES as u64))
    };
    places.keys().try_fold(true, |all, path| Ok(all && was_small(path)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;

    use super::*;
    use crate::model::path::SessionPath;
    use crate::store::schema;

    const SESSION: SessionKey = SessionKey(1);

    /// A record with these nodes.
    fn record(home: &std::path::Path, nodes: &[(&str, &str, usize)]) -> Readers {
        let path = home.join("db");
        let db = schema::open_for_writing(&path).unwrap();
        for (n, (path, kind, size)) in nodes.iter().enumerate() {
            let insert = "INSERT INTO node VALUES (?1, ?2, 0, 0, ?3, ?4, ?5, 0, 0, NULL)";
            db.execute(insert, rusqlite::params![SESSION.0, path, n as i64, kind, *size as i64]).unwrap();
        }
        Readers::new(path)
    }

    #[test]
    fn a_few_small_files_that_were_no_more_before_are_brief_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let work = home.path().join("work");
        fs::create_dir_all(work.join("dir")).unwrap();
        for n in 0..=FILES_MAX {
            fs::write(work.join(format!("dir/{n}")), [0; CHUNK_BYTES]).unwrap();
        }
        fs::write(work.join("large"), [0; CHUNK_BYTES + 1]).unwrap();
        ["was-small", "was-large", "was-dir"].iter().for_each(|name| fs::write(work.join(name), "x").unwrap());
        let readers = record(
            home.path(),
            &[("was-small", "file", CHUNK_BYTES), ("was-large", "file", CHUNK_BYTES + 1), ("was-dir", "directory", 0)],
        );
        let root = OwnedFd::from(File::open(&work).unwrap());
        let touched = |paths: &[&str]| {
            let mut touched = Touched::nowhere();
            paths.iter().for_each(|path| touched.note(&SessionPath::parse(path).unwrap()));
            let Touched::Places(places) = touched else { panic!("few places are noted one by one") };
            are_small(&root, &places) && readers.with(|db| were_small(db, SESSION, &places)).unwrap()
        };
        assert!(touched(&["dir/0", "dir/1", "dir/2", "dir/3"]));
        assert!(touched(&["was-small", "dir/0"]));
        assert!(!touched(&["dir/0", "dir/1", "dir/2", "dir/3", "dir/4"]));
        assert!(!touched(&["dir/0", "large"]));
        assert!(!touched(&["dir"]));
        assert!(!touched(&["was/here"]));
        assert!(!touched(&["was-large"]));
        assert!(!touched(&["dir/0", "was-dir"]));
    }
}
