//! Weights and products of Winograd's method on NEON, in assembly.
#![allow(unsafe_code, reason = "assembly")]

use core::ops::Range;

use super::neon::Neon;
use crate::kernels::simd::LANES;
use crate::kernels::winograd::{
    Form, INPUT_TILE, InputChunk, Multiply, POINTS, Product, WeightPair, pack, steps, stride,
};

/// See [`Winograd::transform_weights`](crate::kernels::winograd::Winograd::transform_weights).
#[inline(always)]
pub(super) fn transform_weights(
    neon: Neon,
    form: Form,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    match form {
        Form::F5x2 => transform_kernels::<2, 4>(neon, panel, chunks, out),
        Form::F4x3 => transform_kernels::<3, 9>(neon, panel, chunks, out),
        Form::F3x4 => steps::transform_weights::<Neon, 4, 16>(neon, panel, chunks, out),
    }
}

/// The same for kernels of two or three rows and columns, `TAPS` taps.
#[inline(always)]
fn transform_kernels<const KERNEL: usize, const TAPS: usize>(
    neon: Neon,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    let packed = pack::pairs::<TAPS>(panel, chunks)?;
    let stride = stride(packed.len());
    let out = out.get_mut(..POINTS * stride)?;
    for (pair, taps) in packed.iter().enumerate() {
        let out = out.get_mut(pair..)?.as_mut_ptr();
        for input in 0..2 {
            let taps = taps.as_ptr().cast::<[i8; LANES]>().wrapping_add(input);
            let out = out.cast::<[i16; LANES]>().wrapping_add(input);
            // SAFETY: a pair of taps has the values of two input channels. `out` has `stride` pairs for each of `POINTS` points, of
            // which this is number `pair < packed.len() <= stride`, and they have the values of two input channels too.
            unsafe {
                if KERNEL == 2 {
                    neon.transform_2x2(taps, out, stride);
                } else {
                    neon.transform_3x3(taps, out, stride);
                }
            }
        }
    }
    Some(())
}

/// `G' g` of a row of points with two columns, in v0 to v3, eight channels in a register, to its six values, which are stored. It uses v4
/// to v9.
macro_rules! weight_row_of_2 {
    () => {
        "st1 {{v0.8h, v1.8h}}, [{out}], {stride}
         add v4.8h, v0.8h, v2.8h
         add v5.8h, v1.8h, v3.8h
         sub v6.8h, v0.8h, v2.8h
         sub v7.8h, v1.8h, v3.8h
         st1 {{v4.8h, v5.8h}}, [{out}], {stride}
         add v8.8h, v2.8h, v2.8h
         add v9.8h, v3.8h, v3.8h
         st1 {{v6.8h, v7.8h}}, [{out}], {stride}
         add v4.8h, v0.8h, v8.8h
         add v5.8h, v1.8h, v9.8h
         sub v6.8h, v0.8h, v8.8h
         sub v7.8h, v1.8h, v9.8h
         st1 {{v4.8h, v5.8h}}, [{out}], {stride}
         st1 {{v6.8h, v7.8h}}, [{out}], {stride}
         st1 {{v2.8h, v3.8h}}, [{out}], {stride}"
    };
}

/// `G' g` of a row of points: from its columns in v0 to v5, eight channels in a register, to its six values, which are stored.
/// It uses v6 to v9, v28 and v29; v30 holds threes.
macro_rules! weight_row {
    () => {
        "st1 {{v0.8h, v1.8h}}, [{out}], {stride}
         add v6.8h, v0.8h, v4.8h
         add v7.8h, v1.8h, v5.8h
         add v8.8h, v6.8h, v2.8h
         add v9.8h, v7.8h, v3.8h
         sub v28.8h, v6.8h, v2.8h
         sub v29.8h, v7.8h, v3.8h
         st1 {{v8.8h, v9.8h}}, [{out}], {stride}
         mla v6.8h, v4.8h, v30.8h
         mla v7.8h, v5.8h, v30.8h
         add v2.8h, v2.8h, v2.8h
         add v3.8h, v3.8h, v3.8h
         st1 {{v28.8h, v29.8h}}, [{out}], {stride}
         add v8.8h, v6.8h, v2.8h
         add v9.8h, v7.8h, v3.8h
         sub v6.8h, v6.8h, v2.8h
         sub v7.8h, v7.8h, v3.8h
         st1 {{v8.8h, v9.8h}}, [{out}], {stride}
         st1 {{v6.8h, v7.8h}}, [{out}], {stride}
         st1 {{v4.8h, v5.8h}}, [{out}], {stride}"
    };
}

