//! Checks of what is multiplied: weights and channel records are in range, and no accumulator can wrap.

use core::ops::Range;

use super::problem::{Check, Problem, ensure};
use super::records::{ChannelRecord, LayerRecord};
use super::sections::Sections;
use crate::arith::{ACCUMULATOR_LIMIT, MAX_SHIFT, MIN_SHIFT, skip_rounding};
use crate::kernels::transformed;
#[cfg(feature = "std")]
use crate::model::Channels;

/// How much of the weights and channel records the layers before have used. Each layer's stand behind those of the
/// layers before it, so that reading them all takes time in proportion to the file.
#[derive(Debug, Default)]
pub(super) struct Used {
    weights: usize,
    channels: usize,
}

impl Used {
    fn weights<'m>(&mut self, sections: &Sections<'m>, layer: &LayerRecord, count: usize) -> Check<&'m [i8]> {
        let start = layer.weights as usize;
        let weights = sections.weights(start, count).filter(|_| start >= self.weights);
        let weights = weights.ok_or(Problem::Weights)?;
        self.weights = start + count;
        Ok(weights)
    }

    pub(super) fn channels<'m>(
        &mut self,
        sections: &Sections<'m>,
        layer: &LayerRecord,
        count: usize,
    ) -> Check<&'m [[u8; ChannelRecord::LEN]]> {
        let start = layer.channels as usize;
        let channels = sections.channels().get(start..).and_then(|rest| rest.get(..count));
        let channels = channels.filter(|_| start >= self.channels).ok_or(Problem::ChannelRecords)?;
        self.channels = start + count;
        Ok(channels)
    }
}

/// Weights and channel records are there, and no accumulator of any output channel can reach the limit. Weights that
/// were left out are checked by [`check_weights`], when they have been read.
pub(super) fn check_products(
    sections: &Sections<'_>,
    used: &mut Used,
    layer: &LayerRecord,
    fan_in: u64,
    channels: u16,
    skip_channels: u16,
) -> Check {
    let too_many = Problem::WeightCount;
    let fan_in = usize::try_from(fan_in).map_err(|_| too_many)?;
    let form = WeightForm::of(layer, fan_in);
    let count = form.len.checked_mul(channels.into()).ok_or(too_many)?;
    let channels = used.channels(sections, layer, channels.into())?;
    let weights = used.weights(sections, layer, count)?;
    let first = usize::from(layer.skip_channel);
    let skip = first..first + usize::from(skip_channels);
    // The first condition is never true without `std`, and nothing of this is compiled then.
    if sections.left_out() > 0 && used.weights <= sections.left_out() {
        let mut records = channels.iter().enumerate();
        return records
            .try_for_each(|(index, record)| check_channel(layer, &form, record, skip.contains(&index), 0));
    }
    ensure(weights.as_ptr().align_offset(form.align) == 0, Problem::TransformedAlignment)?;
    let largest = check_channels(layer, &form, weights, channels, skip)?;
    ensure(largest == layer.weight_sum.into(), Problem::WeightSum)
}

/// What [`check_products`] could not check of a convolution because its weights were left out. Which channels a shortcut joins was checked.
#[cfg(feature = "std")]
pub(crate) fn check_weights(layer: &LayerRecord, channels: Channels<'_>, weights: &[i8]) -> Check {
    let form = WeightForm::of(layer, weights.len() / channels.len().max(1));
    let largest = check_channels(layer, &form, weights, channels.0, 0..usize::MAX)?;
    ensure(largest == layer.weight_sum.into(), Problem::WeightSum)
}

/// Weights and channel records are in range, and no accumulator of any output channel can reach the limit; returns the largest sum of a
/// channel's weights. A shortcut joins the channels `skip`.
fn check_channels(
    layer: &LayerRecord,
    form: &WeightForm,
    weights: &[i8],
    channels: &[[u8; ChannelRecord::LEN]],
    skip: Range<usize>,
) -> Check<u64> {
    let mut largest = 0;
    for ((weights, record), index) in weights.chunks_exact(form.len.max(1)).zip(channels).zip(0..) {
        let sum = (form.magnitude)(weights).ok_or(form.problem)?;
        check_channel(layer, form, record, skip.contains(&index), sum)?;
        largest = largest.max(sum);
    }
    Ok(largest)
}

