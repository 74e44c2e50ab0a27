//! Weights as the model file has them, in panels of sixteen output channels.

use core::ops::Range;

use super::{CHANNELS, Geometry, PARAMETERS_LEN};
use crate::kernels::LayerWeights;
use crate::kernels::parameters::{LANES, Lanes, Parameters};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::kernels::simd::prefetch;

/// A tap of a packed pair of input channels: the 16 output channels' weights, two and two.
type Tap = [[i8; LANES]; 2];

/// A packed pair of input channels.
pub(in crate::kernels) type PackedPair<const TAPS: usize> = [Tap; TAPS];

// What the public interface says without knowing the panels.
const _: () = assert!(PARAMETERS_LEN == size_of::<Parameters>() && CHANNELS == LANES);

/// The pairs of some 16-channel chunks of the input, of a packed panel.
#[inline(always)]
pub(in crate::kernels) fn pairs<const TAPS: usize>(
    panel: &[i8],
    chunks: Range<usize>,
) -> Option<&[PackedPair<TAPS>]> {
    let taps: &[Tap] = bytemuck::try_cast_slice(panel.get(PARAMETERS_LEN..)?).ok()?;
    taps.as_chunks().0.get(chunks.start * LANES / 2..chunks.end * LANES / 2)
}

/// See [`Winograd::pack_weights`](super::Winograd::pack_weights).
#[inline(always)]
pub(in crate::kernels) fn pack_weights<L: Lanes>(
    _: L,
    geometry: &Geometry,
    source: &LayerWeights<'_>,
    packed: &mut [i8],
) -> Option<()> {
    let panels = source.shape.channels.div_ceil(LANES);
    let packed = packed.get_mut(..geometry.panel_len().checked_mul(panels)?)?;
    for (panel, packed) in packed.chunks_exact_mut(geometry.panel_len()).enumerate() {
        let (parameters, taps) = packed.split_at_mut_checked(PARAMETERS_LEN)?;
        let first = panel * LANES;
        parameters.copy_from_slice(bytemuck::cast_slice(&[Parameters::of_panel::<L>(source, first, 0)?]));
        taps.fill(0);
        for (lane, channel) in L::LANE_CHANNELS.iter().map(|channel| first + channel).enumerate() {
            let weights = source.weights.chunks_exact(source.shape.depth()).nth(channel);
            pack_channel::<L>(geometry, weights.unwrap_or_default(), lane, bytemuck::cast_slice_mut(taps))?;
        }
    }
    Some(())
}

/// Puts the weights of one output channel, `[row][column][input channel]`, into its lane.
#[inline(always)]
fn pack_channel<L: Lanes>(
    geometry: &Geometry,
    weights: &[i8],
    lane: usize,
    packed: &mut [Tap],
) -> Option<()> {
    let taps = geometry.form.kernel() * geometry.form.kernel();
    for (index, weights) in weights.chunks_exact(geometry.channels).enumerate() {
        let [tap, first] =
            geometry.place([index.checked_div(geometry.kernel)?, index.checked_rem(geometry.kernel)?]);
        for (channel, weight) in (first..).zip(weights) {
            let out = packed.get_mut(channel / 2 * taps + tap)?.as_flattened_mut();
            *out.get_mut(L::weight_place(lane, channel % 2))? = *weight;
        }
    }
    Some(())
}

/// Brings the weights that lie as far behind a pair as all of `packed` is long into the second-level cache, while there is time: they are
/// transformed when these have been multiplied.
#[inline(always)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(in crate::kernels) fn prefetch_next_block<const TAPS: usize>(packed: &[PackedPair<TAPS>], pair: usize) {
    let place = packed.as_ptr().wrapping_add(packed.len() + pair).cast::<u8>();
    for line in (0..size_of::<PackedPair<TAPS>>()).step_by(64) {
        prefetch::<2>(place.wrapping_add(line));
    }
}
