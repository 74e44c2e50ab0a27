//! What the tables with int8 dot products have in common: tiles of 6 pixels by 16 channels, whose 24 registers of sums
//! leave eight for operands.
//!
//! - Weights: those of [`panels`](crate::kernels::panels).
//! - Patches: a panel for every tile, in an order of the table's own, in which one `ld1` with several registers fetches what a
//!   step needs of all six pixels. They are packed 16 values of all pixels at a time. Kernel rows follow each other without a
//!   gap; what lies behind the end of a patch is multiplied by zeros, whatever it is.
#![allow(unsafe_code, reason = "NEON intrinsics")]

use core::arch::aarch64::*;

use super::lines::{self, Lines};
use super::neon::Neon;
use super::patches::{PatchBlock, panel_len, panels};
use crate::kernels::panels::{Panel, WeightBlock, blocks, tiles_len};
use crate::kernels::simd::{LANES, TargetPlaces, finish_tile};
use crate::kernels::{ConvBlock, Patches, Shape};

/// Output pixels of a tile.
pub(super) const MR: usize = 6;
/// Values of depth that are packed together.
pub(super) const DEPTH: usize = 16;

/// Values of depth that are put together from pieces at a time.
const SPAN: usize = 4 * DEPTH;

/// [`DEPTH`] values of depth of a tile, in the order of the table's own.
pub(super) type Block = PatchBlock<MR, DEPTH>;
/// Sums of a tile: 16 channels of every pixel.
pub(super) type Sums = [[int32x4_t; 4]; MR];

/// Inline assembly that leaves the sums of a tile in v8 to v31, in this order, and uses v0 to v7.
macro_rules! sums {
    ($($assembly:tt)*) => {{
        let (a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3);
        let (d0, d1, d2, d3, e0, e1, e2, e3, f0, f1, f2, f3);
        core::arch::asm!(
            $($assembly)*
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") a0, out("v9") a1, out("v10") a2, out("v11") a3,
            out("v12") b0, out("v13") b1, out("v14") b2, out("v15") b3,
            out("v16") c0, out("v17") c1, out("v18") c2, out("v19") c3,
            out("v20") d0, out("v21") d1, out("v22") d2, out("v23") d3,
            out("v24") e0, out("v25") e1, out("v26") e2, out("v27") e3,
            out("v28") f0, out("v29") f1, out("v30") f2, out("v31") f3,
            options(nostack, readonly, preserves_flags),
        );
        [
            [a0, a1, a2, a3],
            [b0, b1, b2, b3],
            [c0, c1, c2, c3],
            [d0, d1, d2, d3],
            [e0, e1, e2, e3],
            [f0, f1, f2, f3],
        ]
    }};
}
pub(super) use sums;

/// A table's products, `KR` values of depth at a time.
pub(super) trait Tiles<const KR: usize>: Copy {
    /// The token of everything else.
    fn neon(self) -> Neon;

    /// Packs the sources.
    ///
    /// # Safety
    ///
    /// All runs of the sources can be read, `out` has room for the blocks of all of them; there is at least one.
    unsafe fn pack(self, sources: &Sources, out: *mut Block);

    /// The sums of the first `height` pixels of a tile, 1 to [`MR`], beginning with `bias`; those of the others are anything.
    ///
    /// # Safety
    ///
    /// `patches` must be as deep as `weights`, rounded up to [`DEPTH`], or deeper.
    unsafe fn multiply(
        self,
        bias: &[i32; LANES],
        weights: &[WeightBlock<KR>],
        patches: &[Block],
        height: usize,
    ) -> Sums;
}

/// See [`Packing::patches_len`](crate::kernels::Packing::patches_len).
pub(super) fn patches_len(shape: &Shape, pixels: usize, _: usize) -> Option<usize> {
    tiles_len(pixels, MR, panel_len::<MR, DEPTH>(shape)?)
}

/// See [`Packing::pack_patches`](crate::kernels::Packing::pack_patches).
#[inline(always)]
pub(super) fn pack_patches<const KR: usize, T: Tiles<KR>>(
    t: T,
    shape: &Shape,
    _: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    let (panel_len, depth_blocks) = (panel_len::<MR, DEPTH>(shape)?, blocks::<DEPTH>(shape));
    let panels = panels.get_mut(..tiles_len(patches.pixels, MR, panel_len)?)?;
    let reach = shape.runs.checked_sub(1)?.checked_mul(patches.run_stride)?.checked_add(shape.run_len)?;
    let highest = patches.grid.highest_place(patches.pixels)?;
    if highest.checked_add(reach)? > patches.source.len() {
        return None;
    }
    let whole_blocks = shape.run_len.is_multiple_of(DEPTH) && shape.run_len > 0;
    let start = patches.source.as_ptr();
    let mut places = patches.grid.places();
    for (first, panel) in (0..patches.pixels).step_by(MR).zip(panels.chunks_exact_mut(panel_len)) {
        let blocks = panel.as_chunks_mut::<DEPTH>().0.as_chunks_mut::<MR>().0.get_mut(..depth_blocks)?;
        let mut pixels: [usize; MR] = places.group();
        if patches.pixels - first < MR {
            let [first_pixel, ..] = pixels;
            for (index, pixel) in pixels.iter_mut().enumerate() {
                *pixel = if index < patches.pixels - first { *pixel } else { first_pixel };
            }
        }
        let sources = Sources {
            pixels: pixels.map(|place| start.wrapping_add(place)),
            runs: shape.runs,
            run_blocks: shape.run_len / DEPTH,
            run_stride: patches.run_stride,
        };
        if whole_blocks {
            // SAFETY: all runs of the block's highest pixel lie in the source, so those of the others do; together they are
            // as long as `depth_blocks` blocks, which are at least one.
            unsafe { t.pack(&sources, blocks.as_mut_ptr()) };
        } else {
            let [a, b, c, d, e, f] = pixels;
            let len = patches.source.len().saturating_sub(a.max(b).max(c).max(d).max(e).max(f));
            pack_pieces(t, shape, &sources, len, blocks);
        }
    }
    Some(())
}

