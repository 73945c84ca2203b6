//! The journal's rules, on a real directory.

use std::fs;
use std::fs::File;

use super::*;
use crate::limits::DEPTH_MAX;
use crate::limits::OPEN_FILES_MAX;
use crate::model::touched::Extent;

const WRITE: Wants = Wants { create: true, truncate: false };
const READ: Wants = Wants { create: false, truncate: false };

/// A journal over a real directory, with what the guest would do to it.
struct Guest {
    _temp: tempfile::TempDir,
    journal: Journal,
    root: Handle,
}

impl Guest {
    fn new(bytes_max: u64, files_max: u64) -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("d/e")).unwrap();
        fs::write(temp.path().join("d/old"), "12345").unwrap();
        let root = Arc::new(Root::new(File::open(temp.path()).unwrap().into()).unwrap());
        let disk = DiskAllowance { bytes_used: 5, bytes_max, files_used: 3, files_max };
        let mut journal = Journal::new(root, false, disk, OPEN_FILES_MAX);
        let root = journal.open_root();
        Self { _temp: temp, journal, root }
    }

    fn open(&mut self, path: &str, wants: Wants) -> Result<Handle, Refusal> {
        let opening = self.journal.before_open(self.root, path, Last::Follow, wants)?;
        if wants.create {
            self.journal.root.dir().open_with(path, cap_std::fs::OpenOptions::new().create(true).append(true)).unwrap();
        }
        Ok(self.journal.opened(opening))
    }

    fn write(&mut self, path: &str, size: u64, len: u64) -> Result<(), Refusal> {
        let handle = self.open(path, READ)?;
        let growth = self.journal.before_write(handle, size, None, len)?;
        let file = self.journal.root.dir().open_with(path, cap_std::fs::OpenOptions::new().write(true)).unwrap();
        file.set_len(size + len).unwrap();
        self.journal.wrote(growth, len);
        self.journal.close(handle, 0);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        let renaming = self.journal.before_rename(self.root, from, self.root, to)?;
        self.journal.root.dir().rename(from, self.journal.root.dir(), to).unwrap();
        self.journal.renamed(renaming);
        Ok(())
    }

    fn unlink(&mut self, path: &str) {
        let removal = self.journal.before_remove(self.root, path).unwrap();
        self.journal.root.dir().remove_file(path).unwrap();
        self.journal.removed(removal);
    }

    #[track_caller]
    fn check_touched(&self, expected: &[&str]) {
        let Touched::Places(places) = self.journal.touched() else { panic!("everywhere") };
        let paths: Vec<_> = places.keys().map(SessionPath::as_str).collect();
        assert_eq!(paths, expected);
    }

    fn extent(&self, at: &str) -> Extent {
        let Touched::Places(places) = self.journal.touched() else { panic!("everywhere") };
        places[&SessionPath::parse(at).unwrap()].clone()
    }

    #[track_caller]
    fn check_pieces(&self, at: &str, expected: &[u64]) {
        let Extent::Pieces(pieces) = self.extent(at) else { panic!("the whole file") };
        assert_eq!(pieces.below(1_000).collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn check_used(&self, bytes: u64, files: u64) {
        assert_eq!(self.journal.space.used(), (bytes, files));
    }
}

#[test]
fn looking_touches_nothing() {
    let mut guest = Guest::new(100, 10);
    guest.open("d/old", READ).unwrap();
    guest.open("d", READ).unwrap();
    guest.open(".", READ).unwrap();
    guest.check_touched(&[]);
    guest.check_used(5, 3);
}

#[test]
fn growth_is_refused_before_it_happens_and_counted_after() {
    let mut guest = Guest::new(15, 4);
    guest.open("new", WRITE).unwrap();
    assert_eq!(guest.write("new", 0, 11), Err(Refusal::NoSpace));
    guest.write("new", 0, 10).unwrap();
    assert_eq!(guest.write("new", 10, 1), Err(Refusal::NoSpace));
    assert_eq!(guest.write("new", 10, 0), Ok(()));
    guest.check_used(15, 4);
    assert_eq!(guest.open("one-more", WRITE).unwrap_err(), Refusal::NoSpace);
    assert!(guest.journal.before_create_dir(guest.root, "one-more").is_err());
    assert!(guest.journal.before_link("new", guest.root, "one-more").is_err());
    guest.unlink("d/old");
    guest.check_used(10, 3);
    guest.open("one-more", WRITE).unwrap();
}

#[test]
fn writing_inside_a_file_or_far_behind_its_end_is_counted_by_its_length() {
    let mut guest = Guest::new(100, 10);
    let file = guest.open("d/old", READ).unwrap();
    let inside = guest.journal.before_write(file, 5, Some(1), 3).unwrap();
    guest.journal.wrote(inside, 3);
    guest.check_used(5, 3);
    let behind = guest.journal.before_write(file, 5, Some(50), 10).unwrap();
    guest.journal.wrote(behind, 10);
    guest.check_used(60, 3);
    assert_eq!(guest.journal.before_write(file, 60, Some(u64::MAX), 10).unwrap_err(), Refusal::NoSpace);
    assert_eq!(guest.journal.before_write(file, 60, Some(95), 10).unwrap_err(), Refusal::NoSpace);
    guest.journal.resized(60, 7);
    guest.check_used(7, 3);
}

/// R26: what is written later is noted as it is written, piece by piece.
#[test]
fn a_write_in_place_touches_its_pieces_and_no_more() {
    const PIECE: u64 = crate::limits::CHUNK_BYTES as u64;
    let mut guest = Guest::new(100 * PIECE, 10);
    let file = guest.open("d/old", READ).unwrap();
    guest.check_touched(&[]);
    guest.journal.before_write(file, 9 * PIECE, Some(3 * PIECE), 5).unwrap();
    guest.journal.before_write(file, 9 * PIECE, None, 1).unwrap();
    guest.check_pieces("d/old", &[3, 9]);
    // A hole is from the old end on, and what is cut off comes back if the job fails.
    guest.journal.kept();
    guest.journal.before_write(file, PIECE, Some(3 * PIECE), 1).unwrap();
    guest.check_pieces("d/old", &[1, 2, 3]);
    guest.journal.kept();
    guest.journal.before_resize(file, 5 * PIECE, 3 * PIECE + 1).unwrap();
    guest.check_pieces("d/old", &[3, 4]);
    guest.journal.kept();
    guest.journal.before_times(file).unwrap();
    guest.check_pieces("d/old", &[]);
    // Through a rename it is another file at that path, as a whole.
    guest.rename("d/old", "moved").unwrap();
    guest.journal.before_write(file, 9 * PIECE, Some(0), 5).unwrap();
    guest.check_touched(&["d/old", "moved"]);
    assert_eq!(guest.extent("moved"), Extent::Whole);
}

#[test]
fn r23_after_a_rollback_the_notes_begin_anew() {
    let mut guest = Guest::new(100, 10);
    let file = guest.open("new", WRITE).unwrap();
    guest.write("new", 0, 20).unwrap();
    assert!(guest.journal.has_open());
    guest.journal.close(file, 0);
    assert!(!guest.journal.has_open());
    guest.journal.undone(Usage { bytes: 5, files: 3 });
    guest.check_touched(&[]);
    guest.check_used(5, 3);
}

#[test]
fn a_removed_file_counts_until_its_last_way_in_is_closed() {
    let mut guest = Guest::new(100, 10);
    let one = guest.open("d/old", READ).unwrap();
    let two = guest.journal.share(one).unwrap();
    guest.unlink("d/old");
    guest.check_used(5, 3);
    guest.journal.close(one, 5);
    guest.check_used(5, 3);
    assert!(guest.journal.is_last_of_removed(two));
    guest.journal.close(two, 5);
    guest.check_used(0, 2);
}

#[test]
fn a_file_that_is_replaced_is_gone() {
    let mut guest = Guest::new(100, 10);
    guest.open("new", WRITE).unwrap();
    guest.write("new", 0, 20).unwrap();
    guest.rename("new", "d/old").unwrap();
    guest.check_used(20, 3);
    guest.rename("d/old", "d/old").unwrap();
    guest.check_used(20, 3);
}

#[test]
fn what_is_open_follows_the_renames_above_it() {
    let mut guest = Guest::new(100, 10);
    let file = guest.open("d/old", READ).unwrap();
    let dir = guest.open("d/e", READ).unwrap();
    guest.rename("d", "moved").unwrap();
    guest.check_touched(&["d", "moved"]);
    guest.journal.touched = Touched::nowhere();
    guest.journal.before_times(file).unwrap();
    guest.journal.before_create_dir(dir, "sub").unwrap();
    guest.check_touched(&["moved/e/sub", "moved/old"]);
    guest.journal.before_create_dir(dir, "../../top").unwrap();
    assert_eq!(guest.journal.before_create_dir(dir, "../../../out"), Err(Refusal::Outside));
}

#[test]
fn nothing_is_made_in_a_directory_that_is_gone() {
    let mut guest = Guest::new(100, 10);
    let dir = guest.open("d/e", READ).unwrap();
    let removal = guest.journal.before_remove(guest.root, "d/e").unwrap();
    guest.journal.root.dir().remove_dir("d/e").unwrap();
    guest.journal.removed(removal);
    assert_eq!(guest.journal.before_create_dir(dir, "x"), Err(Refusal::NoEntry));
}

#[test]
fn a_move_may_not_bring_anything_too_deep() {
    let mut guest = Guest::new(100, 100);
    let deep = vec!["x"; DEPTH_MAX - 1].join("/");
    guest.journal.root.dir().create_dir_all(&deep).unwrap();
    assert_eq!(guest.rename("d", &format!("{deep}/d")), Err(Refusal::NameTooLong));
    assert_eq!(guest.rename("d/e", &format!("{deep}/e")), Ok(()));
    assert_eq!(guest.rename("d/old", &format!("{deep}/e/old")), Err(Refusal::NameTooLong));
}

#[test]
fn b14_only_links_that_stay_inside_are_made() {
    let mut guest = Guest::new(100, 10);
    assert_eq!(guest.journal.before_link("/etc/passwd", guest.root, "l"), Err(Refusal::Outside));
    assert_eq!(guest.journal.before_link("../x", guest.root, "l"), Err(Refusal::Outside));
    assert_eq!(guest.journal.before_link("../old", guest.root, "d/e/l"), Ok(()));
    assert!(guest.journal.has_links);
    guest.check_touched(&["d/e/l"]);
}

#[test]
fn the_directory_itself_cannot_be_changed() {
    let mut guest = Guest::new(100, 10);
    assert_eq!(guest.journal.before_remove(guest.root, ".").unwrap_err(), Refusal::Root);
    assert_eq!(guest.rename("d/..", "x"), Err(Refusal::Root));
}

#[test]
fn b17_no_more_files_are_open_at_once_than_allowed() {
    let mut guest = Guest::new(100, 10);
    let opened = (0..OPEN_FILES_MAX).take_while(|_| guest.open("d/old", READ).is_ok()).count();
    assert!((900..OPEN_FILES_MAX).contains(&opened), "{opened}");
    assert_eq!(guest.open("d/old", READ), Err(Refusal::TooManyOpen));
}
