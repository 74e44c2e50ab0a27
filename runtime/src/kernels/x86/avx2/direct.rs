//! Direct convolution of 8-bit values, without saturation.
//!
//! `vpmaddubsw` multiplies unsigned activations (stored here as `u = q + 128`) by signed weights and adds pairs of
//! products in 16 bits, saturating. Two of them are added in 16 bits again before they are widened, so a 16-bit lane
//! holds four products. [`pack_weights`] computes, for every eight values of depth, the largest `u` for which no lane of any
//! channel can leave 16 bits: the *threshold*. [`pack_patches`] compares, and lists the eights in which a patch of the
//! tile goes beyond. Those few go the long way, through `vpmaddwd` on 16-bit operands, and nothing ever saturates.
#![allow(unsafe_code, reason = "AVX2 intrinsics")]

use core::arch::x86_64::*;

use super::{Avx2, MR, NR, avx2};
use crate::kernels::panels::{self, tiles_len};
use crate::kernels::simd::{Parameters, Simd, TargetPlaces, finish_tile};
use crate::kernels::{ConvBlock, LayerWeights, Patches, Shape};

/// Values of depth that are worked on together.
const KR: usize = 8;
/// Values of depth that stand side by side in a lane.
const FOUR: usize = 4;

/// Weights of eight values of depth: two times 16 channels by 4 values.
type WeightBlock = [[[i8; 32]; 2]; 2];
/// Activations of eight values of depth, as `q + 128`.
type PatchBlock = [[[u8; 4]; 2]; MR];

/// Eights of depth; every run is filled up with zero weights.
fn blocks(shape: &Shape) -> usize {
    shape.runs * shape.run_len.div_ceil(KR)
}

/// Bytes of the thresholds at the start of a layer's packed weights: one for every value of depth.
fn thresholds_len(shape: &Shape) -> usize {
    (blocks(shape) * KR).next_multiple_of(64)
}

/// Bytes of one panel: parameters, then weights.
fn panel_len(shape: &Shape) -> usize {
    size_of::<Parameters>() + blocks(shape) * size_of::<WeightBlock>()
}

pub(super) fn weights_len(shape: &Shape) -> Option<usize> {
    panel_len(shape).checked_mul(shape.channels.div_ceil(NR))?.checked_add(thresholds_len(shape))
}

/// Thresholds, then for every 16 channels their parameters and `[eight][four][lane][value]`.
#[inline(always)]
pub(super) fn pack_weights(source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    let shape = &source.shape;
    let (thresholds, packed_panels) = packed.split_at_mut_checked(thresholds_len(shape))?;
    let thresholds: &mut [u8] = bytemuck::cast_slice_mut(thresholds);
    thresholds.fill(u8::MAX);
    for (panel, packed) in packed_panels.chunks_exact_mut(panel_len(shape)).enumerate() {
        let first = panel * NR;
        let blocks = Parameters::pack::<Avx2>(source, first, -128, packed)?;
        let blocks: &mut [WeightBlock] = bytemuck::cast_slice_mut(blocks);
        for (run, blocks) in blocks.chunks_exact_mut(shape.run_len.div_ceil(KR).max(1)).enumerate() {
            let depth = run * shape.run_len..(run + 1) * shape.run_len;
            panels::pack_blocks::<Avx2, FOUR>(source, first, depth, bytemuck::cast_slice_mut(blocks))?;
        }
        for (block, thresholds) in blocks.iter().zip(thresholds.as_chunks_mut::<KR>().0) {
            let lowest = threshold(block).min(thresholds[0]);
            thresholds.fill(lowest);
        }
    }
    Some(())
}

/// The largest `u` for which no 16-bit lane leaves its range: `u` times the sum of its positive weights, or of its
/// negative ones.
#[inline(always)]
fn threshold(block: &WeightBlock) -> u8 {
    let [a, b] = block.each_ref().map(|four| four.as_flattened().as_chunks::<2>().0);
    let (mut positive, mut negative) = (1i16, 1i16);
    for ([a0, a1], [b0, b1]) in a.iter().zip(b) {
        let lane = [*a0, *a1, *b0, *b1].map(i16::from);
        positive = positive.max(lane[0].max(0) + lane[1].max(0) + lane[2].max(0) + lane[3].max(0));
        negative = negative.max(-(lane[0].min(0) + lane[1].min(0) + lane[2].min(0) + lane[3].min(0)));
    }
    let limit = (i32::from(i16::MAX) / i32::from(positive)).min(-i32::from(i16::MIN) / i32::from(negative));
    u8::try_from(limit).unwrap_or(u8::MAX)
}

