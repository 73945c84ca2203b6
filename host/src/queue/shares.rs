//! Whose turn it is to compute: fair shares, as pure state.
//!
//! Comes in: who wants to begin on a seat, who has one and wants to go on, who
//! gives back. Goes out: who gets the next slot.
//!
//! Promise: among tenants who have work, slots are shared by weight, and what is
//! a tenant's equally among its lines (R34). Nobody who computes for long comes
//! before one who has computed less, so short jobs pass long ones. Nothing is
//! kept of a tenant or a line that has no work.
//!
//! The way is start-time fair queueing: each tenant, and each line in it, has a
//! clock that runs while it has slots, slower for more weight, and the one
//! whose clock is furthest behind is next. A slot is charged in advance with a
//! whole slice, so that one tenant is not given all slots in one moment; what
//! was not used is paid back.
//!
//! Not here: waiting, and the time of day (`slots`).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use crate::ids::SessionId;
use crate::ids::TenantId;
use crate::limits::SLICE;
use crate::model::caller::Owner;
use crate::model::schedule::Priority;

/// What a slot is used for: the jobs of one session, or all those of one
/// principal that are in none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub owner: Owner,
    pub session: Option<SessionId>,
}

/// What a tenant may have of the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Twice the weight is twice the time.
    pub weight: u32,
    /// Guests of the tenant that may have begun and not ended.
    pub running_max: usize,
}

/// A place in the line: by priority, and then by the time at which it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    priority: Reverse<Priority>,
    number: u64,
}

/// Where a line stands among those of its tenant: by the priority of its first, by its
/// clock, and by who waits longest.
type Order = (Reverse<Priority>, Clock, Ticket);

/// Time on a tenant's or line's clock, in nanoseconds for a weight of one.
type Clock = u64;

/// Who is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next<W> {
    pub(super) line: Line,
    pub(super) who: W,
    /// The seat on which it begins; `None` for one that has its seat.
    pub(super) seat: Option<usize>,
}

/// How the places are used at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub slots_free: usize,
    pub seats: usize,
    pub seats_free: usize,
    /// Who wait for a seat and a slot.
    pub to_begin: usize,
    /// Who have a seat, and wait for a slot.
    pub to_go_on: usize,
}

/// What one who waits wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// A seat, and a slot. Of one tenant's, those of higher priority come first.
    ToBegin,
    /// A slot; it has its seat.
    ToGoOn,
}

/// The slots and seats that are free, and all who wait. `W` is how one who waits
/// is told.
pub(super) struct Shares<W> {
    slots_free: usize,
    /// Numbers of seats; the last one given back is the next to be used, since
    /// its thread is warm.
    seats_free: Vec<usize>,
    seats: usize,
    tenants: HashMap<TenantId, Tenant<W>>,
    clock: Clock,
    last_number: u64,
}

struct Tenant<W> {
    share: Share,
    clock: Clock,
    /// Where the clock of a line begins.
    lines_clock: Clock,
    seated: usize,
    lines: HashMap<Line, Waiting<W>>,
    /// The lines in which somebody waits.
    to_begin: BTreeMap<Order, Line>,
    to_go_on: BTreeMap<Order, Line>,
}

/// One line. It exists while somebody waits in it or has a seat.
struct Waiting<W> {
    clock: Clock,
    seated: usize,
    to_begin: BTreeMap<Ticket, W>,
    to_go_on: BTreeMap<Ticket, W>,
}

impl<W> Shares<W> {
    /// `slots` guests may compute at once, and `seats` may have begun.
    pub(super) fn new(slots: usize, seats: usize) -> Self {
        Self {
            slots_free: slots,
            seats_free: (0..seats).rev().collect(),
            seats,
            tenants: HashMap::new(),
            clock: 0,
            last_number: 0,
        }
    }

    /// Takes a place for somebody who wants to begin or to go on. The priority
    /// of those who go on changes nothing.
    pub(super) fn join(&mut self, line: &Line, share: Share, wants: Wants, priority: Priority, who: W) -> Ticket {
        self.last_number += 1;
        let priority = match wants {
            Wants::ToBegin => priority,
            Wants::ToGoOn => Priority::default(),
        };
        let ticket = Ticket { priority: Reverse(priority), number: self.last_number };
        let clock = self.clock;
        let tenant = self.tenants.entry(line.owner.tenant.clone()).or_insert_with(|| Tenant::new(share, clock));
        tenant.share = share;
        tenant.change(line, |waiting| {
            waiting.of_mut(wants).insert(ticket, who);
        });
        ticket
    }

