//! The way back of Winograd's method on NEON, in assembly: four channels of a tile at a time, so that all of it stays in registers from
//! the products to the outputs.
#![allow(unsafe_code, reason = "assembly")]

use super::neon::Neon;
use crate::kernels::simd::{LANES, Parameters, has_all_lanes};
use crate::kernels::winograd::{Finish, Form, INVERSE_OF_9, PARAMETERS_LEN, POINTS, Product, steps, stride};
use crate::kernels::{Epilogue, Grid, SkipValues};

/// Pixels of the largest tile that is computed here.
const PIXELS: usize = Form::F4x3.tile() * Form::F4x3.tile();

/// See [`Winograd::transform_output`](crate::kernels::winograd::Winograd::transform_output). Whole tiles are stored where they belong, others
/// by way of a tile in memory.
#[inline(always)]
pub(super) fn transform_output(neon: Neon, job: &Finish<'_>, out: &mut [i8]) -> Option<()> {
    let (target, side) = (&job.target, job.form.tile());
    if job.form == Form::F5x2 || !has_all_lanes(target) {
        return steps::transform_output(neon, job, out);
    }
    let tile = Tile::new(job)?;
    if job.valid == [side; 2] {
        let pixels = Pixels::new(out.as_mut_ptr(), out.len(), &target.grid, target.first_channel, side)?;
        let skip = match target.skip {
            Some(SkipValues { values: Some(values), grid, channel, .. }) => {
                let own = target.first_channel.checked_sub(channel)?;
                Some(Pixels::new(values.as_ptr().cast_mut(), values.len(), &grid, own, side)?)
            }
            Some(SkipValues { values: None, .. }) => Some(pixels),
            None => None,
        };
        // SAFETY: all pixels of the tile lie in the output, and in the shortcut's values.
        unsafe { tile.finish(neon, pixels, skip) };
        return Some(());
    }
    let places = || {
        let [rows, columns] = job.valid;
        (0..rows.min(side)).flat_map(move |row| (0..columns.min(side)).map(move |column| [row, column]))
    };
    let mut values = [[0; LANES]; PIXELS];
    if let Some(skip) = &target.skip {
        for [row, column] in places() {
            *values.get_mut(row * side + column)? = match skip.values {
                Some(values) => {
                    let own = target.first_channel.checked_sub(skip.channel)?;
                    *values.get(skip.grid.place_of_row(row, column) + own..)?.first_chunk()?
                }
                None => {
                    *out.get(target.grid.place_of_row(row, column) + target.first_channel..)?.first_chunk()?
                }
            };
        }
    }
    let start = values.as_flattened_mut().as_mut_ptr();
    let pixels = Pixels { start, row: side * LANES, column: LANES };
    // SAFETY: there is room for the pixels of a tile.
    unsafe { tile.finish(neon, pixels, target.skip.map(|_| pixels)) };
    for [row, column] in places() {
        let out = out.get_mut(target.grid.place_of_row(row, column) + target.first_channel..)?;
        *out.first_chunk_mut()? = *values.get(row * side + column)?;
    }
    Some(())
}

/// Where the pixels of a tile have their values of 16 channels.
#[derive(Clone, Copy)]
struct Pixels {
    start: *mut i8,
    /// Distance between rows.
    row: usize,
    /// Distance between the pixels of a row.
    column: usize,
}

impl Pixels {
    /// Those of a tile of `side` rows and columns, from channel `channel` on; `None` if they do not lie in `len` values.
    #[inline(always)]
    fn new(values: *mut i8, len: usize, grid: &Grid, channel: usize, side: usize) -> Option<Self> {
        let last = grid.checked_place_of_row(side - 1, side - 1)?.checked_add(channel)?;
        let start = values.wrapping_add(grid.start).wrapping_add(channel);
        (last.checked_add(LANES)? <= len).then_some(Self { start, row: grid.row, column: grid.column })
    }
}

/// A tile of products and what they become outputs with.
struct Tile<'a> {
    form: Form,
    products: &'a [Product],
    /// Bytes from one point to the next.
    step: usize,
    parameters: &'a Parameters,
    epilogue: Epilogue,
    /// Fraction bits of the shortcut's multipliers.
    skip_shift: u8,
}

