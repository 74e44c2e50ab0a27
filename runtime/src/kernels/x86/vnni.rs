//! What the tables with `vpdpbusd` have in common: layouts and loops of direct convolution.
//!
//! `vpdpbusd` multiplies four unsigned activations (stored here as `u = q + 128`) by four signed weights and adds the
//! sum of the products to an int32 lane. Nothing saturates, so there is nothing to prove; `-128 * sum of w` is in the
//! packed bias.
//!
//! # Layouts
//!
//! Kernel rows follow each other without a gap, so a patch is `depth` values, filled up to a multiple of 4 only once.
//!
//! - Weights: those of [`panels`], four of depth at a time.
//! - Patches: for every tile a panel, `[64 of depth][pixel][value]`. What lies behind the end of a patch is multiplied by
//!   zeros, whatever it is. This lets [`pack_patches`] copy 64 values at a time and let the next copy overwrite
//!   those that were too many; behind the last pixel there is room for them.
//!
//! The tiles of a block are equally high, give or take one pixel: 49 pixels in tiles of up to 14 are 12, 12, 12 and 13.
#![allow(unsafe_code, reason = "the inner loop does not check what has been checked before it")]

use core::ops::Range;

use crate::kernels::panels::{self, Panel, tiles_len};
use crate::kernels::simd::{LANES, Simd, TargetPlaces, finish};
use crate::kernels::winograd::{Costs, GROUP};
use crate::kernels::{ConvBlock, LayerWeights, Patches, Shape, Target};

/// What decides between Winograd and direct convolution, in 1/64 of a cycle of a core that starts one 512-bit or two
/// 256-bit `vpdpbusd` or `vpdpwssd` in a cycle: 64 products of 8 bits or 32 of 16 bits.
///
/// Nine products of an output take 9/64 of a cycle; the 36 of a tile take 72/64, and an eighth more for the sums that are
/// loaded and stored between steps. The transforms are what llvm-mca says for Zen 4: for 16 channels of a tile 103 cycles,
/// and about as many back; for weights, 42 cycles for 16 pairs of channels. Not measured on such a CPU yet.
pub(super) const COSTS: Costs =
    Costs { direct: 9, tile: 81, group: GROUP, weights: 168, input: 416, output: 416 };

/// Values of depth that one instruction multiplies, in every lane.
pub(super) const KR: usize = 4;
/// Values of depth of a pixel that lie together.
const CHUNK: usize = 64;
/// The highest tile of any table.
const MAX_MR: usize = 14;
/// The most panels of 16 channels that are multiplied together.
const MAX_PANELS: usize = 2;

/// Weights of four values of depth.
pub(super) type WeightBlock = panels::WeightBlock<KR>;

/// `vpdpbusd` in one width and encoding.
pub(super) trait Vnni: Simd {
    /// The highest tile, at most [`MAX_MR`].
    const MR: usize;
    /// Panels of 16 channels that are multiplied together, at most [`MAX_PANELS`].
    const PANELS: usize;

    /// Four activations, in every lane of a register.
    type Activations: Copy;

    /// Loads four activations into every lane.
    fn splat(self, values: &[u8; KR]) -> Self::Activations;
    /// Loads weights.
    fn load_weights(self, weights: &WeightBlock) -> Self::I32;
    /// `acc[lane] + sum(activations * weights[lane])`.
    fn dot8(self, acc: Self::I32, activations: Self::Activations, weights: Self::I32) -> Self::I32;
}

/// Activations are stored with 128 added: the bias takes it back.
#[inline(always)]
pub(super) fn pack_weights<S: Vnni>(_: S, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    panels::pack_weights::<S, KR>(source, -128, packed)
}

/// Bytes between the chunks of a tile: its pixels, and room for what is copied too much.
const fn chunk_len(height: usize) -> usize {
    (height + 1) * CHUNK
}

pub(super) fn patches_len<S: Vnni>(shape: &Shape) -> Option<usize> {
    shape.depth().div_ceil(CHUNK).checked_mul(chunk_len(S::MR))
}

/// The pixels of tile `index` of `tiles`: all are equally high, give or take one pixel.
const fn tile(pixels: usize, tiles: usize, index: usize) -> Range<usize> {
    index * pixels / tiles..(index + 1) * pixels / tiles
}

#[inline(always)]
pub(super) fn pack_patches<S: Vnni>(
    _: S,
    shape: &Shape,
    _: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    let tiles = patches.pixels.div_ceil(S::MR);
    let panel_len = patches_len::<S>(shape)?;
    let panels = panels.get_mut(..tiles_len(patches, S::MR, panel_len)?)?;
    let mut places = patches.grid.places();
    for (index, panel) in panels.chunks_exact_mut(panel_len).enumerate() {
        let height = tile(patches.pixels, tiles, index).len();
        let chunk_len = chunk_len(height);
        for row in 0..height {
            let source = patches.source.get(places.next()?..)?;
            pack_patch(shape, source, patches.run_stride, chunk_len, panel.get_mut(row * CHUNK..)?)?;
        }
    }
    Some(())
}