impl Neon {
    /// `G' g G'^T` of the kernels of one input channel and 16 output channels, of four taps in v16 to v19.
    ///
    /// # Safety
    ///
    /// From `taps` on there must be four times 16 values, two times `LANES` apart; from `out` on, room for [`POINTS`] times 16,
    /// `stride` pairs apart.
    #[inline(always)]
    unsafe fn transform_2x2(self, taps: *const [i8; LANES], out: *mut [i16; LANES], stride: usize) {
        // SAFETY: a `Neon` is at hand; the caller vouches for what is read and written.
        unsafe {
            core::arch::asm!(
                "ldr q16, [{taps}]",
                "ldr q17, [{taps}, #32]",
                "ldr q18, [{taps}, #64]",
                "ldr q19, [{taps}, #96]",
                "sshll v0.8h, v16.8b, #0
                 sshll2 v1.8h, v16.16b, #0
                 sshll v2.8h, v17.8b, #0
                 sshll2 v3.8h, v17.16b, #0",
                weight_row_of_2!(),
                "saddl v0.8h, v16.8b, v18.8b
                 saddl2 v1.8h, v16.16b, v18.16b
                 saddl v2.8h, v17.8b, v19.8b
                 saddl2 v3.8h, v17.16b, v19.16b",
                weight_row_of_2!(),
                "ssubl v0.8h, v16.8b, v18.8b
                 ssubl2 v1.8h, v16.16b, v18.16b
                 ssubl v2.8h, v17.8b, v19.8b
                 ssubl2 v3.8h, v17.16b, v19.16b",
                weight_row_of_2!(),
                "saddl v0.8h, v16.8b, v18.8b
                 saddl2 v1.8h, v16.16b, v18.16b
                 saddl v2.8h, v17.8b, v19.8b
                 saddl2 v3.8h, v17.16b, v19.16b
                 saddw v0.8h, v0.8h, v18.8b
                 saddw2 v1.8h, v1.8h, v18.16b
                 saddw v2.8h, v2.8h, v19.8b
                 saddw2 v3.8h, v3.8h, v19.16b",
                weight_row_of_2!(),
                "ssubl v0.8h, v16.8b, v18.8b
                 ssubl2 v1.8h, v16.16b, v18.16b
                 ssubl v2.8h, v17.8b, v19.8b
                 ssubl2 v3.8h, v17.16b, v19.16b
                 ssubw v0.8h, v0.8h, v18.8b
                 ssubw2 v1.8h, v1.8h, v18.16b
                 ssubw v2.8h, v2.8h, v19.8b
                 ssubw2 v3.8h, v3.8h, v19.16b",
                weight_row_of_2!(),
                "sshll v0.8h, v18.8b, #0
                 sshll2 v1.8h, v18.16b, #0
                 sshll v2.8h, v19.8b, #0
                 sshll2 v3.8h, v19.16b, #0",
                weight_row_of_2!(),
                taps = in(reg) taps,
                out = inout(reg) out => _,
                stride = in(reg) stride * size_of::<WeightPair>(),
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// `G' g G'^T` of the kernels of one input channel and 16 output channels, of nine taps. Columns are transformed while they are widened, so that
    /// the nine taps take no more than nine registers, v16 to v24; their sums of first and last row stay in v10 to v15.
    ///
    /// # Safety
    ///
    /// From `taps` on there must be nine times 16 values, two times `LANES` apart; from `out` on, room for [`POINTS`] times 16,
    /// `stride` pairs apart.
    #[inline(always)]
    unsafe fn transform_3x3(self, taps: *const [i8; LANES], out: *mut [i16; LANES], stride: usize) {
        // SAFETY: a `Neon` is at hand; the caller vouches for what is read and written.
        unsafe {
            core::arch::asm!(
                "movi v30.8h, #3",
                "movi v31.16b, #3",
                "ldr q16, [{taps}]",
                "ldr q17, [{taps}, #32]",
                "ldr q18, [{taps}, #64]",
                "ldr q19, [{taps}, #96]",
                "ldr q20, [{taps}, #128]",
                "ldr q21, [{taps}, #160]",
                "ldr q22, [{taps}, #192]",
                "ldr q23, [{taps}, #224]",
                "ldr q24, [{taps}, #256]",
                "sshll v0.8h, v16.8b, #0
                 sshll2 v1.8h, v16.16b, #0
                 sshll v2.8h, v17.8b, #0
                 sshll2 v3.8h, v17.16b, #0
                 sshll v4.8h, v18.8b, #0
                 sshll2 v5.8h, v18.16b, #0",
                weight_row!(),
                "saddl v10.8h, v16.8b, v22.8b
                 saddl2 v11.8h, v16.16b, v22.16b
                 saddl v12.8h, v17.8b, v23.8b
                 saddl2 v13.8h, v17.16b, v23.16b
                 saddl v14.8h, v18.8b, v24.8b
                 saddl2 v15.8h, v18.16b, v24.16b
                 saddw v0.8h, v10.8h, v19.8b
                 saddw2 v1.8h, v11.8h, v19.16b
                 saddw v2.8h, v12.8h, v20.8b
                 saddw2 v3.8h, v13.8h, v20.16b
                 saddw v4.8h, v14.8h, v21.8b
                 saddw2 v5.8h, v15.8h, v21.16b",
                weight_row!(),
                "ssubw v0.8h, v10.8h, v19.8b
                 ssubw2 v1.8h, v11.8h, v19.16b
                 ssubw v2.8h, v12.8h, v20.8b
                 ssubw2 v3.8h, v13.8h, v20.16b
                 ssubw v4.8h, v14.8h, v21.8b
                 ssubw2 v5.8h, v15.8h, v21.16b",
                weight_row!(),
                "smlal v10.8h, v22.8b, v31.8b
                 smlal2 v11.8h, v22.16b, v31.16b
                 smlal v12.8h, v23.8b, v31.8b
                 smlal2 v13.8h, v23.16b, v31.16b
                 smlal v14.8h, v24.8b, v31.8b
                 smlal2 v15.8h, v24.16b, v31.16b
                 sshll v16.8h, v19.8b, #1
                 sshll2 v19.8h, v19.16b, #1
                 sshll v17.8h, v20.8b, #1
                 sshll2 v20.8h, v20.16b, #1
                 sshll v18.8h, v21.8b, #1
                 sshll2 v21.8h, v21.16b, #1
                 add v0.8h, v10.8h, v16.8h
                 add v1.8h, v11.8h, v19.8h
                 add v2.8h, v12.8h, v17.8h
                 add v3.8h, v13.8h, v20.8h
                 add v4.8h, v14.8h, v18.8h
                 add v5.8h, v15.8h, v21.8h",
                weight_row!(),
                "sub v0.8h, v10.8h, v16.8h
                 sub v1.8h, v11.8h, v19.8h
                 sub v2.8h, v12.8h, v17.8h
                 sub v3.8h, v13.8h, v20.8h
                 sub v4.8h, v14.8h, v18.8h
                 sub v5.8h, v15.8h, v21.8h",
                weight_row!(),
                "sshll v0.8h, v22.8b, #0
                 sshll2 v1.8h, v22.16b, #0
                 sshll v2.8h, v23.8b, #0
                 sshll2 v3.8h, v23.16b, #0
                 sshll v4.8h, v24.8b, #0
                 sshll2 v5.8h, v24.16b, #0",
                weight_row!(),
                taps = in(reg) taps,
                out = inout(reg) out => _,
                stride = in(reg) stride * size_of::<WeightPair>(),
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
                out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
                out("v22") _, out("v23") _, out("v24") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// See [`Winograd::multiply`](crate::kernels::winograd::Winograd::multiply): four tiles at a time, then two, then one.
#[inline(always)]
pub(super) fn multiply(neon: Neon, job: &Multiply<'_>, products: &mut [Product]) -> Option<()> {
    let (weight_stride, product_stride) =
        (stride(job.chunks.len().checked_mul(LANES / 2)?), stride(job.tiles));
    let weights = job.weights.get(..POINTS * weight_stride)?.as_ptr();
    let products = products.get_mut(..product_stride.checked_mul(POINTS)?)?.as_mut_ptr();
    job.last_chunk()?;
    let inner = 0..INPUT_TILE - 1;
    let last = INPUT_TILE - 1..INPUT_TILE;
    for (rows, columns) in [(&inner, &inner), (&inner, &last), (&last, &inner), (&last, &last)] {
        let class = Class::new(job, rows.start * INPUT_TILE + columns.start);
        if class.tiles.is_empty() || class.chunks == 0 {
            continue;
        }
        for row in rows.clone() {
            for column in columns.clone() {
                let point = row * INPUT_TILE + column;
                let at = Point {
                    values: class.input.cast::<[i16; LANES]>().wrapping_add(point),
                    weights: weights.wrapping_add(point * weight_stride + class.first_pair),
                    products: products.wrapping_add(point * product_stride + class.tiles.start),
                };
                // SAFETY: `job` has the last chunk of its last tile, and with it those of the class, which are among its own; weights
                // and products have `weight_stride` and `product_stride` elements for each point, which is enough for the class's.
                unsafe { neon.multiply_point(&class, at) };
            }
        }
    }
    Some(())
}

/// What points have in common that are in the same of the last row and the last column, or not.
struct Class {
    tiles: Range<usize>,
    /// Bytes from one tile to the next.
    tile_len: usize,
    /// The first chunk of the first tile.
    input: *const InputChunk,
    /// Chunks that are multiplied.
    chunks: usize,
    /// The first of their pairs in the weights.
    first_pair: usize,
    /// Where sums begin.
    start: Start,
}

/// What is multiplied at a point.
#[derive(Clone, Copy)]
struct Point {
    /// Values of the first chunk of a tile.
    values: *const [i16; LANES],
    /// Weights of the first pair that has some.
    weights: *const WeightPair,
    /// The tile's products.
    products: *mut Product,
}

impl Point {
    /// The same of another tile.
    #[inline(always)]
    const fn behind(self, tiles: usize, class: &Class) -> Self {
        Self {
            values: self.values.wrapping_byte_add(tiles * class.tile_len),
            products: self.products.wrapping_add(tiles),
            ..self
        }
    }
}

/// Where sums begin.
#[derive(Clone, Copy)]
enum Start {
    /// With the products of the first channel.
    First = 0,
    /// With those that are in place.
    Added = 1,
    /// With the products of channel [`UNUSED`], because those before have no weights.
    Unused = 2,
}

/// Channels of the first chunk that can be left out.
const UNUSED: usize = 4;

impl Class {
    /// What the points have that are in the same rows and columns as this one.
    #[inline(always)]
    fn new(job: &Multiply<'_>, point: usize) -> Self {
        let (tiles, all) = (job.tiles_at(point), job.chunks_at(point));
        let (first, end) = (job.chunks.start.max(all.start), job.chunks.end.min(all.end));
        let (start, left_out) = match first {
            0 if job.unused >= UNUSED => (Start::Unused, UNUSED / 2),
            _ if first > all.start => (Start::Added, 0),
            _ => (Start::First, 0),
        };
        Self {
            input: job.input.as_ptr().wrapping_add(tiles.start * job.tile_chunks + first),
            tiles,
            tile_len: job.tile_chunks * size_of::<InputChunk>(),
            chunks: end.saturating_sub(first),
            first_pair: (first - job.chunks.start) * LANES / 2 + left_out,
            start,
        }
    }
}

/// An input channel, which is lane `$lane` of `$x`, the values of some tiles: its products with the weights in `$w` and `$v`, made by `$op` and
/// added to the sums in `$a` to `$d`.
macro_rules! channel {
    ($op:literal, $w:literal, $v:literal, $lane:literal,
        $([$x:literal, $a:literal, $b:literal, $c:literal, $d:literal]),+) => {
        concat!($(
            $op, " ", $a, ".4s, ", $w, ".4h, ", $x, ".h[", $lane, "]\n",
            $op, "2 ", $b, ".4s, ", $w, ".8h, ", $x, ".h[", $lane, "]\n",
            $op, " ", $c, ".4s, ", $v, ".4h, ", $x, ".h[", $lane, "]\n",
            $op, "2 ", $d, ".4s, ", $v, ".8h, ", $x, ".h[", $lane, "]\n",
        )+)
    };
}

/// Channels 1 to 3 of a chunk. The weights of two channels are loaded while those of the two before are in use.
macro_rules! channels_to_3 {
    ($([$x:literal, $($sums:literal),+]),+) => {
        concat!(
            channel!("smlal", "v10", "v11", "1", $([$x, $($sums),+]),+),
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{w}], #64\n",
            channel!("smlal", "v12", "v13", "2", $([$x, $($sums),+]),+),
            channel!("smlal", "v14", "v15", "3", $([$x, $($sums),+]),+),
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{w}], #64\n",
        )
    };
}

/// Channels 5 to 15 of a chunk.
macro_rules! channels_from_5 {
    ($([$x:literal, $y:literal, $($sums:literal),+]),+) => {
        concat!(
            channel!("smlal", "v10", "v11", "5", $([$x, $($sums),+]),+),
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{w}], #64\n",
            channel!("smlal", "v12", "v13", "6", $([$x, $($sums),+]),+),
            channel!("smlal", "v14", "v15", "7", $([$x, $($sums),+]),+),
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{w}], #64\n",
            channel!("smlal", "v8", "v9", "0", $([$y, $($sums),+]),+),
            channel!("smlal", "v10", "v11", "1", $([$y, $($sums),+]),+),
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{w}], #64\n",
            channel!("smlal", "v12", "v13", "2", $([$y, $($sums),+]),+),
            channel!("smlal", "v14", "v15", "3", $([$y, $($sums),+]),+),
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{w}], #64\n",
            channel!("smlal", "v8", "v9", "4", $([$y, $($sums),+]),+),
            channel!("smlal", "v10", "v11", "5", $([$y, $($sums),+]),+),
            channel!("smlal", "v12", "v13", "6", $([$y, $($sums),+]),+),
            channel!("smlal", "v14", "v15", "7", $([$y, $($sums),+]),+),
        )
    };
}

/// Loads a chunk's values of some tiles and the weights of its first four channels.
macro_rules! load {
    ($([$p:literal, $x:literal, $y:literal]),+) => {
        concat!(
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{w}], #64\n",
            $("ld1 {{", $x, ".8h, ", $y, ".8h}}, [{", $p, "}], {chunk}\n",)+
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{w}], #64\n",
        )
    };
}

