//! Convolution with weights that were transformed at conversion, for the DSP instructions of Cortex-M4, M7 and M33: the method is in
//! [`crate::kernels::transformed`].
//!
//! # Input: one row of points, two channels a register
//!
//! Every row of points is a sum or difference of two rows of pixels, and so are its columns. Four channels are loaded with one `ldr` and
//! widened to two registers, as for direct convolution; `sadd16` and `ssub16` do the rest. The last two columns of a tile are the first
//! two of the next one.
//!
//! # Products: one channel, four tiles, one point after the other
//!
//! Eight weights are four registers, four values of two tiles another four: 21 instructions for 32 products. The first two points of a
//! row meet in sums and differences, to which the other two are added while they are multiplied: only the first two sums begin
//! with 0, or with the bias. Rows of points meet likewise, when all of a channel's are there.
#![allow(unsafe_code, reason = "assembly")]

use core::mem::offset_of;
use core::ops::Range;

use super::tiles::{SAVED, joined};
use crate::arith::skip_rounding;
use crate::format::records::ChannelRecord;
use crate::kernels::transformed::{
    CHANNELS, Input, ORDER, SUMS, TILES, Tiles, WEIGHTS_ALIGN, panel_len, weights_len,
};
use crate::kernels::{Grid, SkipValues, Target};

/// See [`Transformed::transform_input`](crate::kernels::transformed::Transformed::transform_input).
pub(super) fn transform_input(input: &Input<'_>, panel: &mut [u32]) -> Option<()> {
    let Input { values, row, channels, tiles } = *input;
    let row_len = tiles.checked_mul(2)?.checked_add(2)?.checked_mul(channels)?;
    let enough = values.len() >= row.checked_mul(3)?.checked_add(row_len)?;
    if !enough || panel.len() < panel_len(channels)? || !has_tiles(channels, tiles) {
        return None;
    }
    let point_len = 2 * TILES * (channels / 4);
    let points = panel.chunks_exact_mut((4 * point_len).max(1));
    for (points, (transform_row, first, second)) in points.zip(ROWS) {
        let job = InputJob {
            pixels: values.as_ptr().wrapping_add(first * row),
            other: row.wrapping_mul(second).wrapping_sub(row.wrapping_mul(first)),
            column: channels,
            out: points.as_mut_ptr(),
            point_len: 4 * point_len,
            tiles,
            fours: channels / 4,
        };
        // SAFETY: this build is for a CPU with the DSP instructions. The values of all four rows have just been counted, there is a four of
        // channels, and `points` are four points of all tiles and channels.
        unsafe { transform_row(job) };
    }
    Some(())
}

/// Whether the assembly has loops for so many channels and tiles.
fn has_tiles(channels: usize, tiles: usize) -> bool {
    channels > 0 && channels.is_multiple_of(CHANNELS) && (1..=TILES).contains(&tiles)
}

/// For each row of points, in their order: whether two rows of pixels are added or subtracted, and which.
static ROWS: [(TransformRow, usize, usize); ORDER.len()] =
    [(add_rows, 1, 2), (subtract_rows, 2, 1), (subtract_rows, 0, 2), (subtract_rows, 3, 1)];

/// What the assembly is told. It uses its own copy to count.
#[repr(C)]
struct InputJob {
    /// Of the first row.
    pixels: *const i8,
    /// Distance of the second row from it.
    other: usize,
    /// Distance of pixels.
    column: usize,
    out: *mut u32,
    /// Bytes of a point.
    point_len: usize,
    tiles: usize,
    /// Fours of channels.
    fours: usize,
}

/// Transforms all channels of a row of tiles to one row of points.
///
/// # Safety
/// This CPU has the DSP instructions. There is a tile and a four of channels; all channels of `2 * tiles + 2` pixels can be read of both
/// rows, and two words of each four of channels and each of the [`TILES`] tiles written at each of four points.
type TransformRow = unsafe extern "C" fn(job: InputJob);

/// Loads the next column into two registers: r0 pixels, r1 the other row, r2 distance of columns; r10 and r11 are free.
macro_rules! column {
    (add, $even:literal, $odd:literal) => {
        concat!(
            "ldr ",
            $odd,
            ", [r0]\n",
            "ldr r11, [r0, r1]\n",
            "add r0, r0, r2\n",
            "sxtb16 ",
            $even,
            ", ",
            $odd,
            "\n",
            "sxtb16 ",
            $odd,
            ", ",
            $odd,
            ", ror #8\n",
            "sxtab16 ",
            $even,
            ", ",
            $even,
            ", r11\n",
            "sxtab16 ",
            $odd,
            ", ",
            $odd,
            ", r11, ror #8\n",
        )
    };
    (subtract, $even:literal, $odd:literal) => {
        concat!(
            "ldr ",
            $odd,
            ", [r0]\n",
            "ldr r11, [r0, r1]\n",
            "add r0, r0, r2\n",
            "sxtb16 ",
            $even,
            ", ",
            $odd,
            "\n",
            "sxtb16 ",
            $odd,
            ", ",
            $odd,
            ", ror #8\n",
            "sxtb16 r10, r11\n",
            "sxtb16 r11, r11, ror #8\n",
            "ssub16 ",
            $even,
            ", ",
            $even,
            ", r10\n",
            "ssub16 ",
            $odd,
            ", ",
            $odd,
            ", r11\n",
        )
    };
}

