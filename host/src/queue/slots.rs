//! The slots: how many guests compute at once, on which seat each sits, and when
//! one gives way to another.
//!
//! Comes in: a job that has its turn, or needs none.
//! Goes out: to the engine's thread of the same number as the job's seat.
//!
//! Promise: a seat is held by one job at a time. Who is next is decided by
//! [`shares`](super::shares); a guest that has had a slot for a slice gives way
//! to whoever is next, and goes on when it is next again.
//!
//! Not here: how a guest is interrupted (`engine`).

use std::sync::Arc;
use std::sync::PoisonError;

use tokio::sync::Notify;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::SEATS_EXTRA_MAX;
use crate::limits::SLICE;
use crate::model::schedule::Priority;
use crate::queue::shares::Line;
use crate::queue::shares::Next;
use crate::queue::shares::Share;
use crate::queue::shares::Shares;
use crate::queue::shares::Ticket;
use crate::queue::shares::Usage;
use crate::queue::shares::Wants;
use crate::sync::Mutex;
use crate::sync::MutexGuard;

/// The places in the engine. Cheap to clone.
#[derive(Clone)]
pub struct Slots {
    house: Arc<House>,
}

struct House {
    shares: Mutex<Shares<oneshot::Sender<Called>>>,
    /// Told whenever somebody waits who could not be called at once.
    wanted: Notify,
}

/// What one who waited is given.
struct Called {
    right: Right,
    /// For one who begins.
    seat: Option<Seat>,
}

/// The right to compute. Dropping it gives it to the next.
struct Right {
    house: Arc<House>,
    line: Line,
    since: Instant,
}

/// A thread of the engine. Dropping it gives it to the next who begins.
struct Seat {
    house: Arc<House>,
    line: Line,
    number: usize,
}

/// A seat, and the right to compute there. Dropping it gives both back.
pub struct Slot {
    share: Share,
    // Dropped in this order: who is seated may have the right, and not the other way round.
    right: Option<Right>,
    seat: Seat,
}

/// A place among those who wait. Dropping it leaves the line.
struct Place {
    house: Arc<House>,
    line: Line,
    wants: Wants,
    ticket: Ticket,
    call: oneshot::Receiver<Called>,
}

/// How many guests may have begun where `slots` may compute: more, so that one
/// who begins need not wait for another one's end.
pub fn seats(slots: usize) -> usize {
    slots + slots.saturating_mul(3).min(SEATS_EXTRA_MAX)
}

impl Slots {
    /// `count` slots, and [`seats`] numbered from 0.
    pub fn new(count: usize) -> Self {
        let shares = Mutex::new(Shares::new(count, seats(count)));
        Self { house: Arc::new(House { shares, wanted: Notify::new() }) }
    }

    /// Waits for a seat and a slot.
    pub async fn take(&self, line: Line, share: Share, priority: Priority) -> Slot {
        let Called { right, seat } = Place::take(&self.house, line, share, Wants::ToBegin, priority).called().await;
        let seat = seat.expect("one who begins is given a seat");
        Slot { share, right: Some(right), seat }
    }

    /// How they are used now.
    pub fn usage(&self) -> Usage {
        self.house.lock().usage()
    }

    /// How many slots nobody holds.
    pub fn free(&self) -> usize {
        self.house.lock().slots_free()
    }

    /// Whether nobody waits or has a seat.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.house.lock().is_empty()
    }
}

impl Slot {
    /// Which of the engine's threads this is.
    pub fn seat(&self) -> usize {
        self.seat.number
    }

    /// Waits until this slot was used for a slice and somebody else could use it.
    pub async fn wanted(&self) {
        let house = &self.seat.house;
        let since = self.right.as_ref().map_or_else(Instant::now, |right| right.since);
        loop {
            let mut told = std::pin::pin!(house.wanted.notified());
            // First listen, then look, so that nobody comes in between unheard.
            told.as_mut().enable();
            if !house.lock().is_wanted() {
                told.await;
            } else if since.elapsed() < SLICE {
                tokio::time::sleep_until(since + SLICE).await;
            } else {
                return;
            }
        }
    }

    /// Gives the right to compute to whoever is next, which may be ourselves, and
    /// waits until it is us again. Stays seated meanwhile.
    pub async fn give_way(&mut self) {
        let Seat { house, line, .. } = &self.seat;
        // First in the line, then given back: who is next is decided among all.
        let place = Place::take(house, line.clone(), self.share, Wants::ToGoOn, Priority::default());
        drop(self.right.take());
        self.right = Some(place.called().await.right);
    }
}

