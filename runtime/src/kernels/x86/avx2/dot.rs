//! Products of 16-bit values, in assembly: those of Winograd's method and of the first layer.
#![allow(unsafe_code, reason = "AVX2 instructions")]

use core::arch::x86_64::__m256i;

use super::pixels::PixelChunk;
use super::{Avx2, avx2};
use crate::kernels::winograd::GROUP;
use crate::kernels::x86::winograd::{DotGroup, Rows};

impl DotGroup for Avx2 {
    #[inline(always)]
    fn dot_group<const CHUNK: usize>(
        self,
        rows: &Rows<'_, CHUNK>,
        first: usize,
    ) -> Option<[Self::I32; GROUP]> {
        avx2!(self.dot_four(rows, first))
    }
}

/// Adds the products of a pair of values of four rows, with weights `w0` and `w1`, to their sums.
macro_rules! add_products {
    ($pair:literal, $([$row:literal, $low:literal, $high:literal, $x:literal, $t:literal]),+) => {
        concat!($(
            "vpbroadcastd {", $x, "}, dword ptr [{p}", $row, " + 4*", $pair, "]\n",
            "vpmaddwd {", $t, "}, {", $x, "}, {w0}\n",
            "vpmaddwd {", $x, "}, {", $x, "}, {w1}\n",
            "vpaddd {", $low, "}, {", $low, "}, {", $t, "}\n",
            "vpaddd {", $high, "}, {", $high, "}, {", $x, "}\n",
        )+)
    };
}

/// The products are the sums.
macro_rules! set_products {
    ($pair:literal, $([$row:literal, $low:literal, $high:literal, $x:literal, $t:literal]),+) => {
        concat!($(
            "vpbroadcastd {", $x, "}, dword ptr [{p}", $row, " + 4*", $pair, "]\n",
            "vpmaddwd {", $low, "}, {", $x, "}, {w0}\n",
            "vpmaddwd {", $high, "}, {", $x, "}, {w1}\n",
        )+)
    };
}

/// A pair of values of four rows: number `$pair` of a chunk.
macro_rules! pair {
    ($products:ident, $pair:literal) => {
        concat!(
            concat!("vmovdqu {w0}, ymmword ptr [{w} + 64*", $pair, "]\n"),
            concat!("vmovdqu {w1}, ymmword ptr [{w} + 64*", $pair, " + 32]\n"),
            $products!(
                $pair,
                ["", "a0", "a1", "x0", "t0"],
                [" + {row}", "b0", "b1", "x1", "t1"],
                [" + 2*{row}", "c0", "c1", "x0", "t0"],
                [" + {rows}", "d0", "d1", "x1", "t1"]
            ),
        )
    };
}

impl Avx2 {
    /// [`DotGroup::dot_group`], in assembly, because the compiler reorders the additions so that accumulators
    /// are spilled. Sums begin as the products of the first pair.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn dot_four<const CHUNK: usize>(
        self,
        rows: &Rows<'_, CHUNK>,
        first: usize,
    ) -> Option<[[__m256i; 2]; GROUP]> {
        rows.has(first, GROUP)?;
        let (a0, a1, b0, b1, c0, c1, d0, d1);
        // SAFETY: an `Avx2` is at hand, so the CPU has the instructions; there are four rows from `first` on, and what is read lies
        // in them and in the weights, of which there is a chunk at least; nothing is written but the registers named.
        unsafe {
            core::arch::asm!(
                pair!(set_products, "0"),
                "jmp 3f",
                "2:",
                pair!(add_products, "0"),
                "3:",
                pair!(add_products, "1"), pair!(add_products, "2"), pair!(add_products, "3"), pair!(add_products, "4"),
                pair!(add_products, "5"), pair!(add_products, "6"), pair!(add_products, "7"),
                "add {p}, {chunk}",
                "add {w}, 512",
                "dec {n}",
                "jnz 2b",
                p = inout(reg) rows.start(first) => _,
                w = inout(reg) rows.weights().as_ptr() => _,
                n = inout(reg) rows.weights().len() => _,
                chunk = const CHUNK * size_of::<PixelChunk>(),
                row = in(reg) rows.step(),
                rows = in(reg) rows.step() * 3,
                a0 = out(ymm_reg) a0, a1 = out(ymm_reg) a1,
                b0 = out(ymm_reg) b0, b1 = out(ymm_reg) b1,
                c0 = out(ymm_reg) c0, c1 = out(ymm_reg) c1,
                d0 = out(ymm_reg) d0, d1 = out(ymm_reg) d1,
                w0 = out(ymm_reg) _, w1 = out(ymm_reg) _,
                x0 = out(ymm_reg) _, x1 = out(ymm_reg) _,
                t0 = out(ymm_reg) _, t1 = out(ymm_reg) _,
                options(nostack, readonly),
            );
        }
        Some([[a0, a1], [b0, b1], [c0, c1], [d0, d1]])
    }
}
