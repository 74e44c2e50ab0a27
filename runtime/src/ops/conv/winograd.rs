//! Winograd convolution: blocks of tile rows, panels of output channels, blocks of input channels. The method and its
//! proof are in [`crate::kernels::winograd`].

use core::ops::Range;

use super::{ConvRun, Map, Needs, rows};
use crate::kernels::winograd::{
    Blocks, CHANNELS, Finish, GROUP, Geometry, INPUT_TILE, InputChunk, Multiply, POINTS, Product, Tile,
    WeightPair, Winograd, is_exact, stride,
};
use crate::kernels::{Grid, Target};
use crate::model::{Conv, Tensor};

/// Geometry of a Winograd convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WinogradPlan {
    pub(super) geometry: Geometry,
    /// Pixels of a row.
    width: usize,
    /// Tiles of a row.
    columns: Tiles,
    /// Rows of tiles of a block.
    block_rows: usize,
    /// 16-channel chunks of the input, of all its phases.
    chunks: usize,
    /// Chunks whose weights are transformed at a time.
    weight_chunks: usize,
    /// Most tiles whose products are kept at a time.
    product_tiles: usize,
    /// Pixels of one padded input row of a phase.
    row_pixels: usize,
}

impl WinogradPlan {
    /// The geometry, if the method can be used, exactly, and is faster than direct convolution.
    pub(super) fn choose(
        conv: &Conv<'_>,
        input: &Tensor,
        output: &Map,
        winograd: &Winograd,
    ) -> Option<Geometry> {
        let geometry = Geometry::of(conv.window.kernel(), conv.window.stride(), input.c())?;
        let costs = if geometry.stride == 1 { winograd.costs } else { winograd.stride_2? };
        let tiles = output.h.div_ceil(geometry.form.tile()) * output.w.div_ceil(geometry.form.tile());
        let pays = costs.pays(&geometry, output.h * output.w, tiles, output.c);
        (is_exact(conv.weight_sum) && pays).then_some(geometry)
    }

    /// The plan and what it needs.
    pub(super) fn new(geometry: Geometry, output: &Map, blocks: &Blocks) -> Option<(Self, Needs)> {
        let tile = geometry.form.tile();
        let (rows, columns) = (output.h.div_ceil(tile), Tiles::of(output.w, tile));
        let chunks = geometry.inputs() / CHANNELS;
        let row_bytes = columns.count.checked_mul(chunks)?.checked_mul(size_of::<InputChunk>())?;
        let [usual, most] = blocks.input_bytes;
        let block_rows = if row_bytes.checked_mul(rows)? <= most {
            rows
        } else {
            usual.checked_div(row_bytes)?.clamp(1, rows)
        };
        let tiles = block_rows * columns.count;
        let weight_chunks = chunks.min(blocks.weight_chunks);
        let parts = if weight_chunks == chunks { tiles.div_ceil(blocks.product_tiles) } else { 1 };
        let product_tiles = tiles.div_ceil(parts).next_multiple_of(blocks.product_step);
        let row_pixels = columns.count * tile + INPUT_TILE - tile;
        let plan = Self {
            geometry,
            width: output.w,
            columns,
            block_rows,
            chunks,
            weight_chunks,
            product_tiles,
            row_pixels,
        };
        let needs = Needs {
            scratch_len: plan.lens()?.iter().try_fold(0usize, |sum, len| sum.checked_add(*len))?,
            packed_len: geometry.panel_len().checked_mul(output.c.div_ceil(CHANNELS))?,
            rows: output.h,
            row_len: output.w * output.c,
            // Tiles are cut to the rows of a part, evenly: the largest part has fewer products than if it were cut at whole tiles.
            row_step: 1,
        };
        Some((plan, needs))
    }

    /// Output rows of a block.
    pub(super) const fn output_rows(&self) -> usize {
        self.block_rows * self.geometry.form.tile()
    }

