//! Convolution in fewer multiplications, with the same result to the bit: 36 for 16 outputs of a 3x3 kernel instead of 144.
//!
//! The method is Winograd's ("Arithmetic Complexity of Computations", 1980) with the points of Lavin and Gray ("Fast
//! Algorithms for Convolutional Neural Networks", 2016), 0, 1, -1, 2, -2 and infinity, made integer: a 6x6 tile `d` of the
//! input and a kernel `g` of `r x r` taps give `m x m` outputs, `m + r = 7`. For F(4x4, 3x3):
//!
//! ```text
//! A' [ sum over channels of (G' g G'^T) * (B^T d B) ] A'^T = 24^2 * y
//!
//!       1  0  0             4  0 -5  0  1  0
//!       1  1  1             0 -4 -4  1  1  0            6 -4 -4  1  1  0
//! G' =  1 -1  1      B^T =  0  4 -4 -1  1  0     A' =   0 -4  4  2 -2  0
//!       1  2  4             0 -2 -1  2  1  0            0 -4 -4  4  4  0
//!       1 -2  4             0  2 -1 -2  1  0            0 -4  4  8 -8 24
//!       0  0  1             0  4  0 -5  0  1
//! ```
//!
//! `B^T` depends on the points only, so all forms share it. A column of `G'` and a row of `A'` has the next power of the points (the row,
//! times their factors), the last one 1 and 24 for infinity too:
//!
//! ```text
//! F(5x5, 2x2)                            F(3x3, 4x4)
//!
//! G' =  1  0    A' =  6 -4 -4  1  1  0    G' =  1  0  0  0    A' =  6 -4 -4  1  1  0
//!       1  1          0 -4  4  2 -2  0          1  1  1  1          0 -4  4  2 -2  0
//!       1 -1          0 -4 -4  4  4  0          1 -1  1 -1          0 -4 -4  4  4 24
//!       1  2          0 -4  4  8 -8  0          1  2  4  8
//!       1 -2          0 -4 -4 16 16 24          1 -2  4 -8
//!       0  1                                    0  0  0  1
//! ```
//!
//! # Stride 2
//!
//! A convolution of stride 2 is one of stride 1 on the four *phases* of its input, the pixels whose row and column are even, or odd, with
//! kernels of half the size (space to depth): 3x3 taps become 2x2 of four times the channels, 7x7 become 4x4. [`Geometry`] has
//! where taps and channels come to lie.
//!
//! # Why it is exact
//!
//! - With `|d| <= 128`, `|B^T d B| <= 10 * 10 * 128 = 12,800`; with `|g| <= 127`, `|G' g G'^T| <= 7 * 7 * 127 =
//!   6,223`, and `15 * 15 * 127 = 28,575` with four taps: all fit int16, and so does every intermediate value.
//! - Everything after that is a sum of products, taken modulo 2^32. So what arrives is `t = 576 * y mod 2^32`, however
//!   often a sum has wrapped on the way.
//! - `t * 9^-1 mod 2^32 = 64 * y mod 2^32`, and shifting that right by 6 with its sign is `y` whenever `-2^25 <= y < 2^25`.
//!   [`is_exact`] proves it from the weights: `|y| <= 128 * sum |w|`.
//!
//! # Tiles of one row or column less, kernels of one tap less
//!
//! Only the last column of `A'` reads the last row of points, and it has a value for the last output alone. So a tile that lacks
//! its last row, or column, does without the products of the last row, or column, of points: 30 instead of 36, and 25 with
//! both. A map of 14 is cut into 4 + 4 + 3 + 3 for that, one of 7 into 4 + 3: 484 and 121 products instead of 576 and 144.
//!
//! Only the last row of `G'` reads the last tap alone. Of the phases of a 3x3 kernel two have one row, two have one column: they add
//! nothing to the last row, or column, of points. Phases are in such an order that those which do follow each other, and it takes
//! 121 products for 25 outputs instead of 144.
//!
//! Weights are transformed again in every run, block by block: what that takes and saves is in `docs/kernels.md`.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
pub(super) mod pack;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod steps;

use core::ops::Range;

use super::{LayerWeights, Target};

/// Input rows and columns of a tile.
pub const INPUT_TILE: usize = 6;

/// Elements of a transformed tile.
pub const POINTS: usize = INPUT_TILE * INPUT_TILE;

/// Channels of a panel, of the input and of the output.
pub const CHANNELS: usize = 16;

