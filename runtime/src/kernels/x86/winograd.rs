//! Weights and products of Winograd's method, for the instruction sets of x86-64.
#![allow(unsafe_code, reason = "places that are checked before the loops")]
#![expect(clippy::indexing_slicing, reason = "loop counters below the constant length of an array")]

use core::ops::Range;

use crate::kernels::simd::{LANES, Simd};
use crate::kernels::winograd::steps;
use crate::kernels::winograd::{
    Blocks, Form, GROUP, INPUT_TILE, Multiply, POINTS, Product, WeightPair, stride,
};

/// Blocks of the 256-bit tables: weights of 32 channels, 36 KiB, stay in the first-level cache with what meets them. All of a point's weights are
/// loaded for every four tiles, and what is stored beyond that cache takes four cycles a line.
pub(super) const BLOCKS: Blocks = Blocks { weight_chunks: 2, ..Blocks::USUAL };

/// The weights of sixteen input channels, by pairs.
pub(super) type ChunkWeights = [WeightPair; LANES / 2];

/// Some rows of values, sixteen at a time, and the weights that all of them meet: chunk `c` of row `r` is
/// `values[r * row + c * CHUNK]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a, const CHUNK: usize> {
    values: &'a [[i16; LANES]],
    row: usize,
    count: usize,
    weights: &'a [ChunkWeights],
}

impl<'a, const CHUNK: usize> Rows<'a, CHUNK> {
    /// `count` rows. `None` when that is 0, without weights, and when values lie outside.
    #[inline(always)]
    pub(super) fn new(
        values: &'a [[i16; LANES]],
        [row, count]: [usize; 2],
        weights: &'a [ChunkWeights],
    ) -> Option<Self> {
        let last_row = row.checked_mul(count.checked_sub(1)?)?;
        let last_chunk = CHUNK.checked_mul(weights.len().checked_sub(1)?)?;
        values.get(last_row.checked_add(last_chunk)?)?;
        Some(Self { values, row, count, weights })
    }

    /// `None` when there are not `count` rows from `first` on.
    #[inline(always)]
    pub(super) fn has(&self, first: usize, count: usize) -> Option<()> {
        (first <= self.count && count <= self.count - first).then_some(())
    }

    /// The weights of all chunks; one at least.
    #[inline(always)]
    pub(super) const fn weights(&self) -> &'a [ChunkWeights] {
        self.weights
    }

    /// Bytes from a row to the next.
    #[inline(always)]
    pub(super) const fn step(&self) -> usize {
        self.row * size_of::<[i16; LANES]>()
    }

    /// Where a row starts.
    #[inline(always)]
    pub(super) const fn start(&self, row: usize) -> *const [i16; LANES] {
        self.values.as_ptr().wrapping_add(row * self.row)
    }

    /// A chunk of a row.
    ///
    /// # Safety
    /// There must be such a row, and weights for the chunk.
    #[inline(always)]
    pub(super) unsafe fn values(&self, row: usize, chunk: usize) -> &'a [i16; LANES] {
        // SAFETY: `new` has seen the last chunk of the last row, and this one is not beyond that.
        unsafe { self.values.get_unchecked(row * self.row + chunk * CHUNK) }
    }
}

/// Products of int16 that are added in pairs.
pub(super) trait Dot: Simd {
    /// The number of rows that are multiplied is a multiple of this.
    const STEP: usize;

    /// Of rows from `first` on, one for each of `products`, a multiple of [`Self::STEP`]:
    /// `sum of pair[0] * weights[place(lane, 0)] + pair[1] * weights[place(lane, 1)]`, with [`Self::weight_place`], of all pairs. Stored, or added to
    /// the products of earlier channels. `None` when there are fewer rows.
    fn dot_tiles(
        self,
        rows: &Rows<'_, POINTS>,
        first: usize,
        add: bool,
        products: &mut [Product],
    ) -> Option<()>;
}

/// [`Dot`] for instruction sets that multiply [`GROUP`] rows at a time.
pub(super) trait DotGroup: Simd {
    /// The sums of [`Dot::dot_tiles`] of the rows from `first` on.
    fn dot_group<const CHUNK: usize>(
        self,
        rows: &Rows<'_, CHUNK>,
        first: usize,
    ) -> Option<[Self::I32; GROUP]>;
}

impl<S: DotGroup> Dot for S {
    const STEP: usize = GROUP;

