//! The guard for components: `wasi:filesystem` of WASI 0.2.
//!
//! Linked instead of wasmtime-wasi's own. Functions that change nothing are
//! handed on as they come.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use wasmtime::component::HasData;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::DynInputStream;
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::filesystem::types::HostDescriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::HostDirectoryEntryStream;

use super::SharedJournal;
use super::journal::Handle;
use super::journal::Wants;
use super::p2_stream::HeldFile;
use super::p2_stream::Reader;
use super::p2_stream::Writer;
use super::refusal::Refusal;
use super::resolve::Last;
use crate::limits::LISTED_MAX;

type Fd = Resource<Descriptor>;

/// What the guest has in WASI's table, by its number there.
#[derive(Default)]
pub(super) struct P2Handles {
    /// What each descriptor stands for in the journal. Others are refused unasked.
    files: HashMap<u32, Handle>,
    /// How many entries each listing of a directory holds.
    listings: HashMap<u32, usize>,
}

/// The linker's name for the guarded file system.
pub(in crate::engine) struct GuardedFilesystem;

impl HasData for GuardedFilesystem {
    type Data<'a> = P2Guard<'a>;
}

/// See the room card. Made for each call.
pub(in crate::engine) struct P2Guard<'a> {
    fs: WasiFilesystemCtxView<'a>,
    handles: &'a mut P2Handles,
    journal: SharedJournal,
}

impl<'a> P2Guard<'a> {
    pub(super) fn new(wasi: &'a mut WasiP1Ctx, handles: &'a mut P2Handles, journal: SharedJournal) -> Self {
        Self { fs: wasi.filesystem(), handles, journal }
    }

    fn handle(&self, fd: &Fd) -> Result<Handle, Refusal> {
        self.handles.files.get(&fd.rep()).copied().ok_or(Refusal::BadDescriptor)
    }

    /// The open file behind `fd`, which is not a directory.
    fn file(&self, fd: &Fd) -> FsResult<Arc<File>> {
        match self.fs.table.get(fd)? {
            Descriptor::File(file) => Ok(file.file.clone()),
            Descriptor::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn held_file(&self, fd: &Fd) -> FsResult<HeldFile> {
        let file = self.file(fd)?;
        let handle = self.handle(fd)?;
        let handle = self.journal.get().share(handle)?;
        Ok(HeldFile::new(file, self.journal.clone(), handle))
    }

    fn size(&self, fd: &Fd) -> FsResult<u64> {
        Ok(self.file(fd)?.metadata()?.len())
    }
}

fn last(flags: types::PathFlags) -> Last {
    if flags.contains(types::PathFlags::SYMLINK_FOLLOW) { Last::Follow } else { Last::Keep }
}

/// How many entries a directory has, if that is no more than there is room for.
fn count_entries(descriptor: &Descriptor, room: usize) -> FsResult<usize> {
    let Descriptor::Dir(dir) = descriptor else { return Err(ErrorCode::NotDirectory.into()) };
    let mut entries = 0;
    // Another handle: the guest's own may be one that cannot be read.
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = rustix::fs::openat(&dir.dir, ".", flags, Mode::empty()).and_then(rustix::fs::Dir::new);
    for entry in listed.map_err(std::io::Error::from)? {
        entry.map_err(std::io::Error::from)?;
        entries += 1;
        if entries > room {
            return Err(Refusal::TooManyOpen.into());
        }
    }
    Ok(entries)
}

impl preopens::Host for P2Guard<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let directories = preopens::Host::get_directories(&mut self.fs)?;
        self.journal.get().root.note_use();
        for (fd, _) in &directories {
            self.handles.files.insert(fd.rep(), self.journal.get().open_root());
        }
        Ok(directories)
    }
}

impl types::Host for P2Guard<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        types::Host::convert_error_code(&mut self.fs, error)
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.fs, error)
    }
}

