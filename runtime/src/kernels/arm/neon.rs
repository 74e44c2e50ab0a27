//! NEON of ARMv8.0: Cortex-A53, A57, A72, that is, Raspberry Pi 3 and 4, Jetson Nano.
//!
//! # Direct convolution in 16 bits
//!
//! `smull` and `smlal2` multiply eight activations by eight weights each and add them in eight 16-bit lanes; `sadalp` adds
//! neighbouring lanes to 32-bit sums. A lane holds two products, and they fit: activations reach from -128 to 127 and weights
//! from -127 to 127 (the loader refuses -128), so `|sum| <= 2 * 128 * 127 = 32,512`, and 16 bits hold up to 32,767. A
//! third product would not fit.
//!
//! A tile is 4 pixels by 16 channels, four channels at a time: 16 registers hold sums, each those of one pixel and one
//! channel in four parts, eight hold operands, eight what is between `smull` and `sadalp`. Of the 52 instructions of the loop, in assembly,
//! for 256 products, 48 compute.
#![allow(unsafe_code, reason = "NEON intrinsics and assembly")]
#![allow(clippy::indexing_slicing, reason = "constant places below constant lengths")]

use core::arch::aarch64::*;

use super::patches::{self, PatchBlock};
use super::{neon_winograd, neon_winograd_output};
use crate::Isa;
use crate::kernels::panels::{self, Panel, WeightBlock};
use crate::kernels::simd::{
    Int16Lanes, LANES, Lanes, Parameters, Simd, TargetPlaces, finish_tile, has, table,
};
use crate::kernels::winograd::{Blocks, Costs};
use crate::kernels::{ConvBlock, Kernels, LayerWeights, Patches, Shape};

/// Output pixels of a tile.
const MR: usize = 4;
/// Values of depth that are worked on together.
const KR: usize = 16;
/// Channels that are worked on together.
const GROUP_CHANNELS: usize = 4;

table! {
    Isa::Neon, Neon, "neon",
    direct: {
        mr: MR, nr: LANES, block_bytes: 128 << 10,
        weights_len: panels::weights_len::<KR>, pack_weights: super::pack_weights,
        patches_len: patches::patches_len::<MR, KR>, pack_patches: super::pack_patches,
        conv: super::conv,
    },
    winograd: {
        costs: COSTS, stride_2: Some(COSTS), blocks: Blocks::USUAL,
        transform_weights: neon_winograd::transform_weights, multiply: neon_winograd::multiply,
        transform_output: neon_winograd_output::transform_output,
    },
}

/// In 1/64 of an instruction, counted: a direct output takes 9 products at 4.9 an instruction, a tile 36 at 3.7.
const COSTS: Costs = Costs { direct: 117, tile: 630, group: 1, weights: 790, input: 2000, output: 2240 };

/// The table: every AArch64 has NEON.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    has!("neon").then_some(&KERNELS)
}

/// Exists only in code that is compiled for NEON, so that it proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// Calls intrinsics where a [`Neon`] is at hand.
macro_rules! neon {
    ($value:expr) => {
        // SAFETY: a `Neon` is at hand, which exists only where the CPU has NEON; intrinsics with a pointer get one to an
        // array of the size that they access, without a demand on alignment beyond that of its elements.
        unsafe { $value }
    };
}

impl Lanes for Neon {
    const LANE_CHANNELS: [usize; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// One input channel after the other: `smlal` multiplies by one lane.
    #[inline(always)]
    fn weight_place(lane: usize, input: usize) -> usize {
        input * LANES + lane
    }

    /// Negative, for the whole shift: `sqdmulh` has doubled the product already.
    #[inline(always)]
    fn shift_lane(shift: u8) -> i32 {
        -i32::from(shift - 1) - 1
    }
}

impl Int16Lanes for Neon {
    type I16 = [int16x8_t; 2];

    #[inline(always)]
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        neon!([vaddq_s16(a[0], b[0]), vaddq_s16(a[1], b[1])])
    }

    #[inline(always)]
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        neon!([vsubq_s16(a[0], b[0]), vsubq_s16(a[1], b[1])])
    }

    #[inline(always)]
    fn shl16<const BITS: i32>(self, a: Self::I16) -> Self::I16 {
        neon!([vshlq_n_s16::<BITS>(a[0]), vshlq_n_s16::<BITS>(a[1])])
    }
}

impl Simd for Neon {
    type I32 = [int32x4_t; 4];

    #[inline(always)]
    fn widen(self, values: &[i8; LANES]) -> Self::I16 {
        neon!({
            let values = vld1q_s8(values.as_ptr());
            [vmovl_s8(vget_low_s8(values)), vmovl_high_s8(values)]
        })
    }

