//! The portable microkernels: plain Rust, the reference for every other file of this folder.
//!
//! The loops are written so that the compiler can turn the innermost one into vector code on hosts; on a
//! microcontroller the same loops read the weights in place from flash.

use super::{ConvTile, Kernels};
use crate::Isa;
use crate::arith::requantize;
use crate::model::Channel;

/// Output pixels of a tile.
const MR: usize = 2;
/// Output channels of a tile.
const NR: usize = 4;

/// The table of [`Isa::Portable`].
pub static KERNELS: Kernels =
    Kernels { isa: Isa::Portable, mr: MR, nr: NR, packing: None, conv, dot, max_into, sum_into };

/// Accumulators first, then the epilogue, channel by channel.
fn conv(tile: &ConvTile<'_>, out: &mut [i8]) -> Option<()> {
    let mut acc = [[0i32; NR]; MR];
    let channel_len = tile.runs.len() * tile.run_len;
    for (run_index, &run) in tile.runs.iter().enumerate() {
        let weights = run_of_channels(tile, channel_len, run_index * tile.run_len)?;
        for (pixel, acc) in acc.iter_mut().enumerate().take(tile.pixels) {
            let input = tile.input.get(run + pixel * tile.pixel_stride..)?.get(..tile.run_len)?;
            multiply_accumulate(acc, input, weights);
        }
    }
    for (pixel, acc) in acc.iter().enumerate().take(tile.pixels) {
        let out = out.get_mut(pixel * tile.out_stride + tile.first_channel..)?;
        store(tile, pixel, acc, out)?;
    }
    Some(())
}

/// One run of the weights of each of the tile's channels; the first channel's again where there are fewer than `NR`.
fn run_of_channels<'a>(tile: &ConvTile<'a>, channel_len: usize, start: usize) -> Option<[&'a [i8]; NR]> {
    let mut weights = [tile.weights.get(start..)?.get(..tile.run_len)?; NR];
    for (channel, weights) in weights.iter_mut().enumerate().take(tile.channels.len()) {
        *weights = tile.weights.get(channel * channel_len + start..)?.get(..tile.run_len)?;
    }
    Some(weights)
}

/// `acc[c] += sum(input * weights[c])` for the four channels at once, so that each input is loaded once.
#[inline(always)]
fn multiply_accumulate(acc: &mut [i32; NR], input: &[i8], weights: [&[i8]; NR]) {
    let [w0, w1, w2, w3] = weights;
    let [mut a0, mut a1, mut a2, mut a3] = *acc;
    for ((((&x, &w0), &w1), &w2), &w3) in input.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        a0 += product(x, w0);
        a1 += product(x, w1);
        a2 += product(x, w2);
        a3 += product(x, w3);
    }
    *acc = [a0, a1, a2, a3];
}

#[inline(always)]
fn product(x: i8, w: i8) -> i32 {
    i32::from(x) * i32::from(w)
}

/// Bias, shortcut, requantization and clamp of one pixel's channels.
fn store(tile: &ConvTile<'_>, pixel: usize, acc: &[i32; NR], out: &mut [i8]) -> Option<()> {
    let [low, high] = tile.epilogue.clamp;
    for (index, ((acc, record), out)) in acc.iter().zip(tile.channels).zip(out).enumerate() {
        let channel = Channel::read(record);
        let skip = match &tile.skip {
            Some(skip) => skip.term(pixel, tile.first_channel + index, &channel, *out)?,
            None => 0,
        };
        *out = requantize(channel.bias + acc + skip, channel.multiplier, tile.epilogue.zero_point, low, high);
    }
    Some(())
}

fn dot(input: &[i8], weights: &[i8]) -> i32 {
    input.iter().zip(weights).map(|(&x, &w)| product(x, w)).sum()
}

fn max_into(out: &mut [i8], input: &[i8]) {
    for (out, &value) in out.iter_mut().zip(input) {
        *out = (*out).max(value);
    }
}

fn sum_into(sums: &mut [i32], input: &[i8]) {
    for (sum, &value) in sums.iter_mut().zip(input) {
        *sum += i32::from(value);
    }
}
