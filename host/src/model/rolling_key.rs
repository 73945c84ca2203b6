//! Session keys that roll on with every accepted request (R28), known in HTTP
//! as `Session-Key`.
//!
//! Promise: a key is derived from the server's secret, the session's number and
//! the key's number, so nothing is stored that anybody could use; whoever has
//! one key of a session knows nothing of the next; and comparing takes as long
//! for a wrong key as for the right one.
//!
//! Not here: which number is the newest. That is on record with the session,
//! and moves on in the commit that accepts a request (`store`).

use std::fmt;

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Sha256;

use crate::model::session::Session;
use crate::model::session::SessionKey;

/// Keeps these keys apart from whatever else is derived from the secret.
const PURPOSE: &[u8] = b"sessile session key\0";

/// Tells people and secret scanners what it is.
const PREFIX: &str = "sek_";

/// Which of a session's keys, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyNumber(pub u64);

impl KeyNumber {
    /// The one that the answer to a session's creation carries.
    pub const FIRST: KeyNumber = KeyNumber(1);

    /// The one that is handed out for this one.
    pub fn next(self) -> KeyNumber {
        KeyNumber(self.0.saturating_add(1))
    }
}

/// Names one key: whose it is, and which of its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName {
    pub session: SessionKey,
    pub number: KeyNumber,
}

impl KeyName {
    /// The one that is handed out for this one.
    pub fn next(self) -> KeyName {
        KeyName { number: self.number.next(), ..self }
    }

    /// The one that this one was handed out for; `None` for a session's first.
    pub fn before(self) -> Option<KeyName> {
        let number = self.number.0.checked_sub(1).map(KeyNumber).filter(|number| *number >= KeyNumber::FIRST)?;
        Some(KeyName { number, ..self })
    }
}

/// A key as it is handed out.
#[derive(Clone, PartialEq, Eq)]
pub struct RollingKey([u8; 32]);

impl RollingKey {
    /// The text that a client carries to its next request. Never to a log.
    pub fn reveal(&self) -> String {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{hex}")
    }
}

impl fmt::Debug for RollingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RollingKey(..)")
    }
}

/// What a request showed as its key; perhaps nonsense.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownKey(Option<[u8; 32]>);

impl ShownKey {
    /// Reads what a client sent.
    pub fn read(text: &str) -> ShownKey {
        ShownKey(text.strip_prefix(PREFIX).and_then(decode))
    }
}

impl fmt::Debug for ShownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShownKey(..)")
    }
}

