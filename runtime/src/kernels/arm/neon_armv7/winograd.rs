//! The steps of Winograd's method; see [`crate::kernels::winograd`] for what they compute.
//!
//! Transforms take eight channels of int16 or four of int32 at a time, in registers `q0-q3`, `q8` and `q9`, where their
//! results are left as well.

use core::arch::naked_asm;
use core::ops::Range;

use super::{Constants, Neon};
use crate::kernels::parameters::{LANES, Parameters, Place};
use crate::kernels::winograd::pack::{self, PackedPair};
use crate::kernels::winograd::{
    Costs, Finish, Form, GROUP, INPUT_TILE, INVERSE_OF_9, InputChunk, Multiply, PARAMETERS_LEN, POINTS,
    Product, Tile, WeightPair, stride,
};

/// In 1/64 of an instruction, counted: a direct output takes 9 products at 4.3 an instruction, a tile 36 at 3.2.
pub(super) const COSTS: Costs =
    Costs { direct: 135, tile: 711, group: GROUP, weights: 2130, input: 3740, output: 5020 };

/// Output rows and columns of a tile of the one form that there is.
const TILE: usize = Form::F4x3.tile();

/// The outputs of a tile before they are requantized.
type OutputTile = [[[i32; LANES]; TILE]; TILE];

/// See [`Winograd::transform_input`](crate::kernels::winograd::Winograd::transform_input).
pub(super) fn transform_input(_: Neon, tile: &Tile<'_>, out: &mut [InputChunk]) -> Option<()> {
    let last =
        (INPUT_TILE - 1).checked_mul(tile.row)?.checked_add((INPUT_TILE - 1).checked_mul(tile.column)?)?;
    tile.values.get(..last.checked_add(out.len() * LANES)?)?;
    for (chunk, out) in out.iter_mut().enumerate() {
        let source = tile.values.get(chunk * LANES..)?;
        // SAFETY: a `Neon` is at hand. The values reach to the end of the last of six pixels of the last of six rows, of which this
        // chunk is one of `out.len()`.
        unsafe { transform_chunk(source.as_ptr(), tile.row, tile.column, out) };
    }
    Some(())
}

/// `B^T d B`: columns first, then rows, in place.
///
/// # Safety
///
/// The CPU must have NEON; from `source` on there must be six rows, `row_len` apart, of six times `LANES` values, `column_len`
/// apart.
#[unsafe(naked)]
unsafe extern "C" fn transform_chunk(
    source: *const i8,
    row_len: usize,
    column_len: usize,
    out: &mut InputChunk,
) {
    /// `B^T d`.
    macro_rules! input_1d {
        () => {
            "vshl.s16 q10, q2, #2
             vshl.s16 q11, q1, #2
             vsub.i16 q12, q8, q2
             vsub.i16 q13, q3, q1
             vsub.i16 q10, q8, q10
             vsub.i16 q11, q3, q11
             vsub.i16 q0, q0, q2
             vadd.i16 q13, q13, q13
             vsub.i16 q9, q9, q3
             vshl.s16 q0, q0, #2
             vadd.i16 q14, q13, q13
             vadd.i16 q1, q10, q11
             vsub.i16 q2, q10, q11
             vadd.i16 q0, q0, q12
             vadd.i16 q3, q12, q13
             vsub.i16 q8, q12, q13
             vsub.i16 q9, q9, q14"
        };
    }
    naked_asm!(
        ".fpu neon",
        "push {{r4-r8, lr}}",
        "mov r6, {row}",
        "mov r12, #2",
        "1:",
        "mov r7, r0",
        "mov r8, r3",
        "mov lr, {tile}",
        "2:",
        "mov r4, r7",
        "vld1.8 {{d0}}, [r4], r1",
        "vld1.8 {{d2}}, [r4], r1",
        "vld1.8 {{d4}}, [r4], r1",
        "vld1.8 {{d6}}, [r4], r1",
        "vld1.8 {{d16}}, [r4], r1",
        "vld1.8 {{d18}}, [r4]",
        "vmovl.s8 q0, d0",
        "vmovl.s8 q1, d2",
        "vmovl.s8 q2, d4",
        "vmovl.s8 q3, d6",
        "vmovl.s8 q8, d16",
        "vmovl.s8 q9, d18",
        input_1d!(),
        "mov r5, r8",
        "vst1.16 {{d0-d1}}, [r5], r6",
        "vst1.16 {{d2-d3}}, [r5], r6",
        "vst1.16 {{d4-d5}}, [r5], r6",
        "vst1.16 {{d6-d7}}, [r5], r6",
        "vst1.16 {{d16-d17}}, [r5], r6",
        "vst1.16 {{d18-d19}}, [r5]",
        "add r7, r7, r2",
        "add r8, r8, {point}",
        "subs lr, lr, #1",
        "bne 2b",
        "add r0, r0, #8",
        "add r3, r3, #16",
        "subs r12, r12, #1",
        "bne 1b",
        "sub r3, r3, {point}",
        "mov r6, {point}",
        "mov r12, {tile}",
        "3:",
        "mov lr, #2",
        "4:",
        "mov r4, r3",
        "mov r5, r3",
        "vld1.16 {{d0-d1}}, [r4], r6",
        "vld1.16 {{d2-d3}}, [r4], r6",
        "vld1.16 {{d4-d5}}, [r4], r6",
        "vld1.16 {{d6-d7}}, [r4], r6",
        "vld1.16 {{d16-d17}}, [r4], r6",
        "vld1.16 {{d18-d19}}, [r4]",
        input_1d!(),
        "vst1.16 {{d0-d1}}, [r5], r6",
        "vst1.16 {{d2-d3}}, [r5], r6",
        "vst1.16 {{d4-d5}}, [r5], r6",
        "vst1.16 {{d6-d7}}, [r5], r6",
        "vst1.16 {{d16-d17}}, [r5], r6",
        "vst1.16 {{d18-d19}}, [r5]",
        "add r3, r3, #16",
        "subs lr, lr, #1",
        "bne 4b",
        "add r3, r3, {row} - {point}",
        "subs r12, r12, #1",
        "bne 3b",
        "pop {{r4-r8, pc}}",
        tile = const INPUT_TILE,
        point = const size_of::<[i16; LANES]>(),
        row = const INPUT_TILE * size_of::<[i16; LANES]>(),
    )
}

