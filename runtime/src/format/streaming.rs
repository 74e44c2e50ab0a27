//! The checks of layers that run together by rows: every row that one needs is there when it needs it, and no byte that is still to be
//! read is overwritten.

use core::ops::Range;

use super::MAX_KERNEL;
use super::problem::{Check, Problem, ensure};
use super::records::{LayerRecord, TensorRecord, WindowRecord};
use super::sections::Sections;
use super::validate::{is_streamed, row_len, tensor};
use crate::group::Reading;

/// A group has layers that can run by rows. A layer of it that reads a streamed tensor, of which there is one, reads all its rows, and
/// what it needs at a time has room.
#[inline(never)]
pub(super) fn check(
    sections: &Sections<'_>,
    group: &Range<usize>,
    layer: &LayerRecord,
    index: usize,
) -> Check {
    if group.len() == 1 {
        return Ok(());
    }
    let by_rows = layer.op == LayerRecord::CONV && layer.pool == WindowRecord::NONE;
    ensure(by_rows && layer.input != layer.skip, Problem::GroupOperation)?;
    let output = tensor(sections, index + 1)?;
    if !is_streamed(&output) {
        return Ok(());
    }
    ensure(index + 1 < group.end, Problem::GroupSize)?;
    let reader = usize::from(output.last_use);
    let reading = Reading::new(sections, reader, index + 1).filter(|_| reader < group.end);
    let Reading { rows, stride, before, .. } = reading.ok_or(Problem::StreamedReaders)?;
    let last_row = u32::from(tensor(sections, reader + 1)?.h).saturating_sub(1);
    let read = last_row * u32::from(stride) + u32::from(rows);
    ensure(read >= u32::from(output.h) + u32::from(before), Problem::StreamedRowUnread)?;
    ensure((rows..=MAX_KERNEL).contains(&output.kept_rows), Problem::KeptRows)
}

/// Whether `b`, the output of a group, may lie on `a`, number `earlier`, which the group reads for the last time: what is written
/// takes the place of what has been read.
#[inline(never)]
pub(super) fn follows(
    sections: &Sections<'_>,
    group: &Range<usize>,
    earlier: usize,
    [a, b]: [&TensorRecord; 2],
) -> bool {
    let mut is_read = false;
    for index in group.clone() {
        let Some(reading) = Reading::new(sections, index, earlier) else { continue };
        // A shortcut in the same place is read value by value, right before what takes its place is written.
        let in_place = index + 1 == group.end && reading.as_skip && reading.stride == 1;
        let same_place = a.offset == b.offset && a.c == b.c;
        let ahead = Ahead::new(sections, group, index);
        if !(in_place && same_place || group.len() > 1 && ahead.permits(&reading, a, b)) {
            return false;
        }
        is_read = true;
    }
    is_read && earlier <= group.start && usize::from(a.last_use) < group.end
}

/// Rows of a layer that have been computed for the last time when the last layer of its group writes row `r`: all of them, or
/// `scale * (r + 1) + offset`.
struct Ahead {
    scale: i32,
    offset: i32,
}

impl Ahead {
    /// Goes from layer `index` to the one that reads its output, and on to the last one.
    #[inline(never)]
    fn new(sections: &Sections<'_>, group: &Range<usize>, index: usize) -> Self {
        let mut ahead = Self { scale: 1, offset: if index + 1 == group.end { -1 } else { 0 } };
        let mut written = index + 1;
        while written < group.end {
            let reader =
                sections.tensors().get(written).map_or(0, |tensor| TensorRecord::read(tensor).last_use);
            let Some(reading) = Reading::new(sections, reader.into(), written) else { break };
            let Reading { rows, stride, before, .. } = reading;
            ahead.offset += ahead.scale * (i32::from(rows) - i32::from(stride) - i32::from(before));
            ahead.scale *= i32::from(stride);
            written = usize::from(reader) + 1;
        }
        ahead
    }

    /// Whether no row of `b` is written over a row of `a` that the layer, which reads it like this, still reads: not with the first row,
    /// and reading is no slower than writing.
    fn permits(&self, reading: &Reading, a: &TensorRecord, b: &TensorRecord) -> bool {
        let stride = i32::from(reading.stride);
        let first = (self.scale + self.offset) * stride - i32::from(reading.before);
        let bytes = |rows: i32| u64::from(rows.unsigned_abs()) * u64::from(row_len(a));
        let written = u64::from(row_len(b));
        first >= 0
            && u64::from(b.offset) + written <= u64::from(a.offset) + bytes(first)
            && written <= bytes(self.scale * stride)
    }
}
