//! The 256-bit forms of VNNI. There are two encodings of the same instructions: AVX-VNNI (VEX: Alder Lake-N and all
//! later cores of Intel's, Zen 5) and AVX-512 VNNI with VL (EVEX: Zen 4, Ice Lake). The table is compiled for both.
//!
//! Two registers hold the sums of 16 channels; a tile of direct convolution (see [`vnni`]) is 6 pixels by 16 channels: 12
//! registers for sums, two for weights, one or two for activations.
#![allow(unsafe_code, reason = "AVX intrinsics")]

use core::arch::x86_64::*;

use crate::kernels::Kernels;
use crate::kernels::simd::has;
use crate::kernels::winograd::{Costs, GROUP};

/// What decides between Winograd and direct convolution: fitted to the layers of ResNet-18 and ResNet-20, timed on Emerald Rapids. Winograd takes
/// 0.75 of the time at 56x56, 0.78 at 28x28, 0.90 at 14x14, 1.4 at 7x7; with few channels 0.94 at 32x32, 0.90 at 16x16, 1.1 at 8x8.
const COSTS: Costs = Costs { direct: 9, tile: 88, group: GROUP, weights: 220, input: 300, output: 300 };

/// The table, if this CPU has one of the encodings.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    if has!("avx2", "avxvnni") {
        return Some(vex::kernels());
    }
    has!("avx2", "avx512f", "avx512vl", "avx512vnni").then(evex::kernels)
}

