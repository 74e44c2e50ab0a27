//! Tiles of pixels for cores without vector registers: what the tables of Cortex-M share.
//!
//! Such a core has 14 registers. A tile is one channel of a few pixels: their sums stay in registers, each weight is loaded once for all of
//! them, and the patches of the tile, packed once for all channels, pass by. The assembly goes from channel to channel by itself, with the
//! epilogue. Scratch is scarce, so only one tile's patches exist at a time.
#![allow(unsafe_code, reason = "assembly")]

use core::ops::Range;

use super::layout::{Layout, NR, panel_len};
use crate::format::records::ChannelRecord;
use crate::kernels::{ConvBlock, Grid, Patches, Shape, SkipValues, Target};

/// The tiles of an instruction set.
pub(super) trait Tiles: Layout {
    /// Pixels that the assembly computes for a tile of `pixels` pixels.
    fn lanes(pixels: usize) -> usize;

    /// Packs the patches of the tile that begins at pixel `first`. What pixels that it does not have would hold is left as it is.
    fn pack_tile(shape: &Shape, patches: &Patches<'_>, first: usize, panel: &mut [Self::Value])
    -> Option<()>;

    /// The microkernel for that many.
    fn microkernel(lanes: usize) -> Microkernel;
}

/// Computes some channels of a tile.
///
/// # Safety
/// This CPU has the instructions. The job's `panel` is aligned to 4 bytes and has a packed value of each of the microkernel's lanes for
/// every weight of a channel; `weights` has `depth` weights for each of the records; and these channels of all pixels of the tile can
/// be written at `out` and, if a shortcut joins, read at `skip`.
pub(super) type Microkernel = unsafe extern "C" fn(Job);

/// See [`Packing::pack_patches`](crate::kernels::Packing::pack_patches).
pub(super) fn pack_patches<T: Tiles>(
    shape: &Shape,
    _: &[i8],
    patches: &Patches<'_>,
    panels: &mut [i8],
) -> Option<()> {
    let firsts = (0..patches.pixels).step_by(T::MR);
    for (first, panel) in firsts.zip(panels.chunks_exact_mut(panel_len::<T>(shape)?.max(1))) {
        T::pack_tile(shape, patches, first, bytemuck::try_cast_slice_mut(panel).ok()?)?;
    }
    Some(())
}

/// See [`Direct::conv`](crate::kernels::Direct::conv).
pub(super) fn conv<T: Tiles>(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let ConvBlock { shape, target, .. } = block;
    let channels = target.first_channel..shape.channels.min(target.first_channel + NR);
    let on_a_line = |grid: &Grid| grid.width >= block.patches.pixels;
    if !on_a_line(&target.grid) || !target.skip.as_ref().is_none_or(|skip| on_a_line(&skip.grid)) {
        return None;
    }
    let joined = joined(target, &channels);
    let (mut first, mut panels) = (0, block.panels);
    while first < block.patches.pixels {
        let (panel, behind) = panels.split_at_checked(panel_len::<T>(shape)?)?;
        let tile = Tile { block, panel, first, pixels: (block.patches.pixels - first).min(T::MR) };
        tile.run::<T>(channels.start..joined.start, None, out)?;
        tile.run::<T>(joined.clone(), target.skip.as_ref(), out)?;
        tile.run::<T>(joined.end..channels.end, None, out)?;
        tile.clamp(channels.clone(), out)?;
        (first, panels) = (first + T::MR, behind);
    }
    Some(())
}

/// Those of some channels that the shortcut joins; without one an empty range at their end.
pub(super) fn joined(target: &Target<'_>, channels: &Range<usize>) -> Range<usize> {
    let within = |channel: usize| channel.max(channels.start).min(channels.end);
    target.skip.as_ref().map_or(channels.end..channels.end, |skip| {
        within(skip.channel)..within(skip.channel + skip.channel_count)
    })
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
    #[inline(never)]
    fn run<T: Tiles>(
        &self,
        channels: Range<usize>,
        skip: Option<&SkipValues<'_>>,
        out: &mut [i8],
    ) -> Option<()> {
        if channels.is_empty() {
            return Some(());
        }
        let ConvBlock { target, shape, weights, .. } = self.block;
        let (depth, lanes) = (shape.depth(), T::lanes(self.pixels));
        let weights = weights.get(channels.start * depth..channels.end * depth)?;
        let records = target.channels.get(channels.clone())?;
        if self.panel.len() < depth * lanes * size_of::<T::Value>()
            || self.panel.as_ptr().align_offset(4) != 0
        {
            return None;
        }
        let out_step = target.grid.column;
        let place = self.place(out, &target.grid, channels.start, channels.len())?;
        let last = out.as_mut_ptr().wrapping_add(place);
        let joining = match skip {
            None => Joining { values: core::ptr::null(), step: 0, zero_point: 0, shift: 0 },
            Some(skip) => {
                let (values, step) = match skip.values {
                    Some(values) => {
                        let own = channels.start - skip.channel;
                        let place = self.place(values, &skip.grid, own, channels.len())?;
                        (values.as_ptr().wrapping_add(place), skip.grid.column)
                    }
                    None => (last.cast_const(), out_step),
                };
                Joining { values, step, zero_point: skip.zero_point.into(), shift: skip.shift }
            }
        };
        let start = weights.as_ptr();
        let job = Job {
            panel: self.panel.as_ptr(),
            sixteens: start.wrapping_add(depth / 16 * 16),
            fours: start.wrapping_add(depth / 4 * 4),
            end: start.wrapping_add(depth),
            depth,
            record: records.as_ptr_range().start,
            records_end: records.as_ptr_range().end,
            out: last,
            step: out_step,
            skip: joining.values,
            skip_step: joining.step,
            unused_pixels: lanes - self.pixels,
            skip_entry: 0,
            zero_point: target.epilogue.zero_point.into(),
            skip_shift: joining.shift.into(),
            skip_offset: -joining.zero_point,
            skip_rounding: crate::arith::skip_rounding(joining.shift),
            weights: start,
        };
        // SAFETY: a table exists only in a build for CPUs that have its instructions. The panel's address and length have just been looked
        // at, `weights` is as long as the records ask for, and `place` has seen that in `out` and in the shortcut's values these channels
        // of all pixels exist; a shortcut in `out` is read by the pointer that `out` is written by.
        unsafe { T::microkernel(lanes)(job) };
        Some(())
    }

    /// Where a channel of the tile's last pixel is; `None` when it, any other pixel or one of the `count` channels is not in `values`.
    fn place(&self, values: &[i8], grid: &Grid, channel: usize, count: usize) -> Option<usize> {
        let last = grid.checked_place_of_row(0, self.first + self.pixels - 1)?.checked_add(channel)?;
        values.get(last..)?.get(..count).map(|_| last)
    }

    /// The assembly clamps to what a byte holds, which is all that most layers ask for.
    #[inline(never)]
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
    shift: u8,
}

/// What the assembly is told, and where it keeps what it has no registers for: its arguments on the stack are its own. It goes through
/// pixels from the last one to the first.
#[repr(C)]
pub(super) struct Job {
    pub(super) panel: *const i8,
    /// Where the first channel's weights end that are read 16 at a time.
    pub(super) sixteens: *const i8,
    /// Where those end that are read 4 at a time.
    pub(super) fours: *const i8,
    pub(super) end: *const i8,
    pub(super) depth: usize,
    /// The first channel's.
    pub(super) record: *const [u8; ChannelRecord::LEN],
    /// Where the last one ends.
    pub(super) records_end: *const [u8; ChannelRecord::LEN],
    /// The first channel of the last pixel.
    pub(super) out: *mut i8,
    /// Distance of pixels.
    pub(super) step: usize,
    pub(super) skip: *const i8,
    pub(super) skip_step: usize,
    /// Pixels that the loop has and the tile has not; then where the code is that begins with the last pixel.
    pub(super) unused_pixels: usize,
    /// The same for the code of the shortcut.
    pub(super) skip_entry: usize,
    pub(super) zero_point: i32,
    pub(super) skip_shift: u32,
    /// Minus the shortcut's zero point.
    pub(super) skip_offset: i32,
    pub(super) skip_rounding: i32,
    pub(super) weights: *const i8,
}

/// Bytes of the registers that a microkernel saves below its [`Job`].
pub(super) const SAVED: usize = 9 * 4;

/// A microkernel. While it multiplies, the sums are in r4 and on, the panel is at r0 and the weights
/// are at r1; the instruction set's products take all other registers. So all else is in memory, in the [`Job`].
macro_rules! channels_of_tile {
    ($name:ident, $isa:ident, [$first:literal, $($other:literal),+], [$($last:literal),+]) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(job: Job) {
            core::arch::naked_asm!(
                // The one that knows the instructions of all: a target alone, as Armv8-M is, has no DSP instructions.
                ".cpu cortex-m33",
                // The first four words of an argument of that size arrive in registers, the others on the stack (AAPCS32, 6.5): pushed,
                // they are in front of them.
                "push {{r0, r1, r2, r3}}",
                "push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
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
                $isa!(@sixteen $first $(, $other)+),
                "ldr r2, [sp, #{sixteens}]",
                "40:",
                "cmp r1, r2",
                "bne 30b",
                "ldr r2, [sp, #{end}]",
                "cmp r1, r2",
                "beq.w 62f",
                "ldr r2, [sp, #{fours}]",
                "b 51f",
                "50:",
                $isa!(@four $first $(, $other)+),
                "ldr r2, [sp, #{fours}]",
                "51:",
                "cmp r1, r2",
                "bne 50b",
                "ldr r2, [sp, #{end}]",
                "b 61f",
                "60:",
                $isa!(@one $first $(, $other)+),
                "ldr r2, [sp, #{end}]",
                "61:",
                "cmp r1, r2",
                "bne 60b",
                // The next channel's weights.
                "62:",
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
                // Requantize: the high half of the product first and one rounding shift then, which is the same
                // (docs/arithmetic.md). What the shift leaves in the carry is what rounding adds.
                "ldr r12, [sp, #{record}]",
                "ldr r2, [r12, #{mantissa}]",
                "ldrb r3, [r12, #{shift}]",
                "add r12, r12, #{record_len}",
                "str r12, [sp, #{record}]",
                "sub r12, r3, #1",
                "ldr r0, [sp, #{out}]",
                "add lr, r0, #1",
                "str lr, [sp, #{out}]",
                "ldr r1, [sp, #{step}]",
                "ldr lr, [sp, #{zero_point}]",
                "ldr pc, [sp, #{entry}]",
                "80:",
                $(
                    $isa!(@high_half $last),
                    concat!("asrs.w ", $last, ", ", $last, ", r12"),
                    concat!("adc.w ", $last, ", ", $last, ", lr"),
                    concat!("ssat ", $last, ", #8, ", $last),
                    concat!("strb.w ", $last, ", [r0]"),
                    "sub.w r0, r0, r1",
                )+
                "ldrd r2, r3, [sp, #{record}]",
                "cmp r2, r3",
                "bne.w 20b",
                "pop {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                "add sp, #16",
                "bx lr",
                panel = const SAVED + core::mem::offset_of!(Job, panel),
                sixteens = const SAVED + core::mem::offset_of!(Job, sixteens),
                fours = const SAVED + core::mem::offset_of!(Job, fours),
                end = const SAVED + core::mem::offset_of!(Job, end),
                depth = const SAVED + core::mem::offset_of!(Job, depth),
                record = const SAVED + core::mem::offset_of!(Job, record),
                out = const SAVED + core::mem::offset_of!(Job, out),
                step = const SAVED + core::mem::offset_of!(Job, step),
                skip = const SAVED + core::mem::offset_of!(Job, skip),
                skip_step = const SAVED + core::mem::offset_of!(Job, skip_step),
                entry = const SAVED + core::mem::offset_of!(Job, unused_pixels),
                skip_entry = const SAVED + core::mem::offset_of!(Job, skip_entry),
                zero_point = const SAVED + core::mem::offset_of!(Job, zero_point),
                skip_shift = const SAVED + core::mem::offset_of!(Job, skip_shift),
                skip_offset = const SAVED + core::mem::offset_of!(Job, skip_offset),
                skip_rounding = const SAVED + core::mem::offset_of!(Job, skip_rounding),
                weights = const SAVED + core::mem::offset_of!(Job, weights),
                bias = const ChannelRecord::BIAS,
                mantissa = const ChannelRecord::MANTISSA,
                factor = const ChannelRecord::SKIP_MULTIPLIER,
                shift = const ChannelRecord::SHIFT,
                record_len = const ChannelRecord::LEN,
            )
        }
    };
}
pub(super) use channels_of_tile;
