//! The DSP instructions of Cortex-M4, M7 and M33, in assembly: Rust has no intrinsics for them on its stable channel.
//!
//! # Direct convolution: one channel, eight pixels
//!
//! `smlad` adds two products of 16 bits. Weights are read where they are, four of a channel with one `ldr`, and widened with two
//! `sxtb16`, which take every other byte; that is paid once for all pixels of a tile. So a tile is one channel of up to 8 pixels,
//! whose sums fill 8 registers, and patches are widened in the same order once, for all channels, when they are packed:
//!
//! ```text
//! [4 of depth][pixel][0, 2, 1, 3]     then, for what is left of the depth, [depth][pixel]
//! ```
//!
//! Each pair of registers with a pixel's four values is loaded (`ldrd`) right before its two `smlad`: 27 instructions for 32
//! products. A tile of up to 4 pixels has a loop of its own.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::asm;

use super::tiles::{self, Job, NR, Tiles, channels_of_tile};
use crate::Isa;
use crate::format::records::ChannelRecord;
use crate::kernels::{Direct, Kernels, Packing, Patches, Shape, portable};

/// Most pixels of a tile.
const MR: usize = 8;
/// Most pixels of the smaller tile.
const HALF: usize = MR / 2;

/// The table of [`Isa::CortexmDsp`].
pub(in crate::kernels) static KERNELS: Kernels = Kernels {
    isa: Isa::CortexmDsp,
    direct: Direct {
        mr: MR,
        nr: NR,
        block_bytes: 0,
        block_columns: MR,
        packing: Some(Packing {
            weights_len: |_| Some(0),
            pack_weights: |_, _| Some(()),
            patches_len: tiles::panel_len::<Dsp>,
            pack_patches: |shape, _, patches, panels| {
                let firsts = (0..patches.pixels).step_by(MR);
                for (first, panel) in firsts.zip(panels.chunks_exact_mut(tiles::panel_len::<Dsp>(shape)?)) {
                    pack_tile(shape, patches, first, bytemuck::try_cast_slice_mut(panel).ok()?)?;
                }
                Some(())
            },
        }),
        conv: tiles::conv::<Dsp>,
    },
    winograd: None,
    dot: portable::dot,
    max_into: portable::max_into,
    sum_into: portable::sum_into,
    copy_into: portable::copy_into,
};

/// The tiles of this instruction set.
struct Dsp;

impl Tiles for Dsp {
    const MR: usize = MR;
    const VALUE_LEN: usize = size_of::<i16>();

    fn lanes(pixels: usize) -> usize {
        if pixels > HALF { MR } else { HALF }
    }

    unsafe fn run(lanes: usize, job: &Job) {
        // SAFETY: the caller's.
        unsafe { if lanes == MR { multiply_8(job) } else { multiply_4(job) } };
    }
}

/// Packs the patches of the tile that begins at pixel `first`. What pixels that it does not have would hold is left as it is.
fn pack_tile(shape: &Shape, patches: &Patches<'_>, first: usize, panel: &mut [i16]) -> Option<()> {
    let pixels = (patches.pixels - first).min(MR);
    let lanes = Dsp::lanes(pixels);
    let mut places = patches.grid.places_from(first);
    for pixel in 0..pixels {
        let patch = patches.source.get(places.next()?..)?;
        if shape.run_len.is_multiple_of(4) {
            widen(shape, patch, patches.run_stride, panel.get_mut(pixel * 4..)?, 4 * lanes)?;
        } else {
            widen_across_runs(shape, patch, patches.run_stride, panel, pixel, lanes)?;
        }
    }
    Some(())
}

/// Widens a patch whose fours are partly in one run and partly in the next, and what is left at its end.
fn widen_across_runs(
    shape: &Shape,
    patch: &[i8],
    run_stride: usize,
    panel: &mut [i16],
    pixel: usize,
    lanes: usize,
) -> Option<()> {
    let (mut four, mut seen) = ([0i8; 4], 0);
    let fours = shape.depth() / 4;
    let (in_fours, rest) = panel.split_at_mut_checked(fours * 4 * lanes)?;
    let mut in_fours = in_fours.get_mut(pixel * 4..).unwrap_or_default().chunks_mut(4 * lanes);
    for run in 0..shape.runs {
        for value in patch.get(run * run_stride..)?.get(..shape.run_len)? {
            let [_, b, c, d] = four;
            four = [b, c, d, *value];
            seen += 1;
            if seen % 4 == 0 {
                let out: &mut [i16; 4] = in_fours.next()?.first_chunk_mut()?;
                *out = [b, d, c, *value].map(i16::from);
            }
        }
    }
    let left = shape.depth() % 4;
    for (index, value) in four.iter().skip(4 - left).enumerate() {
        *rest.get_mut(index * lanes + pixel)? = i16::from(*value);
    }
    Some(())
}

