//! Direct convolution: blocks of output rows, tiles of pixels, panels of channels.

use core::ops::Range;

use super::{ConvRun, Map, Needs, rows, shape};
use crate::kernels::{ConvBlock, CopyRow, Direct, Grid, Patches, Shape, Target};
use crate::model::{Conv, Tensor};

/// Geometry of a direct convolution.
///
/// A 1x1 convolution of stride 1 without padding has rows of one pixel, so that work can be cut anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectPlan {
    /// Output pixels of a row.
    width: usize,
    /// Output rows of a block; 1 when it has not all columns.
    pub(super) block_rows: usize,
    /// Output columns of a block.
    block_columns: usize,
    /// Values of one row that patches are read from.
    row_len: usize,
    /// Bytes of the block's padded input rows; 0 when patches are read from the input, or packed from there.
    padded_len: usize,
}

impl DirectPlan {
    /// The plan and what it needs.
    pub(super) fn new(
        shape: Shape,
        conv: &Conv<'_>,
        input: &Tensor,
        map: &Map,
        direct: &Direct,
    ) -> Option<(Self, Needs)> {
        let [_, left, _, right] = conv.window.pads();
        let padded = conv.window.pads() != [0; 4];
        let pointwise = !padded
            && conv.window.kernel() == [1, 1]
            && conv.window.stride() == [1, 1]
            && conv.skip.is_none_or(|skip| skip.stride() == 1)
            && conv.pool.is_none();
        let (rows, width, input_width) =
            if pointwise { (map.h * map.w, 1, 1) } else { (map.h, map.w, input.w()) };
        let block_columns = width.min(direct.block_columns);
        let row_columns = if padded && block_columns < width {
            (block_columns - 1) * conv.window.stride()[1] + conv.window.kernel()[1]
        } else {
            left + input_width + right
        };
        let row_len = row_columns.checked_mul(input.c())?;
        let block_rows = direct.block_bytes.checked_div(width.checked_mul(shape.depth())?)?.min(rows).max(1);
        let block_rows =
            if pointwise { block_rows.checked_next_multiple_of(direct.mr)?.min(rows) } else { block_rows };
        let block_rows = if block_columns < width { 1 } else { block_rows };
        let input_rows = (block_rows - 1) * conv.window.stride()[0] + conv.window.kernel()[0];
        let copied = padded && row_packing(conv, direct).is_none();
        let padded_len =
            if copied { input_rows.checked_mul(row_len)?.checked_next_multiple_of(64)? } else { 0 };
        let (pixels, values) = (block_rows * block_columns, input_rows.checked_mul(row_len)?);
        let (patches_len, packed_len) = match direct.packing {
            Some(packing) => ((packing.patches_len)(&shape, pixels, values)?, (packing.weights_len)(&shape)?),
            None => (0, 0),
        };
        let needs = Needs {
            scratch_len: patches_len.checked_add(padded_len)?,
            packed_len,
            rows,
            row_len: width * map.c,
            // The largest part of an even cut has no more tiles than if it were cut at tiles.
            row_step: 1,
        };
        Some((Self { width, block_rows, block_columns, row_len, padded_len }, needs))
    }
}

/// What packs the rows of a layer on their way to where their padding is; `None` when there is none, or patches are packed otherwise.
fn row_packing(conv: &Conv<'_>, direct: &Direct) -> Option<CopyRow> {
    direct.packing.as_ref()?.row_packing().filter(|_| conv.window.pads() != [0; 4])
}

