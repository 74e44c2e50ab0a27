//! Products and outputs: one channel, four tiles, one point after the other.
//!
//! Eight weights are four registers, four values of two tiles another four: 21 instructions for 32 products. The first two points of a
//! row meet in sums and differences, to which the other two are added while they are multiplied: only the first two sums begin
//! with 0, or with the bias. Rows of points meet likewise, when all of a channel's are there.
#![allow(unsafe_code, reason = "assembly")]

use core::mem::offset_of;

use super::super::tiles::SAVED;
use crate::format::records::ChannelRecord;
use crate::kernels::transformed::{ORDER, SUMS, TILES};

/// What the assembly is told, and where it keeps what it has no registers for, as the [`Job`](super::super::tiles::Job) of direct convolution.
#[repr(C)]
pub(super) struct Job {
    pub(super) panel: *const u32,
    /// Where the points end and the sums begin.
    pub(super) sums: *mut u32,
    /// The sums of the row of points that is multiplied; then those of a column of outputs.
    pub(super) row: *mut u32,
    /// Where the point ends that is multiplied.
    pub(super) point_end: *const u32,
    /// Bytes of a point.
    pub(super) point_len: usize,
    pub(super) weights: *const i8,
    pub(super) record: *const [u8; ChannelRecord::LEN],
    pub(super) records_end: *const [u8; ChannelRecord::LEN],
    /// The channel of the last tile's pixel in the first row.
    pub(super) out: *mut i8,
    /// Distances of columns and rows.
    pub(super) column: usize,
    pub(super) row_len: usize,
    /// The same of the shortcut; without one, the distance of columns is 0.
    pub(super) skip: *const i8,
    pub(super) skip_column: usize,
    pub(super) skip_row_len: usize,
    /// Minus the shortcut's zero point.
    pub(super) skip_offset: i32,
    pub(super) skip_rounding: i32,
    pub(super) skip_shift: u32,
    pub(super) zero_point: i32,
    /// Tiles that the loop has and this row has not; then where the code is that begins with the last tile, for both rows.
    pub(super) entries: [usize; 2],
    pub(super) skip_entries: [usize; 2],
}

/// The products of a point: r0 panel, r1 weights, sums in r4 to r7.
macro_rules! point {
    () => {
        concat!(
            "4:\n",
            point!(@eight),
            point!(@eight),
            "ldr r2, [sp, #{point_end}]\n",
            "cmp r0, r2\n",
            "bne 4b\n",
            "ldr r3, [sp, #{point_len}]\n",
            "add r2, r2, r3\n",
            "str r2, [sp, #{point_end}]\n",
        )
    };
    (@eight) => {
        concat!(
            "ldm r1!, {{r2, r3, r12, lr}}\n",
            point!(@four "r2", "r3"),
            point!(@four "r12", "lr"),
        )
    };
    (@four $even:literal, $odd:literal) => {
        concat!(point!(@two_tiles $even, $odd, "r4", "r5"), point!(@two_tiles $even, $odd, "r6", "r7"))
    };
    (@two_tiles $even:literal, $odd:literal, $sum:literal, $other:literal) => {
        concat!(
            "ldm r0!, {{r8, r9, r10, r11}}\n",
            "smlad ", $sum, ", r8, ", $even, ", ", $sum, "\n",
            "smlad ", $other, ", r10, ", $even, ", ", $other, "\n",
            "smlad ", $sum, ", r9, ", $odd, ", ", $sum, "\n",
            "smlad ", $other, ", r11, ", $odd, ", ", $other, "\n",
        )
    };
}

/// The same instruction for four tiles.
macro_rules! of_tiles {
    ($instruction:literal, [$($out:literal),+], [$($a:literal),+], [$($b:literal),+], $shift:literal) => {
        concat!($($instruction, " ", $out, ", ", $a, ", ", $b, $shift, "\n",)+)
    };
}

/// Adds the shortcut to the sums of one row of outputs, which are four times too large: r0 its last tile, r1 its columns, r2 `K`, r12
/// `f`, r3 the rounding constant less what the zero point contributes.
macro_rules! add_shortcut {
    ($($last:literal),+) => {
        concat!($(
            "ldrsb.w lr, [r0]\n",
            "sub.w r0, r0, r1, lsl #1\n",
            "mla lr, lr, r2, r3\n",
            "asr.w lr, lr, r12\n",
            "add.w ", $last, ", ", $last, ", lr, lsl #{sum_shift}\n",
        )+)
    };
}