/// `A' m` of one row or column: `$m0` to `$m5` to `$o0` to `$o2` or `$o3`, by way of `$a`, `$b` and `$d`, which may be among what is read, and so
/// may be the results, in the order of the instructions. v7 holds the factors.
macro_rules! output_1d {
    ([$m0:literal, $m1:literal, $m2:literal, $m3:literal, $m4:literal, $m5:literal], [$a:literal, $b:literal, $d:literal],
        $o0:literal, $o1:literal, $o2:literal $(, $o3:literal)?) => {
        concat!(
            "sub ", $b, ".4s, ", $m1, ".4s, ", $m2, ".4s\n",
            "add ", $a, ".4s, ", $m1, ".4s, ", $m2, ".4s\n",
            "sub ", $d, ".4s, ", $m3, ".4s, ", $m4, ".4s\n",
            "add ", $o0, ".4s, ", $m3, ".4s, ", $m4, ".4s\n",
            "sub ", $o2, ".4s, ", $o0, ".4s, ", $a, ".4s\n",
            "mla ", $o0, ".4s, ", $m0, ".4s, v7.s[0]\n",
            "add ", $o1, ".4s, ", $d, ".4s, ", $d, ".4s\n",
            "shl ", $o2, ".4s, ", $o2, ".4s, #2\n",
            "mls ", $o0, ".4s, ", $a, ".4s, v7.s[1]\n",
            "mls ", $o1, ".4s, ", $b, ".4s, v7.s[1]\n",
            output_1d!(@last $m5, $b, $d, $o2 $(, $o3)?),
        )
    };
    (@last $m5:literal, $b:literal, $d:literal, $o2:literal) => {
        concat!("mla ", $o2, ".4s, ", $m5, ".4s, v7.s[2]\n")
    };
    (@last $m5:literal, $b:literal, $d:literal, $o2:literal, $o3:literal) => {
        concat!(
            "shl ", $o3, ".4s, ", $d, ".4s, #3\n",
            "mls ", $o3, ".4s, ", $b, ".4s, v7.s[1]\n",
            "mla ", $o3, ".4s, ", $m5, ".4s, v7.s[2]\n",
        )
    };
}

/// The products of one row of points, transformed.
macro_rules! points {
    ($($out:literal),+) => {
        concat!(
            "ld1 {{v0.4s}}, [{p}], {step}\n",
            "ld1 {{v1.4s}}, [{p}], {step}\n",
            "ld1 {{v2.4s}}, [{p}], {step}\n",
            "ld1 {{v3.4s}}, [{p}], {step}\n",
            "ld1 {{v4.4s}}, [{p}], {step}\n",
            "ld1 {{v5.4s}}, [{p}], {step}\n",
            output_1d!(["v0", "v1", "v2", "v3", "v4", "v5"], ["v1", "v6", "v2"], $($out),+),
        )
    };
}

/// A column of transformed rows, transformed in place: the outputs' rows come to lie in `$t3`, `$t2`, `$t1` and, if there are four, `$t4`.
macro_rules! column {
    (3: $t0:literal, $t1:literal, $t2:literal, $t3:literal, $t4:literal, $t5:literal) => {
        output_1d!([$t0, $t1, $t2, $t3, $t4, $t5], ["v1", "v2", "v3"], $t3, $t2, $t1)
    };
    (4: $t0:literal, $t1:literal, $t2:literal, $t3:literal, $t4:literal, $t5:literal) => {
        output_1d!([$t0, $t1, $t2, $t3, $t4, $t5], ["v1", "v2", "v3"], $t3, $t2, $t1, $t4)
    };
}

/// Adds the shortcut to a pixel, whose values are in one half of v4 or v5. Multipliers, offsets and shifts are in v14, v19 and v20.
macro_rules! add_skip {
    (0, $y:tt) => {
        add_skip!("sxtl v6.4s, v4.4h\n", $y)
    };
    (1, $y:tt) => {
        add_skip!("sxtl2 v6.4s, v4.8h\n", $y)
    };
    (2, $y:tt) => {
        add_skip!("sxtl v6.4s, v5.4h\n", $y)
    };
    (3, $y:tt) => {
        add_skip!("sxtl2 v6.4s, v5.8h\n", $y)
    };
    ($widen:literal, $y:tt) => {
        concat!(
            $widen,
            "mul v6.4s, v6.4s, v14.4s\n",
            "add v6.4s, v6.4s, v19.4s\n",
            "sshl v6.4s, v6.4s, v20.4s\n",
            "add ",
            $y,
            ".4s, ",
            $y,
            ".4s, v6.4s\n",
        )
    };
}

