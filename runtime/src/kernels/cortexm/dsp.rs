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
//! products. A tile of up to 4 pixels has a loop of its own. Scratch is scarce, so only one tile's patches exist at a time.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::{asm, naked_asm};

use crate::Isa;
use crate::arith::requantize_high;
use crate::kernels::{ConvBlock, Direct, Epilogue, Kernels, Packing, Patches, Shape, SkipValues, portable};
use crate::model::Channel;

/// Most pixels of a tile.
const MR: usize = 8;
/// Most pixels of the smaller tile.
const HALF: usize = MR / 2;

/// The table of [`Isa::CortexmDsp`].
pub(in crate::kernels) static KERNELS: Kernels = Kernels {
    isa: Isa::CortexmDsp,
    direct: Direct {
        mr: MR,
        nr: 1 << 12,
        block_bytes: 0,
        block_columns: MR,
        packing: Some(Packing {
            weights_len: |_| Some(0),
            pack_weights: |_, _| Some(()),
            patches_len: |shape| (shape.depth() * MR * size_of::<i16>()).checked_next_multiple_of(64),
            pack_patches: |shape, _, patches, panels| {
                let tiles = (0..patches.pixels).step_by(MR);
                for (first, panel) in tiles.zip(panels.chunks_exact_mut(panel_len(shape).max(64))) {
                    pack_tile(shape, patches, first, bytemuck::try_cast_slice_mut(panel).ok()?)?;
                }
                Some(())
            },
        }),
        conv,
    },
    winograd: None,
    dot: portable::dot,
    max_into: portable::max_into,
    sum_into: portable::sum_into,
};

/// Bytes of the panel of a tile.
const fn panel_len(shape: &Shape) -> usize {
    (shape.depth() * MR * size_of::<i16>()).next_multiple_of(64)
}

/// Pixels that the loop works on for a tile of `pixels` pixels.
const fn lanes(pixels: usize) -> usize {
    if pixels > HALF { MR } else { HALF }
}

/// Packs the patches of the tile that begins at pixel `first`. What pixels that it does not have would hold is left as it is.
fn pack_tile(shape: &Shape, patches: &Patches<'_>, first: usize, panel: &mut [i16]) -> Option<()> {
    let pixels = (patches.pixels - first).min(MR);
    let lanes = lanes(pixels);
    let mut places = patches.grid.places_from(first);
    for pixel in 0..pixels {
        let place = places.next()?;
        for run in 0..shape.runs {
            let values = patches.source.get(place + run * patches.run_stride..)?.get(..shape.run_len)?;
            if shape.run_len.is_multiple_of(4) {
                let quads = panel.get_mut((run * shape.run_len * lanes + pixel * 4)..)?;
                widen(values, quads, lanes)?;
            } else {
                for (index, value) in (run * shape.run_len..).zip(values) {
                    *panel.get_mut(place_in_panel(index, shape.depth(), lanes, pixel))? = i16::from(*value);
                }
            }
        }
    }
    Some(())
}

/// Where value `index` of a pixel's patch goes.
const fn place_in_panel(index: usize, depth: usize, lanes: usize, pixel: usize) -> usize {
    if index < depth / 4 * 4 {
        index / 4 * 4 * lanes + pixel * 4 + [0, 2, 1, 3][index % 4]
    } else {
        index * lanes + pixel
    }
}

