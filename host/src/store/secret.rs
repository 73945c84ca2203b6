//! The server's secret: 32 bytes that this data directory alone knows, from
//! which keys are derived.
//!
//! Promise: it is made once, is durable before it is used, and only the owner of
//! the data directory can read it. Whoever has a copy of the directory has it.

use std::io;
use std::io::Read as _;

use uuid::Uuid;

use crate::store::Store;
use crate::store::durable;
use crate::store::error::StoreError;
use crate::store::layout::Layout;
use crate::store::plain;

/// The secret's bytes.
pub(super) type Secret = [u8; 32];

/// Reads the secret, or makes it at the first start.
pub(super) fn load(layout: &Layout) -> Result<Secret, StoreError> {
    match read(layout) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            StoreError::Unusable(format!(
                "{} is damaged; bring it back from a backup, or delete it and make new keys",
                layout.secret().display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = Secret::default();
            let (head, tail) = secret.split_at_mut(16);
            head.copy_from_slice(Uuid::new_v4().as_bytes());
            tail.copy_from_slice(Uuid::new_v4().as_bytes());
            durable::write_whole(&layout.tmp(), &layout.secret(), &secret)
                .map_err(StoreError::io("make the secret of the data directory"))?;
            Ok(secret)
        }
        Err(error) => Err(StoreError::io("read the secret of the data directory")(error)),
    }
}

fn read(layout: &Layout) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than there should be is enough to tell.
    plain::open(&layout.secret())?.take(size_of::<Secret>() as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Store {
    /// The server's secret, for keys that are derived and not stored.
    pub fn secret(&self) -> &[u8] {
        &self.inner.secret
    }
}
