//! Something that is put as the archive of a session.
//!
//! Promise: what is taken lies where a session's files can lie, and is no more than a
//! session may hold; of anything else a client is told what is wrong.

use std::collections::BTreeSet;

use tar::Header;

use crate::feed::Feed;
use crate::limits::SPOOL_MEMORY_BYTES;
use crate::model::entry::EntryKind;
use crate::model::session::SessionLimits;
use crate::store::error::StoreError;
use crate::store::fuzzing::home;
use crate::store::held::Held;
use crate::store::pack::Coding;
use crate::store::unpack;
use crate::store::unpack::Unpacked;
use crate::store::unpack::What;

const MOST: SessionLimits = SessionLimits { bytes: 100_000, files: 50 };

/// See [`fuzzing`](crate::fuzzing). The first byte says what follows: a body as it
/// is, the same with gzip, or a tar whose headers get the right checksums.
pub fn archive(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    match feed.byte() {
        Some(b'z') => check(feed.rest(), Coding::Gzip),
        Some(b'h') => check(&honest(feed.rest()), Coding::Identity),
        Some(_) => check(feed.rest(), Coding::Identity),
        None => {}
    }
}

/// Gives every block a checksum that could be a header, so that damage gets behind it.
fn honest(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    tar.resize(tar.len().next_multiple_of(512), 0);
    for block in tar.chunks_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
    }
    tar.resize(tar.len() + 1_024, 0);
    tar
}

fn check(bytes: &[u8], coding: Coding) {
    let home = home();
    let mut body = Held::new(home.path().to_owned(), SPOOL_MEMORY_BYTES);
    std::io::Write::write_all(&mut body, bytes).expect("a few bytes find room");
    let Unpacked { members, contents } = match unpack::unpack(body, coding, MOST, home.path().to_owned()) {
        Ok(unpacked) => unpacked,
        Err(StoreError::Refused(_)) => return,
        Err(error) => panic!("the archive is at fault, and not the store: {error:?}"),
    };
    assert!(members.len() as u64 <= MOST.files);
    let mut bytes = 0;
    let mut dirs = BTreeSet::new();
    for (path, member) in &members {
        assert!(path.ancestors().all(|above| dirs.contains(&above)), "{path} lies nowhere");
        match &member.what {
            What::Directory => drop(dirs.insert(path.clone())),
            What::Link(target) => assert!(path.leads_inside(target), "{path} leads to {target}"),
            What::File { at, content } => {
                bytes += content.size;
                let size = usize::try_from(content.size).expect("it is less than there was");
                assert!(contents.part(*at, size).is_ok(), "the bytes of {path} are not there");
            }
        }
        assert_eq!(member.what.kind() == EntryKind::Directory, dirs.contains(path));
    }
    assert!(bytes <= MOST.bytes);
}
