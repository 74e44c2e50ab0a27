//! What the vector kernels have in common: sixteen lanes of int16 or int32, and the epilogue on sixteen channels.
//!
//! An instruction set implements [`Simd`] for a token type that exists only where its instructions do, so holding a
//! token is the proof that they may be used. Code that is generic over [`Simd`] is inlined into functions that are
//! compiled for the instruction set.

#![allow(unsafe_code, reason = "places of some pixels are checked together")]

pub(super) use super::parameters::{LANES, Lanes, Parameters, Place, TargetPlaces};

use super::parameters::skip_values;
use super::{SkipValues, Target};

/// Whether this CPU (with `std`) or every CPU that the build is for (without) has all of these features.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        let here = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        let here = $(std::arch::is_aarch64_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let here = $(cfg!(target_feature = $feature))&&+;
        here
    }};
}
pub(super) use has;

/// Makes a safe function of a table from one that is compiled for its instruction set.
macro_rules! entry {
    ($token:ident, $features:tt, fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty, $inner:expr) => {
        pub(super) fn $name($($arg: $type),*) -> $out {
            #[target_feature(enable = $features)]
            fn compiled($($arg: $type),*) -> $out {
                $inner($token::new(), $($arg),*)
            }
            // SAFETY: the table is reached through `kernels` only, which has seen that the CPU has these features.
            unsafe { compiled($($arg),*) }
        }
    };
}
pub(super) use entry;

