//! AVX2 without VNNI: what most x86 boards and older servers have.
//!
//! # Direct convolution without saturation
//!
//! `vpmaddubsw` multiplies unsigned activations (stored here as `u = q + 128`) by signed weights and adds pairs of
//! products in 16 bits, saturating. Two of them are added in 16 bits again before they are widened, so a 16-bit lane
//! holds four products. [`pack_weights`] computes, for every eight values of depth, the largest `u` for which no lane of any
//! channel can leave 16 bits: the *threshold*. [`pack_patches`] compares, and lists the eights in which a patch of the
//! tile goes beyond. Those few go the long way, through `vpmaddwd` on 16-bit operands, and nothing ever saturates.
//!
//! Pixels are as often large as small. The first layer is therefore laid out in 16 bits from the start.
#![allow(unsafe_code, reason = "AVX2 intrinsics")]

use core::arch::x86_64::*;

use super::winograd::{self, ChunkWeights, DotGroup, Rows};
use crate::Isa;
use crate::kernels::panels::{self, tiles_len};
use crate::kernels::simd::{
    Int16Lanes, LANES, Lanes, Parameters, Simd, TargetPlaces, finish_tile, has, table,
};
use crate::kernels::winograd::{Costs, GROUP, WeightPair};
use crate::kernels::{ConvBlock, Kernels, LayerWeights, Patches, Shape};

/// Output pixels of a tile.
const MR: usize = 4;
/// Output channels of a tile.
const NR: usize = LANES;
/// Values of depth that are worked on together.
const KR: usize = 8;

/// Weights of eight values of depth: two times 16 channels by 4 values.
type WeightBlock = [[[i8; 32]; 2]; 2];
/// Activations of eight values of depth, as `q + 128`.
type PatchBlock = [[[u8; 4]; 2]; MR];

table! {
    Isa::Avx2, Avx2, "avx2",
    direct: {
        mr: MR, nr: NR, block_bytes: 96 << 10,
        weights_len: weights_len, pack_weights: super::pack_weights,
        patches_len: |shape, pixels, _| tiles_len(pixels, MR, panel_bytes(shape)?), pack_patches: super::pack_patches,
        conv: super::conv,
    },
    winograd: {
        costs: COSTS, stride_2: Some(STRIDE_2_COSTS), blocks: winograd::BLOCKS,
        transform_weights: winograd::transform_weights, multiply: winograd::multiply,
        transform_output: steps::transform_output,
    },
}

/// In 1/64 of a cycle, from timed layers: a direct output takes a quarter of a cycle, a tile's products with 16-bit
/// operands one and a half, weights two and a quarter.
const COSTS: Costs = Costs { direct: 16, tile: 96, group: GROUP, weights: 144, input: 0, output: 0 };

/// Stride 2, timed too: the 7x7 of a first layer falls from 2.6 to 1.7 ms, 3x3 at 28x28 would rise from 0.57 to 0.77, for its input has
/// four phases to transform.
const STRIDE_2_COSTS: Costs = Costs { input: 1024, ..COSTS };

/// The table, if this CPU has AVX2.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    has!("avx2").then_some(&KERNELS)
}

/// Exists only in code that is compiled for AVX2, so that it proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// Calls intrinsics where an [`Avx2`] is at hand.
macro_rules! avx2 {
    ($value:expr) => {
        // SAFETY: an `Avx2` is at hand, which exists only where the CPU has AVX2; intrinsics with a pointer get one
        // to an array of the size that they access, without a demand on alignment.
        unsafe { $value }
    };
}

impl Lanes for Avx2 {
    /// The order in which `vpackssdw` leaves channels in their natural one.
    const LANE_CHANNELS: [usize; LANES] = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15];
}

impl DotGroup for Avx2 {
    #[inline(always)]
    fn dot_group<const CHUNK: usize>(
        self,
        rows: &Rows<'_, CHUNK>,
        first: usize,
    ) -> Option<[Self::I32; GROUP]> {
        avx2!(self.dot_four(rows, first))
    }
}

