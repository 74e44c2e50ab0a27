//! AVX-512 with VNNI: Zen 4 and later, Ice Lake, Sapphire Rapids.
//!
//! One register holds the sums of 16 channels; a tile of direct convolution (see [`vnni`]) is 14 pixels by 32
//! channels: 28 registers for sums, two for weights, one or two for activations. A step of four values of depth loads
//! two registers of weights and broadcasts 14 activations for 28 `vpdpbusd`.
#![allow(unsafe_code, reason = "AVX-512 intrinsics")]

use core::arch::x86_64::*;
use core::ops::Range;

use super::vnni::{self, KR, Vnni, WeightBlock};
use super::winograd::{self, Dot, Rows};
use crate::Isa;
use crate::kernels::simd::{Int16Lanes, LANES, Lanes, Parameters, Simd, has, table};
use crate::kernels::winograd::steps::weight_1d;
use crate::kernels::winograd::{Blocks, Costs, Form, GROUP, POINTS, Product, WeightPair, pack, stride};
use crate::kernels::{Kernels, panels};

table! {
    Isa::Avx512Vnni, Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni",
    direct: {
        mr: Avx512Vnni::MR, nr: Avx512Vnni::PANELS * LANES, block_bytes: 256 << 10,
        weights_len: panels::weights_len::<KR>, pack_weights: vnni::pack_weights,
        patches_len: vnni::patches_len, pack_patches: vnni::pack_patches, pack_row: vnni::pack_row,
        conv: vnni::conv,
    },
    winograd: {
        costs: COSTS, stride_2: None,
        // A second-level cache of 1 MiB or more.
        blocks: Blocks {
            input_bytes: [576 << 10, 672 << 10], product_tiles: WIDE, product_step: 1, ..Blocks::USUAL
        },
        transform_weights: super::transform_weights, multiply: winograd::multiply,
        transform_output: steps::transform_output,
    },
}

/// Most tiles whose products are made together: as many sums in flight as hide the latency of `vpdpwssd`, little to load besides, and products that
/// stay in the first-level cache. The 49 tiles of a map of 28x28 are 17 + 17 + 15.
const WIDE: usize = 18;

/// What decides between Winograd and direct convolution, on a core that starts two 512-bit multiplications a cycle: fitted to ResNet-18's
/// layers, timed on Emerald Rapids. Winograd takes 0.93 of the time at 56x56, 0.83 at 28x28, 1.2 at 14x14 and 2.8 at 7x7; direct
/// convolution reaches 95 % of what the core can multiply.
const COSTS: Costs = Costs { direct: 9, tile: 88, group: GROUP, weights: 480, input: 1400, output: 1400 };

/// The same on one that starts one a cycle, in 1/64 of a cycle. Computed, not measured: nine products of an output take 9/64 of a cycle, the 36 of a
/// tile take 72/64, and a quarter more for the sums that are loaded and stored between steps. The transforms are what llvm-mca
/// says for Zen 4: for 16 channels of a tile 103 cycles, and about as many back; for weights, 42 cycles for 16 pairs of channels.
const HALF_COSTS: Costs = Costs { direct: 9, tile: 90, group: GROUP, weights: 168, input: 416, output: 416 };

/// The table for a core that starts one 512-bit multiplication a cycle.
static HALF: Kernels = TABLE.with_costs(HALF_COSTS);

/// The table, if this CPU has what it is compiled for.
pub(in crate::kernels) fn kernels() -> Option<&'static Kernels> {
    let table = if halves_registers() { &HALF } else { &KERNELS };
    has!("avx512f", "avx512bw", "avx512vl", "avx512vnni").then_some(table)
}

/// Whether this is Zen 4, AMD's family 19h with VNNI, which executes 512 bits in two halves. Without an operating system nobody asks.
#[cfg(feature = "std")]
fn halves_registers() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        let [vendor, version] = [0, 1].map(__cpuid);
        let family = (version.eax >> 8 & 0xf) + (version.eax >> 20 & 0xff);
        let vendor = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        vendor.as_flattened() == b"AuthenticAMD" && family == 0x19
    })
}

/// See above.
#[cfg(not(feature = "std"))]
const fn halves_registers() -> bool {
    false
}

/// Exists only in code that is compiled for AVX-512 F, BW, VL and VNNI, so that it proves that the CPU has them.
#[derive(Debug, Clone, Copy)]
struct Avx512Vnni(());

impl Avx512Vnni {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn new() -> Self {
        Self(())
    }
}

/// Calls intrinsics where an [`Avx512Vnni`] is at hand.
macro_rules! avx512 {
    ($value:expr) => {
        // SAFETY: an `Avx512Vnni` is at hand, which exists only where the CPU has what the intrinsics need; those with a
        // pointer get one to an array of the size that they access, without a demand on alignment.
        unsafe { $value }
    };
}