/// Eights that are packed at a time.
const STEP: usize = 4;

/// Eights of a panel: there is room behind the last run for what is packed too much.
fn panel_blocks(shape: &Shape) -> usize {
    blocks(shape) + STEP - 1
}

/// Bytes of a tile's panel: its eights and the list of wide ones, which is their number, then their indices.
pub(super) fn panel_bytes(shape: &Shape) -> Option<usize> {
    let list = (blocks(shape) + 1) * size_of::<u32>();
    panel_blocks(shape).checked_mul(size_of::<PatchBlock>())?.checked_add(list)?.checked_next_multiple_of(64)
}

/// A panel: for every eight of depth, four pixels' eight values; then the list of eights that go beyond the threshold.
#[inline(always)]
pub(super) fn pack_patches(
    s: Avx2,
    shape: &Shape,
    weights: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    let thresholds = bytemuck::cast_slice(weights);
    let mut places = patches.grid.places();
    let panel_len = panel_bytes(shape)?;
    let panels = panels.get_mut(..tiles_len(patches.pixels, MR, panel_len)?)?;
    let tiles = (0..patches.pixels).step_by(MR);
    for (first, panel) in tiles.zip(panels.chunks_exact_mut(panel_len)) {
        let mut starts: [usize; MR] = places.group();
        // Pixels behind the last one read what the first one of their tile reads.
        let start = starts[0];
        starts.iter_mut().skip(patches.pixels - first).for_each(|behind| *behind = start);
        pack_tile(s, shape, thresholds, patches, starts, panel)?;
    }
    Some(())
}

/// Four eights of four pixels at a time; what is too much of a run is zeros, and the next run overwrites it.
#[inline(always)]
fn pack_tile(
    s: Avx2,
    shape: &Shape,
    thresholds: &[u8],
    patches: &Patches<'_>,
    starts: [usize; MR],
    panel: &mut [i8],
) -> Option<()> {
    let (panel, list) = panel.split_at_mut_checked(panel_blocks(shape) * size_of::<PatchBlock>())?;
    let panel: &mut [PatchBlock] = bytemuck::cast_slice_mut(panel);
    let [wide_count, wide @ ..] = bytemuck::try_cast_slice_mut::<_, u32>(list).ok()? else { return None };
    let capacity = wide.len();
    let mut wide = wide.iter_mut();
    for run in 0..shape.runs {
        let source = patches.source.get(run * patches.run_stride..)?;
        let mut block = run * shape.run_len.div_ceil(KR);
        for done in (0..shape.run_len).step_by(STEP * KR) {
            let mut values = [s.zero_bytes(); MR];
            for (value, start) in values.iter_mut().zip(starts) {
                *value = s.load_activations(source, start + done, shape.run_len - done)?;
            }
            // Behind the run they are those of others, which zeros do not go beyond.
            let thresholds = thresholds.get(block * KR..)?.first_chunk()?;
            let out = panel.get_mut(block..)?.first_chunk_mut()?;
            let mut is_wide = s.transpose_and_compare(values, thresholds, out);
            while is_wide != 0 {
                *wide.next()? = u32::try_from(block + is_wide.trailing_zeros() as usize).ok()?;
                is_wide &= is_wide - 1;
            }
            block += STEP;
        }
    }
    *wide_count = u32::try_from(capacity - wide.len()).ok()?;
    Some(())
}

impl Avx2 {
    #[inline(always)]
    fn zero_bytes(self) -> __m256i {
        avx2!(_mm256_setzero_si256())
    }

