//! The compilers: whose module is compiled now, and whose waits.
//!
//! Comes in: a module of a tenant. Goes out: to a process of the engine's.
//!
//! Promise: of one tenant at most one module is compiled at a time, and of all
//! no more than there are processors; a tenant's turns are given in the order
//! in which they were asked for.
//!
//! Another line of this kind is that of archives which are packed or unpacked: they
//! take time, too, and no tenant's may keep others' waiting.
//!
//! Not here: what a compilation may take (`engine`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::ids::TenantId;
use crate::limits::COMPILES_WAITING_MAX;

/// A tenant asked for too much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{COMPILES_WAITING_MAX} modules of this tenant wait to be compiled, the most that may; try again later")]
pub struct LineFull;

/// The lines of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Compilers {
    /// One permit for each compilation that may go on.
    all: Arc<Semaphore>,
    lines: Arc<Mutex<HashMap<TenantId, Line>>>,
}

/// One tenant's line. It is there while somebody has a place in it.
struct Line {
    turn: Arc<Semaphore>,
    places: usize,
}

/// A place in a tenant's line; dropping it gives it up.
pub struct Place {
    compilers: Compilers,
    tenant: TenantId,
    turn: Arc<Semaphore>,
}

/// The right to compile one module; dropping it lets the next one compile.
#[must_use = "whoever drops it compiles without a right to"]
pub struct Turn<P> {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    /// Kept until then, so that the line is still there for whoever comes next.
    _place: P,
}

impl Default for Compilers {
    /// As many at once as there are processors, and two at least: one tenant
    /// alone must never keep all others waiting.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { all: Arc::new(Semaphore::new(cores.max(2))), lines: Arc::default() }
    }
}

impl Compilers {
    /// A place at the end of the tenant's line, unless too many wait there.
    pub fn enter(&self, tenant: &TenantId) -> Result<Place, LineFull> {
        let mut lines = self.lines();
        // One of those who have a place is at work.
        let full = lines.get(tenant).is_some_and(|line| line.places > COMPILES_WAITING_MAX);
        if full { Err(LineFull) } else { Ok(self.place(&mut lines, tenant)) }
    }

    /// The same for what was accepted before, and is bounded as that is.
    pub fn enter_anyway(&self, tenant: &TenantId) -> Place {
        self.place(&mut self.lines(), tenant)
    }

    /// How many modules are compiled now, or wait for it.
    pub fn count(&self) -> usize {
        self.lines().values().map(|line| line.places).sum()
    }

    fn place(&self, lines: &mut HashMap<TenantId, Line>, tenant: &TenantId) -> Place {
        let line = lines.entry(tenant.clone()).or_insert_with(|| Line { turn: Arc::new(Semaphore::new(1)), places: 0 });
        line.places += 1;
        Place { compilers: self.clone(), tenant: tenant.clone(), turn: Arc::clone(&line.turn) }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<TenantId, Line>> {
        // Nothing that can panic is done with a line half changed.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the tenant's earlier modules are compiled, and then until
    /// there is a processor for it: in this order, so that nobody who waits for
    /// their own keeps a processor from others.
    pub async fn turn(&self) -> Turn<&Place> {
        let (of_tenant, of_all) = self.permits().await;
        Turn { _of_tenant: of_tenant, _of_all: of_all, _place: self }
    }

    /// The same for work that may outlive who asked for it.
    pub async fn into_turn(self) -> Turn<Place> {
        let (of_tenant, of_all) = self.permits().await;
        Turn { _of_tenant: of_tenant, _of_all: of_all, _place: self }
    }

    async fn permits(&self) -> (OwnedSemaphorePermit, OwnedSemaphorePermit) {
        let of_tenant = Arc::clone(&self.turn).acquire_owned().await.expect("the semaphore is never closed");
        let of_all = Arc::clone(&self.compilers.all).acquire_owned().await.expect("the semaphore is never closed");
        (of_tenant, of_all)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.compilers.lines();
        let Some(line) = lines.get_mut(&self.tenant) else { return };
        line.places -= 1;
        if line.places == 0 {
            lines.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn b04_one_of_a_tenant_compiles_at_a_time_and_others_do_not_wait_for_it() {
        let compilers = Compilers::default();
        let (first, second) = (compilers.enter(&tenant("a")).unwrap(), compilers.enter(&tenant("a")).unwrap());
        let turn = first.turn().await;
        let waits = second.turn();
        tokio::pin!(waits);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), &mut waits).await.is_err());
        let other = compilers.enter(&tenant("b")).unwrap();
        let _other = other.turn().await;
        drop(turn);
        let _second = waits.await;
    }

    #[test]
    fn b04_a_tenant_s_line_is_bounded_and_leaves_nothing_behind() {
        let compilers = Compilers::default();
        let mut places: Vec<_> = (0..=COMPILES_WAITING_MAX).map(|_| compilers.enter(&tenant("a")).unwrap()).collect();
        assert_eq!(compilers.enter(&tenant("a")).err(), Some(LineFull));
        assert!(compilers.enter(&tenant("b")).is_ok());
        places.push(compilers.enter_anyway(&tenant("a")));
        places.truncate(1);
        assert!(compilers.enter(&tenant("a")).is_ok());
        places.clear();
        assert!(compilers.lines().is_empty());
    }
}