impl Int16Lanes for Avx2 {
    type I16 = __m256i;

    #[inline(always)]
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx2!(_mm256_add_epi16(a, b))
    }

    #[inline(always)]
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx2!(_mm256_sub_epi16(a, b))
    }

    #[inline(always)]
    fn shl16<const BITS: i32>(self, a: Self::I16) -> Self::I16 {
        avx2!(_mm256_slli_epi16::<BITS>(a))
    }
}

impl Simd for Avx2 {
    type I32 = [__m256i; 2];

    #[inline(always)]
    fn widen(self, values: &[i8; LANES]) -> Self::I16 {
        avx2!(_mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast())))
    }

    #[inline(always)]
    fn load16(self, values: &[i16; LANES]) -> Self::I16 {
        avx2!(_mm256_loadu_si256(values.as_ptr().cast()))
    }

    #[inline(always)]
    fn store16(self, values: Self::I16, out: &mut [i16; LANES]) {
        avx2!(_mm256_storeu_si256(out.as_mut_ptr().cast(), values));
    }

    #[inline(always)]
    fn zero32(self) -> Self::I32 {
        avx2!([_mm256_setzero_si256(); 2])
    }

    #[inline(always)]
    fn load32(self, values: &[i32; LANES]) -> Self::I32 {
        let p = values.as_ptr();
        avx2!([_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(8).cast())])
    }

    #[inline(always)]
    fn store32(self, [a, b]: Self::I32, out: &mut [i32; LANES]) {
        let p = out.as_mut_ptr();
        avx2!({
            _mm256_storeu_si256(p.cast(), a);
            _mm256_storeu_si256(p.add(8).cast(), b);
        });
    }

    #[inline(always)]
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        avx2!([_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])])
    }

    #[inline(always)]
    fn sub32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        avx2!([_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])])
    }

    #[inline(always)]
    fn shl32<const BITS: i32>(self, a: Self::I32) -> Self::I32 {
        avx2!([_mm256_slli_epi32::<BITS>(a[0]), _mm256_slli_epi32::<BITS>(a[1])])
    }

    #[inline(always)]
    fn shr32<const BITS: i32>(self, a: Self::I32) -> Self::I32 {
        avx2!([_mm256_srai_epi32::<BITS>(a[0]), _mm256_srai_epi32::<BITS>(a[1])])
    }

    #[inline(always)]
    fn mul32(self, a: Self::I32, factor: i32) -> Self::I32 {
        avx2!({
            let factor = _mm256_set1_epi32(factor);
            [_mm256_mullo_epi32(a[0], factor), _mm256_mullo_epi32(a[1], factor)]
        })
    }

    #[inline(always)]
    fn skip_term(self, values: &[i8; LANES], parameters: &Parameters, shift: u8) -> Self::I32 {
        let (multiplier, offset) =
            (self.load32(&parameters.skip_multiplier), self.load32(&parameters.skip_offset));
        avx2!({
            // In the order of lanes: the middle fours change places.
            let values = _mm_shuffle_epi32::<0b11_01_10_00>(_mm_loadu_si128(values.as_ptr().cast()));
            let low = _mm256_mullo_epi32(_mm256_cvtepi8_epi32(values), multiplier[0]);
            let high =
                _mm256_mullo_epi32(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(values, values)), multiplier[1]);
            let shift = _mm_cvtsi32_si128(shift.into());
            [
                _mm256_sra_epi32(_mm256_add_epi32(low, offset[0]), shift),
                _mm256_sra_epi32(_mm256_add_epi32(high, offset[1]), shift),
            ]
        })
    }

    /// High half of the product, rounding shift: the same as one rounding because the shift is not 0.
    #[inline(always)]
    fn rescale(self, acc: Self::I32, parameters: &Parameters) -> Self::I32 {
        let (mantissa, odd) = (self.load32(&parameters.mantissa), self.load32(&parameters.mantissa_odd));
        let (rounding, shift) = (self.load32(&parameters.rounding), self.load32(&parameters.shift));
        [
            self.rescale_half(acc[0], [mantissa[0], odd[0]], rounding[0], shift[0]),
            self.rescale_half(acc[1], [mantissa[1], odd[1]], rounding[1], shift[1]),
        ]
    }

    #[inline(always)]
    fn narrow_pair(
        self,
        a: Self::I32,
        b: Self::I32,
        zero_point: i8,
        [low, high]: [i8; 2],
    ) -> [[i8; LANES]; 2] {
        let (mut first, mut second) = ([0; LANES], [0; LANES]);
        avx2!({
            let zero_point = _mm256_set1_epi16(zero_point.into());
            let a = _mm256_adds_epi16(_mm256_packs_epi32(a[0], a[1]), zero_point);
            let b = _mm256_adds_epi16(_mm256_packs_epi32(b[0], b[1]), zero_point);
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(a, b));
            let bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8(low));
            let bytes = _mm256_min_epi8(bytes, _mm256_set1_epi8(high));
            _mm_storeu_si128(first.as_mut_ptr().cast(), _mm256_castsi256_si128(bytes));
            _mm_storeu_si128(second.as_mut_ptr().cast(), _mm256_extracti128_si256::<1>(bytes));
        });
        [first, second]
    }

    #[inline(always)]
    fn narrow(self, [a, b]: Self::I32, zero_point: i8, [low, high]: [i8; 2]) -> [i8; LANES] {
        let mut out = [0; LANES];
        avx2!({
            // Saturation to 16 and to 8 bits changes nothing that the clamp would not.
            let words = _mm256_adds_epi16(_mm256_packs_epi32(a, b), _mm256_set1_epi16(zero_point.into()));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_min_epi8(_mm_max_epi8(bytes, _mm_set1_epi8(low)), _mm_set1_epi8(high));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        });
        out
    }
}

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

