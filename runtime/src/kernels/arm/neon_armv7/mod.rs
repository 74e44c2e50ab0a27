//! NEON of 32-bit ARMv7: Cortex-A7, A8, A9, A15, and everything newer that runs a 32-bit system, such as Raspberry Pi 2, 3
//! and 4.
//!
//! Rust has neither intrinsics nor run-time detection for it on its stable channel, so everything that needs NEON is in
//! functions of assembly with C's calling convention, and short methods of [`Neon`] check lengths and call them. The
//! assembly is the same in the ARM and the Thumb encoding. `.fpu neon` tells the assembler only: the compiler
//! goes on without NEON.
//!
//! # Direct convolution in 16 bits
//!
//! As on [AArch64](super::neon): `vmull.s8` and `vmlal.s8` add two products in 16 bits, `vpadal.s16` adds neighbouring lanes
//! to 32-bit sums. There are half as many registers, so a tile is 2 pixels by 16 channels, four channels at a time: eight
//! registers hold sums, two hold activations, two weights, and four what is between `vmull` and `vpadal`.
#![allow(unsafe_code, reason = "assembly")]

mod direct;
mod winograd;

use core::arch::naked_asm;
use core::mem::offset_of;

use super::patches;
use crate::Isa;
use crate::kernels::parameters::{LANES, Lanes, Parameters, Place, skip_values};
use crate::kernels::winograd::{Blocks, Winograd, pack};
use crate::kernels::{Direct, Epilogue, Kernels, Packing, Target, panels, portable};

static KERNELS: Kernels = Kernels {
    isa: Isa::Neon,
    direct: Direct {
        mr: direct::MR,
        nr: LANES,
        block_bytes: 128 << 10,
        block_columns: usize::MAX,
        packing: Some(Packing {
            weights_len: panels::weights_len::<{ direct::KR }>,
            pack_weights: |source, packed| panels::pack_weights::<Neon, { direct::KR }>(source, 0, packed),
            patches_len: patches::patches_len::<{ direct::MR }, { direct::KR }>,
            pack_patches: |shape, _, source, panels| {
                patches::pack_patches::<{ direct::MR }, { direct::KR }>(shape, source, panels)
            },
            pack_row: None,
        }),
        conv: |block, out| direct::conv(NEON, block, out),
    },
    winograd: Some(Winograd {
        costs: winograd::COSTS,
        stride_2: None,
        blocks: Blocks::USUAL,
        pack_weights: |geometry, source, packed| pack::pack_weights(NEON, geometry, source, packed),
        transform_input: |tile, out| winograd::transform_input(NEON, tile, out),
        transform_weights: |form, panel, chunks, out| {
            winograd::transform_weights(NEON, form, panel, chunks, out)
        },
        multiply: |job, products| winograd::multiply(NEON, job, products),
        transform_output: |job, out| winograd::transform_output(NEON, job, out),
    }),
    transformed: None,
    dot: portable::dot,
    max_into: |out, input| NEON.max_into(out, input),
    sum_into: portable::sum_into,
    copy_into: portable::copy_into,
};

/// The table, if this CPU has NEON.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    is_here().then_some(&KERNELS)
}

#[cfg(feature = "std")]
fn is_here() -> bool {
    /// The kernel's `HWCAP_NEON` of 32-bit ARM.
    const HWCAP_NEON: libc::c_ulong = 1 << 12;
    // SAFETY: `getauxval` has no preconditions.
    unsafe { libc::getauxval(libc::AT_HWCAP) & HWCAP_NEON != 0 }
}

#[cfg(not(feature = "std"))]
const fn is_here() -> bool {
    cfg!(target_feature = "neon")
}

/// Is at hand only where the CPU has NEON, so that it proves it.
#[derive(Debug, Clone, Copy)]
struct Neon(());

/// For the functions of [`KERNELS`] and nothing else: they are reached through [`kernels`] only, which has seen that the CPU
/// has NEON.
const NEON: Neon = Neon(());