impl Lanes for Avx512Vnni {
    const LANE_CHANNELS: [usize; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
}

/// See [`Winograd::transform_weights`](crate::kernels::winograd::Winograd::transform_weights): of 3x3 kernels both channels of a pair at a time.
#[inline(always)]
fn transform_weights(
    s: Avx512Vnni,
    form: Form,
    panel: &[i8],
    chunks: Range<usize>,
    out: &mut [WeightPair],
) -> Option<()> {
    if form != Form::F4x3 {
        return winograd::transform_weights(s, form, panel, chunks, out);
    }
    let packed = pack::pairs::<9>(panel, chunks)?;
    let stride = stride(packed.len());
    let out = out.get_mut(..POINTS * stride)?;
    for (pair, taps) in packed.iter().enumerate() {
        pack::prefetch_next_block(packed, pair);
        let [a, b, c, d, e, f, g, h, i] = taps;
        let a = weight_1d(Pair(s), [s.widen_pair(a), s.widen_pair(d), s.widen_pair(g)]);
        let b = weight_1d(Pair(s), [s.widen_pair(b), s.widen_pair(e), s.widen_pair(h)]);
        let c = weight_1d(Pair(s), [s.widen_pair(c), s.widen_pair(f), s.widen_pair(i)]);
        let mut points = out.get_mut(pair..)?.iter_mut().step_by(stride);
        for ((a, b), c) in a.into_iter().zip(b).zip(c) {
            for value in weight_1d(Pair(s), [a, b, c]) {
                avx512!(_mm512_storeu_si512(points.next()?.as_mut_ptr().cast(), value));
            }
        }
    }
    Some(())
}

/// Both input channels of a pair, of sixteen output channels.
#[derive(Debug, Clone, Copy)]
struct Pair(Avx512Vnni);

impl Int16Lanes for Pair {
    type I16 = __m512i;

    #[inline(always)]
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx512!(_mm512_add_epi16(a, b))
    }

    #[inline(always)]
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx512!(_mm512_sub_epi16(a, b))
    }

    #[inline(always)]
    fn shl16<const BITS: i32>(self, a: Self::I16) -> Self::I16 {
        // The count of the intrinsic with an immediate has another type.
        avx512!(_mm512_sll_epi16(a, _mm_cvtsi32_si128(BITS)))
    }
}

impl Avx512Vnni {
    /// Sign-extended to int16.
    #[inline(always)]
    fn widen_pair(self, values: &[[i8; LANES]; 2]) -> __m512i {
        avx512!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(values.as_ptr().cast())))
    }
}

/// The product of a pair of channels of a row, if the row is one of those that are wanted.
macro_rules! row {
    ($pair:literal, $index:literal, $acc:literal, $address:literal) => {
        concat!(
            ".if {count} > ",
            $index,
            "\nvpdpwssd {",
            $acc,
            "}, zmm31, dword ptr [",
            $address,
            " + 4 * ",
            $pair,
            "]{{1to16}}\n.endif\n",
        )
    };
}

/// The products of a pair of channels of all rows, with the weights of the pair.
macro_rules! pair {
    ($pair:literal) => {
        concat!(
            "vmovdqu64 zmm31, [{w} + 64 * ",
            $pair,
            "]\n",
            row!($pair, "0", "a0", "{a}"),
            row!($pair, "1", "a1", "{a} + {row}"),
            row!($pair, "2", "a2", "{a} + 2 * {row}"),
            row!($pair, "3", "a3", "{a} + {rows}"),
            row!($pair, "4", "b0", "{b}"),
            row!($pair, "5", "b1", "{b} + {row}"),
            row!($pair, "6", "b2", "{b} + 2 * {row}"),
            row!($pair, "7", "b3", "{b} + {rows}"),
            row!($pair, "8", "c0", "{c}"),
            row!($pair, "9", "c1", "{c} + {row}"),
            row!($pair, "10", "c2", "{c} + 2 * {row}"),
            row!($pair, "11", "c3", "{c} + {rows}"),
            row!($pair, "12", "d0", "{d}"),
            row!($pair, "13", "d1", "{d} + {row}"),
            row!($pair, "14", "d2", "{d} + 2 * {row}"),
            row!($pair, "15", "d3", "{d} + {rows}"),
            row!($pair, "16", "e0", "{e}"),
            row!($pair, "17", "e1", "{e} + {row}"),
        )
    };
}

