//! Rows: those of the input with their padding, and those of a map that exists in part.

use core::slice;

use super::{ConvRun, Inputs};
use crate::kernels::{CopyRow, Kernels};
use crate::model::Pad;

/// A part of the padded input.
pub(super) struct Part {
    /// First row, counted from the top padding.
    pub(super) row: usize,
    /// First column, counted from the left padding.
    pub(super) column: usize,
    /// Values of a row of the part: whole pixels.
    pub(super) row_len: usize,
}

/// A part of the padded input, [rows, columns], and the distance of its rows: in the input itself if it sees no padding, else copied into
/// `padded`.
#[inline(always)]
pub(super) fn source<'a>(
    run: &ConvRun<'a>,
    part: &Part,
    [rows, columns]: [usize; 2],
    padded: &'a mut [i8],
) -> Option<(&'a [i8], usize)> {
    let ([top, left, ..], [h, w, c]) = (run.conv.window.pads(), run.layer.input.size());
    let rows_inside = part.row >= top && part.row + rows <= top + h;
    if rows_inside && part.column >= left && part.column + columns <= left + w {
        let start = ((part.row - top) * w + part.column - left) * c;
        return Some((run.inputs.values.get(start..)?, w * c));
    }
    let padded = padded.get_mut(..rows * part.row_len)?;
    copy_padded(run, part, run.kernels.copy_into, run.conv.pad, padded)?;
    Some((padded, part.row_len))
}

/// [`copy_padded`] with the rows packed.
pub(super) fn pack_padded(
    run: &ConvRun<'_>,
    part: &Part,
    pack_row: CopyRow,
    panels: &mut [i8],
) -> Option<()> {
    let pad = match run.conv.pad {
        Pad::Uniform(value) => {
            let mut packed = value;
            pack_row(slice::from_mut(&mut packed), &[value]);
            Pad::Uniform(packed)
        }
        Pad::PerChannel(values) => {
            let mut packed = values;
            pack_row(&mut packed, &values);
            Pad::PerChannel(packed)
        }
    };
    copy_padded(run, part, pack_row, pad, panels)
}

/// Copies a part of the padded input into `out`, one row for every `row_len` values. What lies right of the right padding or
/// below the bottom padding is padding too.
///
/// Inlined: a frame more is more than the stack of a microcontroller has left for it.
#[inline(always)]
pub(super) fn copy_padded(
    run: &ConvRun<'_>,
    part: &Part,
    copy: CopyRow,
    pad: Pad,
    out: &mut [i8],
) -> Option<()> {
    let ConvRun { conv, inputs: Inputs { values: input, .. }, .. } = *run;
    let [top, left, ..] = conv.window.pads();
    let [h, w, c] = run.layer.input.size();
    let before = (left.saturating_sub(part.column) * c).min(part.row_len);
    let start = (part.column.saturating_sub(left) * c).min(w * c);
    let inside = (w * c - start).min(part.row_len - before);
    let rows = out.len().checked_div(part.row_len)?;
    let there = part.row.max(top)..(part.row + rows).min(top + h);
    // What is right of a row and left of the next one lies side by side.
    let (mut rest, mut padding) = (out, (there.start - part.row) * part.row_len + before);
    for row in there {
        let (pads, behind) = rest.split_at_mut_checked(padding)?;
        let (values, behind) = behind.split_at_mut_checked(inside)?;
        fill_pad(pads, pad, c);
        copy(values, input.get((row - top) * w * c + start..)?.get(..inside)?);
        (rest, padding) = (behind, part.row_len - inside);
    }
    fill_pad(rest, pad, c);
    Some(())
}

/// Fills whole pixels with what a padded tap reads.
#[inline(never)]
fn fill_pad(out: &mut [i8], pad: Pad, channels: usize) {
    match pad {
        Pad::Uniform(value) => out.fill(value),
        Pad::PerChannel(values) => {
            for pixel in out.chunks_mut(channels.max(1)) {
                pixel.iter_mut().zip(values).for_each(|(out, value)| *out = value);
            }
        }
    }
}

/// Moves the rows of `map` that are behind the first `passed` ones to its start.
#[inline(never)]
pub(crate) fn keep_rows(kernels: &Kernels, map: &mut [i8], row_len: usize, passed: usize) -> Option<()> {
    let distance = passed * row_len;
    if distance > 0 {
        for first in (distance..map.len()).step_by(row_len.max(1)) {
            let (to, from) = map.split_at_mut_checked(first)?;
            (kernels.copy_into)(to.get_mut(first - distance..)?.get_mut(..row_len)?, from);
        }
    }
    Some(())
}