impl Lanes for Neon {
    const LANE_CHANNELS: [usize; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// One input channel after the other: `vmlal` multiplies by one lane.
    fn weight_place(lane: usize, input: usize) -> usize {
        input * LANES + lane
    }

    /// Negative, for the whole shift: `vqdmulh` has doubled the product already.
    fn shift_lane(shift: u8) -> i32 {
        -i32::from(shift)
    }
}

/// What is the same for all channels of a layer, as [`requantize`] reads it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Constants {
    /// Of the shortcut, negative.
    skip_shift: i32,
    zero_point: i16,
    low: i8,
    high: i8,
}

impl Constants {
    fn new(target: &Target<'_>) -> Self {
        let Epilogue { zero_point, clamp: [low, high] } = target.epilogue;
        let skip_shift = target.skip.map_or(0, |skip| -i32::from(skip.shift));
        Self { skip_shift, zero_point: zero_point.into(), low, high }
    }
}

impl Neon {
    /// Bias, shortcut, requantization, clamp and store of one pixel's channels of a panel.
    #[inline]
    fn finish(
        self,
        sums: &[i32; LANES],
        parameters: &Parameters,
        constants: &Constants,
        target: &Target<'_>,
        place: Place,
        out: &mut [i8],
    ) -> Option<()> {
        let out = out.get_mut(place.out + target.first_channel..)?;
        let skip = match &target.skip {
            Some(skip) => Some(skip_values(target, skip, place, out)?),
            None => None,
        };
        let width = target.channels.len() - target.first_channel;
        if width >= LANES {
            let out = out.first_chunk_mut()?;
            // SAFETY: a `Neon` is at hand.
            unsafe { requantize(sums, parameters, skip.as_ref(), constants, out) };
        } else {
            let mut values = [0; LANES];
            // SAFETY: as above.
            unsafe { requantize(sums, parameters, skip.as_ref(), constants, &mut values) };
            out.get_mut(..width)?.copy_from_slice(values.get(..width)?);
        }
        Some(())
    }

    fn max_into(self, out: &mut [i8], input: &[i8]) {
        let len = out.len().min(input.len());
        let (Some(out), Some(input)) = (out.get_mut(..len), input.get(..len)) else { return };
        let ((out, out_rest), (input, input_rest)) = (out.as_chunks_mut(), input.as_chunks());
        // SAFETY: a `Neon` is at hand; both have this number of chunks.
        unsafe { max_into(out.as_mut_ptr(), input.as_ptr(), out.len()) };
        portable::max_into(out_rest, input_rest);
    }
}

