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
    columns: Tiles,
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
        let (rows, columns) = (output.h.div_ceil(TILE), Tiles::of(output.w));
        let chunks = input.c / CHANNELS;
        let row_bytes = columns.count.checked_mul(chunks)?.checked_mul(size_of::<InputChunk>())?;
        let block_rows = (BLOCK_BYTES / row_bytes).clamp(1, rows);
        let weight_chunks = chunks.min(BLOCK_CHANNELS / CHANNELS);
        let tiles = (block_rows * columns.count).next_multiple_of(GROUP);
        let product_tiles = if weight_chunks == chunks { tiles.min(TILES_AT_ONCE) } else { tiles };
        let row_len = (columns.count * TILE + INPUT_TILE - TILE).checked_mul(input.c)?;
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
        (self.block_rows * self.columns.count).next_multiple_of(GROUP)
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

/// How the rows or columns of a map are cut: into tiles of [`TILE`], and behind them as few tiles as that takes of one less, which
/// have fewer products. The last one may have still fewer rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tiles {
    /// What is cut.
    len: usize,
    /// All tiles.
    count: usize,
    /// Tiles of [`TILE`].
    whole: usize,
}

impl Tiles {
    const fn of(len: usize) -> Self {
        let count = len.div_ceil(TILE);
        Self { len, count, whole: count.saturating_sub(count * TILE - len) }
    }

    /// Where a tile begins.
    const fn start(&self, tile: usize) -> usize {
        tile * TILE - tile.saturating_sub(self.whole)
    }

    /// Rows or columns of a tile.
    const fn len(&self, tile: usize) -> usize {
        let (start, end) = (self.start(tile), self.start(tile + 1));
        if end < self.len { end - start } else { self.len - start }
    }

    /// Tiles of one less than [`TILE`].
    const fn short(&self) -> usize {
        self.count - self.whole
    }
}

/// The order of the tiles of a block, in which those with whole rows follow each other, and those with whole columns too: first
/// those with whole rows and short columns, then those with both whole, with whole columns only, with neither.
#[derive(Debug, Clone, Copy)]
struct TileOrder {
    rows: Tiles,
    columns: Tiles,
}

impl TileOrder {
    const fn count(&self) -> usize {
        self.rows.count * self.columns.count
    }

    const fn whole_rows(&self) -> Range<usize> {
        0..self.rows.whole * self.columns.count
    }

    const fn whole_columns(&self) -> Range<usize> {
        let first = self.rows.whole * self.columns.short();
        first..first + self.rows.count * self.columns.whole
    }

    /// Tile row and tile column of a tile.
    fn place(&self, tile: usize) -> Option<[usize; 2]> {
        let (rows, columns, whole) = (self.rows, self.columns, self.whole_columns());
        let (index, row, column, width) = if tile < whole.start {
            (tile, 0, columns.whole, columns.short())
        } else if tile < whole.end {
            (tile - whole.start, 0, 0, columns.whole)
        } else {
            (tile - whole.end, rows.whole, columns.whole, columns.short())
        };
        Some([row + index.checked_div(width)?, column + index.checked_rem(width)?])
    }

    /// The tile of a tile row and tile column.
    const fn number(&self, [row, column]: [usize; 2]) -> usize {
        let (rows, columns, whole) = (self.rows, self.columns, self.whole_columns());
        if column < columns.whole {
            whole.start + row * columns.whole + column
        } else if row < rows.whole {
            row * columns.short() + column - columns.whole
        } else {
            whole.end + (row - rows.whole) * columns.short() + column - columns.whole
        }
    }
}

/// A range counted from `first` on.
const fn behind(range: Range<usize>, first: usize) -> Range<usize> {
    range.start.saturating_sub(first)..range.end.saturating_sub(first)
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
        let rows = first..rows.end.min(first + block_rows);
        let tiles = TileOrder { rows: Tiles::of(rows.len()), columns: plan.columns };
        let block = Block { run, plan, winograd, rows, tiles };
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
    tiles: TileOrder,
}

impl Block<'_> {
    fn transform_input(&self, scratch: &mut Scratch<'_>) -> Option<()> {
        let (run, chunks, row_len) = (self.run, self.plan.chunks, self.plan.row_len);
        let TileOrder { rows, columns } = self.tiles;
        for row in 0..rows.count {
            let first = self.rows.start + rows.start(row);
            let part = rows::Part { row: first, column: 0, row_len };
            rows::copy_padded(run, &part, scratch.rows)?;
            for column in 0..columns.count {
                let out =
                    scratch.input.get_mut(self.tiles.number([row, column]) * chunks..)?.get_mut(..chunks)?;
                let first = columns.start(column) * run.layer.input.c;
                (self.winograd.transform_input)(scratch.rows, row_len, first, out)?;
            }
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
        let (plan, all_tiles) = (self.plan, self.tiles.count());
        for first_tile in (0..all_tiles).step_by(plan.product_tiles) {
            let wanted = plan.product_tiles.min(all_tiles - first_tile);
            let tiles = wanted.next_multiple_of(GROUP);
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
                    wanted,
                    whole_rows: behind(self.tiles.whole_rows(), first_tile),
                    whole_columns: behind(self.tiles.whole_columns(), first_tile),
                    add: first_chunk > 0,
                };
                (self.winograd.multiply)(&job, products)?;
            }
            for tile in 0..wanted {
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
        let TileOrder { rows, columns } = self.tiles;
        let [row, column] = self.tiles.place(tile)?;
        let valid = [rows.len(row), columns.len(column)];
        let (row, column) = (rows.start(row), columns.start(column));
        let start = (row * width + column) * channels;
        let job = Finish {
            products,
            tiles,
            tile: index,
            panel,
            valid,
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