/// Hands a function on as it is.
macro_rules! hand_on {
    ($(async fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {$(
        async fn $name(&mut self, $($arg: $ty),*) -> $ret {
            HostDescriptor::$name(&mut self.fs, $($arg),*).await
        }
    )*};
}

impl HostDescriptor for P2Guard<'_> {
    hand_on! {
        async fn advise(fd: Fd, offset: types::Filesize, len: types::Filesize, advice: types::Advice) -> FsResult<()>;
        async fn sync_data(fd: Fd) -> FsResult<()>;
        async fn get_flags(fd: Fd) -> FsResult<types::DescriptorFlags>;
        async fn get_type(fd: Fd) -> FsResult<types::DescriptorType>;
        async fn read(fd: Fd, len: types::Filesize, offset: types::Filesize) -> FsResult<(Vec<u8>, bool)>;
        async fn sync(fd: Fd) -> FsResult<()>;
        async fn stat(fd: Fd) -> FsResult<types::DescriptorStat>;
        async fn stat_at(fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::DescriptorStat>;
        async fn readlink_at(fd: Fd, path: String) -> FsResult<String>;
        async fn is_same_object(one: Fd, other: Fd) -> wasmtime::Result<bool>;
        async fn metadata_hash(fd: Fd) -> FsResult<types::MetadataHashValue>;
        async fn metadata_hash_at(fd: Fd, flags: types::PathFlags, path: String) -> FsResult<types::MetadataHashValue>;
    }

    /// A listing holds the names of its directory in the server's memory until the guest lets go of it.
    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let held: usize = self.handles.listings.values().sum();
        let entries = count_entries(self.fs.table.get(&fd)?, LISTED_MAX - held)?;
        let listing = self.fs.read_directory(fd).await?;
        self.handles.listings.insert(listing.rep(), entries);
        Ok(listing)
    }

    async fn set_size(&mut self, fd: Fd, size: types::Filesize) -> FsResult<()> {
        let (handle, before) = (self.handle(&fd)?, self.size(&fd)?);
        self.journal.get().before_resize(handle, before, size)?;
        self.fs.set_size(fd, size).await?;
        self.journal.get().resized(before, size);
        Ok(())
    }

    async fn set_times(&mut self, fd: Fd, atim: types::NewTimestamp, mtim: types::NewTimestamp) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        self.journal.get().before_times(handle)?;
        self.fs.set_times(fd, atim, mtim).await
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: types::Filesize) -> FsResult<types::Filesize> {
        let (handle, size) = (self.handle(&fd)?, self.size(&fd)?);
        let growth = self.journal.get().before_write(handle, size, Some(offset), bytes.len() as u64)?;
        let written = self.fs.write(fd, bytes, offset).await?;
        self.journal.get().wrote(growth, written);
        Ok(written)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let at = self.handle(&fd)?;
        self.journal.get().before_create_dir(at, &path)?;
        self.fs.create_directory_at(fd, path).await?;
        self.journal.get().created();
        Ok(())
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        atim: types::NewTimestamp,
        mtim: types::NewTimestamp,
    ) -> FsResult<()> {
        let at = self.handle(&fd)?;
        self.journal.get().before_times_at(at, &path, last(flags))?;
        self.fs.set_times_at(fd, flags, path, atim, mtim).await
    }

    /// A second name for a file would let changes happen at a path that no note names.
    async fn link_at(&mut self, _: Fd, _: types::PathFlags, _: String, _: Fd, _: String) -> FsResult<()> {
        Err(Refusal::NotSupported.into())
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        let at = self.handle(&fd)?;
        let wants = Wants {
            create: open_flags.contains(types::OpenFlags::CREATE),
            truncate: open_flags.contains(types::OpenFlags::TRUNCATE),
        };
        let is_new = open_flags.contains(types::OpenFlags::CREATE | types::OpenFlags::EXCLUSIVE);
        // Where a new file must be, a link is in the way, wherever it leads.
        let last = if is_new { Last::Keep } else { last(path_flags) };
        let opening = self.journal.get().before_open(at, &path, last, wants)?;
        let opened = self.fs.open_at(fd, path_flags, path, open_flags, flags).await?;
        let handle = self.journal.get().opened(opening);
        self.handles.files.insert(opened.rep(), handle);
        Ok(opened)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        if let Some(handle) = self.handles.files.remove(&fd.rep()) {
            // A removed directory counted no bytes, so none are set free.
            let bytes = self.size(&fd).unwrap_or(0);
            self.journal.get().close(handle, bytes);
        }
        HostDescriptor::drop(&mut self.fs, fd)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let at = self.handle(&fd)?;
        let removal = self.journal.get().before_remove(at, &path)?;
        self.fs.remove_directory_at(fd, path).await?;
        self.journal.get().removed(removal);
        Ok(())
    }

    async fn rename_at(&mut self, fd: Fd, path: String, to_fd: Fd, to_path: String) -> FsResult<()> {
        let (at, to_at) = (self.handle(&fd)?, self.handle(&to_fd)?);
        let renaming = self.journal.get().before_rename(at, &path, to_at, &to_path)?;
        self.fs.rename_at(fd, path, to_fd, to_path).await?;
        self.journal.get().renamed(renaming);
        Ok(())
    }

    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        let at = self.handle(&fd)?;
        self.journal.get().before_link(&target, at, &path)?;
        self.fs.symlink_at(fd, target, path).await?;
        self.journal.get().created();
        Ok(())
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let at = self.handle(&fd)?;
        let removal = self.journal.get().before_remove(at, &path)?;
        self.fs.unlink_file_at(fd, path).await?;
        self.journal.get().removed(removal);
        Ok(())
    }

    fn read_via_stream(&mut self, fd: Fd, offset: types::Filesize) -> FsResult<Resource<DynInputStream>> {
        let reader: DynInputStream = Box::new(Reader::new(self.held_file(&fd)?, offset));
        Ok(self.fs.table.push(reader)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: types::Filesize) -> FsResult<Resource<DynOutputStream>> {
        let writer: DynOutputStream = Box::new(Writer::new(self.held_file(&fd)?, Some(offset)));
        Ok(self.fs.table.push(writer)?)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let writer: DynOutputStream = Box::new(Writer::new(self.held_file(&fd)?, None));
        Ok(self.fs.table.push(writer)?)
    }
}

impl HostDirectoryEntryStream for P2Guard<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.fs.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.handles.listings.remove(&stream.rep());
        HostDirectoryEntryStream::drop(&mut self.fs, stream)
    }
}

#[cfg(test)]
mod tests;