/// One pixel's patch: a copy for every piece of a run that lies in one chunk.
#[inline(always)]
fn pack_patch(
    shape: &Shape,
    source: &[i8],
    run_stride: usize,
    chunk_len: usize,
    panel: &mut [i8],
) -> Option<()> {
    let (mut chunk, mut place) = (0, 0);
    for run in 0..shape.runs {
        let mut values = source.get(run * run_stride..)?;
        let mut left = shape.run_len;
        while left > 0 {
            if place == CHUNK {
                (chunk, place) = (chunk + chunk_len, 0);
            }
            let len = left.min(CHUNK - place);
            let out: &mut [i8; CHUNK] = panel.get_mut(chunk + place..)?.first_chunk_mut()?;
            match values.first_chunk() {
                Some(values) => *out = to_unsigned(values),
                None => copy_last(values.get(..len)?, out),
            }
            (place, left, values) = (place + len, left - len, values.get(len..)?);
        }
    }
    Some(())
}

/// `q + 128`, as the byte that holds it.
#[inline(always)]
fn to_unsigned(values: &[i8; CHUNK]) -> [i8; CHUNK] {
    let mut out = *values;
    for value in &mut out {
        *value ^= i8::MIN;
    }
    out
}

/// Fewer than 64 values, at the end of the input. Apart, so that its loops take no registers from the caller.
#[cold]
#[inline(never)]
fn copy_last(values: &[i8], out: &mut [i8; CHUNK]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = value ^ i8::MIN;
    }
}

/// Sums of a tile.
type Sums<S> = [[<S as Simd>::I32; MAX_PANELS]; MAX_MR];

#[inline(always)]
pub(super) fn conv<S: Vnni>(s: S, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let target = &block.target;
    let index = target.first_channel / LANES;
    let first = Panel::new(block, index)?;
    let next_channel = target.first_channel + LANES;
    let second = match S::PANELS {
        2 if next_channel < block.shape.channels => Some(Panel::new(block, index + 1)?),
        _ => None,
    };
    let next = Target { first_channel: next_channel, ..*target };
    let mut places = TargetPlaces::new(target);
    let pixels = block.patches.pixels;
    let tiles = pixels.div_ceil(S::MR);
    let panel_len = patches_len::<S>(&block.shape)?;
    let panels = block.panels.get(..tiles_len(&block.patches, S::MR, panel_len)?)?;
    for (index, patches) in panels.chunks_exact(panel_len).enumerate() {
        let tile = tile(pixels, tiles, index);
        let patches: &[u8] = bytemuck::cast_slice(patches);
        let mut sums = [[s.zero32(); MAX_PANELS]; MAX_MR];
        match second {
            Some(second) => multiply(s, [first.blocks, second.blocks], patches, tile.len(), &mut sums)?,
            None => multiply(s, [first.blocks], patches, tile.len(), &mut sums)?,
        }
        for [sums, next_sums] in sums.into_iter().take(tile.len()) {
            let [place] = places.group();
            finish::<_, true>(s, sums, first.parameters, target, place, out)?;
            if let Some(second) = second {
                finish::<_, true>(s, next_sums, second.parameters, &next, place, out)?;
            }
        }
    }
    Some(())
}

/// The loop for the height of the tile.
#[inline(always)]
fn multiply<S: Vnni, const PANELS: usize>(
    s: S,
    weights: [&[WeightBlock]; PANELS],
    patches: &[u8],
    height: usize,
    sums: &mut Sums<S>,
) -> Option<()> {
    macro_rules! heights {
        ($($height:literal)*) => {
            match height {
                $($height if $height <= S::MR => multiply_tile::<S, PANELS, $height>(s, weights, patches, sums),)*
                _ => None,
            }
        };
    }
    heights!(14 13 12 11 10 9 8 7 6 5 4 3 2 1)
}

#[inline(always)]
fn multiply_tile<S: Vnni, const PANELS: usize, const HEIGHT: usize>(
    s: S,
    weights: [&[WeightBlock]; PANELS],
    patches: &[u8],
    sums: &mut Sums<S>,
) -> Option<()> {
    let mut acc = [[s.zero32(); PANELS]; HEIGHT];
    let steps = weights.first()?.len();
    let chunks = steps.div_ceil(CHUNK / KR);
    if weights.iter().any(|weights| weights.len() != steps) || patches.len() < chunks * chunk_len(HEIGHT) {
        return None;
    }
    for chunk in 0..chunks {
        let first = chunk * (CHUNK / KR);
        for step in first..steps.min(first + CHUNK / KR) {
            let at = chunk * chunk_len(HEIGHT) + (step - first) * KR;
            let mut block = [s.zero32(); PANELS];
            for (block, weights) in block.iter_mut().zip(weights) {
                // SAFETY: `step` is below `steps`, which is the length of each.
                *block = s.load_weights(unsafe { weights.get_unchecked(step) });
            }
            for (pixel, acc) in acc.iter_mut().enumerate() {
                // SAFETY: chunk `chunk` lies in `patches` as a whole, its length has been compared; `at` is at most
                // `CHUNK - KR` from its start, and the chunk has `CHUNK` bytes for every pixel.
                let values = unsafe { &*patches.as_ptr().add(at + pixel * CHUNK).cast() };
                let values = s.splat(values);
                for (acc, block) in acc.iter_mut().zip(block) {
                    *acc = s.dot8(*acc, values, block);
                }
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        for (sum, acc) in sums.iter_mut().zip(acc) {
            *sum = acc;
        }
    }
    Some(())
}
