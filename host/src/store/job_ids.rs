//! Ids of jobs, and where they lie in their index.
//!
//! The ids that we choose are random to whoever sees them. If they lay in the index
//! like that, each new job would change a page anywhere in it, and the more jobs are on
//! record the fewer of these pages would be in memory. So we count in the order of time,
//! tell what a secret permutation makes of that, and put each id at the place that it
//! came from. Nothing depends on nobody guessing an id: each owner sees its own jobs only.
//!
//! Promise: no two ids have one place, whoever chose them. New ones of ours lie together.

use rusqlite::Connection;
use sha2::Digest as _;
use sha2::Sha256;
use uuid::Uuid;
use uuid::Variant;

use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::rows;

/// The permutation of this database.
pub(super) struct JobIds {
    key: [u8; 32],
}

/// The bits of a UUIDv4 that are free; the others say that it is one.
const FREE_BITS: u32 = 122;
const HALF_BITS: u32 = FREE_BITS / 2;
const HALF: u64 = (1 << HALF_BITS) - 1;
/// With so many, what comes out of a Feistel network cannot be told from chance (Luby and Rackoff, 1988).
const ROUNDS: u8 = 4;
/// The free bits beneath the time, which has 48: milliseconds since 1970.
const RANDOM_BITS: u32 = FREE_BITS - 48;

impl Store {
    /// An id that no job has had.
    pub fn new_job_id(&self, now: Timestamp) -> JobId {
        let millis = u128::try_from(now.micros() / 1_000).unwrap_or(0);
        let random = free_bits(Uuid::new_v4());
        let place = (millis << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1)) & ((1 << FREE_BITS) - 1);
        JobId::from(uuid(self.job_ids().permuted(place)))
    }

    pub(super) fn job_ids(&self) -> &JobIds {
        &self.inner.shared.job_ids
    }
}

impl JobIds {
    /// Chooses a permutation for a database that has none.
    pub(super) fn choose(db: &Connection) -> Result<JobIds, StoreError> {
        let mut key = [0; 32];
        let (head, tail) = key.split_at_mut(16);
        head.copy_from_slice(Uuid::new_v4().as_bytes());
        tail.copy_from_slice(Uuid::new_v4().as_bytes());
        rows::change(db, "INSERT INTO job_id_order (key) VALUES (?1)", [&key[..]])?;
        Ok(JobIds { key })
    }

    pub(super) fn load(db: &Connection) -> Result<JobIds, StoreError> {
        let key: Option<Vec<u8>> = rows::one(db, "SELECT key FROM job_id_order", [], |row| row.get("key"))?;
        let key = key.and_then(|key| key.try_into().ok());
        Ok(JobIds { key: key.ok_or_else(|| StoreError::Broken("the order of job ids is lost".to_owned()))? })
    }

    /// Where an id lies in the index.
    pub(super) fn place(&self, id: &JobId) -> String {
        let ours = Uuid::try_parse(id.as_str()).ok().filter(|uuid| {
            let is_v4 = uuid.get_version_num() == 4 && uuid.get_variant() == Variant::RFC4122;
            is_v4 && JobId::from(*uuid) == *id
        });
        match ours {
            // No id begins like that.
            Some(uuid) => format!("~{:031x}", self.unpermuted(free_bits(uuid))),
            None => id.as_str().to_owned(),
        }
    }

    fn permuted(&self, place: u128) -> u128 {
        let (left, right) =
            (0..ROUNDS).fold(halves(place), |(left, right), round| (right, left ^ self.mixed(round, right)));
        u128::from(left) << HALF_BITS | u128::from(right)
    }

    fn unpermuted(&self, free: u128) -> u128 {
        let (left, right) =
            (0..ROUNDS).rev().fold(halves(free), |(left, right), round| (right ^ self.mixed(round, left), left));
        u128::from(left) << HALF_BITS | u128::from(right)
    }

    fn mixed(&self, round: u8, half: u64) -> u64 {
        let hash =
            Sha256::new().chain_update(self.key).chain_update([round]).chain_update(half.to_be_bytes()).finalize();
        let head = hash.first_chunk().expect("a SHA-256 is longer");
        u64::from_be_bytes(*head) & HALF
    }
}

fn halves(bits: u128) -> (u64, u64) {
    let half = |bits: u128| bits as u64 & HALF;
    (half(bits >> HALF_BITS), half(bits))
}

/// Those of a UUIDv4, in its order: 48, 12 and 62.
fn free_bits(uuid: Uuid) -> u128 {
    let bits = uuid.as_u128();
    bits >> 80 << 74 | (bits >> 64 & 0xfff) << 62 | bits & ((1 << 62) - 1)
}

/// The UUIDv4 that has these free bits.
fn uuid(free: u128) -> Uuid {
    let bits = free >> 74 << 80 | 4 << 76 | (free >> 62 & 0xfff) << 64 | 2 << 62 | free & ((1 << 62) - 1);
    Uuid::from_u128(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(key: u8) -> JobIds {
        JobIds { key: [key; 32] }
    }

    fn id(text: &str) -> JobId {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_permutation_can_be_undone_and_gives_uuids(place in 0..1_u128 << FREE_BITS, key: u8) {
            let ids = ids(key);
            let told = uuid(ids.permuted(place));
            prop_assert_eq!((told.get_version_num(), told.get_variant()), (4, Variant::RFC4122));
            prop_assert_eq!(free_bits(told), ids.permuted(place));
            prop_assert_eq!(ids.place(&JobId::from(told)), format!("~{place:031x}"));
        }

        #[test]
        fn whatever_else_is_an_id_lies_under_itself(text in "[A-Za-z0-9][A-Za-z0-9._-]{0,60}") {
            prop_assert_eq!(ids(1).place(&id(&text)), text);
        }
    }

    #[test]
    fn only_the_way_that_we_write_a_uuid_is_taken_for_one() {
        let ids = ids(1);
        let ours = "c0ffee00-1111-4222-8333-44444444aaaa";
        assert!(ids.place(&id(ours)).starts_with('~'));
        for other in [
            "C0FFEE00-1111-4222-8333-44444444AAAA",
            "c0ffee0011114222833344444444aaaa",
            "c0ffee00-1111-7222-8333-44444444aaaa",
            "c0ffee00-1111-4222-c333-44444444aaaa",
        ] {
            assert_eq!(ids.place(&id(other)), other);
        }
    }

    #[test]
    fn places_follow_the_order_of_time_and_ids_do_not() {
        let ids = ids(7);
        let told: Vec<_> = (0..64_u128).map(|millis| JobId::from(uuid(ids.permuted(millis << RANDOM_BITS)))).collect();
        assert!(told.is_sorted_by_key(|id| ids.place(id)));
        assert!(!told.is_sorted());
        let again: Vec<_> =
            (0..64).map(|millis| JobId::from(uuid(self::ids(8).permuted(millis << RANDOM_BITS)))).collect();
        assert!(told.iter().zip(&again).all(|(one, other)| one != other), "another key, other ids");
    }
}
