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
use core::mem::offset_of;
use core::ops::Range;

use crate::Isa;
use crate::format::records::ChannelRecord;
use crate::kernels::{
    ConvBlock, Direct, Grid, Kernels, Packing, Patches, Shape, SkipValues, Target, portable,
};

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
                for (first, panel) in tiles.zip(panels.chunks_exact_mut(panel_len(shape))) {
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
    copy_into: portable::copy_into,
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
    let gap = run_stride - shape.run_len;
    let fours_of_run = shape.run_len / 4;
    // SAFETY: this build is for a CPU with the DSP instructions. The last run ends in the patch, so all of them do, and `out`, which is
    // aligned to 4 bytes, has four values for the last four of them.
    unsafe {
        asm!(
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

/// See [`Direct::conv`].
fn conv(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let ConvBlock { shape, target, .. } = block;
    let channels = target.first_channel..shape.channels.min(target.first_channel + KERNELS.direct.nr);
    let on_a_line = |grid: &Grid| grid.width >= block.patches.pixels;
    if !on_a_line(&target.grid) || !target.skip.as_ref().is_none_or(|skip| on_a_line(&skip.grid)) {
        return conv_scattered(block, channels, out);
    }
    let joined = target.skip.as_ref().map_or(channels.end..channels.end, |skip| {
        let within = |channel: usize| channel.clamp(channels.start, channels.end);
        within(skip.channel)..within(skip.channel + skip.channel_count)
    });
    let tiles = (0..block.patches.pixels).step_by(MR);
    for (first, panel) in tiles.zip(block.panels.chunks_exact(panel_len(shape))) {
        let tile = Tile { block, panel, first, pixels: (block.patches.pixels - first).min(MR) };
        tile.run(channels.start..joined.start, None, out)?;
        tile.run(joined.clone(), target.skip.as_ref(), out)?;
        tile.run(joined.end..channels.end, None, out)?;
    }
    Some(())
}

/// A block whose pixels are not equally far apart, which no driver makes of a layer.
fn conv_scattered(block: &ConvBlock<'_>, channels: Range<usize>, out: &mut [i8]) -> Option<()> {
    for first_channel in channels.step_by(portable::KERNELS.direct.nr) {
        let target = Target { first_channel, ..block.target };
        (portable::KERNELS.direct.conv)(&ConvBlock { target, ..*block }, out)?;
    }
    Some(())
}

/// The pixels of a tile.
struct Tile<'a> {
    block: &'a ConvBlock<'a>,
    panel: &'a [i8],
    /// First pixel of the block.
    first: usize,
    pixels: usize,
}

impl Tile<'_> {
    /// Computes some channels, which a shortcut joins or not.
    fn run(&self, channels: Range<usize>, skip: Option<&SkipValues<'_>>, out: &mut [i8]) -> Option<()> {
        if channels.is_empty() {
            return Some(());
        }
        let ConvBlock { target, shape, weights, .. } = self.block;
        let (depth, lanes) = (shape.depth(), lanes(self.pixels));
        let weights = weights.get(channels.start * depth..channels.end * depth)?;
        let records = target.channels.get(channels.clone())?;
        if self.panel.len() < depth * lanes * size_of::<i16>() || self.panel.as_ptr().align_offset(4) != 0 {
            return None;
        }
        let joining = match skip {
            None => Joining { values: core::ptr::null(), step: 0, zero_point: 0, shift: 0 },
            Some(skip) => {
                let (values, grid, channel) = match skip.values {
                    Some(values) => (values, &skip.grid, channels.start - skip.channel),
                    None => (&*out, &target.grid, channels.start),
                };
                let values = self.last_pixel(values, grid, channel, channels.len())?;
                Joining {
                    values,
                    step: grid.column,
                    zero_point: skip.zero_point.into(),
                    shift: skip.shift.into(),
                }
            }
        };
        let start = weights.as_ptr();
        let last = self.last_pixel(out, &target.grid, channels.start, channels.len())?;
        let job = Job {
            panel: self.panel.as_ptr(),
            sixteens: start.wrapping_add(depth / 16 * 16),
            fours: start.wrapping_add(depth / 4 * 4),
            end: start.wrapping_add(depth),
            depth,
            records: records.as_ptr_range(),
            // Derived from the exclusive borrow; the shortcut's pointer, if it is in the same memory, reads what is not written yet.
            out: out
                .as_mut_ptr()
                .wrapping_offset(last.addr().wrapping_sub(out.as_ptr().addr()).cast_signed()),
            step: target.grid.column,
            skip: joining.values,
            skip_step: joining.step,
            unused_pixels: lanes - self.pixels,
            skip_entry: 0,
            zero_point: target.epilogue.zero_point.into(),
            skip_shift: joining.shift,
            skip_offset: -joining.zero_point,
            skip_rounding: crate::arith::skip_rounding(joining.shift.to_le_bytes()[0]),
            weights: start,
        };
        // SAFETY: this build is for a CPU with the DSP instructions. The panel is aligned to 4 bytes and has `lanes` values of 16 bits
        // for every weight of a channel; `weights` has that many weights for each of the records; and `last_pixel` has seen that in
        // `out` and in the shortcut's values these channels of all pixels exist.
        unsafe { if lanes == MR { multiply_8(&raw const job) } else { multiply_4(&raw const job) } };
        self.clamp(channels, out)
    }

    /// Where a channel of the tile's last pixel is; `None` when it, any other pixel or one of the `count` channels is not in `values`.
    fn last_pixel(&self, values: &[i8], grid: &Grid, channel: usize, count: usize) -> Option<*const i8> {
        let last = grid.start + (self.first + self.pixels - 1) * grid.column + channel;
        values.get(last..)?.get(..count).map(<[i8]>::as_ptr)
    }

    /// The assembly clamps to what a byte holds, which is all that most layers ask for.
    fn clamp(&self, channels: Range<usize>, out: &mut [i8]) -> Option<()> {
        let ConvBlock { target: Target { grid, epilogue, .. }, .. } = self.block;
        let [low, high] = epilogue.clamp;
        if epilogue.clamp != [i8::MIN, i8::MAX] {
            for pixel in self.first..self.first + self.pixels {
                let place = grid.start + pixel * grid.column + channels.start;
                out.get_mut(place..)?.get_mut(..channels.len())?.iter_mut().for_each(|value| {
                    *value = (*value).max(low).min(high);
                });
            }
        }
        Some(())
    }
}

/// A shortcut, as the assembly wants it.
struct Joining {
    /// Of the tile's last pixel; null when none joins.
    values: *const i8,
    step: usize,
    zero_point: i32,
    shift: u32,
}

/// What the assembly is told: its stack frame, word by word. It goes through pixels from the last one to the first.
#[repr(C)]
struct Job {
    panel: *const i8,
    /// Where the first channel's weights end that are read 16 at a time.
    sixteens: *const i8,
    /// Where those end that are read 4 at a time.
    fours: *const i8,
    end: *const i8,
    depth: usize,
    records: Range<*const [u8; ChannelRecord::LEN]>,
    /// The first channel of the last pixel.
    out: *mut i8,
    /// Distance of pixels.
    step: usize,
    skip: *const i8,
    skip_step: usize,
    /// Pixels that the loop has and the tile has not; then where the code is that begins with the last pixel.
    unused_pixels: usize,
    /// The same for the code of the shortcut.
    skip_entry: usize,
    zero_point: i32,
    skip_shift: u32,
    /// Minus the shortcut's zero point.
    skip_offset: i32,
    skip_rounding: i32,
    weights: *const i8,
}

/// A function that computes some channels of a tile. While it multiplies, the sums are in r4 and on, the panel is at r0, the weights are
/// at r1, r2 and r3 hold weights of 16 bits, r12 and lr values of a pixel. No register is left, so all else is in the stack frame,
/// which begins as a [`Job`].
macro_rules! multiply {
    ($name:ident, [$first:literal, $($other:literal),+], [$($last:literal),+], [$([$low:literal, $high:literal]),+]) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: *const Job) {
            naked_asm!(
                "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                "sub sp, #{frame}",
                "mov r9, sp",
                "ldm r0!, {{r1, r2, r3, r4, r5, r6, r7, r8}}",
                "stm r9!, {{r1, r2, r3, r4, r5, r6, r7, r8}}",
                "ldm r0!, {{r1, r2, r3, r4, r5, r6, r7, r8}}",
                "stm r9!, {{r1, r2, r3, r4, r5, r6, r7, r8}}",
                "ldm r0, {{r1, r2}}",
                "stm r9, {{r1, r2}}",
                // Where the code for the last pixel is: bit 0 says that it is Thumb code.
                "ldr r2, [sp, #{entry}]",
                "mov r12, #24",
                "adr.w r3, 80f",
                "mla r3, r2, r12, r3",
                "orr r3, r3, #1",
                "str r3, [sp, #{entry}]",
                "mov r12, #20",
                "adr.w r3, 70f",
                "mla r3, r2, r12, r3",
                "orr r3, r3, #1",
                "str r3, [sp, #{skip_entry}]",
                // A channel. Its sums begin with the bias.
                "20:",
                "ldr r1, [sp, #{weights}]",
                "ldr r0, [sp, #{panel}]",
                "ldr r2, [sp, #{record}]",
                concat!("ldr ", $first, ", [r2, #{bias}]"),
                $(concat!("mov ", $other, ", ", $first),)+
                "ldr r2, [sp, #{sixteens}]",
                "b 40f",
                "30:",
                multiply!(@four $first $(, $other)+),
                multiply!(@four $first $(, $other)+),
                multiply!(@four $first $(, $other)+),
                multiply!(@four $first $(, $other)+),
                "ldr r2, [sp, #{sixteens}]",
                "40:",
                "cmp r1, r2",
                "bne 30b",
                "ldr r2, [sp, #{fours}]",
                "b 51f",
                "50:",
                multiply!(@four $first $(, $other)+),
                "ldr r2, [sp, #{fours}]",
                "51:",
                "cmp r1, r2",
                "bne 50b",
                "ldr r2, [sp, #{end}]",
                "b 61f",
                "60:",
                "ldrsb r2, [r1], #1",
                $(
                    "ldr r12, [r0], #4",
                    concat!("smlabb ", $low, ", r12, r2, ", $low),
                    concat!("smlatb ", $high, ", r12, r2, ", $high),
                )+
                "ldr r2, [sp, #{end}]",
                "61:",
                "cmp r1, r2",
                "bne 60b",
                // The next channel's weights.
                "str r1, [sp, #{weights}]",
                "ldr r0, [sp, #{depth}]",
                "add r1, r1, r0",
                "ldrd r2, r3, [sp, #{sixteens}]",
                "add r2, r2, r0",
                "add r3, r3, r0",
                "strd r2, r3, [sp, #{sixteens}]",
                "str r1, [sp, #{end}]",
                // The shortcut: `(q * K + (rounding - zero point * K)) >> shift`.
                "ldr r0, [sp, #{skip}]",
                "cmp r0, #0",
                "beq.w 75f",
                "add r2, r0, #1",
                "str r2, [sp, #{skip}]",
                "ldr r3, [sp, #{record}]",
                "ldr r2, [r3, #{factor}]",
                "ldr r12, [sp, #{skip_offset}]",
                "ldr lr, [sp, #{skip_rounding}]",
                "mla r3, r12, r2, lr",
                "ldr r12, [sp, #{skip_shift}]",
                "ldr r1, [sp, #{skip_step}]",
                "ldr pc, [sp, #{skip_entry}]",
                "70:",
                $(
                    "ldrsb.w lr, [r0]",
                    "sub.w r0, r0, r1",
                    "mla lr, lr, r2, r3",
                    "asr.w lr, lr, r12",
                    concat!("add.w ", $last, ", ", $last, ", lr"),
                )+
                "75:",
                // Requantize, the high half of the product first and one rounding shift then, which is the same (docs/arithmetic.md); `smmla` adds the rounding constant to the high half of the product.
                "ldr r12, [sp, #{record}]",
                "ldr r2, [r12, #{mantissa}]",
                "ldrb r3, [r12, #{shift}]",
                "add r12, r12, #{record_len}",
                "str r12, [sp, #{record}]",
                "sub r12, r3, #1",
                "sub r3, r3, #2",
                "mov r0, #1",
                "lsl r3, r0, r3",
                "ldr r0, [sp, #{out}]",
                "add lr, r0, #1",
                "str lr, [sp, #{out}]",
                "ldr r1, [sp, #{step}]",
                "ldr lr, [sp, #{zero_point}]",
                "ldr pc, [sp, #{entry}]",
                "80:",
                $(
                    concat!("smmla ", $last, ", ", $last, ", r2, r3"),
                    concat!("asr.w ", $last, ", ", $last, ", r12"),
                    concat!("add.w ", $last, ", ", $last, ", lr"),
                    concat!("ssat ", $last, ", #8, ", $last),
                    concat!("strb.w ", $last, ", [r0]"),
                    "sub.w r0, r0, r1",
                )+
                "ldrd r2, r3, [sp, #{record}]",
                "cmp r2, r3",
                "bne.w 20b",
                "add sp, #{frame}",
                "pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
                frame = const size_of::<Job>(),
                panel = const offset_of!(Job, panel),
                sixteens = const offset_of!(Job, sixteens),
                fours = const offset_of!(Job, fours),
                end = const offset_of!(Job, end),
                depth = const offset_of!(Job, depth),
                record = const offset_of!(Job, records),
                out = const offset_of!(Job, out),
                step = const offset_of!(Job, step),
                skip = const offset_of!(Job, skip),
                skip_step = const offset_of!(Job, skip_step),
                entry = const offset_of!(Job, unused_pixels),
                skip_entry = const offset_of!(Job, skip_entry),
                zero_point = const offset_of!(Job, zero_point),
                skip_shift = const offset_of!(Job, skip_shift),
                skip_offset = const offset_of!(Job, skip_offset),
                skip_rounding = const offset_of!(Job, skip_rounding),
                weights = const offset_of!(Job, weights),
                bias = const ChannelRecord::BIAS,
                mantissa = const ChannelRecord::MANTISSA,
                factor = const ChannelRecord::SKIP_MULTIPLIER,
                shift = const ChannelRecord::SHIFT,
                record_len = const ChannelRecord::LEN,
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
}

multiply!(
    multiply_8,
    ["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"],
    ["r11", "r10", "r9", "r8", "r7", "r6", "r5", "r4"],
    [["r4", "r5"], ["r6", "r7"], ["r8", "r9"], ["r10", "r11"]]
);
multiply!(multiply_4, ["r4", "r5", "r6", "r7"], ["r7", "r6", "r5", "r4"], [["r4", "r5"], ["r6", "r7"]]);
