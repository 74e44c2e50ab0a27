//! Tiles of neighbouring pixels of kernels with three columns and stride 1.
//!
//! An output reads 16 input channels of three neighbouring pixels with the weights of the three columns; seven pixels in registers serve
//! five outputs. There is a function for every number of outputs and some numbers of input channels, so that the
//! distances between columns are immediate operands.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::mem::offset_of;

use super::{SLICE, Sums, Tiles, channels, row_rest};
use crate::kernels::{ConvBlock, Patches};

/// Most pixels of a tile.
const OUTPUTS: usize = 5;

/// Multiplies a tile.
type Multiply = unsafe extern "C" fn(&mut Tile);

/// Tiles of up to [`OUTPUTS`] pixels.
pub(super) struct Columns<'a> {
    patches: &'a Patches<'a>,
    /// The functions for the numbers of pixels.
    functions: &'static [Multiply; OUTPUTS],
    /// What is the same for all tiles is there already.
    tile: Tile,
}

impl Columns<'_> {
    /// Whether a block is of this kind.
    pub(super) const fn fit(block: &ConvBlock<'_>) -> bool {
        let inputs = block.patches.grid.column;
        block.shape.run_len == 3 * inputs && functions(inputs).is_some()
    }
}

/// The functions for a number of input channels.
const fn functions(inputs: usize) -> Option<&'static [Multiply; OUTPUTS]> {
    match inputs {
        16 => Some(&Functions::<16>::ALL),
        32 => Some(&Functions::<32>::ALL),
        64 => Some(&Functions::<64>::ALL),
        _ => None,
    }
}

/// Those for a number of input channels.
struct Functions<const INPUTS: usize>;

impl<const INPUTS: usize> Functions<INPUTS> {
    const ALL: [Multiply; OUTPUTS] = [
        multiply_1::<INPUTS>,
        multiply_2::<INPUTS>,
        multiply_3::<INPUTS>,
        multiply_4::<INPUTS>,
        multiply_5::<INPUTS>,
    ];
}

impl<'a> Tiles<'a> for Columns<'a> {
    fn new(block: &'a ConvBlock<'a>) -> Option<Self> {
        let ConvBlock { shape, patches, .. } = block;
        let inputs = patches.grid.column;
        let functions = functions(inputs)?;
        let channels = channels(shape.channels, &block.target);
        let tile = Tile {
            add: 0,
            sums: core::ptr::null_mut(),
            channels: channels.len(),
            weights: block.weights.get(channels.start * shape.depth() + inputs..)?.as_ptr(),
            depth: shape.depth(),
            pixels: core::ptr::null(),
            to_next_run: patches.run_stride.wrapping_sub(inputs),
            run_count: shape.runs,
        };
        Some(Self { patches, functions, tile })
    }

    #[inline]
    fn pixels(&self, first: usize) -> usize {
        row_rest(&self.patches.grid, first).min(OUTPUTS)
    }

    #[inline]
    fn multiply(&mut self, first: usize, pixels: usize, sums: &mut Sums) -> Option<()> {
        let Patches { source, grid, .. } = self.patches;
        self.tile.pixels = source.as_ptr().wrapping_add(grid.place(first));
        self.tile.sums = sums.as_mut_ptr().cast();
        let multiply = self.functions.get(pixels.checked_sub(1)?)?;
        // SAFETY: this build is for a CPU with MVE. `check` has seen that all runs of all pixels are in the source, and the weights of
        // `channels` channels; `fit`, that a run is three pixels; the function is the one for so many input channels. There are `NR`
        // channels and `OUTPUTS` pixels at most, so there is room for the sums.
        unsafe { multiply(&mut self.tile) };
        Some(())
    }
}

/// What the `multiply_*` functions work on.
#[repr(C)]
struct Tile {
    /// 0 as long as there are no sums; set by the functions.
    add: usize,
    sums: *mut i32,
    channels: usize,
    /// The first channel's, of the middle column.
    weights: *const i8,
    /// Weights of a channel.
    depth: usize,
    /// The first one that the first output reads.
    pixels: *const i8,
    /// From the second pixel of a run to the next run.
    to_next_run: usize,
    run_count: usize,
}

