//! The spool: a file's content on its way in, until it is whole.
//!
//! Promise: a slow or broken upload never takes a turn or the writer; they see
//! only content that is complete. Memory is bounded, and so is the size.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::limits::CHUNK_BYTES;
use crate::limits::FILE_BYTES_MAX;
use crate::limits::SPOOL_MEMORY_BYTES;
use crate::store::Store;
use crate::store::chunks::Content;
use crate::store::chunks::Hasher;
use crate::store::error::Refused;
use crate::store::error::StoreError;
use crate::store::layout;

/// A file's content, whole.
pub struct Spool {
    content: Content,
    held: Held,
}

/// Takes a file's content as it comes: in memory while it is small, beyond that
/// in a file without a name, which is gone when this is dropped.
pub struct SpoolWriter {
    tmp: PathBuf,
    hasher: Hasher,
    written: u64,
    held: Held,
}

enum Held {
    Memory(Vec<u8>),
    File(File),
}

impl Store {
    /// A place for a file's content on its way in.
    pub fn spool(&self) -> SpoolWriter {
        let tmp = self.inner.shared.layout.tmp();
        SpoolWriter { tmp, hasher: Hasher::default(), written: 0, held: Held::Memory(Vec::new()) }
    }
}

impl SpoolWriter {
    /// Adds bytes. Blocks no longer than a write to the page cache does. Refused
    /// as [`Refused::FileTooLarge`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.written += bytes.len() as u64;
        if self.written > FILE_BYTES_MAX {
            return Err(Refused::FileTooLarge { limit: FILE_BYTES_MAX }.into());
        }
        self.hasher.update(bytes);
        let keep = StoreError::io("keep an upload in a temporary file");
        match &mut self.held {
            Held::File(file) => file.write_all(bytes).map_err(keep),
            Held::Memory(held) if held.len() + bytes.len() <= SPOOL_MEMORY_BYTES => {
                held.extend_from_slice(bytes);
                Ok(())
            }
            Held::Memory(held) => {
                let spill = |held: &[u8]| {
                    let mut file = layout::nameless_file(&self.tmp)?;
                    file.write_all(held)?;
                    file.write_all(bytes)?;
                    Ok(file)
                };
                self.held = Held::File(spill(held).map_err(keep)?);
                Ok(())
            }
        }
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
        match self.held {
            Held::Memory(bytes) => Ok(bytes),
            Held::File(file) => {
                let mut bytes = vec![0; usize::try_from(self.content.size).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("read an upload"))?;
                Ok(bytes)
            }
        }
    }

    /// The first piece of it, by which one can tell what it is. Blocks.
    pub fn beginning(&self) -> Result<Cow<'_, [u8]>, StoreError> {
        self.piece(0)
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The piece with that index.
    pub(super) fn piece(&self, index: usize) -> Result<Cow<'_, [u8]>, StoreError> {
        let from = index * CHUNK_BYTES;
        match &self.held {
            Held::Memory(bytes) => {
                let to = bytes.len().min(from + CHUNK_BYTES);
                Ok(Cow::Borrowed(bytes.get(from..to).unwrap_or_default()))
            }
            Held::File(file) => {
                let from = from as u64;
                let length = self.content.size.saturating_sub(from).min(CHUNK_BYTES as u64);
                let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
                file.read_exact_at(&mut piece, from).map_err(StoreError::io("read an upload"))?;
                Ok(Cow::Owned(piece))
            }
        }
    }
}
