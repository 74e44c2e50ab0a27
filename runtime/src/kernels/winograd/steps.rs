//! The steps that are the same code for every [`Simd`]: the transforms.
#![allow(unsafe_code, reason = "loops whose bounds are checked before them")]
#![expect(clippy::indexing_slicing, reason = "loop counters below the constant length of an array")]

use core::ops::Range;

use super::{
    Finish, Form, INPUT_TILE, INVERSE_OF_9, InputChunk, PARAMETERS_LEN, POINTS, Product, Tile, WeightPair,
    pack, stride,
};
use crate::kernels::simd::{Int16Lanes, LANES, Parameters, Place, Simd, finish_tile};

/// See [`Winograd::transform_input`](super::Winograd::transform_input).
#[inline(always)]
pub(in crate::kernels) fn transform_input<S: Simd>(
    s: S,
    tile: &Tile<'_>,
    out: &mut [InputChunk],
) -> Option<()> {
    let row_len = (INPUT_TILE - 1) * tile.column + out.len() * LANES;
    let mut rows: [&[i8]; INPUT_TILE] = [&[]; INPUT_TILE];
    for (index, row) in rows.iter_mut().enumerate() {
        *row = tile.values.get(index * tile.row..)?.get(..row_len)?;
    }
    for (chunk, out) in out.iter_mut().enumerate() {
        transform_chunk(s, &rows, [chunk * LANES, tile.column], out)?;
    }
    Some(())
}

