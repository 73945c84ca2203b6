//! A bounded stream of bytes between a client and a running guest.
//!
//! Comes in: bytes from whoever writes, as they come. Goes out: to whoever
//! reads, in the same order.
//!
//! Promise: never more than [`PIPE_BYTES_MAX`] bytes are held; a writer waits
//! for room and a reader for bytes, and both may be dropped while they wait.
//! The end of the stream is told only by [`Pipe::finish`], so input that was
//! cut short is never taken for whole.
//!
//! Not here: what a guest sees of it ([`stdio`](super::stdio)).

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use bytes::BytesMut;
use tokio::sync::Notify;

use crate::limits::PIPE_BYTES_MAX;
use crate::limits::PIPE_PIECE_BYTES_MAX;

/// One direction, with one writer and one reader.
#[derive(Debug, Default)]
pub struct Pipe {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: BytesMut,
    /// How many bytes were written so far.
    written: u64,
    /// How often the reader took something.
    taken: u64,
    writer: Writer,
    reader_gone: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Writing,
    Finished,
    /// It went away in the middle; what it did not write will not come.
    Broken,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(Bytes),
    /// Nothing yet.
    None,
    /// Nothing any more.
    End,
}

/// Nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NobodyReads;

impl Pipe {
    /// Writes all of `bytes`, waiting for room as often as it takes.
    pub async fn write(&self, mut bytes: Bytes) -> Result<(), NobodyReads> {
        while !bytes.is_empty() {
            self.until(|state| state.reader_gone || state.room() > 0).await;
            if self.state().reader_gone {
                return Err(NobodyReads);
            }
            self.push(&bytes.split_to(bytes.len().min(self.room())));
        }
        Ok(())
    }

    /// Says that the stream ends here.
    pub fn finish(&self) {
        self.change(|state| {
            if state.writer == Writer::Writing {
                state.writer = Writer::Finished;
            }
        });
    }

    /// Says that the writer went away before the end of the stream.
    pub fn break_off(&self) {
        self.change(|state| {
            if state.writer == Writer::Writing {
                state.writer = Writer::Broken;
            }
        });
    }

    /// What is there to be read.
    pub fn take(&self) -> Piece {
        self.take_at_most(PIPE_PIECE_BYTES_MAX)
    }

    /// The same, at most `bytes_max` of it.
    pub(super) fn take_at_most(&self, bytes_max: usize) -> Piece {
        let mut state = self.state();
        if state.held.is_empty() {
            return if state.writer == Writer::Finished { Piece::End } else { Piece::None };
        }
        let len = state.held.len().min(bytes_max);
        let bytes = state.held.split_to(len).freeze();
        state.taken += 1;
        drop(state);
        self.changed.notify_waiters();
        Piece::Bytes(bytes)
    }

    /// Waits until [`Pipe::take`] has bytes or the end.
    pub async fn readable(&self) {
        self.until(|state| !state.held.is_empty() || state.writer == Writer::Finished).await;
    }

    /// Says that nobody will read any more, and lets go of what is held.
    pub fn abandon(&self) {
        self.change(|state| {
            state.reader_gone = true;
            state.held = BytesMut::new();
        });
    }

    /// Whether nothing is there to be read now, but perhaps the end.
    pub fn is_empty(&self) -> bool {
        self.state().held.is_empty()
    }

    /// Whether nobody reads any more.
    pub fn is_abandoned(&self) -> bool {
        self.state().reader_gone
    }

    /// Waits until nobody reads any more.
    pub async fn abandoned(&self) {
        self.until(|state| state.reader_gone).await;
    }

    /// Whether the writer went away before the end.
    pub fn is_broken(&self) -> bool {
        self.state().writer == Writer::Broken
    }

    /// Waits until the writer has gone away before the end.
    pub async fn broken(&self) {
        self.until(|state| state.writer == Writer::Broken).await;
    }

    /// How often the reader took something so far.
    pub fn taken(&self) -> u64 {
        self.state().taken
    }

    /// Waits until the reader has taken something more than `before` times.
    pub async fn taken_beyond(&self, before: u64) {
        self.until(|state| state.taken > before).await;
    }

    /// How many bytes were written so far, read or not.
    pub fn written(&self) -> u64 {
        self.state().written
    }

    /// How many bytes can be written now.
    pub(super) fn room(&self) -> usize {
        self.state().room()
    }

    /// Waits until something can be written and is wanted.
    pub(super) async fn writable(&self) {
        self.until(|state| !state.reader_gone && state.room() > 0).await;
    }

    /// Writes at once; the caller has looked at [`Pipe::room`].
    pub(super) fn push(&self, bytes: &[u8]) {
        self.change(|state| {
            state.written += bytes.len() as u64;
            if !state.reader_gone {
                state.held.extend_from_slice(bytes);
            }
        });
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            // Made before the look, so that a change after the look wakes it.
            let changed = self.changed.notified();
            if is_so(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and it is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn room(&self) -> usize {
        PIPE_BYTES_MAX.saturating_sub(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_writer_waits_for_a_reader_and_nothing_is_lost() {
        let pipe = Arc::new(Pipe::default());
        let sent: Vec<u8> = (0..3 * PIPE_BYTES_MAX).map(|at| (at % 251) as u8).collect();
        let writer = tokio::spawn({
            let (pipe, sent) = (pipe.clone(), Bytes::from(sent.clone()));
            async move {
                pipe.write(sent).await.unwrap();
                pipe.finish();
            }
        });
        let mut got = Vec::new();
        loop {
            pipe.readable().await;
            assert!(pipe.state().held.len() <= PIPE_BYTES_MAX);
            match pipe.take() {
                Piece::Bytes(bytes) => got.extend_from_slice(&bytes),
                Piece::None => {}
                Piece::End => break,
            }
        }
        writer.await.unwrap();
        assert!(got == sent);
        assert_eq!(pipe.written(), sent.len() as u64);
    }

    #[tokio::test]
    async fn a_writer_learns_that_nobody_reads() {
        let pipe = Arc::new(Pipe::default());
        let writer = tokio::spawn({
            let pipe = pipe.clone();
            async move { pipe.write(vec![0; PIPE_BYTES_MAX + 1].into()).await }
        });
        while pipe.room() > 0 {
            tokio::task::yield_now().await;
        }
        pipe.abandon();
        assert_eq!(writer.await.unwrap(), Err(NobodyReads));
    }

    #[test]
    fn r31_input_that_was_cut_short_has_no_end() {
        let pipe = Pipe::default();
        pipe.push(b"half");
        pipe.break_off();
        pipe.finish();
        assert_eq!(pipe.take(), Piece::Bytes(Bytes::from_static(b"half")));
        assert_eq!(pipe.take(), Piece::None);
        assert!(pipe.is_broken());
    }
}
