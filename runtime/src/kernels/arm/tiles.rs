//! What the tables with int8 dot products have in common: tiles of 6 pixels by 16 channels, whose 24 registers of sums
//! leave eight for operands.
//!
//! - Weights: those of [`panels`](crate::kernels::panels).
//! - Patches: a panel for every tile, `[KR of depth][6 pixels][value]`, so that `ld1` with several registers fetches
//!   what an instruction or two need of all pixels. They are packed 16 values of all pixels at a time. Kernel rows follow
//!   each other without a gap; what lies behind the end of a patch is multiplied by zeros, whatever it is.
#![allow(unsafe_code, reason = "NEON intrinsics")]

use core::arch::aarch64::*;

use super::neon::Neon;
use super::patches::{PatchBlock, panels, patches_len as panel_len};
use crate::kernels::panels::{Panel, WeightBlock, blocks};
use crate::kernels::simd::{LANES, Place, finish, finish_all};
use crate::kernels::{ConvBlock, Patches, Places, Shape};

/// Output pixels of a tile.
pub(super) const MR: usize = 6;
/// Values of depth that are packed together.
pub(super) const DEPTH: usize = 16;

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

    /// Packs `count` blocks: 16 values of depth from each of the sources, which stand for pixels, then the next 16.
    ///
    /// # Safety
    ///
    /// Every source is readable for `16 * count` bytes, `out` has `count` blocks.
    unsafe fn pack(self, sources: [*const i8; MR], count: usize, out: *mut Block);

    /// The sums of the first `height` pixels of a tile, beginning with `bias`; those of the others are anything.
    fn multiply(
        self,
        bias: &[i32; LANES],
        weights: &[WeightBlock<KR>],
        patches: &[Block],
        height: usize,
    ) -> Sums;
}

/// See [`Packing::patches_len`](crate::kernels::Packing::patches_len).
pub(super) fn patches_len(shape: &Shape) -> Option<usize> {
    panel_len::<MR, DEPTH>(shape)
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
    let panel_len = patches_len(shape)?;
    let panels = panels.get_mut(..patches.panels_len(MR, panel_len)?)?;
    let mut places = patches.grid.places();
    for (first, panel) in (0..patches.pixels).step_by(MR).zip(panels.chunks_exact_mut(panel_len)) {
        let (blocks, _) = panel.as_chunks_mut::<DEPTH>().0.as_chunks_mut::<MR>();
        let mut pixels: [usize; MR] = places.group();
        if patches.pixels - first < MR {
            let [first_pixel, ..] = pixels;
            pixels.get_mut(patches.pixels - first..)?.fill(first_pixel);
        }
        let tile = Sources::new(shape, patches, pixels)?;
        if shape.run_len.is_multiple_of(DEPTH) {
            tile.pack_runs(t, blocks)
        } else {
            tile.pack_pieces(t, blocks)
        }
    }
    Some(())
}

/// What the pixels of a tile read; a pixel that the tile lacks reads what the first one does.
struct Sources<'a> {
    shape: &'a Shape,
    run_stride: usize,
    /// The start of each pixel's first run. `shape.runs` runs from there lie in the source as a whole.
    pixels: [*const i8; MR],
    /// Bytes of the source behind the start of the pixel that has the fewest.
    len: usize,
}

impl<'a> Sources<'a> {
    #[inline(always)]
    fn new(shape: &'a Shape, patches: &Patches<'_>, pixels: [usize; MR]) -> Option<Self> {
        let [a, b, c, d, e, f] = pixels;
        let len = patches.source.len().checked_sub(a.max(b).max(c).max(d).max(e).max(f))?;
        let reach = (shape.runs.checked_sub(1)? * patches.run_stride).checked_add(shape.run_len)?;
        let start = patches.source.as_ptr();
        (reach <= len).then_some(Self {
            shape,
            run_stride: patches.run_stride,
            pixels: pixels.map(|place| start.wrapping_add(place)),
            len,
        })
    }

