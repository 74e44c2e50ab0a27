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
        let first = panel * LANES;
        let packed = bytemuck::cast_slice_mut(Parameters::pack::<L>(source, first, 0, packed)?);
        // There are phases with fewer taps, and input channels that no phase has. Where there are none it pays too, because what is written
        // next is scattered, and finds its lines in the cache.
        packed.fill([[0; LANES]; 2]);
        if geometry.folds() {
            pack_few::<L>(geometry, source, first, packed)?;
        } else {
            pack_chunks::<L>(geometry, source, first, packed)?;
        }
    }
    Some(())
}

/// Weights of the 16 output channels of a panel, of an input with whole chunks of channels.
#[inline(always)]
fn pack_chunks<L: Lanes>(
    geometry: &Geometry,
    source: &LayerWeights<'_>,
    first: usize,
    packed: &mut [Tap],
) -> Option<()> {
    let taps = geometry.form.kernel() * geometry.form.kernel();
    for chunk in (0..geometry.channels).step_by(CHANNELS) {
        for index in 0..geometry.kernel * geometry.kernel {
            let [tap, first_input] = place(geometry, index)?;
            let mut weights = [[0; CHANNELS]; LANES];
            for (weights, channel) in weights.iter_mut().zip(L::LANE_CHANNELS) {
                if first + channel < source.shape.channels {
                    let start = (first + channel) * source.shape.depth() + index * geometry.channels + chunk;
                    *weights = *source.weights.get(start..)?.first_chunk()?;
                }
            }
            let pairs = packed.get_mut((first_input + chunk) / 2 * taps + tap..)?;
            for (pair, out) in pairs.iter_mut().step_by(taps).take(CHANNELS / 2).enumerate() {
                pack_pair::<L>(&weights, pair, out.as_flattened_mut())?;
            }
        }
    }
    Some(())
}

/// One pair of input channels, of all lanes; both weights at once where they stand side by side, which halves the loads and stores.
#[inline(always)]
fn pack_pair<L: Lanes>(weights: &[[i8; CHANNELS]; LANES], pair: usize, out: &mut [i8]) -> Option<()> {
    for (lane, weights) in weights.iter().enumerate() {
        let weights = *weights.as_chunks::<2>().0.get(pair)?;
        let places = [L::weight_place(lane, 0), L::weight_place(lane, 1)];
        if places[1] == places[0] + 1 {
            *out.get_mut(places[0]..)?.first_chunk_mut()? = weights;
        } else {
            *out.get_mut(places[0])? = weights[0];
            *out.get_mut(places[1])? = weights[1];
        }
    }
    Some(())
}

/// Weights of the 16 output channels of a panel, of a first layer's few input channels: four phases share a chunk.
#[inline(always)]
fn pack_few<L: Lanes>(
    geometry: &Geometry,
    source: &LayerWeights<'_>,
    first: usize,
    packed: &mut [Tap],
) -> Option<()> {
    let (taps, depth) = (geometry.form.kernel() * geometry.form.kernel(), source.shape.depth());
    for (lane, channel) in L::LANE_CHANNELS.iter().map(|channel| first + channel).enumerate() {
        if channel >= source.shape.channels {
            continue;
        }
        let weights = source.weights.get(channel * depth..)?.get(..depth)?;
        for (index, weights) in weights.chunks_exact(geometry.channels).enumerate() {
            let [tap, first_input] = place(geometry, index)?;
            for (input, weight) in (first_input..).zip(weights) {
                let out = packed.get_mut(input / 2 * taps + tap)?.as_flattened_mut();
                *out.get_mut(L::weight_place(lane, input % 2))? = *weight;
            }
        }
    }
    Some(())
}

/// What [`Geometry::place`] says of a tap by its index.
#[inline(always)]
fn place(geometry: &Geometry, index: usize) -> Option<[usize; 2]> {
    Some(geometry.place([index.checked_div(geometry.kernel)?, index.checked_rem(geometry.kernel)?]))
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
