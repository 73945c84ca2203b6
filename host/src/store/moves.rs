//! Files that a job moved: the same content under another path.
//!
//! Why: a renamed file would otherwise be written again, with all its pieces. Who
//! renames a directory moves all that lies in it. Found by content, so it does
//! not matter in which steps the job went about it.

use std::collections::HashMap;
use std::collections::HashSet;

use sha2::Digest as _;
use sha2::Sha256;

use crate::model::entry::EntryKind;
use crate::store::changes::Changes;
use crate::store::chunks;
use crate::store::chunks::Hash;
use crate::store::error::StoreError;
use crate::store::nodes::Node;
use crate::store::readers::Looks;

/// Pairs files that are new with files that are gone.
pub(super) fn find(looks: Looks<'_>, changes: &mut Changes) -> Result<(), StoreError> {
    let mut gone = gone(looks, changes)?;
    if gone.is_empty() {
        return Ok(());
    }
    let (mut written, mut moved) = (Vec::new(), Vec::new());
    for new in std::mem::take(&mut changes.written) {
        let is_new = new.old.is_none() && new.node.kind == EntryKind::File;
        let content = content(new.pieces.iter().map(|piece| &piece.hash));
        let from = gone.get_mut(&(new.node.size, content)).filter(|_| is_new).and_then(Vec::pop);
        match from {
            Some(from) => moved.push((from, new.node)),
            None => written.push(new),
        }
    }
    let files: HashSet<_> = moved.iter().map(|(from, _)| from.file).collect();
    changes.removed.retain(|node| !files.contains(&node.file));
    (changes.written, changes.moved) = (written, moved);
    Ok(())
}

/// Files that are gone and as long as one that is new, by their content.
fn gone(looks: Looks<'_>, changes: &Changes) -> Result<HashMap<(u64, Hash), Vec<Node>>, StoreError> {
    let mut gone: HashMap<_, Vec<Node>> = HashMap::new();
    let new = changes.written.iter().filter(|new| new.old.is_none() && new.node.kind == EntryKind::File);
    let sizes: HashSet<u64> = new.map(|new| new.node.size).filter(|size| *size > 0).collect();
    for node in &changes.removed {
        if node.kind == EntryKind::File && sizes.contains(&node.size) {
            let hashes = looks.with(|db| chunks::hashes(db, node.session, node.file))?;
            gone.entry((node.size, content(hashes.iter()))).or_default().push(node.clone());
        }
    }
    Ok(gone)
}

/// One hash for those of all pieces.
fn content<'h>(hashes: impl Iterator<Item = &'h Hash>) -> Hash {
    let mut whole = Sha256::new();
    hashes.for_each(|hash| whole.update(hash));
    whole.finalize().into()
}
