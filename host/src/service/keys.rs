//! API keys: made once, shown once, kept as hashes.
//!
//! Promise: the server cannot tell anybody a key, since it stores only its
//! SHA-256; a deleted key is refused from the moment its deletion is answered.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::RwLock;

use sha2::Digest as _;
use sha2::Sha256;
use uuid::Uuid;

use crate::model::caller::Caller;

/// What is stored of a key.
pub type KeyHash = [u8; 32];

/// A key of 244 random bits. The prefix tells people and secret scanners what
/// it is.
pub fn new_key() -> String {
    format!("ssk_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// What is stored of `key`. A plain hash is enough: a key is random, so there
/// is no word list to try.
pub fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// Every key that is valid now, by its hash.
#[derive(Default)]
pub struct KeyRing {
    callers: RwLock<HashMap<KeyHash, Caller>>,
}

impl KeyRing {
    /// The keys on record.
    pub fn new(keys: impl IntoIterator<Item = (KeyHash, Caller)>) -> Self {
        Self { callers: RwLock::new(keys.into_iter().collect()) }
    }

    /// Who `key` speaks for. Looking up by hash tells nothing about a key by
    /// the time it takes: a guess that is off by a bit has another hash.
    pub fn caller(&self, key: &str) -> Option<Caller> {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        callers.get(&hash(key)).cloned()
    }

    /// Whether nobody can use the server yet.
    pub fn is_empty(&self) -> bool {
        self.callers.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(super) fn add(&self, hash: KeyHash, caller: Caller) {
        self.callers.write().unwrap_or_else(PoisonError::into_inner).insert(hash, caller);
    }

    pub(super) fn retain(&self, keep: impl Fn(&KeyHash, &Caller) -> bool) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|hash, caller| keep(hash, caller));
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
        assert_eq!(ring.caller(&key), Some(caller));
        assert_eq!(ring.caller("ssk_0"), None);
        ring.retain(|known, _| *known != hash(&key));
        assert_eq!(ring.caller(&key), None);
        assert_ne!(new_key(), new_key());
    }
}
