//! Weights and products of Winograd's method, for the instruction sets of x86-64.
#![allow(unsafe_code, reason = "a loop whose bounds are checked before it")]
#![expect(clippy::indexing_slicing, reason = "loop counters below the constant length of an array")]

use core::ops::Range;

use crate::kernels::simd::{LANES, Simd};
use crate::kernels::winograd::steps;
use crate::kernels::winograd::{
    Form, GROUP, INPUT_TILE, InputChunk, Multiply, POINTS, Product, WeightPair, stride,
};

/// Products of int16 that are added in pairs.
pub(super) trait Dot: Simd {
    /// `acc[lane] + pair[0] * weights[place(lane, 0)] + pair[1] * weights[place(lane, 1)]`, with [`Self::weight_place`].
    fn dot16(self, acc: Self::I32, pair: [i16; 2], weights: &WeightPair) -> Self::I32;

    /// [`Self::dot16`] of eight pairs of each of some rows of values, a multiple of [`GROUP`].
    #[inline(always)]
    fn dot_chunk<const ROWS: usize>(
        self,
        mut acc: [Self::I32; ROWS],
        values: [&[i16; LANES]; ROWS],
        weights: &[WeightPair; LANES / 2],
    ) -> [Self::I32; ROWS] {
        let rows = values.map(|row| row.as_chunks::<2>().0);
        for (pair, weights) in weights.iter().enumerate() {
            for (acc, row) in acc.iter_mut().zip(rows) {
                if let Some(values) = row.get(pair) {
                    *acc = self.dot16(*acc, *values, weights);
                }
            }
        }
        acc
    }
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

/// See [`Winograd::multiply`](crate::kernels::winograd::Winograd::multiply); `WIDE` tiles at a time, then [`GROUP`] tiles at a time.
#[inline(always)]
pub(super) fn multiply<S: Dot, const WIDE: usize>(
    s: S,
    job: &Multiply<'_>,
    products: &mut [Product],
) -> Option<()> {
    let pairs = job.chunks.len() * LANES / 2;
    // The last element that is read of the input, so that the loops below need not look again.
    job.last_chunk()?;
    // Whole groups of the tiles that a point needs; the tiles beside them are there too. What they are depends only on whether the
    // point is in the last row, and whether it is in the last column: settled here for all 36.
    let groups = [0, INPUT_TILE - 1, POINTS - INPUT_TILE, POINTS - 1].map(|point| {
        let tiles = job.tiles_at(point);
        tiles.start / GROUP * GROUP..tiles.end.next_multiple_of(GROUP).min(job.tiles)
    });
    for point in 0..POINTS {
        let last_row = usize::from(point >= POINTS - INPUT_TILE);
        let last_column = usize::from(point % INPUT_TILE == INPUT_TILE - 1);
        let Range { start: first, end } = groups[2 * last_row + last_column];
        if first >= end {
            continue;
        }
        let weights = job.weights.get(point * stride(pairs)..)?.get(..pairs)?;
        let products = products.get_mut(point * stride(job.tiles)..)?.get_mut(first..end)?;
        // Tiles are counted from 0 in the loops: with an offset, the compiler computes each tile's address anew.
        let input = job.input.get(first * job.tile_chunks + job.chunks.start..)?;
        let (wide, rest) = products.as_chunks_mut::<WIDE>();
        let wide_tiles = wide.len() * WIDE;
        for (group, products) in wide.iter_mut().enumerate() {
            multiply_group(s, job, input, [point, group * WIDE], weights, products);
        }
        for (group, products) in rest.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            multiply_group(s, job, input, [point, wide_tiles + group * GROUP], weights, products);
        }
    }
    Some(())
}

/// The products of `TILES` tiles from tile `first` of the input on, which has all of them.
#[inline(always)]
fn multiply_group<S: Dot, const TILES: usize>(
    s: S,
    job: &Multiply<'_>,
    input: &[InputChunk],
    [point, first]: [usize; 2],
    weights: &[WeightPair],
    products: &mut [Product; TILES],
) {
    let mut acc = [s.zero32(); TILES];
    if job.chunks.start > 0 {
        for (acc, product) in acc.iter_mut().zip(&*products) {
            *acc = s.load32(product);
        }
    }
    for (chunk, weights) in weights.as_chunks::<{ LANES / 2 }>().0.iter().enumerate() {
        let mut values = [&[0i16; LANES]; TILES];
        for (tile, values) in values.iter_mut().enumerate() {
            let index = (first + tile) * job.tile_chunks + chunk;
            // SAFETY: `multiply` has seen the last element of the job's last tile. The input begins with the job's first chunk of
            // one of its tiles and `first + tile` is not beyond the last; `chunk < job.chunks.len()`, and `point < POINTS`.
            *values = unsafe { input.get_unchecked(index).get_unchecked(point) };
        }
        acc = s.dot_chunk(acc, values, weights);
    }
    for (product, acc) in products.iter_mut().zip(acc) {
        s.store32(acc, product);
    }
}