impl Avx512Vnni {
    /// The products of all chunks of up to [`WIDE`] rows. In assembly because the compiler keeps sums in memory.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn dot<const ROWS: usize, const CHUNK: usize>(
        self,
        rows: &Rows<'_, CHUNK>,
        first: usize,
    ) -> Option<[__m512i; WIDE]> {
        const { assert!(ROWS <= WIDE) };
        rows.has(first, ROWS)?;
        let zero = self.zero32();
        let [mut a0, mut a1, mut a2, mut a3, mut b0, mut b1, mut b2, mut b3, mut c0] = [zero; 9];
        let [mut c1, mut c2, mut c3, mut d0, mut d1, mut d2, mut d3, mut e0, mut e1] = [zero; 9];
        // SAFETY: an `Avx512Vnni` is at hand, so the CPU has the instructions; there are `ROWS` rows from `first` on, others are not read, and what
        // is read lies in them and in the weights, of which there is a chunk at least; nothing is written but the registers named.
        unsafe {
            core::arch::asm!(
                "2:",
                pair!("0"), pair!("1"), pair!("2"), pair!("3"), pair!("4"), pair!("5"), pair!("6"), pair!("7"),
                "add {a}, {chunk}",
                "add {b}, {chunk}",
                "add {c}, {chunk}",
                "add {d}, {chunk}",
                "add {e}, {chunk}",
                "add {w}, 512",
                "dec {n}",
                "jnz 2b",
                count = const ROWS,
                a = inout(reg) rows.start(first) => _,
                b = inout(reg) rows.start(first + 4) => _,
                c = inout(reg) rows.start(first + 8) => _,
                d = inout(reg) rows.start(first + 12) => _,
                e = inout(reg) rows.start(first + 16) => _,
                w = inout(reg) rows.weights().as_ptr() => _,
                n = inout(reg) rows.weights().len() => _,
                chunk = const CHUNK * size_of::<[i16; LANES]>(),
                row = in(reg) rows.step(),
                rows = in(reg) rows.step() * 3,
                a0 = inout(zmm_reg) a0, a1 = inout(zmm_reg) a1, a2 = inout(zmm_reg) a2, a3 = inout(zmm_reg) a3,
                b0 = inout(zmm_reg) b0, b1 = inout(zmm_reg) b1, b2 = inout(zmm_reg) b2, b3 = inout(zmm_reg) b3,
                c0 = inout(zmm_reg) c0, c1 = inout(zmm_reg) c1, c2 = inout(zmm_reg) c2, c3 = inout(zmm_reg) c3,
                d0 = inout(zmm_reg) d0, d1 = inout(zmm_reg) d1, d2 = inout(zmm_reg) d2, d3 = inout(zmm_reg) d3,
                e0 = inout(zmm_reg) e0, e1 = inout(zmm_reg) e1,
                out("zmm31") _,
                options(nostack, readonly),
            );
        }
        Some([a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, e0, e1])
    }
}

impl Dot for Avx512Vnni {
    const STEP: usize = 1;

    /// As few calls as there are rows for, each with as many, give or take one.
    #[inline(always)]
    fn dot_tiles(
        self,
        rows: &Rows<'_, POINTS>,
        first: usize,
        add: bool,
        products: &mut [Product],
    ) -> Option<()> {
        macro_rules! counts {
            ($products:ident, $first:ident, $($count:literal)*) => {
                match $products.len() {
                    $($count => {
                        let sums = avx512!(self.dot::<$count, POINTS>(rows, $first))?;
                        winograd::store_sums(self, sums.get(..$count)?, add, $products);
                    })*
                    _ => return None,
                }
            };
        }
        let calls = products.len().div_ceil(WIDE);
        let (mut first, mut rest) = (first, products);
        for left in (1..=calls).rev() {
            let (products, behind) = rest.split_at_mut_checked(rest.len().div_ceil(left))?;
            counts!(products, first, 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1);
            (first, rest) = (first + products.len(), behind);
        }
        Some(())
    }
}

impl Int16Lanes for Avx512Vnni {
    type I16 = __m256i;

    #[inline(always)]
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx512!(_mm256_add_epi16(a, b))
    }

    #[inline(always)]
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        avx512!(_mm256_sub_epi16(a, b))
    }

    #[inline(always)]
    fn shl16<const BITS: i32>(self, a: Self::I16) -> Self::I16 {
        avx512!(_mm256_slli_epi16::<BITS>(a))
    }
}

impl Simd for Avx512Vnni {
    type I32 = __m512i;