/// Functions of [`Int16Lanes`](crate::kernels::simd::Int16Lanes) and [`Simd`](crate::kernels::simd::Simd) that are those of AVX2.
macro_rules! as_avx2 {
    ($(fn $name:ident $([$bits:ident])? ($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(
            #[inline(always)]
            fn $name $(<const $bits: i32>)? (self, $($arg: $type),*) -> $out {
                self.0.$name $(::<$bits>)? ($($arg),*)
            }
        )*
    };
}
/// The table in one encoding: its module, target features, intrinsic and instruction.
macro_rules! encoding {
    ($name:ident, $features:tt, $dpbusd:ident, $dpwssd:literal) => {
        mod $name {
            use super::*;
            use crate::Isa;
            use crate::kernels::panels;
            use crate::kernels::simd::{LANES, Lanes, Parameters, Simd, Int16Lanes, table};
            use crate::kernels::x86::avx2::Avx2;
            use crate::kernels::x86::winograd::{self, DotGroup, DotPair, Rows};
            use crate::kernels::x86::vnni::{self, KR, Vnni, WeightBlock};

            table! {
                Isa::AvxVnni, AvxVnni, $features,
                direct: {
                    mr: AvxVnni::MR, nr: AvxVnni::PANELS * LANES, block_bytes: 256 << 10,
                    weights_len: panels::weights_len::<KR>, pack_weights: vnni::pack_weights,
                    patches_len: vnni::patches_len, pack_patches: vnni::pack_patches, pack_row: vnni::pack_row,
                    conv: vnni::conv,
                },
                winograd: {
                    costs: COSTS, stride_2: None, blocks: winograd::BLOCKS,
                    transform_weights: winograd::transform_weights, multiply: winograd::multiply,
                    transform_output: steps::transform_output,
                },
            }

            pub(super) const fn kernels() -> &'static Kernels {
                &KERNELS
            }

            /// Exists only in code that is compiled for the features, so that it proves that the CPU has them.
            #[derive(Debug, Clone, Copy)]
            struct AvxVnni(Avx2);

            impl AvxVnni {
                #[inline]
                #[target_feature(enable = $features)]
                fn new() -> Self {
                    Self(Avx2::new())
                }

                /// In assembly because the compiler makes two instructions of the intrinsic to shorten the chain of
                /// sums, which is not what limits the loop.
                #[inline]
                #[target_feature(enable = $features)]
                fn dpwssd(self, mut acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
                    // SAFETY: the function is compiled for the instruction; nothing but the register named is written.
                    unsafe {
                        core::arch::asm!(
                            concat!($dpwssd, " {acc}, {a}, {b}"),
                            acc = inout(ymm_reg) acc, a = in(ymm_reg) a, b = in(ymm_reg) b,
                            options(pure, nomem, nostack, preserves_flags),
                        );
                    }
                    acc
                }
            }

            /// All but products as with AVX2.
            impl Lanes for AvxVnni {
                const LANE_CHANNELS: [usize; LANES] = Avx2::LANE_CHANNELS;
            }

            impl DotGroup for AvxVnni {
                #[inline(always)]
                fn dot_group<const CHUNK: usize>(
                    self,
                    rows: &Rows<'_, CHUNK>,
                    first: usize,
                ) -> Option<[Self::I32; GROUP]> {
                    winograd::dot_group(self, rows, first)
                }
            }

            impl DotPair for AvxVnni {
                #[inline(always)]
                fn dot16(self, acc: Self::I32, pair: [i16; 2], weights: &[i16; 2 * LANES]) -> Self::I32 {
                    let pair = bytemuck::cast(pair);
                    let (low, high) = weights.split_at(LANES);
                    // SAFETY: an `AvxVnni` is at hand, which exists only where the CPU has the instructions; both
                    // halves of the weights are 16 times 16 bits.
                    unsafe {
                        let pair = _mm256_set1_epi32(pair);
                        [
                            self.dpwssd(acc[0], pair, _mm256_loadu_si256(low.as_ptr().cast())),
                            self.dpwssd(acc[1], pair, _mm256_loadu_si256(high.as_ptr().cast())),
                        ]
                    }
                }
            }

            impl Int16Lanes for AvxVnni {
                type I16 = <Avx2 as Int16Lanes>::I16;

                as_avx2! {
                    fn add16(a: Self::I16, b: Self::I16) -> Self::I16;
                    fn sub16(a: Self::I16, b: Self::I16) -> Self::I16;
                    fn shl16[BITS](a: Self::I16) -> Self::I16;
                }
            }

            impl Simd for AvxVnni {
                type I32 = <Avx2 as Simd>::I32;

                as_avx2! {
                    fn widen(values: &[i8; LANES]) -> Self::I16;
                    fn load16(values: &[i16; LANES]) -> Self::I16;
                    fn store16(values: Self::I16, out: &mut [i16; LANES]) -> ();
                    fn zero32() -> Self::I32;
                    fn load32(values: &[i32; LANES]) -> Self::I32;
                    fn store32(values: Self::I32, out: &mut [i32; LANES]) -> ();
                    fn add32(a: Self::I32, b: Self::I32) -> Self::I32;
                    fn sub32(a: Self::I32, b: Self::I32) -> Self::I32;
                    fn shl32[BITS](a: Self::I32) -> Self::I32;
                    fn shr32[BITS](a: Self::I32) -> Self::I32;
                    fn mul32(a: Self::I32, factor: i32) -> Self::I32;
                    fn skip_term(values: &[i8; LANES], parameters: &Parameters, shift: u8) -> Self::I32;
                    fn rescale(acc: Self::I32, parameters: &Parameters) -> Self::I32;
                    fn narrow(values: Self::I32, zero_point: i8, clamp: [i8; 2]) -> [i8; LANES];
                    fn narrow_pair(a: Self::I32, b: Self::I32, zero_point: i8, clamp: [i8; 2]) -> [[i8; LANES]; 2];
                }
            }

            impl Vnni for AvxVnni {
                const MR: usize = 6;
                const PANELS: usize = 1;

                type Activations = __m256i;

                #[inline(always)]
                fn splat(self, values: &[u8; 4]) -> Self::Activations {
                    // SAFETY: an `AvxVnni` is at hand, which exists only where the CPU has AVX2.
                    unsafe { _mm256_set1_epi32(i32::from_le_bytes(*values)) }
                }

                #[inline(always)]
                fn load_weights(self, weights: &WeightBlock) -> Self::I32 {
                    let (low, high) = weights.split_at(LANES / 2);
                    // SAFETY: an `AvxVnni` is at hand, which exists only where the CPU has AVX2; both halves are 8 times
                    // 4 bytes.
                    unsafe {
                        [_mm256_loadu_si256(low.as_ptr().cast()), _mm256_loadu_si256(high.as_ptr().cast())]
                    }
                }

                #[inline(always)]
                fn dot8(self, acc: Self::I32, values: Self::Activations, weights: Self::I32) -> Self::I32 {
                    // SAFETY: an `AvxVnni` is at hand, which exists only where the CPU has the instructions.
                    unsafe { [$dpbusd(acc[0], values, weights[0]), $dpbusd(acc[1], values, weights[1])] }
                }
            }
        }
    };
}

encoding!(vex, "avx2,avxvnni", _mm256_dpbusd_avx_epi32, "{{vex}} vpdpwssd");
encoding!(evex, "avx2,avx512f,avx512vl,avx512vnni", _mm256_dpbusd_epi32, "{{evex}} vpdpwssd");
