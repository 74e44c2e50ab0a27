//! Weights and products of Winograd's method on NEON, in assembly.
#![allow(unsafe_code, reason = "assembly")]
#![expect(clippy::indexing_slicing, reason = "constant places below a constant length")]

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
        Form::F5x2 => steps::transform_weights::<Neon, 2, 4>(neon, panel, chunks, out),
        Form::F4x3 => transform_3x3(neon, panel, chunks, out),
        Form::F3x4 => steps::transform_weights::<Neon, 4, 16>(neon, panel, chunks, out),
    }
}

/// The same for [`Form::F4x3`].
#[inline(always)]
fn transform_3x3(neon: Neon, panel: &[i8], chunks: Range<usize>, out: &mut [WeightPair]) -> Option<()> {
    let packed = pack::pairs::<9>(panel, chunks)?;
    let stride = stride(packed.len());
    let out = out.get_mut(..POINTS * stride)?;
    for (pair, taps) in packed.iter().enumerate() {
        let out: *mut WeightPair = out.get_mut(pair)?;
        for input in 0..2 {
            let (taps, out) = (taps.as_ptr().cast::<[i8; LANES]>(), out.cast::<[i16; LANES]>());
            // SAFETY: a pair of taps has the values of two input channels. `out` has `stride` pairs for each of `POINTS` points, of
            // which this is number `pair < packed.len() <= stride`, and they have the values of two input channels too.
            unsafe { neon.transform_kernel(taps.wrapping_add(input), out.wrapping_add(input), stride) };
        }
    }
    Some(())
}

/// `G' g` of a row of points: from its three columns in v0 to v5, eight channels in a register, to its six values, which are stored.
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
    /// `G' g G'^T` of the kernels of one input channel and 16 output channels. Columns are transformed while they are widened, so that
    /// the nine taps take no more than nine registers, v16 to v24; their sums of first and last row stay in v10 to v15.
    ///
    /// # Safety
    ///
    /// From `taps` on there must be nine times 16 values, two times `LANES` apart; from `out` on, room for [`POINTS`] times 16,
    /// `stride` pairs apart.
    #[inline(always)]
    unsafe fn transform_kernel(self, taps: *const [i8; LANES], out: *mut [i16; LANES], stride: usize) {
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
    let pairs = job.chunks.len().checked_mul(LANES / 2)?;
    job.last_chunk()?;
    let mut weights = job.weights.get(..POINTS * stride(pairs))?.chunks_exact(stride(pairs));
    let mut products =
        products.get_mut(..stride(job.tiles).checked_mul(POINTS)?)?.chunks_exact_mut(stride(job.tiles));
    // Settled here for all points: only whether they are in the last row or column makes a difference.
    let classes = [0, INPUT_TILE - 1, POINTS - INPUT_TILE, POINTS - 1].map(|point| Class::new(job, point));
    for point in 0..POINTS {
        let (weights, products) = (weights.next()?, products.next()?);
        let last_row = usize::from(point >= POINTS - INPUT_TILE);
        let last_column = usize::from(point % INPUT_TILE == INPUT_TILE - 1);
        let class = &classes[2 * last_row + last_column];
        let Range { start: mut first, end } = class.tiles;
        if first >= end || class.chunks == 0 {
            continue;
        }
        let weights = weights.get(class.first_pair..)?;
        let (fours, rest) = products.get_mut(first..end)?.as_chunks_mut::<4>();
        for products in fours {
            neon.multiply_four(job, class, [point, first], weights, products);
            first += 4;
        }
        let (twos, rest) = rest.as_chunks_mut::<2>();
        for products in twos {
            neon.multiply_two(job, class, [point, first], weights, products);
            first += 2;
        }
        for products in rest.as_chunks_mut::<1>().0 {
            neon.multiply_one(job, class, [point, first], weights, products);
            first += 1;
        }
    }
    Some(())
}

/// What points have in common that are in the same of the last row and the last column, or not.
struct Class<'a> {
    tiles: Range<usize>,
    /// Values, from the first chunk of the first tile on.
    input: &'a [InputChunk],
    /// Chunks that are multiplied.
    chunks: usize,
    /// The first of their pairs in the weights.
    first_pair: usize,
    /// Where sums begin.
    start: Start,
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

impl<'a> Class<'a> {
    /// What the points have that are in the same rows and columns as this one.
    fn new(job: &Multiply<'a>, point: usize) -> Self {
        let all = job.chunks_at(point);
        let (first, end) = (job.chunks.start.max(all.start), job.chunks.end.min(all.end));
        let start = match first {
            0 if job.unused >= UNUSED => Start::Unused,
            _ if first > all.start => Start::Added,
            _ => Start::First,
        };
        let left_out = if matches!(start, Start::Unused) { UNUSED / 2 } else { 0 };
        Self {
            tiles: job.tiles_at(point),
            input: job.input.get(first..).unwrap_or_default(),
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
        #[inline(always)]
        fn $name(
            self,
            job: &Multiply<'_>,
            class: &Class<'_>,
            [point, first]: [usize; 2],
            weights: &[WeightPair],
            products: &mut [Product; $tiles],
        ) {
            let start: *const InputChunk = class.input.as_ptr().wrapping_add(first * job.tile_chunks);
            // SAFETY: a `Neon` is at hand. `multiply` has seen the last chunk of the last tile that is read, and that there
            // is one chunk at least; `point` is one of its points. `weights` are those of as many chunks, without the channels that
            // are left out. `products` has four registers of sums for each tile.
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
                    w = inout(reg) weights.as_ptr() => _,
                    out = inout(reg) products.as_mut_ptr() => _,
                    len = const size_of::<[Product; $tiles]>(),
                    chunk = in(reg) size_of::<InputChunk>(),
                    $($p = inout(reg) start.wrapping_add($index * job.tile_chunks).cast::<[i16; LANES]>().wrapping_add(point) => _,)+
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