/// See [`Winograd::transform_weights`](crate::kernels::winograd::Winograd::transform_weights); `None` for forms other than F(4x4, 3x3).
pub(super) fn transform_weights(
    _: Neon,
    form: Form,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    let packed = pack::pairs(panel, chunks).filter(|_| form == Form::F4x3)?;
    let stride = stride(packed.len());
    let out = out.get_mut(..POINTS * stride)?;
    for (pair, taps) in packed.iter().enumerate() {
        let out = out.get_mut(pair..)?;
        // SAFETY: a `Neon` is at hand. `out` had `POINTS * stride` pairs, and `pair < packed.len() <= stride`, so there is
        // one for every point, `stride` apart.
        unsafe { transform_taps(taps, stride * size_of::<WeightPair>(), out.as_mut_ptr()) };
    }
    Some(())
}

/// `G' g G'^T`: columns first. One input channel after the other, half of the output channels after the other.
///
/// # Safety
///
/// The CPU must have NEON; from `out` on there must be a pair for every point, `point_bytes` apart.
#[unsafe(naked)]
unsafe extern "C" fn transform_taps(taps: &PackedPair<9>, point_bytes: usize, out: *mut WeightPair) {
    /// `G' g`.
    macro_rules! weight_1d {
        () => {
            "vadd.i16 q10, q0, q2
             vshl.s16 q11, q2, #2
             vadd.i16 q12, q1, q1
             vmov q9, q2
             vadd.i16 q11, q11, q0
             vsub.i16 q2, q10, q1
             vadd.i16 q1, q10, q1
             vadd.i16 q3, q11, q12
             vsub.i16 q8, q11, q12"
        };
    }
    naked_asm!(
        ".fpu neon",
        "push {{r4-r9, lr}}",
        "sub sp, sp, {columns}",
        "mov r6, {tap_row}",
        "mov r7, {column_row}",
        "mov r12, {halves}",
        "1:",
        "mov r5, sp",
        "mov r8, r0",
        "mov lr, #3",
        "2:",
        "mov r4, r8",
        "vld1.8 {{d0}}, [r4], r6",
        "vld1.8 {{d2}}, [r4], r6",
        "vld1.8 {{d4}}, [r4]",
        "vmovl.s8 q0, d0",
        "vmovl.s8 q1, d2",
        "vmovl.s8 q2, d4",
        weight_1d!(),
        "mov r3, r5",
        "vst1.16 {{d0-d1}}, [r3], r7",
        "vst1.16 {{d2-d3}}, [r3], r7",
        "vst1.16 {{d4-d5}}, [r3], r7",
        "vst1.16 {{d6-d7}}, [r3], r7",
        "vst1.16 {{d16-d17}}, [r3], r7",
        "vst1.16 {{d18-d19}}, [r3]",
        "add r5, r5, #16",
        "add r8, r8, {tap}",
        "subs lr, lr, #1",
        "bne 2b",
        "mov r3, sp",
        "mov r4, r2",
        "mov lr, {tile}",
        "3:",
        "vld1.16 {{d0-d3}}, [r3]!",
        "vld1.16 {{d4-d5}}, [r3]!",
        weight_1d!(),
        "vst1.16 {{d0-d1}}, [r4], r1",
        "vst1.16 {{d2-d3}}, [r4], r1",
        "vst1.16 {{d4-d5}}, [r4], r1",
        "vst1.16 {{d6-d7}}, [r4], r1",
        "vst1.16 {{d16-d17}}, [r4], r1",
        "vst1.16 {{d18-d19}}, [r4], r1",
        "subs lr, lr, #1",
        "bne 3b",
        "add r0, r0, #8",
        "add r2, r2, #16",
        "subs r12, r12, #1",
        "bne 1b",
        "add sp, sp, {columns}",
        "pop {{r4-r9, pc}}",
        tile = const INPUT_TILE,
        halves = const 2 * LANES / 8,
        tap = const 2 * LANES,
        tap_row = const 3 * 2 * LANES,
        column_row = const 3 * size_of::<[i16; 8]>(),
        columns = const INPUT_TILE * 3 * size_of::<[i16; 8]>(),
    )
}