/// A pixel to int16, in one half of v5 or v6; what saturates lies beyond all clamps.
macro_rules! narrow {
    (0, $y:tt) => {
        concat!("sqxtn v5.4h, ", $y, ".4s\n")
    };
    (1, $y:tt) => {
        concat!("sqxtn2 v5.8h, ", $y, ".4s\n")
    };
    (2, $y:tt) => {
        concat!("sqxtn v6.4h, ", $y, ".4s\n")
    };
    (3, $y:tt) => {
        concat!("sqxtn2 v6.8h, ", $y, ".4s\n")
    };
}

/// Finishes and stores a row of pixels: from `576 * y` to `y`, then bias, shortcut, requantization and clamp. Biases, mantissas and shifts are
/// in v0 to v2, the zero point in v3, the clamp in v8 and v13.
macro_rules! row {
    ($([$lane:tt, $y:tt]),+) => {
        concat!(
            $("mul ", $y, ".4s, ", $y, ".4s, v7.s[3]\n",)+
            $("sshr ", $y, ".4s, ", $y, ".4s, #6\n",)+
            $("add ", $y, ".4s, ", $y, ".4s, v0.4s\n",)+
            "cbz {skip}, 3f\n",
            "mov {pixel}, {skip}\n",
            "add {skip}, {skip}, {skip_down}\n",
            $("ld1 {{v5.s}}[", $lane, "], [{pixel}], {skip_right}\n",)+
            "sxtl v4.8h, v5.8b\n",
            "sxtl2 v5.8h, v5.16b\n",
            $(add_skip!($lane, $y),)+
            "3:\n",
            $("sqdmulh ", $y, ".4s, ", $y, ".4s, v1.4s\n",)+
            $("srshl ", $y, ".4s, ", $y, ".4s, v2.4s\n",)+
            $(narrow!($lane, $y),)+
            "sqadd v5.8h, v5.8h, v3.8h\n",
            "sqadd v6.8h, v6.8h, v3.8h\n",
            "sqxtn v5.8b, v5.8h\n",
            "sqxtn2 v5.16b, v6.8h\n",
            "smax v5.16b, v5.16b, v8.16b\n",
            "smin v5.16b, v5.16b, v13.16b\n",
            "mov {pixel}, {out}\n",
            "add {out}, {out}, {down}\n",
            $("st1 {{v5.s}}[", $lane, "], [{pixel}], {right}\n",)+
        )
    };
}

/// Assembly that finishes a tile: `$points` transforms the rows of points and then the columns of what they have become, `$rows` finishes the
/// rows of pixels.
macro_rules! tile {
    ([$tile:ident, $out:ident, $skip:ident, $factors:ident], $rows:literal, $points:expr, $pixels:expr) => {
        core::arch::asm!(
            "2:",
            "mov {p}, {products}",
            $points,
            "ldr q0, [{parameters}, {bias}]",
            "ldr q1, [{parameters}, {mantissa}]",
            "ldr q2, [{parameters}, {shift}]",
            "ldr q14, [{parameters}, {skip_multiplier}]",
            "ldr q19, [{parameters}, {skip_offset}]",
            "dup v3.8h, {zero_point:w}",
            "dup v8.16b, {low:w}",
            "dup v13.16b, {high:w}",
            "dup v20.4s, {skip_shift:w}",
            $pixels,
            "add {products}, {products}, #16",
            "add {parameters}, {parameters}, #16",
            // Back to the first row, four channels on.
            "add {out}, {out}, #4",
            "sub {out}, {out}, {tile_down}",
            "cbz {skip}, 4f",
            "add {skip}, {skip}, #4",
            "sub {skip}, {skip}, {skip_tile_down}",
            "4:",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            n = inout(reg) LANES / 4 => _,
            p = out(reg) _,
            pixel = out(reg) _,
            products = inout(reg) $tile.products.as_ptr() => _,
            step = in(reg) $tile.step,
            parameters = inout(reg) core::ptr::from_ref($tile.parameters) => _,
            bias = const core::mem::offset_of!(Parameters, bias),
            mantissa = const core::mem::offset_of!(Parameters, mantissa),
            shift = const core::mem::offset_of!(Parameters, shift),
            skip_multiplier = const core::mem::offset_of!(Parameters, skip_multiplier),
            skip_offset = const core::mem::offset_of!(Parameters, skip_offset),
            zero_point = in(reg) i32::from($tile.epilogue.zero_point),
            low = in(reg) i32::from($tile.epilogue.clamp[0]),
            high = in(reg) i32::from($tile.epilogue.clamp[1]),
            skip_shift = in(reg) -i32::from($tile.skip_shift),
            out = inout(reg) $out.start => _,
            down = in(reg) $out.row,
            right = in(reg) $out.column,
            tile_down = in(reg) $rows * $out.row,
            skip = inout(reg) $skip.start => _,
            skip_down = in(reg) $skip.row,
            skip_right = in(reg) $skip.column,
            skip_tile_down = in(reg) $rows * $skip.row,
            inout("v7") $factors => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v8") _,
            out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
            out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
            out("v30") _, out("v31") _,
            options(nostack),
        )
    };
}

