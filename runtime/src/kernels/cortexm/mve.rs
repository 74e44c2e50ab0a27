//! Helium, the vector extension (MVE) of Cortex-M55 and M85, in assembly: Rust has no intrinsics for it on its stable channel.
//! Weights and patches are read where they are.
//!
//! # Direct convolution with patches in registers
//!
//! `vmladava.s8` adds 16 products to a general register. A tile is up to 7 pixels by up to 64 channels, and works on
//! *slices* of 16 values of depth: the slices of all pixels stay in `q0` to `q6` while those of the weights pass by in
//! `q7`, one channel after the other. So one load of weights is for 7 `vmladava`, and the only other memory traffic is
//! that of the 7 sums of a channel, with one `ldm` and one `stm`.
//!
//! Where a run is no multiple of 16 long, the lanes of its last slice that belong to something else are 0 in the
//! registers of the pixels, so what the weights have there does not matter. Weights are never read beyond their channel's: near
//! its end the 16 values begin earlier, and the lanes of the pixels move along.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::mem::{MaybeUninit, offset_of};
use core::ops::Range;

use crate::Isa;
use crate::format::records::ChannelRecord;
use crate::kernels::{ConvBlock, Direct, Epilogue, Grid, Kernels, Patches, SkipValues, Target, portable};

/// Most pixels of a tile.
const MR: usize = 7;
/// Most channels of a tile.
const NR: usize = 64;
/// Values of a slice.
const SLICE: usize = 16;
/// Channels that are requantized together.
const GROUP: usize = 4;

/// The table of [`Isa::CortexmMve`].
pub(in crate::kernels) static KERNELS: Kernels = Kernels {
    isa: Isa::CortexmMve,
    direct: Direct { mr: MR, nr: NR, block_bytes: 18 << 10, packing: None, conv },
    winograd: None,
    dot: |input, weights| {
        // SAFETY: this build is for a CPU with MVE; both have so many values.
        unsafe { dot(input.as_ptr(), weights.as_ptr(), input.len().min(weights.len())) }
    },
    max_into: |out, input| {
        // SAFETY: this build is for a CPU with MVE; both have so many values.
        unsafe { max_into(out.as_mut_ptr(), input.as_ptr(), out.len().min(input.len())) }
    },
    sum_into: |sums, input| {
        // SAFETY: this build is for a CPU with MVE; both have so many values.
        unsafe { sum_into(sums.as_mut_ptr(), input.as_ptr(), sums.len().min(input.len())) }
    },
};

/// See [`Direct::conv`].
fn conv(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    if block.shape.depth() < SLICE {
        return conv_shallow(block, out);
    }
    let mut products = Products::new(block)?;
    let mut outputs = Outputs::new(&block.target, products.channels.clone(), block.patches.pixels, out)?;
    let mut first = 0;
    while first < block.patches.pixels {
        let pixels = outputs.row_rest(first).min(block.patches.pixels - first).min(MR);
        let mut sums = Sums::uninit();
        products.multiply(first, pixels, &mut sums);
        outputs.finish(first, pixels, &sums, out)?;
        first += pixels;
    }
    Some(())
}

/// A layer that has less than one slice.
fn conv_shallow(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let first = block.target.first_channel;
    for first_channel in (first..block.shape.channels.min(first + NR)).step_by(portable::NR) {
        portable::conv(&ConvBlock { target: Target { first_channel, ..block.target }, ..*block }, out)?;
    }
    Some(())
}

/// The sums of a tile: `[channel][pixel]`, without gaps.
type Sums = MaybeUninit<[i32; NR * MR]>;

/// The largest place of one of the grid's first `pixels` pixels.
fn last_place(grid: &Grid, pixels: usize) -> Option<usize> {
    let last = grid.place(pixels.checked_sub(1)?);
    let end_of_rows = pixels / grid.width * grid.width;
    Some(end_of_rows.checked_sub(1).map_or(last, |pixel| last.max(grid.place(pixel))))
}

/// The products of a block.
struct Products<'a> {
    patches: Patches<'a>,
    /// Output channels.
    channels: Range<usize>,
    /// What is the same for all tiles is there already.
    tile: Tile,
}