/// Defines a function that multiplies a tile: `$pixel` are the registers of the pixels, `$sum` those of the sums, which `$load`
/// loads, and `$left`, `$middle`, `$right` those of the pixels that a sum is of.
macro_rules! multiply {
    (
        $name:ident, $load:literal: $($pixel:literal)*;
        $sum0:literal $left0:literal $middle0:literal $right0:literal
        $(, $sum:literal $left:literal $middle:literal $right:literal)*
    ) => {
        /// The sums of a tile, with `INPUTS` input channels.
        ///
        /// # Safety
        ///
        /// The CPU must have MVE; there must be what the fields of the tile say, and at least one run, of three pixels, and one
        /// channel.
        #[unsafe(naked)]
        unsafe extern "C" fn $name<const INPUTS: usize>(tile: &mut Tile) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "mov r11, r0",
                "ldr r5, [r11, {depth}]",
                "ldr r7, [r11, {weights}]",
                "ldr r10, [r11, {pixels}]",
                "ldr r12, [r11, {run_count}]",
                "mov r2, #0",
                "str r2, [r11, {add}]",
                // A run.
                "1:",
                "mov r9, {inputs} / {slice}",
                // Sixteen input channels.
                "2:",
                $(concat!("vldrb.u8 ", $pixel, ", [r10], #{inputs}"),)*
                "sub r10, {to_next_slice}",
                "mov r3, r7",
                "ldm r11, {{r0, r1, lr}}",
                "cbz r0, 5f",
                "dls lr, lr",
                "3:",
                "vldrb.u8 q7, [r3, #-{inputs}]",
                $load,
                concat!("vmladava.s8 ", $sum0, ", ", $left0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $left, ", q7"),)*
                "vldrb.u8 q7, [r3]",
                concat!("vmladava.s8 ", $sum0, ", ", $middle0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $middle, ", q7"),)*
                "vldrb.u8 q7, [r3, #{inputs}]",
                "add r3, r5",
                concat!("vmladava.s8 ", $sum0, ", ", $right0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $right, ", q7"),)*
                concat!("stm r1!, {{", $sum0 $(, ", ", $sum)*, "}}"),
                "le lr, 3b",
                "4:",
                "add r7, {slice}",
                "subs r9, #1",
                "bne 2b",
                "add r7, 2 * {inputs}",
                "ldr r0, [r11, {to_next_run}]",
                "add r10, r0",
                "subs r12, #1",
                "bne 1b",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
                // The first slice.
                "5:",
                "str r11, [r11, {add}]",
                "dls lr, lr",
                "6:",
                "vldrb.u8 q7, [r3, #-{inputs}]",
                concat!("vmladav.s8 ", $sum0, ", ", $left0, ", q7"),
                $(concat!("vmladav.s8 ", $sum, ", ", $left, ", q7"),)*
                "vldrb.u8 q7, [r3]",
                concat!("vmladava.s8 ", $sum0, ", ", $middle0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $middle, ", q7"),)*
                "vldrb.u8 q7, [r3, #{inputs}]",
                "add r3, r5",
                concat!("vmladava.s8 ", $sum0, ", ", $right0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $right, ", q7"),)*
                concat!("stm r1!, {{", $sum0 $(, ", ", $sum)*, "}}"),
                "le lr, 6b",
                "b 4b",
                slice = const SLICE,
                inputs = const INPUTS,
                to_next_slice = const [$($pixel),*].len() * INPUTS - SLICE,
                add = const offset_of!(Tile, add),
                weights = const offset_of!(Tile, weights),
                depth = const offset_of!(Tile, depth),
                pixels = const offset_of!(Tile, pixels),
                to_next_run = const offset_of!(Tile, to_next_run),
                run_count = const offset_of!(Tile, run_count),
            )
        }
    };
}

multiply!(multiply_1, "ldr r0, [r1]": "q0" "q1" "q2"; "r0" "q0" "q1" "q2");
multiply!(multiply_2, "ldm r1, {{r0, r2}}": "q0" "q1" "q2" "q3"; "r0" "q0" "q1" "q2", "r2" "q1" "q2" "q3");
multiply!(multiply_3, "ldm r1, {{r0, r2, r4}}": "q0" "q1" "q2" "q3" "q4"; "r0" "q0" "q1" "q2", "r2" "q1" "q2" "q3", "r4" "q2" "q3" "q4");
multiply!(multiply_4, "ldm r1, {{r0, r2, r4, r6}}": "q0" "q1" "q2" "q3" "q4" "q5"; "r0" "q0" "q1" "q2", "r2" "q1" "q2" "q3", "r4" "q2" "q3" "q4", "r6" "q3" "q4" "q5");
multiply!(multiply_5, "ldm r1, {{r0, r2, r4, r6, r8}}": "q0" "q1" "q2" "q3" "q4" "q5" "q6"; "r0" "q0" "q1" "q2", "r2" "q1" "q2" "q3", "r4" "q2" "q3" "q4", "r6" "q3" "q4" "q5", "r8" "q4" "q5" "q6");