/// The number of tiles that are multiplied is a multiple of this.
pub const GROUP: usize = 4;

/// A transformed tile of 16 input channels.
pub type InputChunk = [[i16; CHANNELS]; POINTS];

/// Transformed weights of two input channels and 16 output channels, at one point.
pub type WeightPair = [i16; 2 * CHANNELS];

/// The product of one tile and 16 output channels, at one point.
pub type Product = [i32; CHANNELS];

/// A form of the method, by its outputs and taps in one dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// F(5x5, 2x2).
    F5x2,
    /// F(4x4, 3x3).
    F4x3,
    /// F(3x3, 4x4).
    F3x4,
}

impl Form {
    /// Rows and columns of the kernel.
    #[must_use]
    pub const fn kernel(self) -> usize {
        match self {
            Self::F5x2 => 2,
            Self::F4x3 => 3,
            Self::F3x4 => 4,
        }
    }

    /// Output rows and columns of a tile.
    #[must_use]
    pub const fn tile(self) -> usize {
        INPUT_TILE + 1 - self.kernel()
    }
}

/// How a convolution comes to have one of the forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// The form.
    pub form: Form,
    /// Rows and columns of the convolution's kernel.
    pub kernel: usize,
    /// Its stride: 1, or 2 for four phases.
    pub stride: usize,
    /// Channels of its input.
    pub channels: usize,
}

impl Geometry {
    /// That of a convolution, if it has one: square, of stride 1 or 2, with a multiple of 16 channels, or of stride 2 with four at most.
    #[must_use]
    pub const fn of(kernel: [usize; 2], stride: [usize; 2], channels: usize) -> Option<Self> {
        let ([rows, kernel], [down, stride]) = (kernel, stride);
        let few = stride == 2 && channels <= CHANNELS / 4;
        if rows != kernel || down != stride || channels == 0 || !(few || channels.is_multiple_of(CHANNELS)) {
            return None;
        }
        let form = match (stride, kernel) {
            (2, 3) => Form::F5x2,
            (1, 3) => Form::F4x3,
            (2, 7) => Form::F3x4,
            _ => return None,
        };
        Some(Self { form, kernel, stride, channels })
    }

    /// Whether four phases have a chunk together, at its end: two of the first row and two of the second.
    #[must_use]
    pub const fn folds(&self) -> bool {
        self.channels < CHANNELS
    }

    /// Phases that have chunks of their own.
    #[must_use]
    pub const fn phases(&self) -> usize {
        if self.stride == 1 || self.folds() { 1 } else { 4 }
    }

    /// Channels of all phases, a multiple of 16.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        if self.folds() { CHANNELS } else { self.phases() * self.channels }
    }

    /// Channels before the first one that has weights.
    #[must_use]
    pub const fn unused(&self) -> usize {
        if self.folds() { CHANNELS - 4 * self.channels } else { 0 }
    }

    /// First row and column of a phase. Those with the first row follow each other, and those with the first column.
    #[must_use]
    pub const fn phase(index: usize) -> [usize; 2] {
        [index / 2, (index + index / 2 + 1) % 2]
    }

    /// What a tap of the convolution becomes: the number of a tap, and of the first channel.
    #[must_use]
    pub const fn place(&self, [row, column]: [usize; 2]) -> [usize; 2] {
        if self.stride == 1 {
            return [row * self.kernel + column, 0];
        }
        let tap = row / 2 * self.form.kernel() + column / 2;
        let (row, column) = (row % 2, column % 2);
        let phase = match (self.folds(), row) {
            (true, _) => 2 * row + column,
            (false, 0) => 1 - column,
            (false, _) => 2 + column,
        };
        [tap, self.unused() + phase * self.channels]
    }

    /// The chunks whose kernels have a last row of taps.
    #[must_use]
    pub const fn last_row_chunks(&self) -> Range<usize> {
        if self.has_short_phases() { 0..self.inputs() / 2 / CHANNELS } else { 0..self.inputs() / CHANNELS }
    }

    /// The chunks whose kernels have a last column of taps.
    #[must_use]
    pub const fn last_column_chunks(&self) -> Range<usize> {
        if self.has_short_phases() {
            self.channels / CHANNELS..3 * self.channels / CHANNELS
        } else {
            0..self.inputs() / CHANNELS
        }
    }

    /// Whether phases with the second row, or column, have a row, or column, of taps less.
    const fn has_short_phases(&self) -> bool {
        self.phases() > 1 && self.kernel % 2 == 1
    }

    /// Bytes of the packed weights and parameters of 16 output channels.
    #[must_use]
    pub const fn panel_len(&self) -> usize {
        PARAMETERS_LEN + self.inputs() * self.form.kernel() * self.form.kernel() * CHANNELS
    }
}

