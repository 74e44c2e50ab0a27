//! Memory for hosts that have an allocator.

use std::vec::Vec;

/// Zeroed heap memory that starts at a multiple of 64 bytes: an arena or a buffer for packed weights.
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
    #[must_use]
    pub fn new(len: usize) -> Self {
        let bytes: Vec<u8> = std::vec![0; len + Self::ALIGN];
        let start = bytes.as_ptr().align_offset(Self::ALIGN).min(Self::ALIGN);
        Self { bytes, start, len }
    }
}

impl AsMut<[u8]> for AlignedBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}
