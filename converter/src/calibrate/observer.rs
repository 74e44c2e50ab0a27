//! What is remembered of one tensor's values.

use super::histogram::Histogram;

/// A tensor took a value that is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tensor `{tensor}` holds a value that is not finite; check the weights and the preprocessing")]
pub struct NotFinite {
    /// The tensor's name.
    pub tensor: String,
}

/// Streaming statistics of one tensor: extremes, exact zeros, and a histogram of either sign.
///
/// Its size is fixed (64 KiB at most), whatever the number of values; it depends on the set of values alone, not on
/// their order or on how they were split between observers that were merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Observer {
    name: String,
    count: u64,
    zeros: u64,
    /// Extremes; the other way round (+inf, -inf) while nothing was seen.
    min: f32,
    max: f32,
    /// Sum of each channel's values in units of 2^-[`SUM_BITS`]: whole numbers, so that their order does not matter.
    channel_sums: Vec<i128>,
    /// Magnitudes of the values below and above zero.
    pub(super) negative: Histogram,
    pub(super) positive: Histogram,
}

/// Fraction bits of a channel's sum.
const SUM_BITS: i32 = 24;

impl Observer {
    /// An observer of the tensor called `name`, of `channels` channels, that has seen nothing yet.
    #[must_use]
    pub fn new(name: &str, channels: usize) -> Self {
        Self {
            name: name.to_owned(),
            channel_sums: vec![0; channels],
            count: 0,
            zeros: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            negative: Histogram::new(),
            positive: Histogram::new(),
        }
    }

    /// Takes in values of the tensor, all those of one channel after those of another.
    ///
    /// # Errors
    ///
    /// A value that is NaN or infinite; none of `values` is counted then.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), NotFinite> {
        if !values.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Err(NotFinite { tensor: self.name.clone() });
        }
        self.min = values.iter().copied().fold(self.min, f32::min);
        self.max = values.iter().copied().fold(self.max, f32::max);
        if self.min < 0.0 {
            self.negative.cover(-self.min);
        }
        if self.max > 0.0 {
            self.positive.cover(self.max);
        }
        let (negative, positive) = (self.negative.bins_per_unit(), self.positive.bins_per_unit());
        for &value in values {
            if value > 0.0 {
                self.positive.add(value, positive);
            } else if value < 0.0 {
                self.negative.add(-value, negative);
            } else {
                self.zeros += 1;
            }
        }
        self.count += values.len() as u64;
        let plane = (values.len() / self.channel_sums.len().max(1)).max(1);
        for (sum, values) in self.channel_sums.iter_mut().zip(values.chunks(plane)) {
            #[expect(clippy::cast_possible_truncation, reason = "saturates far above any trained network")]
            let units = |value: &f32| (f64::from(*value) * 2f64.powi(SUM_BITS)).round() as i64;
            *sum += values.iter().map(|value| i128::from(units(value))).sum::<i128>();
        }
        Ok(())
    }

    /// Takes in all that `other`, an observer of the same tensor, has seen.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.zeros += other.zeros;
        for (sum, other) in self.channel_sums.iter_mut().zip(&other.channel_sums) {
            *sum += other;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.negative.merge(&other.negative);
        self.positive.merge(&other.positive);
    }

    /// The tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Values seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Values seen that were exactly 0.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Mean of each channel's values; 0 while nothing was seen.
    #[must_use]
    pub fn channel_means(&self) -> Vec<f64> {
        let per_channel = self.count as f64 / self.channel_sums.len() as f64;
        let mean = |sum: &i128| *sum as f64 / 2f64.powi(SUM_BITS) / per_channel.max(1.0);
        self.channel_sums.iter().map(mean).collect()
    }

    /// Smallest and largest value seen, if any was.
    #[must_use]
    pub fn extremes(&self) -> Option<(f32, f32)> {
        (self.count > 0).then_some((self.min, self.max))
    }
}