    /// `q + 128` of the `len` values at `start`, at most 32 of them; 0 for the rest.
    #[inline(always)]
    fn load_activations(self, source: &[i8], start: usize, len: usize) -> Option<__m256i> {
        static MASK: [[u8; 32]; 2] = [[0xff; 32], [0; 32]];
        let values = source.get(start..)?;
        let values = match values.first_chunk::<32>() {
            Some(values) => avx2!(_mm256_loadu_si256(values.as_ptr().cast())),
            None => avx2!(_mm256_loadu_si256(values_or_zeros(values).as_ptr().cast())),
        };
        let mask: &[u8; 32] = MASK.as_flattened().get(32 - len.min(32)..)?.first_chunk()?;
        Some(avx2!({
            let unsigned = _mm256_xor_si256(values, _mm256_set1_epi8(-128));
            _mm256_and_si256(unsigned, _mm256_loadu_si256(mask.as_ptr().cast()))
        }))
    }

    /// Stores four eights of four pixels; bit `i` of the result says that a value of eight `i` is beyond its threshold.
    #[inline(always)]
    fn transpose_and_compare(
        self,
        [x0, x1, x2, x3]: [__m256i; MR],
        thresholds: &[u8; STEP * KR],
        out: &mut [PatchBlock; STEP],
    ) -> u32 {
        avx2!({
            let limits = _mm256_loadu_si256(thresholds.as_ptr().cast());
            let largest = _mm256_max_epu8(_mm256_max_epu8(x0, x1), _mm256_max_epu8(x2, x3));
            let beyond = _mm256_subs_epu8(largest, limits);
            let (a, b) = (_mm256_unpacklo_epi64(x0, x1), _mm256_unpackhi_epi64(x0, x1));
            let (c, d) = (_mm256_unpacklo_epi64(x2, x3), _mm256_unpackhi_epi64(x2, x3));
            let blocks = [
                _mm256_permute2x128_si256::<0x20>(a, c),
                _mm256_permute2x128_si256::<0x20>(b, d),
                _mm256_permute2x128_si256::<0x31>(a, c),
                _mm256_permute2x128_si256::<0x31>(b, d),
            ];
            for (out, block) in out.iter_mut().zip(blocks) {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), block);
            }
            let inside = _mm256_cmpeq_epi64(beyond, _mm256_setzero_si256());
            !_mm256_movemask_pd(_mm256_castsi256_pd(inside)).cast_unsigned() & 0xf
        })
    }

    /// `acc += patches * weights` for values up to the threshold.
    ///
    /// In assembly, because the compiler keeps so many weights in registers that it has to spill accumulators.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn narrow_blocks(self, acc: &mut [[__m256i; 2]; MR], patches: &[PatchBlock], weights: &[WeightBlock]) {
        macro_rules! pixel {
            ($first:literal, $second:literal, $low:literal, $high:literal) => {
                concat!(
                    "vpbroadcastd {x0}, dword ptr [{p} + ",
                    $first,
                    "]\n",
                    "vpbroadcastd {x1}, dword ptr [{p} + ",
                    $second,
                    "]\n",
                    "vpmaddubsw {t0}, {x0}, {w0}\n",
                    "vpmaddubsw {t1}, {x1}, {w1}\n",
                    "vpmaddubsw {x0}, {x0}, ymmword ptr [{w} + 32]\n",
                    "vpmaddubsw {x1}, {x1}, ymmword ptr [{w} + 96]\n",
                    "vpaddw {t0}, {t0}, {t1}\n",
                    "vpaddw {x0}, {x0}, {x1}\n",
                    "vpmaddwd {t0}, {t0}, {ones}\n",
                    "vpmaddwd {x0}, {x0}, {ones}\n",
                    "vpaddd {",
                    $low,
                    "}, {",
                    $low,
                    "}, {t0}\n",
                    "vpaddd {",
                    $high,
                    "}, {",
                    $high,
                    "}, {x0}\n",
                )
            };
        }
        let count = patches.len().min(weights.len());
        if count == 0 {
            return;
        }
        let [[mut a0, mut a1], [mut b0, mut b1], [mut c0, mut c1], [mut d0, mut d1]] = *acc;
        // SAFETY: an `Avx2` is at hand, so the CPU has the instructions; `p` and `w` stay inside the first `count`
        // blocks of the slices, and `count` is not 0; nothing is written but the registers named.
        unsafe {
            core::arch::asm!(
                "2:",
                "vmovdqu {w0}, ymmword ptr [{w}]",
                "vmovdqu {w1}, ymmword ptr [{w} + 64]",
                pixel!("0", "4", "a0", "a1"),
                pixel!("8", "12", "b0", "b1"),
                pixel!("16", "20", "c0", "c1"),
                pixel!("24", "28", "d0", "d1"),
                "add {p}, 32",
                "add {w}, 128",
                "dec {n}",
                "jnz 2b",
                p = inout(reg) patches.as_ptr() => _,
                w = inout(reg) weights.as_ptr() => _,
                n = inout(reg) count => _,
                ones = in(ymm_reg) _mm256_set1_epi16(1),
                a0 = inout(ymm_reg) a0, a1 = inout(ymm_reg) a1,
                b0 = inout(ymm_reg) b0, b1 = inout(ymm_reg) b1,
                c0 = inout(ymm_reg) c0, c1 = inout(ymm_reg) c1,
                d0 = inout(ymm_reg) d0, d1 = inout(ymm_reg) d1,
                w0 = out(ymm_reg) _, w1 = out(ymm_reg) _,
                x0 = out(ymm_reg) _, x1 = out(ymm_reg) _,
                t0 = out(ymm_reg) _, t1 = out(ymm_reg) _,
                options(nostack, readonly),
            );
        }
        *acc = [[a0, a1], [b0, b1], [c0, c1], [d0, d1]];
    }

    /// The same for all values: even and odd ones apart, in 16 bits.
    #[inline(always)]
    fn wide_block(self, acc: &mut [[__m256i; 2]; MR], patches: &PatchBlock, weights: &WeightBlock) {
        for (acc, fours) in acc.iter_mut().zip(patches) {
            for (values, weights) in fours.iter().zip(weights) {
                let values = i32::from_le_bytes(*values);
                for (acc, weights) in acc.iter_mut().zip(weights) {
                    avx2!({
                        let (x, w) = (_mm256_set1_epi32(values), _mm256_loadu_si256(weights.as_ptr().cast()));
                        let even = _mm256_madd_epi16(
                            _mm256_and_si256(x, _mm256_set1_epi16(0xff)),
                            _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)),
                        );
                        let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(w));
                        *acc = _mm256_add_epi32(*acc, _mm256_add_epi32(even, odd));
                    });
                }
            }
        }
    }
}

