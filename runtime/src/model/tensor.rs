//! Feature maps, and where the arena holds them.

use core::ops::Range;

use crate::format::records::TensorRecord;

/// A feature map, row by row, channels innermost (NHWC, batch 1).
///
/// Its fields are as narrow as the file's, because tensors are held on stacks of a few hundred bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tensor {
    offset: u32,
    scale: f32,
    index: u16,
    h: u16,
    w: u16,
    c: u16,
    last_use: u16,
    zero_point: i8,
    /// As in the file, but [`Self::LOGITS`] for int32 values.
    kept_rows: u8,
}

impl Tensor {
    /// One that occupies nothing.
    pub(super) const NONE: Self =
        Self { offset: 0, scale: 1.0, index: 0, h: 0, w: 0, c: 0, last_use: 0, zero_point: 0, kept_rows: 0 };

    /// Stands for an int32 tensor; more rows than any file has kept.
    const LOGITS: u8 = u8::MAX;

    #[expect(clippy::cast_possible_truncation, reason = "a file numbers its tensors with 16 bits")]
    pub(super) fn new(index: usize, record: &TensorRecord) -> Self {
        let TensorRecord { offset, h, w, c, element, zero_point, scale, last_use, kept_rows } = *record;
        let kept_rows = if element == TensorRecord::I32 { Self::LOGITS } else { kept_rows };
        Self { offset, scale, index: index as u16, h, w, c, last_use, zero_point, kept_rows }
    }

    /// Its number: 0 is the input, `i + 1` the output of layer `i`.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index as usize
    }

    /// Where it starts in the arena, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Rows.
    #[must_use]
    pub const fn h(&self) -> usize {
        self.h as usize
    }

    /// Columns.
    #[must_use]
    pub const fn w(&self) -> usize {
        self.w as usize
    }

    /// Channels.
    #[must_use]
    pub const fn c(&self) -> usize {
        self.c as usize
    }

    /// Rows, columns, channels.
    #[must_use]
    pub const fn size(&self) -> [usize; 3] {
        [self.h(), self.w(), self.c()]
    }

    /// Bytes of one value: 1 for activations, 4 for the logits.
    #[must_use]
    pub const fn element_size(&self) -> usize {
        if self.kept_rows == Self::LOGITS { 4 } else { 1 }
    }

    /// Real value of one step.
    #[must_use]
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The stored value that stands for a real 0.
    #[must_use]
    pub const fn zero_point(&self) -> i8 {
        self.zero_point
    }

    /// Index of the last layer that reads it; the number of layers for the logits.
    #[must_use]
    pub const fn last_use(&self) -> usize {
        self.last_use as usize
    }

    /// Number of values.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a validated tensor is never empty")]
    pub const fn len(&self) -> usize {
        self.h() * self.w() * self.c()
    }

    /// Whether the arena holds some of its rows at a time only, because the layers that write and read it run together by rows.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.kept_rows > 0 && self.kept_rows != Self::LOGITS
    }

    /// Rows of it that the arena holds at a time.
    #[must_use]
    pub fn kept_rows(&self) -> usize {
        if self.is_streamed() { self.h().min(self.kept_rows.into()) } else { self.h() }
    }

    /// The bytes of the arena that it occupies.
    #[must_use]
    #[inline(never)]
    pub fn range(&self) -> Range<usize> {
        self.offset()..self.offset() + self.kept_rows() * self.row_len() * self.element_size()
    }

    /// The bytes of the rows that the arena holds of a streamed tensor, of which this may be a part.
    pub(crate) fn kept_range(&self) -> Range<usize> {
        self.offset()..self.offset() + usize::from(self.kept_rows) * self.row_len()
    }

    /// Values of a row.
    pub(crate) const fn row_len(&self) -> usize {
        self.w() * self.c()
    }

    /// Number of the last row.
    pub(super) const fn last_row(&self) -> u16 {
        self.h.saturating_sub(1)
    }

    /// Becomes a tensor of some of its rows: those from row `first` on, or if it is streamed, those that lie `place` rows behind its
    /// start.
    #[inline(never)]
    #[expect(clippy::cast_possible_truncation, reason = "rows of the tensor, in the arena as all of it was")]
    pub(super) const fn restrict(&mut self, first: usize, place: usize, rows: usize) {
        let first = if self.is_streamed() { place } else { first };
        self.offset += (first * self.row_len()) as u32;
        self.h = rows as u16;
    }
}
