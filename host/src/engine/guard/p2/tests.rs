//! What a component may make the server hold.

use std::fs::File;
use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::WasiView as _;

use super::*;
use crate::engine::DiskAllowance;
use crate::engine::guard::Guard;
use crate::engine::guard::Journal;
use crate::engine::state::files_in;
use crate::limits::OPEN_FILES_MAX;
use crate::root::Root;

const FILES: usize = 2_000;

/// A component's guard over a directory with [`FILES`] files, and that directory's number.
fn guard(place: &tempfile::TempDir) -> (Guard, u32) {
    for n in 0..FILES {
        std::fs::write(place.path().join(format!("{n}")), "").unwrap();
    }
    let mut wasi = WasiCtxBuilder::new().build_p1();
    let root = Arc::new(Root::new(File::open(place.path()).unwrap().into()).unwrap());
    *wasi.ctx().ctx.filesystem() = files_in(&root).unwrap();
    let disk = DiskAllowance { bytes_used: 0, bytes_max: 0, files_used: FILES as u64, files_max: FILES as u64 };
    let mut guard = Guard::new(wasi, Journal::new(root, false, disk, OPEN_FILES_MAX));
    let root = preopens::Host::get_directories(&mut guard.p2()).unwrap().remove(0).0.rep();
    (guard, root)
}

#[tokio::test]
async fn b08_the_listings_that_a_component_holds_are_bounded_together() {
    let place = tempfile::tempdir().unwrap();
    let (mut guard, root) = guard(&place);
    let mut held = Vec::new();
    let refusal = loop {
        match guard.p2().read_directory(Fd::new_borrow(root)).await {
            Ok(listing) => held.push(listing),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.downcast().unwrap(), ErrorCode::Quota);
    // `.` and `..` count too.
    assert_eq!(held.len(), LISTED_MAX / (FILES + 2));

    let first = held.remove(0);
    HostDirectoryEntryStream::drop(&mut guard.p2(), first).unwrap();
    let again = guard.p2().read_directory(Fd::new_borrow(root)).await.unwrap();
    let mut names = 0;
    while guard.p2().read_directory_entry(Resource::new_borrow(again.rep())).await.unwrap().is_some() {
        names += 1;
    }
    assert_eq!(names, FILES);
}
