//! A job as one who follows it sees it: what happens to it, one thing after another.
//!
//! Comes in: how far somebody has followed the job.
//! Goes out: each state that it enters, what it prints, how far it says it is, and its end.
//!
//! Promise: what is printed comes whole and in order, within its attempt. Whoever goes on
//! from where it was misses nothing of the attempt that is under way, or was the last one. A
//! follower holds up nobody, and holds no more than the job has printed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::ids::JobId;
use crate::model::caller::Owner;
use crate::model::job::Delivery;
use crate::model::job::Job;
use crate::model::job::JobState;
use crate::model::job::Progress;
use crate::service::Service;
use crate::service::live::Attempt;
use crate::service::live::JobKey;
use crate::service::live::LiveJob;
use crate::service::refusal::Refusal;
use crate::store::Body;
use crate::store::Stream;

/// What is told at once of a stream.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Something that happened to a job.
pub enum Event {
    /// It entered a state.
    State(Box<Job>),
    /// It says how far it is. Only the newest counts.
    Progress(Progress),
    /// It printed `bytes`, before which the stream had `offset` bytes. No piece ends within a
    /// character, if what is printed is text.
    Printed { stream: Stream, offset: usize, bytes: Bytes },
    /// It is over, and nothing more happens to it.
    End(Box<Job>),
}

/// How far somebody has followed a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The attempt that the rest is about.
    pub attempt: u32,
    /// The last state that was told.
    pub state: Option<JobState>,
    /// How much of each stream.
    pub stdout: usize,
    pub stderr: usize,
    /// Whether the end was told.
    pub end: bool,
}

/// Somebody who follows a job.
pub struct Follower {
    service: Service,
    owner: Owner,
    id: JobId,
    /// As it was when it was last looked at.
    job: Job,
    seen: Seen,
    source: Source,
}

/// Where what happens is heard of.
enum Source {
    Live(Box<Live>),
    /// The job had ended before.
    Record {
        stdout: Body,
        stderr: Body,
    },
}

struct Live {
    job: Arc<LiveJob>,
    news: watch::Receiver<bool>,
    attempt: Attempt,
    /// How much of its streams was there when they were last read: not all of it may have been told.
    read: Extents,
    progress: watch::Receiver<Option<Progress>>,
}

#[derive(Clone, Copy, Default)]
struct Extents {
    stdout: usize,
    stderr: usize,
}

impl Service {
    /// Follows a job from where `seen` says.
    pub async fn follow(&self, owner: &Owner, id: &JobId, seen: Seen) -> Result<Follower, Refusal> {
        let job = self.job(owner, id).await?;
        let source = match self.inner.live.get(&JobKey { owner: owner.clone(), id: id.clone() }) {
            Some(job) => Source::Live(Box::new(Live::new(job))),
            None => Source::Record {
                stdout: self.inner.store.printout(job.seq, Stream::Stdout).await?,
                stderr: self.inner.store.printout(job.seq, Stream::Stderr).await?,
            },
        };
        // Looked at again: whoever is not listed has ended, and whoever is tells what changes from here on.
        let job = self.job(owner, id).await?;
        Ok(Follower { service: self.clone(), owner: owner.clone(), id: id.clone(), job, seen, source })
    }
}

impl Live {
    fn new(job: Arc<LiveJob>) -> Self {
        let mut news = job.news();
        news.mark_changed();
        let attempt = job.attempt();
        let mut progress = attempt.live.progress();
        progress.mark_changed();
        Self { job, news, attempt, read: Extents::default(), progress }
    }
}

impl Follower {
    /// The job, as it was when it was last looked at.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Whether something lies on the disk for this follower alone.
    pub fn is_large(&self) -> bool {
        let is_large = |body: &Body| matches!(body, Body::Spooled(_));
        matches!(&self.source, Source::Record { stdout, stderr } if is_large(stdout) || is_large(stderr))
    }

    /// What happens next, and how far the follower is then; `None` after the end, and when
    /// the server stops.
    pub async fn next(&mut self) -> Result<Option<(Event, Seen)>, Refusal> {
        while !self.seen.end {
            if let Some(event) = self.told_now()? {
                return Ok(Some((event, self.seen)));
            }
            let Source::Live(live) = &mut self.source else { return Ok(None) };
            let is_over = *live.news.borrow();
            if live.news.has_changed().unwrap_or(false) {
                live.look_again();
                self.job = self.service.job(&self.owner, &self.id).await?;
            } else if is_over {
                // It stays queued for the next start of the server.
                return Ok(None);
            } else {
                live.wait(&self.seen).await;
            }
        }
        Ok(None)
    }

    /// The next thing to be told of what is known.
    fn told_now(&mut self) -> Result<Option<Event>, Refusal> {
        if self.seen.attempt != self.job.attempt {
            self.seen = Seen { attempt: self.job.attempt, ..Seen::default() };
        }
        // Of one that is over from the beginning first the state, so that what it printed comes after it.
        let is_over = self.job.state.is_over() && matches!(self.source, Source::Live(_));
        if !is_over && !self.is_told() {
            return Ok(Some(self.enter()));
        }
        if let Some(event) = self.printed()?.or_else(|| self.progress()) {
            return Ok(Some(event));
        }
        if !self.job.state.is_over() || self.has_news() {
            return Ok(None);
        }
        if !self.is_told() {
            return Ok(Some(self.enter()));
        }
        self.seen.end = true;
        Ok(Some(Event::End(Box::new(self.job.clone()))))
    }