/// Widens fours of values, one for every `4 * lanes` of `out`.
#[inline(always)]
fn widen(values: &[i8], out: &mut [i16], lanes: usize) -> Option<()> {
    let (fours, _) = values.as_chunks::<4>();
    for (four, out) in fours.iter().zip(out.chunks_mut(4 * lanes)) {
        let four = u32::from_le_bytes(four.map(i8::cast_unsigned));
        let (even, odd): (u32, u32);
        // SAFETY: this build is for a CPU with the DSP instructions; nothing but registers is read or written.
        unsafe {
            asm!(
                "sxtb16 {even}, {four}",
                "sxtb16 {odd}, {four}, ror #8",
                four = in(reg) four, even = out(reg) even, odd = out(reg) odd,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        let words: &mut [u32; 2] =
            bytemuck::try_from_bytes_mut(bytemuck::cast_slice_mut(out.get_mut(..4)?)).ok()?;
        *words = [even, odd];
    }
    Some(())
}

/// See [`Direct::conv`].
fn conv(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let ConvBlock { shape, target, .. } = block;
    let channels = target.first_channel..shape.channels.min(target.first_channel + KERNELS.direct.nr);
    let mut places = target.grid.places();
    let mut skip_places = target.skip.as_ref().map(|skip| skip.grid.places());
    let tiles = (0..block.patches.pixels).step_by(MR);
    for (first, panel) in tiles.zip(block.panels.chunks_exact(panel_len(shape).max(64))) {
        let pixels = (block.patches.pixels - first).min(MR);
        let tile = Tile {
            places: core::array::from_fn(|pixel| if pixel < pixels { places.next().unwrap_or(0) } else { 0 }),
            skip_places: core::array::from_fn(|pixel| match &mut skip_places {
                Some(places) if pixel < pixels => places.next().unwrap_or(0),
                _ => 0,
            }),
            pixels,
        };
        for channel in channels.clone() {
            let weights = block.weights.get(channel * shape.depth()..)?.get(..shape.depth())?;
            let parameters = Channel::read(target.channels.get(channel)?);
            let mut sums = products(panel, weights, lanes(pixels))?;
            if let Some(skip) = &target.skip {
                tile.add_skip(skip, channel, &parameters, &mut sums, out)?;
            }
            tile.store(&target.epilogue, channel, &parameters, &sums, out)?;
        }
    }
    Some(())
}

/// The pixels of a tile.
struct Tile {
    /// Where their channels start in the output.
    places: [usize; MR],
    /// Where they start in the shortcut.
    skip_places: [usize; MR],
    /// Their number.
    pixels: usize,
}

impl Tile {
    /// Adds what the shortcut contributes to the sums of a channel.
    fn add_skip(
        &self,
        skip: &SkipValues<'_>,
        channel: usize,
        parameters: &Channel,
        sums: &mut [i32; MR],
        out: &[i8],
    ) -> Option<()> {
        let own_channel = channel.wrapping_sub(skip.channel);
        if own_channel >= skip.channel_count {
            return Some(());
        }
        let (values, places, channel) = match skip.values {
            Some(values) => (values, &self.skip_places, own_channel),
            None => (out, &self.places, channel),
        };
        for (sum, place) in sums.iter_mut().zip(places).take(self.pixels) {
            let value = *values.get(place + channel)?;
            *sum += crate::arith::skip_term(value, skip.zero_point, parameters.skip_multiplier, skip.shift);
        }
        Some(())
    }

    /// Requantizes, clamps and stores the sums of a channel.
    fn store(
        &self,
        epilogue: &Epilogue,
        channel: usize,
        parameters: &Channel,
        sums: &[i32; MR],
        out: &mut [i8],
    ) -> Option<()> {
        let [low, high] = epilogue.clamp;
        for (sum, place) in sums.iter().zip(&self.places).take(self.pixels) {
            let acc = parameters.bias + sum;
            *out.get_mut(place + channel)? =
                requantize_high(acc, parameters.multiplier, epilogue.zero_point, low, high);
        }
        Some(())
    }
}

/// What the assembly is told, in the order in which it reads it.
#[repr(C)]
struct Job {
    panel: *const i8,
    weights: *const i8,
    /// Where the weights end that are read 16 at a time.
    sixteens: *const i8,
    /// Where those end that are read 4 at a time.
    fours: *const i8,
    end: *const i8,
    sums: *mut i32,
}

/// The sums of a tile of `lanes` pixels and one channel; `None` when the panel is too short.
#[inline(always)]
fn products(panel: &[i8], weights: &[i8], lanes: usize) -> Option<[i32; MR]> {
    let mut sums = [0; MR];
    let depth = weights.len();
    if panel.len() < depth * lanes * size_of::<i16>() || panel.as_ptr().align_offset(4) != 0 {
        return None;
    }
    let start = weights.as_ptr();
    let job = Job {
        panel: panel.as_ptr(),
        weights: start,
        sixteens: start.wrapping_add(depth / 16 * 16),
        fours: start.wrapping_add(depth / 4 * 4),
        end: start.wrapping_add(depth),
        sums: sums.as_mut_ptr(),
    };
    // SAFETY: this build is for a CPU with the DSP instructions; the panel is aligned to 4 bytes and has `lanes` values of 16 bits
    // for every weight, and `lanes` sums are written, of which there are as many or more.
    unsafe { if lanes == MR { multiply_8(&raw const job) } else { multiply_4(&raw const job) } };
    Some(sums)
}

/// A function that computes the sums of one channel for the tile's pixels. Registers: r4 and on sums, r0 panel, r1 weights, r2 and r3
/// weights of 16 bits, r12 and lr values of a pixel; the ends of the loops and the place of the sums are on the stack, since no
/// register is left.
macro_rules! multiply {
    ($name:ident, [$($sum:literal),+], [$([$low:literal, $high:literal]),+]) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: *const Job) {
            naked_asm!(
                "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                "sub sp, #16",
                "ldm r0!, {{r1, r2, r3, r4, r5, r6}}",
                "strd r3, r4, [sp]",
                "strd r5, r6, [sp, #8]",
                "mov r0, r1",
                "mov r1, r2",
                $(concat!("mov ", $sum, ", #0"),)+
                "ldr r2, [sp]",
                "b 3f",
                "2:",
                multiply!(@four $($sum),+),
                multiply!(@four $($sum),+),
                multiply!(@four $($sum),+),
                multiply!(@four $($sum),+),
                "ldr r2, [sp]",
                "3:",
                "cmp r1, r2",
                "bne 2b",
                "ldr r2, [sp, #4]",
                "b 5f",
                "4:",
                multiply!(@four $($sum),+),
                "ldr r2, [sp, #4]",
                "5:",
                "cmp r1, r2",
                "bne 4b",
                "ldr r2, [sp, #8]",
                "b 7f",
                "6:",
                "ldrsb r2, [r1], #1",
                $(
                    "ldr r12, [r0], #4",
                    concat!("smlabb ", $low, ", r12, r2, ", $low),
                    concat!("smlatb ", $high, ", r12, r2, ", $high),
                )+
                "ldr r2, [sp, #8]",
                "7:",
                "cmp r1, r2",
                "bne 6b",
                "ldr r2, [sp, #12]",
                multiply!(@store $($sum),+),
                "add sp, #16",
                "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
            )
        }
    };
    // Four values of depth.
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
    (@store $first:literal $(, $sum:literal)+) => {
        concat!("stm r2, {{", $first, $(", ", $sum,)+ "}}")
    };
}

multiply!(
    multiply_8,
    ["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"],
    [["r4", "r5"], ["r6", "r7"], ["r8", "r9"], ["r10", "r11"]]
);
multiply!(multiply_4, ["r4", "r5", "r6", "r7"], [["r4", "r5"], ["r6", "r7"]]);
