//! Patches in panels of some pixels, for instructions that multiply several values of depth at a time.
//!
//! A panel holds a tile's patches as `[KR of depth][pixel][value]`, with room for `MR` pixels. Kernel rows follow each
//! other without a gap. What lies behind the end of a patch, or in the room of a pixel that a tile lacks, is whatever was
//! there: the former is multiplied by zeros, the latter is not looked at.

use crate::kernels::panels::{blocks, tiles_len};
use crate::kernels::{ConvBlock, Patches, Shape};

/// `KR` values of depth of a tile.
pub(super) type PatchBlock<const MR: usize, const KR: usize> = [[i8; KR]; MR];

/// Bytes of the panel of a tile's patches, a multiple of 64.
pub(super) fn panel_len<const MR: usize, const KR: usize>(shape: &Shape) -> Option<usize> {
    blocks::<KR>(shape).checked_mul(size_of::<PatchBlock<MR, KR>>())?.checked_next_multiple_of(64)
}

/// See [`Packing::patches_len`](crate::kernels::Packing::patches_len).
pub(super) fn patches_len<const MR: usize, const KR: usize>(
    shape: &Shape,
    pixels: usize,
    _: usize,
) -> Option<usize> {
    tiles_len(pixels, MR, panel_len::<MR, KR>(shape)?)
}

/// See [`Packing::pack_patches`](crate::kernels::Packing::pack_patches).
#[inline(always)]
pub(super) fn pack_patches<const MR: usize, const KR: usize>(
    shape: &Shape,
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    let panel_len = panel_len::<MR, KR>(shape)?;
    let panels = panels.get_mut(..tiles_len(patches.pixels, MR, panel_len)?)?;
    let mut places = patches.grid.places();
    for (first, panel) in (0..patches.pixels).step_by(MR).zip(panels.chunks_exact_mut(panel_len)) {
        let (blocks, _) = panel.as_chunks_mut::<KR>().0.as_chunks_mut::<MR>();
        for pixel in 0..MR.min(patches.pixels - first) {
            let source = patches.source.get(places.next()?..)?;
            if shape.run_len.is_multiple_of(KR) {
                pack_whole_blocks(shape, source, patches.run_stride, pixel, blocks)?;
            } else {
                pack_pieces(shape, source, patches.run_stride, pixel, blocks)?;
            }
        }
    }
    Some(())
}

/// One pixel's patch, when no block has values of two runs.
#[inline(always)]
fn pack_whole_blocks<const MR: usize, const KR: usize>(
    shape: &Shape,
    source: &[i8],
    run_stride: usize,
    pixel: usize,
    blocks: &mut [PatchBlock<MR, KR>],
) -> Option<()> {
    for (run, blocks) in blocks.chunks_exact_mut(shape.run_len / KR).take(shape.runs).enumerate() {
        let values = source.get(run * run_stride..)?.get(..shape.run_len)?;
        for (values, block) in values.as_chunks::<KR>().0.iter().zip(blocks) {
            *block.get_mut(pixel)? = *values;
        }
    }
    Some(())
}

/// One pixel's patch, when blocks begin and end anywhere in runs: each is put together from pieces of runs, of which `KR`
/// values are copied, and the next piece overwrites those that were too many.
#[inline(always)]
fn pack_pieces<const MR: usize, const KR: usize>(
    shape: &Shape,
    source: &[i8],
    run_stride: usize,
    pixel: usize,
    blocks: &mut [PatchBlock<MR, KR>],
) -> Option<()> {
    let (mut row, mut filled) = ([[0; KR]; 2], 0);
    let mut blocks = blocks.iter_mut();
    for run in 0..shape.runs {
        let (mut values, mut left) = (source.get(run * run_stride..)?, shape.run_len);
        while left > 0 {
            let len = left.min(KR - filled);
            let piece: &mut [i8; KR] = row.as_flattened_mut().get_mut(filled..)?.first_chunk_mut()?;
            match values.first_chunk() {
                Some(values) => *piece = *values,
                None => copy_last(values.get(..len)?, piece),
            }
            (filled, left, values) = (filled + len, left - len, values.get(len..)?);
            if filled == KR {
                *blocks.next()?.get_mut(pixel)? = row[0];
                filled = 0;
            }
        }
    }
    if filled > 0 {
        *blocks.next()?.get_mut(pixel)? = row[0];
    }
    Some(())
}

/// The last values of the input. Apart, so that its loop takes no registers from the caller.
#[cold]
#[inline(never)]
fn copy_last(values: &[i8], piece: &mut [i8]) {
    for (out, value) in piece.iter_mut().zip(values) {
        *out = *value;
    }
}

/// The packed patches of a block, tile by tile.
pub(super) fn panels<'a, const MR: usize, const KR: usize>(
    block: &ConvBlock<'a>,
) -> Option<impl Iterator<Item = &'a [PatchBlock<MR, KR>]> + use<'a, MR, KR>> {
    let panel_len = panel_len::<MR, KR>(&block.shape)?;
    let panels = block.panels.get(..tiles_len(block.patches.pixels, MR, panel_len)?)?;
    let blocks = blocks::<KR>(&block.shape);
    Some(
        panels.chunks_exact(panel_len).map(move |panel| {
            panel.as_chunks::<KR>().0.as_chunks::<MR>().0.get(..blocks).unwrap_or_default()
        }),
    )
}