/// See [`Winograd::multiply`](crate::kernels::winograd::Winograd::multiply).
pub(super) fn multiply(_: Neon, job: &Multiply<'_>, products: &mut [Product]) -> Option<()> {
    let Multiply { input, tile_chunks, weights, tiles, .. } = *job;
    let (chunks, first, add) = (job.chunks.len(), job.chunks.start, job.chunks.start > 0);
    let pairs = chunks * LANES / 2;
    job.last_chunk()?;
    for point in 0..POINTS {
        let weights = weights.get(point * stride(pairs)..)?.get(..pairs)?;
        let products = products.get_mut(point * stride(tiles)..)?.get_mut(..tiles)?;
        let needed = job.tiles_at(point);
        let groups = needed.start / GROUP..needed.end.div_ceil(GROUP);
        let products = products.as_chunks_mut::<GROUP>().0.iter_mut().enumerate();
        for (group, products) in products.filter(|(group, _)| groups.contains(group)) {
            let input = input.get(group * GROUP * tile_chunks + first..)?;
            let values = input.as_ptr().cast::<[i16; LANES]>().wrapping_add(point);
            let tile_bytes = tile_chunks * size_of::<InputChunk>();
            // SAFETY: a `Neon` is at hand. The input reaches to the end of the last of `chunks` chunks of the last tile, and
            // the group is one of whole groups of tiles. There are weights of as many chunks, and of one at least.
            unsafe { multiply_group(values, tile_bytes, chunks, weights.as_ptr(), products, add) };
        }
    }
    Some(())
}

