//! NEON with the int8 matrix multiplication of ARMv8.6: Cortex-A510, A710, Neoverse V1 and later, Apple M2.
//!
//! `smmla` multiplies eight values of depth of two pixels by those of two channels and adds the products to four sums,
//! all signed, 32 products at a time. As with [`neon_dotprod`](super::neon_dotprod), Winograd's method saves nothing.
#![allow(unsafe_code, reason = "inline assembly")]

use core::arch::aarch64::*;

use super::neon::Neon;
use super::tiles::{self, Block, MR, Sources, Sums, Tiles, pack, sums};
use crate::Isa;
use crate::kernels::panels::{self, WeightBlock};
use crate::kernels::simd::{LANES, has, table};
use crate::kernels::{Kernels, LayerWeights};

/// Values of depth that one instruction multiplies, of every pixel and channel.
const KR: usize = 8;

table! {
    Isa::NeonI8mm, I8mm, "neon,i8mm,rdm",
    direct: {
        mr: MR, nr: LANES, block_bytes: 128 << 10,
        weights_len: panels::weights_len::<KR>, pack_weights: super::pack_weights,
        patches_len: tiles::patches_len, pack_patches: tiles::pack_patches::<KR, _>,
        conv: tiles::conv::<KR, _>,
    },
}

/// The table, if this CPU has the matrix multiplication.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    has!("neon", "i8mm", "rdm").then_some(&KERNELS)
}

/// Exists only in code that is compiled for the matrix multiplication, so that it proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
struct I8mm(Neon);

impl I8mm {
    #[inline]
    #[target_feature(enable = "neon,i8mm,rdm")]
    fn new() -> Self {
        Self(Neon::new())
    }
}

#[inline(always)]
fn pack_weights(_: I8mm, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    panels::pack_weights::<Neon, KR>(source, 0, packed)
}

/// The products of two pixels and the eight channels in v0 to v3, added to their sums.
macro_rules! pair {
    ($a:literal $b:literal $c:literal $d:literal, $values:literal) => {
        concat!(
            "smmla ",
            $a,
            ".4s, ",
            $values,
            ".16b, v0.16b\n",
            "smmla ",
            $b,
            ".4s, ",
            $values,
            ".16b, v1.16b\n",
            "smmla ",
            $c,
            ".4s, ",
            $values,
            ".16b, v2.16b\n",
            "smmla ",
            $d,
            ".4s, ",
            $values,
            ".16b, v3.16b\n",
        )
    };
}

/// The sums of some pairs of pixels: for each, their registers, two channels in each, and the register of its values.
macro_rules! tile {
    (
        $bias:ident, $weights:ident, $patches:ident,
        $($a:literal $b:literal $c:literal $d:literal, $e:literal $f:literal $g:literal $h:literal, $values:literal);*
    ) => {
        sums!(
            $(concat!("ld4r {{", $a, ".2d, ", $b, ".2d, ", $c, ".2d, ", $d, ".2d}}, [{bias}]"),)*
            $(concat!("ld4r {{", $e, ".2d, ", $f, ".2d, ", $g, ".2d, ", $h, ".2d}}, [{next_bias}]"),)*
            "cbz {n8}, 3f",
            "2:",
            ".rept 8",
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{x}], #48",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pair!($a $b $c $d, $values),)*
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pair!($e $f $g $h, $values),)*
            ".endr",
            "sub {n8}, {n8}, #1",
            "cbnz {n8}, 2b",
            "3:",
            "cbz {n}, 5f",
            "4:",
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{x}], #48",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pair!($a $b $c $d, $values),)*
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pair!($e $f $g $h, $values),)*
            "sub {n}, {n}, #1",
            "cbnz {n}, 4b",
            "5:",
            bias = in(reg) $bias.as_ptr(),
            next_bias = in(reg) $bias.as_ptr().wrapping_add(LANES / 2),
            w = inout(reg) $weights.as_ptr() => _,
            x = inout(reg) $patches.as_ptr() => _,
            n8 = inout(reg) $weights.len() / 8 => _,
            n = inout(reg) $weights.len() % 8 => _,
        )
    };
}

impl Tiles<KR> for I8mm {
    #[inline(always)]
    fn neon(self) -> Neon {
        self.0
    }

    /// Halves of two pixels' values together.
    #[inline(always)]
    unsafe fn pack(self, sources: &Sources, out: *mut Block) {
        // SAFETY: the caller's.
        unsafe {
            pack!(
                sources,
                out,
                "ldr q16, [{a}], #16",
                "ldr q17, [{b}], #16",
                "ldr q18, [{c}], #16",
                "ldr q19, [{d}], #16",
                "ldr q20, [{e}], #16",
                "ldr q21, [{f}], #16",
                "zip1 v0.2d, v16.2d, v17.2d",
                "zip1 v1.2d, v18.2d, v19.2d",
                "zip1 v2.2d, v20.2d, v21.2d",
                "zip2 v3.2d, v16.2d, v17.2d",
                "zip2 v4.2d, v18.2d, v19.2d",
                "zip2 v5.2d, v20.2d, v21.2d",
                "st1 {{v0.2d, v1.2d, v2.2d}}, [{out}], #48",
                "st1 {{v3.2d, v4.2d, v5.2d}}, [{out}], #48",
            );
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        self,
        bias: &[i32; LANES],
        weights: &[WeightBlock<KR>],
        patches: &[Block],
        height: usize,
    ) -> Sums {
        macro_rules! pairs {
            ($($pair:tt)*) => {
                // SAFETY: an `I8mm` is at hand, which exists only where the CPU has the matrix multiplication;
                // the caller has seen that the patches are as deep as the weights.
                unsafe { tile!(bias, weights, patches, $($pair)*) }
            };
        }
        let [a, b, c, d, e, f] = match height {
            5 | 6 => pairs!(
                "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v4";
                "v16" "v17" "v18" "v19", "v20" "v21" "v22" "v23", "v5";
                "v24" "v25" "v26" "v27", "v28" "v29" "v30" "v31", "v6"
            ),
            3 | 4 => pairs!(
                "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v4";
                "v16" "v17" "v18" "v19", "v20" "v21" "v22" "v23", "v5"
            ),
            _ => pairs!(
                "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v4"
            ),
        };
        let ([a, b], [c, d], [e, f]) = (apart(a, b), apart(c, d), apart(e, f));
        [a, b, c, d, e, f]
    }
}

/// The sums of two pixels, each by itself.
#[inline(always)]
fn apart([a, b, c, d]: [int32x4_t; 4], [e, f, g, h]: [int32x4_t; 4]) -> [[int32x4_t; 4]; 2] {
    macro_rules! zip {
        ($zip:ident, $a:ident, $b:ident) => {
            // SAFETY: every AArch64 has NEON.
            unsafe { vreinterpretq_s32_s64($zip(vreinterpretq_s64_s32($a), vreinterpretq_s64_s32($b))) }
        };
    }
    [
        [zip!(vzip1q_s64, a, b), zip!(vzip1q_s64, c, d), zip!(vzip1q_s64, e, f), zip!(vzip1q_s64, g, h)],
        [zip!(vzip2q_s64, a, b), zip!(vzip2q_s64, c, d), zip!(vzip2q_s64, e, f), zip!(vzip2q_s64, g, h)],
    ]
}
