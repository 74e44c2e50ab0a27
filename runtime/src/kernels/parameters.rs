//! The channels of a panel: their parameters, and where their values are, for kernels that work on sixteen at a time.
#![allow(unsafe_code, reason = "parameters are read from packed bytes")]

use super::{LayerWeights, Places, SkipValues, Target};
use crate::model::Channel;

/// Channels of a panel: one for every lane.
pub(super) const LANES: usize = 16;

/// How an instruction set lays out the sixteen channels of a panel.
pub(super) trait Lanes {
    /// The channel that each int32 lane stands for.
    const LANE_CHANNELS: [usize; LANES];

    /// Where a [`WeightPair`](super::winograd::WeightPair) has the weight of an output channel, by lane, and one of the two
    /// input channels.
    #[inline(always)]
    fn weight_place(lane: usize, input: usize) -> usize {
        2 * lane + input
    }

    /// What [`Parameters::shift`] holds for a channel's shift.
    #[inline(always)]
    fn shift_lane(shift: u8) -> i32 {
        i32::from(shift) - 1
    }
}

/// The parameters of a panel's channels, each in the order of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Parameters {
    /// Where the accumulator starts.
    pub(super) bias: [i32; LANES],
    /// Of the requantization, in `[2^30, 2^31)`.
    pub(super) mantissa: [i32; LANES],
    /// The mantissa of the next odd lane, in every lane: for instructions that multiply even lanes only.
    pub(super) mantissa_odd: [i32; LANES],
    /// `2^(shift - 1)` for the shift below.
    pub(super) rounding: [i32; LANES],
    /// The shift after the product with the mantissa, as [`Lanes::shift_lane`] says; by default the right shift of the
    /// product's high half, 1 to 29.
    pub(super) shift: [i32; LANES],
    /// Factor of the shortcut.
    pub(super) skip_multiplier: [i32; LANES],
    /// Its rounding constant less what its zero point contributes.
    pub(super) skip_offset: [i32; LANES],
}

// SAFETY: `repr(C)`, seven arrays of int32: every bit pattern is valid and there is no padding.
unsafe impl bytemuck::Zeroable for Parameters {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Parameters {}

impl Parameters {
    /// Puts those of the channels from `first` on at the start of their packed panel, and returns what is left of it.
    ///
    /// `bias_per_weight` times the sum of a channel's weights is added to its bias.
    #[inline(always)]
    pub(super) fn pack<'p, L: Lanes>(
        source: &LayerWeights<'_>,
        first: usize,
        bias_per_weight: i32,
        panel: &'p mut [i8],
    ) -> Option<&'p mut [i8]> {
        let (own, weights) = panel.split_at_mut_checked(size_of::<Self>())?;
        own.copy_from_slice(bytemuck::cast_slice(&[Self::of_panel::<L>(source, first, bias_per_weight)?]));
        Some(weights)
    }

    /// Those at the start of a packed panel, and what is behind them.
    #[inline(always)]
    pub(super) fn split(panel: &[i8]) -> Option<(&Self, &[i8])> {
        let (own, weights) = panel.split_at_checked(size_of::<Self>())?;
        let [parameters] = bytemuck::try_cast_slice(own).ok()? else { return None };
        Some((parameters, weights))
    }

    /// Those of the channels from `first` on; lanes without a channel get a valid multiplier and nothing else.
    #[inline(always)]
    fn of_panel<L: Lanes>(source: &LayerWeights<'_>, first: usize, bias_per_weight: i32) -> Option<Self> {
        let mut parameters =
            Self { mantissa: [1 << 30; LANES], rounding: [1; LANES], shift: [1; LANES], ..Self::zeroed() };
        for (lane, channel) in L::LANE_CHANNELS.iter().map(|channel| first + channel).enumerate() {
            if let Some(record) = source.channels.get(channel) {
                let depth = source.shape.depth();
                let weights = source.weights.get(channel * depth..)?.get(..depth)?;
                // In pieces whose sums fit 16 bits, which compiles to vector code of short lanes.
                let pieces = weights.chunks(256);
                let piece = |piece: &[i8]| piece.iter().fold(0i16, |sum, &w| sum.wrapping_add(w.into()));
                let sum: i32 = pieces.map(|values| i32::from(piece(values))).sum();
                let channel = Channel::read(record);
                parameters.set::<L>(lane, &channel, bias_per_weight.wrapping_mul(sum), source.skip)?;
            }
        }
        for (lanes, odd) in
            parameters.mantissa.as_chunks::<2>().0.iter().zip(parameters.mantissa_odd.as_chunks_mut().0)
        {
            *odd = [lanes[1]; 2];
        }
        Some(parameters)
    }

    fn zeroed() -> Self {
        bytemuck::Zeroable::zeroed()
    }

    fn set<L: Lanes>(
        &mut self,
        lane: usize,
        channel: &Channel,
        bias: i32,
        skip: Option<(i8, u8)>,
    ) -> Option<()> {
        let shift = u32::from(channel.multiplier.shift);
        *self.bias.get_mut(lane)? = channel.bias.wrapping_add(bias);
        *self.mantissa.get_mut(lane)? = channel.multiplier.mantissa;
        *self.shift.get_mut(lane)? = L::shift_lane(channel.multiplier.shift);
        *self.rounding.get_mut(lane)? = 1 << (shift - 2);
        if let Some((zero_point, skip_shift)) = skip {
            *self.skip_multiplier.get_mut(lane)? = channel.skip_multiplier;
            let zero = i32::from(zero_point).wrapping_mul(channel.skip_multiplier);
            *self.skip_offset.get_mut(lane)? = crate::arith::skip_rounding(skip_shift).wrapping_sub(zero);
        }
        Some(())
    }
}