/// Requantizes and stores one row of outputs, as direct convolution does: r0 the last tile, r1 the columns, r2 mantissa, r12 shift, lr zero
/// point.
macro_rules! store {
    ($($last:literal),+) => {
        concat!($(
            "smmul ", $last, ", ", $last, ", r2\n",
            "asrs.w ", $last, ", ", $last, ", r12\n",
            "adc.w ", $last, ", ", $last, ", lr\n",
            "ssat ", $last, ", #8, ", $last, "\n",
            "strb.w ", $last, ", [r0]\n",
            "sub.w r0, r0, r1, lsl #1\n",
        )+)
    };
}

/// Replaces a number of unused tiles by the place of the code that leaves them out: `len` bytes of code for each. Bit 0 says that it is
/// Thumb code.
macro_rules! entry {
    ($label:literal, $entry:literal) => {
        concat!(
            "adr.w r3, ",
            $label,
            "f\n",
            "mla r3, r2, r12, r3\n",
            "orr r3, r3, #1\n",
            "str r3, [sp, #{",
            $entry,
            "}]\n",
        )
    };
}

/// Computes some channels of a row of tiles, from the last tile to the first.
///
/// # Safety
/// This CPU has the DSP instructions. The job's panel is as long as [`panel_len`](crate::kernels::transformed::panel_len) says; there are transformed weights for each of the
/// records; and these channels of all pixels can be written at `out` and, if a shortcut joins, read at `skip`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn channels_of_tiles(job: Job) {
    core::arch::naked_asm!(
        ".cpu cortex-m33",
        // See `channels_of_tile!`.
        "push {{r0, r1, r2, r3}}",
        "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "ldr r2, [sp, #{entry}]",
        "mov r12, #24",
        entry!("80", "entry"),
        entry!("81", "second_entry"),
        "mov r12, #20",
        entry!("70", "skip_entry"),
        entry!("71", "second_skip_entry"),
        // A channel. The first point of the first row of points is in the sums of all outputs, so it begins with the bias.
        "20:",
        "ldr r0, [sp, #{panel}]",
        "ldr r1, [sp, #{weights}]",
        "ldr r3, [sp, #{record}]",
        "ldr r2, [r3, #{bias}]",
        "lsl r2, r2, #{sum_shift}",
        // A row of points.
        "30:",
        "mov r4, r2",
        "mov r5, r2",
        "mov r6, r2",
        "mov r7, r2",
        point!(),
        "ldr r12, [sp, #{row}]",
        "stm r12, {{r4, r5, r6, r7}}",
        "mov r4, #0",
        "mov r5, #0",
        "mov r6, #0",
        "mov r7, #0",
        point!(),
        // Sum and difference of the two: the latter is twice the first less the sum.
        "ldr r12, [sp, #{row}]",
        "ldm r12, {{r8, r9, r10, r11}}",
        of_tiles!("add", ["r4", "r5", "r6", "r7"], ["r4", "r5", "r6", "r7"], ["r8", "r9", "r10", "r11"], ""),
        of_tiles!("rsb", ["r8", "r9", "r10", "r11"], ["r4", "r5", "r6", "r7"], ["r8", "r9", "r10", "r11"], ", lsl #1"),
        "add r12, r12, #{column_sums}",
        "stm r12, {{r8, r9, r10, r11}}",
        point!(),
        "ldr r12, [sp, #{row}]",
        "stm r12, {{r4, r5, r6, r7}}",
        "add r12, r12, #{column_sums}",
        "ldm r12, {{r4, r5, r6, r7}}",
        point!(),
        "ldr r12, [sp, #{row}]",
        "add r3, r12, #{column_sums}",
        "stm r3, {{r4, r5, r6, r7}}",
        "add r12, r12, #{row_sums}",
        "str r12, [sp, #{row}]",
        "mov r2, #0",
        "ldr r3, [sp, #{sums}]",
        "cmp r0, r3",
        "bne.w 30b",
        // All points are multiplied.
        "str r1, [sp, #{weights}]",
        "ldr r0, [sp, #{panel}]",
        "ldr r1, [sp, #{point_len}]",
        "add r0, r0, r1",
        "str r0, [sp, #{point_end}]",
        // A column of outputs: sum and difference of the first two rows of points, the third one belongs to the first row of outputs, the
        // fourth one to the second.
        "40:",
        "ldm r3!, {{r4, r5, r6, r7}}",
        "ldm r3!, {{r8, r9, r10, r11}}",
        of_tiles!("add", ["r4", "r5", "r6", "r7"], ["r4", "r5", "r6", "r7"], ["r8", "r9", "r10", "r11"], ""),
        of_tiles!("sub", ["r8", "r9", "r10", "r11"], ["r4", "r5", "r6", "r7"], ["r8", "r9", "r10", "r11"], ", lsl #1"),
        "ldm r3!, {{r0, r1, r2, r12}}",
        of_tiles!("add", ["r4", "r5", "r6", "r7"], ["r4", "r5", "r6", "r7"], ["r0", "r1", "r2", "r12"], ""),
        "ldm r3!, {{r0, r1, r2, r12}}",
        of_tiles!("add", ["r8", "r9", "r10", "r11"], ["r8", "r9", "r10", "r11"], ["r0", "r1", "r2", "r12"], ""),
        "str r3, [sp, #{row}]",
        // The shortcut: `(q * K + (rounding - zero point * K)) >> shift`.
        "ldrd r0, r1, [sp, #{skip}]",
        "cmp r1, #0",
        "beq.w 75f",
        "ldr r3, [sp, #{record}]",
        "ldr r2, [r3, #{factor}]",
        "ldrd r12, lr, [sp, #{skip_offset}]",
        "mla r3, r12, r2, lr",
        "ldr r12, [sp, #{skip_shift}]",
        "ldr pc, [sp, #{skip_entry}]",
        "70:",
        add_shortcut!("r7", "r6", "r5", "r4"),
        "ldr r0, [sp, #{skip}]",
        "ldr lr, [sp, #{skip_row_len}]",
        "add r0, r0, lr",
        "ldr pc, [sp, #{second_skip_entry}]",
        "71:",
        add_shortcut!("r11", "r10", "r9", "r8"),
        "75:",
        "ldr r12, [sp, #{record}]",
        "ldr r2, [r12, #{mantissa}]",
        "ldrb r3, [r12, #{shift}]",
        "add r12, r3, #{sum_shift} - 1",
        "ldrd r0, r1, [sp, #{out}]",
        "ldr lr, [sp, #{zero_point}]",
        "ldr pc, [sp, #{entry}]",
        "80:",
        store!("r7", "r6", "r5", "r4"),
        "ldr r0, [sp, #{out}]",
        "ldr r3, [sp, #{row_len}]",
        "add r0, r0, r3",
        "ldr pc, [sp, #{second_entry}]",
        "81:",
        store!("r11", "r10", "r9", "r8"),
        // The next column.
        "ldrd r0, r1, [sp, #{out}]",
        "add r0, r0, r1",
        "str r0, [sp, #{out}]",
        "ldrd r0, r1, [sp, #{skip}]",
        "add r0, r0, r1",
        "str r0, [sp, #{skip}]",
        "ldr r3, [sp, #{row}]",
        "ldr r2, [sp, #{sums}]",
        "add r12, r2, #{sums_len}",
        "cmp r3, r12",
        "bne.w 40b",
        // The next channel of the first column.
        "str r2, [sp, #{row}]",
        "ldrd r0, r1, [sp, #{out}]",
        "sub r0, r0, r1, lsl #1",
        "add r0, r0, #1",
        "str r0, [sp, #{out}]",
        "ldrd r0, r1, [sp, #{skip}]",
        "sub r0, r0, r1, lsl #1",
        "add r0, r0, #1",
        "str r0, [sp, #{skip}]",
        "ldrd r2, r3, [sp, #{record}]",
        "add r2, r2, #{record_len}",
        "str r2, [sp, #{record}]",
        "cmp r2, r3",
        "bne.w 20b",
        "pop {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        "add sp, #16",
        "bx lr",
        panel = const SAVED + offset_of!(Job, panel),
        sums = const SAVED + offset_of!(Job, sums),
        row = const SAVED + offset_of!(Job, row),
        point_end = const SAVED + offset_of!(Job, point_end),
        point_len = const SAVED + offset_of!(Job, point_len),
        weights = const SAVED + offset_of!(Job, weights),
        record = const SAVED + offset_of!(Job, record),
        out = const SAVED + offset_of!(Job, out),
        row_len = const SAVED + offset_of!(Job, row_len),
        skip = const SAVED + offset_of!(Job, skip),
        skip_row_len = const SAVED + offset_of!(Job, skip_row_len),
        skip_offset = const SAVED + offset_of!(Job, skip_offset),
        skip_shift = const SAVED + offset_of!(Job, skip_shift),
        zero_point = const SAVED + offset_of!(Job, zero_point),
        entry = const SAVED + offset_of!(Job, entries),
        second_entry = const SAVED + offset_of!(Job, entries) + 4,
        skip_entry = const SAVED + offset_of!(Job, skip_entries),
        second_skip_entry = const SAVED + offset_of!(Job, skip_entries) + 4,
        bias = const ChannelRecord::BIAS,
        mantissa = const ChannelRecord::MANTISSA,
        factor = const ChannelRecord::SKIP_MULTIPLIER,
        shift = const ChannelRecord::SHIFT,
        record_len = const ChannelRecord::LEN,
        sum_shift = const crate::kernels::transformed::SHIFT,
        sums_len = const SUMS * 4,
        row_sums = const TILES * 4,
        column_sums = const TILES * 4 * ORDER.len(),
    )
}
