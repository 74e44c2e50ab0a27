//! Winograd's method on NEON where the general steps are not the shortest: eight lanes of weights at a time, and the products in
//! assembly.
#![allow(unsafe_code, reason = "NEON intrinsics and assembly")]
#![expect(clippy::indexing_slicing, reason = "constant places below constant lengths")]

use core::arch::aarch64::*;
use core::ops::Range;

use super::neon::Neon;
use crate::kernels::simd::{LANES, Simd};
use crate::kernels::winograd::pack;
use crate::kernels::winograd::{INPUT_TILE, InputChunk, Multiply, POINTS, Product, WeightPair, stride};

/// Calls intrinsics where a [`Neon`] is at hand.
macro_rules! neon {
    ($value:expr) => {
        // SAFETY: a `Neon` is at hand, which exists only where the CPU has NEON; intrinsics with a pointer get one to an
        // array of the size that they access, without a demand on alignment beyond that of its elements.
        unsafe { $value }
    };
}

/// Output channels of a step of the weights' transform: the nine taps of 16 would not stay in registers.
const STEP: usize = 8;

/// See [`Winograd::transform_weights`](crate::kernels::winograd::Winograd::transform_weights).
#[inline(always)]
pub(super) fn transform_weights(
    neon: Neon,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    let packed = pack::pairs(panel, chunks)?;
    let stride = stride(packed.len());
    let out = out.get_mut(..POINTS * stride)?;
    for (pair, taps) in packed.iter().enumerate() {
        let taps = taps.each_ref().map(|tap| tap.as_flattened());
        for step in 0..2 * LANES / STEP {
            let c0 = neon.weight_column([taps[0], taps[3], taps[6]], step)?;
            let c1 = neon.weight_column([taps[1], taps[4], taps[7]], step)?;
            let c2 = neon.weight_column([taps[2], taps[5], taps[8]], step)?;
            let pair: *mut WeightPair = out.get_mut(pair)?;
            let mut place = pair.cast::<i16>().wrapping_add(step * STEP);
            for row in 0..INPUT_TILE {
                for value in neon.weight_1d([c0[row], c1[row], c2[row]]) {
                    // SAFETY: a `Neon` is at hand. `out` has `stride` pairs for each of `POINTS` points, of which this is
                    // number `pair < packed.len() <= stride` of each in turn, and a pair has as many values as all steps.
                    // In assembly, because the compiler moves on with an instruction of its own.
                    unsafe {
                        core::arch::asm!(
                            "st1 {{{value:v}.8h}}, [{place}], {stride}",
                            place = inout(reg) place,
                            stride = in(reg) stride * size_of::<WeightPair>(),
                            value = in(vreg) value,
                            options(nostack, preserves_flags),
                        );
                    }
                }
            }
        }
    }
    Some(())
}

/// See [`Winograd::multiply`](crate::kernels::winograd::Winograd::multiply): four tiles at a time, then two, then one.
#[inline(always)]
pub(super) fn multiply(neon: Neon, job: &Multiply<'_>, products: &mut [Product]) -> Option<()> {
    let pairs = job.weight_chunks.checked_mul(LANES / 2)?;
    // The last chunk that is read.
    let last_tile = job.tiles.checked_sub(1)?.checked_mul(job.tile_chunks)?;
    job.input.get(last_tile.checked_add(job.weight_chunks.checked_sub(1)?)?)?;
    for point in 0..POINTS {
        let weights = job.weights.get(point * stride(pairs)..)?.get(..pairs)?;
        let products = products.get_mut(point * stride(job.tiles)..)?.get_mut(..job.tiles)?;
        let tiles = job.tiles_at(point);
        if tiles.is_empty() {
            continue;
        }
        let mut first = tiles.start;
        let (fours, rest) = products.get_mut(tiles)?.as_chunks_mut::<4>();
        for products in fours {
            neon.multiply_four(job, [point, first], weights, products);
            first += 4;
        }
        let (twos, rest) = rest.as_chunks_mut::<2>();
        for products in twos {
            neon.multiply_two(job, [point, first], weights, products);
            first += 2;
        }
        for products in rest.as_chunks_mut::<1>().0 {
            neon.multiply_one(job, [point, first], weights, products);
            first += 1;
        }
    }
    Some(())
}