/// A [`TransformRow`]. The columns of a tile are r4 and r5, r6 and r7, r8 and r9, then r4 and r5 again.
macro_rules! transform_row {
    ($name:ident, $how:ident) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: InputJob) {
            core::arch::naked_asm!(
                ".cpu cortex-m33",
                // See `channels_of_tile!`.
                "push {{r0, r1, r2, r3}}",
                "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                "ldr r12, [sp, #{point_len}]",
                "1:",
                "ldr lr, [sp, #{tiles}]",
                column!($how, "r4", "r5"),
                column!($how, "r6", "r7"),
                "2:",
                column!($how, "r8", "r9"),
                "sadd16 r10, r6, r8",
                "sadd16 r11, r7, r9",
                "strd r10, r11, [r3]",
                "add r3, r3, r12",
                "ssub16 r10, r8, r6",
                "ssub16 r11, r9, r7",
                "strd r10, r11, [r3]",
                "add r3, r3, r12",
                "ssub16 r10, r4, r8",
                "ssub16 r11, r5, r9",
                "strd r10, r11, [r3]",
                "add r3, r3, r12",
                column!($how, "r4", "r5"),
                "ssub16 r10, r4, r6",
                "ssub16 r11, r5, r7",
                "strd r10, r11, [r3], #8",
                "sub r3, r3, r12, lsl #1",
                "sub r3, r3, r12",
                // The next tile's first two columns.
                "mov r6, r4",
                "mov r7, r5",
                "mov r4, r8",
                "mov r5, r9",
                "subs lr, lr, #1",
                "bne 2b",
                // The next four of channels.
                "ldr r0, [sp, #{pixels}]",
                "ldr r3, [sp, #{out}]",
                "ldr lr, [sp, #{fours}]",
                "add r0, r0, #4",
                "add r3, r3, #{four_len}",
                "str r0, [sp, #{pixels}]",
                "str r3, [sp, #{out}]",
                "subs lr, lr, #1",
                "str lr, [sp, #{fours}]",
                "bne 1b",
                "pop {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                "add sp, #16",
                "bx lr",
                pixels = const SAVED + offset_of!(InputJob, pixels),
                out = const SAVED + offset_of!(InputJob, out),
                point_len = const SAVED + offset_of!(InputJob, point_len),
                tiles = const SAVED + offset_of!(InputJob, tiles),
                fours = const SAVED + offset_of!(InputJob, fours),
                four_len = const 2 * TILES * size_of::<u32>(),
            )
        }
    };
}

transform_row!(add_rows, add);
transform_row!(subtract_rows, subtract);

/// See [`Transformed::conv`](crate::kernels::transformed::Transformed::conv).
pub(super) fn conv(tiles: &Tiles<'_>, panel: &mut [u32], out: &mut [i8]) -> Option<()> {
    let Tiles { channels, tiles: count, target, .. } = tiles;
    if !has_tiles(*channels, *count) || panel.len() < panel_len(*channels)? {
        return None;
    }
    let all = 0..target.channels.len();
    let joined = joined(target, &all);
    run(tiles, all.start..joined.start, None, panel, out)?;
    run(tiles, joined.clone(), target.skip.as_ref(), panel, out)?;
    run(tiles, joined.end..all.end, None, panel, out)?;
    clamp(tiles, out)
}

/// The assembly clamps to what a byte holds, which is all that most layers ask for.
#[inline(never)]
fn clamp(tiles: &Tiles<'_>, out: &mut [i8]) -> Option<()> {
    let Target { grid, epilogue, channels, .. } = &tiles.target;
    let [low, high] = epilogue.clamp;
    if epilogue.clamp != [i8::MIN, i8::MAX] {
        for place in grid.places().take(4 * tiles.tiles) {
            out.get_mut(place..)?.get_mut(..channels.len())?.iter_mut().for_each(|value| {
                *value = (*value).max(low).min(high);
            });
        }
    }
    Some(())
}