    fn is_told(&self) -> bool {
        self.seen.state == Some(self.job.state)
    }

    /// Tells of the job's state.
    fn enter(&mut self) -> Event {
        self.seen.state = Some(self.job.state);
        Event::State(Box::new(self.job.clone()))
    }

    /// Whether there is something to be looked at first.
    fn has_news(&self) -> bool {
        matches!(&self.source, Source::Live(live) if live.news.has_changed().unwrap_or(false))
    }

    /// The next piece of either stream.
    fn printed(&mut self) -> Result<Option<Event>, Refusal> {
        let is_streamed = self.job.delivery == Delivery::Streamed;
        for (stream, offset) in [(Stream::Stdout, self.seen.stdout), (Stream::Stderr, self.seen.stderr)] {
            if is_streamed && stream == Stream::Stdout {
                continue;
            }
            let (bytes, is_all) = self.source.read(stream, offset, self.seen.attempt)?;
            let bytes = if is_all { bytes } else { bytes.slice(..whole_characters(&bytes)) };
            if bytes.is_empty() {
                continue;
            }
            match stream {
                Stream::Stdout => self.seen.stdout += bytes.len(),
                Stream::Stderr => self.seen.stderr += bytes.len(),
            }
            return Ok(Some(Event::Printed { stream, offset, bytes }));
        }
        Ok(None)
    }

    fn progress(&mut self) -> Option<Event> {
        let Source::Live(live) = &mut self.source else { return None };
        let is_new = live.is_about(self.seen.attempt) && live.progress.has_changed().unwrap_or(false);
        is_new.then(|| live.progress.borrow_and_update().clone()).flatten().map(Event::Progress)
    }
}

impl Source {
    /// A piece of what an attempt has printed, and whether nothing comes after it.
    fn read(&mut self, stream: Stream, offset: usize, attempt: u32) -> Result<(Bytes, bool), Refusal> {
        match (self, stream) {
            (Source::Live(live), _) if !live.is_about(attempt) => Ok((Bytes::new(), true)),
            (Source::Live(live), _) => Ok(live.read(stream, offset)),
            (Source::Record { stdout: all, .. }, Stream::Stdout)
            | (Source::Record { stderr: all, .. }, Stream::Stderr) => {
                let piece = || Ok((all.part(offset as u64, PIECE_BYTES_MAX)?, all.size()?));
                let (bytes, size) = piece().map_err(|error: std::io::Error| {
                    tracing::error!(%error, "an output that was kept for a client could not be read");
                    Refusal::Internal
                })?;
                let is_all = offset.saturating_add(bytes.len()) as u64 >= size;
                Ok((bytes.into(), is_all))
            }
        }
    }
}

impl Live {
    /// Whether what is heard comes from that attempt, which has begun when it was last looked at.
    fn is_about(&self, attempt: u32) -> bool {
        attempt > 0 && self.attempt.number == attempt
    }

    fn read(&mut self, stream: Stream, offset: usize) -> (Bytes, bool) {
        let (output, read) = match stream {
            Stream::Stdout => (&self.attempt.live.stdout, &mut self.read.stdout),
            Stream::Stderr => (&self.attempt.live.stderr, &mut self.read.stderr),
        };
        // Asked for first: what is printed in between is read with the next piece.
        let is_closed = output.is_closed();
        let bytes = output.read_from(offset, PIECE_BYTES_MAX);
        *read = offset.saturating_add(bytes.len());
        (bytes, is_closed && *read >= output.len())
    }

    /// Goes on to the attempt that is under way now. What of one that failed was not told is gone.
    fn look_again(&mut self) {
        self.news.mark_unchanged();
        let attempt = self.job.attempt();
        self.read = Extents::default();
        if !Arc::ptr_eq(&attempt.live, &self.attempt.live) {
            self.progress = attempt.live.progress();
            self.progress.mark_changed();
        }
        self.attempt = attempt;
    }

    /// Waits until there may be something to tell.
    async fn wait(&mut self, seen: &Seen) {
        let is_told = self.is_about(seen.attempt);
        let Live { news, attempt, read, progress, .. } = self;
        let (stdout, stderr) = (&attempt.live.stdout, &attempt.live.stderr);
        // None of the senders can be gone: we hold them.
        tokio::select! {
            _ = news.changed() => news.mark_changed(),
            _ = progress.changed(), if is_told => progress.mark_changed(),
            () = stdout.changed(read.stdout), if is_told && stdout.may_have_more(read.stdout) => {}
            () = stderr.changed(read.stderr), if is_told && stderr.may_have_more(read.stderr) => {}
        }
    }
}

/// How many of the bytes are told before more of them have come: all but the beginning of
/// a character of UTF-8 at their end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        // Text, or none at all.
        Ok(_) | Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_does_not_end_within_a_character() {
        assert_eq!(whole_characters("für".as_bytes()), 4);
        assert_eq!(whole_characters(&"für".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&"für".as_bytes()[1..2]), 0);
        // What is no text goes as it is.
        assert_eq!(whole_characters(&[0xff, 0xc3]), 2);
    }
}