/// Computes output rows into `out`, block by block. In a block, all patches are packed first; then panels outside, tiles inside: a
/// panel's weights stay in the cache for the whole block.
#[inline(never)]
pub(super) fn run(
    run: &ConvRun<'_>,
    plan: &DirectPlan,
    rows: Range<usize>,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let mut part = Part { row: rows.start, column: 0, rows: 0, columns: 0 };
    let mut rest = out;
    while part.next(plan, rows.end) {
        let block = &mut block(run, plan, &part);
        let panels = set_source(&mut block.patches, run, plan, &part, scratch)?;
        match run.kernels.direct.packing {
            Some(packing) if row_packing(run.conv, &run.kernels.direct).is_none() => {
                (packing.pack_patches)(&block.shape, block.weights, &block.patches, panels)?;
            }
            _ => {}
        }
        block.panels = panels;
        let values = block.patches.pixels * block.target.grid.column;
        while block.target.first_channel < run.channels().end {
            (run.kernels.direct.conv)(block, rest)?;
            block.target.first_channel += run.kernels.direct.nr;
        }
        rest = rest.get_mut(values..)?;
    }
    Some(())
}

/// Some output rows, or some columns of one.
struct Part {
    row: usize,
    column: usize,
    rows: usize,
    columns: usize,
}

impl Part {
    /// Goes on to the part behind this one; `false` when there is none before row `end`.
    #[inline(never)]
    fn next(&mut self, plan: &DirectPlan, end: usize) -> bool {
        self.column += self.columns;
        if self.column == plan.width {
            (self.row, self.column) = (self.row + self.rows, 0);
        }
        self.rows = plan.block_rows.min(end.saturating_sub(self.row));
        self.columns = plan.block_columns.min(plan.width - self.column);
        self.rows > 0
    }
}

/// What the kernels compute for a part of the output, from the first channel on; without the source of its patches and without packed ones.
#[inline(never)]
fn block<'a>(run: &'a ConvRun<'a>, plan: &DirectPlan, part: &Part) -> ConvBlock<'a> {
    let shape = shape(run.conv, &run.layer.input, &run.layer.output);
    let patches = Patches {
        source: &[],
        grid: Grid::line(0, 0),
        run_stride: 0,
        run_len: shape.run_len,
        pixels: part.rows * part.columns,
    };
    let target = Target {
        channels: run.conv.channels.0,
        first_channel: run.channels().start,
        grid: Grid::line(0, run.pixel_len()),
        epilogue: run.epilogue(),
        skip: run.skip(part.row * plan.width + part.column, None),
    };
    ConvBlock { shape, patches, panels: &[], weights: run.weights, target }
}

/// Sets where the patches of a part are: in the input itself if they see no padding, else at the start of the scratch. Returns what is
/// left of that; or all of it, if the patches are there and packed already.
#[inline(never)]
fn set_source<'a>(
    patches: &mut Patches<'a>,
    run: &ConvRun<'a>,
    plan: &DirectPlan,
    part: &Part,
    scratch: &'a mut [i8],
) -> Option<&'a mut [i8]> {
    let (padded, panels) = scratch.split_at_mut_checked(plan.padded_len)?;
    let (kernel, [down, right]) = (run.conv.window.kernel(), run.conv.window.stride());
    let c = run.layer.input.c();
    let height = (part.rows - 1) * down + kernel[0];
    let width = (part.columns - 1) * right + kernel[1];
    let seen = rows::Part { row: part.row * down, column: part.column * right, row_len: plan.row_len };
    let (source, row_len) = if let Some(pack_row) = row_packing(run.conv, &run.kernels.direct) {
        rows::pack_padded(run, &seen, pack_row, panels.get_mut(..height * seen.row_len)?)?;
        (&[][..], seen.row_len)
    } else if plan.padded_len == 0 {
        (run.inputs.values.get(seen.row * seen.row_len + seen.column * c..)?, seen.row_len)
    } else {
        rows::source(run, &seen, [height, width], padded)?
    };
    let (row, column) = (down * row_len, right * c);
    let one_row = row == part.columns * column;
    patches.grid =
        if one_row { Grid::line(0, column) } else { Grid { start: 0, width: part.columns, row, column } };
    (patches.source, patches.run_stride) = (source, row_len);
    Some(panels)
}
