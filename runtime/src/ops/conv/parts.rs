//! A convolution in parts, one for every thread: rows of its output, or channels.
//!
//! Parts of rows are slices of the output, and each of them reads all weights. In late layers these are more than all activations, and maps of
//! seven rows cannot be cut evenly either. Parts of channels read some of the weights each, and all of the input. They lie between each other in the
//! output, so that all but the first one write to scratch, from where they are copied.

use core::iter;
use core::ops::Range;

use super::{ConvPlan, ConvRun, useful_threads};
use crate::kernels::Kernels;
use crate::kernels::winograd::CHANNELS;
use crate::model::{Conv, Layer};
use crate::threads::Threads;

/// How a layer is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Into parts of so many rows; the last one may have fewer.
    Rows(usize),
    /// Into parts of so many channels; the last one may have fewer.
    Channels(usize),
}

/// The channels of a part, and where they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// The first one, at the start of a panel of weights.
    first: usize,
    /// The one behind the last one.
    end: usize,
    /// Distance between pixels. Channel 0 of the first one, which only the first part has, would be at the start of the part's output.
    pixel_len: usize,
}

impl Share {
    /// Its channels.
    pub(super) const fn channels(&self) -> Range<usize> {
        self.first..self.end
    }

    /// Distance between pixels.
    pub(super) const fn pixel_len(&self) -> usize {
        self.pixel_len
    }
}

impl Cut {
    /// Channels where a part reads less than it would by rows, and none has more to do.
    fn new(plan: &ConvPlan, layer: &Layer<'_>, conv: &Conv<'_>, kernels: &Kernels, parts: usize) -> Self {
        let (step, all_rows, all_channels) = (plan.needs.row_step, plan.needs.rows, layer.output.c());
        let rows = all_rows.div_ceil(step).div_ceil(parts) * step;
        // Whole tiles of direct convolution, whole panels of Winograd.
        let step = kernels.direct.nr.next_multiple_of(CHANNELS);
        let channels = all_channels.div_ceil(step).div_ceil(parts) * step;
        let reads_less = conv.weights.len() > layer.input.len() + layer.output.len();
        let is_even = (channels * 17) as u64 * all_rows as u64 <= (rows * 16) as u64 * all_channels as u64;
        let can = conv.pool.is_none() && !conv.is_transformed();
        if can && reads_less && is_even { Self::Channels(channels) } else { Self::Rows(rows) }
    }
}

/// Bytes of the output of a part of so many channels that is no part of the layer's: with those before the first one.
fn own_output_len(layer: &Layer<'_>, channels: usize) -> Option<usize> {
    let pixels = layer.output.h() * layer.output.w();
    pixels.checked_mul(channels)?.checked_add(layer.output.c())?.checked_next_multiple_of(64)
}

/// Bytes of scratch when up to `threads` threads work.
pub(super) fn scratch_len(
    plan: &ConvPlan,
    layer: &Layer<'_>,
    conv: &Conv<'_>,
    kernels: &Kernels,
    threads: usize,
) -> Option<usize> {
    let parts = useful_threads(layer, threads);
    let own = match Cut::new(plan, layer, conv, kernels, parts) {
        Cut::Channels(channels) => own_output_len(layer, channels)?.checked_mul(parts - 1)?,
        Cut::Rows(_) => 0,
    };
    plan.needs.scratch_len.checked_mul(parts)?.checked_add(own)
}

/// Computes all of a layer, part by part.
pub(super) fn run(
    run: &ConvRun<'_>,
    threads: &Threads,
    parts: usize,
    out: &mut [i8],
    scratch: &mut [i8],
) -> Option<()> {
    let own = run.plan.needs.scratch_len;
    let (scratch, rest) = scratch.split_at_mut_checked(own.checked_mul(parts)?)?;
    let scratches = pieces(scratch, own);
    match Cut::new(run.plan, run.layer, run.conv, run.kernels, parts) {
        Cut::Rows(rows) => by_rows(run, threads, rows, out, scratches),
        Cut::Channels(channels) => by_channels(run, threads, channels, out, scratches, rest),
    }
}

/// Pieces of some length, which may be 0.
fn pieces(mut rest: &mut [i8], len: usize) -> impl Iterator<Item = &mut [i8]> {
    iter::from_fn(move || {
        let (own, behind) = core::mem::take(&mut rest).split_at_mut_checked(len)?;
        rest = behind;
        Some(own)
    })
}

/// In parts of `rows` rows.
fn by_rows<'s>(
    run: &ConvRun<'_>,
    threads: &Threads,
    rows: usize,
    out: &mut [i8],
    scratches: impl Iterator<Item = &'s mut [i8]>,
) -> Option<()> {
    let row_len = run.plan.needs.row_len;
    let outs = out.get_mut(..run.plan.needs.rows * row_len)?.chunks_mut(rows * row_len);
    threads.run_all(outs.zip(scratches).enumerate().map(|(index, (out, scratch))| {
        let first = index * rows;
        move || run.part(first..first + out.len() / row_len, out, scratch)
    }))
}

/// In parts of `channels` channels. All but the first one have outputs of their own, in which the shortcut is too if it is in the layer's.
fn by_channels<'s>(
    run: &ConvRun<'_>,
    threads: &Threads,
    channels: usize,
    out: &mut [i8],
    scratches: impl Iterator<Item = &'s mut [i8]>,
    own_outputs: &mut [i8],
) -> Option<()> {
    let all = run.layer.output.c();
    let own_len = own_output_len(run.layer, channels)?;
    let share = |index: usize| {
        let (first, end) = (index * channels, all.min((index + 1) * channels));
        Share { first, end, pixel_len: if index == 0 { all } else { end - first } }
    };
    let shares = || (1..all.div_ceil(channels)).map(share);
    if run.conv.skip.is_some() && run.inputs.skip.is_none() {
        for (share, own) in shares().zip(pieces(own_outputs, own_len)) {
            for (own, pixel) in share.pixels(own)?.zip(out.chunks_exact(all)) {
                own.copy_from_slice(pixel.get(share.channels())?);
            }
        }
    }
    let outs = iter::once(&mut *out).chain(pieces(own_outputs, own_len));
    threads.run_all(outs.zip(scratches).enumerate().map(|(index, (out, scratch))| {
        let run = ConvRun { share: Some(share(index)), ..*run };
        move || run.part(0..run.plan.needs.rows, out, scratch)
    }))?;
    for (share, own) in shares().zip(pieces(own_outputs, own_len)) {
        for (own, pixel) in share.pixels(own)?.zip(out.chunks_exact_mut(all)) {
            pixel.get_mut(share.channels())?.copy_from_slice(own);
        }
    }
    Some(())
}

impl Share {
    /// The pixels of an output of its own.
    fn pixels<'a>(&self, own: &'a mut [i8]) -> Option<impl Iterator<Item = &'a mut [i8]>> {
        Some(own.get_mut(self.first..)?.chunks_exact_mut(self.pixel_len.max(1)))
    }
}
