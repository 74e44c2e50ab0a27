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
use crate::kernels::{ConvBlock, Patches, Shape};

/// Output pixels of a tile.
pub(super) const MR: usize = 6;
/// Values of depth that are packed together.
pub(super) const DEPTH: usize = 16;

/// [`DEPTH`] values of depth of a tile, in the order of the table's own.
pub(super) type Block = PatchBlock<MR, DEPTH>;
/// Sums of a tile: 16 channels of every pixel.
pub(super) type Sums = [[int32x4_t; 4]; MR];

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
        let mut pixels = [places.next()?; MR];
        for pixel in pixels.iter_mut().take(patches.pixels - first).skip(1) {
            *pixel = places.next()?;
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
    for (first, patches) in (0..pixels).step_by(MR).zip(panels::<MR, DEPTH>(block)?) {
        let place = |pixel| Place::of_pixel(target, first + pixel);
        if pixels - first >= MR {
            let sums = t.multiply(&parameters.bias, weights, patches, MR);
            let places = [place(0), place(1), place(2), place(3), place(4), place(5)];
            finish_all::<_, false, MR>(t.neon(), sums, parameters, target, places, out)?;
        } else {
            let sums = t.multiply(&parameters.bias, weights, patches, pixels - first);
            for (pixel, sums) in sums.into_iter().enumerate().take(pixels - first) {
                finish::<_, false>(t.neon(), sums, parameters, target, place(pixel), out)?;
            }
        }
    }
    Some(())
}
