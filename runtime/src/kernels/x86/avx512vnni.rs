//! AVX-512 with VNNI: Zen 4 and later, Ice Lake, Sapphire Rapids.
//!
//! One register holds the sums of 16 channels; a tile of direct convolution (see [`vnni`]) is 14 pixels by 32
//! channels: 28 registers for sums, two for weights, one or two for activations. A step of four values of depth loads
//! two registers of weights and broadcasts 14 activations for 28 `vpdpbusd`.
#![allow(unsafe_code, reason = "AVX-512 intrinsics")]

use core::arch::x86_64::*;

use super::vnni::{self, Vnni, WeightBlock};
use super::winograd::{self, Dot};
use crate::Isa;
use crate::kernels::Kernels;
use crate::kernels::simd::{LANES, Lanes, Parameters, Simd, has, table};
use crate::kernels::winograd::{Costs, GROUP};

table! {
    Isa::Avx512Vnni, Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni",
    direct: {
        mr: Avx512Vnni::MR, nr: Avx512Vnni::PANELS * LANES, block_bytes: 256 << 10,
        weights_len: vnni::weights_len, pack_weights: vnni::pack_weights,
        patches_len: vnni::patches_len, pack_patches: vnni::pack_patches,
        conv: vnni::conv,
    },
    // As many sums in flight as hide the latency of `vpdpwssd`.
    winograd: {
        costs: COSTS, stride_2: None,
        transform_weights: winograd::transform_weights, multiply: winograd::multiply::<_, 8>,
        transform_output: steps::transform_output,
    },
}

/// What decides between Winograd and direct convolution, on a core that starts two 512-bit multiplications a cycle: fitted to ResNet-18's layers,
/// timed on Emerald Rapids. Direct convolution reaches 95 % of what the core can multiply there, and Winograd takes 1.15 of its time
/// at 56x56, 1.25 at 28x28 and 1.4 at 14x14: it is never chosen.
const COSTS: Costs = Costs { direct: 9, tile: 150, group: GROUP, weights: 168, input: 416, output: 416 };

/// The same on one that starts one a cycle, in 1/64 of a cycle. Computed, not measured: nine products of an output take 9/64 of a cycle, the 36 of a
/// tile take 72/64, and a quarter more for the sums that are loaded and stored between steps. The transforms are what llvm-mca
/// says for Zen 4: for 16 channels of a tile 103 cycles, and about as many back; for weights, 42 cycles for 16 pairs of channels.
const HALF_COSTS: Costs = Costs { tile: 90, ..COSTS };

/// The table for a core that starts one 512-bit multiplication a cycle.
static HALF: Kernels = TABLE.with_costs(HALF_COSTS);

/// The table, if this CPU has what it is compiled for.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    let table = if halves_registers() { &HALF } else { &KERNELS };
    has!("avx512f", "avx512bw", "avx512vl", "avx512vnni").then_some(table)
}

/// Whether this is Zen 4, AMD's family 19h with VNNI, which executes 512 bits in two halves. Without an operating system nobody asks.
#[cfg(feature = "std")]
fn halves_registers() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        let [vendor, version] = [0, 1].map(__cpuid);
        let family = (version.eax >> 8 & 0xf) + (version.eax >> 20 & 0xff);
        let vendor = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        vendor.as_flattened() == b"AuthenticAMD" && family == 0x19
    })
}

/// See above.
#[cfg(not(feature = "std"))]
const fn halves_registers() -> bool {
    false
}

/// Exists only in code that is compiled for AVX-512 F, BW, VL and VNNI, so that it proves that the CPU has them.
#[derive(Debug, Clone, Copy)]
struct Avx512Vnni(());

impl Avx512Vnni {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn new() -> Self {
        Self(())
    }

    /// `vpdpwssd`, in assembly because the compiler makes two instructions of the intrinsic to shorten the chain of
    /// sums, which is not what limits the loop.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn dpwssd(self, mut acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the function is compiled for AVX-512 VNNI; nothing but the register named is written.
        unsafe {
            core::arch::asm!(
                "vpdpwssd {acc}, {a}, {b}",
                acc = inout(zmm_reg) acc, a = in(zmm_reg) a, b = in(zmm_reg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        acc
    }
}

/// Calls intrinsics where an [`Avx512Vnni`] is at hand.
macro_rules! avx512 {
    ($value:expr) => {
        // SAFETY: an `Avx512Vnni` is at hand, which exists only where the CPU has what the intrinsics need; those with a
        // pointer get one to an array of the size that they access, without a demand on alignment.
        unsafe { $value }
    };
}

impl Lanes for Avx512Vnni {
    const LANE_CHANNELS: [usize; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
}

impl Dot for Avx512Vnni {
    #[inline(always)]
    fn dot16(self, acc: Self::I32, pair: [i16; 2], weights: &[i16; 2 * LANES]) -> Self::I32 {
        let pair = bytemuck::cast(pair);
        avx512!(self.dpwssd(acc, _mm512_loadu_si512(weights.as_ptr().cast()), _mm512_set1_epi32(pair)))
    }
}

impl Simd for Avx512Vnni {
    type I16 = __m256i;
    type I32 = __m512i;

    #[inline(always)]
    fn widen(self, values: &[i8; LANES]) -> Self::I16 {
        avx512!(_mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast())))
    }

    #[inline(always)]
    fn load16(self, values: &[i16; LANES]) -> Self::I16 {
        avx512!(_mm256_loadu_si256(values.as_ptr().cast()))
    }

    #[inline(always)]
    fn store16(self, values: Self::I16, out: &mut [i16; LANES]) {
        avx512!(_mm256_storeu_si256(out.as_mut_ptr().cast(), values));
    }

    #[inline(always)]
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx512!(_mm256_add_epi16(a, b))
    }

