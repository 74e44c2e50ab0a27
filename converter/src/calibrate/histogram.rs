//! A histogram of magnitudes whose range grows by powers of two.

/// log2 of the number of bins.
const LOG_BINS: i32 = 12;

/// Bins of one histogram: 16 bins per quantization step of 8 bits when the range is full, 8 at worst.
const BINS: usize = 1 << LOG_BINS;

/// Smallest range is `[0, 2^MIN_EXPONENT)`; whatever is far smaller shares the first bin.
const MIN_EXPONENT: i32 = -64;

/// Counts of positive numbers over `[0, 2^exponent)`, in [`BINS`] bins of equal width.
///
/// The exponent is the smallest that covers the largest number seen. Bin widths are powers of two and bins start at
/// zero, so doubling the range merges pairs of bins and gives exactly the counts that binning everything at the wider
/// width would have given: the state depends on the set of numbers alone, not on their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Histogram {
    exponent: i32,
    /// Empty until the first number comes.
    bins: Vec<u64>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { exponent: MIN_EXPONENT, bins: Vec::new() }
    }

    /// Widens the range so that `largest`, a finite number above 0, has a bin.
    pub(super) fn cover(&mut self, largest: f32) {
        if self.bins.is_empty() {
            self.bins = vec![0; BINS];
        }
        let mut exponent = self.exponent;
        while f64::from(largest) >= exp2(exponent) {
            exponent += 1;
        }
        self.widen(exponent);
    }

    /// Factor that turns a magnitude into its bin's index, before rounding down. A power of two, so that the product
    /// is exact.
    pub(super) fn bins_per_unit(&self) -> f32 {
        2f32.powi(LOG_BINS - self.exponent)
    }

    /// Counts `magnitude`, above 0 and [covered](Self::cover); `bins_per_unit` is this histogram's.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding down to a bin's index"
    )]
    pub(super) fn add(&mut self, magnitude: f32, bins_per_unit: f32) {
        self.bins[(magnitude * bins_per_unit) as usize] += 1;
    }

    /// Adds all counts of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.bins.is_empty() {
            return;
        }
        if self.bins.is_empty() {
            self.clone_from(other);
            return;
        }
        let mut other = other.clone();
        other.widen(self.exponent);
        self.widen(other.exponent);
        for (total, part) in self.bins.iter_mut().zip(&other.bins) {
            *total += part;
        }
    }

    fn widen(&mut self, exponent: i32) {
        let shift = (exponent - self.exponent).clamp(0, LOG_BINS);
        if shift > 0 {
            for bin in 1..self.bins.len() {
                let count = std::mem::take(&mut self.bins[bin]);
                self.bins[bin >> shift] += count;
            }
        }
        self.exponent = self.exponent.max(exponent);
    }

    /// Width of one bin.
    pub(super) fn bin_width(&self) -> f64 {
        exp2(self.exponent - LOG_BINS)
    }

    /// The counts, bin 0 first; none when nothing was counted.
    pub(super) fn counts(&self) -> &[u64] {
        &self.bins
    }

    /// Numbers counted.
    pub(super) fn total(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// The threshold that `allowed` of the counted numbers exceed, interpolated within its bin; 0 when no more than
    /// `allowed` were counted.
    pub(super) fn exceeded_by(&self, allowed: f64) -> f64 {
        let mut remaining = allowed;
        for (bin, &count) in self.bins.iter().enumerate().rev() {
            let count = as_f64(count);
            if count > remaining {
                return (as_f64(bin as u64) + 1.0 - remaining / count) * self.bin_width();
            }
            remaining -= count;
        }
        0.0
    }
}

/// Exact for every power that is a normal f64.
fn exp2(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

/// Counts as real numbers; exact up to 2^53, and beyond that the last digits do not matter.
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