    #[inline(always)]
    fn load16(self, values: &[i16; LANES]) -> Self::I16 {
        let (low, high) = values.split_at(LANES / 2);
        neon!([vld1q_s16(low.as_ptr()), vld1q_s16(high.as_ptr())])
    }

    #[inline(always)]
    fn store16(self, [a, b]: Self::I16, out: &mut [i16; LANES]) {
        let (low, high) = out.split_at_mut(LANES / 2);
        neon!({
            vst1q_s16(low.as_mut_ptr(), a);
            vst1q_s16(high.as_mut_ptr(), b);
        });
    }

    #[inline(always)]
    fn zero32(self) -> Self::I32 {
        neon!([vdupq_n_s32(0); 4])
    }

    #[inline(always)]
    fn load32(self, values: &[i32; LANES]) -> Self::I32 {
        let (quarters, _) = values.as_chunks::<4>();
        neon!([
            vld1q_s32(quarters[0].as_ptr()),
            vld1q_s32(quarters[1].as_ptr()),
            vld1q_s32(quarters[2].as_ptr()),
            vld1q_s32(quarters[3].as_ptr()),
        ])
    }

    #[inline(always)]
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        neon!([vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1]), vaddq_s32(a[2], b[2]), vaddq_s32(a[3], b[3]),])
    }

    #[inline(always)]
    fn sub32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        neon!([vsubq_s32(a[0], b[0]), vsubq_s32(a[1], b[1]), vsubq_s32(a[2], b[2]), vsubq_s32(a[3], b[3]),])
    }

    #[inline(always)]
    fn shl32<const BITS: i32>(self, [a, b, c, d]: Self::I32) -> Self::I32 {
        neon!([
            vshlq_n_s32::<BITS>(a),
            vshlq_n_s32::<BITS>(b),
            vshlq_n_s32::<BITS>(c),
            vshlq_n_s32::<BITS>(d)
        ])
    }

    #[inline(always)]
    fn shr32<const BITS: i32>(self, [a, b, c, d]: Self::I32) -> Self::I32 {
        neon!([
            vshrq_n_s32::<BITS>(a),
            vshrq_n_s32::<BITS>(b),
            vshrq_n_s32::<BITS>(c),
            vshrq_n_s32::<BITS>(d)
        ])
    }

    #[inline(always)]
    fn mul32(self, [a, b, c, d]: Self::I32, factor: i32) -> Self::I32 {
        neon!([
            vmulq_n_s32(a, factor),
            vmulq_n_s32(b, factor),
            vmulq_n_s32(c, factor),
            vmulq_n_s32(d, factor)
        ])
    }

    #[inline(always)]
    fn multiply_add32<const FACTOR: i32>(self, acc: Self::I32, a: Self::I32) -> Self::I32 {
        neon!([
            vmlaq_n_s32(acc[0], a[0], FACTOR),
            vmlaq_n_s32(acc[1], a[1], FACTOR),
            vmlaq_n_s32(acc[2], a[2], FACTOR),
            vmlaq_n_s32(acc[3], a[3], FACTOR),
        ])
    }

    #[inline(always)]
    fn skip_term(self, values: &[i8; LANES], parameters: &Parameters, shift: u8) -> Self::I32 {
        let [a, b] = self.widen(values);
        let multiplier = self.load32(&parameters.skip_multiplier);
        let offset = self.load32(&parameters.skip_offset);
        let shift = neon!(vdupq_n_s32(-i32::from(shift)));
        neon!([
            vshlq_s32(vmlaq_s32(offset[0], vmovl_s16(vget_low_s16(a)), multiplier[0]), shift),
            vshlq_s32(vmlaq_s32(offset[1], vmovl_high_s16(a), multiplier[1]), shift),
            vshlq_s32(vmlaq_s32(offset[2], vmovl_s16(vget_low_s16(b)), multiplier[2]), shift),
            vshlq_s32(vmlaq_s32(offset[3], vmovl_high_s16(b), multiplier[3]), shift),
        ])
    }

    /// `sqdmulh` is `(acc * mantissa) >> 31`, rounded down, and saturates for no mantissa below 2^31 and above -2^31; `srshl`
    /// rounds half up. Together they are one rounding because the shift is not 0.
    #[inline(always)]
    fn rescale(self, acc: Self::I32, parameters: &Parameters) -> Self::I32 {
        let (mantissa, shift) = (self.load32(&parameters.mantissa), self.load32(&parameters.shift));
        neon!([
            vrshlq_s32(vqdmulhq_s32(acc[0], mantissa[0]), shift[0]),
            vrshlq_s32(vqdmulhq_s32(acc[1], mantissa[1]), shift[1]),
            vrshlq_s32(vqdmulhq_s32(acc[2], mantissa[2]), shift[2]),
            vrshlq_s32(vqdmulhq_s32(acc[3], mantissa[3]), shift[3]),
        ])
    }

    /// What saturates on the way lies beyond all clamps.
    #[inline(always)]
    fn narrow(self, values: Self::I32, zero_point: i8, [low, high]: [i8; 2]) -> [i8; LANES] {
        let mut out = [0; LANES];
        neon!({
            let zero_point = vdupq_n_s16(zero_point.into());
            let a = vqmovn_high_s32(vqmovn_s32(values[0]), values[1]);
            let b = vqmovn_high_s32(vqmovn_s32(values[2]), values[3]);
            let bytes = vqmovn_high_s16(vqmovn_s16(vqaddq_s16(a, zero_point)), vqaddq_s16(b, zero_point));
            let bytes = vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(low)), vdupq_n_s8(high));
            vst1q_s8(out.as_mut_ptr(), bytes);
        });
        out
    }
}