    /// When no block has values of two runs.
    #[inline(always)]
    fn pack_runs<const KR: usize, T: Tiles<KR>>(&self, t: T, blocks: &mut [Block]) {
        let run_blocks = self.shape.run_len / DEPTH;
        for (run, blocks) in blocks.chunks_exact_mut(run_blocks).take(self.shape.runs).enumerate() {
            let sources = self.pixels.map(|pixel| pixel.wrapping_add(run * self.run_stride));
            // SAFETY: `run` is below `shape.runs`, so that all of the run can be read, which is `run_blocks` times 16 values.
            unsafe { t.pack(sources, run_blocks, blocks.as_mut_ptr()) };
        }
    }

    /// When blocks begin and end anywhere in runs: each is put together from pieces of runs first.
    #[inline(always)]
    fn pack_pieces<const KR: usize, T: Tiles<KR>>(&self, t: T, blocks: &mut [Block]) {
        let mut rows = [[0; 2 * DEPTH]; MR];
        let (mut run, mut column) = (0, 0);
        for block in blocks {
            let mut filled = 0;
            while filled < DEPTH && run < self.shape.runs {
                let len = (self.shape.run_len - column).min(DEPTH - filled);
                self.copy_piece(run * self.run_stride + column, len, filled, &mut rows);
                (filled, column) = (filled + len, column + len);
                if column == self.shape.run_len {
                    (run, column) = (run + 1, 0);
                }
            }
            // SAFETY: each row has 16 values, and there is one block.
            unsafe { t.pack(rows.each_ref().map(|row| row.as_ptr()), 1, block) };
        }
    }

    /// Copies `len <= 16` values from `from` of every pixel to `to < 16` of its row, and some that follow, where they can
    /// be read.
    #[inline(always)]
    fn copy_piece(&self, from: usize, len: usize, to: usize, rows: &mut [[i8; 2 * DEPTH]; MR]) {
        for (row, pixel) in rows.iter_mut().zip(self.pixels) {
            let source = pixel.wrapping_add(from);
            let row = row.as_mut_ptr().wrapping_add(to);
            // SAFETY: 16 values from `from` on lie in the source, or `len` values, which are those of a run; a row has
            // room for 16 from each of its first 16 places.
            unsafe {
                if from + DEPTH <= self.len {
                    row.cast::<[i8; DEPTH]>().write(source.cast::<[i8; DEPTH]>().read());
                } else {
                    row.copy_from_nonoverlapping(source, len);
                }
            }
        }
    }
}

#[inline(always)]
pub(super) fn conv<const KR: usize, T: Tiles<KR>>(t: T, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let Panel { parameters, blocks: weights } = Panel::<KR>::new(block, block.target.first_channel / LANES)?;
    let (target, pixels) = (&block.target, block.patches.pixels);
    if blocks::<DEPTH>(&block.shape) * DEPTH < weights.len() * KR {
        return None;
    }
    let (mut outs, mut skips) = (target.grid.places(), target.skip.map(|skip| skip.grid.places()));
    for (first, patches) in (0..pixels).step_by(MR).zip(panels::<MR, DEPTH>(block)?) {
        let (outs, skips) = (outs.group::<MR>(), skips.as_mut().map_or([0; MR], Places::group));
        let mut places = [Place { out: 0, skip: 0 }; MR];
        for ((place, out), skip) in places.iter_mut().zip(outs).zip(skips) {
            *place = Place { out, skip };
        }
        if pixels - first >= MR {
            let sums = t.multiply(&parameters.bias, weights, patches, MR);
            finish_all::<_, false, MR>(t.neon(), sums, parameters, target, places, out)?;
        } else {
            let sums = t.multiply(&parameters.bias, weights, patches, pixels - first);
            for (sums, place) in sums.into_iter().zip(places).take(pixels - first) {
                finish::<_, false>(t.neon(), sums, parameters, target, place, out)?;
            }
        }
    }
    Some(())
}
