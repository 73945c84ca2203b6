//! Who may hold how many connections, streams and large bodies.
//!
//! Comes in: each connection as it is accepted, and the tenant of its first
//! request with a valid key.
//! Goes out: a place for it, which is given back when it is dropped, or a refusal.
//!
//! Promise: those without a key never keep anybody out: when their half of the
//! places is taken, the one that has been there longest gives way, and a client
//! with a key shows it at once. No tenant takes more than half of the other half.
//!
//! Not here: how fast requests may come, and how many jobs they may start.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

use crate::ids::TenantId;
use crate::limits;

/// All places of the server. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: Most,
    taken: Mutex<Taken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most {
    unknown: usize,
    known: usize,
    /// Connections of one tenant.
    tenant: usize,
    /// Streams of one tenant: each holds a connection for long.
    streams: usize,
    large: usize,
}

#[derive(Debug, Default)]
struct Taken {
    /// Connections that have shown no valid key, oldest first, and how each is told to go.
    unknown: BTreeMap<u64, CancellationToken>,
    accepted: u64,
    known: usize,
    tenants: HashMap<TenantId, Counts>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    connections: usize,
    streams: usize,
    large: usize,
}

/// How the places are used at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// Connections that were accepted since the start.
    pub(super) accepted: u64,
    /// Those that are open and have shown no valid key, and those that have.
    pub(super) unknown: usize,
    pub(super) known: usize,
    /// The most that may be open.
    pub(super) most: usize,
    pub(super) streams: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("the tenant has {0} connections open, the most it may have; use one for several requests")]
    Connections(usize),
    #[error("the server has {0} connections open, the most it may have; try again in a moment")]
    Server(usize),
    #[error("the tenant has {0} streams and waiting requests open, the most it may have; end one of them first")]
    Streams(usize),
    #[error("the tenant is sending or fetching {0} modules and large files, the most at once; wait until one is done")]
    Large(usize),
}

/// What a connection holds.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    tenant: Option<TenantId>,
}

/// What a stream or a large body holds while it goes on.
#[derive(Debug)]
pub(super) struct Share {
    places: Places,
    tenant: TenantId,
    kind: Kind,
}

/// What a tenant holds beside connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A followed output, a streaming run, or a request that waits for its job.
    Stream,
    /// A module or file on its way in, or much on its way out, which lies on the disk or in memory meanwhile.
    Large,
}

impl Most {
    fn of(connections: usize) -> Self {
        let unknown = connections / 2;
        let known = connections - unknown;
        let tenant = limits::CONNECTIONS_PER_TENANT_MAX.min(known / 2).max(1);
        Self {
            unknown,
            known,
            tenant,
            streams: limits::STREAMS_PER_TENANT_MAX.min(tenant / 2).max(1),
            large: limits::LARGE_PER_TENANT_MAX.min(tenant / 2).max(1),
        }
    }
}

