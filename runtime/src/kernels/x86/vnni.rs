//! What the tables with `vpdpbusd` have in common: layouts and loops of direct convolution.
//!
//! `vpdpbusd` multiplies four unsigned activations (stored here as `u = q + 128`) by four signed weights and adds the
//! sum of the products to an int32 lane. Nothing saturates, so there is nothing to prove; `-128 * sum of w` is in the
//! packed bias.
//!
//! # Layouts
//!
//! - Weights: those of [`panels`], four of depth at a time, every kernel row filled up to a multiple of 4.
//! - Activations: the rows that a block reads, as they are, with 128 added. Patches are read from there: neighbours share what they have in
//!   common, and nothing is copied for each. What lies behind the end of a run is multiplied by zeros, whatever it is.
//!
//! The tiles of a block are equally high, give or take one pixel: 49 pixels in tiles of up to 14 are 12, 12, 12 and 13.
#![allow(unsafe_code, reason = "the inner loop does not check what has been checked before it")]

use core::ops::Range;

use super::outputs::Outputs;
use crate::kernels::panels::{self, Panel};
use crate::kernels::simd::{LANES, Simd, TargetPlaces, prefetch};
use crate::kernels::{ConvBlock, LayerWeights, Patches, Shape, Target};

/// Values of depth that one instruction multiplies, in every lane.
pub(super) const KR: usize = 4;
/// The highest tile of any table.
const MAX_MR: usize = 14;

/// Weights of four values of depth.
pub(super) type WeightBlock = panels::WeightBlock<KR>;

/// `vpdpbusd` in one width and encoding.
pub(super) trait Vnni: Simd {
    /// The highest tile, at most [`MAX_MR`].
    const MR: usize;
    /// Panels of 16 channels that are multiplied together, 2 at most.
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

/// The values that are read, and behind them what the last block of a run reads too much.
pub(super) fn patches_len(_: &Shape, _: usize, values: usize) -> Option<usize> {
    values.checked_add(KR)?.checked_next_multiple_of(64)
}

/// Adds 128 to what the pixels of a block read: to the rows of each row of pixels, as far as those before have not done it.
#[inline(always)]
pub(super) fn pack_patches<S: Vnni>(
    s: S,
    shape: &Shape,
    _: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    let columns = patches.grid.width.min(patches.pixels);
    let reach =
        (columns.checked_sub(1)?.checked_mul(patches.grid.column)?).checked_add(reach(shape, patches)?)?;
    let mut done = 0;
    for row in 0..patches.pixels.div_ceil(columns) {
        let start = patches.grid.place_of_row(row, 0);
        let part = done.max(start)..(start + reach).min(patches.source.len());
        pack_row(s, panels.get_mut(part.clone())?, patches.source.get(part.clone())?);
        done = part.end;
    }
    Some(())
}

/// Adds 128.
#[inline(always)]
pub(super) fn pack_row<S: Vnni>(_: S, panels: &mut [i8], row: &[i8]) {
    for (out, value) in panels.iter_mut().zip(row) {
        *out = value ^ i8::MIN;
    }
}

/// How many values a patch has from its first to its last one.
fn reach(shape: &Shape, patches: &Patches<'_>) -> Option<usize> {
    shape.runs.checked_sub(1)?.checked_mul(patches.run_stride)?.checked_add(shape.run_len)
}

/// The pixels of tile `index` of `tiles`: all are equally high, give or take one pixel.
const fn tile(pixels: usize, tiles: usize, index: usize) -> Range<usize> {
    index * pixels / tiles..(index + 1) * pixels / tiles
}

/// Sums of a tile: of one panel's channels, and of the next one's.
type Sums<S> = [[<S as Simd>::I32; MAX_MR]; 2];

#[inline(always)]
pub(super) fn conv<S: Vnni>(s: S, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let (target, pixels) = (&block.target, block.patches.pixels);
    let panel = |first_channel: usize| {
        let panel = Panel::new(block, first_channel / LANES)?;
        Some((panel, Outputs::new(Target { first_channel, ..*target }, panel.parameters, pixels, out)?))
    };
    let (first, outputs) = panel(target.first_channel)?;
    let next_channel = target.first_channel + LANES;
    let second = match S::PANELS {
        2 if next_channel < block.shape.channels => Some(panel(next_channel)?),
        _ => None,
    };
    let source = Source::new(block)?;
    let (mut starts, mut places) = (block.patches.grid.places(), TargetPlaces::new(target));
    let tiles = pixels.div_ceil(S::MR);
    let next = NextWeights::new(&first, second.is_some(), tiles);
    let mut sums = [[s.zero32(); MAX_MR]; 2];
    let mut tile_places = [[0; MAX_MR]; 3];
    for index in 0..tiles {
        let (height, next) = (tile(pixels, tiles, index).len(), next.of_tile(index));
        let [tile_starts, outs, skips] = &mut tile_places;
        let (outs, skips) = (outs.get_mut(..height)?, skips.get_mut(..height)?);
        starts.fill(tile_starts.get_mut(..height)?);
        places.fill(outs, skips);
        match &second {
            None => multiply(s, [first], &source, tile_starts, height, next, &mut sums)?,
            Some((second, outputs)) => {
                multiply(s, [first, *second], &source, tile_starts, height, next, &mut sums)?;
                // SAFETY: places of pixels of the block: tiles have as many as it has.
                unsafe { outputs.finish(s, sums[1].get(..height)?, outs, skips, out)? };
            }
        }
        // SAFETY: as above.
        unsafe { outputs.finish(s, sums[0].get(..height)?, outs, skips, out)? };
    }
    Some(())
}

/// The weights that are multiplied next, brought into the second-level cache while these are multiplied: in as many steps as these have in
/// all tiles. Behind the last panel of a layer are the first ones of the next.
#[derive(Clone, Copy)]
struct NextWeights {
    next: *const u8,
    /// Bytes a step, up to two cache lines.
    step: usize,
    /// Steps of a tile.
    steps: usize,
}

impl NextWeights {
    #[inline(always)]
    fn new(panel: &Panel<'_, KR>, two: bool, tiles: usize) -> Self {
        let panels = 1 + usize::from(two);
        let panel_len = size_of_val(panel.parameters) + size_of_val(panel.blocks);
        let next = (&raw const *panel.parameters).cast::<u8>().wrapping_add(panels * panel_len);
        Self { next, step: (panels * size_of::<WeightBlock>()).div_ceil(tiles), steps: panel.blocks.len() }
    }

