//! Convolution with weights that the converter has transformed: rows of tiles, a few tiles at a time. The method and its proof are in
//! [`crate::kernels::transformed`].

use core::ops::Range;

use super::{ConvRun, Map, Needs, rows};
use crate::kernels::transformed::{Input, TILES, Tiles, panel_len};
use crate::kernels::{Grid, Target};
use crate::model::Tensor;

/// Output rows of a row of tiles.
pub(super) const ROWS: usize = 2;

/// Rows and columns that the tiles of a call read.
const SEEN: [usize; 2] = [ROWS + 2, 2 * TILES + 2];

/// What a layer needs that reads this input.
pub(super) fn needs(input: &Tensor, map: &Map) -> Option<Needs> {
    let panel_len = panel_len(input.c())?.checked_mul(size_of::<u32>())?;
    Some(Needs {
        scratch_len: padded_len(input.c())?.checked_add(panel_len)?.checked_next_multiple_of(64)?,
        packed_len: 0,
        rows: map.h,
        row_len: map.w * map.c,
        row_step: ROWS,
    })
}

/// Bytes of what the tiles of a call read, with its padding.
fn padded_len(channels: usize) -> Option<usize> {
    let [rows, columns] = SEEN;
    channels.checked_mul(rows * columns)
}

/// Computes output rows into `out`, a row of tiles at a time.
#[inline(never)]
pub(super) fn run(run: &ConvRun<'_>, rows: Range<usize>, out: &mut [i8], scratch: &mut [i8]) -> Option<()> {
    // The loader has no other numbers of rows, and lets no such layer run by rows.
    if !rows.len().is_multiple_of(ROWS) {
        return None;
    }
    let transformed = run.kernels.transformed()?;
    let (channels, output) = (run.layer.input.c(), &run.layer.output);
    let (padded, panel) = scratch.split_at_mut_checked(padded_len(channels)?)?;
    let panel = bytemuck::try_cast_slice_mut(panel).ok()?;
    let columns = output.w() / 2;
    let outs = out.chunks_exact_mut((ROWS * output.w() * output.c()).max(1));
    for (row, out) in rows.step_by(ROWS).zip(outs) {
        for first in (0..columns).step_by(TILES) {
            let count = TILES.min(columns - first);
            // References to what is large where it was made: a value would be copied.
            let input = &input(run, [row, 2 * first], count, padded);
            (transformed.transform_input)(input.as_ref()?, panel)?;
            let tiles = &tiles(run, [row, 2 * first], count);
            (transformed.conv)(tiles, panel, out)?;
        }
    }
    Some(())
}

/// What the tiles read whose first output is at a row and a column.
#[inline(never)]
fn input<'a>(
    run: &ConvRun<'a>,
    [row, column]: [usize; 2],
    tiles: usize,
    padded: &'a mut [i8],
) -> Option<Input<'a>> {
    let channels = run.layer.input.c();
    let seen = [SEEN[0], 2 * tiles + 2];
    let part = rows::Part { row, column, row_len: seen[1] * channels };
    let (values, row) = rows::source(run, &part, seen, padded)?;
    Some(Input { values, row, channels, tiles })
}

/// The tiles whose first output is at a row and a column; the first row of their output begins with that row.
#[inline(never)]
fn tiles<'a>(run: &ConvRun<'a>, [row, column]: [usize; 2], tiles: usize) -> Tiles<'a> {
    let (w, channels, width) = (run.layer.output.w(), run.layer.output.c(), 2 * tiles);
    let target = Target {
        channels: run.conv.channels.0,
        first_channel: 0,
        grid: Grid { start: column * channels, width, row: w * channels, column: channels },
        epilogue: run.epilogue(),
        skip: run.skip(row * w + column, Some(width)),
    };
    Tiles { weights: run.weights, channels: run.layer.input.c(), tiles, target }
}