/// Widens the fours of a patch's runs into one for every `step` values of `out`.
fn widen(shape: &Shape, patch: &[i8], run_stride: usize, out: &mut [i16], step: usize) -> Option<()> {
    let last_run = shape.runs.checked_sub(1)?.checked_mul(run_stride)?;
    patch.get(last_run..)?.get(..shape.run_len)?;
    let fours = shape.depth() / 4;
    if fours == 0 || out.len() < (fours - 1) * step + 4 || out.as_ptr().align_offset(4) != 0 {
        return None;
    }
    let gap = run_stride.wrapping_sub(shape.run_len);
    let fours_of_run = shape.run_len / 4;
    // SAFETY: this build is for a CPU with the DSP instructions. The last run ends in the patch, so all of them do, and `out`, which is
    // aligned to 4 bytes, has four values for the last four of them.
    unsafe {
        asm!(
            ".cpu cortex-m33",
            "2:",
            "mov {left}, {fours_of_run}",
            "3:",
            "ldr {odd}, [{patch}], #4",
            "sxtb16 {even}, {odd}",
            "sxtb16 {odd}, {odd}, ror #8",
            "strd {even}, {odd}, [{out}]",
            "add {out}, {out}, {step}",
            "subs {left}, {left}, #1",
            "bne 3b",
            "add {patch}, {patch}, {gap}",
            "subs {runs}, {runs}, #1",
            "bne 2b",
            patch = inout(reg) patch.as_ptr() => _,
            out = inout(reg) out.as_mut_ptr() => _,
            runs = inout(reg) shape.runs => _,
            gap = in(reg) gap,
            fours_of_run = in(reg) fours_of_run,
            step = in(reg) step * size_of::<i16>(),
            left = out(reg) _,
            even = out(reg) _,
            odd = out(reg) _,
            options(nostack),
        );
    }
    Some(())
}

/// The instructions of [`channels_of_tile`]: r0 panel, r1 weights; r2, r3, r12 and lr are free while products are made.
macro_rules! dsp {
    (@sixteen $($sum:literal),+) => {
        concat!(dsp!(@four $($sum),+), dsp!(@four $($sum),+), dsp!(@four $($sum),+), dsp!(@four $($sum),+))
    };
    (@four $($sum:literal),+) => {
        concat!(
            "ldr r2, [r1], #4\n",
            "sxtb16 r3, r2, ror #8\n",
            "sxtb16 r2, r2\n",
            $(
                "ldrd r12, lr, [r0], #8\n",
                "smlad ", $sum, ", r12, r2, ", $sum, "\n",
                "smlad ", $sum, ", lr, r3, ", $sum, "\n",
            )+
        )
    };
    (@one $($sum:literal),+) => {
        concat!(
            "ldrsb r2, [r1], #1\n",
            $(
                "ldrsh r12, [r0], #2\n",
                "smlabb ", $sum, ", r12, r2, ", $sum, "\n",
            )+
        )
    };
    // r2 mantissa, r3 rounding constant, r12 shift, lr zero point. `smmla` adds the constant to the high half of the product.
    (@requantize $sum:literal) => {
        concat!(
            "smmla ", $sum, ", ", $sum, ", r2, r3\n",
            "asr.w ", $sum, ", ", $sum, ", r12\n",
            "add.w ", $sum, ", ", $sum, ", lr\n",
            "ssat ", $sum, ", #8, ", $sum, "\n",
        )
    };
    (@requantize_len) => {
        16
    };
}

channels_of_tile!(
    multiply_8,
    dsp,
    ["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"],
    ["r11", "r10", "r9", "r8", "r7", "r6", "r5", "r4"]
);
channels_of_tile!(multiply_4, dsp, ["r4", "r5", "r6", "r7"], ["r7", "r6", "r5", "r4"]);