impl<'a> Products<'a> {
    /// `None` when a slice is too short for the block.
    fn new(block: &ConvBlock<'a>) -> Option<Self> {
        let ConvBlock { shape, patches, .. } = *block;
        let depth = shape.depth();
        let first = block.target.first_channel;
        let channels = first..shape.channels.min(first + NR);
        let weights = block.weights.get(first * depth..channels.end * depth)?;
        let last_run = shape.runs.checked_sub(1)?.checked_mul(patches.run_stride)?;
        patches
            .source
            .get(last_place(&patches.grid, patches.pixels)?..)?
            .get(last_run..)?
            .get(..shape.run_len)?;
        let tile = Tile {
            runs: [patches.source.as_ptr(); MR],
            slices: [patches.source.as_ptr(); MR],
            weights: weights.as_ptr(),
            last_slice: weights.get(depth.checked_sub(SLICE)?..)?.as_ptr(),
            depth,
            channels: channels.len(),
            run_stride: patches.run_stride,
            run_len: shape.run_len,
            run_count: shape.runs,
            sums: core::ptr::null_mut(),
            add: 0,
        };
        Some(Self { patches, channels, tile })
    }

    /// The sums of the `pixels` pixels from `first` on, which the block must have.
    #[inline]
    fn multiply(&mut self, first: usize, pixels: usize, sums: &mut Sums) {
        let Patches { source, grid, .. } = &self.patches;
        let (place, last) = (grid.place(first), pixels - 1);
        let one_row = grid.width == usize::MAX || first % grid.width + pixels <= grid.width;
        for (index, run) in self.tile.runs.iter_mut().enumerate() {
            let index = index.min(last);
            let place = if one_row { place + index * grid.column } else { grid.place(first + index) };
            *run = source.as_ptr().wrapping_add(place);
        }
        self.tile.sums = sums.as_mut_ptr().cast();
        let multiply = match pixels {
            1 => multiply_1,
            2 => multiply_2,
            3 => multiply_3,
            4 => multiply_4,
            5 => multiply_5,
            6 => multiply_6,
            _ => multiply_7,
        };
        // SAFETY: this build is for a CPU with MVE. `new` has seen that all runs of all pixels are in the source, and the weights of
        // `channels` channels, `depth` values each, which are at least `SLICE`. There are `NR` channels and `MR` pixels at most, so there is
        // room for the sums.
        unsafe { multiply(&mut self.tile) };
    }
}

/// What the `multiply_*` functions work on.
#[repr(C)]
struct Tile {
    /// Where the next run of every pixel starts; the last pixel's again for those that are missing.
    runs: [*const i8; MR],
    /// Where the next slices are.
    slices: [*const i8; MR],
    /// The first channel's.
    weights: *const i8,
    /// The last [`SLICE`] weights of the first channel.
    last_slice: *const i8,
    /// Weights of a channel.
    depth: usize,
    channels: usize,
    run_stride: usize,
    run_len: usize,
    run_count: usize,
    sums: *mut i32,
    /// 0 as long as there are no sums.
    add: usize,
}

