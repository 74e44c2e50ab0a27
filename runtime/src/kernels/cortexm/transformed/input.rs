//! The transform of the input: one row of points at a time, two channels a register.
//!
//! Every row of points is a sum or difference of two rows of pixels, and so are its columns. Four channels are loaded with one `ldr` and
//! widened to two registers, as for direct convolution; `sadd16` and `ssub16` do the rest. The last two columns of a tile are the first
//! two of the next one.
#![allow(unsafe_code, reason = "assembly")]

use core::mem::offset_of;

use super::super::tiles::SAVED;
use super::has_tiles;
use crate::kernels::transformed::{Input, ORDER, TILES, panel_len};

/// See [`Transformed::transform_input`](crate::kernels::transformed::Transformed::transform_input).
pub(in super::super) fn transform_input(input: &Input<'_>, panel: &mut [u32]) -> Option<()> {
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