/// The same of one output channel, whose weights have this sum.
fn check_channel(
    layer: &LayerRecord,
    form: &WeightForm,
    record: &[u8; ChannelRecord::LEN],
    joined: bool,
    sum: u64,
) -> Check {
    let channel = channel(record)?;
    let term = check_skip_multiplier(&channel, layer.skip_shift, joined)?;
    check_accumulator(&channel, sum.saturating_mul(128).saturating_add(term), form.shift)
}

/// How the weights of a layer are stored.
struct WeightForm {
    /// Bytes of an output channel.
    len: usize,
    /// What their place in memory is a multiple of.
    align: usize,
    /// The sum of an output channel's magnitudes, if its weights are in range.
    magnitude: fn(&[i8]) -> Option<u64>,
    /// What is wrong when they are not.
    problem: Problem,
    /// By how much their accumulators are shifted left.
    shift: u8,
}

impl WeightForm {
    /// That of a layer with `fan_in` weights an output channel.
    fn of(layer: &LayerRecord, fan_in: usize) -> Self {
        let neutral = Self {
            len: fan_in,
            align: 1,
            magnitude,
            problem: Problem::WeightOutOfRange,
            shift: layer.acc_shift,
        };
        match layer.op {
            LayerRecord::TRANSFORMED_CONV if cfg!(feature = "transformed-weights") => Self {
                len: transformed::weights_len(fan_in / 9),
                align: transformed::WEIGHTS_ALIGN,
                magnitude: transformed::magnitude,
                problem: Problem::NotTransformed,
                shift: transformed::SHIFT,
            },
            _ => neutral,
        }
    }
}

/// A channel record whose unused bytes are 0.
pub(super) fn channel(record: &[u8; ChannelRecord::LEN]) -> Check<ChannelRecord> {
    ensure(record.ends_with(&[0; 3]), Problem::ChannelUnusedBytes)?;
    Ok(ChannelRecord::read(record))
}

/// Sum of the weights' magnitudes; `None` when one of them is -128.
///
/// Summed in pieces whose total fits 16 bits, which compiles to vector code of short lanes.
fn magnitude(weights: &[i8]) -> Option<u64> {
    weights.chunks(512).try_fold(0, |total, piece| {
        let highest = piece.iter().fold(0, |highest: u8, &w| highest.max(w.unsigned_abs()));
        let sum = piece.iter().fold(0, |sum: u16, &w| sum.wrapping_add(w.unsigned_abs().into()));
        (highest < i8::MIN.unsigned_abs()).then_some(total + u64::from(sum))
    })
}

/// Largest magnitude that the shortcut adds to this channel's accumulator.
fn check_skip_multiplier(channel: &ChannelRecord, shift: u8, joined: bool) -> Check<u64> {
    ensure(joined || channel.skip_multiplier == 0, Problem::MultiplierWithoutShortcut)?;
    let product = 255 * u64::from(channel.skip_multiplier.unsigned_abs())
        + u64::from(skip_rounding(shift).unsigned_abs());
    ensure(product < 1 << 31, Problem::ShortcutWraps)?;
    Ok((product >> shift) + 1)
}

/// The requantization is in range and `(|bias| + reach) << acc_shift` stays below the limit.
pub(super) fn check_accumulator(channel: &ChannelRecord, reach: u64, acc_shift: u8) -> Check {
    ensure(channel.mantissa >= 1 << 30, Problem::Mantissa)?;
    ensure((MIN_SHIFT..=MAX_SHIFT).contains(&channel.shift), Problem::Shift)?;
    let largest = u64::from(channel.bias.unsigned_abs()).saturating_add(reach);
    let limit = ACCUMULATOR_LIMIT.unsigned_abs();
    ensure(acc_shift < 30 && largest < limit >> acc_shift, Problem::AccumulatorWraps)
}
