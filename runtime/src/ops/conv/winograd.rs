//! Winograd convolution: blocks of tile rows, panels of output channels, blocks of input channels. The method and its
//! proof are in [`crate::kernels::winograd`].

use core::ops::Range;

use super::{ConvRun, Needs, rows};
use crate::kernels::winograd::{
    BLOCK_CHANNELS, CHANNELS, Costs, Finish, GROUP, INPUT_TILE, InputChunk, Multiply, POINTS, Product, TILE,
    WeightPair, Winograd, is_exact, panel_len, stride,
};
use crate::kernels::{Grid, Target};
use crate::model::{Conv, Tensor};

/// Bytes of transformed input that a block of tiles has at most: half of a usual second-level cache.
const BLOCK_BYTES: usize = 288 << 10;

/// Tiles whose products are kept at a time when the weights of all input channels are transformed at once: 20 KiB.
const TILES_AT_ONCE: usize = 8;

/// Geometry of a Winograd convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WinogradPlan {
    /// Pixels of a row.
    width: usize,
    /// Tiles of a row.
    columns: usize,
    /// Rows of tiles of a block.
    block_rows: usize,
    /// 16-channel chunks of the input.
    chunks: usize,
    /// Chunks whose weights are transformed at a time.
    weight_chunks: usize,
    /// Tiles whose products are kept at a time, a multiple of [`GROUP`].
    product_tiles: usize,
    /// Values of one padded input row.
    row_len: usize,
}

impl WinogradPlan {
    /// Whether the method can be used, exactly, and is faster than direct convolution.
    pub(super) fn pays(conv: &Conv<'_>, input: &Tensor, output: &Tensor, costs: &Costs) -> bool {
        let fits =
            conv.window.kernel == [3, 3] && conv.window.stride == [1, 1] && input.c.is_multiple_of(CHANNELS);
        let exact = is_exact(conv.weight_sum);
        let tiles = (output.h.div_ceil(TILE) * output.w.div_ceil(TILE)).next_multiple_of(GROUP);
        fits && exact && costs.pays(output.h * output.w, tiles, [input.c, output.c])
    }

    /// The plan and what it needs.
    pub(super) fn new(input: &Tensor, output: &Tensor) -> Option<(Self, Needs)> {
        let (rows, columns) = (output.h.div_ceil(TILE), output.w.div_ceil(TILE));
        let chunks = input.c / CHANNELS;
        let row_bytes = columns.checked_mul(chunks)?.checked_mul(size_of::<InputChunk>())?;
        let block_rows = (BLOCK_BYTES / row_bytes).clamp(1, rows);
        let weight_chunks = chunks.min(BLOCK_CHANNELS / CHANNELS);
        let tiles = (block_rows * columns).next_multiple_of(GROUP);
        let product_tiles = if weight_chunks == chunks { tiles.min(TILES_AT_ONCE) } else { tiles };
        let row_len = (columns * TILE + INPUT_TILE - TILE).checked_mul(input.c)?;
        let plan =
            Self { width: output.w, columns, block_rows, chunks, weight_chunks, product_tiles, row_len };
        let needs = Needs {
            scratch_len: plan.lens()?.iter().try_fold(0usize, |sum, len| sum.checked_add(*len))?,
            packed_len: panel_len(input.c).checked_mul(output.c.div_ceil(CHANNELS))?,
            rows: output.h,
            row_len: output.w * output.c,
            row_step: TILE,
            block_rows: block_rows * TILE,
        };
        Some((plan, needs))
    }

    fn block_tiles(&self) -> usize {
        (self.block_rows * self.columns).next_multiple_of(GROUP)
    }

    /// Bytes of the four parts of the scratch, multiples of 64: padded rows, transformed input, transformed weights,
    /// products.
    fn lens(&self) -> Option<[usize; 4]> {
        Some([
            self.row_len.checked_mul(INPUT_TILE)?.checked_next_multiple_of(64)?,
            self.block_tiles().checked_mul(self.chunks)?.checked_mul(size_of::<InputChunk>())?,
            POINTS * stride(self.weight_chunks * CHANNELS / 2) * size_of::<WeightPair>(),
            stride(self.product_tiles).checked_mul(POINTS * size_of::<Product>())?,
        ])
    }
}

/// The scratch, cut into its parts.
struct Scratch<'a> {
    rows: &'a mut [i8],
    input: &'a mut [InputChunk],
    weights: &'a mut [WeightPair],
    products: &'a mut [Product],
}