    fn block_tiles(&self) -> usize {
        (self.block_rows * self.columns.count).next_multiple_of(GROUP)
    }

    /// Values of one padded input row.
    const fn row_len(&self) -> usize {
        self.row_pixels * self.geometry.stride * self.geometry.channels
    }

    /// Bytes of the padded input rows of a row of tiles.
    const fn padded_len(&self) -> usize {
        INPUT_TILE * self.geometry.stride * self.row_len()
    }

    /// Bytes before them, for [`fold`].
    const fn slack(&self) -> usize {
        if self.geometry.folds() { FOLD_LEN } else { 0 }
    }

    /// Bytes of the same rows with the phases of a pixel side by side, if they are wanted so.
    fn folded_len(&self) -> Option<usize> {
        if self.geometry.folds() { self.row_pixels.checked_mul(INPUT_TILE * CHANNELS) } else { Some(0) }
    }

    /// Bytes of the five parts of the scratch, multiples of 64: padded rows, folded rows, transformed input, transformed weights,
    /// products.
    fn lens(&self) -> Option<[usize; 5]> {
        let Geometry { stride: step, channels, .. } = self.geometry;
        let row_len = self.row_pixels.checked_mul(step)?.checked_mul(channels)?;
        Some([
            row_len
                .checked_mul(INPUT_TILE * step)?
                .checked_add(self.slack())?
                .checked_next_multiple_of(64)?,
            self.folded_len()?.checked_next_multiple_of(64)?,
            self.block_tiles().checked_mul(self.chunks)?.checked_mul(size_of::<InputChunk>())?,
            POINTS * stride(self.weight_chunks * CHANNELS / 2) * size_of::<WeightPair>(),
            stride(self.product_tiles.next_multiple_of(GROUP)).checked_mul(POINTS * size_of::<Product>())?,
        ])
    }
}

/// How the rows or columns of a map are cut: into whole tiles, and behind them as few tiles as that takes of one row or column less, which
/// have fewer products. The last one may have still fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tiles {
    /// What is cut.
    len: usize,
    /// Rows or columns of a whole tile.
    tile: usize,
    /// All tiles.
    count: usize,
    /// Whole tiles.
    whole: usize,
}

impl Tiles {
    const fn of(len: usize, tile: usize) -> Self {
        let count = len.div_ceil(tile);
        Self { len, tile, count, whole: count.saturating_sub(count * tile - len) }
    }

    /// Where a tile begins.
    const fn start(&self, tile: usize) -> usize {
        tile * self.tile - tile.saturating_sub(self.whole)
    }

    /// Rows or columns of a tile.
    const fn len(&self, tile: usize) -> usize {
        let (start, end) = (self.start(tile), self.start(tile + 1));
        if end < self.len { end - start } else { self.len - start }
    }

    /// Tiles of one less.
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

