//! The guard for core modules: WASI p1.
//!
//! Implements the trait that wasmtime-wasi generates for its own use, so this
//! file (with `p1_length`, `p1_write` and `p1_poll`) is what a new version of Wasmtime
//! may break. Functions that change nothing are handed on as they come.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::types::Error;
use wasmtime_wasi::p1::types::Fd;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wiggle::GuestMemory;
use wiggle::GuestPtr;

use super::Journal;
use super::SharedJournal;
use super::journal::Handle;
use super::journal::Wants;
use super::p1_length::Shortened;
use super::p1_length::path;
use super::refusal::Refusal;
use super::resolve::Last;

/// The number under which WASI hands over the first preopened directory.
const ROOT_FD: u32 = 3;

/// What a descriptor number of the guest stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// stdin, stdout or stderr.
    Stream,
    File {
        handle: Handle,
        append: bool,
    },
}

/// See the room card.
pub(in crate::engine) struct P1Guard {
    wasi: WasiP1Ctx,
    journal: SharedJournal,
    /// Every number that the guest can use. Others are refused unasked.
    fds: BTreeMap<u32, Held>,
}

impl P1Guard {
    pub(super) fn new(wasi: WasiP1Ctx, journal: SharedJournal) -> Self {
        let root = Held::File { handle: journal.get().open_root(), append: false };
        let mut fds: BTreeMap<u32, Held> = (0..ROOT_FD).map(|fd| (fd, Held::Stream)).collect();
        fds.insert(ROOT_FD, root);
        Self { wasi, journal, fds }
    }

    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.wasi
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.get()
    }

    pub(super) fn held(&self, fd: Fd) -> Result<Held, Error> {
        let held = *self.fds.get(&fd.into()).ok_or(Errno::Badf)?;
        if matches!(held, Held::File { .. }) {
            self.journal.get().root.note_use();
        }
        Ok(held)
    }

    /// Refuses a number that the guest did not get from us.
    pub(super) fn check(&self, fd: Fd) -> Result<(), Error> {
        self.held(fd).map(|_| ())
    }

    /// The file or directory behind `fd`.
    fn handle(&self, fd: Fd) -> Result<Handle, Error> {
        match self.held(fd)? {
            Held::Stream => Err(Errno::Badf.into()),
            Held::File { handle, .. } => Ok(handle),
        }
    }

    pub(super) async fn size(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<u64, Error> {
        Ok(self.wasi.fd_filestat_get(memory, fd).await?.size)
    }

    /// Forgets `fd`, which is about to be closed.
    async fn let_go(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<(), Error> {
        let Held::File { handle, .. } = self.held(fd)? else { return Ok(()) };
        let is_last = self.journal.get().is_last_of_removed(handle);
        let bytes = if is_last { self.size_of_removed(memory, fd).await? } else { 0 };
        self.journal.get().close(handle, bytes);
        Ok(())
    }

    /// A removed directory counted no bytes, so none are set free.
    async fn size_of_removed(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<u64, Error> {
        let stat = self.wasi.fd_filestat_get(memory, fd).await?;
        let is_file = stat.filetype == types::Filetype::RegularFile;
        Ok(if is_file { stat.size } else { 0 })
    }
}

fn last(flags: types::Lookupflags) -> Last {
    if flags.contains(types::Lookupflags::SYMLINK_FOLLOW) { Last::Follow } else { Last::Keep }
}

/// Hands a function on as it is. With `checked`, its first argument is a
/// descriptor that the guest must have got from us.
macro_rules! hand_on {
    ($(async fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {$(
        async fn $name(&mut self, memory: &mut GuestMemory<'_>, $($arg: $ty),*) -> Result<$ret, Error> {
            hand_on!(@first self, $($arg),*);
            self.wasi.$name(memory, $($arg),*).await
        }
    )*};
    // Into or out of buffers, of which it need not take all.
    ($(moving async fn $name:ident($fd:ident: Fd, $buffers:ident: $of:ty $(, $arg:ident: $ty:ty)?) -> $ret:ty;)*) => {$(
        async fn $name(&mut self, memory: &mut GuestMemory<'_>, $fd: Fd, $buffers: $of $(, $arg: $ty)?)
            -> Result<$ret, Error> {
            self.check($fd)?;
            let shortened = Shortened::first_of(memory, $buffers.offset())?;
            let moved = self.wasi.$name(memory, $fd, $buffers $(, $arg)?).await;
            shortened.put_back(memory)?;
            moved
        }
    )*};
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {$(
        fn $name(&mut self, memory: &mut GuestMemory<'_>, $($arg: $ty),*) -> Result<$ret, Error> {
            self.wasi.$name(memory, $($arg),*)
        }
    )*};
    (@first $self:ident, $fd:ident $(, $rest:ident)*) => { $self.check($fd)?; };
}

impl WasiSnapshotPreview1 for P1Guard {
    fn set_hostcall_fuel(&mut self, fuel: usize) {
        self.wasi.set_hostcall_fuel(fuel);
    }

    hand_on! {
        fn args_get(argv: GuestPtr<GuestPtr<u8>>, argv_buf: GuestPtr<u8>) -> ();
        fn args_sizes_get() -> (types::Size, types::Size);
        fn environ_get(environ: GuestPtr<GuestPtr<u8>>, environ_buf: GuestPtr<u8>) -> ();
        fn environ_sizes_get() -> (types::Size, types::Size);
        fn clock_res_get(id: types::Clockid) -> types::Timestamp;
        fn clock_time_get(id: types::Clockid, precision: types::Timestamp) -> types::Timestamp;
        fn fd_allocate(fd: Fd, offset: types::Filesize, len: types::Filesize) -> ();
        fn fd_fdstat_set_rights(fd: Fd, base: types::Rights, inheriting: types::Rights) -> ();
        fn fd_prestat_get(fd: Fd) -> types::Prestat;
        fn fd_prestat_dir_name(fd: Fd, path: GuestPtr<u8>, path_max_len: types::Size) -> ();
        fn fd_tell(fd: Fd) -> types::Filesize;
        fn proc_raise(signal: types::Signal) -> ();
        fn sched_yield() -> ();
        fn random_get(buf: GuestPtr<u8>, buf_len: types::Size) -> ();
        fn sock_accept(fd: Fd, flags: types::Fdflags) -> Fd;
        fn sock_recv(fd: Fd, data: types::IovecArray, flags: types::Riflags) -> (types::Size, types::Roflags);
        fn sock_send(fd: Fd, data: types::CiovecArray, flags: types::Siflags) -> types::Size;
        fn sock_shutdown(fd: Fd, how: types::Sdflags) -> ();
    }

    hand_on! {
        async fn fd_advise(fd: Fd, offset: types::Filesize, len: types::Filesize, advice: types::Advice) -> ();
        async fn fd_datasync(fd: Fd) -> ();
        async fn fd_fdstat_get(fd: Fd) -> types::Fdstat;
        async fn fd_filestat_get(fd: Fd) -> types::Filestat;
        async fn fd_seek(fd: Fd, offset: types::Filedelta, whence: types::Whence) -> types::Filesize;
        async fn fd_sync(fd: Fd) -> ();
        async fn fd_readdir(fd: Fd, buf: GuestPtr<u8>, buf_len: types::Size, cookie: types::Dircookie) -> types::Size;
        async fn path_filestat_get(fd: Fd, flags: types::Lookupflags, path: GuestPtr<str>) -> types::Filestat;
        async fn path_readlink(fd: Fd, path: GuestPtr<str>, buf: GuestPtr<u8>, buf_len: types::Size) -> types::Size;
    }

    hand_on! {
        moving async fn fd_read(fd: Fd, iovs: types::IovecArray) -> types::Size;
        moving async fn fd_pread(fd: Fd, iovs: types::IovecArray, offset: types::Filesize) -> types::Size;
    }

    async fn fd_close(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<(), Error> {
        self.let_go(memory, fd).await?;
        self.fds.remove(&fd.into());
        self.wasi.fd_close(memory, fd).await
    }

    fn fd_fdstat_set_flags(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        flags: types::Fdflags,
    ) -> Result<(), Error> {
        self.wasi.fd_fdstat_set_flags(memory, fd, flags)?;
        if let Some(Held::File { append, .. }) = self.fds.get_mut(&fd.into()) {
            *append = flags.contains(types::Fdflags::APPEND);
        }
        Ok(())
    }

    async fn fd_filestat_set_size(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        size: types::Filesize,
    ) -> Result<(), Error> {
        let handle = self.handle(fd)?;
        let before = self.size(memory, fd).await?;
        self.journal.get().before_resize(handle, before, size)?;
        self.wasi.fd_filestat_set_size(memory, fd, size).await?;
        self.journal.get().resized(before, size);
        Ok(())
    }

    async fn fd_filestat_set_times(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        atim: types::Timestamp,
        mtim: types::Timestamp,
        flags: types::Fstflags,
    ) -> Result<(), Error> {
        let handle = self.handle(fd)?;
        self.journal.get().before_times(handle)?;
        self.wasi.fd_filestat_set_times(memory, fd, atim, mtim, flags).await
    }

    async fn fd_write(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        buffers: types::CiovecArray,
    ) -> Result<types::Size, Error> {
        self.guarded_write(memory, fd, buffers, None).await
    }

    async fn fd_pwrite(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        buffers: types::CiovecArray,
        offset: types::Filesize,
    ) -> Result<types::Size, Error> {
        self.guarded_write(memory, fd, buffers, Some(offset)).await
    }

    async fn fd_renumber(&mut self, memory: &mut GuestMemory<'_>, from: Fd, to: Fd) -> Result<(), Error> {
        let held = self.held(from)?;
        self.check(to)?;
        if u32::from(from) == u32::from(to) {
            return Ok(());
        }
        self.let_go(memory, to).await?;
        self.wasi.fd_renumber(memory, from, to).await?;
        self.fds.remove(&from.into());
        self.fds.insert(to.into(), held);
        Ok(())
    }

    async fn path_create_directory(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        name: GuestPtr<str>,
    ) -> Result<(), Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        self.journal.get().before_create_dir(at, &text)?;
        self.wasi.path_create_directory(memory, fd, name).await?;
        self.journal.get().created();
        Ok(())
    }

    async fn path_filestat_set_times(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        flags: types::Lookupflags,
        name: GuestPtr<str>,
        atim: types::Timestamp,
        mtim: types::Timestamp,
        times: types::Fstflags,
    ) -> Result<(), Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        self.journal.get().before_times_at(at, &text, last(flags))?;
        self.wasi.path_filestat_set_times(memory, fd, flags, name, atim, mtim, times).await
    }

    /// A second name for a file would let changes happen at a path that no note names.
    async fn path_link(
        &mut self,
        _memory: &mut GuestMemory<'_>,
        _from_fd: Fd,
        _flags: types::Lookupflags,
        _from: GuestPtr<str>,
        _to_fd: Fd,
        _to: GuestPtr<str>,
    ) -> Result<(), Error> {
        Err(Refusal::NotSupported.into())
    }

    async fn path_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        flags: types::Lookupflags,
        name: GuestPtr<str>,
        oflags: types::Oflags,
        base: types::Rights,
        inheriting: types::Rights,
        fdflags: types::Fdflags,
    ) -> Result<Fd, Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        let wants =
            Wants { create: oflags.contains(types::Oflags::CREAT), truncate: oflags.contains(types::Oflags::TRUNC) };
        let is_new = oflags.contains(types::Oflags::CREAT | types::Oflags::EXCL);
        // Where a new file must be, a link is in the way, wherever it leads.
        let last = if is_new { Last::Keep } else { last(flags) };
        let opening = self.journal.get().before_open(at, &text, last, wants)?;
        let opened = self.wasi.path_open(memory, fd, flags, name, oflags, base, inheriting, fdflags).await?;
        let handle = self.journal.get().opened(opening);
        let append = fdflags.contains(types::Fdflags::APPEND);
        self.fds.insert(opened.into(), Held::File { handle, append });
        Ok(opened)
    }

    async fn path_remove_directory(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        name: GuestPtr<str>,
    ) -> Result<(), Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        let removal = self.journal.get().before_remove(at, &text)?;
        self.wasi.path_remove_directory(memory, fd, name).await?;
        self.journal.get().removed(removal);
        Ok(())
    }

    async fn path_rename(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        name: GuestPtr<str>,
        to_fd: Fd,
        to_name: GuestPtr<str>,
    ) -> Result<(), Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        let (to_at, to_text) = (self.handle(to_fd)?, path(memory, to_name)?);
        let renaming = self.journal.get().before_rename(at, &text, to_at, &to_text)?;
        self.wasi.path_rename(memory, fd, name, to_fd, to_name).await?;
        self.journal.get().renamed(renaming);
        Ok(())
    }

    async fn path_symlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        target: GuestPtr<str>,
        fd: Fd,
        name: GuestPtr<str>,
    ) -> Result<(), Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        let target_text = path(memory, target)?;
        self.journal.get().before_link(&target_text, at, &text)?;
        self.wasi.path_symlink(memory, target, fd, name).await?;
        self.journal.get().created();
        Ok(())
    }

    async fn path_unlink_file(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        name: GuestPtr<str>,
    ) -> Result<(), Error> {
        let (at, text) = (self.handle(fd)?, path(memory, name)?);
        let removal = self.journal.get().before_remove(at, &text)?;
        self.wasi.path_unlink_file(memory, fd, name).await?;
        self.journal.get().removed(removal);
        Ok(())
    }

    async fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<types::Subscription>,
        events: GuestPtr<types::Event>,
        count: types::Size,
    ) -> Result<types::Size, Error> {
        self.poll(memory, subscriptions, events, count).await
    }

    /// The code is kept as it is, also those from 126 on that WASI calls invalid.
    fn proc_exit(&mut self, _memory: &mut GuestMemory<'_>, code: types::Exitcode) -> wasmtime::Error {
        I32Exit(code.cast_signed()).into()
    }
}