/// What the pixels of a tile read, in whole blocks; a pixel that the tile lacks reads what the first one does.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    /// The start of each pixel's first run.
    pub(super) pixels: [*const i8; MR],
    /// Runs of a pixel.
    pub(super) runs: usize,
    /// Blocks of a run.
    pub(super) run_blocks: usize,
    /// Distance between runs.
    pub(super) run_stride: usize,
}

/// Inline assembly that packs the next 16 values at `a` to `f` to `out` and goes on, for all blocks of all runs. It uses v0 to
/// v5 and v16 to v21.
macro_rules! pack {
    ($sources:ident, $out:ident, $($assembly:literal,)*) => {{
        let [a, b, c, d, e, f] = $sources.pixels;
        core::arch::asm!(
            "2:",
            "mov {blocks}, {run_blocks}",
            "3:",
            $($assembly,)*
            "sub {blocks}, {blocks}, #1",
            "cbnz {blocks}, 3b",
            "add {a}, {a}, {gap}",
            "add {b}, {b}, {gap}",
            "add {c}, {c}, {gap}",
            "add {d}, {d}, {gap}",
            "add {e}, {e}, {gap}",
            "add {f}, {f}, {gap}",
            "sub {runs}, {runs}, #1",
            "cbnz {runs}, 2b",
            a = inout(reg) a => _, b = inout(reg) b => _, c = inout(reg) c => _,
            d = inout(reg) d => _, e = inout(reg) e => _, f = inout(reg) f => _,
            out = inout(reg) $out => _,
            blocks = out(reg) _,
            run_blocks = in(reg) $sources.run_blocks,
            runs = inout(reg) $sources.runs => _,
            gap = in(reg) $sources.run_stride.wrapping_sub($sources.run_blocks * 16),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            options(nostack, preserves_flags),
        );
    }};
}
pub(super) use pack;

/// When blocks begin and end anywhere in runs: some at a time are put together from pieces of runs first. Of the source,
/// `len` bytes can be read from the start of every pixel.
#[inline(always)]
fn pack_pieces<const KR: usize, T: Tiles<KR>>(
    t: T,
    shape: &Shape,
    sources: &Sources,
    len: usize,
    blocks: &mut [Block],
) {
    let mut rows = [[0; SPAN + DEPTH]; MR];
    let (mut run, mut column) = (0, 0);
    for blocks in blocks.chunks_mut(SPAN / DEPTH) {
        let mut filled = 0;
        while filled < SPAN && run < shape.runs {
            let piece = (shape.run_len - column).min(SPAN - filled).min(DEPTH);
            let from = run * sources.run_stride + column;
            for (row, pixel) in rows.iter_mut().zip(sources.pixels) {
                let (row, source) = (row.as_mut_ptr().wrapping_add(filled), pixel.wrapping_add(from));
                // SAFETY: 16 values from `from` on can be read, or those of the piece, which lies in a run; a row has
                // room for 16 from each of its first `SPAN` places.
                unsafe {
                    if from + DEPTH <= len {
                        row.cast::<[i8; DEPTH]>().write(source.cast::<[i8; DEPTH]>().read());
                    } else {
                        row.copy_from_nonoverlapping(source, piece);
                    }
                }
            }
            (filled, column) = (filled + piece, column + piece);
            if column == shape.run_len {
                (run, column) = (run + 1, 0);
            }
        }
        let pixels = rows.each_ref().map(|row| row.as_ptr());
        let sources = Sources { pixels, runs: 1, run_blocks: blocks.len(), run_stride: 0 };
        // SAFETY: each row has the values of `SPAN / DEPTH` blocks, of which there are at most that many and at least one.
        unsafe { t.pack(&sources, blocks.as_mut_ptr()) };
    }
}

/// Tiles whose pixels are in lines first, then one after the other those that are not: all when there are no lines, or the last.
#[inline(always)]
pub(super) fn conv<const KR: usize, T: Tiles<KR>>(t: T, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let Panel { parameters, blocks: weights } = Panel::<KR>::new(block, block.target.first_channel / LANES)?;
    let mut tiles = panels::<MR, DEPTH>(block)?;
    let (mut target, mut left) = (block.target, block.patches.pixels);
    let deep = |patches: &&[Block]| patches.len() * DEPTH >= weights.len() * KR;
    if let Some(mut lines) = Lines::new(&target, left, out) {
        for _ in 0..left / MR {
            let patches = tiles.next().filter(deep)?;
            // SAFETY: the depths have been compared, and that of the patches is a multiple of `DEPTH`.
            let sums = unsafe { t.multiply(&parameters.bias, weights, patches, MR) };
            // SAFETY: there are `left` pixels in the lines; the tables need `rdm`.
            unsafe { lines.finish(sums, parameters) };
        }
        target = lines::behind(&target, left - left % MR);
        left %= MR;
    }
    let mut places = TargetPlaces::new(&target);
    while left > 0 {
        let patches = tiles.next().filter(deep)?;
        // SAFETY: as above.
        let sums = unsafe { t.multiply(&parameters.bias, weights, patches, left.min(MR)) };
        finish_tile::<_, false, MR>(t.neon(), sums, left, parameters, &target, places.group(), out)?;
        left = left.saturating_sub(MR);
    }
    Some(())
}
