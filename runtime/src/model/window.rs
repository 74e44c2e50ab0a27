//! Windows of convolutions and poolings.

use core::num::NonZero;
use core::ops::Range;

use crate::format::records::WindowRecord;

/// Kernel or pooling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    kernel: [NonZero<u8>; 2],
    stride: [u8; 2],
    pads: [u8; 4],
}

impl Window {
    /// `None` for [`WindowRecord::NONE`].
    pub(super) const fn new(record: &WindowRecord) -> Option<Self> {
        let WindowRecord { kernel: [rows, columns], stride, pads } = *record;
        match (NonZero::new(rows), NonZero::new(columns)) {
            (Some(rows), Some(columns)) => Some(Self { kernel: [rows, columns], stride, pads }),
            _ => None,
        }
    }

    /// Rows and columns.
    #[must_use]
    pub fn kernel(&self) -> [usize; 2] {
        self.kernel.map(|size| size.get().into())
    }

    /// Vertical and horizontal stride.
    #[must_use]
    pub const fn stride(&self) -> [usize; 2] {
        let [vertical, horizontal] = self.stride;
        [vertical as usize, horizontal as usize]
    }

    /// Padding: top, left, bottom, right.
    #[must_use]
    pub const fn pads(&self) -> [usize; 4] {
        let [top, left, bottom, right] = self.pads;
        [top as usize, left as usize, bottom as usize, right as usize]
    }

    /// The rows of a map of `rows` rows that output row `index` is computed from.
    pub(crate) fn rows_seen(&self, index: usize, rows: usize) -> Range<usize> {
        clip(index * self.stride()[0], self.pads()[0], self.kernel()[0], rows)
    }

    /// How many of the rows that output row 0 sees are behind those that row 1 sees.
    pub(crate) fn rows_passed(&self) -> usize {
        self.stride()[0].saturating_sub(self.pads()[0])
    }

    /// The same of columns.
    pub(crate) fn columns_seen(&self, index: usize, columns: usize) -> Range<usize> {
        clip(index * self.stride()[1], self.pads()[1], self.kernel()[1], columns)
    }

    /// Becomes the window of output row `index` alone, which sees `rows` rows of the map.
    #[expect(clippy::cast_possible_truncation, reason = "parts of the kernel, of which a byte holds all")]
    pub(super) fn restrict(&mut self, index: usize, rows: usize) {
        let ([kernel, _], [stride, _], [top, ..]) = (self.kernel(), self.stride(), self.pads());
        let top = top.saturating_sub(index * stride);
        let [own_top, _, own_bottom, _] = &mut self.pads;
        (*own_top, *own_bottom) = (top as u8, kernel.saturating_sub(top + rows) as u8);
    }

    /// Rows and columns that it leaves of a map of `size` rows and columns; 0 for windows that validation refuses.
    pub(super) fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        let ([kernel_h, kernel_w], [stride_h, stride_w]) = (self.kernel(), self.stride());
        let ([h, w], [top, left, bottom, right]) = (size, self.pads());
        let positions = |padded: usize, kernel: usize, stride: usize| {
            padded.checked_sub(kernel).and_then(|rest| rest.checked_div(stride)).map_or(0, |steps| steps + 1)
        };
        [positions(top + h + bottom, kernel_h, stride_h), positions(left + w + right, kernel_w, stride_w)]
    }
}

/// The part in the map of a window that starts at `start`, counted from the padding of `before`.
fn clip(start: usize, before: usize, kernel: usize, size: usize) -> Range<usize> {
    start.saturating_sub(before)..(start + kernel).saturating_sub(before).min(size)
}
