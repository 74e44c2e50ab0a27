//! NEON with the dot product of ARMv8.2: Cortex-A55, A75, A76 and later, that is, Raspberry Pi 5, Jetson Orin, most phones.
//!
//! `sdot` multiplies four values of depth of one pixel by those of four channels and adds the products to four sums.
//! Everything is signed, nothing saturates. It makes 16 products, `smlal` makes four: Winograd's method, which
//! takes a quarter of the products and has to transform besides, saves nothing here, so the table does without.
#![allow(unsafe_code, reason = "inline assembly")]

use super::neon::Neon;
use super::tiles::{self, Block, MR, Sources, Sums, Tiles, pack, sums};
use crate::Isa;
use crate::kernels::panels::{self, WeightBlock};
use crate::kernels::simd::{LANES, has, table};
use crate::kernels::{Kernels, LayerWeights};

/// Values of depth that one instruction multiplies, in every lane.
const KR: usize = 4;

table! {
    Isa::NeonDotprod, Dotprod, "neon,dotprod,rdm",
    direct: {
        mr: MR, nr: LANES, block_bytes: 128 << 10,
        weights_len: panels::weights_len::<KR>, pack_weights: super::pack_weights,
        patches_len: tiles::patches_len, pack_patches: tiles::pack_patches::<KR, _>,
        conv: tiles::conv::<KR, _>,
    },
}

/// The table, if this CPU has the dot product.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    has!("neon", "dotprod", "rdm").then_some(&KERNELS)
}

/// Exists only in code that is compiled for the dot product, so that it proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
struct Dotprod(Neon);

impl Dotprod {
    #[inline]
    #[target_feature(enable = "neon,dotprod,rdm")]
    fn new() -> Self {
        Self(Neon::new())
    }
}

#[inline(always)]
fn pack_weights(_: Dotprod, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()> {
    panels::pack_weights::<Neon, KR>(source, 0, packed)
}

/// The products of one pixel and the 16 channels in v0 to v3, added to its sums; `values` is where its values are.
macro_rules! pixel {
    ($a:literal $b:literal $c:literal $d:literal, $values:literal) => {
        concat!(
            "sdot ",
            $a,
            ".4s, v0.16b, ",
            $values,
            "\n",
            "sdot ",
            $b,
            ".4s, v1.16b, ",
            $values,
            "\n",
            "sdot ",
            $c,
            ".4s, v2.16b, ",
            $values,
            "\n",
            "sdot ",
            $d,
            ".4s, v3.16b, ",
            $values,
            "\n",
        )
    };
}

/// The sums of some pixels: for each, their registers, and where its values are in v4 to v6, which hold
/// `[2 fours of depth][4 pixels][4]` and `[2 fours of depth][2 pixels][4]`.
macro_rules! tile {
    (
        $bias:ident, $weights:ident, $patches:ident,
        $($a:literal $b:literal $c:literal $d:literal, $first:literal, $second:literal);*
    ) => {
        sums!(
            $(concat!("ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{bias}]"),)*
            "cbz {n16}, 3f",
            "2:",
            ".rept 8",
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{x}], #48",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pixel!($a $b $c $d, $first),)*
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pixel!($a $b $c $d, $second),)*
            ".endr",
            "sub {n16}, {n16}, #1",
            "cbnz {n16}, 2b",
            "3:",
            "cbz {n2}, 5f",
            "4:",
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{x}], #48",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pixel!($a $b $c $d, $first),)*
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            $(pixel!($a $b $c $d, $second),)*
            "sub {n2}, {n2}, #1",
            "cbnz {n2}, 4b",
            "5:",
            "tbz {n}, #0, 6f",
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{x}]",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}]",
            $(pixel!($a $b $c $d, $first),)*
            "6:",
            bias = in(reg) $bias.as_ptr(),
            w = inout(reg) $weights.as_ptr() => _,
            x = inout(reg) $patches.as_ptr() => _,
            n16 = inout(reg) $weights.len() / 16 => _,
            n2 = inout(reg) $weights.len() % 16 / 2 => _,
            n = in(reg) $weights.len(),
        )
    };
}

