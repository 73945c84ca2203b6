//! The names of things: tenants, principals, sessions, jobs, modules.
//!
//! Promise: a value of one of these types is well formed, so nobody behind the
//! front door checks a name twice, and no name can be taken for another kind.
//!
//! Not here: whether the named thing exists.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}; {rule}")]
pub struct BadName {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

/// The longest name of any kind, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

const ID_RULE: &str = "it must be 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit";
const NAME_RULE: &str = "it must be 1 to 128 of a-z 0-9 . _ - and begin with a lower-case letter or digit";

fn is_id(text: &str) -> bool {
    let tail = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(tail)
}

fn is_lower_name(text: &str) -> bool {
    is_id(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

// Shared, since the names of a job are on each of many lists while it runs.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as the client wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                if $check(text) {
                    return Ok(Self(text.into()));
                }
                // A refused name may be huge; the answer repeats only its beginning.
                let text = text.chars().take(NAME_BYTES_MAX).collect();
                Err(BadName { kind: $kind, text, rule: $rule })
            }
        }
    };
}

name!(
    /// The unit of isolation: nothing of one tenant is visible to another.
    TenantId, "tenant name", is_lower_name, NAME_RULE
);
name!(
    /// Who an API key speaks for, inside one tenant.
    PrincipalId, "principal name", is_id, ID_RULE
);
name!(
    /// Names one session of one principal. The caller chooses it, or we do.
    SessionId, "session id", is_id, ID_RULE
);
name!(
    /// Names one job of one principal. The caller chooses it, or we do.
    JobId, "job id", is_id, ID_RULE
);
name!(
    /// Names a module of one tenant; each upload under it is a version.
    ModuleName, "module name", is_lower_name, NAME_RULE
);

fn written(uuid: Uuid) -> Arc<str> {
    let mut text = Uuid::encode_buffer();
    let text: &str = uuid.hyphenated().encode_lower(&mut text);
    text.into()
}

impl SessionId {
    /// An id that nobody has used before.
    pub fn random() -> Self {
        Self(written(Uuid::new_v4()))
    }
}

impl From<Uuid> for JobId {
    /// The one way of many in which we write a UUID.
    fn from(uuid: Uuid) -> Self {
        Self(written(uuid))
    }
}

/// The SHA-256 of a module's bytes, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest whose bytes these are, as the store keeps them.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, as the store keeps them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits alone, fit for a file name.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName {
            kind: "digest",
            text: text.chars().take(NAME_BYTES_MAX).collect(),
            rule: "it must be `sha256:` and 64 lower-case hex digits",
        };
        let digits = text.strip_prefix("sha256:").ok_or_else(bad)?;
        let well_formed = digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_session_id: bool, is_module_name: bool) {
        assert_eq!(text.parse::<SessionId>().is_ok(), is_session_id, "session id `{text}`");
        assert_eq!(text.parse::<ModuleName>().is_ok(), is_module_name, "module name `{text}`");
    }

    #[test]
    fn a_name_is_letters_digits_and_three_marks() {
        check("a", true, true);
        check("letter.v2_x-1", true, true);
        check("Letter", true, false);
        check("", false, false);
        check(".hidden", false, false);
        check("-x", false, false);
        check("a/b", false, false);
        check("a\u{e9}", false, false);
        check("..", false, false);
        check(&"a".repeat(128), true, true);
        check(&"a".repeat(129), false, false);
    }

    #[test]
    fn a_digest_reads_back_as_written() {
        let digest = Digest::of(b"\0asm");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("sha256:12".parse::<Digest>().is_err());
        assert!(digest.hex().parse::<Digest>().is_err());
    }

    #[test]
    fn a_refusal_names_the_value_and_the_rule() {
        let refusal = "a b".parse::<SessionId>().unwrap_err().to_string();
        assert_eq!(
            refusal,
            "`a b` is not a session id; it must be 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit"
        );
    }
}
