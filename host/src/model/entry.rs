//! What lies in a session's directory.

/// What something in a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    Link,
}

impl EntryKind {
    /// All of them.
    pub const ALL: [EntryKind; 3] = [EntryKind::File, EntryKind::Directory, EntryKind::Link];

    /// The word in the API and in the store.
    pub fn word(self) -> &'static str {
        match self {
            EntryKind::File => "file",
            EntryKind::Directory => "directory",
            EntryKind::Link => "link",
        }
    }
}