/// The last values of the source, and zeros.
#[cold]
fn values_or_zeros(values: &[i8]) -> [i8; 32] {
    let mut all = [0; 32];
    all.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
    all
}

#[inline(always)]
pub(super) fn conv(s: Avx2, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let shape = &block.shape;
    let panel = block.target.first_channel / NR;
    let panel =
        block.weights.get(thresholds_len(shape) + panel * panel_len(shape)..)?.get(..panel_len(shape))?;
    let (parameters, weights) = Parameters::split(panel)?;
    let weights: &[WeightBlock] = bytemuck::cast_slice(weights);
    let panel_len = panel_bytes(shape)?;
    let panels = block.panels.get(..tiles_len(block.patches.pixels, MR, panel_len)?)?;
    let mut places = TargetPlaces::new(&block.target);
    let tiles = (0..block.patches.pixels).step_by(MR);
    for (first, panel) in tiles.zip(panels.chunks_exact(panel_len)) {
        let (patches, list) = panel.split_at_checked(panel_blocks(shape) * size_of::<PatchBlock>())?;
        let [wide_count, wide @ ..] = bytemuck::try_cast_slice::<_, u32>(list).ok()? else { return None };
        let acc =
            multiply_tile(s, weights, bytemuck::cast_slice(patches), wide.get(..*wide_count as usize)?)?;
        let pixels = block.patches.pixels - first;
        finish_tile::<_, true, MR>(s, acc, pixels, parameters, &block.target, places.group(), out)?;
    }
    Some(())
}

#[inline(always)]
fn multiply_tile(
    s: Avx2,
    weights: &[WeightBlock],
    patches: &[PatchBlock],
    wide: &[u32],
) -> Option<[[__m256i; 2]; MR]> {
    let mut acc = [s.zero32(); MR];
    let mut start = 0;
    for &block in wide {
        let block = block as usize;
        avx2!(s.narrow_blocks(&mut acc, patches.get(start..block)?, weights.get(start..block)?));
        s.wide_block(&mut acc, patches.get(block)?, weights.get(block)?);
        start = block + 1;
    }
    avx2!(s.narrow_blocks(&mut acc, patches.get(start..)?, weights.get(start..)?));
    Some(acc)
}