    /// Tile rows and tile columns of all tiles, in order.
    fn places(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let TileOrder { rows, columns } = *self;
        let short_columns = columns.whole..columns.count;
        let parts = [
            (0..rows.whole, short_columns.clone()),
            (0..rows.count, 0..columns.whole),
            (rows.whole..rows.count, short_columns),
        ];
        parts.into_iter().flat_map(|(rows, columns)| {
            rows.flat_map(move |row| columns.clone().map(move |column| [row, column]))
        })
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
    padded: &'a mut [i8],
    folded: &'a mut [i8],
    input: &'a mut [InputChunk],
    weights: &'a mut [WeightPair],
    products: &'a mut [Product],
}

impl<'a> Scratch<'a> {
    fn new(plan: &WinogradPlan, scratch: &'a mut [i8]) -> Option<Self> {
        let [padded, folded, input, weights, products] = plan.lens()?;
        let (padded, rest) = scratch.split_at_mut_checked(padded)?;
        let (folded, rest) = rest.split_at_mut_checked(folded)?;
        let (input, rest) = rest.split_at_mut_checked(input)?;
        let (weights, rest) = rest.split_at_mut_checked(weights)?;
        Some(Self {
            padded,
            folded,
            input: bytemuck::try_cast_slice_mut(input).ok()?,
            weights: bytemuck::try_cast_slice_mut(weights).ok()?,
            products: bytemuck::try_cast_slice_mut(rest.get_mut(..products)?).ok()?,
        })
    }
}

/// Computes output rows into `out`, block by block.
pub(super) fn run(
    run: &ConvRun<'_>,
    geometry: Geometry,
    rows: Range<usize>,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let winograd = run.kernels.winograd()?;
    let (plan, _) = &WinogradPlan::new(
        geometry,
        &Map::of(run.conv, &run.layer.input, &run.layer.output),
        &winograd.blocks,
    )?;
    let mut scratch = Scratch::new(plan, scratch)?;
    let row_len = plan.width * run.pixel_len();
    let panels = run.channels().start / CHANNELS..run.channels().end.div_ceil(CHANNELS);
    for first in rows.clone().step_by(plan.output_rows()) {
        let out = out.get_mut((first - rows.start) * row_len..)?;
        let rows = first..rows.end.min(first + plan.output_rows());
        let tiles = TileOrder { rows: Tiles::of(rows.len(), plan.columns.tile), columns: plan.columns };
        let block = Block { run, plan, winograd, rows, tiles };
        block.transform_input(&mut scratch)?;
        let weights = run.weights.chunks_exact(plan.geometry.panel_len());
        for (panel, weights) in weights.enumerate().take(panels.end).skip(panels.start) {
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
        let stride = self.plan.geometry.stride;
        let TileOrder { rows, columns } = self.tiles;
        for row in 0..rows.count {
            let first = (self.rows.start + rows.start(row)) * stride;
            let part = rows::Part { row: first, column: 0, row_len: self.plan.row_len() };
            let before = self.plan.slack();
            let padded = scratch.padded.get_mut(before..)?.get_mut(..self.plan.padded_len())?;
            rows::copy_padded(self.run, &part, self.run.kernels.copy_into, self.run.conv.pad, padded)?;
            if self.plan.geometry.folds() {
                fold(self.plan, scratch.padded, scratch.folded)?;
            }
            for column in 0..columns.count {
                let index = self.tiles.number([row, column]) * self.plan.chunks;
                let out = scratch.input.get_mut(index..)?.get_mut(..self.plan.chunks)?;
                if self.plan.geometry.folds() {
                    let values = scratch.folded.get(columns.start(column) * CHANNELS..)?;
                    let tile = Tile { values, row: self.plan.row_pixels * CHANNELS, column: CHANNELS };
                    (self.winograd.transform_input)(&tile, out)?;
                } else {
                    self.transform_phases(scratch.padded, columns.start(column), out)?;
                }
            }
        }
        Some(())
    }

    /// The phases of the tile that begins at a column.
    fn transform_phases(&self, padded: &[i8], column: usize, out: &mut [InputChunk]) -> Option<()> {
        let Geometry { stride, channels, .. } = self.plan.geometry;
        let row_len = self.plan.row_len();
        for (phase, out) in out.chunks_exact_mut(channels / CHANNELS).enumerate() {
            let [first_row, first_column] = if stride == 1 { [0, 0] } else { Geometry::phase(phase) };
            let values = padded.get(first_row * row_len + (column * stride + first_column) * channels..)?;
            let tile = Tile { values, row: stride * row_len, column: stride * channels };
            (self.winograd.transform_input)(&tile, out)?;
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
        let (target, mut places) = (self.target(first_channel), self.tiles.places());
        for first_tile in (0..all_tiles).step_by(plan.product_tiles) {
            let wanted = plan.product_tiles.min(all_tiles - first_tile);
            let tiles = wanted.next_multiple_of(GROUP);
            let products = scratch.products.get_mut(..POINTS * stride(tiles))?;
            for first_chunk in (0..plan.chunks).step_by(plan.weight_chunks) {
                let chunks = first_chunk..plan.chunks.min(first_chunk + plan.weight_chunks);
                let weights = scratch.weights.get_mut(..POINTS * stride(chunks.len() * CHANNELS / 2))?;
                if first_tile == 0 || plan.weight_chunks < plan.chunks {
                    (self.winograd.transform_weights)(plan.geometry.form, panel, chunks.clone(), weights)?;
                }
                let job = Multiply {
                    input: scratch.input.get(first_tile * plan.chunks..)?,
                    tile_chunks: plan.chunks,
                    chunks,
                    unused: plan.geometry.unused(),
                    weights,
                    tiles,
                    wanted,
                    whole_rows: behind(self.tiles.whole_rows(), first_tile),
                    whole_columns: behind(self.tiles.whole_columns(), first_tile),
                    last_row_chunks: plan.geometry.last_row_chunks(),
                    last_column_chunks: plan.geometry.last_column_chunks(),
                };
                (self.winograd.multiply)(&job, products)?;
            }
            let mut job =
                Finish { form: plan.geometry.form, products, tiles, tile: 0, panel, valid: [0; 2], target };
            for (tile, place) in places.by_ref().take(wanted).enumerate() {
                job.tile = tile;
                self.go_to(place, &target, &mut job);
                (self.winograd.transform_output)(&job, out)?;
            }
        }
        Some(())
    }

    /// Where the outputs of a panel go: pixels of the block's first tile.
    fn target(&self, first_channel: usize) -> Target<'_> {
        let (width, pixel_len, tile) = (self.plan.width, self.run.pixel_len(), self.plan.columns.tile);
        Target {
            channels: self.run.conv.channels.0,
            first_channel,
            grid: Grid { start: 0, width: tile, row: width * pixel_len, column: pixel_len },
            epilogue: self.run.epilogue(),
            skip: self.run.skip(self.rows.start * width, Some(tile)),
        }
    }

    /// Lets a job finish the tile at a tile row and a tile column; `panel` is where the outputs of its panel go.
    fn go_to(&self, [row, column]: [usize; 2], panel: &Target<'_>, job: &mut Finish<'_>) {
        let TileOrder { rows, columns } = self.tiles;
        job.valid = [rows.len(row), columns.len(column)];
        let (row, column) = (rows.start(row), columns.start(column));
        job.target.grid.start = panel.grid.place_of_row(row, column);
        if let (Some(skip), Some(panel)) = (&mut job.target.skip, &panel.skip) {
            skip.grid.start = panel.grid.place_of_row(row, column);
        }
    }
}

/// Values that are copied at a time where phases are put side by side: those of two pixels at most, and as many before them.
const FOLD_LEN: usize = 8;

/// Puts the phases of every pixel side by side, at the end of 16 values: two pixels of an even row, and those below them. `padded` are the
/// rows, [`FOLD_LEN`] values after the start. What is copied before two pixels lands where the upper ones come next, or is not used.
fn fold(plan: &WinogradPlan, padded: &[i8], folded: &mut [i8]) -> Option<()> {
    let (len, row_len) = (2 * plan.geometry.channels, plan.row_len());
    let rows = folded.chunks_exact_mut(plan.row_pixels * CHANNELS);
    for (row, folded) in rows.enumerate().take(INPUT_TILE) {
        let pixels = |row: usize| Some(padded.get(row * row_len + len..)?.windows(FOLD_LEN).step_by(len));
        let phases = pixels(2 * row)?.zip(pixels(2 * row + 1)?);
        for (out, (even, odd)) in folded.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(phases) {
            *out.last_chunk_mut::<FOLD_LEN>()? = *odd.first_chunk()?;
            *out.get_mut(CHANNELS - FOLD_LEN - len..)?.first_chunk_mut::<FOLD_LEN>()? =
                *even.first_chunk()?;
        }
    }
    Some(())
}