/// Defines a function that multiplies a tile: `$sum` are the registers of the pixels' sums, which `$load` loads, `$pixel` those of
/// their slices.
///
/// Of the general registers, the odd ones hold what stays and the even ones, which `vmladava` can write, the sums.
macro_rules! multiply {
    ($name:ident, $load:literal: $sum0:literal $pixel0:literal $(, $sum:literal $pixel:literal)*) => {
        /// The sums of a tile.
        ///
        /// # Safety
        ///
        /// The CPU must have MVE; there must be what the fields of the tile say, and at least one run, of one value, one channel,
        /// and [`SLICE`] values of depth.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(tile: &mut Tile) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "mov r11, r0",
                "ldr r5, [r11, {depth}]",
                "ldr r7, [r11, {weights}]",
                "ldr r1, [r11, {run_count}]",
                "mov r2, #0",
                "str r2, [r11, {add}]",
                "push {{r1, r2}}",
                // A run.
                "1:",
                "ldr r9, [r11, {run_stride}]",
                "add r3, r11, {slices}",
                "ldm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
                "stm r3, {{r0, r2, r4, r6, r8, r10, r12}}",
                "add r0, r9",
                "add r2, r9",
                "add r4, r9",
                "add r6, r9",
                "add r8, r9",
                "add r10, r9",
                "add r12, r9",
                "stm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
                "ldr r9, [r11, {run_len}]",
                // A slice; r9 values are left of the run.
                "2:",
                "add r3, r11, {slices}",
                "ldm r3, {{r0, r2, r4, r6, r8, r10, r12}}",
                "cmp r9, {slice}",
                "blt 3f",
                "vldrb.u8 q0, [r0], #16",
                "vldrb.u8 q1, [r2], #16",
                "vldrb.u8 q2, [r4], #16",
                "vldrb.u8 q3, [r6], #16",
                "vldrb.u8 q4, [r8], #16",
                "vldrb.u8 q5, [r10], #16",
                "vldrb.u8 q6, [r12], #16",
                "stm r3, {{r0, r2, r4, r6, r8, r10, r12}}",
                "mov r3, r7",
                "4:",
                "ldr r0, [r11, {add}]",
                "ldr r1, [r11, {sums}]",
                "ldr lr, [r11, {channels}]",
                "cbz r0, 6f",
                "dls lr, lr",
                "5:",
                "vldrb.u8 q7, [r3]",
                "add r3, r5",
                $load,
                concat!("vmladava.s8 ", $sum0, ", ", $pixel0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $pixel, ", q7"),)*
                concat!("stm r1!, {{", $sum0 $(, ", ", $sum)*, "}}"),
                "le lr, 5b",
                "b 8f",
                // The first slice.
                "6:",
                "str r11, [r11, {add}]",
                "dls lr, lr",
                "7:",
                "vldrb.u8 q7, [r3]",
                "add r3, r5",
                concat!("vmladav.s8 ", $sum0, ", ", $pixel0, ", q7"),
                $(concat!("vmladav.s8 ", $sum, ", ", $pixel, ", q7"),)*
                concat!("stm r1!, {{", $sum0 $(, ", ", $sum)*, "}}"),
                "le lr, 7b",
                "8:",
                "add r7, {slice}",
                "subs r9, {slice}",
                "bgt 2b",
                "add r7, r9",
                "ldr r0, [sp]",
                "subs r0, #1",
                "str r0, [sp]",
                "bne 1b",
                "pop {{r1, r2}}",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
                // The rest of a run: r9 values. Lanes before and behind them become 0.
                "3:",
                "ldr r3, [r11, {last_slice}]",
                "cmp r7, r3",
                "it ls",
                "movls r3, r7",
                "sub lr, r7, r3",
                "mov r1, #1",
                "lsl r1, r9",
                "sub r1, #1",
                "lsl r1, lr",
                "vmsr p0, r1",
                "sub r0, lr",
                "sub r2, lr",
                "sub r4, lr",
                "sub r6, lr",
                "sub r8, lr",
                "sub r10, lr",
                "sub r12, lr",
                "vpstttt",
                "vldrbt.u8 q0, [r0]",
                "vldrbt.u8 q1, [r2]",
                "vldrbt.u8 q2, [r4]",
                "vldrbt.u8 q3, [r6]",
                "vpsttt",
                "vldrbt.u8 q4, [r8]",
                "vldrbt.u8 q5, [r10]",
                "vldrbt.u8 q6, [r12]",
                "b 4b",
                slice = const SLICE,
                slices = const offset_of!(Tile, slices),
                weights = const offset_of!(Tile, weights),
                last_slice = const offset_of!(Tile, last_slice),
                depth = const offset_of!(Tile, depth),
                channels = const offset_of!(Tile, channels),
                run_stride = const offset_of!(Tile, run_stride),
                run_len = const offset_of!(Tile, run_len),
                run_count = const offset_of!(Tile, run_count),
                sums = const offset_of!(Tile, sums),
                add = const offset_of!(Tile, add),
            )
        }
    };
}

multiply!(multiply_1, "ldr r0, [r1]": "r0" "q0");
multiply!(multiply_2, "ldm r1, {{r0, r2}}": "r0" "q0", "r2" "q1");
multiply!(multiply_3, "ldm r1, {{r0, r2, r4}}": "r0" "q0", "r2" "q1", "r4" "q2");
multiply!(multiply_4, "ldm r1, {{r0, r2, r4, r6}}": "r0" "q0", "r2" "q1", "r4" "q2", "r6" "q3");
multiply!(multiply_5, "ldm r1, {{r0, r2, r4, r6, r8}}": "r0" "q0", "r2" "q1", "r4" "q2", "r6" "q3", "r8" "q4");
multiply!(multiply_6, "ldm r1, {{r0, r2, r4, r6, r8, r10}}": "r0" "q0", "r2" "q1", "r4" "q2", "r6" "q3", "r8" "q4", "r10" "q5");
multiply!(multiply_7, "ldm r1, {{r0, r2, r4, r6, r8, r10, r12}}": "r0" "q0", "r2" "q1", "r4" "q2", "r6" "q3", "r8" "q4", "r10" "q5", "r12" "q6");