/// An input channel, which is lane `$lane` of the values of some tiles: `$x` are their registers, `$a` to `$d` their sums.
macro_rules! channel {
    ($w:literal, $v:literal, $lane:literal, $([$x:literal, $a:literal, $b:literal, $c:literal, $d:literal]),+) => {
        concat!($(
            "smlal {", $a, ":v}.4s, {", $w, ":v}.4h, {", $x, ":v}.h[", $lane, "]\n",
            "smlal2 {", $b, ":v}.4s, {", $w, ":v}.8h, {", $x, ":v}.h[", $lane, "]\n",
            "smlal {", $c, ":v}.4s, {", $v, ":v}.4h, {", $x, ":v}.h[", $lane, "]\n",
            "smlal2 {", $d, ":v}.4s, {", $v, ":v}.8h, {", $x, ":v}.h[", $lane, "]\n",
        )+)
    };
}

/// Eight input channels. The weights of a channel are loaded while those of the one before are in use.
macro_rules! channels {
    ($([$x:literal, $a:literal, $b:literal, $c:literal, $d:literal]),+) => {
        concat!(
            "ldp {w0:q}, {w1:q}, [{w}], #32\n",
            "ldp {w2:q}, {w3:q}, [{w}], #32\n",
            channel!("w0", "w1", "0", $([$x, $a, $b, $c, $d]),+),
            "ldp {w0:q}, {w1:q}, [{w}], #32\n",
            channel!("w2", "w3", "1", $([$x, $a, $b, $c, $d]),+),
            "ldp {w2:q}, {w3:q}, [{w}], #32\n",
            channel!("w0", "w1", "2", $([$x, $a, $b, $c, $d]),+),
            "ldp {w0:q}, {w1:q}, [{w}], #32\n",
            channel!("w2", "w3", "3", $([$x, $a, $b, $c, $d]),+),
            "ldp {w2:q}, {w3:q}, [{w}], #32\n",
            channel!("w0", "w1", "4", $([$x, $a, $b, $c, $d]),+),
            "ldp {w0:q}, {w1:q}, [{w}], #32\n",
            channel!("w2", "w3", "5", $([$x, $a, $b, $c, $d]),+),
            "ldp {w2:q}, {w3:q}, [{w}], #32\n",
            channel!("w0", "w1", "6", $([$x, $a, $b, $c, $d]),+),
            channel!("w2", "w3", "7", $([$x, $a, $b, $c, $d]),+),
        )
    };
}