#[inline(always)]
fn pack_weights(_: Neon, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    panels::pack_weights::<Neon, KR>(source, 0, packed)
}

#[inline(always)]
fn pack_patches(_: Neon, shape: &Shape, _: &[i8], patches: &Patches<'_>, panels: &mut [i8]) -> Option<()> {
    patches::pack_patches::<MR, KR>(shape, patches, panels)
}

#[inline(always)]
fn conv(s: Neon, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let weights = Panel::<KR>::new(block, block.target.first_channel / LANES)?;
    let pixels = block.patches.pixels;
    let panels = patches::panels::<MR, KR>(block)?;
    let mut places = TargetPlaces::new(&block.target);
    for (first, patches) in (0..pixels).step_by(MR).zip(panels) {
        let sums = s.tile(weights.blocks, patches, pixels - first);
        finish_tile::<_, true, MR>(
            s,
            sums,
            pixels - first,
            weights.parameters,
            &block.target,
            places.group(),
            out,
        )?;
    }
    Some(())
}

/// Four instructions for a pixel, one for each of four channels.
macro_rules! channels {
    (smull [$x:tt, $($sums:tt),+] $p:tt $q:tt $r:tt $s:tt) => {
        concat!(
            "smull ",
            $p,
            ".8h, ",
            $x,
            ".8b, v0.8b\n",
            "smull ",
            $q,
            ".8h, ",
            $x,
            ".8b, v1.8b\n",
            "smull ",
            $r,
            ".8h, ",
            $x,
            ".8b, v2.8b\n",
            "smull ",
            $s,
            ".8h, ",
            $x,
            ".8b, v3.8b\n",
        )
    };
    (smlal2 [$x:tt, $($sums:tt),+] $p:tt $q:tt $r:tt $s:tt) => {
        concat!(
            "smlal2 ",
            $p,
            ".8h, ",
            $x,
            ".16b, v0.16b\n",
            "smlal2 ",
            $q,
            ".8h, ",
            $x,
            ".16b, v1.16b\n",
            "smlal2 ",
            $r,
            ".8h, ",
            $x,
            ".16b, v2.16b\n",
            "smlal2 ",
            $s,
            ".8h, ",
            $x,
            ".16b, v3.16b\n",
        )
    };
    ($add:literal [$x:tt, $a:tt, $b:tt, $c:tt, $d:tt] $p:tt $q:tt $r:tt $s:tt) => {
        concat!(
            $add, " ", $a, ".4s, ", $p, ".8h\n", $add, " ", $b, ".4s, ", $q, ".8h\n", $add, " ", $c, ".4s, ",
            $r, ".8h\n", $add, " ", $d, ".4s, ", $s, ".8h\n",
        )
    };
}

/// Pixels' products, two and two, added to their sums by `$add`; two pixels in turn, so that no instruction waits for the one before.
macro_rules! pixels {
    ($add:literal:) => {
        ""
    };
    ($add:literal: $one:tt) => {
        concat!(
            channels!(smull $one "v8" "v9" "v10" "v11"),
            channels!(smlal2 $one "v8" "v9" "v10" "v11"),
            channels!($add $one "v8" "v9" "v10" "v11"),
        )
    };
    ($add:literal: $one:tt $two:tt $($rest:tt)*) => {
        concat!(
            channels!(smull $one "v8" "v9" "v10" "v11"),
            channels!(smull $two "v12" "v13" "v14" "v15"),
            channels!(smlal2 $one "v8" "v9" "v10" "v11"),
            channels!(smlal2 $two "v12" "v13" "v14" "v15"),
            channels!($add $one "v8" "v9" "v10" "v11"),
            channels!($add $two "v12" "v13" "v14" "v15"),
            pixels!($add: $($rest)*),
        )
    };
}