    /// What is left to a tile.
    #[inline(always)]
    const fn of_tile(self, index: usize) -> Self {
        Self { next: self.next.wrapping_add(index * self.steps * self.step), ..self }
    }

    #[inline(always)]
    fn prefetch(&mut self) {
        prefetch::<2>(self.next);
        self.next = self.next.wrapping_add(self.step);
    }
}

/// Where the patches of a block are read.
struct Source<'a> {
    values: &'a [u8],
    /// Runs of a patch, and the distance between them.
    runs: usize,
    run_stride: usize,
    /// Blocks of weights of a run.
    steps: usize,
    /// Blocks of weights of all runs.
    blocks: usize,
}

impl<'a> Source<'a> {
    /// `None` when one of the block's patches, with what is read behind it, lies outside of what is packed.
    #[inline(always)]
    fn new(block: &ConvBlock<'a>) -> Option<Self> {
        let patches = &block.patches;
        let end = patches.grid.highest_place(patches.pixels)?.checked_add(reach(&block.shape, patches)?)?;
        let (runs, steps) = (block.shape.runs, block.shape.run_len.div_ceil(KR));
        let blocks = runs.checked_mul(steps)?;
        let values = bytemuck::cast_slice(block.panels);
        (end.checked_add(KR - 1)? <= values.len()).then_some(Self {
            values,
            runs,
            run_stride: patches.run_stride,
            steps,
            blocks,
        })
    }
}

/// The loop for the height of the tile, whose pixels start at the first `height` of `starts`.
#[inline(always)]
fn multiply<S: Vnni, const PANELS: usize>(
    s: S,
    panels: [Panel<'_, KR>; PANELS],
    source: &Source<'_>,
    starts: &[usize; MAX_MR],
    height: usize,
    next: NextWeights,
    sums: &mut Sums<S>,
) -> Option<()> {
    macro_rules! heights {
        ($($height:literal)*) => {
            match height {
                $($height if $height <= S::MR => multiply_tile::<S, PANELS, $height>(s, panels, source, starts, next, sums),)*
                _ => None,
            }
        };
    }
    heights!(14 13 12 11 10 9 8 7 6 5 4 3 2 1)
}

#[inline(always)]
fn multiply_tile<S: Vnni, const PANELS: usize, const HEIGHT: usize>(
    s: S,
    panels: [Panel<'_, KR>; PANELS],
    source: &Source<'_>,
    starts: &[usize; MAX_MR],
    mut next: NextWeights,
    sums: &mut Sums<S>,
) -> Option<()> {
    let starts: &[usize; HEIGHT] = starts.first_chunk()?;
    let mut acc = [[s.zero32(); PANELS]; HEIGHT];
    for acc in &mut acc {
        for (acc, panel) in acc.iter_mut().zip(panels) {
            *acc = s.load32(&panel.parameters.bias);
        }
    }
    if panels.iter().any(|panel| panel.blocks.len() != source.blocks) {
        return None;
    }
    for run in 0..source.runs {
        let first = source.values.as_ptr().wrapping_add(run * source.run_stride);
        for step in 0..source.steps {
            let mut block = [s.zero32(); PANELS];
            for (block, panel) in block.iter_mut().zip(panels) {
                // SAFETY: every run has `steps` blocks in each panel, their number has been compared.
                *block = s.load_weights(unsafe { panel.blocks.get_unchecked(run * source.steps + step) });
            }
            next.prefetch();
            let at = first.wrapping_add(step * KR);
            for (start, acc) in starts.iter().zip(&mut acc) {
                // SAFETY: `start` is where one of the block's patches starts; `Source::new` has seen that its values lie in the slice up
                // to the last step's of the last run, which begin before the end of the run and are less than `KR` beyond it.
                let values = unsafe { &*at.wrapping_add(*start).cast() };
                let values = s.splat(values);
                for (acc, block) in acc.iter_mut().zip(block) {
                    *acc = s.dot8(*acc, values, block);
                }
            }
        }
    }
    for (pixel, acc) in acc.into_iter().enumerate() {
        for (sums, acc) in sums.iter_mut().zip(acc) {
            *sums.get_mut(pixel)? = acc;
        }
    }
    Some(())
}