    /// Gives a place up. One that was called has none any more.
    pub(super) fn leave(&mut self, line: &Line, wants: Wants, ticket: Ticket) {
        self.with(line, |waiting| {
            waiting.of_mut(wants).remove(&ticket);
        });
    }

    /// Takes a slot back that was used for `used`. Whoever is wanted gives way after
    /// a slice, so that more than two of them were a time in which nobody waited,
    /// and cost nothing.
    pub(super) fn give_back_slot(&mut self, line: &Line, used: Duration) {
        self.slots_free += 1;
        let used = used.min(2 * SLICE);
        let Some(tenant) = self.tenants.get_mut(&line.owner.tenant) else { return };
        let weight = tenant.share.weight;
        tenant.clock = settled(tenant.clock, used, weight);
        tenant.change(line, |waiting| waiting.clock = settled(waiting.clock, used, 1));
    }

    /// Takes a seat back, after its slot.
    pub(super) fn give_back_seat(&mut self, line: &Line, seat: usize) {
        self.seats_free.push(seat);
        if let Some(tenant) = self.tenants.get_mut(&line.owner.tenant) {
            tenant.seated -= 1;
        }
        self.with(line, |waiting| waiting.seated -= 1);
    }

    /// Calls the next one, if a slot is free for it.
    pub(super) fn next(&mut self) -> Option<Next<W>> {
        if self.slots_free == 0 {
            return None;
        }
        let (line, wants, ticket) = self.first().map(|(line, wants, ticket)| (line.clone(), wants, ticket))?;
        let seat = match wants {
            Wants::ToBegin => Some(self.seats_free.pop()?),
            Wants::ToGoOn => None,
        };
        let tenant = self.tenants.get_mut(&line.owner.tenant)?;
        self.slots_free -= 1;
        self.clock = self.clock.max(tenant.clock);
        tenant.clock = tenant.clock.saturating_add(charge(SLICE, tenant.share.weight));
        tenant.seated += usize::from(seat.is_some());
        let mut lines_clock = tenant.lines_clock;
        let mut called = None;
        tenant.change(&line, |waiting| {
            called = waiting.of_mut(wants).remove(&ticket);
            lines_clock = lines_clock.max(waiting.clock);
            waiting.clock = waiting.clock.saturating_add(charge(SLICE, 1));
            waiting.seated += usize::from(seat.is_some());
        });
        tenant.lines_clock = lines_clock;
        called.map(|who| Next { line, who, seat })
    }

    /// Whether somebody waits who could use a slot.
    pub(super) fn is_wanted(&self) -> bool {
        self.first().is_some()
    }

    /// How many slots nobody has.
    pub(super) fn slots_free(&self) -> usize {
        self.slots_free
    }

    /// How the places are used now.
    pub(super) fn usage(&self) -> Usage {
        let lines = || self.tenants.values().flat_map(|tenant| tenant.lines.values());
        Usage {
            slots_free: self.slots_free,
            seats: self.seats,
            seats_free: self.seats_free.len(),
            to_begin: lines().map(|line| line.to_begin.len()).sum(),
            to_go_on: lines().map(|line| line.to_go_on.len()).sum(),
        }
    }

    /// Whether nobody waits or has a seat.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// The one whose clock is furthest behind, of those who could use a slot.
    fn first(&self) -> Option<(&Line, Wants, Ticket)> {
        let firsts = self.tenants.values().filter_map(|tenant| {
            let (wants, ticket, line) = tenant.first(self.may_begin(tenant))?;
            Some(((tenant.clock, ticket.number), (line, wants, ticket)))
        });
        firsts.min_by_key(|(order, _)| *order).map(|(_, first)| first)
    }

