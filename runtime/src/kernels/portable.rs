//! The portable microkernels: plain Rust, the reference for every other file of this folder.
//!
//! The loops are written so that the compiler can turn the innermost one into vector code on hosts; on a
//! microcontroller the same loops read the weights in place from flash.

use super::transformed::{self, Input, POINTS, Tiles, Transformed};
use super::{ConvBlock, Direct, Kernels, Shape, Target};
use crate::Isa;
use crate::arith::requantize;
use crate::model::Channel;

/// Output pixels of a tile.
const MR: usize = 2;
/// Output channels of a tile.
pub(super) const NR: usize = 4;

/// The table of [`Isa::Portable`].
pub static KERNELS: Kernels = Kernels {
    isa: Isa::Portable,
    direct: Direct { mr: MR, nr: NR, block_bytes: 0, block_columns: usize::MAX, packing: None, conv },
    winograd: None,
    transformed: Transformed { transform_input, conv: conv_transformed }.if_enabled(),
    dot,
    max_into,
    sum_into,
    copy_into,
};

/// Accumulators first, then the epilogue, tile by tile.
pub(super) fn conv(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    for first in (0..block.patches.pixels).step_by(MR) {
        // The last tile of an odd number of pixels computes one twice: no second loop for it.
        let pixels = [first, (first + 1).min(block.patches.pixels - 1)];
        let mut acc = [[0i32; NR]; MR];
        for run in 0..block.shape.runs {
            let inputs = [block.patches.run(pixels[0], run)?, block.patches.run(pixels[1], run)?];
            multiply_accumulate(&mut acc, inputs, run_of_channels(block, run * block.shape.run_len)?);
        }
        for (pixel, acc) in (first..block.patches.pixels).zip(&acc) {
            store(&block.target, pixel, acc, out)?;
        }
    }
    Some(())
}

/// One run of the weights of each of the tile's channels; the first channel's again where there are fewer than `NR`.
fn run_of_channels<'a>(block: &ConvBlock<'a>, start: usize) -> Option<[&'a [i8]; NR]> {
    let Shape { channels, run_len, .. } = block.shape;
    let channel = |index: usize| {
        let channel = block.target.first_channel + index;
        block.weights.get(channel * block.shape.depth() + start..)?.get(..run_len)
    };
    let mut weights = [channel(0)?; NR];
    for (index, weights) in weights.iter_mut().enumerate().take(channels - block.target.first_channel) {
        *weights = channel(index)?;
    }
    Some(weights)
}

/// `acc[p][c] += sum(inputs[p] * weights[c])`, each value loaded once for all that need it.
#[inline(always)]
fn multiply_accumulate(acc: &mut [[i32; NR]; MR], [x0, x1]: [&[i8]; MR], [w0, w1, w2, w3]: [&[i8]; NR]) {
    let [[mut a00, mut a01, mut a02, mut a03], [mut a10, mut a11, mut a12, mut a13]] = *acc;
    for (((((&x0, &x1), &w0), &w1), &w2), &w3) in x0.iter().zip(x1).zip(w0).zip(w1).zip(w2).zip(w3) {
        a00 += product(x0, w0);
        a01 += product(x0, w1);
        a02 += product(x0, w2);
        a03 += product(x0, w3);
        a10 += product(x1, w0);
        a11 += product(x1, w1);
        a12 += product(x1, w2);
        a13 += product(x1, w3);
    }
    *acc = [[a00, a01, a02, a03], [a10, a11, a12, a13]];
}

#[inline(always)]
fn product(x: i8, w: i8) -> i32 {
    i32::from(x) * i32::from(w)
}

/// Bias, shortcut, requantization and clamp of one pixel's channels.
pub(super) fn store(target: &Target<'_>, pixel: usize, acc: &[i32; NR], out: &mut [i8]) -> Option<()> {
    let [low, high] = target.epilogue.clamp;
    let channels = target.channels.get(target.first_channel..)?;
    let out = out.get_mut(target.grid.place(pixel) + target.first_channel..)?;
    if out.len() < channels.len().min(NR) {
        return None;
    }
    for (index, ((acc, record), out)) in acc.iter().zip(channels).zip(out).enumerate() {
        let channel = Channel::read(record);
        let skip = match &target.skip {
            Some(skip) => skip.term(pixel, target.first_channel + index, &channel, *out)?,
            None => 0,
        };
        *out =
            requantize(channel.bias + acc + skip, channel.multiplier, target.epilogue.zero_point, low, high);
    }
    Some(())
}

#[inline(always)]
pub(super) fn dot(input: &[i8], weights: &[i8]) -> i32 {
    input.iter().zip(weights).map(|(&x, &w)| product(x, w)).sum()
}

#[inline(always)]
pub(super) fn max_into(out: &mut [i8], input: &[i8]) {
    for (out, &value) in out.iter_mut().zip(input) {
        *out = (*out).max(value);
    }
}