    #[inline(always)]
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx512!(_mm256_sub_epi16(a, b))
    }

    #[inline(always)]
    fn shl16<const BITS: i32>(self, a: Self::I16) -> Self::I16 {
        avx512!(_mm256_slli_epi16::<BITS>(a))
    }

    #[inline(always)]
    fn zero32(self) -> Self::I32 {
        avx512!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn load32(self, values: &[i32; LANES]) -> Self::I32 {
        avx512!(_mm512_loadu_si512(values.as_ptr().cast()))
    }

    #[inline(always)]
    fn store32(self, values: Self::I32, out: &mut [i32; LANES]) {
        avx512!(_mm512_storeu_si512(out.as_mut_ptr().cast(), values));
    }

    #[inline(always)]
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        avx512!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn sub32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        avx512!(_mm512_sub_epi32(a, b))
    }

    #[inline(always)]
    fn shl32<const BITS: i32>(self, a: Self::I32) -> Self::I32 {
        avx512!(_mm512_sll_epi32(a, _mm_cvtsi32_si128(BITS)))
    }

    #[inline(always)]
    fn shr32<const BITS: i32>(self, a: Self::I32) -> Self::I32 {
        avx512!(_mm512_sra_epi32(a, _mm_cvtsi32_si128(BITS)))
    }

    #[inline(always)]
    fn mul32(self, a: Self::I32, factor: i32) -> Self::I32 {
        avx512!(_mm512_mullo_epi32(a, _mm512_set1_epi32(factor)))
    }

    #[inline(always)]
    fn skip_term(self, values: &[i8; LANES], parameters: &Parameters, shift: u8) -> Self::I32 {
        let (multiplier, offset) =
            (self.load32(&parameters.skip_multiplier), self.load32(&parameters.skip_offset));
        avx512!({
            let values = _mm512_cvtepi8_epi32(_mm_loadu_si128(values.as_ptr().cast()));
            let term = _mm512_add_epi32(_mm512_mullo_epi32(values, multiplier), offset);
            _mm512_srav_epi32(term, _mm512_set1_epi32(shift.into()))
        })
    }

    /// High half of the product, rounding shift: the same as one rounding because the shift is not 0.
    #[inline(always)]
    fn rescale(self, acc: Self::I32, parameters: &Parameters) -> Self::I32 {
        const ODD_TO_EVEN: i32 = 0b11_11_01_01;
        let mantissa = self.load32(&parameters.mantissa);
        let (rounding, shift) = (self.load32(&parameters.rounding), self.load32(&parameters.shift));
        avx512!({
            let even = _mm512_mul_epi32(acc, mantissa);
            let odd = _mm512_mul_epi32(
                _mm512_shuffle_epi32::<ODD_TO_EVEN>(acc),
                _mm512_shuffle_epi32::<ODD_TO_EVEN>(mantissa),
            );
            let high = _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(odd, 0b0101_0101_0101_0101, even);
            _mm512_srav_epi32(_mm512_add_epi32(high, rounding), shift)
        })
    }

    #[inline(always)]
    fn narrow(self, values: Self::I32, zero_point: i8, [low, high]: [i8; 2]) -> [i8; LANES] {
        let mut out = [0; LANES];
        avx512!({
            let values = _mm512_add_epi32(values, _mm512_set1_epi32(zero_point.into()));
            let values = _mm512_max_epi32(values, _mm512_set1_epi32(low.into()));
            let values = _mm512_min_epi32(values, _mm512_set1_epi32(high.into()));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(values));
        });
        out
    }

    /// Saturated on the way: to int16, so that the zero point can be added to two at once, and to int8.
    #[inline(always)]
    fn narrow_four(
        self,
        [a, b, c, d]: [Self::I32; 4],
        zero_point: i8,
        [low, high]: [i8; 2],
    ) -> [[i8; LANES]; 4] {
        let mut out = [[0; LANES]; 4];
        avx512!({
            let zero_point = _mm512_set1_epi16(zero_point.into());
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero_point);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero_point);
            let values = _mm512_packs_epi16(ab, cd);
            let values = _mm512_max_epi8(values, _mm512_set1_epi8(low));
            let values = _mm512_min_epi8(values, _mm512_set1_epi8(high));
            // Four channels of each pixel in turn.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let values = _mm512_permutexvar_epi32(order, values);
            _mm512_storeu_si512(out.as_mut_ptr().cast(), values);
        });
        out
    }
}

impl Vnni for Avx512Vnni {
    const MR: usize = 14;
    const PANELS: usize = 2;

    type Activations = __m512i;

    #[inline(always)]
    fn splat(self, values: &[u8; 4]) -> Self::Activations {
        avx512!(_mm512_set1_epi32(i32::from_le_bytes(*values)))
    }

    #[inline(always)]
    fn load_weights(self, weights: &WeightBlock) -> Self::I32 {
        avx512!(_mm512_loadu_si512(weights.as_ptr().cast()))
    }

    #[inline(always)]
    fn dot8(self, acc: Self::I32, activations: Self::Activations, weights: Self::I32) -> Self::I32 {
        avx512!(_mm512_dpbusd_epi32(acc, activations, weights))
    }
}