fn decode(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The key that a request carries is not the one that the session demands. It
/// does not say which of missing, stale and forged it is, nor what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKey;

/// Makes the keys of all sessions, and knows them again.
#[derive(Clone)]
pub struct KeyMaker(Hmac<Sha256>);

impl KeyMaker {
    pub fn new(secret: &[u8]) -> KeyMaker {
        KeyMaker(Hmac::new_from_slice(secret).expect("HMAC takes a secret of any length"))
    }

    /// The key of that name.
    pub fn key(&self, name: KeyName) -> RollingKey {
        RollingKey(self.derive(name).finalize().into_bytes().into())
    }

    /// Whether a request may enter a session: the key that it carried, or `None`
    /// for a session that demands none.
    pub fn check(&self, session: &Session, shown: Option<&ShownKey>) -> Result<Option<KeyName>, WrongKey> {
        let Some(number) = session.newest_key else { return Ok(None) };
        let newest = KeyName { session: session.key, number };
        if self.is_key(newest, shown) { Ok(Some(newest)) } else { Err(WrongKey) }
    }

    /// Whether a request that was accepted before, and was given `handed` then,
    /// may have the same answer again: whoever carries the key that it carried
    /// then, or has the answer already.
    pub fn check_retry(&self, handed: KeyName, shown: Option<&ShownKey>) -> Result<(), WrongKey> {
        let carried = handed.before().is_some_and(|carried| self.is_key(carried, shown));
        if carried || self.is_key(handed, shown) { Ok(()) } else { Err(WrongKey) }
    }

    /// Compares in constant time.
    fn is_key(&self, name: KeyName, shown: Option<&ShownKey>) -> bool {
        let Some(ShownKey(Some(bytes))) = shown else { return false };
        self.derive(name).verify_slice(bytes).is_ok()
    }

    fn derive(&self, name: KeyName) -> Hmac<Sha256> {
        let (session, number) = (name.session.0.to_be_bytes(), name.number.0.to_be_bytes());
        // Every part has a fixed length, so no two keys are derived from the same bytes.
        self.0.clone().chain_update(PURPOSE).chain_update(session).chain_update(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::caller::Owner;
    use crate::model::expiry::Terms;
    use crate::model::history::Retention;
    use crate::model::history::TransactionMode;
    use crate::model::session::QueueMode;
    use crate::model::session::SessionLimits;
    use crate::model::session::SessionState;
    use crate::model::session::Usage;

    const SESSION: SessionKey = SessionKey(7);

    fn session(newest_key: Option<KeyNumber>) -> Session {
        let moment = Timestamp::from_micros(0);
        Session {
            key: SESSION,
            id: "s".parse().unwrap(),
            owner: Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() },
            state: SessionState::Active,
            queue: QueueMode::Wait,
            limits: SessionLimits::default(),
            usage: Usage::default(),
            terms: Terms::default(),
            transaction: TransactionMode::Job,
            uncommitted: false,
            retention: Retention::default(),
            oldest_commit: 0,
            stored_bytes: 0,
            newest_key,
            commit: 0,
            created_at: moment,
            last_used_at: moment,
        }
    }

    fn name(number: u64) -> KeyName {
        KeyName { session: SESSION, number: KeyNumber(number) }
    }

    fn shown(maker: &KeyMaker, name: KeyName) -> ShownKey {
        ShownKey::read(&maker.key(name).reveal())
    }

    #[test]
    fn r28_only_the_newest_key_lets_in() {
        let maker = KeyMaker::new(b"secret");
        let keyed = session(Some(KeyNumber(3)));
        let check = |shown: Option<ShownKey>| maker.check(&keyed, shown.as_ref());
        assert_eq!(check(Some(shown(&maker, name(3)))), Ok(Some(name(3))));
        for number in [0, 1, 2, 4] {
            assert_eq!(check(Some(shown(&maker, name(number)))), Err(WrongKey), "{number}");
        }
        assert_eq!(check(None), Err(WrongKey));
        assert_eq!(check(Some(shown(&maker, KeyName { session: SessionKey(8), ..name(3) }))), Err(WrongKey));
        assert_eq!(check(Some(shown(&KeyMaker::new(b"another"), name(3)))), Err(WrongKey));
        let right = maker.key(name(3)).reveal();
        for forged in ["", "sek_", &right[4..], &right[..right.len() - 1], &format!("{right}0"), "sek_\u{e9}"] {
            assert_eq!(check(Some(ShownKey::read(forged))), Err(WrongKey), "{forged}");
        }
    }

    #[test]
    fn r28_a_session_without_keys_lets_in_whatever_is_shown() {
        let maker = KeyMaker::new(b"secret");
        assert_eq!(maker.check(&session(None), None), Ok(None));
        assert_eq!(maker.check(&session(None), Some(&ShownKey::read("x"))), Ok(None));
    }

    #[test]
    fn r28_a_retry_carries_the_key_of_then_or_the_answer_s() {
        let maker = KeyMaker::new(b"secret");
        let retry = |number| maker.check_retry(name(5), Some(&shown(&maker, name(number))));
        assert_eq!((retry(4), retry(5)), (Ok(()), Ok(())));
        assert_eq!((retry(3), retry(6)), (Err(WrongKey), Err(WrongKey)));
        assert_eq!(maker.check_retry(name(5), None), Err(WrongKey));
    }

    #[test]
    fn a_key_is_not_printed_by_accident() {
        let maker = KeyMaker::new(b"secret");
        let key = maker.key(name(1));
        let printed = format!("{key:?} {:?}", ShownKey::read(&key.reveal()));
        assert_eq!(printed, "RollingKey(..) ShownKey(..)");
    }
}
