//! `poll_oneoff` of WASI p1, answered by ourselves.
//!
//! Why: on a thread that may block, wasmtime-wasi sleeps as long as the guest
//! says, and nothing could stop the job meanwhile. Here it waits with a timer,
//! which ends when the run does.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime_wasi::p1::types;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::types::Error;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::GuestMemory;
use wiggle::GuestPtr;

use super::p1::P1Guard;
use crate::limits::POLL_MAX;

/// A sleep of a year is for ever; every job has a limit below it.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What the guest waits for.
struct Wait {
    userdata: u64,
    what: What,
}

enum What {
    Time(Instant),
    /// Files, and what is kept in memory, never keep anybody waiting. A stream of
    /// a client may: it counts as ready, and the read or write itself waits.
    Ready(types::Eventtype),
}

impl P1Guard {
    /// Waits until one of the subscriptions is due, and tells which are.
    pub(super) async fn poll(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<types::Subscription>,
        events: GuestPtr<types::Event>,
        count: types::Size,
    ) -> Result<types::Size, Error> {
        if count == 0 || count > POLL_MAX {
            return Err(Errno::Inval.into());
        }
        let mut waits = Vec::new();
        for subscription in subscriptions.as_array(count).iter() {
            let subscription = memory.read(subscription?)?;
            waits.push(self.wait(memory, &subscription)?);
        }
        if let Some(first) = first_due(&waits) {
            tokio::time::sleep_until(first).await;
        }
        let now = Instant::now();
        let due = waits.into_iter().filter(|wait| match wait.what {
            What::Time(at) => at <= now,
            What::Ready(_) => true,
        });
        let mut told = 0;
        for (wait, event) in due.zip(events.as_array(count).iter()) {
            memory.write(event?, wait.event())?;
            told += 1;
        }
        Ok(told)
    }

    fn wait(&mut self, memory: &mut GuestMemory<'_>, subscription: &types::Subscription) -> Result<Wait, Error> {
        let what = match &subscription.u {
            types::SubscriptionU::Clock(clock) => What::Time(self.due_at(memory, clock)?),
            types::SubscriptionU::FdRead(file) => {
                self.check(file.file_descriptor)?;
                What::Ready(types::Eventtype::FdRead)
            }
            types::SubscriptionU::FdWrite(file) => {
                self.check(file.file_descriptor)?;
                What::Ready(types::Eventtype::FdWrite)
            }
        };
        Ok(Wait { userdata: subscription.userdata, what })
    }

    /// When a clock of the guest is due, on our own clock.
    fn due_at(&mut self, memory: &mut GuestMemory<'_>, clock: &types::SubscriptionClock) -> Result<Instant, Error> {
        let is_absolute = clock.flags.contains(types::Subclockflags::SUBSCRIPTION_CLOCK_ABSTIME);
        let nanos = match clock.id {
            types::Clockid::Realtime | types::Clockid::Monotonic if is_absolute => {
                let now = self.wasi().clock_time_get(memory, clock.id, 0)?;
                clock.timeout.saturating_sub(now)
            }
            types::Clockid::Realtime | types::Clockid::Monotonic => clock.timeout,
            types::Clockid::ProcessCputimeId | types::Clockid::ThreadCputimeId => return Err(Errno::Inval.into()),
        };
        Ok(Instant::now() + Duration::from_nanos(nanos).min(SLEEP_MAX))
    }
}

/// When the first clock is due; `None` if something is ready without waiting.
fn first_due(waits: &[Wait]) -> Option<Instant> {
    let mut first = None;
    for wait in waits {
        match wait.what {
            What::Ready(_) => return None,
            What::Time(at) => first = Some(first.map_or(at, |first: Instant| first.min(at))),
        }
    }
    first
}

impl Wait {
    fn event(&self) -> types::Event {
        let (type_, nbytes) = match self.what {
            What::Time(_) => (types::Eventtype::Clock, 0),
            What::Ready(type_) => (type_, 1),
        };
        let flags = types::Eventrwflags::empty();
        let fd_readwrite = types::EventFdReadwrite { nbytes, flags };
        types::Event { userdata: self.userdata, error: Errno::Success, type_, fd_readwrite }
    }
}
