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
//! channel in four parts, eight hold operands, the rest what is between `smull` and `sadalp`. Of the 55 instructions of the loop,
//! for 256 products, 48 compute.
#![allow(unsafe_code, reason = "NEON intrinsics")]
#![allow(clippy::indexing_slicing, reason = "constant places below constant lengths")]

use core::arch::aarch64::*;

use super::patches::{self, PatchBlock};
use super::{neon_winograd, neon_winograd_output};
use crate::Isa;
use crate::kernels::panels::{self, Panel, WeightBlock};
use crate::kernels::simd::{LANES, Lanes, Parameters, Simd, TargetPlaces, finish_tile, has, table};
use crate::kernels::winograd::Costs;
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
        costs: COSTS, stride_2: Some(COSTS),
        transform_weights: neon_winograd::transform_weights, multiply: neon_winograd::multiply,
        transform_output: neon_winograd_output::transform_output,
    },
}

/// In 1/64 of an instruction, counted: a direct output takes 9 products at 4.7 an instruction, a tile 36 at 3.7.
const COSTS: Costs = Costs { direct: 122, tile: 620, group: 1, weights: 830, input: 2000, output: 2240 };

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

impl Simd for Neon {
    type I16 = [int16x8_t; 2];
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
        let sums = match pixels - first {
            MR.. => s.tile::<MR>(weights.blocks, patches),
            3 => s.tile::<3>(weights.blocks, patches),
            2 => s.tile::<2>(weights.blocks, patches),
            _ => s.tile::<1>(weights.blocks, patches),
        };
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

impl Neon {
    /// Four int32 in a register.
    #[inline(always)]
    pub(super) fn words(self, words: [i32; 4]) -> int32x4_t {
        neon!(vld1q_s32(words.as_ptr()))
    }

    /// The sums of `HEIGHT` pixels of a tile; those of the others are 0.
    #[inline(always)]
    fn tile<const HEIGHT: usize>(
        self,
        weights: &[WeightBlock<KR>],
        patches: &[PatchBlock<MR, KR>],
    ) -> [[int32x4_t; 4]; MR] {
        let mut sums = [self.zero32(); MR];
        for group in 0..LANES / GROUP_CHANNELS {
            let own = self.group::<HEIGHT>(weights, group, patches);
            for (sums, own) in sums.iter_mut().zip(own) {
                if let Some(sums) = sums.get_mut(group) {
                    *sums = own;
                }
            }
        }
        sums
    }

    /// The sums of four channels.
    #[inline(always)]
    fn group<const HEIGHT: usize>(
        self,
        weights: &[WeightBlock<KR>],
        group: usize,
        patches: &[PatchBlock<MR, KR>],
    ) -> [int32x4_t; HEIGHT] {
        let mut acc = [[neon!(vdupq_n_s32(0)); GROUP_CHANNELS]; HEIGHT];
        for (weights, patches) in weights.iter().zip(patches) {
            let Some(weights) = weights.as_chunks::<GROUP_CHANNELS>().0.get(group) else { continue };
            let weights = weights.each_ref().map(|weights| neon!(vld1q_s8(weights.as_ptr())));
            for (acc, patch) in acc.iter_mut().zip(patches) {
                let patch = neon!(vld1q_s8(patch.as_ptr()));
                for (acc, weights) in acc.iter_mut().zip(weights) {
                    *acc = neon!({
                        let products = vmull_s8(vget_low_s8(patch), vget_low_s8(weights));
                        vpadalq_s16(*acc, vmlal_high_s8(products, patch, weights))
                    });
                }
            }
        }
        acc.map(|[a, b, c, d]| neon!(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))))
    }
}