/// A function that adds the products of some tiles at a point, over all chunks that have some.
macro_rules! multiply_tiles {
    ($(#[$doc:meta])* $name:ident, $tiles:literal,
        $([$p:ident, $pn:literal, $index:literal, $x:tt, $y:tt, $a:tt, $b:tt, $c:tt, $d:tt]),+) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// There are values of the class's chunks for each tile, from the first on, weights of as many, without the channels that are
        /// left out, and room for the tiles' products.
        #[inline(always)]
        unsafe fn $name(self, class: &Class, at: Point) {
            // SAFETY: a `Neon` is at hand, and the caller vouches for what is read and written.
            unsafe {
                core::arch::asm!(
                    load!($([$pn, $x, $y]),+),
                    "cbnz {begin:w}, 4f",
                    channel!("smull", "v8", "v9", "0", $([$x, $a, $b, $c, $d]),+),
                    "b 3f",
                    "4:",
                    "tbnz {begin:w}, #1, 6f",
                    $(concat!("ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{out}], #64"),)+
                    "sub {out}, {out}, {len}",
                    "b 5f",
                    "6:",
                    channel!("smull", "v8", "v9", "4", $([$x, $a, $b, $c, $d]),+),
                    "b 7f",
                    "2:",
                    load!($([$pn, $x, $y]),+),
                    "5:",
                    channel!("smlal", "v8", "v9", "0", $([$x, $a, $b, $c, $d]),+),
                    "3:",
                    channels_to_3!($([$x, $a, $b, $c, $d]),+),
                    channel!("smlal", "v8", "v9", "4", $([$x, $a, $b, $c, $d]),+),
                    "7:",
                    channels_from_5!($([$x, $y, $a, $b, $c, $d]),+),
                    "subs {n}, {n}, #1",
                    "b.ne 2b",
                    $(concat!("st1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{out}], #64"),)+
                    begin = in(reg) class.start as u32,
                    n = inout(reg) class.chunks => _,
                    w = inout(reg) at.weights => _,
                    out = inout(reg) at.products => _,
                    len = const size_of::<[Product; $tiles]>(),
                    chunk = in(reg) size_of::<InputChunk>(),
                    $($p = inout(reg) at.values.wrapping_byte_add($index * class.tile_len) => _,)+
                    $(out($x) _, out($y) _, out($a) _, out($b) _, out($c) _, out($d) _,)+
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                    out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    options(nostack),
                );
            }
        }
    };
}

