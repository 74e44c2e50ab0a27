//! From the sums of a tile to outputs.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::mem::offset_of;
use core::ops::Range;

use super::{Sums, row_rest};
use crate::format::records::ChannelRecord;
use crate::kernels::{Epilogue, SkipValues, Target, portable};

/// Channels that are requantized together.
const GROUP: usize = 4;

/// The way from sums to outputs.
pub(super) struct Outputs<'a> {
    target: &'a Target<'a>,
    /// The channels before those that the shortcut joins, these, and those behind.
    parts: [Range<usize>; 3],
    /// What is the same for all tiles is there already.
    groups: Groups,
}

impl<'a> Outputs<'a> {
    /// For channels and pixels that the block has. `None` when a slice is too short for them.
    pub(super) fn new(
        target: &'a Target<'a>,
        channels: Range<usize>,
        pixels: usize,
        out: &[i8],
    ) -> Option<Self> {
        out.get(target.grid.highest_place(pixels)?..)?.get(..channels.end)?;
        target.channels.get(..channels.end)?;
        let Epilogue { zero_point, clamp: [low, high] } = target.epilogue;
        let mut groups = Groups {
            sums: core::ptr::null(),
            pixels: 0,
            records: core::ptr::null(),
            count: 0,
            out: core::ptr::null_mut(),
            out_step: target.grid.column,
            zero_point: zero_point.into(),
            low: low.into(),
            high: high.into(),
            skip: core::ptr::null(),
            skip_step: target.grid.column,
            skip_zero_point: 0,
            skip_shift: 0,
        };
        let mut joined = channels.end..channels.end;
        if let Some(skip) = &target.skip {
            joined.start = skip.channel.max(channels.start).min(channels.end);
            joined.end = (skip.channel + skip.channel_count).max(joined.start).min(channels.end);
            groups.skip_zero_point = skip.zero_point.into();
            groups.skip_shift = skip.shift.into();
            if let (Some(values), false) = (skip.values, joined.is_empty()) {
                values.get(skip.grid.highest_place(pixels)?..)?.get(..joined.end - skip.channel)?;
                groups.skip_step = skip.grid.column;
            }
        }
        let parts = [channels.start..joined.start, joined.clone(), joined.end..channels.end];
        Some(Self { target, parts, groups })
    }

    /// Pixels from `first` on that are equally far apart, in the output and in the shortcut.
    #[inline]
    pub(super) fn row_rest(&self, first: usize) -> usize {
        let pixels = row_rest(&self.target.grid, first);
        self.target.skip.as_ref().map_or(pixels, |skip| pixels.min(row_rest(&skip.grid, first)))
    }

    /// Requantizes and stores a tile.
    #[inline]
    pub(super) fn finish(&mut self, first: usize, pixels: usize, sums: &Sums, out: &mut [i8]) -> Option<()> {
        let Self { target, parts, groups } = self;
        let place = target.grid.place(first);
        groups.sums = sums.as_ptr().cast();
        groups.pixels = pixels;
        for (index, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            groups.count = part.len() / GROUP;
            if groups.count > 0 {
                groups.records = target.channels.as_ptr().wrapping_add(part.start);
                groups.out = out.as_mut_ptr().wrapping_add(place + part.start);
                groups.skip = groups.out.cast_const();
                if let Some(SkipValues { values: Some(values), grid, channel, .. }) = &target.skip {
                    groups.skip =
                        values.as_ptr().wrapping_add(grid.place(first) + part.start).wrapping_sub(*channel);
                }
                let requantize = if index == 1 { requantize_skip } else { requantize };
                // SAFETY: this build is for a CPU with MVE; `Tiles::multiply` has written the sums, and `new` has seen that there are
                // records of all channels, room for them in all pixels, and those of part 1 in the shortcut.
                unsafe { requantize(groups) };
            }
            let whole = groups.count * GROUP;
            if whole < part.len() {
                let sums = groups.sums.wrapping_add(whole * pixels);
                finish_rest(target, part.start + whole..part.end, first..first + pixels, sums, out)?;
            }
            groups.sums = groups.sums.wrapping_add(part.len() * pixels);
        }
        Some(())
    }
}

/// Channels that fill no group; `sums` are theirs.
#[inline(never)]
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
            // SAFETY: `Tiles::multiply` has written the sums of all channels and pixels of the tile.
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
    high: i32,
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
                "ldr r1, [r0, {high}]",
                "vdup.32 q6, r1",
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
