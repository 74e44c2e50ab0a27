//! The steps that are the same code for every [`Simd`]: the transforms of inputs and outputs.
#![allow(unsafe_code, reason = "the products of a tile are checked together")]
#![expect(clippy::indexing_slicing, reason = "loop counters below the constant length of an array")]

use super::{Finish, INPUT_TILE, INVERSE_OF_9, InputChunk, PARAMETERS_LEN, POINTS, Product, TILE, stride};
use crate::kernels::simd::{LANES, Parameters, Place, Simd, finish, finish_all};

/// See [`Winograd::transform_input`].
#[inline(always)]
pub(in crate::kernels) fn transform_input<S: Simd>(
    s: S,
    rows: &[i8],
    row_len: usize,
    first: usize,
    out: &mut [InputChunk],
) -> Option<()> {
    let chunks = out.len();
    // All of one length, so that a place is checked once for all six.
    let row = |row: usize| rows.get(row * row_len + first..)?.get(..INPUT_TILE * chunks * LANES);
    let tile = [row(0)?, row(1)?, row(2)?, row(3)?, row(4)?, row(5)?].map(|row| row.as_chunks().0);
    for (chunk, out) in out.iter_mut().enumerate() {
        transform_chunk(s, &tile, chunks, chunk, out)?;
    }
    Some(())
}

/// `B^T d B`: columns first.
#[inline(always)]
fn transform_chunk<S: Simd>(
    s: S,
    tile: &[&[[i8; LANES]]; INPUT_TILE],
    chunks: usize,
    chunk: usize,
    out: &mut InputChunk,
) -> Option<()> {
    let (points, _) = out.as_chunks_mut::<INPUT_TILE>();
    for column in 0..INPUT_TILE {
        let [a, b, c, d, e, f] = tile;
        let index = column * chunks + chunk;
        let values = [
            s.widen(a.get(index)?),
            s.widen(b.get(index)?),
            s.widen(c.get(index)?),
            s.widen(d.get(index)?),
            s.widen(e.get(index)?),
            s.widen(f.get(index)?),
        ];
        for (points, value) in points.iter_mut().zip(input_1d(s, values)) {
            s.store16(value, points.get_mut(column)?);
        }
    }
    for points in points {
        let [a, b, c, d, e, f] = &*points;
        let values = [s.load16(a), s.load16(b), s.load16(c), s.load16(d), s.load16(e), s.load16(f)];
        for (point, value) in points.iter_mut().zip(input_1d(s, values)) {
            s.store16(value, point);
        }
    }
    Some(())
}

/// `B^T d`.
#[inline(always)]
fn input_1d<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5]: [S::I16; 6]) -> [S::I16; 6] {
    let a = s.sub16(d4, s.shl16::<2>(d2));
    let b = s.sub16(d3, s.shl16::<2>(d1));
    let c = s.sub16(d4, d2);
    let e = s.sub16(d3, d1);
    let e = s.add16(e, e);
    [
        s.add16(s.shl16::<2>(s.sub16(d0, d2)), c),
        s.add16(a, b),
        s.sub16(a, b),
        s.add16(c, e),
        s.sub16(c, e),
        s.sub16(s.sub16(d5, d3), s.add16(e, e)),
    ]
}

/// See [`Winograd::transform_output`].
#[inline(always)]
pub(in crate::kernels) fn transform_output<S: Simd>(s: S, job: &Finish<'_>, out: &mut [i8]) -> Option<()> {
    let parameters: &[Parameters] = bytemuck::try_cast_slice(job.panel.get(..PARAMETERS_LEN)?).ok()?;
    let [parameters] = parameters else { return None };
    let products = TileProducts::new(job)?;
    let columns = [
        output_1d(s, products.column(s, 0)),
        output_1d(s, products.column(s, 1)),
        output_1d(s, products.column(s, 2)),
        output_1d(s, products.column(s, 3)),
        output_1d(s, products.column(s, 4)),
        output_1d(s, products.column(s, 5)),
    ];
    let [c0, c1, c2, c3, c4, c5] = &columns;
    let [valid_rows, valid_columns] = job.valid;
    for row in 0..valid_rows.min(TILE) {
        let values = [c0[row], c1[row], c2[row], c3[row], c4[row], c5[row]];
        let [a, b, c, d] = output_1d(s, values);
        let values = [quotient(s, a), quotient(s, b), quotient(s, c), quotient(s, d)];
        let place = |column| Place::of_row(&job.target, row, column);
        let places = [place(0), place(1), place(2), place(3)];
        if valid_columns == TILE {
            finish_all::<_, true, 4>(s, values, parameters, &job.target, places, out)?;
        } else {
            for (value, place) in values.into_iter().zip(places).take(valid_columns) {
                finish::<_, true>(s, value, parameters, &job.target, place, out)?;
            }
        }
    }
    Some(())
}

/// The products of one tile, which are `stride` apart.
struct TileProducts<'a> {
    products: &'a [Product],
    stride: usize,
}

impl<'a> TileProducts<'a> {
    #[inline(always)]
    fn new(job: &Finish<'a>) -> Option<Self> {
        let (products, stride) = (job.products.get(job.tile..)?, stride(job.tiles));
        products.get(stride.checked_mul(POINTS - 1)?)?;
        Some(Self { products, stride })
    }

    /// Those of a column of points.
    #[inline(always)]
    fn column<S: Simd>(&self, s: S, column: usize) -> [S::I32; INPUT_TILE] {
        let mut values = [s.zero32(); INPUT_TILE];
        for (row, value) in values.iter_mut().enumerate() {
            let point = (row * INPUT_TILE + column).min(POINTS - 1);
            // SAFETY: `new` has seen the product of the last point, and `point` is not beyond that.
            *value = s.load32(unsafe { self.products.get_unchecked(point * self.stride) });
        }
        values
    }
}

/// From `576 * y` to `y`.
#[inline(always)]
fn quotient<S: Simd>(s: S, value: S::I32) -> S::I32 {
    s.shr32::<6>(s.mul32(value, INVERSE_OF_9))
}

/// `A' m`.
#[inline(always)]
fn output_1d<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::I32; 6]) -> [S::I32; 4] {
    let (a, b) = (s.add32(m1, m2), s.sub32(m1, m2));
    let (c, d) = (s.add32(m3, m4), s.sub32(m3, m4));
    [
        s.multiply_add32::<-4>(s.multiply_add32::<6>(c, m0), a),
        s.multiply_add32::<-4>(s.add32(d, d), b),
        s.shl32::<2>(s.sub32(c, a)),
        s.multiply_add32::<24>(s.multiply_add32::<-4>(s.shl32::<3>(d), b), m5),
    ]
}
