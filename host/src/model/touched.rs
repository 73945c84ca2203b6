//! What a job touched: where in its directory something may have changed.
//!
//! Promise: what is not named here is as it was. It may name more than changed,
//! never less, and its size is bounded whatever a guest does.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::limits::CHUNK_BYTES;
use crate::limits::TOUCHED_MAX;
use crate::limits::TOUCHED_RANGES_MAX;
use crate::model::path::SessionPath;

/// The places at which something may have changed.
pub type Places = BTreeMap<SessionPath, Extent>;

/// Where a guest may have changed its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// At these paths. None, if the guest changed nothing.
    Places(Places),
    /// In more than [`TOUCHED_MAX`] places, so look everywhere.
    Everywhere,
}

/// How much of what lies at a path may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it, and everything beneath it.
    Whole,
    /// The file is the same, with another size, other times, and other bytes in
    /// these pieces.
    Pieces(Pieces),
}

/// Pieces of a file, of [`CHUNK_BYTES`] each, as ranges that are sorted and do
/// not touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(Vec<Range<u64>>);

impl Touched {
    /// No place so far.
    pub fn nowhere() -> Self {
        Touched::Places(Places::new())
    }

    /// Whether nothing was changed.
    pub fn is_nowhere(&self) -> bool {
        matches!(self, Touched::Places(places) if places.is_empty())
    }

    /// Notes that `path`, or something beneath it, may be changed.
    pub fn note(&mut self, path: &SessionPath) {
        let Touched::Places(places) = self else { return };
        if is_covered(places, path) {
            return;
        }
        places.insert(path.clone(), Extent::Whole);
        self.bound();
    }

    /// Notes that the file at `path` may be changed from byte `from` to before
    /// byte `to`, and in its size and times.
    pub fn note_bytes(&mut self, path: &SessionPath, from: u64, to: u64) {
        let Touched::Places(places) = self else { return };
        if is_covered(places, path) {
            return;
        }
        let place = places.entry(path.clone()).or_insert_with(|| Extent::Pieces(Pieces::default()));
        if let Extent::Pieces(pieces) = place {
            pieces.add_bytes(from, to);
        }
        self.bound();
    }

    /// A guest that makes and removes names in a loop must not fill our memory.
    fn bound(&mut self) {
        if matches!(self, Touched::Places(places) if places.len() > TOUCHED_MAX) {
            *self = Touched::Everywhere;
        }
    }
}

/// Whether all of `path` is among the places.
fn is_covered(places: &Places, path: &SessionPath) -> bool {
    let whole = |path: &SessionPath| places.get(path) == Some(&Extent::Whole);
    whole(path) || path.ancestors().any(|above| whole(&above))
}

impl Extent {
    /// Adds what `other` names.
    pub fn join(&mut self, other: Extent) {
        match (&mut *self, other) {
            (Extent::Pieces(all), Extent::Pieces(more)) => more.0.into_iter().for_each(|range| all.add(range)),
            (Extent::Whole, _) | (Extent::Pieces(_), Extent::Whole) => *self = Extent::Whole,
        }
    }
}

impl Pieces {
    /// Adds the pieces in which the bytes from `from` to before `to` lie.
    pub fn add_bytes(&mut self, from: u64, to: u64) {
        let piece = CHUNK_BYTES as u64;
        if from < to {
            self.add(from / piece..to.div_ceil(piece));
        }
    }

    fn add(&mut self, new: Range<u64>) {
        let first = self.0.partition_point(|range| range.end < new.start);
        let behind = self.0.partition_point(|range| range.start <= new.end);
        let joined = match self.0.get(first..behind) {
            Some([]) | None => new,
            Some(met @ [one, ..]) => {
                let end = met.last().map_or(one.end, |last| last.end);
                one.start.min(new.start)..end.max(new.end)
            }
        };
        self.0.splice(first..behind, [joined]);
        if self.0.len() > TOUCHED_RANGES_MAX {
            self.close_smallest_gap();
        }
    }

