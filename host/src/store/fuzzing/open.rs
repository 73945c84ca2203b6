//! A damaged data directory, looked at and opened.
//!
//! Promise: neither ever panics, and a store that is found sound can be opened,
//! taken up and read to its end, and is sound after that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::feed::Feed;
use crate::limits::PAGE_MAX;
use crate::store::JobFilter;
use crate::store::PageOf;
use crate::store::Recursive;
use crate::store::SessionFilter;
use crate::store::StoreError;
use crate::store::Stream;
use crate::store::check::check;
use crate::store::fuzzing::BASE;
use crate::store::fuzzing::Files;
use crate::store::fuzzing::damage;
use crate::store::fuzzing::home;
use crate::store::fuzzing::now;
use crate::store::fuzzing::open_at;
use crate::store::fuzzing::owner;
use crate::store::fuzzing::runtime;

/// Two hits may hide each other's traces; many only make a ruin.
const HITS_MAX: usize = 6;

/// See [`fuzzing`](crate::fuzzing). The first byte chooses the server that left the
/// directory, each hit begins with one that chooses between bytes and rows.
pub fn store(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let home = home();
    let data = home.path().join("data");
    let mut files = match feed.byte() {
        Some(0) => BASE.killed.clone(),
        Some(_) => BASE.stopped.clone(),
        None => return,
    };
    for _ in 0..HITS_MAX {
        let hit = match feed.byte() {
            Some(0) => damage::bytes(&mut files, &mut feed),
            Some(_) => damage_rows(&mut files, &data, &mut feed),
            None => None,
        };
        if hit.is_none() {
            break;
        }
    }
    write(&files, &data);
    let sound = check(&data).is_ok_and(|report| report.faults.is_empty());
    let opened = take_up_and_read(home.path());
    if sound {
        opened.expect("what is sound can be opened and read");
        let report = check(&data).expect("what was opened can be looked at");
        assert!(report.faults.is_empty(), "sound before it was opened: {:?}", report.faults);
    }
}

fn damage_rows(files: &mut Files, data: &Path, feed: &mut Feed<'_>) -> Option<()> {
    write(files, data);
    let db = damage::open(&data.join("truth.sqlite3"))?;
    let hit = damage::rows(&db, feed);
    // It carries the log over.
    db.close().ok()?;
    *files = super::read(data);
    hit
}

/// Makes the directory what the files say.
fn write(files: &Files, data: &Path) {
    let write = || {
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        for (name, bytes) in files {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap_or(data))?;
            fs::write(&path, bytes)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Ok::<(), std::io::Error>(())
    };
    write().expect("room for a small data directory");
}

/// All that a server asks of its store at the start, and clients ask for later.
fn take_up_and_read(home: &Path) -> Result<(), StoreError> {
    let store = open_at(home)?;
    let all = || PageOf { limit: PAGE_MAX, cursor: None };
    let (owner, tenant) = (owner(), owner().tenant);
    let read = async {
        store.recover(now()).await?;
        store.all_keys().await?;
        store.tenants(all()).await?;
        store.modules(&tenant, all()).await?;
        store.holding(&tenant).await?;
        store.quota_set(&tenant).await?;
        for session in store.sessions(&tenant, SessionFilter { owner: None, state: None }, all()).await?.items {
            store.params(session.key, None).await?;
            store.commits(session.key, all()).await?;
            let (files, _) = store.files(session.key, None, None, Recursive::Yes, all()).await?;
            for file in files.items {
                store.file(session.key, None, file.path).await?;
            }
            drop(store.begin(Some(session.key)).await?);
        }
        let every = JobFilter { session: None, state: None, module: None, label: None };
        for job in store.jobs(&owner, every, all()).await?.items {
            store.printed(job.seq, Stream::Stdout).await?;
        }
        Ok(())
    };
    let read = runtime().block_on(read);
    drop(store);
    match read {
        // A session that is being dropped is no place to look into.
        Err(StoreError::Refused(_)) => Ok(()),
        read => read,
    }
}
