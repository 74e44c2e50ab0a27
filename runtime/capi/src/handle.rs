//! The handle: a session in the caller's memory, under a seal that shows whether anything has changed it.
#![allow(unsafe_code, reason = "the session lives in memory that C gives")]

use core::arch::asm;
use core::ops::{Deref, DerefMut};

use resi8::Session;

use crate::memory::Span;
use crate::run::{Callbacks, Phase};
use crate::status::Status;

/// Words of a handle; `RESI8_HANDLE_WORDS` in C.
pub const HANDLE_WORDS: usize = 80;

/// The caller's memory; `resi8_handle` in C. A [`State`] lies in it, and zeros behind that.
#[derive(Debug)]
#[repr(C)]
pub struct Handle {
    words: [usize; HANDLE_WORDS],
}

/// What lies in a handle.
#[repr(C)]
struct State {
    seal: usize,
    body: Body,
}

/// All that a handle stands for.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) session: Session<'static, 'static>,
    pub(crate) phase: Phase,
    pub(crate) callbacks: Callbacks,
    /// The memory that results must not be written to: the handle, the model and the arena.
    pub(crate) taken: [Span; 3],
}

const _: () =
    assert!(size_of::<State>() <= size_of::<Handle>() && align_of::<State>() <= align_of::<Handle>());

/// Bytes of a handle.
#[unsafe(no_mangle)]
pub extern "C" fn resi8_handle_size() -> usize {
    size_of::<Handle>()
}

/// The seal of a handle that is in use. Like [`seal`] it depends on where the handle lies, so that a copy has none.
fn busy_seal(handle: *const Handle) -> usize {
    !handle.addr()
}

/// A checksum of all words but the seal itself. Each step is one-to-one, so no change of a single word escapes it.
///
/// # Safety
/// The handle's memory can be read, and none of it is uninitialised memory of Rust ([`close`]).
unsafe fn seal(handle: *const Handle) -> usize {
    let first = handle.cast::<usize>();
    (1..HANDLE_WORDS).fold(handle.addr(), |sum, index| {
        // SAFETY: the index is below the number of words, and the caller vouches for the memory.
        let word = unsafe { first.add(index).read() };
        (sum ^ word).wrapping_mul(0x9e37_79b1).rotate_left(15)
    })
}

/// Seals a handle after its content may have changed.
///
/// # Safety
/// The handle's memory can be read and written.
#[inline(never)]
unsafe fn close(handle: *mut Handle) {
    // The bytes between the fields of a Rust value count as uninitialised, and the seal covers them. An assembly block that
    // gets the address may have written any of them, so behind it they are what memory holds; it has no instructions.
    // SAFETY: there is nothing in it.
    unsafe { asm!("/* {0} */", in(reg) handle, options(nostack, preserves_flags)) }
    // SAFETY: the caller vouches for the memory; the seal is its first word.
    unsafe { handle.cast::<usize>().write(seal(handle)) }
}

/// Makes a handle unusable, whatever it was, unless it is in use: zeros are no sealed handle, since no step of [`seal`] makes 0
/// of the address, which is not 0, and zeros.
///
/// # Safety
/// The handle is not NULL, aligned, and its memory can be read and written.
pub(crate) unsafe fn clear(handle: *mut Handle) -> Result<(), Status> {
    // SAFETY: promised by the caller; the seal is the first word.
    if unsafe { handle.cast::<usize>().read() } == busy_seal(handle) {
        return Err(Status::Busy);
    }
    // SAFETY: promised by the caller; any words are a `Handle`.
    unsafe { handle.write_bytes(0, 1) }
    Ok(())
}

/// Puts a body into a cleared handle.
///
/// # Safety
/// As for [`clear`].
pub(crate) unsafe fn fill(handle: *mut Handle, body: Body) {
    // SAFETY: a state fits into a handle, in size and alignment, by the assertion above.
    unsafe { (&raw mut (*handle.cast::<State>()).body).write(body) }
    // SAFETY: promised by the caller.
    unsafe { close(handle) }
}

/// A handle in use. It is marked as such, and sealed again at the end of the call.
#[derive(Debug)]
pub(crate) struct Open {
    handle: *mut Handle,
}

impl Open {
    /// Checks the seal.
    ///
    /// # Safety
    /// The pointer is NULL, not aligned, or to memory of a handle's size that no other thread uses during the call.
    #[inline(never)]
    pub(crate) unsafe fn new(handle: *mut Handle) -> Result<Self, Status> {
        Span::new(handle, 1, align_of::<Handle>())?;
        let first = handle.cast::<usize>();
        // SAFETY: not NULL, aligned, and otherwise promised by the caller.
        let found = unsafe { first.read() };
        if found == busy_seal(handle) {
            return Err(Status::Busy);
        }
        // SAFETY: as above; `close` has frozen what it sealed, and all else was written by C.
        if found != unsafe { seal(handle) } {
            return Err(Status::Handle);
        }
        // SAFETY: as above.
        unsafe { first.write(busy_seal(handle)) }
        Ok(Self { handle })
    }

    /// The body; the seal, which calls from callbacks read, is not part of what is borrowed.
    fn body(&self) -> *mut Body {
        // SAFETY: the handle is not NULL, and a state fits into it.
        unsafe { &raw mut (*self.handle.cast::<State>()).body }
    }
}

impl Deref for Open {
    type Target = Body;

    fn deref(&self) -> &Body {
        // SAFETY: the seal was that of a body that `fill` has written, and the mark keeps other calls away from it.
        unsafe { &*self.body() }
    }
}

impl DerefMut for Open {
    fn deref_mut(&mut self) -> &mut Body {
        // SAFETY: as in `deref`; `Open` itself is borrowed mutably.
        unsafe { &mut *self.body() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: `new` was promised this memory until the call returns.
        unsafe { close(self.handle) }
    }
}
