//! Weights in panels of sixteen channels, for instructions that multiply several values of depth at a time.
//!
//! A panel holds [`Parameters`] and then `[KR of depth][lane][value]`, zeros where depth is filled up to a multiple of `KR` and in lanes
//! without a channel.

use core::ops::Range;

use super::parameters::{LANES, Lanes, Parameters};
use super::{ConvBlock, LayerWeights, Shape};

/// Weights of `KR` values of depth.
pub(super) type WeightBlock<const KR: usize> = [[i8; KR]; LANES];

/// Blocks that are packed at a time.
const STEP: usize = 4;

/// Whether every kernel row is filled up to a multiple of `KR`, because patches are read where they are, or kernel rows follow each other
/// without a gap and depth is filled up once.
const RUNS_APART: bool = cfg!(target_arch = "x86_64");

/// Values of depth that are filled up together.
const fn unit(shape: &Shape) -> usize {
    if RUNS_APART { shape.run_len } else { shape.depth() }
}

/// Blocks of a panel.
pub(super) const fn blocks<const KR: usize>(shape: &Shape) -> usize {
    if RUNS_APART { shape.runs * shape.run_len.div_ceil(KR) } else { shape.depth().div_ceil(KR) }
}

/// Bytes of a panel.
const fn panel_len<const KR: usize>(shape: &Shape) -> usize {
    size_of::<Parameters>() + blocks::<KR>(shape) * size_of::<WeightBlock<KR>>()
}

/// See [`Packing::weights_len`](super::Packing::weights_len).
pub(super) fn weights_len<const KR: usize>(shape: &Shape) -> Option<usize> {
    panel_len::<KR>(shape).checked_mul(shape.channels.div_ceil(LANES))
}

/// See [`Packing::pack_weights`](super::Packing::pack_weights); `bias_per_weight` times the sum of a channel's weights is
/// added to its bias.
#[inline(always)]
pub(super) fn pack_weights<L: Lanes, const KR: usize>(
    source: &LayerWeights<'_>,
    bias_per_weight: i32,
    packed: &mut [i8],
) -> Option<()> {
    let shape = &source.shape;
    let packed = packed.get_mut(..weights_len::<KR>(shape)?)?;
    for (panel, packed) in packed.chunks_exact_mut(panel_len::<KR>(shape)).enumerate() {
        let first = panel * LANES;
        let blocks = Parameters::pack::<L>(source, first, bias_per_weight, packed)?;
        let blocks: &mut [WeightBlock<KR>] = bytemuck::cast_slice_mut(blocks);
        let unit = unit(shape).max(1);
        for (index, blocks) in blocks.chunks_exact_mut(unit.div_ceil(KR)).enumerate() {
            pack_blocks::<L, KR>(source, first, index * unit..(index + 1) * unit, blocks)?;
        }
    }
    Some(())
}

/// Puts a range of depth of a panel's channels into blocks, and zeros into what is left of these.
#[inline(always)]
pub(super) fn pack_blocks<L: Lanes, const KR: usize>(
    source: &LayerWeights<'_>,
    first: usize,
    range: Range<usize>,
    blocks: &mut [WeightBlock<KR>],
) -> Option<()> {
    let (channels, depth) = (source.shape.channels, source.shape.depth());
    if first + LANES > channels || range.len() < blocks.len() * KR {
        blocks.fill([[0; KR]; LANES]);
    }
    // A few blocks of all lanes one after the other, so that they stay in the first-level cache until they are full.
    for (blocks, start) in blocks.chunks_mut(STEP).zip(range.clone().step_by(STEP * KR)) {
        let end = range.end.min(start + STEP * KR);
        for (lane, channel) in L::LANE_CHANNELS.iter().map(|channel| first + channel).enumerate() {
            if channel < channels {
                let weights = source.weights.get(channel * depth + start..channel * depth + end)?;
                pack_lane(weights, lane, blocks)?;
            }
        }
    }
    Some(())
}

/// Puts the weights of one channel into its lane of a few blocks.
#[inline(always)]
fn pack_lane<const KR: usize>(weights: &[i8], lane: usize, blocks: &mut [WeightBlock<KR>]) -> Option<()> {
    let (whole, rest) = weights.as_chunks::<KR>();
    for (weights, block) in whole.iter().zip(&mut *blocks) {
        *block.get_mut(lane)? = *weights;
    }
    if let Some(block) = blocks.get_mut(whole.len()) {
        block.get_mut(lane)?.get_mut(..rest.len())?.copy_from_slice(rest);
    }
    Some(())
}

/// Bytes of the panels of patches of all tiles of up to `mr` of so many pixels, `panel_len` bytes each.
pub(super) fn tiles_len(pixels: usize, mr: usize, panel_len: usize) -> Option<usize> {
    pixels.div_ceil(mr).checked_mul(panel_len)
}

/// A packed panel.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a, const KR: usize> {
    /// Of its channels.
    pub(super) parameters: &'a Parameters,
    /// Their weights.
    pub(super) blocks: &'a [WeightBlock<KR>],
}

impl<'a, const KR: usize> Panel<'a, KR> {
    /// Panel `index` of the layer's packed weights.
    pub(super) fn new(block: &ConvBlock<'a>, index: usize) -> Option<Self> {
        let len = panel_len::<KR>(&block.shape);
        let (parameters, blocks) = Parameters::split(block.weights.get(index * len..)?.get(..len)?)?;
        Some(Self { parameters, blocks: bytemuck::cast_slice(blocks) })
    }
}
