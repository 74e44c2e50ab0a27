//! Tiles of pixels that are anywhere.
//!
//! Where a run is no multiple of 16 long, the lanes of its last slice that belong to something else are 0 in the registers of the
//! pixels, so what the weights have there does not matter. Weights are never read beyond their channel's: near its end the
//! 16 values begin earlier, and the lanes of the pixels move along.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::mem::offset_of;

use super::{MR, SLICE, Sums, Tiles, channels, row_rest};
use crate::kernels::{ConvBlock, Patches};

/// Tiles of up to [`MR`] pixels.
pub(super) struct Slices<'a> {
    patches: &'a Patches<'a>,
    /// What is the same for all tiles is there already.
    tile: Tile,
}

impl<'a> Tiles<'a> for Slices<'a> {
    /// `None` when there are less than [`SLICE`] values of depth.
    fn new(block: &'a ConvBlock<'a>) -> Option<Self> {
        let ConvBlock { shape, patches, .. } = block;
        let depth = shape.depth();
        let channels = channels(shape.channels, &block.target);
        let weights = block.weights.get(channels.start * depth..)?;
        let tile = Tile {
            slices: [patches.source.as_ptr(); MR],
            add: 0,
            sums: core::ptr::null_mut(),
            channels: channels.len(),
            weights: weights.as_ptr(),
            last_slice: weights.get(depth.checked_sub(SLICE)?..)?.as_ptr(),
            depth,
            run_len: shape.run_len,
            to_next_run: patches.run_stride.wrapping_sub(shape.run_len / SLICE * SLICE),
            run_count: shape.runs,
        };
        Some(Self { patches, tile })
    }

    fn pixels(&self, _: usize) -> usize {
        MR
    }

    #[inline]
    fn multiply(&mut self, first: usize, pixels: usize, sums: &mut Sums) -> Option<()> {
        let Patches { source, grid, .. } = self.patches;
        let (place, last) = (grid.place(first), pixels - 1);
        let one_row = pixels <= row_rest(grid, first);
        for (index, slice) in self.tile.slices.iter_mut().enumerate() {
            let index = index.min(last);
            let place = if one_row { place + index * grid.column } else { grid.place(first + index) };
            *slice = source.as_ptr().wrapping_add(place);
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
        // SAFETY: this build is for a CPU with MVE. `check` has seen that all runs of all pixels are in the source, and the weights of
        // `channels` channels; `new`, that these have at least `SLICE` values of depth. There are `NR` channels and `MR` pixels at most, so
        // there is room for the sums.
        unsafe { multiply(&mut self.tile) };
        Some(())
    }
}

/// What the `multiply_*` functions work on.
#[repr(C)]
struct Tile {
    /// Where the next slices are; the last pixel's again for those that are missing.
    slices: [*const i8; MR],
    /// 0 as long as there are no sums; set by the functions.
    add: usize,
    sums: *mut i32,
    channels: usize,
    /// The first channel's.
    weights: *const i8,
    /// The last [`SLICE`] weights of the first channel.
    last_slice: *const i8,
    /// Weights of a channel.
    depth: usize,
    run_len: usize,
    /// From the end of a run's whole slices to the next run.
    to_next_run: usize,
    run_count: usize,
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
                "ldr r9, [r11, {run_len}]",
                "ldr r1, [r11, {run_count}]",
                "mov r2, #0",
                "str r2, [r11, {add}]",
                "push {{r1, r2}}",
                "b 1f",
                // A whole slice.
                "2:",
                "ldm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
                "vldrb.u8 q0, [r0], #16",
                "vldrb.u8 q1, [r2], #16",
                "vldrb.u8 q2, [r4], #16",
                "vldrb.u8 q3, [r6], #16",
                "vldrb.u8 q4, [r8], #16",
                "vldrb.u8 q5, [r10], #16",
                "vldrb.u8 q6, [r12], #16",
                "stm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
                "mov r3, r7",
                "3:",
                "ldrd r0, r1, [r11, {add}]",
                "ldr lr, [r11, {channels}]",
                "cbz r0, 5f",
                "dls lr, lr",
                "4:",
                "vldrb.u8 q7, [r3]",
                "add r3, r5",
                $load,
                concat!("vmladava.s8 ", $sum0, ", ", $pixel0, ", q7"),
                $(concat!("vmladava.s8 ", $sum, ", ", $pixel, ", q7"),)*
                concat!("stm r1!, {{", $sum0 $(, ", ", $sum)*, "}}"),
                "le lr, 4b",
                "7:",
                "add r7, {slice}",
                // r9 values are left of the run.
                "1:",
                "subs r9, {slice}",
                "bge 2b",
                "adds r9, {slice}",
                "bgt 8f",
                "ldr r0, [sp]",
                "subs r0, #1",
                "str r0, [sp]",
                "beq 9f",
                "ldr r9, [r11, {to_next_run}]",
                "ldm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
                "add r0, r9",
                "add r2, r9",
                "add r4, r9",
                "add r6, r9",
                "add r8, r9",
                "add r10, r9",
                "add r12, r9",
                "stm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
                "ldr r9, [r11, {run_len}]",
                "b 1b",
                "9:",
                "pop {{r1, r2}}",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
                // The first slice.
                "5:",
                "str r11, [r11, {add}]",
                "dls lr, lr",
                "6:",
                "vldrb.u8 q7, [r3]",
                "add r3, r5",
                concat!("vmladav.s8 ", $sum0, ", ", $pixel0, ", q7"),
                $(concat!("vmladav.s8 ", $sum, ", ", $pixel, ", q7"),)*
                concat!("stm r1!, {{", $sum0 $(, ", ", $sum)*, "}}"),
                "le lr, 6b",
                "b 7b",
                // The rest of a run: r9 values. Lanes before and behind them become 0.
                "8:",
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
                // As if it had been a whole slice that ended the run.
                "sub r7, {slice}",
                "add r7, r9",
                "mov r9, #0",
                "ldm r11, {{r0, r2, r4, r6, r8, r10, r12}}",
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
                "b 3b",
                slice = const SLICE,
                add = const offset_of!(Tile, add),
                channels = const offset_of!(Tile, channels),
                weights = const offset_of!(Tile, weights),
                last_slice = const offset_of!(Tile, last_slice),
                depth = const offset_of!(Tile, depth),
                run_len = const offset_of!(Tile, run_len),
                to_next_run = const offset_of!(Tile, to_next_run),
                run_count = const offset_of!(Tile, run_count),
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
