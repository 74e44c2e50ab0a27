//! AVX2 without VNNI: what most x86 boards and older servers have.
//!
//! [`direct`] is direct convolution of 8-bit values, [`pixels`] that of a first layer in 16 bits, because pixels are as often large as
//! small; [`dot`] has the products of 16-bit values for it and for Winograd's method.
#![allow(unsafe_code, reason = "AVX2 intrinsics")]

mod direct;
mod dot;
mod pixels;

use core::arch::x86_64::*;

use super::winograd;
use crate::Isa;
use crate::kernels::panels::tiles_len;
use crate::kernels::simd::{Int16Lanes, LANES, Lanes, Parameters, Simd, has, table};
use crate::kernels::winograd::{Costs, GROUP};
use crate::kernels::{ConvBlock, Kernels, LayerWeights, Patches, Shape};

/// Output pixels of a tile.
const MR: usize = 4;
/// Output channels of a tile.
const NR: usize = LANES;

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

/// What the table says of direct convolution: a first layer is laid out in another way.
fn weights_len(shape: &Shape) -> Option<usize> {
    if shape.pixels { pixels::weights_len(shape) } else { direct::weights_len(shape) }
}

/// Bytes of a tile's panel.
fn panel_bytes(shape: &Shape) -> Option<usize> {
    if shape.pixels { pixels::panel_bytes(shape) } else { direct::panel_bytes(shape) }
}

#[inline(always)]
fn pack_weights(_: Avx2, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    let packed = packed.get_mut(..weights_len(&source.shape)?)?;
    if source.shape.pixels {
        pixels::pack_weights(source, packed)
    } else {
        direct::pack_weights(source, packed)
    }
}

#[inline(always)]
fn pack_patches(
    s: Avx2,
    shape: &Shape,
    weights: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    if shape.pixels {
        pixels::pack_patches(s, shape, patches, panels)
    } else {
        direct::pack_patches(s, shape, weights, patches, panels)
    }
}

#[inline(always)]
fn conv(s: Avx2, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    if block.shape.pixels { pixels::conv(s, block, out) } else { direct::conv(s, block, out) }
}

/// Exists only in code that is compiled for AVX2, so that it proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels::x86) struct Avx2(());

impl Avx2 {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::kernels::x86) fn new() -> Self {
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
use avx2;

impl Lanes for Avx2 {
    /// The order in which `vpackssdw` leaves channels in their natural one.
    const LANE_CHANNELS: [usize; LANES] = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15];
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

impl Avx2 {
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
}