/// The next 16 values of depth of some pixels.
macro_rules! depth {
    ($add:literal: $($pixel:tt)+) => {
        concat!(
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{weights}], {step}\n",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{patches}], #64\n",
            pixels!($add: $($pixel)+),
        )
    };
}

/// A function that sums products of some pixels of a tile, those of group `group` of four channels.
macro_rules! multiply_pixels {
    ($(#[$doc:meta])* $name:ident: $([$sum:ident, $index:literal, $x:tt, $a:tt, $b:tt, $c:tt, $d:tt]),+) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name(
            self,
            weights: &[WeightBlock<KR>],
            patches: &[PatchBlock<MR, KR>],
            group: usize,
            sums: &mut [[int32x4_t; 4]; MR],
        ) {
            let blocks = weights.len().min(patches.len());
            if blocks == 0 || group >= LANES / GROUP_CHANNELS {
                return;
            }
            $(let $sum;)+
            // SAFETY: a `Neon` is at hand. There are as many blocks of weights and of patches, one at least; the former have 16
            // channels, of which this is one of four groups.
            unsafe {
                core::arch::asm!(
                    depth!("saddlp": $([$x, $a, $b, $c, $d])+),
                    "subs {n}, {n}, #1",
                    "b.eq 3f",
                    "2:",
                    depth!("sadalp": $([$x, $a, $b, $c, $d])+),
                    "subs {n}, {n}, #1",
                    "b.ne 2b",
                    "3:",
                    $(
                        concat!("addp ", $a, ".4s, ", $a, ".4s, ", $b, ".4s"),
                        concat!("addp ", $c, ".4s, ", $c, ".4s, ", $d, ".4s"),
                        concat!("addp ", $a, ".4s, ", $a, ".4s, ", $c, ".4s"),
                    )+
                    n = inout(reg) blocks => _,
                    patches = inout(reg) patches.as_ptr() => _,
                    weights = inout(reg) weights.as_ptr().cast::<[[i8; KR]; GROUP_CHANNELS]>().wrapping_add(group) => _,
                    step = in(reg) size_of::<WeightBlock<KR>>(),
                    $(out($a) $sum, out($b) _, out($c) _, out($d) _,)+
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    options(nostack, readonly),
                );
            }
            $(sums[$index][group] = $sum;)+
        }
    };
}

impl Neon {
    /// Four int32 in a register.
    #[inline(always)]
    pub(super) fn words(self, words: [i32; 4]) -> int32x4_t {
        neon!(vld1q_s32(words.as_ptr()))
    }

    /// The sums of the first `pixels` pixels of a tile; those of the others are 0.
    #[inline(always)]
    fn tile(
        self,
        weights: &[WeightBlock<KR>],
        patches: &[PatchBlock<MR, KR>],
        pixels: usize,
    ) -> [[int32x4_t; 4]; MR] {
        let mut sums = [self.zero32(); MR];
        for group in 0..LANES / GROUP_CHANNELS {
            match pixels {
                MR.. => self.sum_four(weights, patches, group, &mut sums),
                3 => self.sum_three(weights, patches, group, &mut sums),
                2 => self.sum_two(weights, patches, group, &mut sums),
                _ => self.sum_one(weights, patches, group, &mut sums),
            }
        }
        sums
    }

    multiply_pixels! {
        /// The sums of four channels of one pixel.
        sum_one: [a, 0, "v4", "v16", "v17", "v18", "v19"]
    }
    multiply_pixels! {
        /// The sums of four channels of two pixels.
        sum_two:
        [a, 0, "v4", "v16", "v17", "v18", "v19"],
        [b, 1, "v5", "v20", "v21", "v22", "v23"]
    }
    multiply_pixels! {
        /// The sums of four channels of three pixels.
        sum_three:
        [a, 0, "v4", "v16", "v17", "v18", "v19"],
        [b, 1, "v5", "v20", "v21", "v22", "v23"],
        [c, 2, "v6", "v24", "v25", "v26", "v27"]
    }
    multiply_pixels! {
        /// The sums of four channels of four pixels.
        sum_four:
        [a, 0, "v4", "v16", "v17", "v18", "v19"],
        [b, 1, "v5", "v20", "v21", "v22", "v23"],
        [c, 2, "v6", "v24", "v25", "v26", "v27"],
        [d, 3, "v7", "v28", "v29", "v30", "v31"]
    }
}