impl Neon {
    /// All tiles of a class at a point.
    ///
    /// # Safety
    ///
    /// There are values of the class's chunks for each of its tiles, from the first on, weights of as many, without the channels that
    /// are left out, and room for the tiles' products.
    #[inline(always)]
    unsafe fn multiply_point(self, class: &Class, mut at: Point) {
        let mut left = class.tiles.len();
        // SAFETY: no more tiles than the class has.
        unsafe {
            while left >= 4 {
                self.multiply_four(class, at);
                (at, left) = (at.behind(4, class), left - 4);
            }
            if left >= 2 {
                self.multiply_two(class, at);
                (at, left) = (at.behind(2, class), left - 2);
            }
            if left > 0 {
                self.multiply_one(class, at);
            }
        }
    }

    multiply_tiles! {
        /// Four tiles.
        multiply_four, 4,
        [p0, "p0", 0, "v0", "v1", "v16", "v17", "v18", "v19"],
        [p1, "p1", 1, "v2", "v3", "v20", "v21", "v22", "v23"],
        [p2, "p2", 2, "v4", "v5", "v24", "v25", "v26", "v27"],
        [p3, "p3", 3, "v6", "v7", "v28", "v29", "v30", "v31"]
    }
    multiply_tiles! {
        /// Two tiles.
        multiply_two, 2,
        [p0, "p0", 0, "v0", "v1", "v16", "v17", "v18", "v19"],
        [p1, "p1", 1, "v2", "v3", "v20", "v21", "v22", "v23"]
    }
    multiply_tiles! {
        /// One tile.
        multiply_one, 1,
        [p0, "p0", 0, "v0", "v1", "v16", "v17", "v18", "v19"]
    }
}
