//! Direct convolution: blocks of output rows, tiles of pixels, panels of channels.

use core::ops::Range;

use super::{ConvRun, rows, shape};
use crate::kernels::{ConvTile, Direct, Patches, Place, Shape, Target};
use crate::model::{Conv, Tensor};

/// Most kernel rows, see [`crate::format::MAX_KERNEL`].
const MAX_RUNS: usize = crate::format::MAX_KERNEL as usize;

/// Most pixels of a tile of any table.
const MAX_MR: usize = 16;

/// Geometry of a direct convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectPlan {
    shape: Shape,
    /// Output rows of a block.
    block_rows: usize,
    /// Values of one row that patches are read from.
    row_len: usize,
    /// Bytes of the block's padded input rows; 0 when patches are read from the input.
    padded_len: usize,
    /// Bytes of the packed patches of a tile; 0 when they are read where they are.
    patches_len: usize,
}

impl DirectPlan {
    /// The plan, its bytes of scratch, and of packed weights.
    pub(super) fn new(
        conv: &Conv<'_>,
        input: &Tensor,
        output: &Tensor,
        direct: &Direct,
    ) -> Option<(Self, usize, usize)> {
        let shape = shape(conv, input, output);
        let [_, left, _, right] = conv.window.pads;
        let row_len = (left + input.w + right).checked_mul(input.c)?;
        let block_rows = (direct.block_bytes / output.w.checked_mul(shape.depth())?).clamp(1, output.h);
        let input_rows = (block_rows - 1) * conv.window.stride[0] + conv.window.kernel[0];
        let padded = conv.window.pads != [0; 4];
        let padded_len =
            if padded { input_rows.checked_mul(row_len)?.checked_next_multiple_of(64)? } else { 0 };
        let tiles = (block_rows * output.w).div_ceil(direct.mr);
        let (patches_len, packed_len) = match direct.packing {
            Some(packing) => ((packing.patches_len)(&shape)?, (packing.weights_len)(&shape)?),
            None => (0, 0),
        };
        let scratch_len = tiles.checked_mul(patches_len)?.checked_add(padded_len)?;
        Some((Self { shape, block_rows, row_len, padded_len, patches_len }, scratch_len, packed_len))
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
    let row_len = run.layer.output.w * run.layer.output.c;
    for (index, out) in out.chunks_mut(plan.block_rows * row_len).enumerate() {
        let first = rows.start + index * plan.block_rows;
        let block_rows = first..rows.end.min(first + plan.block_rows);
        Block::new(run, plan, block_rows, padded)?.run(panels, out)?;
    }
    Some(())
}

/// Some output rows.
struct Block<'a> {
    run: &'a ConvRun<'a>,
    plan: &'a DirectPlan,
    rows: Range<usize>,
    /// Padded input rows, or the input from the block's first row on.
    source: &'a [i8],
    /// Where the kernel rows start in `source`.
    runs: [usize; MAX_RUNS],
}

impl<'a> Block<'a> {
    fn new(
        run: &'a ConvRun<'a>,
        plan: &'a DirectPlan,
        rows: Range<usize>,
        padded: &'a mut [i8],
    ) -> Option<Self> {
        let first_row = rows.start * run.conv.window.stride[0];
        let source = if plan.padded_len == 0 {
            run.input.get(first_row * plan.row_len..)?
        } else {
            let input_rows = (rows.len() - 1) * run.conv.window.stride[0] + plan.shape.runs;
            let padded = padded.get_mut(..input_rows * plan.row_len)?;
            rows::copy_padded(run.conv, &run.layer.input, run.input, first_row, plan.row_len, padded)?;
            &*padded
        };
        let runs = core::array::from_fn(|row| row * plan.row_len);
        Some(Self { run, plan, rows, source, runs })
    }

    /// Packs all patches first; then panels outside, tiles inside: a panel's weights stay in the cache for the whole
    /// block.
    fn run(&self, panels: &mut [i8], out: &mut [i8]) -> Option<()> {
        let direct = &self.run.kernels.direct;
        let pixels = self.rows.len() * self.run.layer.output.w;
        if let Some(packing) = direct.packing {
            let tiles = (0..pixels).step_by(direct.mr);
            for (first, panel) in tiles.zip(panels.chunks_exact_mut(self.plan.patches_len)) {
                let mut starts = [0; MAX_MR];
                let patches = self.patches(first, pixels, &mut starts)?;
                (packing.pack_patches)(&self.plan.shape, self.run.weights, &patches, panel)?;
            }
        }
        for first_channel in (0..self.plan.shape.channels).step_by(direct.nr) {
            for (tile, first_pixel) in (0..pixels).step_by(direct.mr).enumerate() {
                let panel = panels.get(tile * self.plan.patches_len..)?.get(..self.plan.patches_len)?;
                self.tile(first_pixel, pixels, first_channel, panel, out)?;
            }
        }
        Some(())
    }

    fn tile(
        &self,
        first_pixel: usize,
        pixels: usize,
        first_channel: usize,
        panel: &[i8],
        out: &mut [i8],
    ) -> Option<()> {
        let direct = &self.run.kernels.direct;
        let (mut starts, mut places) = ([0; MAX_MR], [Place::default(); MAX_MR]);
        let patches = match direct.packing {
            Some(_) => Patches { source: &[], pixels: &[], runs: &[], run_len: 0 },
            None => self.patches(first_pixel, pixels, &mut starts)?,
        };
        let target = Target {
            channels: self.run.conv.channels.0,
            first_channel,
            places: self.places(first_pixel, pixels, &mut places)?,
            epilogue: self.run.epilogue(),
            skip: self.run.skip(),
        };
        let tile =
            ConvTile { shape: self.plan.shape, patches, panel, weights: self.run.weights, target };
        (direct.conv)(&tile, out)
    }

    /// Row in the block and column of each pixel of the tile that starts at `first`.
    fn positions(&self, first: usize, pixels: usize) -> impl Iterator<Item = (usize, usize)> {
        let width = self.run.layer.output.w;
        let count = self.run.kernels.direct.mr.min(pixels - first);
        let (mut row, mut column) = (first / width, first % width);
        (0..count).map(move |_| {
            let position = (row, column);
            column += 1;
            if column == width {
                (row, column) = (row + 1, 0);
            }
            position
        })
    }

    fn patches<'s>(&'s self, first: usize, pixels: usize, starts: &'s mut [usize; MAX_MR]) -> Option<Patches<'s>> {
        let [down, right] = self.run.conv.window.stride;
        let mut count = 0;
        for (start, (row, column)) in starts.iter_mut().zip(self.positions(first, pixels)) {
            *start = row * down * self.plan.row_len + column * right * self.run.layer.input.c;
            count += 1;
        }
        Some(Patches {
            source: self.source,
            pixels: starts.get(..count)?,
            runs: self.runs.get(..self.plan.shape.runs)?,
            run_len: self.plan.shape.run_len,
        })
    }

    fn places<'s>(&self, first: usize, pixels: usize, places: &'s mut [Place; MAX_MR]) -> Option<&'s [Place]> {
        let channels = self.run.layer.output.c;
        let mut count = 0;
        for (place, (row, column)) in places.iter_mut().zip(self.positions(first, pixels)) {
            let out = (first + count) * channels;
            *place = Place { out, skip: self.run.skip_place(self.rows.start + row, column) };
            count += 1;
        }
        places.get(..count)
    }
}