/// A static `KERNELS`, the same as a constant `TABLE`, and its functions compiled for an instruction set. `$token` is its token type; the functions named
/// take one first. They are named from within a module: those of the caller's by `super::`. Without `winograd` the table has no
/// steps of the method, and the token need not implement [`Simd`].
macro_rules! table {
    (
        $isa:expr, $token:ident, $features:tt,
        direct: {
            mr: $mr:expr, nr: $nr:expr, block_bytes: $block_bytes:expr,
            weights_len: $weights_len:expr, pack_weights: $pack_weights:expr,
            patches_len: $patches_len:expr, pack_patches: $pack_patches:expr, $(pack_row: $pack_row:expr,)?
            conv: $conv:expr,
        },
        $(winograd: {
            costs: $costs:expr, stride_2: $stride_2:expr, blocks: $blocks:expr,
            transform_weights: $transform_weights:expr, multiply: $multiply:expr,
            transform_output: $transform_output:expr $(,)?
        },)?
    ) => {
        static KERNELS: $crate::kernels::Kernels = TABLE;

        const TABLE: $crate::kernels::Kernels = $crate::kernels::Kernels {
            isa: $isa,
            direct: $crate::kernels::Direct {
                mr: $mr,
                nr: $nr,
                block_bytes: $block_bytes,
                block_columns: usize::MAX,
                packing: Some($crate::kernels::Packing {
                    weights_len: $weights_len,
                    pack_weights: compiled::pack_weights,
                    patches_len: $patches_len,
                    pack_patches: compiled::pack_patches,
                    pack_row: $crate::kernels::simd::table!(@pack_row $($pack_row)?),
                }),
                conv: compiled::conv,
            },
            winograd: $crate::kernels::simd::table!(@winograd $($costs, $stride_2, $blocks)?),
            transformed: None,
            dot: compiled::dot,
            max_into: compiled::max_into,
            sum_into: compiled::sum_into,
            copy_into: $crate::kernels::portable::copy_into,
        };

        mod compiled {
            use super::*;
            use $crate::kernels::simd::{self, entry};
            use $crate::kernels::{ConvBlock, LayerWeights, Patches, Shape};

            entry!($token, $features, fn pack_weights(source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()>, $pack_weights);
            entry!($token, $features, fn pack_patches(shape: &Shape, weights: &[i8], patches: &Patches<'_>, panels: &mut [i8]) -> Option<()>, $pack_patches);
            $(entry!($token, $features, fn pack_row(panels: &mut [i8], row: &[i8]) -> (), $pack_row);)?
            entry!($token, $features, fn conv(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()>, $conv);
            entry!($token, $features, fn dot(input: &[i8], weights: &[i8]) -> i32, simd::dot);
            entry!($token, $features, fn max_into(out: &mut [i8], input: &[i8]) -> (), simd::max_into);
            entry!($token, $features, fn sum_into(sums: &mut [i32], input: &[i8]) -> (), simd::sum_into);
            $(
                use $crate::kernels::winograd::{Finish, Form, Geometry, InputChunk, Multiply, Product, Tile, WeightPair, pack, steps};

                entry!($token, $features, fn pack_winograd_weights(geometry: &Geometry, source: &LayerWeights<'_>, packed: &mut [i8]) -> Option<()>, pack::pack_weights);
                entry!($token, $features, fn transform_input(tile: &Tile<'_>, out: &mut [InputChunk]) -> Option<()>, steps::transform_input);
                entry!($token, $features, fn transform_weights(form: Form, panel: &[i8], chunks: core::ops::Range<usize>, out: &mut [WeightPair]) -> Option<()>, $transform_weights);
                entry!($token, $features, fn multiply(job: &Multiply<'_>, products: &mut [Product]) -> Option<()>, $multiply);
                entry!($token, $features, fn transform_output(job: &Finish<'_>, out: &mut [i8]) -> Option<()>, $transform_output);
            )?
        }
    };
    (@pack_row) => { None };
    (@pack_row $pack_row:expr) => { Some(compiled::pack_row) };
    (@winograd) => { None };
    (@winograd $costs:expr, $stride_2:expr, $blocks:expr) => {
        Some($crate::kernels::winograd::Winograd {
            costs: $costs,
            stride_2: $stride_2,
            blocks: $blocks,
            pack_weights: compiled::pack_winograd_weights,
            transform_input: compiled::transform_input,
            transform_weights: compiled::transform_weights,
            multiply: compiled::multiply,
            transform_output: compiled::transform_output,
        })
    };
}
pub(super) use table;

/// Sums and shifts of int16, of any number of lanes, which is all that Winograd's `G'` takes: it is computed for sixteen at a time, or thirty-two.
/// All arithmetic wraps.
pub(super) trait Int16Lanes: Copy {
    /// Some int16.
    type I16: Copy;

    /// `a + b`.
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// `a - b`.
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// `a << BITS`.
    fn shl16<const BITS: i32>(self, a: Self::I16) -> Self::I16;
}

/// Operations on sixteen lanes, those of [`Int16Lanes`] too. All arithmetic wraps.
///
/// The lanes of `I32` stand for the channels of a panel as [`Lanes`] says.
pub(super) trait Simd: Lanes + Int16Lanes {
    /// Sixteen int32.
    type I32: Copy;

    /// Sign-extended to int16.
    fn widen(self, values: &[i8; LANES]) -> Self::I16;
    /// Loads int16.
    fn load16(self, values: &[i16; LANES]) -> Self::I16;
    /// Stores int16.
    fn store16(self, values: Self::I16, out: &mut [i16; LANES]);

    /// All zero.
    fn zero32(self) -> Self::I32;
    /// Loads int32.
    fn load32(self, values: &[i32; LANES]) -> Self::I32;
    /// Stores int32.
    #[cfg(target_arch = "x86_64")]
    fn store32(self, values: Self::I32, out: &mut [i32; LANES]);
    /// `a + b`.
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`.
    fn sub32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a << BITS`.
    fn shl32<const BITS: i32>(self, a: Self::I32) -> Self::I32;
    /// `a >> BITS`, rounding down.
    fn shr32<const BITS: i32>(self, a: Self::I32) -> Self::I32;
    /// Low half of `a * factor`.
    fn mul32(self, a: Self::I32, factor: i32) -> Self::I32;
    /// `acc + a * FACTOR`, for the factors of Winograd's method.
    #[inline(always)]
    fn multiply_add32<const FACTOR: i32>(self, acc: Self::I32, a: Self::I32) -> Self::I32 {
        match FACTOR {
            -4 => self.sub32(acc, self.shl32::<2>(a)),
            6 => self.add32(self.add32(acc, self.shl32::<1>(a)), self.shl32::<2>(a)),
            24 => self.add32(self.add32(acc, self.shl32::<3>(a)), self.shl32::<4>(a)),
            _ => self.add32(acc, self.mul32(a, FACTOR)),
        }
    }

    /// What a shortcut adds: `(value * multiplier + offset) >> shift`, with `values` in the order of channels.
    fn skip_term(self, values: &[i8; LANES], parameters: &Parameters, shift: u8) -> Self::I32;
    /// [`crate::arith::rescale`] with each lane's multiplier.
    fn rescale(self, acc: Self::I32, parameters: &Parameters) -> Self::I32;
    /// Adds the zero point and clamps; the result is in the order of channels.
    fn narrow(self, values: Self::I32, zero_point: i8, clamp: [i8; 2]) -> [i8; LANES];
    /// [`Self::narrow`] of two pixels.
    #[inline(always)]
    fn narrow_pair(self, a: Self::I32, b: Self::I32, zero_point: i8, clamp: [i8; 2]) -> [[i8; LANES]; 2] {
        [self.narrow(a, zero_point, clamp), self.narrow(b, zero_point, clamp)]
    }
    /// [`Self::narrow`] of four pixels.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn narrow_four(self, [a, b, c, d]: [Self::I32; 4], zero_point: i8, clamp: [i8; 2]) -> [[i8; LANES]; 4] {
        let ([a, b], [c, d]) =
            (self.narrow_pair(a, b, zero_point, clamp), self.narrow_pair(c, d, zero_point, clamp));
        [a, b, c, d]
    }
}

/// Bias, shortcut, requantization, clamp and store of one pixel's channels of a panel. Without `BIAS` the accumulator has the
/// bias in it.
#[inline(always)]
pub(super) fn finish<S: Simd, const BIAS: bool>(
    s: S,
    acc: S::I32,
    parameters: &Parameters,
    target: &Target<'_>,
    place: Place,
    out: &mut [i8],
) -> Option<()> {
    let out = out.get_mut(place.out + target.first_channel..)?;
    let values = match &target.skip {
        Some(skip) => Some(([skip_values(target, skip, place, out)?], skip.shift)),
        None => None,
    };
    let [acc] = complete::<S, BIAS, 1>(s, [acc], parameters, values);
    let values = s.narrow(acc, target.epilogue.zero_point, target.epilogue.clamp);
    match target.channels.len() - target.first_channel {
        LANES.. => *out.first_chunk_mut()? = values,
        width => out.get_mut(..width)?.copy_from_slice(values.get(..width)?),
    }
    Some(())
}

/// [`finish`] of the first `pixels` pixels of a tile: all of them, or at the end of a block fewer.
#[inline(always)]
pub(super) fn finish_tile<S: Simd, const BIAS: bool, const PIXELS: usize>(
    s: S,
    acc: [S::I32; PIXELS],
    pixels: usize,
    parameters: &Parameters,
    target: &Target<'_>,
    places: [Place; PIXELS],
    out: &mut [i8],
) -> Option<()> {
    if pixels >= PIXELS {
        return finish_all::<S, BIAS, PIXELS>(s, acc, parameters, target, places, out);
    }
    for (acc, place) in acc.into_iter().zip(places).take(pixels) {
        finish::<S, BIAS>(s, acc, parameters, target, place, out)?;
    }
    Some(())
}

/// Whether all lanes have channels, and values of the shortcut if there is one.
#[inline(always)]
pub(super) fn has_all_lanes(target: &Target<'_>) -> bool {
    let joined = target.skip.is_none_or(|skip| {
        let own = target.first_channel.wrapping_sub(skip.channel);
        skip.values.is_none() || own.saturating_add(LANES) <= skip.channel_count
    });
    joined && target.channels.len().saturating_sub(target.first_channel) >= LANES
}

/// [`finish`] of some pixels. Where all lanes have channels, and shortcut values if there is a shortcut, places
/// are checked before anything else, and what follows has no branches.
#[inline(always)]
pub(super) fn finish_all<S: Simd, const BIAS: bool, const PIXELS: usize>(
    s: S,
    acc: [S::I32; PIXELS],
    parameters: &Parameters,
    target: &Target<'_>,
    places: [Place; PIXELS],
    out: &mut [i8],
) -> Option<()> {
    let first = target.first_channel;
    let own = target.skip.map_or(0, |skip| first.wrapping_sub(skip.channel));
    if !has_all_lanes(target) {
        for (acc, place) in acc.into_iter().zip(places) {
            finish::<S, BIAS>(s, acc, parameters, target, place, out)?;
        }
        return Some(());
    }
    let out = out.get_mut(first..)?;
    let starts = Starts::new(places.map(|place| place.out), out)?;
    let acc = match target.skip {
        None => complete::<S, BIAS, PIXELS>(s, acc, parameters, None),
        Some(SkipValues { values: None, shift, .. }) => {
            complete::<S, BIAS, PIXELS>(s, acc, parameters, Some((starts.read(out)?, shift)))
        }
        Some(SkipValues { values: Some(values), shift, .. }) => {
            let values = values.get(own..)?;
            let starts = Starts::new(places.map(|place| place.skip), values)?;
            complete::<S, BIAS, PIXELS>(s, acc, parameters, Some((starts.read(values)?, shift)))
        }
    };
    let (zero_point, clamp) = (target.epilogue.zero_point, target.epilogue.clamp);
    let mut narrow = [[0; LANES]; PIXELS];
    let ((pairs, rest), (acc_pairs, acc_rest)) = (narrow.as_chunks_mut::<2>(), acc.as_chunks::<2>());
    for (narrow, acc) in pairs.iter_mut().zip(acc_pairs) {
        *narrow = s.narrow_pair(acc[0], acc[1], zero_point, clamp);
    }
    for (narrow, acc) in rest.iter_mut().zip(acc_rest) {
        *narrow = s.narrow(*acc, zero_point, clamp);
    }
    starts.write(narrow, out)
}

/// Places of some pixels from which `LANES` values lie in a slice of some length.
struct Starts<const PIXELS: usize> {
    starts: [usize; PIXELS],
    len: usize,
}

impl<const PIXELS: usize> Starts<PIXELS> {
    #[inline(always)]
    fn new(starts: [usize; PIXELS], values: &[i8]) -> Option<Self> {
        let len = values.len();
        let last = len.checked_sub(LANES)?;
        let mut highest = 0;
        for start in starts {
            highest = start.max(highest);
        }
        (highest <= last).then_some(Self { starts, len })
    }

    /// Reads from a slice of that length.
    #[inline(always)]
    fn read(&self, values: &[i8]) -> Option<[[i8; LANES]; PIXELS]> {
        let p = (values.len() == self.len).then_some(values.as_ptr().cast::<[i8; LANES]>())?;
        let mut pixels = [[0; LANES]; PIXELS];
        for (pixel, start) in pixels.iter_mut().zip(self.starts) {
            // SAFETY: `new` has seen that `LANES` values from every start lie in a slice of this length.
            *pixel = unsafe { p.byte_add(start).read() };
        }
        Some(pixels)
    }

    /// Writes to a slice of that length.
    #[inline(always)]
    fn write(&self, pixels: [[i8; LANES]; PIXELS], values: &mut [i8]) -> Option<()> {
        let p = (values.len() == self.len).then_some(values.as_mut_ptr().cast::<[i8; LANES]>())?;
        for (start, pixel) in self.starts.into_iter().zip(pixels) {
            // SAFETY: as in `read`.
            unsafe { p.byte_add(start).write(pixel) };
        }
        Some(())
    }
}

/// Adds bias and shortcut, and rescales.
#[inline(always)]
pub(super) fn complete<S: Simd, const BIAS: bool, const PIXELS: usize>(
    s: S,
    mut acc: [S::I32; PIXELS],
    parameters: &Parameters,
    skip: Option<([[i8; LANES]; PIXELS], u8)>,
) -> [S::I32; PIXELS] {
    if BIAS {
        for acc in &mut acc {
            *acc = s.add32(*acc, s.load32(&parameters.bias));
        }
    }
    if let Some((values, shift)) = skip {
        for (acc, values) in acc.iter_mut().zip(&values) {
            *acc = s.add32(*acc, s.skip_term(values, parameters, shift));
        }
    }
    for acc in &mut acc {
        *acc = s.rescale(*acc, parameters);
    }
    acc
}

/// Brings the cache line of a place, which need not exist, into the first- or the second-level cache; nothing where stable Rust has no instruction
/// for that.
#[inline(always)]
pub(super) fn prefetch<const LEVEL: u8>(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let place = place.cast();
        // SAFETY: every x86-64 CPU has the instruction, which reads nothing and takes any address.
        unsafe {
            match LEVEL {
                1 => _mm_prefetch::<_MM_HINT_T0>(place),
                _ => _mm_prefetch::<_MM_HINT_T1>(place),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Weights that are brought into the cache while those of a dense layer's earlier outputs are multiplied: rows follow each other, each shorter than a
/// prefetcher needs to start.
const ROWS_AHEAD: usize = 8 << 10;

#[inline(always)]
pub(super) fn dot<S>(_: S, input: &[i8], weights: &[i8]) -> i32 {
    let ahead = weights.as_ptr().wrapping_add(ROWS_AHEAD).cast::<u8>();
    for at in (0..weights.len()).step_by(64) {
        prefetch::<1>(ahead.wrapping_add(at));
    }
    super::portable::dot(input, weights)
}

#[inline(always)]
pub(super) fn max_into<S>(_: S, out: &mut [i8], input: &[i8]) {
    super::portable::max_into(out, input);
}

#[inline(always)]
pub(super) fn sum_into<S>(_: S, sums: &mut [i32], input: &[i8]) {
    super::portable::sum_into(sums, input);
}
