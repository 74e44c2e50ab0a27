//! 3x3 convolution of stride 1 in 36 multiplications for 16 outputs instead of 144, with the same result to the bit.
//!
//! The method is F(4x4, 3x3) of Winograd ("Arithmetic Complexity of Computations", 1980) with the matrices of Lavin and Gray
//! ("Fast Algorithms for Convolutional Neural Networks", 2016), made integer: a 6x6 tile `d` of the input and a kernel
//! `g` give 4x4 outputs
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
//! # Why it is exact
//!
//! - With `|d| <= 128`, `|B^T d B| <= 10 * 10 * 128 = 12,800`; with `|g| <= 127`, `|G' g G'^T| <= 7 * 7 * 127 =
//!   6,223`: both fit int16, and so does every intermediate value.
//! - Everything after that is a sum of products, taken modulo 2^32. So what arrives is `t = 576 * y mod 2^32`, however
//!   often a sum has wrapped on the way.
//! - `t * 9^-1 mod 2^32 = 64 * y mod 2^32`, and shifting that right by 6 with its sign is `y` whenever `-2^25 <= y < 2^25`.
//!   [`is_exact`] proves it from the weights: `|y| <= 128 * sum |w|`.
//!
//! # Tiles of three rows or columns
//!
//! Only the last column of `A'` reads the last row of points, and it has a value for the fourth output alone. So a tile with
//! three rows, or columns, does without the products of the last row, or column, of points: 30 instead of 36, and 25 with
//! both. A map of 14 is cut into 4 + 4 + 3 + 3 for that, one of 7 into 4 + 3: 484 and 121 products instead of 576 and 144.
//!
//! Weights are transformed again in every run, block by block: what that takes and saves is in `docs/kernels.md`.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
pub(super) mod pack;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod steps;

use core::ops::Range;

use super::{LayerWeights, Target};

/// Output rows and columns of a tile.
pub const TILE: usize = 4;

/// Input rows and columns of a tile.
pub const INPUT_TILE: usize = TILE + 2;

/// Elements of a transformed tile.
pub const POINTS: usize = INPUT_TILE * INPUT_TILE;

/// Channels of a panel, of the input and of the output.
pub const CHANNELS: usize = 16;

/// The number of tiles that are multiplied is a multiple of this.
pub const GROUP: usize = 4;

/// Input channels of the largest block of weights that is transformed at a time.
pub const BLOCK_CHANNELS: usize = 128;

/// A transformed tile of 16 input channels.
pub type InputChunk = [[i16; CHANNELS]; POINTS];

/// Transformed weights of two input channels and 16 output channels, at one point.
pub type WeightPair = [i16; 2 * CHANNELS];

/// The product of one tile and 16 output channels, at one point.
pub type Product = [i32; CHANNELS];

/// The steps of the method for one instruction set. All return `None` when a slice is too short.
#[derive(Debug, Clone, Copy)]
pub struct Winograd {
    /// What decides between this method and direct convolution.
    pub costs: Costs,
    /// Packs a layer's weights and channel parameters: one panel of [`panel_len`] bytes for 16 output channels.
    pub pack_weights: fn(source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()>,
    /// Transforms a tile. `rows` are [`INPUT_TILE`] padded input rows of `row_len` values; the tile begins at value `first`
    /// of each, and `out` are all its chunks.
    pub transform_input: fn(rows: &[i8], row_len: usize, first: usize, out: &mut [InputChunk]) -> Option<()>,
    /// Transforms the weights of a panel for the 16-channel chunks `chunks`: `out[point * stride(pairs) + pair]`, with
    /// 8 pairs of channels a chunk.
    #[expect(clippy::type_complexity, reason = "its parameters have names and are explained above")]
    pub transform_weights: fn(panel: &[i8], chunks: Range<usize>, out: &mut [WeightPair]) -> Option<()>,
    /// Multiplies and sums over channels.
    pub multiply: fn(job: &Multiply<'_>, products: &mut [Product]) -> Option<()>,
    /// Transforms the products of one tile back, finishes and stores its outputs.
    pub transform_output: fn(job: &Finish<'_>, out: &mut [i8]) -> Option<()>,
}

/// What the method and direct convolution cost, in 1/64 of a cycle or any other unit: only their ratios count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Direct convolution: an output, per input channel and output channel.
    pub direct: usize,
    /// The 36 products of a tile, per input channel and output channel.
    pub tile: usize,
    /// Transforming the weights of an input channel and an output channel.
    pub weights: usize,
    /// Transforming a tile of an input channel.
    pub input: usize,
    /// Transforming a tile of an output channel back, beyond what finishing its outputs takes either way.
    pub output: usize,
}

impl Costs {
    /// Whether the method is the faster one, for a map of `outputs` pixels in `tiles` tiles and these numbers of input
    /// and output channels.
    #[must_use]
    pub const fn pays(&self, outputs: usize, tiles: usize, [inputs, channels]: [usize; 2]) -> bool {
        let tile = self.tile + self.input / channels + self.output / inputs;
        tiles * tile + self.weights < self.direct * outputs
    }
}

/// What [`Winograd::multiply`] reads.
#[derive(Debug, Clone)]
pub struct Multiply<'a> {
    /// Transformed tiles, `tile_chunks` chunks each.
    pub input: &'a [InputChunk],
    /// Chunks of a tile.
    pub tile_chunks: usize,
    /// Chunks of the weights, which start with the first chunk of `input`.
    pub weight_chunks: usize,
    /// Transformed weights, as [`Winograd::transform_weights`] leaves them.
    pub weights: &'a [WeightPair],
    /// Tiles, a multiple of [`GROUP`] (what is beyond one is left out); `products[point * stride(tiles) + tile]` is one tile's.
    pub tiles: usize,
    /// Those whose products are wanted, from the first one on; the others fill the last group.
    pub wanted: usize,
    /// Those that have a fourth output row; only they need the products of the last row of points.
    pub whole_rows: Range<usize>,
    /// Those that have a fourth output column; only they need the products of the last column of points.
    pub whole_columns: Range<usize>,
    /// Whether the products of earlier channels are in place and are added to.
    pub add: bool,
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
}

/// What [`Winograd::transform_output`] reads.
#[derive(Debug, Clone, Copy)]
pub struct Finish<'a> {
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
    /// Where its outputs go: pixel `4 * row + column` of its grids.
    pub target: Target<'a>,
}

/// Whether 3x3 convolutions with these sums of weight magnitudes, the largest of any output channel, are exact.
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

/// Bytes of the packed weights and parameters of 16 output channels.
#[must_use]
pub const fn panel_len(input_channels: usize) -> usize {
    PARAMETERS_LEN + input_channels * 9 * CHANNELS
}

/// Bytes of the parameters at the start of a panel.
pub(super) const PARAMETERS_LEN: usize = 7 * CHANNELS * 4;

/// `9 * INVERSE_OF_9 = 1 mod 2^32`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_os = "linux")))]
pub(super) const INVERSE_OF_9: i32 = 0x38e3_8e39;
