//! API keys: made once, shown once, kept as hashes.
//!
//! Promise: the server cannot tell anybody a key, since it stores only its
//! SHA-256; a deleted key is refused from the moment its deletion is answered.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sha2::Digest as _;
use sha2::Sha256;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::caller::Caller;
use crate::model::caller::Owner;
use crate::model::caller::Scope;
use crate::store::Key;

/// What is stored of a key.
pub type KeyHash = [u8; 32];

/// A key of 244 random bits. The prefix tells people and secret scanners what
/// it is.
fn new_key() -> String {
    format!("ssk_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// A new key for its owner, and its text, which is nowhere else.
pub fn make(owner: Owner, scopes: BTreeSet<Scope>, created_at: Timestamp) -> (Key, String) {
    let text = new_key();
    let (id, hash) = (Uuid::new_v4().to_string(), hash(&text));
    (Key { id, hash, owner, scopes, created_at, last_used_at: None }, text)
}

/// What is stored of `key`. A plain hash is enough: a key is random, so there
/// is no word list to try.
pub fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// Every key that is valid now, by its hash.
#[derive(Default)]
pub struct KeyRing {
    keys: RwLock<HashMap<KeyHash, Valid>>,
}

/// A valid key.
struct Valid {
    caller: Caller,
    /// In microseconds, like all moments on record; 0 if it was never used here.
    used_at: AtomicI64,
    /// The last use that the store knows of.
    noted_at: AtomicI64,
}

impl KeyRing {
    /// The keys on record.
    pub fn new(keys: impl IntoIterator<Item = (KeyHash, Caller)>) -> Self {
        let ring = Self::default();
        keys.into_iter().for_each(|(hash, caller)| ring.add(hash, caller));
        ring
    }

    /// Who `key` speaks for. Looking up by hash tells nothing about a key by
    /// the time it takes: a guess that is off by a bit has another hash.
    pub fn caller(&self, key: &str, now: Timestamp) -> Option<Caller> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(&hash(key))?;
        key.used_at.fetch_max(now.micros(), Ordering::Relaxed);
        Some(key.caller.clone())
    }

    /// Whether it is valid, which is no use of it.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).contains_key(&hash(key))
    }

    /// Whether nobody can use the server yet.
    pub fn is_empty(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// When a key was last used since the start, if it was.
    pub(super) fn used_at(&self, hash: &KeyHash) -> Option<Timestamp> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let used_at = keys.get(hash)?.used_at.load(Ordering::Relaxed);
        (used_at > 0).then(|| Timestamp::from_micros(used_at))
    }

    /// Uses that are at least `grain` later than what was handed out here before.
    pub(super) fn unnoted(&self, grain: Duration) -> Vec<(KeyHash, Timestamp)> {
        let grain = i64::try_from(grain.as_micros()).unwrap_or(i64::MAX);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let uses = keys.iter().filter_map(|(hash, key)| {
            let (used_at, noted_at) = (key.used_at.load(Ordering::Relaxed), key.noted_at.load(Ordering::Relaxed));
            (used_at > noted_at && used_at - noted_at >= grain).then(|| {
                key.noted_at.store(used_at, Ordering::Relaxed);
                (*hash, Timestamp::from_micros(used_at))
            })
        });
        uses.collect()
    }

    pub(super) fn add(&self, hash: KeyHash, caller: Caller) {
        let key = Valid { caller, used_at: AtomicI64::new(0), noted_at: AtomicI64::new(0) };
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(hash, key);
    }

    pub(super) fn retain(&self, keep: impl Fn(&KeyHash, &Caller) -> bool) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|hash, key| keep(hash, &key.caller));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::Owner;

    #[test]
    fn a_key_is_known_by_its_hash_alone() {
        let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
        let caller = Caller { owner, scopes: [].into() };
        let key = new_key();
        let ring = KeyRing::new([(hash(&key), caller.clone())]);
        assert_eq!(ring.caller(&key, at(1)), Some(caller));
        assert_eq!(ring.caller("ssk_0", at(1)), None);
        ring.retain(|known, _| *known != hash(&key));
        assert_eq!(ring.caller(&key, at(1)), None);
        assert_ne!(new_key(), new_key());
    }

    #[test]
    fn a_key_s_use_is_noted_once_in_a_while() {
        let owner = Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() };
        let (key, minute) = (new_key(), Duration::from_secs(60));
        let ring = KeyRing::new([(hash(&key), Caller { owner, scopes: [].into() })]);
        assert_eq!((ring.used_at(&hash(&key)), ring.unnoted(Duration::ZERO)), (None, vec![]));
        ring.caller(&key, at(100)).unwrap();
        assert_eq!(ring.unnoted(minute), [(hash(&key), at(100))]);
        ring.caller(&key, at(101)).unwrap();
        assert_eq!(ring.used_at(&hash(&key)), Some(at(101)));
        assert_eq!(ring.unnoted(minute), []);
        assert_eq!(ring.unnoted(Duration::ZERO), [(hash(&key), at(101))]);
        assert_eq!(ring.unnoted(Duration::ZERO), []);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }
}