/// From sums to outputs, sixteen channels of a pixel. `skip` holds the shortcut's values, in the order of channels, if there is
/// one.
///
/// `vqdmulh` is `(acc * mantissa) >> 31`, rounded down, and saturates for no mantissa below 2^31 and above -2^31; `vrshl` rounds
/// half up. Together they are one rounding because the shift is not 0. What saturates while it is narrowed lies beyond all clamps.
///
/// # Safety
///
/// The CPU must have NEON.
#[unsafe(naked)]
unsafe extern "C" fn requantize(
    sums: &[i32; LANES],
    parameters: &Parameters,
    skip: Option<&[i8; LANES]>,
    constants: &Constants,
    out: &mut [i8; LANES],
) {
    /// Two quarters of the shortcut's terms: `$values`, int16, are added to `$low` and `$high`.
    macro_rules! skip_terms {
        ($values_low:literal, $values_high:literal, $low:literal, $high:literal) => {
            concat!(
                "vld1.32 {{d20-d23}}, [r12]!\n",
                "vld1.32 {{d24-d27}}, [r2]!\n",
                "vmovl.s16 q14, ",
                $values_low,
                "\n",
                "vmovl.s16 q15, ",
                $values_high,
                "\n",
                "vmla.i32 q10, q14, q12\n",
                "vmla.i32 q11, q15, q13\n",
                "vld1.32 {{d24[], d25[]}}, [r3]\n",
                "vshl.s32 q10, q10, q12\n",
                "vshl.s32 q11, q11, q12\n",
                "vadd.i32 ",
                $low,
                ", ",
                $low,
                ", q10\n",
                "vadd.i32 ",
                $high,
                ", ",
                $high,
                ", q11\n",
            )
        };
    }
    naked_asm!(
        ".fpu neon",
        "vld1.32 {{d0-d3}}, [r0]!",
        "vld1.32 {{d4-d7}}, [r0]",
        "add r12, r1, {bias}",
        "vld1.32 {{d16-d19}}, [r12]!",
        "vld1.32 {{d20-d23}}, [r12]",
        "vadd.i32 q0, q0, q8",
        "vadd.i32 q1, q1, q9",
        "vadd.i32 q2, q2, q10",
        "vadd.i32 q3, q3, q11",
        "cmp r2, #0",
        "beq 1f",
        "vld1.8 {{d16-d17}}, [r2]",
        "add r12, r1, {skip_offset}",
        "add r2, r1, {skip_multiplier}",
        "vmovl.s8 q9, d17",
        "vmovl.s8 q8, d16",
        skip_terms!("d16", "d17", "q0", "q1"),
        skip_terms!("d18", "d19", "q2", "q3"),
        "1:",
        "add r12, r1, {mantissa}",
        "vld1.32 {{d16-d19}}, [r12]!",
        "vld1.32 {{d20-d23}}, [r12]",
        "add r12, r1, {shift}",
        "vld1.32 {{d24-d27}}, [r12]!",
        "vld1.32 {{d28-d31}}, [r12]",
        "vqdmulh.s32 q0, q0, q8",
        "vqdmulh.s32 q1, q1, q9",
        "vqdmulh.s32 q2, q2, q10",
        "vqdmulh.s32 q3, q3, q11",
        "add r12, r3, {zero_point}",
        "vld1.16 {{d16[], d17[]}}, [r12]",
        "add r12, r3, {low}",
        "vld1.8 {{d18[], d19[]}}, [r12]",
        "add r12, r3, {high}",
        "vld1.8 {{d20[], d21[]}}, [r12]",
        "ldr r12, [sp]",
        "vrshl.s32 q0, q0, q12",
        "vrshl.s32 q1, q1, q13",
        "vrshl.s32 q2, q2, q14",
        "vrshl.s32 q3, q3, q15",
        "vqmovn.s32 d0, q0",
        "vqmovn.s32 d1, q1",
        "vqmovn.s32 d2, q2",
        "vqmovn.s32 d3, q3",
        "vqadd.s16 q0, q0, q8",
        "vqadd.s16 q1, q1, q8",
        "vqmovn.s16 d0, q0",
        "vqmovn.s16 d1, q1",
        "vmax.s8 q0, q0, q9",
        "vmin.s8 q0, q0, q10",
        "vst1.8 {{d0-d1}}, [r12]",
        "bx lr",
        bias = const offset_of!(Parameters, bias),
        mantissa = const offset_of!(Parameters, mantissa),
        shift = const offset_of!(Parameters, shift),
        skip_multiplier = const offset_of!(Parameters, skip_multiplier),
        skip_offset = const offset_of!(Parameters, skip_offset),
        zero_point = const offset_of!(Constants, zero_point),
        low = const offset_of!(Constants, low),
        high = const offset_of!(Constants, high),
    )
}

/// `out[c] = max(out[c], input[c])`.
///
/// # Safety
///
/// The CPU must have NEON; `out` and `input` must have `chunks` chunks.
#[unsafe(naked)]
unsafe extern "C" fn max_into(out: *mut [i8; LANES], input: *const [i8; LANES], chunks: usize) {
    naked_asm!(
        ".fpu neon",
        "cmp r2, #0",
        "beq 2f",
        "1:",
        "vld1.8 {{d0-d1}}, [r0]",
        "vld1.8 {{d2-d3}}, [r1]!",
        "subs r2, r2, #1",
        "vmax.s8 q0, q0, q1",
        "vst1.8 {{d0-d1}}, [r0]!",
        "bne 1b",
        "2:",
        "bx lr",
    )
}