/// Computes some channels, which a shortcut joins or not. The panel has as many words as [`panel_len`] says.
#[inline(never)]
fn run(
    tiles: &Tiles<'_>,
    channels: Range<usize>,
    skip: Option<&SkipValues<'_>>,
    panel: &mut [u32],
    out: &mut [i8],
) -> Option<()> {
    if channels.is_empty() {
        return Some(());
    }
    let target = &tiles.target;
    let depth = weights_len(tiles.channels);
    let (start, end) = (channels.start.checked_mul(depth)?, channels.end.checked_mul(depth)?);
    let weights = tiles.weights.get(start..end)?.as_ptr();
    let records = target.channels.get(channels.clone())?.as_ptr_range();
    if weights.align_offset(WEIGHTS_ALIGN) != 0 {
        return None;
    }
    let place = place(tiles, out, &target.grid, channels.start, channels.len())?;
    let out = out.as_mut_ptr().wrapping_add(place);
    let joining = Joining::of(tiles, &channels, skip, out)?;
    let panel = panel.as_mut_ptr();
    let sums = panel.wrapping_add(panel_len(tiles.channels)? - SUMS);
    let point_len = TILES * size_of::<i16>() * tiles.channels;
    let job = Job {
        panel,
        sums,
        row: sums,
        point_end: panel.wrapping_byte_add(point_len),
        point_len,
        weights,
        record: records.start,
        records_end: records.end,
        out,
        column: target.grid.column,
        row_len: target.grid.row,
        skip: joining.values,
        skip_column: joining.grid.column,
        skip_row_len: joining.grid.row,
        skip_offset: -i32::from(joining.zero_point),
        skip_rounding: skip_rounding(joining.shift),
        skip_shift: joining.shift.into(),
        zero_point: target.epilogue.zero_point.into(),
        entries: [TILES - tiles.tiles, 0],
        skip_entries: [0; 2],
    };
    // SAFETY: this build is for a CPU with the DSP instructions. The caller has looked at the panel's length, `weights` has as many for every
    // record as the points have channels and starts at a multiple of 4, and `place` has seen that in `out` and in the shortcut's values
    // these channels of all pixels exist; a shortcut in `out` is read by the pointer that `out` is written by.
    unsafe { channels_of_tiles(job) };
    Some(())
}

/// A shortcut, as the assembly wants it.
struct Joining {
    /// Of the last tile's first pixel.
    values: *const i8,
    /// Its distance of columns is 0 when none joins.
    grid: Grid,
    zero_point: i8,
    shift: u8,
}

impl Joining {
    /// What joins some channels, whose last tile's first pixel is at `out`.
    #[inline(always)]
    fn of(
        tiles: &Tiles<'_>,
        channels: &Range<usize>,
        skip: Option<&SkipValues<'_>>,
        out: *const i8,
    ) -> Option<Self> {
        let Some(skip) = skip else {
            return Some(Self { values: out, grid: Grid::line(0, 0), zero_point: 0, shift: 0 });
        };
        let (values, grid) = match skip.values {
            None => (out, tiles.target.grid),
            Some(values) => {
                let own = channels.start - skip.channel;
                let place = place(tiles, values, &skip.grid, own, channels.len())?;
                (values.as_ptr().wrapping_add(place), skip.grid)
            }
        };
        Some(Self { values, grid, zero_point: skip.zero_point, shift: skip.shift })
    }
}

/// Where a channel of the last tile's first pixel is; `None` when it, any pixel of a tile or one of the `count` channels is not in `values`.
fn place(tiles: &Tiles<'_>, values: &[i8], grid: &Grid, channel: usize, count: usize) -> Option<usize> {
    let column = 2 * tiles.tiles - 1;
    let end = grid.checked_place_of_row(1, column)?.checked_add(channel)?.checked_add(count)?;
    let first = grid.checked_place_of_row(0, column - 1)?.checked_add(channel)?;
    (end <= values.len()).then_some(first)
}

/// What the assembly is told, and where it keeps what it has no registers for, as the [`Job`](super::tiles::Job) of direct convolution.
#[repr(C)]
struct Job {
    panel: *const u32,
    /// Where the points end and the sums begin.
    sums: *mut u32,
    /// The sums of the row of points that is multiplied; then those of a column of outputs.
    row: *mut u32,
    /// Where the point ends that is multiplied.
    point_end: *const u32,
    /// Bytes of a point.
    point_len: usize,
    weights: *const i8,
    record: *const [u8; ChannelRecord::LEN],
    records_end: *const [u8; ChannelRecord::LEN],
    /// The channel of the last tile's pixel in the first row.
    out: *mut i8,
    /// Distances of columns and rows.
    column: usize,
    row_len: usize,
    /// The same of the shortcut; without one, the distance of columns is 0.
    skip: *const i8,
    skip_column: usize,
    skip_row_len: usize,
    /// Minus the shortcut's zero point.
    skip_offset: i32,
    skip_rounding: i32,
    skip_shift: u32,
    zero_point: i32,
    /// Tiles that the loop has and this row has not; then where the code is that begins with the last tile, for both rows.
    entries: [usize; 2],
    skip_entries: [usize; 2],
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
/// This CPU has the DSP instructions. The job's panel is as long as [`panel_len`] says; there are transformed weights for each of the
/// records; and these channels of all pixels can be written at `out` and, if a shortcut joins, read at `skip`.
#[unsafe(naked)]
unsafe extern "C" fn channels_of_tiles(job: Job) {
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