#[inline(always)]
pub(super) fn sum_into(sums: &mut [i32], input: &[i8]) {
    for (sum, &value) in sums.iter_mut().zip(input) {
        *sum += i32::from(value);
    }
}

#[inline(always)]
pub(super) fn copy_into(out: &mut [i8], input: &[i8]) {
    let len = out.len().min(input.len());
    if let (Some(out), Some(input)) = (out.get_mut(..len), input.get(..len)) {
        out.copy_from_slice(input);
    }
}

/// See [`Transformed::transform_input`].
fn transform_input(input: &Input<'_>, panel: &mut [u32]) -> Option<()> {
    let line = |[a, b, c, d]: [i16; 4]| [b + c, c - b, a - c, d - b];
    let fours = input.channels / 4;
    let panel: &mut [[[i16; 4]; transformed::TILES]] = bytemuck::try_cast_slice_mut(panel).ok()?;
    for (tile, channel) in (0..input.tiles).flat_map(|tile| (0..input.channels).map(move |c| (tile, c))) {
        let mut pixels = [[0; 4]; 4];
        for (row, pixels) in pixels.iter_mut().enumerate() {
            let values = input.values.get(row * input.row + 2 * tile * input.channels + channel..)?;
            for (column, pixel) in pixels.iter_mut().enumerate() {
                *pixel = i16::from(*values.get(column * input.channels)?);
            }
        }
        let rows = transpose(transpose(pixels).map(line)).map(line);
        for (point, value) in rows.into_iter().flatten().enumerate() {
            let four = panel.get_mut(point * fours + channel / 4)?.get_mut(tile)?;
            *four.get_mut(transformed::place(channel))? = value;
        }
    }
    Some(())
}

fn transpose([[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]]: [[i16; 4]; 4]) -> [[i16; 4]; 4] {
    [[a, e, i, m], [b, f, j, n], [c, g, k, o], [d, h, l, p]]
}

/// See [`Transformed::conv`]; keeps no sums in the panel.
fn conv_transformed(tiles: &Tiles<'_>, panel: &mut [u32], out: &mut [i8]) -> Option<()> {
    let fours = (tiles.channels / 4).max(1);
    let weights: &[[i16; 4]] = bytemuck::try_cast_slice(tiles.weights).ok()?;
    for first_channel in (0..tiles.target.channels.len()).step_by(NR) {
        let target = Target { first_channel, ..tiles.target };
        let channels = NR.min(tiles.target.channels.len() - first_channel);
        let weights = weights.get(first_channel * fours * POINTS..)?.get(..channels * fours * POINTS)?;
        for tile in 0..tiles.tiles {
            let mut sums = [[0; 4]; NR];
            for (sums, weights) in sums.iter_mut().zip(weights.chunks_exact(fours * POINTS)) {
                *sums = sums_of_tile(weights, panel, tile, fours)?;
            }
            for output in 0..4 {
                let pixel = output / 2 * target.grid.width + 2 * tile + output % 2;
                let acc = sums.map(|sums| sums.get(output).copied().unwrap_or_default());
                store(&target, pixel, &acc, out)?;
            }
        }
    }
    Some(())
}

/// The sums of a channel's four outputs of a tile, row by row.
fn sums_of_tile(weights: &[[i16; 4]], panel: &[u32], tile: usize, fours: usize) -> Option<[i32; 4]> {
    let panel: &[[[i16; 4]; transformed::TILES]] = bytemuck::try_cast_slice(panel).ok()?;
    let mut products = [0; POINTS];
    let of_points = weights.chunks_exact(fours).zip(panel.get(..fours * POINTS)?.chunks_exact(fours));
    for (product, (weights, input)) in products.iter_mut().zip(of_points) {
        *product = sum_of_products(weights, input, tile)?;
    }
    Some(transform_back(products).map(|sum| sum >> transformed::SHIFT))
}

/// The product of a kernel and a tile at one point, modulo 2^32.
fn sum_of_products(
    weights: &[[i16; 4]],
    input: &[[[i16; 4]; transformed::TILES]],
    tile: usize,
) -> Option<i32> {
    weights.iter().zip(input).try_fold(0i32, |sum, (weights, tiles)| {
        let products = weights.iter().zip(tiles.get(tile)?).map(|(&w, &x)| i32::from(w) * i32::from(x));
        Some(sum.wrapping_add(products.sum()))
    })
}

/// The sums of the four outputs from the products of the points, times four, modulo 2^32.
fn transform_back(products: [i32; POINTS]) -> [i32; 4] {
    let line =
        |[a, b, c, d]: [i32; 4]| [a.wrapping_add(b).wrapping_add(c), a.wrapping_sub(b).wrapping_add(d)];
    let rows: [[i32; 4]; 4] = bytemuck::cast(products);
    let [[a, b], [c, d], [e, f], [g, h]] = rows.map(line);
    let ([a, c], [b, d]) = (line([a, c, e, g]), line([b, d, f, h]));
    [a, b, c, d]
}
