//! The epilogue of whole tiles of pixels at equal distances, in one piece of assembly: sums stay in the registers that the
//! products left them in, and places need no arithmetic but a step from one pixel to the next.
//!
//! A shortcut adds `((value - zero point) * multiplier + 2^(shift - 1)) >> shift`. `sqrdmlah` adds `(2ab + 2^31) >> 32`:
//! with `a = (value - zero point) << 23` and `b = multiplier << (8 - shift)` that is the same. Nothing wraps: the loader
//! has seen that `shift` is at most 8, and `255 * multiplier` below 2^31, so `multiplier` is below 2^23.
#![allow(unsafe_code, reason = "inline assembly")]

use core::marker::PhantomData;

use super::tiles::Sums;
use crate::kernels::simd::{LANES, Parameters};
use crate::kernels::{Grid, SkipValues, Target};

/// Fraction bits of a shortcut's multipliers when `sqrdmlah` multiplies by them.
const SKIP_BITS: i32 = 8;

/// A piece of assembly for the sums of each pixel of a tile.
macro_rules! each {
    ($piece:ident) => {
        concat!(
            $piece!("8", "9", "10", "11"),
            $piece!("12", "13", "14", "15"),
            $piece!("16", "17", "18", "19"),
            $piece!("20", "21", "22", "23"),
            $piece!("24", "25", "26", "27"),
            $piece!("28", "29", "30", "31"),
        )
    };
}

/// Adds the shortcut; v0 to v3 hold the multipliers, v4 the zero point.
macro_rules! add_skip {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "ld1 {{v5.16b}}, [{skip}], {skip_step}\n",
            "sshll2 v6.8h, v5.16b, #7\n",
            "sshll v5.8h, v5.8b, #7\n",
            "sub v6.8h, v6.8h, v4.8h\n",
            "sub v5.8h, v5.8h, v4.8h\n",
            "shll2 v7.4s, v5.8h, #16\n",
            "shll v5.4s, v5.4h, #16\n",
            concat!("sqrdmlah v", $a, ".4s, v5.4s, v0.4s\n"),
            concat!("sqrdmlah v", $b, ".4s, v7.4s, v1.4s\n"),
            "shll2 v7.4s, v6.8h, #16\n",
            "shll v6.4s, v6.4h, #16\n",
            concat!("sqrdmlah v", $c, ".4s, v6.4s, v2.4s\n"),
            concat!("sqrdmlah v", $d, ".4s, v7.4s, v3.4s\n"),
        )
    };
}

/// Products with the mantissas, in v0 to v3.
macro_rules! multiply {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("sqdmulh v", $a, ".4s, v", $a, ".4s, v0.4s\n"),
            concat!("sqdmulh v", $b, ".4s, v", $b, ".4s, v1.4s\n"),
            concat!("sqdmulh v", $c, ".4s, v", $c, ".4s, v2.4s\n"),
            concat!("sqdmulh v", $d, ".4s, v", $d, ".4s, v3.4s\n"),
        )
    };
}

/// Their shifts, in v4 to v7.
macro_rules! shift {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("srshl v", $a, ".4s, v", $a, ".4s, v4.4s\n"),
            concat!("srshl v", $b, ".4s, v", $b, ".4s, v5.4s\n"),
            concat!("srshl v", $c, ".4s, v", $c, ".4s, v6.4s\n"),
            concat!("srshl v", $d, ".4s, v", $d, ".4s, v7.4s\n"),
        )
    };
}

/// To int16, in the first and the third register; what saturates lies beyond all clamps.
macro_rules! narrow {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("sqxtn v", $a, ".4h, v", $a, ".4s\n"),
            concat!("sqxtn v", $c, ".4h, v", $c, ".4s\n"),
            concat!("sqxtn2 v", $a, ".8h, v", $b, ".4s\n"),
            concat!("sqxtn2 v", $c, ".8h, v", $d, ".4s\n"),
        )
    };
}

/// Zero point and clamp, in v0 to v2, and the store.
macro_rules! store {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("sqadd v", $a, ".8h, v", $a, ".8h, v0.8h\n"),
            concat!("sqadd v", $c, ".8h, v", $c, ".8h, v0.8h\n"),
            concat!("sqxtn v", $a, ".8b, v", $a, ".8h\n"),
            concat!("sqxtn2 v", $a, ".16b, v", $c, ".8h\n"),
            concat!("smax v", $a, ".16b, v", $a, ".16b, v1.16b\n"),
            concat!("smin v", $a, ".16b, v", $a, ".16b, v2.16b\n"),
            concat!("st1 {{v", $a, ".16b}}, [{out}], {out_step}\n"),
        )
    };
}

/// The same when they are -128 and all of int8: uint8 has that range, and -128 in v0 turns it into int8.
macro_rules! store_unsigned {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            concat!("sqxtun v", $a, ".8b, v", $a, ".8h\n"),
            concat!("sqxtun2 v", $a, ".16b, v", $c, ".8h\n"),
            concat!("eor v", $a, ".16b, v", $a, ".16b, v0.16b\n"),
            concat!("st1 {{v", $a, ".16b}}, [{out}], {out_step}\n"),
        )
    };
}

/// Where the pixels of a block go, and those of a shortcut that joins come from, when both are lines.
pub(super) struct Lines<'a> {
    out: *mut i8,
    out_step: usize,
    /// Null without a shortcut.
    skip: *const i8,
    skip_step: usize,
    /// What the multipliers of the shortcut are shifted by.
    skip_left: i32,
    /// 128 times the shortcut's zero point.
    skip_zero: i32,
    zero_point: i32,
    clamp: [i32; 2],
    /// Whether the zero point is -128 and nothing is clamped but by the type: so after most ReLUs.
    unsigned: bool,
    borrowed: PhantomData<&'a mut [i8]>,
}