    #[inline(always)]
    fn dot_tiles(
        self,
        rows: &Rows<'_, POINTS>,
        mut first: usize,
        add: bool,
        products: &mut [Product],
    ) -> Option<()> {
        for products in products.as_chunks_mut::<GROUP>().0 {
            store_sums(self, &self.dot_group(rows, first)?, add, products);
            first += GROUP;
        }
        Some(())
    }
}

/// The products of one pair, for instruction sets whose loop is left to the compiler.
pub(super) trait DotPair: Simd {
    /// `acc` and the products of [`Dot::dot_tiles`] of a pair.
    fn dot16(self, acc: Self::I32, pair: [i16; 2], weights: &WeightPair) -> Self::I32;
}

/// [`DotGroup::dot_group`], pair by pair.
#[inline(always)]
pub(super) fn dot_group<S: DotPair, const CHUNK: usize>(
    s: S,
    rows: &Rows<'_, CHUNK>,
    first: usize,
) -> Option<[S::I32; GROUP]> {
    rows.has(first, GROUP)?;
    let mut acc = [s.zero32(); GROUP];
    for (chunk, weights) in rows.weights().iter().enumerate() {
        let mut values = [&[[0i16; 2]; LANES / 2][..]; GROUP];
        for (row, values) in values.iter_mut().enumerate() {
            // SAFETY: there are `GROUP` rows from `first` on, and these are the weights for the chunk.
            *values = unsafe { rows.values(first + row, chunk) }.as_chunks().0;
        }
        for (pair, weights) in weights.iter().enumerate() {
            for (acc, row) in acc.iter_mut().zip(values) {
                if let Some(values) = row.get(pair) {
                    *acc = s.dot16(*acc, *values, weights);
                }
            }
        }
    }
    Some(acc)
}

/// See [`Winograd::transform_weights`](crate::kernels::winograd::Winograd::transform_weights).
#[inline(always)]
pub(super) fn transform_weights<S: Simd>(
    s: S,
    form: Form,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    match form {
        Form::F5x2 => steps::transform_weights::<S, 2, 4>(s, panel, chunks, out),
        Form::F4x3 => steps::transform_weights::<S, 3, 9>(s, panel, chunks, out),
        Form::F3x4 => steps::transform_weights::<S, 4, 16>(s, panel, chunks, out),
    }
}

/// See [`Winograd::multiply`](crate::kernels::winograd::Winograd::multiply).
#[inline(always)]
pub(super) fn multiply<S: Dot>(s: S, job: &Multiply<'_>, products: &mut [Product]) -> Option<()> {
    let pairs = job.chunks.len() * LANES / 2;
    let mut weights = job.weights.get(..POINTS * stride(pairs))?.chunks_exact(stride(pairs));
    let mut products = products.get_mut(..POINTS * stride(job.tiles))?.chunks_exact_mut(stride(job.tiles));
    // The tiles that a point needs, in whole steps; those beside them are there too. What they are depends only on whether the point is in the
    // last row, and whether it is in the last column: settled here for all 36.
    let whole = |tiles: usize| tiles.next_multiple_of(S::STEP).min(job.tiles);
    let ranges = [0, INPUT_TILE - 1, POINTS - INPUT_TILE, POINTS - 1].map(|point| {
        let tiles = job.tiles_at(point);
        tiles.start / S::STEP * S::STEP..whole(tiles.end)
    });
    let tiles = [job.tile_chunks * POINTS, whole(job.wanted)];
    let input = job.input.get(job.chunks.start..)?.as_flattened();
    for row in 0..INPUT_TILE {
        for column in 0..INPUT_TILE {
            let point = row * INPUT_TILE + column;
            let last = [row, column].map(|place| usize::from(place == INPUT_TILE - 1));
            let Range { start, end } = ranges[2 * last[0] + last[1]];
            let (weights, products) = (weights.next()?.get(..pairs)?, products.next()?);
            if start < end {
                let rows = Rows::new(input.get(point..)?, tiles, weights.as_chunks().0)?;
                s.dot_tiles(&rows, start, job.chunks.start > 0, products.get_mut(start..end)?)?;
            }
        }
    }
    Some(())
}

/// Stores sums, or adds them to the products of earlier channels.
#[inline(always)]
pub(super) fn store_sums<S: Simd>(s: S, sums: &[S::I32], add: bool, products: &mut [Product]) {
    for (sum, product) in sums.iter().zip(products) {
        let sum = if add { s.add32(*sum, s.load32(product)) } else { *sum };
        s.store32(sum, product);
    }
}