/// The way from sums to outputs.
struct Outputs<'a> {
    target: &'a Target<'a>,
    /// The channels before those that the shortcut joins, these, and those behind.
    parts: [Part; 3],
}

/// Channels that the shortcut joins, all or none.
struct Part {
    channels: Range<usize>,
    /// Those of them that fill groups; what is the same for all tiles is there already.
    groups: Groups,
    joins: bool,
}

impl<'a> Outputs<'a> {
    /// For channels and pixels that the block has. `None` when a slice is too short for them.
    fn new(target: &'a Target<'a>, channels: Range<usize>, pixels: usize, out: &[i8]) -> Option<Self> {
        out.get(last_place(&target.grid, pixels)?..)?.get(..channels.end)?;
        target.channels.get(..channels.end)?;
        let joined = target.skip.map_or(0..0, |skip| skip.channel..skip.channel + skip.channel_count);
        let start = joined.start.clamp(channels.start, channels.end);
        let end = joined.end.clamp(start, channels.end);
        if let Some(SkipValues { values: Some(values), grid, channel, .. }) = target.skip
            && start < end
        {
            values.get(last_place(&grid, pixels)?..)?.get(..end - channel)?;
        }
        let parts = [(channels.start..start, false), (start..end, true), (end..channels.end, false)];
        Some(Self { target, parts: parts.map(|(channels, joins)| Part::new(target, channels, joins)) })
    }

    /// Pixels from `first` on that are equally far apart, in the output and in the shortcut.
    #[inline]
    fn row_rest(&self, first: usize) -> usize {
        let rest = |grid: &Grid| {
            if grid.width == usize::MAX { usize::MAX } else { grid.width - first % grid.width }
        };
        let pixels = rest(&self.target.grid);
        self.target.skip.as_ref().map_or(pixels, |skip| pixels.min(rest(&skip.grid)))
    }

    /// Requantizes and stores a tile.
    #[inline]
    fn finish(&mut self, first: usize, pixels: usize, sums: &Sums, out: &mut [i8]) -> Option<()> {
        let target = self.target;
        let place = target.grid.place(first);
        let mut sums: *const i32 = sums.as_ptr().cast();
        for part in &mut self.parts {
            if part.channels.is_empty() {
                continue;
            }
            let groups = &mut part.groups;
            if groups.count > 0 {
                (groups.sums, groups.pixels) = (sums, pixels);
                groups.out = out.as_mut_ptr().wrapping_add(place + part.channels.start);
                if let (Some(skip), true) = (&target.skip, part.joins) {
                    groups.skip = match skip.values {
                        Some(values) => values
                            .as_ptr()
                            .wrapping_add(skip.grid.place(first) + part.channels.start - skip.channel),
                        None => groups.out.cast_const(),
                    };
                    // SAFETY: as below; `new` has also seen that each pixel has these channels of the shortcut.
                    unsafe { requantize_skip(groups) };
                } else {
                    // SAFETY: this build is for a CPU with MVE; `Products::multiply` has written the sums, and `new` has seen
                    // that there are records of all channels, and room for them in all pixels.
                    unsafe { requantize(groups) };
                }
            }
            let whole = groups.count * GROUP;
            if whole < part.channels.len() {
                let channels = part.channels.start + whole..part.channels.end;
                finish_rest(target, channels, first..first + pixels, sums.wrapping_add(whole * pixels), out)?;
            }
            sums = sums.wrapping_add(part.channels.len() * pixels);
        }
        Some(())
    }
}

impl Part {
    fn new(target: &Target<'_>, channels: Range<usize>, joins: bool) -> Self {
        let Epilogue { zero_point, clamp: [low, high] } = target.epilogue;
        let (skip_step, zero_shift) = target.skip.map_or((0, (0, 0)), |skip| {
            let step = if skip.values.is_some() { skip.grid.column } else { target.grid.column };
            (step, (skip.zero_point, skip.shift))
        });
        let groups = Groups {
            sums: core::ptr::null(),
            pixels: 0,
            records: target.channels.as_ptr().wrapping_add(channels.start),
            count: channels.len() / GROUP,
            out: core::ptr::null_mut(),
            out_step: target.grid.column,
            zero_point: zero_point.into(),
            low: low.into(),
            high: [high.into(); GROUP],
            skip: core::ptr::null(),
            skip_step,
            skip_zero_point: zero_shift.0.into(),
            skip_shift: zero_shift.1.into(),
        };
        Self { channels, groups, joins }
    }
}