fn weights_len(shape: &Shape) -> Option<usize> {
    if shape.pixels {
        return pixels_panel_len(shape).checked_mul(shape.channels.div_ceil(NR));
    }
    panel_len(shape).checked_mul(shape.channels.div_ceil(NR))?.checked_add(thresholds_len(shape))
}

/// Thresholds, then for every 16 channels their parameters and `[eight][four][lane][value]`.
#[inline(always)]
fn pack_weights(s: Avx2, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    let shape = &source.shape;
    let packed = packed.get_mut(..weights_len(shape)?)?;
    if shape.pixels {
        return pack_pixel_weights(s, source, packed);
    }
    let (thresholds, panels) = packed.split_at_mut_checked(thresholds_len(shape))?;
    let thresholds: &mut [u8] = bytemuck::cast_slice_mut(thresholds);
    thresholds.fill(u8::MAX);
    for (panel, packed) in panels.chunks_exact_mut(panel_len(shape)).enumerate() {
        let (parameters, blocks) = packed.split_at_mut_checked(size_of::<Parameters>())?;
        let first = panel * NR;
        parameters
            .copy_from_slice(bytemuck::cast_slice(&[Parameters::of_panel::<Avx2>(source, first, -128)?]));
        let blocks: &mut [WeightBlock] = bytemuck::cast_slice_mut(blocks);
        for (run, blocks) in blocks.chunks_exact_mut(shape.run_len.div_ceil(KR)).enumerate() {
            let fours = bytemuck::cast_slice_mut(blocks);
            panels::pack_blocks::<Avx2, 4>(
                source,
                first,
                run * shape.run_len..(run + 1) * shape.run_len,
                fours,
            )?;
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
fn panel_bytes(shape: &Shape) -> Option<usize> {
    if shape.pixels {
        let pixel_bytes = pixel_stride(shape).checked_mul(size_of::<PixelChunk>())?;
        return pixel_bytes.checked_mul(MR)?.checked_next_multiple_of(64);
    }
    let list = (blocks(shape) + 1) * size_of::<u32>();
    panel_blocks(shape).checked_mul(size_of::<PatchBlock>())?.checked_add(list)?.checked_next_multiple_of(64)
}

/// A panel: for every eight of depth, four pixels' eight values; then the list of eights that go beyond the threshold.
#[inline(always)]
fn pack_patches(
    s: Avx2,
    shape: &Shape,
    weights: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    if shape.pixels {
        return pack_pixels(s, shape, patches, panels);
    }
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

/// Adds the products of a pair of values of four rows, with weights `w0` and `w1`, to their sums.
macro_rules! add_products {
    ($pair:literal, $([$row:literal, $low:literal, $high:literal, $x:literal, $t:literal]),+) => {
        concat!($(
            "vpbroadcastd {", $x, "}, dword ptr [{p}", $row, " + 4*", $pair, "]\n",
            "vpmaddwd {", $t, "}, {", $x, "}, {w0}\n",
            "vpmaddwd {", $x, "}, {", $x, "}, {w1}\n",
            "vpaddd {", $low, "}, {", $low, "}, {", $t, "}\n",
            "vpaddd {", $high, "}, {", $high, "}, {", $x, "}\n",
        )+)
    };
}

/// The products are the sums.
macro_rules! set_products {
    ($pair:literal, $([$row:literal, $low:literal, $high:literal, $x:literal, $t:literal]),+) => {
        concat!($(
            "vpbroadcastd {", $x, "}, dword ptr [{p}", $row, " + 4*", $pair, "]\n",
            "vpmaddwd {", $low, "}, {", $x, "}, {w0}\n",
            "vpmaddwd {", $high, "}, {", $x, "}, {w1}\n",
        )+)
    };
}

/// A pair of values of four rows: number `$pair` of a chunk.
macro_rules! pair {
    ($products:ident, $pair:literal) => {
        concat!(
            concat!("vmovdqu {w0}, ymmword ptr [{w} + 64*", $pair, "]\n"),
            concat!("vmovdqu {w1}, ymmword ptr [{w} + 64*", $pair, " + 32]\n"),
            $products!(
                $pair,
                ["", "a0", "a1", "x0", "t0"],
                [" + {row}", "b0", "b1", "x1", "t1"],
                [" + 2*{row}", "c0", "c1", "x0", "t0"],
                [" + {rows}", "d0", "d1", "x1", "t1"]
            ),
        )
    };
}

impl Avx2 {
    /// [`DotGroup::dot_group`], in assembly, because the compiler reorders the additions so that accumulators
    /// are spilled. Sums begin as the products of the first pair.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn dot_four<const CHUNK: usize>(
        self,
        rows: &Rows<'_, CHUNK>,
        first: usize,
    ) -> Option<[[__m256i; 2]; GROUP]> {
        rows.has(first, GROUP)?;
        let (a0, a1, b0, b1, c0, c1, d0, d1);
        // SAFETY: an `Avx2` is at hand, so the CPU has the instructions; there are four rows from `first` on, and what is read lies
        // in them and in the weights, of which there is a chunk at least; nothing is written but the registers named.
        unsafe {
            core::arch::asm!(
                pair!(set_products, "0"),
                "jmp 3f",
                "2:",
                pair!(add_products, "0"),
                "3:",
                pair!(add_products, "1"), pair!(add_products, "2"), pair!(add_products, "3"), pair!(add_products, "4"),
                pair!(add_products, "5"), pair!(add_products, "6"), pair!(add_products, "7"),
                "add {p}, {chunk}",
                "add {w}, 512",
                "dec {n}",
                "jnz 2b",
                p = inout(reg) rows.start(first) => _,
                w = inout(reg) rows.weights().as_ptr() => _,
                n = inout(reg) rows.weights().len() => _,
                chunk = const CHUNK * size_of::<PixelChunk>(),
                row = in(reg) rows.step(),
                rows = in(reg) rows.step() * 3,
                a0 = out(ymm_reg) a0, a1 = out(ymm_reg) a1,
                b0 = out(ymm_reg) b0, b1 = out(ymm_reg) b1,
                c0 = out(ymm_reg) c0, c1 = out(ymm_reg) c1,
                d0 = out(ymm_reg) d0, d1 = out(ymm_reg) d1,
                w0 = out(ymm_reg) _, w1 = out(ymm_reg) _,
                x0 = out(ymm_reg) _, x1 = out(ymm_reg) _,
                t0 = out(ymm_reg) _, t1 = out(ymm_reg) _,
                options(nostack, readonly),
            );
        }
        Some([[a0, a1], [b0, b1], [c0, c1], [d0, d1]])
    }

    /// [`Simd::rescale`] of eight lanes.
    #[inline(always)]
    fn rescale_half(
        self,
        acc: __m256i,
        mantissa: [__m256i; 2],
        rounding: __m256i,
        shift: __m256i,
    ) -> __m256i {
        const ODD_TO_EVEN: i32 = 0b11_11_01_01;
        avx2!({
            let even = _mm256_mul_epi32(acc, mantissa[0]);
            let odd_acc = _mm256_shuffle_epi32::<ODD_TO_EVEN>(acc);
            let odd = _mm256_mul_epi32(odd_acc, mantissa[1]);
            let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_shuffle_epi32::<ODD_TO_EVEN>(even), odd);
            _mm256_srav_epi32(_mm256_add_epi32(high, rounding), shift)
        })
    }

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
fn conv(s: Avx2, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let shape = &block.shape;
    let panel = block.target.first_channel / NR;
    if shape.pixels {
        return conv_pixels(s, block, panel, out);
    }
    let panel =
        block.weights.get(thresholds_len(shape) + panel * panel_len(shape)..)?.get(..panel_len(shape))?;
    let (parameters, weights) = panel.split_at_checked(size_of::<Parameters>())?;
    let [parameters] = bytemuck::try_cast_slice::<_, Parameters>(parameters).ok()? else { return None };
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

/// Sixteen values of depth of one pixel, in 16 bits.
type PixelChunk = [i16; LANES];

/// Sixteens of depth; kernel rows follow each other without a gap, and zero weights fill up the last one.
fn pixel_chunks(shape: &Shape) -> usize {
    shape.depth().div_ceil(LANES)
}

/// Sixteens between two pixels of a panel: there is room behind each for what is copied too much.
fn pixel_stride(shape: &Shape) -> usize {
    pixel_chunks(shape) + 1
}

fn pixels_panel_len(shape: &Shape) -> usize {
    size_of::<Parameters>() + pixel_chunks(shape) * size_of::<ChunkWeights>()
}

/// For every 16 channels their parameters and `[pair][lane][value]`.
#[inline(always)]
fn pack_pixel_weights(_: Avx2, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    let shape = &source.shape;
    for (panel, packed) in packed.chunks_exact_mut(pixels_panel_len(shape)).enumerate() {
        let (parameters, out) = packed.split_at_mut_checked(size_of::<Parameters>())?;
        let first = panel * NR;
        parameters.copy_from_slice(bytemuck::cast_slice(&[Parameters::of_panel::<Avx2>(source, first, 0)?]));
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
fn pack_pixels(s: Avx2, shape: &Shape, patches: &Patches<'_>, panels: &mut [i8]) -> Option<()> {
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
fn conv_pixels(s: Avx2, block: &ConvBlock<'_>, panel: usize, out: &mut [i8]) -> Option<()> {
    let panel_len = pixels_panel_len(&block.shape);
    let panel = block.weights.get(panel * panel_len..)?.get(..panel_len)?;
    let (parameters, weights) = panel.split_at_checked(size_of::<Parameters>())?;
    let [parameters] = bytemuck::try_cast_slice::<_, Parameters>(parameters).ok()? else { return None };
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
