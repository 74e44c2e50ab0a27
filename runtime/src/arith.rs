//! The normative integer arithmetic. Every kernel of every instruction set equals these functions bit for bit.
//!
//! The rule is explained, with worked vectors, in `docs/arithmetic.md`; `tests/arithmetic.rs` reads those vectors.

/// Smallest right shift beyond 31 of a [`Multiplier`]: its value stays below 1/4.
pub const MIN_SHIFT: u8 = 2;

/// Largest right shift beyond 31 of a [`Multiplier`]: `2^(shift-1)` can be added to an accumulator without wrapping.
pub const MAX_SHIFT: u8 = 30;

/// Largest number of fraction bits of a shortcut multiplier.
pub const MAX_SKIP_SHIFT: u8 = 8;

/// Accumulators stay strictly below this magnitude.
///
/// It is half of what int32 holds, so that a backend may add the rounding constant `2^(shift-1)` to the high half of
/// the product in 32 bits.
pub const ACCUMULATOR_LIMIT: i64 = 1 << 30;

/// A positive real factor below 1/4 in fixed point: `mantissa * 2^-(31 + shift)`.
///
/// This is the scale32 form of TOSA's RESCALE operator with a mantissa that is always normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiplier {
    /// In `[2^30, 2^31)`.
    pub mantissa: i32,
    /// In `[MIN_SHIFT, MAX_SHIFT]`.
    pub shift: u8,
}

impl Multiplier {
    /// The nearest representable factor, or `None` when `value` is not in `[2^-31, 1/4)`.
    #[must_use]
    pub fn from_real(value: f64) -> Option<Self> {
        let bits = value.to_bits();
        let exponent = i32::try_from((bits >> 52) & 0x7ff).ok()? - 1022; // value = fraction * 2^exponent, fraction in [1/2, 1)
        let significand = (bits & ((1 << 52) - 1)) | (1 << 52); // fraction * 2^53
        let rounded = (significand + (1 << 21)) >> 22; // fraction * 2^31, half up
        let (mantissa, exponent) =
            if rounded == 1 << 31 { (1 << 30, exponent + 1) } else { (rounded, exponent) };
        let shift = u8::try_from(-exponent).ok()?;
        let in_range = value.is_sign_positive() && (MIN_SHIFT..=MAX_SHIFT).contains(&shift);
        Some(Self { mantissa: i32::try_from(mantissa).ok()?, shift }).filter(|_| in_range)
    }

    /// The real factor that this stands for.
    #[must_use]
    pub fn to_real(self) -> f64 {
        f64::from(self.mantissa) / (1u64 << (31 + u32::from(self.shift))) as f64
    }
}

/// `acc * multiplier`, rounded once to the nearest integer, ties toward plus infinity.
///
/// `(i64(acc) * mantissa + 2^(t-1)) >> t` with `t = 31 + shift`. For any `acc` the product is below 2^62 in magnitude, so nothing
/// wraps, and the result at most 2^29 because the multiplier is below 1/4; for accumulators of a valid model, which are below 2^30,
/// these are 2^61 and 2^28.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the result is at most 2^29 in magnitude")]
pub const fn rescale(acc: i32, multiplier: Multiplier) -> i32 {
    let total_shift = 31 + multiplier.shift as u32;
    ((acc as i64 * multiplier.mantissa as i64 + (1i64 << (total_shift - 1))) >> total_shift) as i32
}

/// From an accumulator to an activation: [`rescale`], add the output's zero point, clamp to `[low, high]`.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i8")]
pub const fn requantize(acc: i32, multiplier: Multiplier, zero_point: i8, low: i8, high: i8) -> i8 {
    let value = rescale(acc, multiplier) + zero_point as i32;
    let at_least = if value < low as i32 { low as i32 } else { value };
    (if at_least > high as i32 { high as i32 } else { at_least }) as i8
}

/// What a shortcut value adds to an accumulator: `((q - zero_point) * multiplier + 2^(shift-1)) >> shift`.
///
/// With `shift` 0 nothing is rounded. The format guarantees `255 * |multiplier| < 2^31` with room for the rounding
/// constant, so nothing wraps.
#[inline(always)]
#[must_use]
pub const fn skip_term(q: i8, zero_point: i8, multiplier: i32, shift: u8) -> i32 {
    ((q as i32 - zero_point as i32).wrapping_mul(multiplier).wrapping_add(skip_rounding(shift))) >> shift
}

/// The rounding constant of [`skip_term`]: `2^(shift-1)`, 0 for `shift` 0.
#[inline(always)]
#[must_use]
pub const fn skip_rounding(shift: u8) -> i32 {
    (1 << shift) >> 1
}

/// The activation that a raw 8-bit pixel becomes: `pixel - 128`.
#[inline(always)]
#[must_use]
pub const fn pixel_to_activation(pixel: u8) -> i8 {
    (pixel ^ 0x80).cast_signed()
}
