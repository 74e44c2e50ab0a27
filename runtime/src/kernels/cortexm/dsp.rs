//! The DSP instructions of Cortex-M4, M7 and M33, in assembly: Rust has no intrinsics for them on its stable channel.
//!
//! # Direct convolution: one channel, six pixels
//!
//! `smlad` adds two products of 16 bits. Weights are read where they are, four of a channel with one `ldr`, and widened with two
//! `sxtb16`, which take every other byte; that is paid once for all pixels of a tile. So a tile is one channel of a few pixels,
//! whose sums stay in registers, and patches are widened in the same order once, for all channels, when they are packed:
//!
//! ```text
//! [4 of depth][pixel][0, 2, 1, 3]     then, for what is left of the depth, [depth][pixel]
//! ```
//!
//! Six sums, two pointers and two registers with weights leave four: one `ldm` fills them with the values of two pixels. That makes 18
//! instructions for 24 products; eight pixels, two registers at a time, would take 27 for 32. At the end of a row, tiles of 2 and 4
//! pixels have loops of their own.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::asm;

use super::layout::{self, Dsp, Layout};
use super::tiles::{self, Job, Microkernel, SAVED, Tiles, channels_of_tile};
use super::transformed;
use crate::Isa;
use crate::format::records::ChannelRecord;
use crate::kernels::transformed::Transformed;
use crate::kernels::{Kernels, Patches, Shape};

/// Most pixels of a tile.
const MR: usize = Dsp::MR;

/// The table of [`Isa::CortexmDsp`].
pub(in crate::kernels) static KERNELS: Kernels = layout::with_transformed(
    layout::table(Isa::CortexmDsp, layout::tiled::<Dsp>(tiles::pack_patches::<Dsp>, tiles::conv::<Dsp>)),
    Transformed { transform_input: transformed::transform_input, conv: transformed::conv },
);

impl Tiles for Dsp {
    fn lanes(pixels: usize) -> usize {
        match pixels {
            0..=2 => 2,
            3 | 4 => 4,
            _ => MR,
        }
    }

    fn pack_tile(shape: &Shape, patches: &Patches<'_>, first: usize, panel: &mut [i16]) -> Option<()> {
        let pixels = (patches.pixels - first).min(MR);
        let lanes = Dsp::lanes(pixels);
        let mut places = patches.grid.places_from(first);
        for pixel in 0..pixels {
            let patch = patches.source.get(places.next()?..)?;
            if shape.run_len.is_multiple_of(4) {
                widen(shape, patch, patches.run_stride, lanes, panel.get_mut(pixel * 4..)?)?;
            } else {
                widen_across_runs(shape, patch, patches.run_stride, panel, pixel, lanes)?;
            }
        }
        Some(())
    }

    fn microkernel(lanes: usize) -> Microkernel {
        match lanes {
            2 => multiply_2,
            4 => multiply_4,
            _ => multiply_6,
        }
    }
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
    let (in_fours, rest) = panel.split_at_mut_checked(shape.depth() / 4 * 4 * lanes)?;
    let mut outs = in_fours.get_mut(pixel * 4..).unwrap_or_default().chunks_mut(4 * lanes);
    let mut begun = Begun::default();
    for run in 0..shape.runs {
        let values = patch.get(run * run_stride..)?.get(..shape.run_len)?;
        let (first, values) = values.split_at_checked(begun.missing().min(values.len()))?;
        first.iter().for_each(|value| begun.push(*value));
        if begun.len == 4 {
            put(core::mem::take(&mut begun).word, outs.next()?)?;
        }
        let (fours, last) = values.as_chunks::<4>();
        for (four, out) in fours.iter().zip(&mut outs) {
            put(u32::from_le_bytes(four.map(i8::cast_unsigned)), out)?;
        }
        last.iter().for_each(|value| begun.push(*value));
    }
    let left = begun.word.to_le_bytes();
    for (index, value) in left.iter().take(shape.depth() % 4).enumerate() {
        *rest.get_mut(index * lanes + pixel)? = i16::from(value.cast_signed());
    }
    Some(())
}

/// Four values of which not all have been seen.
#[derive(Default)]
struct Begun {
    /// Those that have, from the lowest byte on.
    word: u32,
    len: usize,
}

impl Begun {
    /// Values that the four still lacks; 0 when it has not begun.
    fn missing(&self) -> usize {
        self.len.wrapping_neg() % 4
    }

    fn push(&mut self, value: i8) {
        self.word |= u32::from(value.cast_unsigned()) << (8 * self.len);
        self.len += 1;
    }
}