/// The steps of the method for one instruction set. All return `None` when a slice is too short.
#[derive(Debug, Clone, Copy)]
pub struct Winograd {
    /// What decides between this method and direct convolution, of stride 1.
    pub costs: Costs,
    /// The same of stride 2; `None` leaves all of them to direct convolution.
    pub stride_2: Option<Costs>,
    /// How much is worked on at a time.
    pub blocks: Blocks,
    /// Packs a layer's weights and channel parameters: one panel of [`Geometry::panel_len`] bytes for 16 output channels.
    pub pack_weights: fn(geometry: &Geometry, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()>,
    /// Transforms a tile; `out` are its chunks of one phase.
    pub transform_input: fn(tile: &Tile<'_>, out: &mut [InputChunk]) -> Option<()>,
    /// Transforms the weights of a panel for the 16-channel chunks `chunks`: `out[point * stride(pairs) + pair]`, with
    /// 8 pairs of channels a chunk.
    #[expect(clippy::type_complexity, reason = "its parameters have names and are explained above")]
    pub transform_weights:
        fn(form: Form, panel: &[i8], chunks: Range<usize>, out: &mut [WeightPair]) -> Option<()>,
    /// Multiplies and sums over channels.
    pub multiply: fn(job: &Multiply<'_>, products: &mut [Product]) -> Option<()>,
    /// Transforms the products of one tile back, finishes and stores its outputs.
    pub transform_output: fn(job: &Finish<'_>, out: &mut [i8]) -> Option<()>,
}

/// How much is worked on at a time, so that it stays in the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// Bytes of transformed input that a block of tiles has at most, or a little more if that saves transforming the weights a second time.
    pub input_bytes: [usize; 2],
    /// Most tiles whose products are kept at a time when the weights of all input channels are transformed at once. Otherwise
    /// those of all tiles of a block are kept, which take less than its input.
    pub product_tiles: usize,
    /// The tiles of a block are cut evenly into parts of so many, which are a multiple of this.
    pub product_step: usize,
    /// Most 16-channel chunks of the input whose weights are transformed at a time. Few stay in the first-level cache; with many, sums are seldom
    /// stored and loaded between them.
    pub weight_chunks: usize,
}

impl Blocks {
    /// Half of a second-level cache of 512 KiB, and 20 KiB of products.
    pub const USUAL: Self =
        Self { input_bytes: [288 << 10, 336 << 10], product_tiles: 8, product_step: GROUP, weight_chunks: 8 };
}

/// What [`Winograd::transform_input`] reads: [`INPUT_TILE`] rows of as many pixels.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    /// Values, from the first pixel on.
    pub values: &'a [i8],
    /// Distance between rows.
    pub row: usize,
    /// Distance between the pixels of a row.
    pub column: usize,
}

/// What the method and direct convolution cost, in 1/64 of a cycle or any other unit: only their ratios count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Direct convolution: nine products, per input channel and output channel.
    pub direct: usize,
    /// The 36 products of a tile, per input channel and output channel.
    pub tile: usize,
    /// Tiles that are multiplied together.
    pub group: usize,
    /// Transforming the weights of an input channel and an output channel.
    pub weights: usize,
    /// Transforming a tile of an input channel.
    pub input: usize,
    /// Transforming a tile of an output channel back, beyond what finishing its outputs takes either way.
    pub output: usize,
}

impl Costs {
    /// Whether the method is the faster one, for a map of `outputs` pixels in `tiles` tiles and a number of output channels.
    #[must_use]
    pub const fn pays(&self, geometry: &Geometry, outputs: usize, tiles: usize, channels: usize) -> bool {
        let inputs = geometry.inputs() - geometry.unused();
        let products = if geometry.has_short_phases() { self.tile * 121 / 144 } else { self.tile };
        let tile = products + self.input / channels + self.output / inputs;
        let direct = self.direct * geometry.kernel * geometry.kernel * geometry.channels / (9 * inputs);
        // In 64 bits: a map may have as many pixels as 32 can count.
        let with = tiles.next_multiple_of(self.group) as u64 * tile as u64 + self.weights as u64;
        with < direct as u64 * outputs as u64
    }
}

/// What [`Winograd::multiply`] reads.
#[derive(Debug, Clone)]
pub struct Multiply<'a> {
    /// Transformed tiles, `tile_chunks` chunks each.
    pub input: &'a [InputChunk],
    /// Chunks of a tile.
    pub tile_chunks: usize,
    /// Those that are multiplied. The products of earlier ones are in place and are added to.
    pub chunks: Range<usize>,
    /// Channels at the start of the first chunk that have no weights; a table may leave them out.
    pub unused: usize,
    /// Transformed weights of `chunks`, as [`Winograd::transform_weights`] leaves them.
    pub weights: &'a [WeightPair],
    /// Tiles, a multiple of [`GROUP`] (what is beyond one is left out); `products[point * stride(tiles) + tile]` is one tile's.
    pub tiles: usize,
    /// Those whose products are wanted, from the first one on; the others fill the last group.
    pub wanted: usize,
    /// Those that have their last output row; only they need the products of the last row of points.
    pub whole_rows: Range<usize>,
    /// Those that have their last output column; only they need the products of the last column of points.
    pub whole_columns: Range<usize>,
    /// See [`Geometry::last_row_chunks`]: others have nothing but zeros for the last row of points, and a table may leave them out.
    pub last_row_chunks: Range<usize>,
    /// See [`Geometry::last_column_chunks`].
    pub last_column_chunks: Range<usize>,
}