impl House {
    fn lock(&self) -> MutexGuard<'_, Shares<oneshot::Sender<Called>>> {
        // Nothing that can panic is done with the shares half changed.
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls all for whom there is a slot.
    fn call(self: &Arc<Self>) {
        let mut left = Vec::new();
        let mut shares = self.lock();
        while let Some(Next { line, who, seat }) = shares.next() {
            let seat = seat.map(|number| Seat { house: Arc::clone(self), line: line.clone(), number });
            let right = Right { house: Arc::clone(self), line, since: Instant::now() };
            // One who waits leaves the line before it lets go of its ear, so this arrives.
            left.extend(who.send(Called { right, seat }).err());
        }
        // What did not arrive all the same takes the lock again.
        drop(shares);
        drop(left);
    }
}

impl Place {
    fn take(house: &Arc<House>, line: Line, share: Share, wants: Wants, priority: Priority) -> Self {
        let (caller, call) = oneshot::channel();
        let ticket = house.lock().join(&line, share, wants, priority, caller);
        let place = Self { house: Arc::clone(house), line, wants, ticket, call };
        house.call();
        if place.call.is_empty() {
            house.wanted.notify_waiters();
        }
        place
    }

    async fn called(mut self) -> Called {
        match (&mut self.call).await {
            Ok(called) => called,
            // A caller is dropped only by `Place::drop`, which has not run, or
            // after it has called.
            Err(_) => unreachable!("one who waits for a slot is always called"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.house.lock().leave(&self.line, self.wants, self.ticket);
        // If it was called already, the call drops with the channel, after the lock.
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        self.house.lock().give_back_slot(&self.line, self.since.elapsed());
        self.house.call();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.house.lock().give_back_seat(&self.line, self.number);
        self.house.call();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;
    use std::task::Waker;

    use super::*;
    use crate::model::caller::Owner;

    const SHARE: Share = Share { weight: 1, running_max: 8 };
    const NORMAL: Priority = Priority(0);

    fn line(tenant: &str) -> Line {
        let owner = Owner { tenant: tenant.parse().unwrap(), principal: "p".parse().unwrap() };
        Line { owner, session: None }
    }

    #[tokio::test]
    async fn a_seat_is_held_once() {
        let slots = Slots::new(2);
        let one = slots.take(line("a"), SHARE, NORMAL).await;
        let two = slots.take(line("a"), SHARE, NORMAL).await;
        assert_ne!(one.seat(), two.seat());
        let mut third = Box::pin(slots.take(line("a"), SHARE, NORMAL));
        assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let usage = Usage { slots_free: 0, seats: 8, seats_free: 6, to_begin: 1, to_go_on: 0 };
        assert_eq!((slots.free(), slots.usage()), (0, usage));
        drop(third);
        let freed = one.seat();
        drop(one);
        assert_eq!(slots.take(line("a"), SHARE, NORMAL).await.seat(), freed);
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_slot() {
        let slots = Slots::new(1);
        let held = slots.take(line("a"), SHARE, NORMAL).await;
        let mut waiting = Box::pin(slots.take(line("a"), SHARE, NORMAL));
        let mut called = Box::pin(slots.take(line("a"), SHARE, NORMAL));
        let mut task = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        assert!(called.as_mut().poll(&mut task).is_pending());
        drop(waiting);
        drop(held);
        // This one has been called, and does not know it yet.
        assert_eq!(slots.free(), 0);
        drop(called);
        assert_eq!(slots.free(), 1);
        assert!(slots.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_computed_for_a_slice_gives_way_and_goes_on_later() {
        let slots = Slots::new(1);
        let mut long = slots.take(line("a"), SHARE, NORMAL).await;
        assert!(tokio::time::timeout(10 * SLICE, long.wanted()).await.is_err(), "nobody else is there");
        let begun = Instant::now();
        let other = slots.clone();
        let short = tokio::spawn(async move {
            let slot = other.take(line("b"), SHARE, NORMAL).await;
            (slot.seat(), Instant::now())
        });
        long.wanted().await;
        long.give_way().await;
        let (seat, at) = short.await.unwrap();
        assert_ne!(seat, long.seat());
        assert_eq!(at, begun);
        assert_eq!(slots.free(), 0);
        drop(long);
        assert!(slots.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slice_is_not_cut_short() {
        let slots = Slots::new(1);
        let long = slots.take(line("a"), SHARE, NORMAL).await;
        let begun = Instant::now();
        let mut waits = Box::pin(slots.take(line("b"), SHARE, NORMAL));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        long.wanted().await;
        assert!(begun.elapsed() >= SLICE);
    }

    #[tokio::test]
    async fn who_is_stopped_while_it_gives_way_leaves_nothing_behind() {
        let slots = Slots::new(1);
        let mut long = slots.take(line("a"), SHARE, NORMAL).await;
        let mut short = Box::pin(slots.take(line("b"), SHARE, NORMAL));
        let mut task = Context::from_waker(Waker::noop());
        assert!(short.as_mut().poll(&mut task).is_pending());
        let mut giving_way = Box::pin(long.give_way());
        assert!(giving_way.as_mut().poll(&mut task).is_pending());
        drop(giving_way);
        drop(long);
        drop(short.await);
        assert_eq!(slots.free(), 1);
        assert!(slots.is_idle());
    }
}