impl Tiles<KR> for Dotprod {
    #[inline(always)]
    fn neon(self) -> Neon {
        self.0
    }

    /// `st4` and `st2` take turns between the pixels of four and of two registers, two fours of depth at a time.
    #[inline(always)]
    unsafe fn pack(self, sources: &Sources, out: *mut Block) {
        // SAFETY: the caller's.
        unsafe {
            pack!(
                sources,
                out,
                "ldp d0, d16, [{a}], #16",
                "ldp d1, d17, [{b}], #16",
                "ldp d2, d18, [{c}], #16",
                "ldp d3, d19, [{d}], #16",
                "ldp d4, d20, [{e}], #16",
                "ldp d5, d21, [{f}], #16",
                "st4 {{v0.2s, v1.2s, v2.2s, v3.2s}}, [{out}], #32",
                "st2 {{v4.2s, v5.2s}}, [{out}], #16",
                "st4 {{v16.2s, v17.2s, v18.2s, v19.2s}}, [{out}], #32",
                "st2 {{v20.2s, v21.2s}}, [{out}], #16",
            );
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        self,
        bias: &[i32; LANES],
        weights: &[WeightBlock<KR>],
        patches: &[Block],
        height: usize,
    ) -> Sums {
        macro_rules! rows {
            ($($row:tt)*) => {
                // SAFETY: a `Dotprod` is at hand, which exists only where the CPU has the dot product;
                // the caller has seen that the patches are as deep as the weights.
                unsafe { tile!(bias, weights, patches, $($row)*) }
            };
        }
        match height {
            6 => rows!(
                "v8" "v9" "v10" "v11", "v4.4b[0]", "v5.4b[0]";
                "v12" "v13" "v14" "v15", "v4.4b[1]", "v5.4b[1]";
                "v16" "v17" "v18" "v19", "v4.4b[2]", "v5.4b[2]";
                "v20" "v21" "v22" "v23", "v4.4b[3]", "v5.4b[3]";
                "v24" "v25" "v26" "v27", "v6.4b[0]", "v6.4b[2]";
                "v28" "v29" "v30" "v31", "v6.4b[1]", "v6.4b[3]"
            ),
            5 => rows!(
                "v8" "v9" "v10" "v11", "v4.4b[0]", "v5.4b[0]";
                "v12" "v13" "v14" "v15", "v4.4b[1]", "v5.4b[1]";
                "v16" "v17" "v18" "v19", "v4.4b[2]", "v5.4b[2]";
                "v20" "v21" "v22" "v23", "v4.4b[3]", "v5.4b[3]";
                "v24" "v25" "v26" "v27", "v6.4b[0]", "v6.4b[2]"
            ),
            4 => rows!(
                "v8" "v9" "v10" "v11", "v4.4b[0]", "v5.4b[0]";
                "v12" "v13" "v14" "v15", "v4.4b[1]", "v5.4b[1]";
                "v16" "v17" "v18" "v19", "v4.4b[2]", "v5.4b[2]";
                "v20" "v21" "v22" "v23", "v4.4b[3]", "v5.4b[3]"
            ),
            3 => rows!(
                "v8" "v9" "v10" "v11", "v4.4b[0]", "v5.4b[0]";
                "v12" "v13" "v14" "v15", "v4.4b[1]", "v5.4b[1]";
                "v16" "v17" "v18" "v19", "v4.4b[2]", "v5.4b[2]"
            ),
            2 => rows!(
                "v8" "v9" "v10" "v11", "v4.4b[0]", "v5.4b[0]";
                "v12" "v13" "v14" "v15", "v4.4b[1]", "v5.4b[1]"
            ),
            _ => rows!(
                "v8" "v9" "v10" "v11", "v4.4b[0]", "v5.4b[0]"
            ),
        }
    }
}