/// The products of [`GROUP`] tiles at one point; one half of the output channels after the other.
///
/// # Safety
///
/// The CPU must have NEON. From `values` on, there must be [`GROUP`] tiles, `tile_bytes` apart, of `chunks` elements, one at least,
/// each at the same place in an [`InputChunk`] of its own; from `weights` on the weights of `chunks` chunks.
#[unsafe(naked)]
unsafe extern "C" fn multiply_group(
    values: *const [i16; LANES],
    tile_bytes: usize,
    chunks: usize,
    weights: *const WeightPair,
    products: &mut [Product; GROUP],
    add: bool,
) {
    /// An input channel, which is a lane of registers of the tiles; `$low` and `$high` hold its weights.
    macro_rules! channel {
        ($low:literal, $high:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
            concat!(
                "vmlal.s16 q4, ",
                $low,
                ", ",
                $a,
                "\n",
                "vmlal.s16 q5, ",
                $high,
                ", ",
                $a,
                "\n",
                "vmlal.s16 q6, ",
                $low,
                ", ",
                $b,
                "\n",
                "vmlal.s16 q7, ",
                $high,
                ", ",
                $b,
                "\n",
                "vmlal.s16 q8, ",
                $low,
                ", ",
                $c,
                "\n",
                "vmlal.s16 q9, ",
                $high,
                ", ",
                $c,
                "\n",
                "vmlal.s16 q10, ",
                $low,
                ", ",
                $d,
                "\n",
                "vmlal.s16 q11, ",
                $high,
                ", ",
                $d,
                "\n",
            )
        };
    }
    /// Eight input channels; weights are loaded two channels ahead.
    macro_rules! channels {
        () => {
            concat!(
                "vld1.16 {{d0-d1}}, [r5]!\n",
                "vld1.16 {{d24-d25}}, [r9], r11\n",
                "vld1.16 {{d2-d3}}, [r6]!\n",
                "vld1.16 {{d4-d5}}, [r7]!\n",
                "vld1.16 {{d26-d27}}, [r9], r11\n",
                "vld1.16 {{d6-d7}}, [r8]!\n",
                "vld1.16 {{d28-d29}}, [r9], r11\n",
                channel!("d24", "d25", "d0[0]", "d2[0]", "d4[0]", "d6[0]"),
                "vld1.16 {{d30-d31}}, [r9], r11\n",
                channel!("d26", "d27", "d0[1]", "d2[1]", "d4[1]", "d6[1]"),
                "vld1.16 {{d24-d25}}, [r9], r11\n",
                channel!("d28", "d29", "d0[2]", "d2[2]", "d4[2]", "d6[2]"),
                "vld1.16 {{d26-d27}}, [r9], r11\n",
                channel!("d30", "d31", "d0[3]", "d2[3]", "d4[3]", "d6[3]"),
                "vld1.16 {{d28-d29}}, [r9], r11\n",
                channel!("d24", "d25", "d1[0]", "d3[0]", "d5[0]", "d7[0]"),
                "vld1.16 {{d30-d31}}, [r9], r11\n",
                channel!("d26", "d27", "d1[1]", "d3[1]", "d5[1]", "d7[1]"),
                channel!("d28", "d29", "d1[2]", "d3[2]", "d5[2]", "d7[2]"),
                channel!("d30", "d31", "d1[3]", "d3[3]", "d5[3]", "d7[3]"),
            )
        };
    }
    naked_asm!(
        ".fpu neon",
        "push {{r4-r11, lr}}",
        "ldr r4, [sp, #36]",
        "ldrb lr, [sp, #40]",
        "vpush {{d8-d15}}",
        "mov r11, {point}",
        "mov r12, #2",
        "1:",
        "mov r9, {product}",
        "cmp lr, #0",
        "beq 2f",
        "mov r5, r4",
        "vld1.32 {{d8-d11}}, [r5], r9",
        "vld1.32 {{d12-d15}}, [r5], r9",
        "vld1.32 {{d16-d19}}, [r5], r9",
        "vld1.32 {{d20-d23}}, [r5]",
        "b 3f",
        "2:",
        "vmov.i32 q4, #0",
        "vmov.i32 q5, #0",
        "vmov.i32 q6, #0",
        "vmov.i32 q7, #0",
        "vmov.i32 q8, #0",
        "vmov.i32 q9, #0",
        "vmov.i32 q10, #0",
        "vmov.i32 q11, #0",
        "3:",
        "mov r5, r0",
        "add r6, r5, r1",
        "add r7, r6, r1",
        "add r8, r7, r1",
        "mov r9, r3",
        "mov r10, r2",
        "4:",
        channels!(),
        channels!(),
        "add r5, r5, {chunk} - {point}",
        "add r6, r6, {chunk} - {point}",
        "add r7, r7, {chunk} - {point}",
        "add r8, r8, {chunk} - {point}",
        "subs r10, r10, #1",
        "bne 4b",
        "mov r9, {product}",
        "mov r5, r4",
        "vst1.32 {{d8-d11}}, [r5], r9",
        "vst1.32 {{d12-d15}}, [r5], r9",
        "vst1.32 {{d16-d19}}, [r5], r9",
        "vst1.32 {{d20-d23}}, [r5]",
        "add r3, r3, #16",
        "add r4, r4, #32",
        "subs r12, r12, #1",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        point = const size_of::<[i16; LANES]>(),
        product = const size_of::<Product>(),
        chunk = const size_of::<InputChunk>(),
    )
}

/// See [`Winograd::transform_output`](crate::kernels::winograd::Winograd::transform_output).
pub(super) fn transform_output(neon: Neon, job: &Finish<'_>, out: &mut [i8]) -> Option<()> {
    let parameters: &[Parameters] = bytemuck::try_cast_slice(job.panel.get(..PARAMETERS_LEN)?).ok()?;
    let [parameters] = parameters else { return None };
    if job.form != Form::F4x3 {
        return None;
    }
    let constants = Constants::new(&job.target);
    let step = stride(job.tiles);
    let products = job.products.get(job.tile..)?;
    products.get((POINTS - 1).checked_mul(step)?)?;
    let mut sums: OutputTile = [[[0; LANES]; TILE]; TILE];
    let step_bytes = step * size_of::<Product>();
    // SAFETY: a `Neon` is at hand, and there is the product of the last point, hence of all.
    unsafe { transform_products(products.as_ptr(), step_bytes, &mut sums, INVERSE_OF_9) };
    let [rows, columns] = job.valid;
    for (row, sums) in sums.iter().enumerate().take(rows) {
        for (column, sums) in sums.iter().enumerate().take(columns) {
            let place = Place::of_row(&job.target, row, column);
            neon.finish(sums, parameters, &constants, &job.target, place, out)?;
        }
    }
    Some(())
}

