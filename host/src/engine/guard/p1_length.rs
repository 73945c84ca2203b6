//! How much a core module hands over, or moves, with one call.
//!
//! WASI reads into, and writes from, the first buffer with anything in it, as a whole,
//! and refuses one that is larger than what a call may make the host copy. But a call
//! may always move less than it was asked to, and guests come again for the rest.
//!
//! Promise: no buffer is too large for a call, and none keeps its thread for long, but for one
//! that holds its own place in the list of buffers: that is moved, or refused, as a whole.

use wasmtime_wasi::p1::types;
use wasmtime_wasi::p1::types::Error;
use wiggle::GuestMemory;
use wiggle::GuestPtr;

use super::refusal::Refusal;
use crate::limits::HOSTCALL_BYTES_MAX;
use crate::limits::PATH_BYTES_MAX;

/// What one call moves.
const MOVED_BYTES_MAX: u32 = 1 << 20;

/// Where the guest's memory says how long a buffer is that is longer than what is moved at
/// once: it says less until that is put back. `None` if there is no such buffer.
pub(super) struct Shortened(Option<Buffer>);

struct Buffer {
    at: GuestPtr<types::Ciovec>,
    begin: GuestPtr<u8>,
    bytes: u32,
}

impl Shortened {
    /// Of these buffers the first that is not empty. `buffers` is where their list lies,
    /// and how many there are: that of a read and that of a write look the same.
    pub(super) fn first_of(memory: &mut GuestMemory<'_>, buffers: (u32, u32)) -> Result<Shortened, Error> {
        let buffers = GuestPtr::<[types::Ciovec]>::new(buffers);
        // Longer lists are refused by WASI.
        if u64::from(buffers.len()) * 8 > HOSTCALL_BYTES_MAX as u64 {
            return Ok(Shortened(None));
        }
        for at in buffers.iter() {
            let at = at?;
            let types::Ciovec { buf, buf_len } = memory.read(at)?;
            if buf_len == 0 {
                continue;
            }
            // One that holds its own place in the list stays as it is: what is moved would be wrong.
            let (begin, here) = (u64::from(buf.offset()), u64::from(at.offset()));
            let holds_itself = begin < here + 8 && here < begin + u64::from(buf_len);
            if buf_len <= MOVED_BYTES_MAX || holds_itself {
                return Ok(Shortened(None));
            }
            memory.write(at, types::Ciovec { buf, buf_len: MOVED_BYTES_MAX })?;
            return Ok(Shortened(Some(Buffer { at, begin: buf, bytes: buf_len })));
        }
        Ok(Shortened(None))
    }

    pub(super) fn put_back(self, memory: &mut GuestMemory<'_>) -> Result<(), Error> {
        let Some(Buffer { at, begin, bytes }) = self.0 else { return Ok(()) };
        Ok(memory.write(at, types::Ciovec { buf: begin, buf_len: bytes })?)
    }
}

/// A path of the guest, copied only if it is not too long.
pub(super) fn path(memory: &GuestMemory<'_>, path: GuestPtr<str>) -> Result<String, Error> {
    let too_long = usize::try_from(path.len()).is_ok_and(|bytes| bytes > PATH_BYTES_MAX);
    if too_long {
        return Err(Refusal::NameTooLong.into());
    }
    Ok(memory.as_cow_str(path)?.into_owned())
}