/// `B^T d B`: columns first.
#[inline(always)]
fn transform_chunk<S: Simd>(
    s: S,
    rows: &[&[i8]; INPUT_TILE],
    [first, distance]: [usize; 2],
    out: &mut InputChunk,
) -> Option<()> {
    let (points, _) = out.as_chunks_mut::<INPUT_TILE>();
    for column in 0..INPUT_TILE {
        let value = |row: &[i8]| Some(s.widen(row.get(first + column * distance..)?.first_chunk()?));
        let [a, b, c, d, e, f] = rows;
        let values = [value(a)?, value(b)?, value(c)?, value(d)?, value(e)?, value(f)?];
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

/// See [`Winograd::transform_weights`](super::Winograd::transform_weights), for kernels of `KERNEL` rows and columns, `TAPS` taps.
#[inline(always)]
pub(in crate::kernels) fn transform_weights<S: Simd, const KERNEL: usize, const TAPS: usize>(
    s: S,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    let packed = pack::pairs::<TAPS>(panel, chunks)?;
    let stride = stride(packed.len());
    let out: &mut [[i16; LANES]] = out.get_mut(..POINTS * stride)?.as_flattened_mut().as_chunks_mut().0;
    for (pair, taps) in packed.iter().enumerate() {
        pack::prefetch_next_block(packed, pair);
        let (rows, _) = taps.as_chunks::<KERNEL>();
        for half in 0..2 {
            let columns = weight_columns::<S, KERNEL>(s, rows, half)?;
            let mut place = 2 * pair + half;
            for row in 0..INPUT_TILE {
                let mut taps = [columns[0][row]; KERNEL];
                for (tap, column) in taps.iter_mut().zip(&columns) {
                    *tap = column[row];
                }
                for value in weight_1d(s, taps) {
                    // SAFETY: `out` has two halves for each of `POINTS * stride` pairs. `place` is half
                    // `2 * pair + half` of the pairs of each point in turn, and `pair < packed.len() <= stride`.
                    s.store16(value, unsafe { out.get_unchecked_mut(place) });
                    place += 2 * stride;
                }
            }
        }
    }
    Some(())
}

/// `G' g` of the columns of a kernel, for half of the lanes of its taps.
#[inline(always)]
fn weight_columns<S: Simd, const KERNEL: usize>(
    s: S,
    rows: &[[[[i8; LANES]; 2]; KERNEL]],
    half: usize,
) -> Option<[[S::I16; INPUT_TILE]; KERNEL]> {
    let first = s.widen(&rows.first()?[0][half]);
    let mut columns = [[first; INPUT_TILE]; KERNEL];
    for (index, column) in columns.iter_mut().enumerate() {
        let mut taps = [first; KERNEL];
        for (tap, row) in taps.iter_mut().zip(rows) {
            *tap = s.widen(&row[index][half]);
        }
        *column = weight_1d(s, taps);
    }
    Some(columns)
}

/// `G' g`.
#[inline(always)]
pub(in crate::kernels) fn weight_1d<W: Int16Lanes, const KERNEL: usize>(
    s: W,
    taps: [W::I16; KERNEL],
) -> [W::I16; INPUT_TILE] {
    let (first, last) = (taps[0], taps[KERNEL - 1]);
    // Even and odd powers apart, of 1 and of 2.
    let ([a, b], [c, d]) = match *taps.as_slice() {
        [g0, g1, g2] => ([s.add16(g0, g2), g1], [s.add16(g0, s.shl16::<2>(g2)), s.add16(g1, g1)]),
        [g0, g1, g2, g3] => {
            let odd = s.add16(g1, s.shl16::<2>(g3));
            ([s.add16(g0, g2), s.add16(g1, g3)], [s.add16(g0, s.shl16::<2>(g2)), s.add16(odd, odd)])
        }
        _ => ([first, last], [first, s.add16(last, last)]),
    };
    [first, s.add16(a, b), s.sub16(a, b), s.add16(c, d), s.sub16(c, d), last]
}

/// See [`Winograd::transform_output`](super::Winograd::transform_output).
#[inline(always)]
pub(in crate::kernels) fn transform_output<S: Simd>(s: S, job: &Finish<'_>, out: &mut [i8]) -> Option<()> {
    match job.form {
        Form::F5x2 => transform_tile::<S, 5>(s, job, out),
        Form::F4x3 => transform_tile::<S, 4>(s, job, out),
        Form::F3x4 => transform_tile::<S, 3>(s, job, out),
    }
}

/// The same for tiles of `TILE` rows and columns.
#[inline(always)]
fn transform_tile<S: Simd, const TILE: usize>(s: S, job: &Finish<'_>, out: &mut [i8]) -> Option<()> {
    let parameters: &[Parameters] = bytemuck::try_cast_slice(job.panel.get(..PARAMETERS_LEN)?).ok()?;
    let [parameters] = parameters else { return None };
    let products = TileProducts::new(job)?;
    let columns: [[S::I32; TILE]; INPUT_TILE] = [
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
        let mut values: [S::I32; TILE] = output_1d(s, [c0[row], c1[row], c2[row], c3[row], c4[row], c5[row]]);
        let mut places = [Place::of_row(&job.target, row, 0); TILE];
        for (column, (value, place)) in values.iter_mut().zip(&mut places).enumerate() {
            *value = quotient(s, *value);
            *place = Place::of_row(&job.target, row, column);
        }
        finish_tile::<_, true, TILE>(s, values, valid_columns, parameters, &job.target, places, out)?;
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
fn output_1d<S: Simd, const TILE: usize>(s: S, [m0, m1, m2, m3, m4, m5]: [S::I32; 6]) -> [S::I32; TILE] {
    let (a, b) = (s.add32(m1, m2), s.sub32(m1, m2));
    let (c, d) = (s.add32(m3, m4), s.sub32(m3, m4));
    let mut out = [a; TILE];
    for (row, out) in out.iter_mut().enumerate() {
        *out = match row {
            0 => s.multiply_add32::<-4>(s.multiply_add32::<6>(c, m0), a),
            1 => s.multiply_add32::<-4>(s.add32(d, d), b),
            2 => s.shl32::<2>(s.sub32(c, a)),
            3 => s.multiply_add32::<-4>(s.shl32::<3>(d), b),
            _ => s.multiply_add32::<-4>(s.shl32::<4>(c), a),
        };
    }
    out[TILE - 1] = s.multiply_add32::<24>(out[TILE - 1], m5);
    out
}
