//! What can be wrong with an archive that somebody sent.

use std::io;

use crate::limits::ARCHIVE_EXTRA_BYTES_MAX;
use crate::model::path::BadPath;
use crate::store::error::Refused;
use crate::store::error::StoreError;

/// Why an archive is not taken. Each names the entry, if there is one, and what would
/// be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    #[error("it is compressed with gzip; send it with `Content-Encoding: gzip`")]
    Gzip,
    #[error("it is cut off: a tar ends with blocks of zeros; send all of it")]
    CutOff,
    #[error("the bytes of the entry `{name}` are cut short; send all of the archive")]
    CutShort { name: String },
    #[error("behind its end there is something else; send one archive and no more")]
    Behind,
    #[error("{} cannot be read: {why}; send a tar", place(.after))]
    Unreadable { after: Option<String>, why: String },
    #[error("one of its entries has no name; each needs a relative path, such as `letters/1.html`")]
    NoName,
    #[error("the name of the entry `{name}` is not UTF-8; rename it")]
    NotText { name: String },
    #[error("the name of the entry `{name}` is absolute; names are relative, as `tar -C directory -cf - .` makes them")]
    Absolute { name: String },
    #[error("the name of the entry `{name}` cannot be one in a session: {why}")]
    Name { name: String, why: Box<BadPath> },
    #[error("the entry `{name}` means the session's directory itself, so it must be a directory")]
    Root { name: String },
    #[error("the entry `{name}` is there twice; name each file once")]
    Twice { name: String },
    #[error("the entry `{name}` lies below `{above}`, which is no directory there")]
    Below { name: String, above: String },
    #[error("the entry `{name}` is a hard link, and a session has none; make the archive with `--hard-dereference`")]
    HardLink { name: String },
    #[error("the entry `{name}` is a device or a pipe; a session has files, directories and symbolic links")]
    Device { name: String },
    #[error(
        "the entry `{name}` is a sparse file; make the archive without `--sparse`, and its holes take no room here"
    )]
    Sparse { name: String },
    #[error("the entry `{name}` is of the kind `{kind}`; a session has files, directories and symbolic links")]
    Kind { name: String, kind: String },
    #[error("the entry `{name}` has bytes, and is a directory or a link, which has none")]
    Bytes { name: String },
    #[error("two sizes are given for the entry `{name}`; give one")]
    TwoSizes { name: String },
    #[error("the link `{name}` leads to `{target}`; a link has a target that is relative and stays in the session")]
    Target { name: String, target: String },
    #[error("a header before the entry behind `{}` has more than {ARCHIVE_EXTRA_BYTES_MAX} bytes, or is no list of `name=value`", .after.as_deref().unwrap_or("its beginning"))]
    Extra { after: Option<String> },
    #[error("a header for all entries gives a name, a target or a size; give each entry its own")]
    Global,
}

fn place(after: &Option<String>) -> String {
    match after {
        Some(name) => format!("what comes after the entry `{name}`"),
        None => "its beginning".to_owned(),
    }
}

/// The longest part of a name that a sentence repeats.
const SHOWN_CHARS_MAX: usize = 200;

/// A name for a sentence.
pub(super) fn shown(name: &[u8]) -> String {
    let cut = &name[..name.len().min(4 * SHOWN_CHARS_MAX)];
    String::from_utf8_lossy(cut).chars().take(SHOWN_CHARS_MAX).collect()
}

/// Why reading ended early: it is the archive's fault, or ours.
#[derive(Debug)]
pub(super) enum Unfit {
    Store(StoreError),
    /// Of whatever lies between us and the bytes; see [`Fault`].
    Io(io::Error),
}

/// An error of reading that is not the archive's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("an archive on its way in could not be read")]
    Disk(#[source] io::Error),
    #[error("an archive has more than {limit} bytes")]
    TooLong { limit: u64 },
}

impl Unfit {
    /// As told to the client. What is unreadable comes after an entry, or at the beginning.
    pub(super) fn after(self, last: Option<String>) -> StoreError {
        let error = match self {
            Unfit::Store(StoreError::Refused(Refused::Archive(BadArchive::Extra { .. }))) => {
                return BadArchive::Extra { after: last }.into();
            }
            Unfit::Store(error) => return error,
            Unfit::Io(error) => error,
        };
        // What tar says after that is bytes from where no entry is.
        let why = error.to_string();
        let why = why.split([':', '`']).next().unwrap_or_default().to_owned();
        match error.into_inner().map(|cause| cause.downcast::<Fault>()) {
            Some(Ok(fault)) => match *fault {
                Fault::Disk(error) => StoreError::io("read an upload")(error),
                Fault::TooLong { limit } => Refused::TooLarge { limit }.into(),
            },
            Some(Err(_)) | None => BadArchive::Unreadable { after: last, why: shown(why.as_bytes()) }.into(),
        }
    }
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Unfit::Store(error)
    }
}

impl From<Refused> for Unfit {
    fn from(refused: Refused) -> Self {
        Unfit::Store(refused.into())
    }
}

impl From<BadArchive> for Unfit {
    fn from(bad: BadArchive) -> Self {
        Unfit::Store(bad.into())
    }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Unfit::Io(error)
    }
}