impl<'a> Tile<'a> {
    /// That of a job; `None` if it lacks products or parameters.
    #[inline(always)]
    fn new(job: &Finish<'a>) -> Option<Self> {
        let parameters = bytemuck::try_cast_slice(job.panel.get(..PARAMETERS_LEN)?).ok()?;
        let products = job.products.get(job.tile..)?;
        products.get((POINTS - 1).checked_mul(stride(job.tiles))?)?;
        Some(Self {
            form: job.form,
            products,
            step: stride(job.tiles) * size_of::<Product>(),
            parameters: parameters.first()?,
            epilogue: job.target.epilogue,
            skip_shift: job.target.skip.map_or(0, |skip| skip.shift),
        })
    }

    /// Computes the outputs of the whole tile and stores them.
    ///
    /// # Safety
    ///
    /// All its pixels can be written at `out`, and those of the shortcut read at `skip`.
    #[inline(always)]
    unsafe fn finish(&self, neon: Neon, out: Pixels, skip: Option<Pixels>) {
        let none = Pixels { start: core::ptr::null_mut(), row: 0, column: 0 };
        let (skip, factors) = (skip.unwrap_or(none), neon.words([6, 4, 24, INVERSE_OF_9]));
        // SAFETY: a `Neon` is at hand; there are products at all points, and the caller vouches for the pixels.
        unsafe {
            if self.form == Form::F3x4 {
                tile!(
                    [self, out, skip, factors],
                    3,
                    concat!(
                        points!("v8", "v14", "v20"),
                        points!("v9", "v15", "v21"),
                        points!("v10", "v16", "v22"),
                        points!("v11", "v17", "v23"),
                        points!("v12", "v18", "v24"),
                        points!("v13", "v19", "v25"),
                        column!(3: "v8", "v9", "v10", "v11", "v12", "v13"),
                        column!(3: "v14", "v15", "v16", "v17", "v18", "v19"),
                        column!(3: "v20", "v21", "v22", "v23", "v24", "v25"),
                    ),
                    concat!(
                        row!([0, "v11"], [1, "v17"], [2, "v23"]),
                        row!([0, "v10"], [1, "v16"], [2, "v22"]),
                        row!([0, "v9"], [1, "v15"], [2, "v21"]),
                    )
                );
            } else {
                tile!(
                    [self, out, skip, factors],
                    4,
                    concat!(
                        points!("v8", "v14", "v20", "v26"),
                        points!("v9", "v15", "v21", "v27"),
                        points!("v10", "v16", "v22", "v28"),
                        points!("v11", "v17", "v23", "v29"),
                        points!("v12", "v18", "v24", "v30"),
                        points!("v13", "v19", "v25", "v31"),
                        column!(4: "v8", "v9", "v10", "v11", "v12", "v13"),
                        column!(4: "v14", "v15", "v16", "v17", "v18", "v19"),
                        column!(4: "v20", "v21", "v22", "v23", "v24", "v25"),
                        column!(4: "v26", "v27", "v28", "v29", "v30", "v31"),
                    ),
                    concat!(
                        row!([0, "v11"], [1, "v17"], [2, "v23"], [3, "v29"]),
                        row!([0, "v10"], [1, "v16"], [2, "v22"], [3, "v28"]),
                        row!([0, "v9"], [1, "v15"], [2, "v21"], [3, "v27"]),
                        row!([0, "v12"], [1, "v18"], [2, "v24"], [3, "v30"]),
                    )
                );
            }
        }
    }
}
