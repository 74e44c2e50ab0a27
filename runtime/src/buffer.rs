//! Memory for hosts that have an allocator.

use std::vec::Vec;

use crate::RunError;

/// Zeroed heap memory that starts at a multiple of 64 bytes: an arena, a buffer for packed weights, a model file. Systems provide large
/// ones when they are touched.
#[derive(Debug)]
pub struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// Alignment in bytes: a cache line, and the widest vector.
    pub const ALIGN: usize = 64;

    /// `len` zeroed bytes.
    ///
    /// # Errors
    /// [`RunError::OutOfMemory`].
    pub fn new(len: usize) -> Result<Self, RunError> {
        let out_of_memory = RunError::OutOfMemory { needed: len };
        let with_room = len.checked_add(Self::ALIGN).ok_or(out_of_memory)?;
        let bytes: Vec<u8> = bytemuck::try_zeroed_vec(with_room).map_err(|()| out_of_memory)?;
        let start = bytes.as_ptr().align_offset(Self::ALIGN).min(Self::ALIGN);
        Ok(Self { bytes, start, len })
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

impl AsMut<[u8]> for AlignedBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}