impl<'a> Lines<'a> {
    /// The lines of `pixels` pixels; `None` if pixels are in rows, lanes are without channels or without values of the
    /// shortcut, or slices are too short.
    #[inline(always)]
    pub(super) fn new(target: &Target<'a>, pixels: usize, out: &'a mut [i8]) -> Option<Self> {
        let (first, epilogue) = (target.first_channel, target.epilogue);
        if target.channels.len() < first.checked_add(LANES)? {
            return None;
        }
        let start = start(&target.grid, first, pixels, out)?;
        let out_step = target.grid.column;
        let out = out.as_mut_ptr().wrapping_add(start);
        let (skip, skip_step) = match &target.skip {
            None => (core::ptr::null(), 0),
            Some(SkipValues { values: None, .. }) => (out.cast_const(), out_step),
            Some(skip @ SkipValues { values: Some(values), grid, .. }) => {
                let own = first.checked_sub(skip.channel)?;
                if skip.channel_count < own.checked_add(LANES)? {
                    return None;
                }
                (values.as_ptr().wrapping_add(self::start(grid, own, pixels, values)?), grid.column)
            }
        };
        Some(Self {
            out,
            out_step,
            skip,
            skip_step,
            skip_left: target.skip.map_or(0, |skip| SKIP_BITS - i32::from(skip.shift)),
            skip_zero: target.skip.map_or(0, |skip| i32::from(skip.zero_point) << 7),
            zero_point: epilogue.zero_point.into(),
            clamp: epilogue.clamp.map(i32::from),
            unsigned: epilogue.zero_point == i8::MIN && epilogue.clamp == [i8::MIN, i8::MAX],
            borrowed: PhantomData,
        })
    }

    /// Shortcut, requantization, clamp and store of a tile's sums, bias included; then the lines begin behind its pixels.
    ///
    /// # Safety
    ///
    /// The CPU must have `rdm`, and the lines pixels for this tile behind those of the tiles that have been finished.
    #[inline(always)]
    pub(super) unsafe fn finish(&mut self, sums: Sums, parameters: &Parameters) {
        let [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], d, e, f] = sums;
        let ([d0, d1, d2, d3], [e0, e1, e2, e3], [f0, f1, f2, f3]) = (d, e, f);
        // SAFETY: `LANES` values from every pixel of the lines lie in their slices; the caller vouches for the instructions.
        unsafe {
            core::arch::asm!(
                "cbz {skip}, 2f",
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{multipliers}]",
                "dup v4.4s, {skip_left:w}",
                "sshl v0.4s, v0.4s, v4.4s",
                "sshl v1.4s, v1.4s, v4.4s",
                "sshl v2.4s, v2.4s, v4.4s",
                "sshl v3.4s, v3.4s, v4.4s",
                "dup v4.8h, {skip_zero:w}",
                each!(add_skip),
                "2:",
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{mantissas}]",
                "ld1 {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{shifts}]",
                each!(multiply),
                each!(shift),
                each!(narrow),
                "cbz {unsigned:w}, 3f",
                "movi v0.16b, #128",
                each!(store_unsigned),
                "b 4f",
                "3:",
                "dup v0.8h, {zero_point:w}",
                "dup v1.16b, {low:w}",
                "dup v2.16b, {high:w}",
                each!(store),
                "4:",
                multipliers = in(reg) parameters.skip_multiplier.as_ptr(),
                mantissas = in(reg) parameters.mantissa.as_ptr(),
                shifts = in(reg) parameters.shift.as_ptr(),
                out = inout(reg) self.out,
                out_step = in(reg) self.out_step,
                skip = inout(reg) self.skip,
                skip_step = in(reg) self.skip_step,
                skip_left = in(reg) self.skip_left,
                skip_zero = in(reg) self.skip_zero,
                unsigned = in(reg) i32::from(self.unsigned),
                zero_point = in(reg) self.zero_point,
                low = in(reg) self.clamp[0],
                high = in(reg) self.clamp[1],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                inout("v8") a0 => _, inout("v9") a1 => _, inout("v10") a2 => _, inout("v11") a3 => _,
                inout("v12") b0 => _, inout("v13") b1 => _, inout("v14") b2 => _, inout("v15") b3 => _,
                inout("v16") c0 => _, inout("v17") c1 => _, inout("v18") c2 => _, inout("v19") c3 => _,
                inout("v20") d0 => _, inout("v21") d1 => _, inout("v22") d2 => _, inout("v23") d3 => _,
                inout("v24") e0 => _, inout("v25") e1 => _, inout("v26") e2 => _, inout("v27") e3 => _,
                inout("v28") f0 => _, inout("v29") f1 => _, inout("v30") f2 => _, inout("v31") f3 => _,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Where the channels from `first` on of a line of pixels start, if the line lies in a slice.
#[inline(always)]
fn start(grid: &Grid, first: usize, pixels: usize, values: &[i8]) -> Option<usize> {
    let start = grid.start.checked_add(first)?;
    let last = pixels.checked_sub(1)?.checked_mul(grid.column)?.checked_add(start)?;
    (pixels <= grid.width && last.checked_add(LANES)? <= values.len()).then_some(start)
}

/// The target of what is behind some pixels of the lines.
#[inline(always)]
pub(super) fn behind<'a>(target: &Target<'a>, pixels: usize) -> Target<'a> {
    let behind = |grid: Grid| Grid { start: grid.start + pixels * grid.column, ..grid };
    let skip = target.skip.map(|skip| SkipValues { grid: behind(skip.grid), ..skip });
    Target { grid: behind(target.grid), skip, ..*target }
}