/// A function that adds the products of some tiles at a point, over all chunks of the weights.
macro_rules! multiply_tiles {
    ($(#[$doc:meta])* $name:ident, $tiles:literal,
        $([$p:ident, $pn:literal, $index:literal, $x:ident, $xn:literal, $y:ident, $yn:literal,
            $a:ident, $an:literal, $b:ident, $bn:literal, $c:ident, $cn:literal, $d:ident, $dn:literal]),+) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name(
            self,
            job: &Multiply<'_>,
            [point, first]: [usize; 2],
            weights: &[WeightPair],
            products: &mut [Product; $tiles],
        ) {
            let mut acc = [self.zero32(); $tiles];
            if job.add {
                for (acc, product) in acc.iter_mut().zip(&*products) {
                    *acc = self.load32(product);
                }
            }
            let [$([mut $a, mut $b, mut $c, mut $d]),+] = acc;
            let start: *const InputChunk = job.input.as_ptr().wrapping_add(first * job.tile_chunks);
            // SAFETY: a `Neon` is at hand. `multiply` has seen the last chunk of the last tile that is read, and that there
            // is one chunk at least; `point` is one of its points. `weights` are those of as many chunks.
            unsafe {
                core::arch::asm!(
                    "2:",
                    $(concat!("ldp {", $xn, ":q}, {", $yn, ":q}, [{", $pn, "}]"),)+
                    $(concat!("add {", $pn, "}, {", $pn, "}, {chunk}"),)+
                    channels!($([$xn, $an, $bn, $cn, $dn]),+),
                    channels!($([$yn, $an, $bn, $cn, $dn]),+),
                    "subs {n}, {n}, #1",
                    "b.ne 2b",
                    n = inout(reg) job.weight_chunks => _,
                    w = inout(reg) weights.as_ptr() => _,
                    chunk = const size_of::<InputChunk>(),
                    $($p = inout(reg) start.wrapping_add($index * job.tile_chunks).cast::<[i16; LANES]>().wrapping_add(point) => _,)+
                    $($x = out(vreg_low16) _, $y = out(vreg_low16) _,)+
                    $($a = inout(vreg) $a, $b = inout(vreg) $b, $c = inout(vreg) $c, $d = inout(vreg) $d,)+
                    w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
                    options(nostack, readonly),
                );
            }
            for (product, acc) in products.iter_mut().zip([$([$a, $b, $c, $d]),+]) {
                self.store32(acc, product);
            }
        }
    };
}

impl Neon {
    multiply_tiles! {
        /// Four tiles.
        multiply_four, 4,
        [p0, "p0", 0, x0, "x0", y0, "y0", a0, "a0", b0, "b0", c0, "c0", d0, "d0"],
        [p1, "p1", 1, x1, "x1", y1, "y1", a1, "a1", b1, "b1", c1, "c1", d1, "d1"],
        [p2, "p2", 2, x2, "x2", y2, "y2", a2, "a2", b2, "b2", c2, "c2", d2, "d2"],
        [p3, "p3", 3, x3, "x3", y3, "y3", a3, "a3", b3, "b3", c3, "c3", d3, "d3"]
    }
    multiply_tiles! {
        /// Two tiles.
        multiply_two, 2,
        [p0, "p0", 0, x0, "x0", y0, "y0", a0, "a0", b0, "b0", c0, "c0", d0, "d0"],
        [p1, "p1", 1, x1, "x1", y1, "y1", a1, "a1", b1, "b1", c1, "c1", d1, "d1"]
    }
    multiply_tiles! {
        /// One tile.
        multiply_one, 1,
        [p0, "p0", 0, x0, "x0", y0, "y0", a0, "a0", b0, "b0", c0, "c0", d0, "d0"]
    }

    /// `G' g` of one column of the kernel.
    #[inline(always)]
    fn weight_column(self, taps: [&[i8]; 3], step: usize) -> Option<[int16x8_t; INPUT_TILE]> {
        let [a, b, c] = taps.map(|tap| tap.as_chunks::<STEP>().0.get(step));
        let (a, b, c) = (a?, b?, c?);
        let taps = neon!([
            vmovl_s8(vld1_s8(a.as_ptr())),
            vmovl_s8(vld1_s8(b.as_ptr())),
            vmovl_s8(vld1_s8(c.as_ptr()))
        ]);
        Some(self.weight_1d(taps))
    }

    /// `G' g`.
    #[inline(always)]
    fn weight_1d(self, [g0, g1, g2]: [int16x8_t; 3]) -> [int16x8_t; INPUT_TILE] {
        neon!({
            let a = vaddq_s16(g0, g2);
            let b = vaddq_s16(g0, vshlq_n_s16::<2>(g2));
            let c = vaddq_s16(g1, g1);
            [g0, vaddq_s16(a, g1), vsubq_s16(a, g1), vaddq_s16(b, c), vsubq_s16(b, c), g2]
        })
    }
}
