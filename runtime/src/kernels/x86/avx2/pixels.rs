//! Direct convolution of a first layer, in 16 bits from the start: pixels are as often large as small.

use super::{Avx2, MR, NR};
use crate::kernels::panels::tiles_len;
use crate::kernels::simd::{LANES, Lanes, Parameters, Simd, TargetPlaces, finish_tile};
use crate::kernels::winograd::WeightPair;
use crate::kernels::x86::winograd::{ChunkWeights, DotGroup, Rows};
use crate::kernels::{ConvBlock, LayerWeights, Patches, Shape};

/// Sixteen values of depth of one pixel, in 16 bits.
pub(super) type PixelChunk = [i16; LANES];

/// Sixteens of depth; kernel rows follow each other without a gap, and zero weights fill up the last one.
fn pixel_chunks(shape: &Shape) -> usize {
    shape.depth().div_ceil(LANES)
}

/// Sixteens between two pixels of a panel: there is room behind each for what is copied too much.
fn pixel_stride(shape: &Shape) -> usize {
    pixel_chunks(shape) + 1
}

/// Bytes of a panel of weights.
fn panel_len(shape: &Shape) -> usize {
    size_of::<Parameters>() + pixel_chunks(shape) * size_of::<ChunkWeights>()
}

pub(super) fn weights_len(shape: &Shape) -> Option<usize> {
    panel_len(shape).checked_mul(shape.channels.div_ceil(NR))
}

/// Bytes of a tile's panel.
pub(super) fn panel_bytes(shape: &Shape) -> Option<usize> {
    let pixel_bytes = pixel_stride(shape).checked_mul(size_of::<PixelChunk>())?;
    pixel_bytes.checked_mul(MR)?.checked_next_multiple_of(64)
}

/// For every 16 channels their parameters and `[pair][lane][value]`.
#[inline(always)]
pub(super) fn pack_weights(source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    let shape = &source.shape;
    for (panel, packed) in packed.chunks_exact_mut(panel_len(shape)).enumerate() {
        let first = panel * NR;
        let out = Parameters::pack::<Avx2>(source, first, 0, packed)?;
        let out: &mut [WeightPair] = bytemuck::try_cast_slice_mut(out).ok()?;
        out.fill([0; 2 * NR]);
        for (lane, channel) in Avx2::LANE_CHANNELS.iter().map(|channel| first + channel).enumerate() {
            let weights = source.weights.chunks_exact(shape.depth()).nth(channel).unwrap_or_default();
            for (pair, out) in weights.chunks(2).zip(&mut *out) {
                let place = out.get_mut(2 * lane..)?;
                place.iter_mut().zip(pair).for_each(|(out, weight)| *out = i16::from(*weight));
            }
        }
    }
    Some(())
}

/// A panel: four pixels' values, one pixel after the other.
#[inline(always)]
pub(super) fn pack_patches(s: Avx2, shape: &Shape, patches: &Patches<'_>, panels: &mut [i8]) -> Option<()> {
    let pixel_len = pixel_stride(shape) * LANES;
    let mut places = patches.grid.places().take(patches.pixels);
    let panel_len = panel_bytes(shape)?;
    let panels = panels.get_mut(..tiles_len(patches.pixels, MR, panel_len)?)?;
    for panel in panels.chunks_exact_mut(panel_len) {
        let panel: &mut [i16] = bytemuck::try_cast_slice_mut(panel).ok()?;
        for values in panel.chunks_exact_mut(pixel_len).take(MR) {
            let Some(start) = places.next() else { return Some(()) };
            pack_pixel(s, shape, patches.source.get(start..)?, patches.run_stride, values)?;
        }
    }
    Some(())
}

/// The values of a patch. Sixteen are copied at a time, and what is too much is overwritten by the next kernel row or meets zero
/// weights.
#[inline(always)]
fn pack_pixel(s: Avx2, shape: &Shape, source: &[i8], run_stride: usize, values: &mut [i16]) -> Option<()> {
    let len = shape.run_len.next_multiple_of(LANES);
    let (mut source, mut values) = (source, values);
    for run in 0..shape.runs {
        let out = values.get_mut(..len)?.as_chunks_mut().0;
        match source.get(..len) {
            Some(source) => {
                for (out, chunk) in out.iter_mut().zip(source.as_chunks().0) {
                    s.store16(s.widen(chunk), out);
                }
            }
            None => last_values(source.get(..shape.run_len)?, out.as_flattened_mut()),
        }
        if run + 1 < shape.runs {
            source = source.get(run_stride..)?;
            values = values.get_mut(shape.run_len..)?;
        }
    }
    Some(())
}

/// A run at the end of the source, behind which there is nothing to copy too much of.
#[cold]
fn last_values(source: &[i8], out: &mut [i16]) {
    out.iter_mut().zip(source).for_each(|(out, value)| *out = i16::from(*value));
}

/// All pixels of a block of the first layer, for the 16 channels of a panel.
#[inline(always)]
pub(super) fn conv(s: Avx2, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let panel = block.target.first_channel / NR;
    let panel_len = panel_len(&block.shape);
    let panel = block.weights.get(panel * panel_len..)?.get(..panel_len)?;
    let (parameters, weights) = Parameters::split(panel)?;
    let weights: &[WeightPair] = bytemuck::try_cast_slice(weights).ok()?;
    let weights: &[ChunkWeights] = weights.as_chunks().0;
    let stride = pixel_stride(&block.shape);
    let panel_len = panel_bytes(&block.shape)?;
    let panels = block.panels.get(..tiles_len(block.patches.pixels, MR, panel_len)?)?;
    let mut places = TargetPlaces::new(&block.target);
    let tiles = (0..block.patches.pixels).step_by(MR);
    for (first, panel) in tiles.zip(panels.chunks_exact(panel_len)) {
        let pixels: &[i16] = bytemuck::try_cast_slice(panel).ok()?;
        let acc = s.dot_group(&Rows::<1>::new(pixels.as_chunks().0, [stride, MR], weights)?, 0)?;
        let pixels = block.patches.pixels - first;
        finish_tile::<_, true, MR>(s, acc, pixels, parameters, &block.target, places.group(), out)?;
    }
    Some(())
}
