//! How much a core module moves with one call.
//!
//! WASI reads into, and writes from, the first buffer with anything in it, as a whole,
//! and refuses one that is larger than what a call may make the host copy. But a call
//! may always move less than it was asked to, and guests come again for the rest.
//!
//! Promise: no buffer is too large for a call, and none keeps its thread for long.

use wasmtime_wasi::p1::types;
use wasmtime_wasi::p1::types::Error;
use wiggle::GuestMemory;
use wiggle::GuestPtr;

use crate::limits::HOSTCALL_BYTES_MAX;

/// What one call moves.
const MOVED_BYTES_MAX: u32 = 1 << 20;

/// Where the guest's memory says how long a buffer is, which is more than is moved at
/// once; what it says is shortened until it is put back.
pub(super) struct Shortened {
    at: GuestPtr<types::Ciovec>,
    buffer: GuestPtr<u8>,
    bytes: u32,
}

impl Shortened {
    /// The first of the buffers that is not empty, if it is too long. `buffers` is where
    /// their list lies, and how many there are: that of a read and that of a write look
    /// the same.
    pub(super) fn first_of(memory: &mut GuestMemory<'_>, buffers: (u32, u32)) -> Result<Option<Shortened>, Error> {
        let buffers = GuestPtr::<[types::Ciovec]>::new(buffers);
        // Longer lists are refused by WASI.
        if u64::from(buffers.len()) * 8 > HOSTCALL_BYTES_MAX as u64 {
            return Ok(None);
        }
        for at in buffers.iter() {
            let at = at?;
            let types::Ciovec { buf, buf_len } = memory.read(at)?;
            if buf_len == 0 {
                continue;
            }
            // One that holds this list itself stays as it is: what is moved would be wrong.
            let (begin, end) = (u64::from(buf.offset()), u64::from(buf.offset()) + u64::from(buf_len));
            let here = u64::from(at.offset());
            if buf_len <= MOVED_BYTES_MAX || (begin < here + 8 && here < end) {
                return Ok(None);
            }
            memory.write(at, types::Ciovec { buf, buf_len: MOVED_BYTES_MAX })?;
            return Ok(Some(Shortened { at, buffer: buf, bytes: buf_len }));
        }
        Ok(None)
    }

    pub(super) fn put_back(self, memory: &mut GuestMemory<'_>) -> Result<(), Error> {
        let Shortened { at, buffer, bytes } = self;
        Ok(memory.write(at, types::Ciovec { buf: buffer, buf_len: bytes })?)
    }
}