    /// Makes two neighbours one, which names pieces that did not change.
    fn close_smallest_gap(&mut self) {
        let gap = |at: &usize| self.0[at + 1].start - self.0[*at].end;
        if let Some(at) = (0..self.0.len() - 1).min_by_key(gap) {
            let end = self.0[at + 1].end;
            self.0[at].end = end;
            self.0.remove(at + 1);
        }
    }

    /// The pieces, in order; those of a file with `count` pieces.
    pub fn below(&self, count: u64) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(move |range| range.start..range.end.min(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SessionPath {
        SessionPath::parse(text).unwrap()
    }

    #[test]
    fn a_touched_path_stands_for_everything_beneath_it() {
        let mut touched = Touched::nowhere();
        assert!(touched.is_nowhere());
        touched.note(&path("a/b"));
        touched.note(&path("a/b/c"));
        touched.note_bytes(&path("a/b/d"), 0, 9);
        assert_eq!(touched, Touched::Places([(path("a/b"), Extent::Whole)].into()));
        touched.note(&path("a/bc"));
        touched.note(&path("a"));
        let Touched::Places(places) = touched else { panic!("everywhere") };
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn more_places_than_we_list_are_everywhere() {
        let mut touched = Touched::nowhere();
        for number in 0..=TOUCHED_MAX {
            touched.note(&path(&format!("f{number}")));
        }
        assert_eq!(touched, Touched::Everywhere);
    }

    #[track_caller]
    fn check_pieces(writes: &[(u64, u64)], expected: &[u64]) {
        let mut touched = Touched::nowhere();
        for (from, to) in writes {
            touched.note_bytes(&path("f"), *from, *to);
        }
        let Touched::Places(places) = touched else { panic!("everywhere") };
        let Some(Extent::Pieces(pieces)) = places.get(&path("f")) else { panic!("no pieces") };
        assert_eq!(pieces.below(1_000).collect::<Vec<_>>(), expected, "{writes:?}");
    }

    #[test]
    fn r26_a_write_touches_the_pieces_that_it_lies_in() {
        let piece = CHUNK_BYTES as u64;
        check_pieces(&[(0, 0)], &[]);
        check_pieces(&[(0, 1)], &[0]);
        check_pieces(&[(piece - 1, piece + 1)], &[0, 1]);
        check_pieces(&[(piece, 2 * piece)], &[1]);
        check_pieces(&[(7 * piece, 7 * piece + 1), (0, 1), (3 * piece, 5 * piece)], &[0, 3, 4, 7]);
        check_pieces(&[(0, 1), (2 * piece, 3 * piece), (piece, 2 * piece), (0, 1)], &[0, 1, 2]);
        check_pieces(&[(2 * piece, 3 * piece), (9 * piece, 10 * piece), (0, 20 * piece)], &Vec::from_iter(0..20));
    }

    #[test]
    fn a_file_that_is_written_everywhere_takes_bounded_memory() {
        let mut pieces = Pieces::default();
        let count = 3 * TOUCHED_RANGES_MAX as u64;
        (0..count).for_each(|number| pieces.add(3 * number..3 * number + 1));
        assert_eq!(pieces.0.len(), TOUCHED_RANGES_MAX);
        let named: Vec<_> = pieces.below(u64::MAX).collect();
        assert!((0..count).all(|number| named.contains(&(3 * number))));
    }

    #[test]
    fn a_file_that_was_replaced_is_touched_as_a_whole() {
        let mut touched = Touched::nowhere();
        touched.note_bytes(&path("f"), 0, 1);
        touched.note(&path("f"));
        touched.note_bytes(&path("f"), 0, 1);
        assert_eq!(touched, Touched::Places([(path("f"), Extent::Whole)].into()));
        let mut extent = Extent::Pieces(Pieces::default());
        extent.join(Extent::Whole);
        assert_eq!(extent, Extent::Whole);
    }
}