/// Where a pixel's channels start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// In the output.
    pub(super) out: usize,
    /// In the values of the shortcut, if it has its own.
    pub(super) skip: usize,
}

impl Place {
    /// That of the pixel of the target's grids at a row and a column.
    #[inline(always)]
    pub(super) fn of_row(target: &Target<'_>, row: usize, column: usize) -> Self {
        let skip = target.skip.as_ref().map_or(0, |skip| skip.grid.place_of_row(row, column));
        Self { out: target.grid.place_of_row(row, column), skip }
    }
}

/// The places of a target's pixels in order, without a division for each.
#[derive(Debug, Clone)]
pub(super) struct TargetPlaces {
    outs: Places,
    skips: Option<Places>,
}

impl TargetPlaces {
    /// From the first pixel on.
    #[inline(always)]
    pub(super) fn new(target: &Target<'_>) -> Self {
        Self { outs: target.grid.places(), skips: target.skip.map(|skip| skip.grid.places()) }
    }

    /// Those of the next pixels, as many as both slices have: outputs and shortcuts.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn fill(&mut self, outs: &mut [usize], skips: &mut [usize]) {
        self.outs.fill(outs);
        if let Some(places) = &mut self.skips {
            places.fill(skips);
        }
    }

    /// Those of the next `N` pixels.
    #[inline(always)]
    pub(super) fn group<const N: usize>(&mut self) -> [Place; N] {
        let (outs, skips) = (self.outs.group::<N>(), self.skips.as_mut().map_or([0; N], Places::group));
        let mut places = [Place { out: 0, skip: 0 }; N];
        for ((place, out), skip) in places.iter_mut().zip(outs).zip(skips) {
            *place = Place { out, skip };
        }
        places
    }
}

/// The shortcut's values for the channels of a panel; where there is none the channel's multiplier is 0.
#[inline(always)]
pub(super) fn skip_values(
    target: &Target<'_>,
    skip: &SkipValues<'_>,
    place: Place,
    out: &[i8],
) -> Option<[i8; LANES]> {
    let Some(values) = skip.values else {
        return Some(match out.first_chunk() {
            Some(values) => *values,
            None => some_values(out, 0),
        });
    };
    let values = values.get(place.skip..)?;
    let own = target.first_channel.wrapping_sub(skip.channel);
    if own < skip.channel_count && own + LANES <= skip.channel_count {
        return values.get(own..)?.first_chunk().copied();
    }
    Some(some_values(values.get(..skip.channel_count)?, own))
}

/// Those from `start` on that there are; zeros for the others.
#[cold]
fn some_values(values: &[i8], start: usize) -> [i8; LANES] {
    core::array::from_fn(|lane| values.get(start.wrapping_add(lane)).copied().unwrap_or(0))
}