    /// The last quarter of the seats is kept for tenants that have none, so that
    /// a few greedy ones cannot sit on all of them.
    fn may_begin(&self, tenant: &Tenant<W>) -> bool {
        let free = self.seats_free.len();
        let is_first = tenant.seated == 0;
        free > 0 && tenant.seated < tenant.share.running_max && (is_first || free > self.seats / 4)
    }

    /// Changes a line that is there, and forgets its tenant with its last one.
    fn with(&mut self, line: &Line, change: impl FnOnce(&mut Waiting<W>)) {
        let Some(tenant) = self.tenants.get_mut(&line.owner.tenant) else { return };
        if tenant.lines.contains_key(line) {
            tenant.change(line, change);
        }
        if tenant.lines.is_empty() {
            self.tenants.remove(&line.owner.tenant);
        }
        if self.tenants.is_empty() {
            self.clock = 0;
        }
    }
}

impl<W> Tenant<W> {
    fn new(share: Share, clock: Clock) -> Self {
        Self {
            share,
            clock,
            lines_clock: 0,
            seated: 0,
            lines: HashMap::new(),
            to_begin: BTreeMap::new(),
            to_go_on: BTreeMap::new(),
        }
    }

    /// Who is next of this tenant. Of the first who begins and the first who goes on it
    /// is the one whose clock is behind: whoever has begun is not held up by priority,
    /// and holds up nobody by it.
    fn first(&self, may_begin: bool) -> Option<(Wants, Ticket, &Line)> {
        let to_begin = self.to_begin.first_key_value().filter(|_| may_begin).map(|first| (first, Wants::ToBegin));
        let to_go_on = self.to_go_on.first_key_value().map(|first| (first, Wants::ToGoOn));
        let firsts = to_begin.into_iter().chain(to_go_on);
        let (((_, _, ticket), line), wants) =
            firsts.min_by_key(|(((_, clock, ticket), _), _)| (*clock, ticket.number))?;
        Some((wants, *ticket, line))
    }

    /// Changes a line, which begins here if it is new and ends when nobody is in it.
    fn change(&mut self, line: &Line, change: impl FnOnce(&mut Waiting<W>)) {
        let clock = self.lines_clock;
        let mut waiting = match self.lines.remove(line) {
            Some(waiting) => waiting,
            None => Waiting { clock, seated: 0, to_begin: BTreeMap::new(), to_go_on: BTreeMap::new() },
        };
        for wants in [Wants::ToBegin, Wants::ToGoOn] {
            if let Some(place) = waiting.place(wants) {
                self.of_mut(wants).remove(&place);
            }
        }
        change(&mut waiting);
        for wants in [Wants::ToBegin, Wants::ToGoOn] {
            if let Some(place) = waiting.place(wants) {
                self.of_mut(wants).insert(place, line.clone());
            }
        }
        if waiting.seated > 0 || !waiting.to_begin.is_empty() || !waiting.to_go_on.is_empty() {
            self.lines.insert(line.clone(), waiting);
        }
    }

    fn of_mut(&mut self, wants: Wants) -> &mut BTreeMap<Order, Line> {
        match wants {
            Wants::ToBegin => &mut self.to_begin,
            Wants::ToGoOn => &mut self.to_go_on,
        }
    }
}

impl<W> Waiting<W> {
    fn of_mut(&mut self, wants: Wants) -> &mut BTreeMap<Ticket, W> {
        match wants {
            Wants::ToBegin => &mut self.to_begin,
            Wants::ToGoOn => &mut self.to_go_on,
        }
    }

    /// Where the line stands among the tenant's, for those who want the same.
    fn place(&self, wants: Wants) -> Option<Order> {
        let first = match wants {
            Wants::ToBegin => self.to_begin.first_key_value().map(|(ticket, _)| *ticket),
            Wants::ToGoOn => self.to_go_on.first_key_value().map(|(ticket, _)| *ticket),
        };
        first.map(|ticket| (ticket.priority, self.clock, ticket))
    }
}

fn charge(used: Duration, weight: u32) -> Clock {
    let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
    nanos / u64::from(weight.max(1))
}

/// The clock after a slot that was charged with a slice was used for `used`.
fn settled(clock: Clock, used: Duration, weight: u32) -> Clock {
    clock.saturating_sub(charge(SLICE, weight)).saturating_add(charge(used, weight))
}

#[cfg(test)]
mod tests;