/// `A' m A'^T / 576`: columns first, four output channels after the other.
///
/// # Safety
///
/// The CPU must have NEON; from `products` on there must be one for every point, `point_bytes` apart.
#[unsafe(naked)]
unsafe extern "C" fn transform_products(
    products: *const Product,
    point_bytes: usize,
    sums: &mut OutputTile,
    inverse_of_9: i32,
) {
    /// `A' m`.
    macro_rules! output_1d {
        () => {
            "vadd.i32 q10, q1, q2
             vsub.i32 q11, q1, q2
             vadd.i32 q12, q3, q8
             vsub.i32 q13, q3, q8
             vsub.i32 q1, q0, q10
             vadd.i32 q0, q0, q0
             vadd.i32 q8, q9, q9
             vsub.i32 q2, q12, q10
             vshl.s32 q1, q1, #2
             vshl.s32 q11, q11, #2
             vadd.i32 q0, q0, q12
             vadd.i32 q8, q8, q9
             vshl.s32 q2, q2, #2
             vadd.i32 q0, q0, q1
             vadd.i32 q3, q13, q8
             vadd.i32 q1, q13, q13
             vshl.s32 q3, q3, #3
             vsub.i32 q1, q1, q11
             vsub.i32 q3, q3, q11"
        };
    }
    naked_asm!(
        ".fpu neon",
        "push {{r4-r9, lr}}",
        "sub sp, sp, {columns}",
        "vdup.32 q14, r3",
        "mov r3, {pixel}",
        "add r6, r1, r1, lsl #1",
        "add r6, r6, r6",
        "mov r7, {row}",
        "mov r12, {groups}",
        "1:",
        "mov r8, r0",
        "mov r9, sp",
        "mov lr, {tile}",
        "2:",
        "mov r4, r8",
        "mov r5, r9",
        "vld1.32 {{d0-d1}}, [r4], r6",
        "vld1.32 {{d2-d3}}, [r4], r6",
        "vld1.32 {{d4-d5}}, [r4], r6",
        "vld1.32 {{d6-d7}}, [r4], r6",
        "vld1.32 {{d16-d17}}, [r4], r6",
        "vld1.32 {{d18-d19}}, [r4]",
        output_1d!(),
        "vst1.32 {{d0-d1}}, [r5], r7",
        "vst1.32 {{d2-d3}}, [r5], r7",
        "vst1.32 {{d4-d5}}, [r5], r7",
        "vst1.32 {{d6-d7}}, [r5]",
        "add r8, r8, r1",
        "add r9, r9, #16",
        "subs lr, lr, #1",
        "bne 2b",
        "mov r4, sp",
        "mov r5, r2",
        "mov lr, {rows}",
        "3:",
        "vld1.32 {{d0-d3}}, [r4]!",
        "vld1.32 {{d4-d7}}, [r4]!",
        "vld1.32 {{d16-d19}}, [r4]!",
        output_1d!(),
        "vmul.i32 q0, q0, q14",
        "vmul.i32 q1, q1, q14",
        "vmul.i32 q2, q2, q14",
        "vmul.i32 q3, q3, q14",
        "vshr.s32 q0, q0, #6",
        "vshr.s32 q1, q1, #6",
        "vshr.s32 q2, q2, #6",
        "vshr.s32 q3, q3, #6",
        "vst1.32 {{d0-d1}}, [r5], r3",
        "vst1.32 {{d2-d3}}, [r5], r3",
        "vst1.32 {{d4-d5}}, [r5], r3",
        "vst1.32 {{d6-d7}}, [r5], r3",
        "subs lr, lr, #1",
        "bne 3b",
        "add r0, r0, #16",
        "add r2, r2, #16",
        "subs r12, r12, #1",
        "bne 1b",
        "add sp, sp, {columns}",
        "pop {{r4-r9, pc}}",
        tile = const INPUT_TILE,
        rows = const TILE,
        groups = const LANES / 4,
        pixel = const size_of::<[i32; LANES]>(),
        row = const INPUT_TILE * size_of::<[i32; 4]>(),
        columns = const TILE * INPUT_TILE * size_of::<[i32; 4]>(),
    )
}