/// Channels that fill no group; `sums` are theirs.
fn finish_rest(
    target: &Target<'_>,
    channels: Range<usize>,
    pixels: Range<usize>,
    sums: *const i32,
    out: &mut [i8],
) -> Option<()> {
    let target =
        Target { channels: target.channels.get(..channels.end)?, first_channel: channels.start, ..*target };
    for (index, pixel) in pixels.clone().enumerate() {
        let mut acc = [0; portable::NR];
        for (channel, acc) in acc.iter_mut().enumerate().take(channels.len()) {
            // SAFETY: `Products::multiply` has written the sums of all channels and pixels of the tile.
            *acc = unsafe { *sums.add(channel * pixels.len() + index) };
        }
        portable::store(&target, pixel, &acc, out)?;
    }
    Some(())
}

/// What `requantize` and `requantize_skip` work on.
#[repr(C)]
struct Groups {
    /// `[channel][pixel]`.
    sums: *const i32,
    pixels: usize,
    records: *const [u8; ChannelRecord::LEN],
    /// Number of groups.
    count: usize,
    /// The first pixel's.
    out: *mut i8,
    /// Distance between pixels.
    out_step: usize,
    zero_point: i32,
    low: i32,
    high: [i32; GROUP],
    skip: *const i8,
    skip_step: usize,
    skip_zero_point: i32,
    skip_shift: i32,
}

/// Defines a function that makes outputs of sums; `$skip` adds the shortcut to `q7`, and may use `q6`.
///
/// `vqdmulh` is `(acc * mantissa) >> 31`, rounded down, and saturates for no mantissa below 2^31 and above -2^31; `vrshl` rounds half up, and
/// reads the lowest byte of its shifts only. Together they are one rounding because the shift is not 0.
macro_rules! requantize {
    ($name:ident, $($skip:literal),*) => {
        /// Bias, shortcut, requantization, clamp and store, four channels at a time.
        ///
        /// # Safety
        ///
        /// The CPU must have MVE; there must be what the fields of the argument say, one group and one pixel at least.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(groups: &Groups) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "sub sp, {stack}",
                "add r1, r0, {high}",
                "vldrw.u32 q6, [r1]",
                "vstrw.32 q6, [sp]",
                // Addresses of the first pixel's sums, less 4: they are increased before they are used.
                "ldr r1, [r0, {sums}]",
                "ldr r10, [r0, {pixels}]",
                "lsl r8, r10, #2",
                "mov r2, #0",
                "vidup.u32 q0, r2, #1",
                "vmul.i32 q0, q0, r8",
                "sub r1, #4",
                "vadd.i32 q0, q0, r1",
                "add r8, r8, r8, lsl #1",
                "ldr r1, [r0, {low}]",
                "vdup.32 q5, r1",
                "ldr r2, [r0, {records}]",
                "ldr r3, [r0, {count}]",
                "ldr r9, [r0, {out}]",
                "ldr r6, [r0, {out_step}]",
                "ldr r7, [r0, {zero_point}]",
                "ldr r11, [r0, {skip_step}]",
                "ldr r12, [r0, {skip}]",
                "ldr r1, [r0, {skip_shift}]",
                "rsb r1, r1, #0",
                "ldr r0, [r0, {skip_zero_point}]",
                "rsb r0, r0, #0",
                // Four channels: bias in q1, mantissa in q2, factor of the shortcut in q3, shift in q4.
                "1:",
                "tst r2, #3",
                "bne 4f",
                "vld40.32 {{q1, q2, q3, q4}}, [r2]",
                "vld41.32 {{q1, q2, q3, q4}}, [r2]",
                "vld42.32 {{q1, q2, q3, q4}}, [r2]",
                "vld43.32 {{q1, q2, q3, q4}}, [r2]!",
                "2:",
                "vneg.s32 q4, q4",
                "mov r4, r9",
                "mov r5, r12",
                "add r9, #4",
                "add r12, #4",
                "dls lr, r10",
                // A pixel.
                "3:",
                "vldrw.u32 q7, [q0, #4]!",
                "vadd.i32 q7, q7, q1",
                $($skip,)*
                "vqdmulh.s32 q7, q7, q2",
                "vrshl.s32 q7, q7, q4",
                "vadd.i32 q7, q7, r7",
                "vmax.s32 q7, q7, q5",
                "vmin.s32 q7, q7, q6",
                "vstrb.32 q7, [r4]",
                "add r4, r6",
                "le lr, 3b",
                // Three channels further: the pixels made up for the fourth.
                "vadd.i32 q0, q0, r8",
                "subs r3, #1",
                "bne 1b",
                "add sp, {stack}",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
                // Records that are not aligned, as a model that is not.
                "4:",
                "vldrb.u8 q1, [r2], #16",
                "vldrb.u8 q2, [r2], #16",
                "vldrb.u8 q3, [r2], #16",
                "vldrb.u8 q4, [r2], #16",
                "add r4, sp, #16",
                "vstrb.8 q1, [r4]",
                "vstrb.8 q2, [r4, #16]",
                "vstrb.8 q3, [r4, #32]",
                "vstrb.8 q4, [r4, #48]",
                "vld40.32 {{q1, q2, q3, q4}}, [r4]",
                "vld41.32 {{q1, q2, q3, q4}}, [r4]",
                "vld42.32 {{q1, q2, q3, q4}}, [r4]",
                "vld43.32 {{q1, q2, q3, q4}}, [r4]",
                "b 2b",
                // The upper clamp, and four records.
                stack = const (1 + GROUP) * 16,
                sums = const offset_of!(Groups, sums),
                records = const offset_of!(Groups, records),
                count = const offset_of!(Groups, count),
                pixels = const offset_of!(Groups, pixels),
                out = const offset_of!(Groups, out),
                out_step = const offset_of!(Groups, out_step),
                zero_point = const offset_of!(Groups, zero_point),
                low = const offset_of!(Groups, low),
                high = const offset_of!(Groups, high),
                skip = const offset_of!(Groups, skip),
                skip_step = const offset_of!(Groups, skip_step),
                skip_zero_point = const offset_of!(Groups, skip_zero_point),
                skip_shift = const offset_of!(Groups, skip_shift),
            )
        }
    };
}

