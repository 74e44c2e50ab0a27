//! NEON with the int8 matrix multiplication of ARMv8.6: Cortex-A510, A710, Neoverse V1 and later, Apple M2.
//!
//! `smmla` multiplies eight values of depth of two pixels by those of two channels and adds the products to four sums,
//! all signed, 32 products at a time. As with [`neon_dotprod`](super::neon_dotprod), Winograd's method saves nothing.
#![allow(unsafe_code, reason = "inline assembly")]

use core::arch::aarch64::*;

use super::has;
use super::neon::Neon;
use super::tiles::{self, Block, MR, Sums, Tiles};
use crate::Isa;
use crate::kernels::panels::{self, WeightBlock};
use crate::kernels::simd::{LANES, table};
use crate::kernels::{Kernels, LayerWeights};

/// Values of depth that one instruction multiplies, of every pixel and channel.
const KR: usize = 8;

table! {
    Isa::NeonI8mm, I8mm, "neon,i8mm",
    direct: {
        mr: MR, nr: LANES, block_bytes: 128 << 10,
        weights_len: panels::weights_len::<KR>, pack_weights: super::pack_weights,
        patches_len: tiles::patches_len, pack_patches: tiles::pack_patches::<KR, _>,
        conv: tiles::conv::<KR, _>,
    },
}

/// The table, if this CPU has the matrix multiplication.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    has!("neon", "i8mm").then_some(&KERNELS)
}

/// Exists only in code that is compiled for the matrix multiplication, so that it proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
struct I8mm(Neon);

impl I8mm {
    #[inline]
    #[target_feature(enable = "neon,i8mm")]
    fn new() -> Self {
        Self(Neon::new())
    }
}

#[inline(always)]
fn pack_weights(_: I8mm, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    panels::pack_weights::<Neon, KR>(source, 0, packed)
}

/// The products of two pixels and the eight channels in v0 to v3.
macro_rules! pair {
    ($a:ident $b:ident $c:ident $d:ident, $values:literal) => {
        concat!(
            "smmla {",
            stringify!($a),
            ":v}.4s, ",
            $values,
            ", v0.16b\n",
            "smmla {",
            stringify!($b),
            ":v}.4s, ",
            $values,
            ", v1.16b\n",
            "smmla {",
            stringify!($c),
            ":v}.4s, ",
            $values,
            ", v2.16b\n",
            "smmla {",
            stringify!($d),
            ":v}.4s, ",
            $values,
            ", v3.16b\n",
        )
    };
}

/// The sums of some pairs of pixels: for each, the registers of its sums, and the one of its values.
macro_rules! tile {
    (
        $weights:ident, $patches:ident,
        $($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident $values:literal),*
    ) => {
        core::arch::asm!(
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
            w = inout(reg) $weights.as_ptr() => _,
            x = inout(reg) $patches.as_ptr() => _,
            n8 = inout(reg) $weights.len() / 8 => _,
            n = inout(reg) $weights.len() % 8 => _,
            $(
                $a = inout(vreg) $a, $b = inout(vreg) $b, $c = inout(vreg) $c, $d = inout(vreg) $d,
                $e = inout(vreg) $e, $f = inout(vreg) $f, $g = inout(vreg) $g, $h = inout(vreg) $h,
            )*
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            options(nostack, readonly, preserves_flags),
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
    unsafe fn pack(self, sources: [*const i8; MR], count: usize, out: *mut Block) {
        let out = out.cast::<[[i64; 2]; MR]>();
        for index in 0..count {
            for (pair, pixels) in sources.as_chunks::<2>().0.iter().enumerate() {
                // SAFETY: the caller's, for block `index` of `count`.
                unsafe {
                    let out = out.add(index).cast::<[i64; 2]>().add(pair);
                    let [a, b] = pixels.map(|pixel| vreinterpretq_s64_s8(vld1q_s8(pixel.add(16 * index))));
                    vst1q_s64(out.cast(), vzip1q_s64(a, b));
                    vst1q_s64(out.add(MR / 2).cast(), vzip2q_s64(a, b));
                }
            }
        }
    }

    #[inline(always)]
    fn multiply(
        self,
        bias: &[i32; LANES],
        weights: &[WeightBlock<KR>],
        patches: &[Block],
        height: usize,
    ) -> Sums {
        let bias = bias.as_chunks::<2>().0;
        // SAFETY: an `I8mm` is at hand, which exists only where the CPU has NEON; every item is two values.
        let [b0, b1, b2, b3, b4, b5, b6, b7] = core::array::from_fn(|pair| unsafe {
            vreinterpretq_s32_s64(vld1q_dup_s64(bias.as_ptr().add(pair).cast()))
        });
        let [mut p0, mut p1, mut p2, mut p3, mut p4, mut p5, mut p6, mut p7] =
            [b0, b1, b2, b3, b4, b5, b6, b7];
        let [mut q0, mut q1, mut q2, mut q3, mut q4, mut q5, mut q6, mut q7] =
            [b0, b1, b2, b3, b4, b5, b6, b7];
        let [mut r0, mut r1, mut r2, mut r3, mut r4, mut r5, mut r6, mut r7] =
            [b0, b1, b2, b3, b4, b5, b6, b7];
        macro_rules! rows {
            ($($row:tt)*) => {
                // SAFETY: an `I8mm` is at hand, which exists only where the CPU has the matrix multiplication; `conv` has
                // seen that the patches are as deep as the weights.
                unsafe { tile!(weights, patches, $($row)*) }
            };
        }
        match height {
            5 | 6 => rows!(
                p0 p1 p2 p3 p4 p5 p6 p7 "v4.16b", q0 q1 q2 q3 q4 q5 q6 q7 "v5.16b",
                r0 r1 r2 r3 r4 r5 r6 r7 "v6.16b"
            ),
            3 | 4 => rows!(p0 p1 p2 p3 p4 p5 p6 p7 "v4.16b", q0 q1 q2 q3 q4 q5 q6 q7 "v5.16b"),
            _ => rows!(p0 p1 p2 p3 p4 p5 p6 p7 "v4.16b"),
        }
        let [a, b] = rows([p0, p1, p2, p3, p4, p5, p6, p7]);
        let [c, d] = rows([q0, q1, q2, q3, q4, q5, q6, q7]);
        let [e, f] = rows([r0, r1, r2, r3, r4, r5, r6, r7]);
        [a, b, c, d, e, f]
    }
}

/// The sums of two pixels, each by itself.
#[inline(always)]
fn rows(sums: [int32x4_t; 8]) -> [[int32x4_t; 4]; 2] {
    let [a, b, c, d, e, f, g, h] = sums.map(|sums| {
        // SAFETY: every AArch64 has NEON.
        unsafe { vreinterpretq_s64_s32(sums) }
    });
    // SAFETY: as above.
    unsafe {
        [
            [vzip1q_s64(a, b), vzip1q_s64(c, d), vzip1q_s64(e, f), vzip1q_s64(g, h)],
            [vzip2q_s64(a, b), vzip2q_s64(c, d), vzip2q_s64(e, f), vzip2q_s64(g, h)],
        ]
        .map(|row| row.map(|sums| vreinterpretq_s32_s64(sums)))
    }
}