/// Widens four values into the first places of `out`.
fn put(word: u32, out: &mut [i16]) -> Option<()> {
    let (even, odd): (u32, u32);
    // SAFETY: this build is for a CPU with the DSP instructions.
    unsafe {
        asm!(
            ".cpu cortex-m33",
            "sxtb16 {even}, {word}",
            "sxtb16 {odd}, {word}, ror #8",
            word = in(reg) word,
            even = out(reg) even,
            odd = lateout(reg) odd,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    *out.first_chunk_mut::<4>()? = bytemuck::cast([even, odd]);
    Some(())
}

/// Widens the fours of a patch's runs into the first four of every `4 * lanes` values of `out`.
fn widen(shape: &Shape, patch: &[i8], run_stride: usize, lanes: usize, out: &mut [i16]) -> Option<()> {
    let last_run = shape.runs.checked_sub(1)?.checked_mul(run_stride)?;
    patch.get(last_run..)?.get(..shape.run_len)?;
    let fours = shape.depth() / 4;
    let in_fours = shape.run_len.is_multiple_of(4);
    if !in_fours || fours == 0 || out.len() < (fours - 1) * 4 * lanes + 4 || out.as_ptr().align_offset(4) != 0
    {
        return None;
    }
    // SAFETY: this build is for a CPU with the DSP instructions. The last run ends in the patch, so all of them do, each is a whole number
    // of fours, and `out`, which is aligned to 4 bytes, has four values for the last four of them.
    unsafe {
        asm!(
            ".cpu cortex-m33",
            "2:",
            "movs {left}, {eights}",
            "beq 4f",
            "3:",
            ".rept 2",
            "ldr {odd}, [{patch}], #4",
            "sxtb16 {even}, {odd}",
            "sxtb16 {odd}, {odd}, ror #8",
            "strd {even}, {odd}, [{out}]",
            "add {out}, {out}, {step}",
            ".endr",
            "subs {left}, {left}, #1",
            "bne 3b",
            "4:",
            "tst {run_len}, #4",
            "beq 6f",
            "ldr {odd}, [{patch}], #4",
            "sxtb16 {even}, {odd}",
            "sxtb16 {odd}, {odd}, ror #8",
            "strd {even}, {odd}, [{out}]",
            "add {out}, {out}, {step}",
            "6:",
            "add {patch}, {patch}, {gap}",
            "subs {runs}, {runs}, #1",
            "bne 2b",
            patch = inout(reg) patch.as_ptr() => _,
            out = inout(reg) out.as_mut_ptr() => _,
            runs = inout(reg) shape.runs => _,
            gap = in(reg) run_stride.wrapping_sub(shape.run_len),
            eights = in(reg) shape.run_len / 8,
            run_len = in(reg) shape.run_len,
            step = in(reg) 4 * lanes * size_of::<i16>(),
            left = out(reg) _,
            even = out(reg) _,
            odd = out(reg) _,
            options(nostack),
        );
    }
    Some(())
}

/// The instructions of [`channels_of_tile`]: r0 panel, r1 weights; r2, r3 and r10 to lr are free while products are made.
macro_rules! dsp {
    (@sixteen $($sum:literal),+) => {
        concat!(dsp!(@four $($sum),+), dsp!(@four $($sum),+), dsp!(@four $($sum),+), dsp!(@four $($sum),+))
    };
    (@four $($even:literal, $odd:literal),+) => {
        concat!(
            "ldr r2, [r1], #4\n",
            "sxtb16 r3, r2, ror #8\n",
            "sxtb16 r2, r2\n",
            $(
                "ldm r0!, {{r10, r11, r12, lr}}\n",
                "smlad ", $even, ", r10, r2, ", $even, "\n",
                "smlad ", $odd, ", r12, r2, ", $odd, "\n",
                "smlad ", $even, ", r11, r3, ", $even, "\n",
                "smlad ", $odd, ", lr, r3, ", $odd, "\n",
            )+
        )
    };
    (@one $($even:literal, $odd:literal),+) => {
        concat!(
            "ldrsb r2, [r1], #1\n",
            $(
                "ldr r12, [r0], #4\n",
                "smlabb ", $even, ", r12, r2, ", $even, "\n",
                "smlatb ", $odd, ", r12, r2, ", $odd, "\n",
            )+
        )
    };
    // r2 mantissa.
    (@high_half $sum:literal) => {
        concat!("smmul ", $sum, ", ", $sum, ", r2\n")
    };
}

channels_of_tile!(
    multiply_6,
    dsp,
    ["r4", "r5", "r6", "r7", "r8", "r9"],
    ["r9", "r8", "r7", "r6", "r5", "r4"]
);
channels_of_tile!(multiply_4, dsp, ["r4", "r5", "r6", "r7"], ["r7", "r6", "r5", "r4"]);
channels_of_tile!(multiply_2, dsp, ["r4", "r5"], ["r5", "r4"]);
