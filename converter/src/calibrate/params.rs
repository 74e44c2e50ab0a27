//! Scale and zero point of an int8 tensor.

/// The narrowest range a tensor can have. Without a floor the scale of a tensor that is almost dead would make the
/// multipliers of its producer explode.
pub const MIN_SPAN: f32 = 1.0 / 1_048_576.0;

/// int8 quantization of one tensor: `r = scale * (q - zero_point)`, `q` from -128 to 127. Zero is exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantParams {
    /// Real value of one step, above 0.
    pub scale: f32,
    /// The `q` that means 0.
    pub zero_point: i8,
}

impl QuantParams {
    /// Real values of the smallest and the largest `q`.
    #[must_use]
    pub fn range(self) -> (f32, f32) {
        let value = |q: i16| f32::from(q - i16::from(self.zero_point)) * self.scale;
        (value(-128), value(127))
    }
}

/// Scale and zero point that spread 256 levels over `lo..=hi` with 0 on one of them.
///
/// The scale is `(hi - lo) / 255` and the zero point the nearest integer to `-128 - lo / scale`, so the range that is
/// represented is the given one moved by at most half a step. `lo = 0` (a tensor after ReLU) gives -128 exactly. A
/// range that does not hold 0 is stretched to it (a NaN counts as 0), one narrower than [`MIN_SPAN`] is widened, and `0..=0` becomes
/// `0..=1`.
#[must_use]
pub fn quant_params(lo: f32, hi: f32) -> QuantParams {
    let (lo, hi) = usable_range(lo, hi);
    let scale = nearest((f64::from(hi) - f64::from(lo)) / 255.0);
    let zero_point = (-128.0 - f64::from(lo) / f64::from(scale)).round().clamp(-128.0, 127.0);
    QuantParams { scale, zero_point: level(zero_point) }
}

/// The range with 0 inside and a span of at least [`MIN_SPAN`].
///
/// A tensor that is 0 throughout gets `0..=1`: every range holds its values exactly, and this one gives ordinary
/// multipliers and clips nothing if the tensor comes alive on another input.
pub(super) fn usable_range(lo: f32, hi: f32) -> (f32, f32) {
    let number = |end: f32| if end.is_nan() { 0.0 } else { end };
    let (lo, hi) = (number(lo).clamp(f32::MIN, 0.0), number(hi).clamp(0.0, f32::MAX));
    if lo == 0.0 && hi == 0.0 {
        (0.0, 1.0)
    } else if hi - lo >= MIN_SPAN {
        (lo, hi)
    } else if hi >= -lo {
        (lo, lo + MIN_SPAN)
    } else {
        (hi - MIN_SPAN, hi)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is what is wanted")]
pub(super) fn nearest(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_possible_truncation, reason = "an integer from -128 to 127")]
fn level(value: f64) -> i8 {
    value as i8
}
