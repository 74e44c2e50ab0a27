//! What can be seen of a pointer: that it is not NULL, aligned, does not wrap around, and shares no memory with others.
#![allow(unsafe_code, reason = "results are written where C wants them")]

use crate::status::Status;

/// A stretch of memory, as the caller describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: usize,
    len: usize,
}

impl Span {
    /// `count` values from a pointer on that starts at a multiple of `align` bytes.
    pub(crate) fn new<T>(pointer: *const T, count: usize, align: usize) -> Result<Self, Status> {
        if pointer.is_null() {
            return Err(Status::Null);
        }
        let start = pointer.addr();
        if !start.is_multiple_of(align) {
            return Err(Status::Misaligned);
        }
        let len = count.checked_mul(size_of::<T>()).filter(|len| isize::try_from(*len).is_ok());
        let len = len.filter(|len| start.checked_add(*len).is_some()).ok_or(Status::Length)?;
        Ok(Self { start, len })
    }

    /// That it shares no byte with any of these.
    pub(crate) fn apart_from(self, others: &[Self]) -> Result<(), Status> {
        let apart =
            |other: &Self| self.start + self.len <= other.start || other.start + other.len <= self.start;
        if others.iter().all(apart) { Ok(()) } else { Err(Status::Overlap) }
    }
}

/// Where a result goes.
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// Unless this is an error, the memory is the caller's to write to until the function that was called returns.
    pub(crate) unsafe fn new(pointer: *mut T, others: &[Span]) -> Result<Self, Status> {
        Span::new(pointer, 1, align_of::<T>())?.apart_from(others)?;
        Ok(Self(pointer))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: `new` saw that it is aligned and not NULL, and was promised that it may be written.
        unsafe { self.0.write(value) }
    }
}