impl Places {
    /// For so many connections at once.
    pub(super) fn new(connections: usize) -> Self {
        Self(Arc::new(Shared { most: Most::of(connections), taken: Mutex::default() }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, and by what it is told to give it up.
    pub(super) fn enter(&self) -> (Place, CancellationToken) {
        let mut taken = self.taken();
        if taken.unknown.len() >= self.0.most.unknown
            && let Some((_, oldest)) = taken.unknown.pop_first()
        {
            oldest.cancel();
        }
        taken.accepted += 1;
        let (number, gone) = (taken.accepted, CancellationToken::new());
        taken.unknown.insert(number, gone.clone());
        (Place { places: self.clone(), number, tenant: None }, gone)
    }

    /// How they are used now.
    pub(super) fn usage(&self) -> Usage {
        let (taken, Most { unknown, known, .. }) = (self.taken(), self.0.most);
        Usage {
            accepted: taken.accepted,
            unknown: taken.unknown.len(),
            known: taken.known,
            most: unknown + known,
            streams: taken.tenants.values().map(|counts| counts.streams).sum(),
        }
    }

    /// Room for one more of the tenant's streams or large bodies.
    pub(super) fn share(&self, tenant: &TenantId, kind: Kind) -> Result<Share, Full> {
        let most = self.0.most;
        let mut taken = self.taken();
        let counts = taken.tenants.entry(tenant.clone()).or_default();
        let (count, limit, full) = match kind {
            Kind::Stream => (&mut counts.streams, most.streams, Full::Streams(most.streams)),
            Kind::Large => (&mut counts.large, most.large, Full::Large(most.large)),
        };
        if *count >= limit {
            return Err(full);
        }
        *count += 1;
        Ok(Share { places: self.clone(), tenant: tenant.clone(), kind })
    }
}

impl Taken {
    /// Counts one less, and forgets a tenant that holds nothing.
    fn give_back(&mut self, tenant: &TenantId, count: impl FnOnce(&mut Counts) -> &mut usize) {
        let Some(counts) = self.tenants.get_mut(tenant) else { return };
        *count(counts) -= 1;
        if *counts == Counts::default() {
            self.tenants.remove(tenant);
        }
    }
}

impl Place {
    /// The connection is that of the first tenant who shows a key on it.
    pub(super) fn belongs_to(&mut self, tenant: &TenantId) -> Result<(), Full> {
        if self.tenant.is_some() {
            return Ok(());
        }
        let most = self.places.0.most;
        let mut taken = self.places.taken();
        if taken.tenants.get(tenant).is_some_and(|counts| counts.connections >= most.tenant) {
            return Err(Full::Connections(most.tenant));
        }
        if taken.known >= most.known {
            return Err(Full::Server(most.known));
        }
        taken.unknown.remove(&self.number);
        taken.known += 1;
        taken.tenants.entry(tenant.clone()).or_default().connections += 1;
        drop(taken);
        self.tenant = Some(tenant.clone());
        Ok(())
    }

    /// The places that this is one of.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match &self.tenant {
            None => drop(taken.unknown.remove(&self.number)),
            Some(tenant) => {
                taken.known -= 1;
                taken.give_back(tenant, |counts| &mut counts.connections);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let kind = self.kind;
        self.places.taken().give_back(&self.tenant, |counts| match kind {
            Kind::Stream => &mut counts.streams,
            Kind::Large => &mut counts.large,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn those_without_a_key_give_way_in_their_order() {
        let places = Places::new(8);
        let mut all: Vec<_> = (0..4).map(|_| places.enter()).collect();
        all[0].0.belongs_to(&tenant("a")).unwrap();
        let _more: Vec<_> = (0..2).map(|_| places.enter()).collect();
        let told: Vec<_> = all.iter().map(|(_, gone)| gone.is_cancelled()).collect();
        assert_eq!(told, [false, true, false, false], "the first has shown a key");
    }

    #[test]
    fn a_tenant_takes_no_more_than_its_share() {
        let places = Places::new(16);
        let mut held: Vec<_> = (0..4).map(|_| places.enter().0).collect();
        held.iter_mut().for_each(|place| place.belongs_to(&tenant("a")).unwrap());
        let mut more = places.enter().0;
        assert_eq!(more.belongs_to(&tenant("a")), Err(Full::Connections(4)));
        assert_eq!(more.belongs_to(&tenant("b")), Ok(()));
        held.pop();
        assert_eq!(places.enter().0.belongs_to(&tenant("a")), Ok(()));
    }

    #[test]
    fn tenants_together_leave_the_other_half() {
        let places = Places::new(4);
        let mut held: Vec<_> = (0..2).map(|_| places.enter().0).collect();
        held[0].belongs_to(&tenant("a")).unwrap();
        held[1].belongs_to(&tenant("b")).unwrap();
        assert_eq!(places.enter().0.belongs_to(&tenant("c")), Err(Full::Server(2)));
    }

    #[test]
    fn what_is_dropped_is_given_back_and_forgotten() {
        let places = Places::new(16);
        let streams: Vec<_> = (0..2).map(|_| places.share(&tenant("a"), Kind::Stream).unwrap()).collect();
        assert_eq!(places.share(&tenant("a"), Kind::Stream).unwrap_err(), Full::Streams(2));
        let upload = places.share(&tenant("a"), Kind::Large).unwrap();
        let mut place = places.enter().0;
        place.belongs_to(&tenant("a")).unwrap();
        assert_eq!(places.usage(), Usage { accepted: 1, unknown: 0, known: 1, most: 16, streams: 2 });
        drop((streams, upload, place));
        assert_eq!(places.usage(), Usage { accepted: 1, unknown: 0, known: 0, most: 16, streams: 0 });
        assert!(places.taken().tenants.is_empty());
        assert_eq!(places.taken().known, 0);
    }
}
