//! Helium, the vector extension (MVE) of Cortex-M55 and M85, in assembly: Rust has no intrinsics for it on its stable channel.
//! Weights and patches are read where they are.
//!
//! # Direct convolution with patches in registers
//!
//! `vmladava.s8` adds 16 products to a general register. Seven vector registers hold values of some pixels, and the weights of up
//! to 16 channels pass by in the eighth. The sums of a channel come from the stack with one `ldm` and go back with one
//! `stm`. There are two kinds of tiles:
//!
//! - [`slices`]: 16 values of depth of up to seven pixels, wherever they are. One load of weights is for 7 `vmladava`.
//! - [`columns`]: 16 input channels of seven neighbouring pixels, which is all that five outputs of a kernel with three columns and stride
//!   1 read. Three loads of weights are for 15 `vmladava`, and a channel's sums come and go a third as often.
//!
//! `.cpu` tells the assembler only: the compiler goes on without MVE.
#![allow(unsafe_code, reason = "assembly")]

mod columns;
mod outputs;
mod slices;

use core::arch::naked_asm;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::layout;

use self::columns::Columns;
use self::outputs::Outputs;
use self::slices::Slices;
use crate::Isa;
use crate::kernels::{ConvBlock, Grid, Kernels, Target, portable};

/// Most pixels of a tile.
const MR: usize = layout::MVE_MR;
/// Most channels of a tile.
const NR: usize = layout::MVE_NR;
/// Values of depth that are multiplied together.
const SLICE: usize = 16;

/// The table of [`Isa::CortexmMve`].
pub(in crate::kernels) static KERNELS: Kernels = Kernels {
    isa: Isa::CortexmMve,
    direct: layout::in_place(conv),
    winograd: None,
    transformed: None,
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
    copy_into: |out, input| {
        // SAFETY: this build is for a CPU with MVE; both have so many values.
        unsafe { copy_into(out.as_mut_ptr(), input.as_ptr(), out.len().min(input.len())) }
    },
};

/// See [`Direct::conv`].
fn conv(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    if block.shape.depth() < SLICE {
        return conv_shallow(block, out);
    }
    check(block)?;
    let conv_tiles = if Columns::fit(block) { conv_tiles::<Columns<'_>> } else { conv_tiles::<Slices<'_>> };
    conv_tiles(block, out)
}

/// A layer that has less than one slice.
#[inline(never)]
fn conv_shallow(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let first = block.target.first_channel;
    for first_channel in (first..block.shape.channels.min(first + NR)).step_by(portable::NR) {
        portable::conv(&ConvBlock { target: Target { first_channel, ..block.target }, ..*block }, out)?;
    }
    Some(())
}

/// Whether the slices have all that the block reads: `None` when one is too short.
fn check(ConvBlock { shape, patches, weights, target, .. }: &ConvBlock<'_>) -> Option<()> {
    let last_run = shape.runs.checked_sub(1)?.checked_mul(patches.run_stride)?;
    let last = patches.grid.highest_place(patches.pixels)?;
    patches.source.get(last..)?.get(last_run..)?.get(..shape.run_len)?;
    weights
        .get(target.first_channel * shape.depth()..channels(shape.channels, target).end * shape.depth())?;
    Some(())
}

/// The output channels of a call, for a layer of `count`.
fn channels(count: usize, target: &Target<'_>) -> Range<usize> {
    target.first_channel..count.min(target.first_channel + NR)
}

/// Pixels from `first` on that are equally far apart: the rest of a row.
#[inline]
fn row_rest(grid: &Grid, first: usize) -> usize {
    if grid.width == usize::MAX {
        usize::MAX
    } else {
        grid.width - first.checked_rem(grid.width).unwrap_or(0)
    }
}

/// The sums of a tile: `[channel][pixel]`, without gaps.
type Sums = MaybeUninit<[i32; NR * MR]>;

/// A kind of tiles.
trait Tiles<'a>: Sized {
    /// For a block that [`check`] has seen. `None` when it is of another kind.
    fn new(block: &'a ConvBlock<'a>) -> Option<Self>;

    /// Pixels that a tile can have that starts with pixel `first`.
    fn pixels(&self, first: usize) -> usize;

    /// Writes the sums of the `pixels` pixels from `first` on, which the block must have, and all channels.
    fn multiply(&mut self, first: usize, pixels: usize, sums: &mut Sums) -> Option<()>;
}

/// Sums, then outputs, tile by tile.
#[inline(never)]
fn conv_tiles<'a, T: Tiles<'a>>(block: &'a ConvBlock<'a>, out: &mut [i8]) -> Option<()> {
    // References to both where they were made: values would be copied.
    let tiles = &mut T::new(block);
    let tiles = tiles.as_mut()?;
    let all = block.patches.pixels;
    let channels = channels(block.shape.channels, &block.target);
    let outputs = &mut Outputs::new(&block.target, channels, all, out);
    let outputs = outputs.as_mut()?;
    let mut sums = Sums::uninit();
    let mut first = 0;
    while first < all {
        let pixels = tiles.pixels(first).min(outputs.row_rest(first)).min(all - first);
        tiles.multiply(first, pixels, &mut sums)?;
        outputs.finish(first, pixels, &sums, out)?;
        first += pixels;
    }
    Some(())
}

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

/// `out = input`.
///
/// # Safety
///
/// The CPU must have MVE; both must have `len` values.
#[unsafe(naked)]
unsafe extern "C" fn copy_into(out: *mut i8, input: *const i8, len: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4, lr}}",
        "wlstp.8 lr, r2, 2f",
        "1:",
        "vldrb.u8 q0, [r1], #16",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 1b",
        "2:",
        "pop {{r4, pc}}",
    )
}
