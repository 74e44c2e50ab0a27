//! Direct convolution.

use core::arch::naked_asm;

use super::{Constants, Neon, patches};
use crate::kernels::ConvBlock;
use crate::kernels::arm::patches::PatchBlock;
use crate::kernels::panels::{Panel, WeightBlock};
use crate::kernels::parameters::{LANES, TargetPlaces};

/// Output pixels of a tile.
pub(super) const MR: usize = 2;
/// Values of depth that are worked on together.
pub(super) const KR: usize = 16;

/// See [`Direct::conv`](crate::kernels::Direct::conv).
pub(super) fn conv(neon: Neon, block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let target = &block.target;
    let weights = Panel::<KR>::new(block, target.first_channel / LANES)?;
    let constants = Constants::new(target);
    let pixels = block.patches.pixels;
    let mut places = TargetPlaces::new(target);
    let mut sums = [[0; LANES]; MR];
    for (first, patches) in (0..pixels).step_by(MR).zip(patches::panels::<MR, KR>(block)?) {
        neon.multiply(weights.blocks, patches, &mut sums);
        for (sums, place) in sums.iter().zip(places.group::<MR>()).take(pixels - first) {
            neon.finish(sums, weights.parameters, &constants, target, place, out)?;
        }
    }
    Some(())
}

impl Neon {
    /// The sums of a tile.
    #[inline]
    fn multiply(
        self,
        weights: &[WeightBlock<KR>],
        patches: &[PatchBlock<MR, KR>],
        sums: &mut [[i32; LANES]; MR],
    ) {
        let blocks = weights.len().min(patches.len());
        if blocks == 0 {
            *sums = [[0; LANES]; MR];
            return;
        }
        // SAFETY: a `Neon` is at hand; both have this number of blocks, and it is not 0.
        unsafe { multiply(weights.as_ptr(), patches.as_ptr(), blocks, sums) };
    }
}

/// The sums of a tile, four channels after the other. Operands are loaded ahead, for processors that work in order.
///
/// # Safety
///
/// The CPU must have NEON; `weights` and `patches` must have `blocks` blocks, one at least.
#[unsafe(naked)]
unsafe extern "C" fn multiply(
    weights: *const WeightBlock<KR>,
    patches: *const PatchBlock<MR, KR>,
    blocks: usize,
    sums: &mut [[i32; LANES]; MR],
) {
    /// 16-bit products of both pixels, in `q8` and `q9`, and two channels, in `q10` and `q11`.
    macro_rules! products {
        () => {
            "vmull.s8 q12, d16, d20
             vmull.s8 q13, d18, d20
             vmull.s8 q14, d16, d22
             vmull.s8 q15, d18, d22
             vmlal.s8 q12, d17, d21
             vmlal.s8 q13, d19, d21
             vmlal.s8 q14, d17, d23
             vmlal.s8 q15, d19, d23"
        };
    }
    /// Adds them to the sums of channels 2 and 3.
    macro_rules! add_second {
        () => {
            "vpadal.s16 q2, q12
             vpadal.s16 q6, q13
             vpadal.s16 q3, q14
             vpadal.s16 q7, q15"
        };
    }
    naked_asm!(
        ".fpu neon",
        "push {{r4-r9, lr}}",
        "vpush {{d8-d15}}",
        "mov r7, {to_next_block}",
        "mov r8, {next_pixel}",
        "mov r12, {groups}",
        "1:",
        "mov r4, r0",
        "mov r5, r1",
        "mov r6, r2",
        "vld1.8 {{d16-d19}}, [r5]!",
        "vld1.8 {{d20-d23}}, [r4]!",
        "vmov.i32 q0, #0",
        "vmov.i32 q1, #0",
        "vmov.i32 q2, #0",
        "vmov.i32 q3, #0",
        "vmov.i32 q4, #0",
        "vmov.i32 q5, #0",
        "vmov.i32 q6, #0",
        "vmov.i32 q7, #0",
        "2:",
        products!(),
        "vld1.8 {{d20-d23}}, [r4], r7",
        "vpadal.s16 q0, q12",
        "vpadal.s16 q4, q13",
        "vpadal.s16 q1, q14",
        "vpadal.s16 q5, q15",
        products!(),
        "subs r6, r6, #1",
        "beq 3f",
        "vld1.8 {{d16-d19}}, [r5]!",
        "vld1.8 {{d20-d23}}, [r4]!",
        add_second!(),
        "b 2b",
        "3:",
        add_second!(),
        // From four parts of each sum to four sums.
        "vpadd.i32 d0, d0, d1",
        "vpadd.i32 d1, d2, d3",
        "vpadd.i32 d2, d4, d5",
        "vpadd.i32 d3, d6, d7",
        "vpadd.i32 d8, d8, d9",
        "vpadd.i32 d9, d10, d11",
        "vpadd.i32 d10, d12, d13",
        "vpadd.i32 d11, d14, d15",
        "vpadd.i32 d0, d0, d1",
        "vpadd.i32 d1, d2, d3",
        "vpadd.i32 d8, d8, d9",
        "vpadd.i32 d9, d10, d11",
        "mov r9, r3",
        "vst1.32 {{d0-d1}}, [r9], r8",
        "vst1.32 {{d8-d9}}, [r9]",
        "add r0, r0, {group}",
        "add r3, r3, #16",
        "subs r12, r12, #1",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r9, pc}}",
        groups = const LANES / GROUP_CHANNELS,
        group = const GROUP_CHANNELS * KR,
        // Half of a group's weights have been passed by then.
        to_next_block = const size_of::<WeightBlock<KR>>() - GROUP_CHANNELS * KR / 2,
        next_pixel = const size_of::<[i32; LANES]>(),
    )
}

/// Channels that are worked on together.
const GROUP_CHANNELS: usize = 4;