impl Multiply<'_> {
    /// The tiles that need the products of a point.
    #[must_use]
    pub fn tiles_at(&self, point: usize) -> Range<usize> {
        let mut tiles = 0..self.wanted.min(self.tiles);
        if point / INPUT_TILE == INPUT_TILE - 1 {
            tiles = self.whole_rows.start..self.whole_rows.end.min(tiles.end);
        }
        if point % INPUT_TILE == INPUT_TILE - 1 {
            tiles = self.whole_columns.start.max(tiles.start)..self.whole_columns.end.min(tiles.end);
        }
        tiles
    }

    /// The chunks of a tile that have products at a point.
    #[must_use]
    pub fn chunks_at(&self, point: usize) -> Range<usize> {
        let mut chunks = 0..self.tile_chunks;
        if point / INPUT_TILE == INPUT_TILE - 1 {
            chunks = self.last_row_chunks.clone();
        }
        if point % INPUT_TILE == INPUT_TILE - 1 {
            chunks =
                chunks.start.max(self.last_column_chunks.start)..chunks.end.min(self.last_column_chunks.end);
        }
        chunks
    }

    /// The last chunk that is read of the input, and that there is one.
    #[cfg(any(target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
    pub(super) fn last_chunk(&self) -> Option<&InputChunk> {
        let last_tile = self.tiles.checked_sub(1)?.checked_mul(self.tile_chunks)?;
        let last = self.chunks.end.checked_sub(1).filter(|last| *last >= self.chunks.start)?;
        self.input.get(last_tile.checked_add(last)?)
    }
}

/// What [`Winograd::transform_output`] reads.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
    /// The form.
    pub form: Form,
    /// Products, as [`Winograd::multiply`] leaves them.
    pub products: &'a [Product],
    /// Tiles of `products`.
    pub tiles: usize,
    /// The one to finish.
    pub tile: usize,
    /// The packed panel of the output channels.
    pub panel: &'a [i8],
    /// Rows and columns of the tile that lie in the output.
    pub valid: [usize; 2],
    /// Where its outputs go: the grids' rows and columns are its own.
    pub target: Target<'a>,
}

/// Whether convolutions with these sums of weight magnitudes, the largest of any output channel, are exact.
#[must_use]
pub const fn is_exact(largest_sum: u32) -> bool {
    largest_sum < (1 << 25) / 128
}

/// Distance between the elements of two points when a point has `count` of them: an odd number of cache lines, so that
/// the 36 points do not fall into the same few sets of the cache.
#[must_use]
pub const fn stride(count: usize) -> usize {
    count | 1
}

/// Bytes of the parameters at the start of a panel.
pub(super) const PARAMETERS_LEN: usize = 7 * CHANNELS * 4;

/// `9 * INVERSE_OF_9 = 1 mod 2^32`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
pub(super) const INVERSE_OF_9: i32 = 0x38e3_8e39;
