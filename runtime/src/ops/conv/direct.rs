//! Direct convolution: blocks of output rows, tiles of pixels, panels of channels.

use core::ops::Range;

use super::{ConvRun, Needs, rows, shape};
use crate::kernels::{ConvBlock, Direct, Grid, Kernels, Patches, Shape, Target};
use crate::model::{Conv, Tensor, Window};

/// Geometry of a direct convolution.
///
/// A 1x1 convolution of stride 1 without padding has rows of one pixel, so that work can be cut anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectPlan {
    shape: Shape,
    /// Output pixels of a row.
    width: usize,
    /// Output rows of a block; 1 when it has not all columns.
    block_rows: usize,
    /// Output columns of a block.
    block_columns: usize,
    /// Values of one row that patches are read from.
    row_len: usize,
    /// Bytes of the block's padded input rows; 0 when patches are read from the input.
    padded_len: usize,
    /// Bytes of the packed patches of a tile; 0 when they are read where they are.
    patches_len: usize,
}

impl DirectPlan {
    /// The plan and what it needs.
    pub(super) fn new(
        conv: &Conv<'_>,
        input: &Tensor,
        map: &Tensor,
        direct: &Direct,
    ) -> Option<(Self, Needs)> {
        let shape = shape(conv, input, map);
        let [_, left, _, right] = conv.window.pads;
        let padded = conv.window.pads != [0; 4];
        let pointwise = !padded
            && conv.window.kernel == [1, 1]
            && conv.window.stride == [1, 1]
            && conv.skip.is_none_or(|skip| skip.stride == 1)
            && conv.pool.is_none();
        let (rows, width, input_width) =
            if pointwise { (map.h * map.w, 1, 1) } else { (map.h, map.w, input.w) };
        let block_columns = width.min(direct.block_columns);
        let row_columns = if padded && block_columns < width {
            (block_columns - 1) * conv.window.stride[1] + conv.window.kernel[1]
        } else {
            left + input_width + right
        };
        let row_len = row_columns.checked_mul(input.c)?;
        let block_rows = direct.block_bytes.checked_div(width.checked_mul(shape.depth())?)?.min(rows).max(1);
        let block_rows =
            if pointwise { block_rows.checked_next_multiple_of(direct.mr)?.min(rows) } else { block_rows };
        let block_rows = if block_columns < width { 1 } else { block_rows };
        let input_rows = (block_rows - 1) * conv.window.stride[0] + conv.window.kernel[0];
        let padded_len =
            if padded { input_rows.checked_mul(row_len)?.checked_next_multiple_of(64)? } else { 0 };
        let tiles = (block_rows * block_columns).div_ceil(direct.mr.max(1));
        let (patches_len, packed_len) = match direct.packing {
            Some(packing) => ((packing.patches_len)(&shape)?, (packing.weights_len)(&shape)?),
            None => (0, 0),
        };
        let needs = Needs {
            scratch_len: tiles.checked_mul(patches_len)?.checked_add(padded_len)?,
            packed_len,
            rows,
            row_len: width * map.c,
            row_step: if pointwise { direct.mr } else { 1 },
            block_rows,
        };
        Some((Self { shape, width, block_rows, block_columns, row_len, padded_len, patches_len }, needs))
    }
}

/// Computes output rows into `out`, block by block.
pub(super) fn run(
    run: &ConvRun<'_>,
    plan: &DirectPlan,
    rows: Range<usize>,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let (padded, panels) = scratch.split_at_mut_checked(plan.padded_len)?;
    for (index, out) in
        out.chunks_mut((plan.block_rows * plan.width * plan.shape.channels).max(1)).enumerate()
    {
        let first = rows.start + index * plan.block_rows;
        let block_rows = first..rows.end.min(first + plan.block_rows);
        for (index, out) in parts(out, plan).enumerate() {
            let columns = index * plan.block_columns..plan.width.min((index + 1) * plan.block_columns);
            let block = &Block::new(run, plan, block_rows.clone(), columns, padded);
            block.as_ref()?.run(panels, out)?;
        }
    }
    Some(())
}