impl<'a> Scratch<'a> {
    fn new(plan: &WinogradPlan, scratch: &'a mut [i8]) -> Option<Self> {
        let [rows, input, weights, products] = plan.lens()?;
        let (rows, rest) = scratch.split_at_mut_checked(rows)?;
        let (input, rest) = rest.split_at_mut_checked(input)?;
        let (weights, rest) = rest.split_at_mut_checked(weights)?;
        Some(Self {
            rows: rows.get_mut(..INPUT_TILE * plan.row_len)?,
            input: bytemuck::try_cast_slice_mut(input).ok()?,
            weights: bytemuck::try_cast_slice_mut(weights).ok()?,
            products: bytemuck::try_cast_slice_mut(rest.get_mut(..products)?).ok()?,
        })
    }
}

/// Computes output rows into `out`, block by block.
pub(super) fn run(
    run: &ConvRun<'_>,
    plan: &WinogradPlan,
    rows: Range<usize>,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let winograd = run.kernels.winograd()?;
    let mut scratch = Scratch::new(plan, scratch)?;
    let row_len = plan.width * run.layer.output.c;
    let block_rows = plan.block_rows * TILE;
    for (index, out) in out.chunks_mut(block_rows * row_len).enumerate() {
        let first = rows.start + index * block_rows;
        let block = Block { run, plan, winograd, rows: first..rows.end.min(first + block_rows) };
        block.transform_input(&mut scratch)?;
        let panel_len = panel_len(run.layer.input.c);
        for (panel, weights) in run.weights.chunks_exact(panel_len).enumerate() {
            block.panel(panel * CHANNELS, weights, &mut scratch, out)?;
        }
    }
    Some(())
}

/// Some output rows.
struct Block<'a> {
    run: &'a ConvRun<'a>,
    plan: &'a WinogradPlan,
    winograd: &'a Winograd,
    rows: Range<usize>,
}

impl Block<'_> {
    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(TILE) * self.plan.columns
    }

    fn transform_input(&self, scratch: &mut Scratch<'_>) -> Option<()> {
        let chunks = self.plan.chunks;
        for (row, out) in scratch.input.chunks_mut(self.plan.columns * chunks).enumerate() {
            let first = self.rows.start + row * TILE;
            if first >= self.rows.end {
                break;
            }
            let (run, row_len) = (self.run, self.plan.row_len);
            let part = rows::Part { row: first, column: 0, row_len };
            rows::copy_padded(run, &part, scratch.rows)?;
            (self.winograd.transform_input)(scratch.rows, row_len, chunks, out)?;
        }
        Some(())
    }

    /// Sixteen output channels of all tiles.
    fn panel(
        &self,
        first_channel: usize,
        panel: &[i8],
        scratch: &mut Scratch<'_>,
        out: &mut [i8],
    ) -> Option<()> {
        let plan = self.plan;
        for first_tile in (0..self.tiles()).step_by(plan.product_tiles) {
            let tiles = plan.product_tiles.min((self.tiles() - first_tile).next_multiple_of(GROUP));
            let products = scratch.products.get_mut(..POINTS * stride(tiles))?;
            for first_chunk in (0..plan.chunks).step_by(plan.weight_chunks) {
                let chunks = first_chunk..plan.chunks.min(first_chunk + plan.weight_chunks);
                let weights = scratch.weights.get_mut(..POINTS * stride(chunks.len() * CHANNELS / 2))?;
                if first_tile == 0 || plan.weight_chunks < plan.chunks {
                    (self.winograd.transform_weights)(panel, chunks.clone(), weights)?;
                }
                let job = Multiply {
                    input: scratch.input.get(first_tile * plan.chunks + first_chunk..)?,
                    tile_chunks: plan.chunks,
                    weight_chunks: chunks.len(),
                    weights,
                    tiles,
                    add: first_chunk > 0,
                };
                (self.winograd.multiply)(&job, products)?;
            }
            for tile in 0..tiles.min(self.tiles() - first_tile) {
                self.finish(first_tile + tile, first_channel, panel, products, [tile, tiles], out)?;
            }
        }
        Some(())
    }

    /// One tile back from its products: number `index` of `tiles`.
    fn finish(
        &self,
        tile: usize,
        first_channel: usize,
        panel: &[i8],
        products: &[Product],
        [index, tiles]: [usize; 2],
        out: &mut [i8],
    ) -> Option<()> {
        let (width, channels) = (self.plan.width, self.run.layer.output.c);
        let (row, column) = (tile / self.plan.columns * TILE, tile % self.plan.columns * TILE);
        let start = (row * width + column) * channels;
        let job = Finish {
            products,
            tiles,
            tile: index,
            panel,
            valid: [TILE.min(self.rows.len() - row), TILE.min(width - column)],
            target: Target {
                channels: self.run.conv.channels.0,
                first_channel,
                grid: Grid { start, width: TILE, row: width * channels, column: channels },
                epilogue: self.run.epilogue(),
                skip: self.run.skip((self.rows.start + row) * width + column, Some(TILE)),
            },
        };
        (self.winograd.transform_output)(&job, out)
    }
}
