//! Turns bytes into numbers and choices, for the inputs of [`fuzzing`](crate::fuzzing).
//!
//! Promise: whatever the bytes are, they mean something, and a small change of
//! them is a small change of what they mean. So who mutates bytes finds meanings.

/// What is left of an input.
pub(crate) struct Feed<'a>(&'a [u8]);

/// At the edges of what numbers can be.
const EDGES: [u64; 12] = [
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x1_FFFF,
    0x2_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    u64::MAX,
];

impl<'a> Feed<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Mostly a small one, in one byte.
    pub(crate) fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            0xF2 => Some(self.little_endian(2)),
            0xF3 => Some(self.little_endian(8)),
            edge @ 0xF4.. => Some(EDGES[usize::from(edge - 0xF4)]),
            small => Some(u64::from(small)),
        }
    }

    /// A number below `count`, which is not 0.
    pub(crate) fn choice(&mut self, count: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().map(|number| number % count)
    }

    /// As many bytes as the next one says, or fewer at the end.
    pub(crate) fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?);
        let (piece, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(piece)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    fn little_endian(&mut self, length: usize) -> u64 {
        let bytes: Vec<u8> = (0..length).map_while(|_| self.byte()).collect();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_mean_numbers_choices_and_pieces() {
        let mut feed = Feed::new(&[7, 0xF2, 1, 2, 0xFF, 9, 2, b'a', b'b', 5, b'c']);
        assert_eq!([feed.number(), feed.number(), feed.number()], [Some(7), Some(0x0201), Some(u64::MAX)]);
        assert_eq!(feed.choice(4), Some(1));
        assert_eq!([feed.piece(), feed.piece(), feed.piece()], [Some(&b"ab"[..]), Some(&b"c"[..]), None]);
        assert_eq!(feed.rest(), b"");
    }
}