/// The outputs of a row, for every block of columns; those of some rows together when a block has all columns.
fn parts<'a>(out: &'a mut [i8], plan: &DirectPlan) -> core::slice::ChunksMut<'a, i8> {
    let whole = plan.block_columns == plan.width;
    let len = if whole { out.len() } else { plan.block_columns * plan.shape.channels };
    out.chunks_mut(len.max(1))
}

/// What the patches of a block are read from, and the distance of its rows: the input itself if they see no padding, else `padded`.
fn input_rows<'a>(
    run: &ConvRun<'a>,
    plan: &DirectPlan,
    rows: &Range<usize>,
    columns: &Range<usize>,
    padded: &'a mut [i8],
) -> Option<(&'a [i8], usize)> {
    let Window { kernel, stride: [down, right], pads: [top, left, ..] } = run.conv.window;
    let Tensor { h, w, c, .. } = run.layer.input;
    let part = rows::Part { row: rows.start * down, column: columns.start * right, row_len: plan.row_len };
    if plan.padded_len == 0 {
        return Some((run.input.get(part.row * part.row_len + part.column * c..)?, part.row_len));
    }
    let height = (rows.len() - 1) * down + kernel[0];
    let width = (columns.len() - 1) * right + kernel[1];
    let rows_inside = part.row >= top && part.row + height <= top + h;
    if rows_inside && part.column >= left && part.column + width <= left + w {
        let start = ((part.row - top) * w + part.column - left) * c;
        return Some((run.input.get(start..)?, w * c));
    }
    let padded = padded.get_mut(..height * part.row_len)?;
    rows::copy_padded(run, &part, padded)?;
    Some((padded, part.row_len))
}

/// Some output rows, or some columns of one.
struct Block<'a> {
    run: &'a ConvRun<'a>,
    plan: &'a DirectPlan,
    /// Its first pixel.
    first: usize,
    /// What they read.
    patches: Patches<'a>,
}

impl<'a> Block<'a> {
    fn new(
        run: &'a ConvRun<'a>,
        plan: &'a DirectPlan,
        rows: Range<usize>,
        columns: Range<usize>,
        padded: &'a mut [i8],
    ) -> Option<Self> {
        let (source, row_len) = input_rows(run, plan, &rows, &columns, padded)?;
        let [down, right] = run.conv.window.stride;
        let width = columns.len();
        let (row, column) = (down * row_len, right * run.layer.input.c);
        let one_row = row == width * column;
        let patches = Patches {
            source,
            grid: if one_row { Grid::line(0, column) } else { Grid { start: 0, width, row, column } },
            run_stride: row_len,
            run_len: plan.shape.run_len,
            pixels: rows.len() * width,
        };
        Some(Self { run, plan, first: rows.start * plan.width + columns.start, patches })
    }

    /// Packs all patches first; then panels outside, tiles inside: a panel's weights stay in the cache for the whole
    /// block.
    #[inline(never)]
    fn run(&self, panels: &mut [i8], out: &mut [i8]) -> Option<()> {
        let Self { run: ConvRun { kernels: Kernels { direct, .. }, weights, .. }, plan, .. } = *self;
        if let Some(packing) = direct.packing {
            (packing.pack_patches)(&plan.shape, weights, &self.patches, panels)?;
        }
        let target = Target {
            channels: self.run.conv.channels.0,
            first_channel: 0,
            grid: Grid::line(0, self.run.layer.output.c),
            epilogue: self.run.epilogue(),
            skip: self.run.skip(self.first, None),
        };
        let mut block = ConvBlock { shape: plan.shape, patches: self.patches, panels, weights, target };
        while block.target.first_channel < plan.shape.channels {
            (direct.conv)(&block, out)?;
            block.target.first_channel += direct.nr;
        }
        Some(())
    }
}
