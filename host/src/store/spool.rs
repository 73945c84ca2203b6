//! The spool: a body on its way in, until it is whole.
//!
//! Promise: a slow or broken upload never takes a turn or the writer; they see
//! only content that is complete. Memory is bounded, and so is the size.

use std::borrow::Cow;
use std::io::Write as _;

use crate::limits::CHUNK_BYTES;
use crate::limits::FILE_BYTES_MAX;
use crate::limits::SPOOL_MEMORY_BYTES;
use crate::store::Store;
use crate::store::chunks::Content;
use crate::store::chunks::Hasher;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::held::Held;

/// A file's content, or an archive, whole.
pub struct Spool {
    content: Content,
    held: Held,
}

/// Takes it as it comes: in memory while it is small, beyond that in a file without
/// a name, which is gone when this is dropped.
pub struct SpoolWriter {
    hasher: Hasher,
    bytes_max: u64,
    held: Held,
}

impl Store {
    /// A place for a file's content on its way in.
    pub fn spool(&self) -> SpoolWriter {
        self.spool_up_to(FILE_BYTES_MAX)
    }

    /// The same for something else.
    pub fn spool_up_to(&self, bytes_max: u64) -> SpoolWriter {
        let held = Held::new(self.inner.shared.layout.tmp(), SPOOL_MEMORY_BYTES);
        SpoolWriter { hasher: Hasher::default(), bytes_max, held }
    }
}

impl SpoolWriter {
    /// Adds bytes. Blocks no longer than a write to the page cache does. Refused
    /// as [`Refused::TooLarge`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.held.length() + bytes.len() as u64 > self.bytes_max {
            return Err(Refused::TooLarge { limit: self.bytes_max }.into());
        }
        self.hasher.update(bytes);
        self.held.write_all(bytes).map_err(StoreError::io("keep an upload in a temporary file"))
    }

    /// The content is whole.
    pub fn finish(self) -> Spool {
        Spool { content: self.hasher.finish(), held: self.held }
    }
}

impl Spool {
    /// How long the content is.
    pub fn size_bytes(&self) -> u64 {
        self.content.size
    }

    /// All of it, in memory. Blocks.
    pub fn whole(self) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(self.content.size).unwrap_or(usize::MAX);
        let whole = self.held.part(0, length).map_err(StoreError::io("read an upload"))?;
        Ok(whole.into_owned())
    }

    /// The first piece of it, by which one can tell what it is. Blocks.
    pub fn beginning(&self) -> Result<Cow<'_, [u8]>, StoreError> {
        self.piece(0)
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    pub(super) fn into_held(self) -> Held {
        self.held
    }

    /// The piece with that index.
    pub(super) fn piece(&self, index: usize) -> Result<Cow<'_, [u8]>, StoreError> {
        let from = (index * CHUNK_BYTES) as u64;
        let length = self.content.size.saturating_sub(from).min(CHUNK_BYTES as u64);
        let piece = self.held.part(from, usize::try_from(length).unwrap_or(0));
        piece.map_err(StoreError::io("read an upload"))
    }
}