    #[inline(always)]
    fn widen(self, values: &[i8; LANES]) -> Self::I16 {
        avx512!(_mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast())))
    }

    #[inline(always)]
    fn load16(self, values: &[i16; LANES]) -> Self::I16 {
        avx512!(_mm256_loadu_si256(values.as_ptr().cast()))
    }

    #[inline(always)]
    fn store16(self, values: Self::I16, out: &mut [i16; LANES]) {
        avx512!(_mm256_storeu_si256(out.as_mut_ptr().cast(), values));
    }

    #[inline(always)]
    fn zero32(self) -> Self::I32 {
        avx512!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn load32(self, values: &[i32; LANES]) -> Self::I32 {
        avx512!(_mm512_loadu_si512(values.as_ptr().cast()))
    }

    #[inline(always)]
    fn store32(self, values: Self::I32, out: &mut [i32; LANES]) {
        avx512!(_mm512_storeu_si512(out.as_mut_ptr().cast(), values));
    }

    #[inline(always)]
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        avx512!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn sub32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        avx512!(_mm512_sub_epi32(a, b))
    }

    #[inline(always)]
    fn shl32<const BITS: i32>(self, a: Self::I32) -> Self::I32 {
        avx512!(_mm512_sll_epi32(a, _mm_cvtsi32_si128(BITS)))
    }

    #[inline(always)]
    fn shr32<const BITS: i32>(self, a: Self::I32) -> Self::I32 {
        avx512!(_mm512_sra_epi32(a, _mm_cvtsi32_si128(BITS)))
    }

    #[inline(always)]
    fn mul32(self, a: Self::I32, factor: i32) -> Self::I32 {
        avx512!(_mm512_mullo_epi32(a, _mm512_set1_epi32(factor)))
    }

    #[inline(always)]
    fn skip_term(self, values: &[i8; LANES], parameters: &Parameters, shift: u8) -> Self::I32 {
        let (multiplier, offset) =
            (self.load32(&parameters.skip_multiplier), self.load32(&parameters.skip_offset));
        avx512!({
            let values = _mm512_cvtepi8_epi32(_mm_loadu_si128(values.as_ptr().cast()));
            let term = _mm512_add_epi32(_mm512_mullo_epi32(values, multiplier), offset);
            _mm512_srav_epi32(term, _mm512_set1_epi32(shift.into()))
        })
    }

    /// High half of the product, rounding shift: the same as one rounding because the shift is not 0.
    #[inline(always)]
    fn rescale(self, acc: Self::I32, parameters: &Parameters) -> Self::I32 {
        const ODD_TO_EVEN: i32 = 0b11_11_01_01;
        let mantissa = self.load32(&parameters.mantissa);
        let (rounding, shift) = (self.load32(&parameters.rounding), self.load32(&parameters.shift));
        avx512!({
            let even = _mm512_mul_epi32(acc, mantissa);
            let odd = _mm512_mul_epi32(
                _mm512_shuffle_epi32::<ODD_TO_EVEN>(acc),
                _mm512_shuffle_epi32::<ODD_TO_EVEN>(mantissa),
            );
            let high = _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(odd, 0b0101_0101_0101_0101, even);
            _mm512_srav_epi32(_mm512_add_epi32(high, rounding), shift)
        })
    }

    #[inline(always)]
    fn narrow(self, values: Self::I32, zero_point: i8, [low, high]: [i8; 2]) -> [i8; LANES] {
        let mut out = [0; LANES];
        avx512!({
            let values = _mm512_add_epi32(values, _mm512_set1_epi32(zero_point.into()));
            let values = _mm512_max_epi32(values, _mm512_set1_epi32(low.into()));
            let values = _mm512_min_epi32(values, _mm512_set1_epi32(high.into()));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(values));
        });
        out
    }

    /// Saturated on the way: to int16, so that the zero point can be added to two at once, and to int8.
    #[inline(always)]
    fn narrow_four(
        self,
        [a, b, c, d]: [Self::I32; 4],
        zero_point: i8,
        [low, high]: [i8; 2],
    ) -> [[i8; LANES]; 4] {
        let mut out = [[0; LANES]; 4];
        avx512!({
            let zero_point = _mm512_set1_epi16(zero_point.into());
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero_point);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero_point);
            let values = _mm512_packs_epi16(ab, cd);
            let values = _mm512_max_epi8(values, _mm512_set1_epi8(low));
            let values = _mm512_min_epi8(values, _mm512_set1_epi8(high));
            // Four channels of each pixel in turn.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let values = _mm512_permutexvar_epi32(order, values);
            _mm512_storeu_si512(out.as_mut_ptr().cast(), values);
        });
        out
    }
}

impl Vnni for Avx512Vnni {
    const MR: usize = 14;
    const PANELS: usize = 2;

    type Activations = __m512i;

    #[inline(always)]
    fn splat(self, values: &[u8; 4]) -> Self::Activations {
        avx512!(_mm512_set1_epi32(i32::from_le_bytes(*values)))
    }

    #[inline(always)]
    fn load_weights(self, weights: &WeightBlock) -> Self::I32 {
        avx512!(_mm512_loadu_si512(weights.as_ptr().cast()))
    }

    #[inline(always)]
    fn dot8(self, acc: Self::I32, activations: Self::Activations, weights: Self::I32) -> Self::I32 {
        avx512!(_mm512_dpbusd_epi32(acc, activations, weights))
    }
}
