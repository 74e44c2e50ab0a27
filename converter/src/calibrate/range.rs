//! From a tensor's histogram to the range that is quantized.

use std::fmt;
use std::str::FromStr;

use super::histogram::{Histogram, as_f64};
use super::observer::Observer;
use super::params::{nearest, quant_params, usable_range};

/// How the range of a tensor is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeMethod {
    /// All values seen.
    MinMax,
    /// At either end, the bound that this percentage of all values does not exceed. Above 50, at most 100.
    Percentile(f64),
    /// The range with the least mean squared error of 8-bit quantization, by rounding and by clipping.
    Mse,
}

/// A text that names no [`RangeMethod`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no range method; write min-max, mse, or percentile:P with P above 50 and at most 100 (percentile:99.99)"
)]
pub struct UnknownRangeMethod(String);

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile:{percent}"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

impl FromStr for RangeMethod {
    type Err = UnknownRangeMethod;

    fn from_str(text: &str) -> Result<Self, UnknownRangeMethod> {
        match text {
            "min-max" => Ok(Self::MinMax),
            "mse" => Ok(Self::Mse),
            _ => text
                .strip_prefix("percentile:")
                .and_then(|percent| percent.parse().ok())
                .filter(|&percent: &f64| percent > 50.0 && percent <= 100.0)
                .map(Self::Percentile)
                .ok_or_else(|| UnknownRangeMethod(text.to_owned())),
        }
    }
}

impl Observer {
    /// The range `(lo, hi)` to quantize: `lo <= 0 <= hi`, `hi - lo >= ` [`MIN_SPAN`](super::MIN_SPAN).
    ///
    /// It never exceeds the values seen, but for two cases: a tensor that was 0 throughout (or never seen) gets
    /// `(0, 1)`, and a range narrower than `MIN_SPAN` is widened to it.
    #[must_use]
    pub fn range(&self, method: RangeMethod) -> (f32, f32) {
        let (min, max) = self.extremes().map_or((0.0, 0.0), |(min, max)| (min.min(0.0), max.max(0.0)));
        let (lo, hi) = match method {
            RangeMethod::MinMax => (min, max),
            RangeMethod::Percentile(percent) => {
                let allowed = as_f64(self.count()) * (1.0 - percent / 100.0);
                let (lo, hi) = (self.negative.exceeded_by(allowed), self.positive.exceeded_by(allowed));
                (min.max(-nearest(lo)), max.min(nearest(hi)))
            }
            RangeMethod::Mse => least_error_range(self, min, max),
        };
        usable_range(lo, hi)
    }
}

/// Searches the range within `min..=max` with the least expected squared error of quantization: coarsely over four
/// candidates per octave of either end, then ever finer around the best one.
fn least_error_range(observer: &Observer, min: f32, max: f32) -> (f32, f32) {
    const OCTAVES: i32 = 8;
    const COARSE_PER_OCTAVE: i32 = 4;
    const FINEST_STEP: f64 = 1.0 / 512.0;

    let (negative, positive) = (Tail::new(&observer.negative), Tail::new(&observer.positive));
    let range = |(u, v): (f64, f64)| (shrunk(min, u), shrunk(max, v));
    let error = |point| {
        let (lo, hi) = range(point);
        squared_error(&negative, &positive, lo, hi)
    };
    let coarse = || (0..=OCTAVES * COARSE_PER_OCTAVE).map(|i| f64::from(i) / f64::from(COARSE_PER_OCTAVE));
    let grid = coarse().flat_map(|u| coarse().map(move |v| (u, v)));
    let mut best = least(grid, (0.0, 0.0), error);

    let mut step = 0.5 / f64::from(COARSE_PER_OCTAVE);
    while step >= FINEST_STEP {
        let offsets = [-step, 0.0, step];
        let around = offsets.iter().flat_map(|du| offsets.iter().map(move |dv| (best.0 + du, best.1 + dv)));
        best = least(around.map(|(u, v)| (u.max(0.0), v.max(0.0))), best, error);
        step /= 2.0;
    }
    range(best)
}

/// `bound` made smaller by `octaves` powers of two.
fn shrunk(bound: f32, octaves: f64) -> f32 {
    nearest(f64::from(bound) * (-octaves).exp2())
}

/// The point with the least error; `start` unless another one is better.
fn least(
    points: impl Iterator<Item = (f64, f64)>,
    start: (f64, f64),
    error: impl Fn((f64, f64)) -> f64,
) -> (f64, f64) {
    let better = |best: ((f64, f64), f64), point| {
        let error = error(point);
        if error < best.1 { (point, error) } else { best }
    };
    points.fold((start, error(start)), better).0
}

/// Sum of the squared errors of all values seen when `lo..=hi` is quantized to 8 bits.
///
/// The range is the one that is really represented, with an integer zero point. A value inside is off by a rounding
/// error, `step^2 / 12` in the mean; a value outside by its distance to the range; a zero is exact.
fn squared_error(negative: &Tail, positive: &Tail, lo: f32, hi: f32) -> f64 {
    let params = quant_params(lo, hi);
    let (lo, hi) = params.range();
    let below = negative.beyond(-f64::from(lo));
    let above = positive.beyond(f64::from(hi));
    let rounded = negative.total + positive.total - below.count - above.count;
    rounded * f64::from(params.scale).powi(2) / 12.0 + below.squared_excess + above.squared_excess
}

/// Values of one sign, prepared to tell at once what clipping at any threshold costs.
struct Tail {
    width: f64,
    total: f64,
    /// For every bin: the values in it, and of all values in later bins their number, sum and sum of squares.
    bins: Vec<TailBin>,
}

#[derive(Clone, Copy)]
struct TailBin {
    count: f64,
    later: Moments,
}

#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

/// The values beyond a threshold.
struct Beyond {
    count: f64,
    /// Sum of the squared distances to the threshold.
    squared_excess: f64,
}

impl Tail {
    fn new(histogram: &Histogram) -> Self {
        let width = histogram.bin_width();
        let mut later = Moments { count: 0.0, sum: 0.0, squares: 0.0 };
        let mut bins: Vec<TailBin> = Vec::with_capacity(histogram.counts().len());
        for (bin, &count) in histogram.counts().iter().enumerate().rev() {
            let (count, middle) = (as_f64(count), (as_f64(bin as u64) + 0.5) * width);
            bins.push(TailBin { count, later });
            later.count += count;
            later.sum += count * middle;
            // Values are taken as spread evenly over their bin.
            later.squares += count * (middle * middle + width * width / 12.0);
        }
        bins.reverse();
        Self { width, total: as_f64(histogram.total()), bins }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding down to a bin's index"
    )]
    fn beyond(&self, threshold: f64) -> Beyond {
        let bin = (threshold / self.width) as usize;
        let Some(&TailBin { count, later }) = self.bins.get(bin) else {
            return Beyond { count: 0.0, squared_excess: 0.0 };
        };
        let rest = (as_f64(bin as u64) + 1.0) * self.width - threshold;
        let share = count * rest / self.width;
        let full_bins = later.squares - 2.0 * threshold * later.sum + threshold * threshold * later.count;
        Beyond { count: later.count + share, squared_excess: full_bins + share * rest * rest / 3.0 }
    }
}
