//! Weights as the model file has them, in panels of sixteen output channels.

use core::ops::Range;

use super::{CHANNELS, PARAMETERS_LEN, panel_len};
use crate::kernels::LayerWeights;
use crate::kernels::parameters::{LANES, Lanes, Parameters};

/// A packed pair of input channels: nine taps, and for each the 16 output channels' weights, two and two.
pub(in crate::kernels) type PackedPair = [[[i8; LANES]; 2]; 9];

// What the public interface says without knowing the panels.
const _: () = assert!(PARAMETERS_LEN == size_of::<Parameters>() && CHANNELS == LANES);

/// The pairs of some 16-channel chunks of the input, of a packed panel.
#[inline(always)]
pub(in crate::kernels) fn pairs(panel: &[i8], chunks: Range<usize>) -> Option<&[PackedPair]> {
    let pairs: &[PackedPair] = bytemuck::try_cast_slice(panel.get(PARAMETERS_LEN..)?).ok()?;
    pairs.get(chunks.start * LANES / 2..chunks.end * LANES / 2)
}

/// See [`Winograd::pack_weights`](super::Winograd::pack_weights).
#[inline(always)]
pub(in crate::kernels) fn pack_weights<L: Lanes>(
    _: L,
    source: &LayerWeights<'_>,
    packed: &mut [i8],
) -> Option<()> {
    let input_channels = source.shape.run_len / 3;
    let panels = source.shape.channels.div_ceil(LANES);
    let packed = packed.get_mut(..panel_len(input_channels).checked_mul(panels)?)?;
    for (panel, packed) in packed.chunks_exact_mut(panel_len(input_channels)).enumerate() {
        let (parameters, pairs) = packed.split_at_mut_checked(PARAMETERS_LEN)?;
        let first = panel * LANES;
        parameters.copy_from_slice(bytemuck::cast_slice(&[Parameters::of_panel::<L>(source, first, 0)?]));
        let pairs: &mut [PackedPair] = bytemuck::cast_slice_mut(pairs);
        pairs.fill([[[0; LANES]; 2]; 9]);
        for (lane, channel) in L::LANE_CHANNELS.iter().map(|channel| first + channel).enumerate() {
            let weights = source.weights.chunks_exact(source.shape.depth()).nth(channel);
            pack_channel::<L>(weights.unwrap_or_default(), input_channels, lane, pairs)?;
        }
    }
    Some(())
}

/// Puts the weights of one output channel, `[tap][input channel]`, into its lane.
#[inline(always)]
fn pack_channel<L: Lanes>(
    weights: &[i8],
    input_channels: usize,
    lane: usize,
    pairs: &mut [PackedPair],
) -> Option<()> {
    for (tap, weights) in weights.chunks_exact(input_channels).enumerate() {
        for (weights, taps) in weights.as_chunks::<2>().0.iter().zip(&mut *pairs) {
            let out = taps.get_mut(tap)?.as_flattened_mut();
            *out.get_mut(L::weight_place(lane, 0))? = weights[0];
            *out.get_mut(L::weight_place(lane, 1))? = weights[1];
        }
    }
    Some(())
}