requantize!(requantize,);
requantize!(
    requantize_skip,
    "vldrb.s32 q6, [r5]",
    "add r5, r11",
    "vadd.i32 q6, q6, r0",
    "vmul.i32 q6, q6, q3",
    "vrshl.s32 q6, r1",
    "vadd.i32 q7, q7, q6",
    "vldrw.u32 q6, [sp]"
);

/// `sum(input * weights)`.
///
/// # Safety
///
/// The CPU must have MVE; both must have `len` values.
#[unsafe(naked)]
unsafe extern "C" fn dot(input: *const i8, weights: *const i8, len: usize) -> i32 {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, lr}}",
        "mov r12, #0",
        "wlstp.8 lr, r2, 2f",
        "1:",
        "vldrb.u8 q0, [r0], #16",
        "vldrb.u8 q1, [r1], #16",
        "vmladava.s8 r12, q0, q1",
        "letp lr, 1b",
        "2:",
        "mov r0, r12",
        "pop {{r4, pc}}",
    )
}

/// `out = max(out, input)`.
///
/// # Safety
///
/// The CPU must have MVE; both must have `len` values.
#[unsafe(naked)]
unsafe extern "C" fn max_into(out: *mut i8, input: *const i8, len: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, lr}}",
        "wlstp.8 lr, r2, 2f",
        "1:",
        "vldrb.u8 q0, [r0]",
        "vldrb.u8 q1, [r1], #16",
        "vmax.s8 q0, q0, q1",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 1b",
        "2:",
        "pop {{r4, pc}}",
    )
}

/// `sums += input`.
///
/// # Safety
///
/// The CPU must have MVE; both must have `len` values.
#[unsafe(naked)]
unsafe extern "C" fn sum_into(sums: *mut i32, input: *const i8, len: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, lr}}",
        "wlstp.32 lr, r2, 2f",
        "1:",
        "vldrw.u32 q0, [r0]",
        "vldrb.s32 q1, [r1], #4",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r0], #16",
        "letp lr, 1b",
        "2:",
        "pop {{r4, pc}}",
    )
}
