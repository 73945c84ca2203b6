//! How Wasmtime is set up, with the reasons.
//!
//! Promise: both engines make and take the same artefacts, so a module can be
//! loaded into either.

use std::hash::Hash;
use std::hash::Hasher;

use sha2::Digest as _;
use sha2::Sha256;
use wasmtime::Config;
use wasmtime::Enabled;
use wasmtime::InstanceAllocationStrategy;
use wasmtime::OptLevel;
use wasmtime::PoolingAllocationConfig;
use wasmtime::Strategy;

use crate::limits::MEMORY_BYTES_MAX;

/// Core instances of one store: a component built from a core module has three or four.
const INSTANCES_PER_SEAT: u32 = 16;
/// Memories and tables of one store; more of them and the module runs on demand.
const MEMORIES_PER_SEAT: u32 = 4;
const TABLES_PER_SEAT: u32 = 8;
/// Elements of one table in the pool: function tables of real programs have some thousands.
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Memory that stays resident between two uses of a place: a guest then starts without page
/// faults. Programs of Rust and C have a megabyte of stack first, and their data behind it.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// The two Wasmtime engines of a server.
pub(super) struct Engines {
    /// Instances come from a pool of prepared memory: three times as fast.
    pub(super) pooling: wasmtime::Engine,
    /// For modules whose memories or tables do not fit into the pool's places.
    pub(super) on_demand: wasmtime::Engine,
    fingerprint: String,
}

impl Engines {
    /// Both engines, for at most `seats` guests at once.
    pub(super) fn new(seats: usize) -> wasmtime::Result<Self> {
        let seats = u32::try_from(seats)?;
        let mut config = tunables();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(seats)));
        let pooling = wasmtime::Engine::new(&config)?;
        let on_demand = on_demand()?;
        let fingerprint = fingerprint(&pooling);
        if fingerprint != self::fingerprint(&on_demand) {
            return Err(wasmtime::Error::msg("the two engines do not take the same artefacts"));
        }
        Ok(Self { pooling, on_demand, fingerprint })
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// An engine that reserves nothing until an instance needs it.
pub(super) fn on_demand() -> wasmtime::Result<wasmtime::Engine> {
    let mut config = tunables();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    wasmtime::Engine::new(&config)
}

/// What both engines share; all of it goes into the artefacts.
fn tunables() -> Config {
    let mut config = Config::new();
    // Winch is younger than Cranelift and had more of the year's advisories.
    config.strategy(Strategy::Cranelift).cranelift_opt_level(OptLevel::Speed);
    // Lets a computing guest be stopped; fuel would do it too, at twice the price.
    config.epoch_interruption(true);
    // Proposals that nobody's jobs need yet are out of reach of nobody's exploits. Garbage
    // collection, exceptions, threads and async components are not even compiled in.
    config.wasm_memory64(false).wasm_multi_memory(false);
    config.shared_memory(false).concurrency_support(false).gc_support(false);
    // Registering unwind tables is linear in the modules loaded: 90 ms a job with 10,000 of them.
    config.native_unwind_info(false);
    config.memory_init_cow(true);
    // Wasm may use 1 MiB of stack, and at least as much again is there for our own functions.
    config.max_wasm_stack(1 << 20).async_stack_size(2 << 20);
    config
}

fn pool(seats: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(seats.saturating_mul(INSTANCES_PER_SEAT));
    pool.total_component_instances(seats.saturating_mul(INSTANCES_PER_SEAT));
    pool.total_memories(seats.saturating_mul(MEMORIES_PER_SEAT));
    pool.total_tables(seats.saturating_mul(TABLES_PER_SEAT));
    pool.total_stacks(seats.saturating_mul(2));
    pool.max_core_instances_per_component(INSTANCES_PER_SEAT);
    pool.max_memories_per_component(MEMORIES_PER_SEAT);
    pool.max_tables_per_component(TABLES_PER_SEAT);
    pool.max_memories_per_module(1);
    pool.max_tables_per_module(MEMORIES_PER_SEAT);
    pool.max_memory_size(usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX));
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
    pool.table_keep_resident(KEEP_RESIDENT_BYTES);
    pool.pagemap_scan(Enabled::Auto);
    pool
}

/// Feeds what is hashed into SHA-256: unlike the standard hashers it gives the
/// same answer in the next process.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Nobody asks a `Sha` for 64 bits; the digest is taken instead.
        0
    }
}

/// See [`Engine::fingerprint`](crate::engine::Engine::fingerprint).
pub(super) fn fingerprint(engine: &wasmtime::Engine) -> String {
    let mut hasher = Sha(Sha256::new());
    // The full version of Wasmtime is part of this; the check at loading sees only the major one.
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_same_for_every_engine_of_one_build() {
        let (one, other) = (Engines::new(1).unwrap(), Engines::new(2).unwrap());
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint().len(), 64);
    }

    #[test]
    fn the_fingerprint_changes_with_what_artefacts_depend_on() {
        let mut config = tunables();
        config.epoch_interruption(false);
        let other = wasmtime::Engine::new(&config).unwrap();
        assert_ne!(fingerprint(&other), Engines::new(1).unwrap().fingerprint());
    }
}
